"""How the other processes of a job end when one of them ends early, and how they stop together."""

import re
import signal

import pytest

from tests.runs.engine.job import Job

HEARTBEAT = 6  # seconds, a time-out
LOST = "rcig: Another process has ended, or the connection to it was lost"


def assert_ended(outcome):
    """The process has failed because of another one, and it or JAX's client has printed an error."""
    code, out, err = outcome
    assert out == ""
    if code == 1:
        assert LOST in err
    else:
        assert code == -signal.SIGABRT
        assert "Terminating process because the JAX distributed service detected fatal errors" in err


@pytest.mark.parametrize(
    ("case", "victim", "count", "limit"),
    [
        ("collectives", 0, 2, 5),
        ("collectives", 1, 2, 5),
        ("collectives", 2, 3, 5),
        ("idle", 0, 2, 5),
        ("idle", 1, 3, 3 * HEARTBEAT),
    ],
)
def test_when_one_process_is_killed_the_others_end_with_an_error(tmp_path, case, victim, count, limit):
    with Job(case, tmp_path, count=count, HEARTBEAT_TIMEOUT=str(HEARTBEAT)) as job:
        job.wait_until_ready()
        job.processes[victim].send_signal(signal.SIGKILL)
        for index in range(count):
            if index != victim:
                assert_ended(job.outcome(index, timeout=limit))


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_one_process_keeps_its_exit_code_and_ends_the_other(tmp_path, failing):
    with Job("fail", tmp_path, FAILING=str(failing)) as job:
        assert job.outcome(failing) == (6, "", "rcig: The run diverged.\n")
        assert_ended(job.outcome(1 - failing, timeout=5))


def test_a_signal_to_one_process_stops_all_at_the_same_step_and_they_wait_for_the_checkpoint(tmp_path):
    with Job("stop", tmp_path, HEARTBEAT_TIMEOUT=str(HEARTBEAT)) as job:
        job.wait_until_ready()
        job.processes[1].send_signal(signal.SIGTERM)
        first, second = job.outcome(0), job.outcome(1)
    assert first == second
    assert first[:2] == (128 + signal.SIGTERM, "")
    assert re.fullmatch(r"rcig: Stopped at step \d+\.\n", first[2])
    assert (tmp_path / "saved").exists()


def test_a_process_stopped_before_the_processes_agree_does_not_wait_for_the_other(tmp_path):
    with Job("stop_alone", tmp_path) as job:
        assert job.outcome(0) == (128 + signal.SIGTERM, "", "rcig: Stopped preparing.\n")
        assert_ended(job.outcome(1, timeout=5))


@pytest.mark.parametrize("index", [0, 1])
def test_a_process_that_is_missing_is_reported(tmp_path, index):
    with Job("share", tmp_path, indices=[index], CONNECT_TIMEOUT="2") as job:
        code, out, err = job.outcome(0, timeout=30)
    assert (code, out) == (1, "")
    assert re.fullmatch(
        r"rcig: The processes did not all connect to 127\.0\.0\.1:\d+ within 2 s\. Start all .*\n", err
    )


def test_without_a_cluster_the_error_names_the_options(tmp_path):
    empty = {"RCIG_COORDINATOR": "", "RCIG_PROCESSES": ""}
    with Job("share", tmp_path, indices=[""], **empty) as job:
        code, out, err = job.outcome(0)
    assert (code, out) == (2, "")
    assert "--distributed finds no usable cluster settings" in err
    assert "--coordinator HOST:PORT" in err


def test_slurm_variables_are_enough(tmp_path):
    slurm = {
        "RCIG_COORDINATOR": "",
        "RCIG_PROCESSES": "",
        "SLURM_JOB_ID": "4097",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    with Job("share", tmp_path, indices=[""], devices=2, **slurm) as job:
        code, out, err = job.outcome(0)
    assert (code, out) == (0, "größer '' True (0, 0, 7) 2 True\n"), err
