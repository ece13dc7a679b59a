"""Settings of a process, and what two processes on the loopback exchange."""

import socket

import pytest

from rcig_cli.errors import ConfigError, RcigError
from rcig_cli.runs.engine.processes import Processes, ProcessSpec, check_port, join
from tests.runs.engine.job import Job


def test_two_processes_exchange_values_bit_for_bit_and_average_gradients(tmp_path):
    with Job("share", tmp_path, devices=4) as job:
        for index in range(2):
            assert job.outcome(index) == (0, "größer '' True (0, 1, 7) 8 True\n", "")


def test_a_single_process_needs_no_connection():
    tree = {"x": 1}
    with join(ProcessSpec("node1:1234", 1, 0), tell=print) as alone:
        assert alone == Processes(0, 1)
        assert alone.is_first
        assert alone.agree_on(0, 1, 30) == (0, 1, 30)
        assert not alone.stopping
        assert alone.agree_on(15) == (15,)
        assert alone.stopping
        assert alone.share_text("run_1") == "run_1"
        assert alone.share(tree) is tree


def test_a_port_in_use_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(RcigError, match=f"can't open port {port} \\(Address already in use\\)"):
            check_port(port)


def test_options_take_precedence_over_the_environment(monkeypatch):
    assert ProcessSpec.find() == ProcessSpec(None, None, None)  # the cluster is detected
    for name, value in {"COORDINATOR": "node1:1234", "PROCESSES": "4", "PROCESS": "3"}.items():
        monkeypatch.setenv(f"RCIG_{name}", value)
    assert ProcessSpec.find() == ProcessSpec("node1:1234", 4, 3)
    assert ProcessSpec.find("[::1]:99", 2, 0) == ProcessSpec("[::1]:99", 2, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("node1:1234", 2, None), r"required together: add --process \(RCIG_PROCESS\)\."),
        (("node1:1234", 2, 2), "--process 2 must be from 0 to 1 with --processes 2"),
        (("node1:1234", 2, -1), "--process -1 must be from 0 to 1"),
        (("node1:1234", 0, 0), "--processes 0 must be at least 1"),
        (("node1", 2, 0), "HOST:PORT"),
        (("node1:99999", 2, 0), "HOST:PORT"),
    ],
)
def test_impossible_settings_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        ProcessSpec.find(*given)


def test_a_variable_that_is_not_a_number_is_refused(monkeypatch):
    monkeypatch.setenv("RCIG_PROCESSES", "two")
    with pytest.raises(ConfigError, match=r"--processes \(RCIG_PROCESSES\) must be a number, not 'two'"):
        ProcessSpec.find("node1:1234", None, 0)
