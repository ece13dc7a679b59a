"""Several processes on the loopback: what they share, and how all end when one does."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rcig_cli.errors import ConfigError, RcigError
from rcig_cli.runs.engine.lines import GREETING, Line
from rcig_cli.runs.engine.meeting import greeting, meet
from rcig_cli.runs.engine.processes import join
from rcig_cli.runs.engine.seat import Seat, find_seat

MEMBER = Path(__file__).with_name("member.py")
ROOT = MEMBER.parents[2]
GONE = (
    "rcig: Process {} of {} is gone; the run stands at its last checkpoint. "
    "Start all processes again with --resume.\n"
)


def free_port():
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


class Job:
    """Some processes started together."""

    def __init__(self, case, count, folder):
        port, self.folder = free_port(), folder
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(MEMBER), case, str(port), str(count), str(index), str(folder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for index in range(count)
        ]

    def wait_until_ready(self):
        for index, process in enumerate(self.processes):
            until = time.monotonic() + 60
            while not (self.folder / f"ready{index}").exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until, "not ready in time"
                time.sleep(0.02)
        time.sleep(0.1)

    def outcome(self, index, timeout=60):
        process = self.processes[index]
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err


@pytest.fixture
def start(tmp_path):
    jobs = []

    def begin(case, count=2):
        jobs.append(Job(case, count, tmp_path))
        return jobs[-1]

    yield begin
    for job in jobs:
        for process in job.processes:
            process.kill()
            process.communicate()


def test_what_process_0_has_arrives_gradients_are_averaged_and_one_saves_alone(start):
    job = start("share")
    for index in range(2):
        assert job.outcome(index) == (0, "run_7 True True True True True\n", "")


@pytest.mark.parametrize(
    ("case", "victim", "count"),
    [
        ("collectives", 0, 2),
        ("collectives", 1, 2),
        ("idle", 0, 2),
        ("idle", 2, 3),
        ("saving", 0, 2),
        ("saving", 1, 2),
    ],
)
def test_when_one_is_killed_the_others_end_with_a_sentence(start, case, victim, count):
    job = start(case, count)
    job.wait_until_ready()
    job.processes[victim].send_signal(signal.SIGKILL)
    for index in range(count):
        if index != victim:
            assert job.outcome(index, timeout=10) == (1, "", GONE.format(victim, count))


@pytest.mark.parametrize(("case", "failing"), [("fail", 1), ("fail_first", 0)])
def test_an_error_in_one_process_ends_the_others_with_its_sentence(start, case, failing):
    job = start(case)
    assert job.outcome(failing) == (6, "", "rcig: The run diverged.\n")
    expected = f"rcig: Process {failing} of 2 has stopped: The run diverged.\n"
    assert job.outcome(1 - failing, timeout=10) == (6, "", expected)


def test_an_error_in_all_processes_is_each_one_s_own(start):
    job = start("fail_all")
    for index in range(2):
        code, _, err = job.outcome(index)
        assert code == 6
        assert err.count("\n") == 1


def test_a_signal_to_one_stops_all_at_the_same_step(start):
    job = start("stop")
    job.wait_until_ready()
    job.processes[1].send_signal(signal.SIGTERM)
    first, second = job.outcome(0), job.outcome(1)
    assert first == second
    assert first[:2] == (143, "")
    assert re.fullmatch(r"rcig: Stopped at step \d+\.\n", first[2])
    assert (job.folder / "saved").exists()


def test_one_process_is_a_job_too():
    with join(None) as alone:
        assert alone.is_first
        assert alone.count == 1
        assert alone.agree(15) == 15
        assert alone.agree_on(0, 1, 0) == (0, 1, 0)
        assert alone.share_text("run_1") == "run_1"
        tree = {"x": 1}
        assert alone.share(tree) is tree


def test_an_error_passes_through_a_job_of_one():
    with pytest.raises(RcigError, match="mine"), join(Seat("localhost", 1, 1, 0)):
        raise RcigError("mine")


def test_options_come_before_the_environment():
    environment = {"RCIG_COORDINATOR": "node1:1234", "RCIG_PROCESSES": "4", "RCIG_PROCESS": "3"}
    assert find_seat(environment=environment) == Seat("node1", 1234, 4, 3)
    assert find_seat("[::1]:99", 2, 0, environment=environment) == Seat("::1", 99, 2, 0)


def test_slurm_says_where_a_process_sits(monkeypatch):
    variables = {
        "SLURM_JOB_ID": "4097",
        "SLURM_STEP_NODELIST": "node[007-009]",
        "SLURM_NTASKS": "8",
        "SLURM_PROCID": "5",
        "SLURM_LOCALID": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_seat(environment={}) == Seat("node007", 61441, 8, 5, (1,))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((None, None, None), "finds no cluster here"),
        (("node1:1234", 2, None), r"give --process \(RCIG_PROCESS\)"),
        (("node1:1234", 2, 2), "numbered from 0 to 1"),
        (("node1:1234", 2, -1), "numbered from 0 to 1"),
        (("node1:1234", 0, 0), "at least one"),
        (("node1", 2, 0), "HOST:PORT"),
        (("node1:99999", 2, 0), "HOST:PORT"),
    ],
)
def test_a_seat_that_can_t_be_is_refused(given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        find_seat(*given, environment={})


def test_a_variable_that_is_no_number_is_refused():
    environment = {"RCIG_COORDINATOR": "node1:1234", "RCIG_PROCESSES": "two", "RCIG_PROCESS": "0"}
    with pytest.raises(ConfigError, match="RCIG_PROCESSES"):
        find_seat(environment=environment)


class Meeting(threading.Thread):
    """A process that tries to come together with others, here a thread."""

    def __init__(self, port, count, index, limit):
        super().__init__(daemon=True)
        self.arguments = Seat("127.0.0.1", port, count, index), limit
        self.lines, self.error = {}, None
        self.start()

    def run(self):
        try:
            self.lines, _ = meet(*self.arguments)
        except RcigError as error:
            self.error = error

    def end(self):
        self.join(20)
        for line in self.lines.values():
            line.connection.close()
        return str(self.error)


def test_nobody_listening_is_a_sentence():
    assert "can't be reached" in Meeting(free_port(), 2, 1, 0.5).end()


def test_a_port_in_use_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "can't be opened" in Meeting(taken.getsockname()[1], 2, 0, 0.5).end()


def test_a_stranger_at_the_port_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        member = Meeting(stranger.getsockname()[1], 2, 1, 5)
        connection, _ = stranger.accept()
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert "didn't answer as process 0 does" in member.end()
        connection.close()


def test_who_is_missing_is_said_to_all_that_came():
    port = free_port()
    members = [Meeting(port, 3, index, 1.5) for index in (0, 2)]
    for member in members:
        assert "Only 2 of 3 processes came together within 1.5 s; missing: 1." in member.end()


def test_a_process_that_does_not_fit_is_told_and_the_others_wait_on():
    port = free_port()
    first, second = Meeting(port, 3, 0, 20), Meeting(port, 3, 1, 20)
    time.sleep(0.5)
    assert "There is a process 1 already" in Meeting(port, 3, 1, 5).end()
    assert "--processes is 4 here" in Meeting(port, 4, 2, 5).end()
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    third = Meeting(port, 3, 2, 20)
    assert {member.end() for member in (first, second, third)} == {"None"}
    assert set(first.lines) == {1, 2}


def test_a_process_started_anew_before_all_are_there_takes_its_seat_again():
    port = free_port()
    first = Meeting(port, 3, 0, 20)
    time.sleep(0.3)
    with socket.create_connection(("127.0.0.1", port)) as early:
        Line(early, 0).send_json(GREETING, greeting(Seat("127.0.0.1", port, 3, 1)))
        time.sleep(0.1)
    second, third = Meeting(port, 3, 1, 20), Meeting(port, 3, 2, 20)
    assert {member.end() for member in (first, second, third)} == {"None"}
