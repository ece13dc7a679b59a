"""Starts several processes on the loopback that form one job."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MEMBER = Path(__file__).with_name("member.py")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Job:
    """Some processes started together; a context that kills those that still run at its end.

    Parameters
    ----------
    arguments
        Arguments of the program.  The last one is a folder for the processes' files.
    program
        What each process runs.
    count
        Number of processes in the job.
    indices
        Indices of the processes to start; default: all of them.
    devices
        CPU devices of each process.
    variables
        Further environment variables.
    """

    def __init__(self, *arguments, program=MEMBER, count=2, indices=None, devices=1, **variables):
        self.folder, port = arguments[-1], free_port()
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": flags,
            "RCIG_COORDINATOR": f"127.0.0.1:{port}",
            "RCIG_PROCESSES": str(count),
            "http_proxy": "http://127.0.0.1:9",  # must not be used
            **variables,
        }
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(program), *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**environment, "RCIG_PROCESS": str(index)},
            )
            for index in (range(count) if indices is None else indices)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.communicate()

    def wait_until_ready(self):
        for index, process in enumerate(self.processes):
            until = time.monotonic() + 60
            while not (self.folder / f"ready{index}").exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until, "not ready in time"
                time.sleep(0.02)
        time.sleep(0.1)

    def outcome(self, place, timeout=60):
        """Exit code, stdout and stderr of a process."""
        process = self.processes[place]
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err
