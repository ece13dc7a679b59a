"""Logging to trackers: TensorBoard's files are read back; Weights & Biases and Trackio are fakes."""

import importlib.machinery
import shutil
import struct
import sys
import types
from contextlib import suppress

import pytest

from rcig_cli.errors import ConfigError, Interrupted
from rcig_cli.runs.distill import tracking
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.distill.tracking import TENSORBOARD, check_trackers, tracked
from rcig_cli.runs.housekeeping.verify import verify
from rcig_cli.runs.prepare.prepared import parent_of
from rcig_cli.store.store import open_store
from tests.example_store import KILLED, make_example
from tests.silent import Silent


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return make_example(tmp_path_factory.mktemp("example") / "store")


@pytest.fixture
def store(example, tmp_path):
    """A copy of a store with a finished run_1 and an interrupted run, both with 8 steps, of two images."""
    return open_store(shutil.copytree(example, tmp_path / "store"), create=False)


class Report(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, sentence):
        self.warnings.append(sentence)


def follow(store, run, steps, *, log_to, on_step=None, report=None):
    """Pretend to execute steps of a run; it was interrupted unless the last one is its last."""
    manifest = store.run(run)
    context = RunContext(report or Report(), on_step=on_step, log_to=log_to)
    with suppress(Interrupted), tracked(store, manifest, parent_of(store, manifest), context) as followed:
        for step in steps:
            followed.on_step(step, {"loss": 1 / step, "accuracy": step / 10})
        if step < 8:
            raise Interrupted("Stopped.", 2)


def events(folder):
    """Read TensorBoard's files in the order in which they were written: (step, tag) of each value."""
    from tensorboardX.proto.event_pb2 import Event

    found, purged = [], []
    for path in sorted(folder.glob("events.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack("<Q", content[at : at + 8])
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length
            if event.HasField("session_log"):
                purged.append(event.step)
            found += [(event.step, value) for value in event.summary.value]
    return found, purged


def test_tensorboard_has_metrics_settings_and_pictures(store):
    pytest.importorskip("tensorboardX")
    seen = []
    follow(store, "run_1", range(1, 9), log_to=("tensorboard",), on_step=lambda step, _: seen.append(step))
    assert seen == list(range(1, 9))
    found, purged = events(store.run_path("run_1") / TENSORBOARD)
    assert purged == []
    losses = {step: value.simple_value for step, value in found if value.tag == "loss"}
    assert losses == {step: pytest.approx(1 / step) for step in range(1, 9)}
    text = next(value for _, value in found if value.tag.startswith("settings"))
    assert b'"algorithm": "rcig"' in text.tensor.string_val[0]
    pictures = {step: value.image for step, value in found if value.tag == "distilled_images"}
    assert 8 in pictures
    assert pictures[8].encoded_image_string.startswith(b"\x89PNG")
    assert verify(store.root, ["run_1"], Silent()).of_kind("orphan") == []


def test_a_resumed_run_continues_in_tensorboard(store):
    pytest.importorskip("tensorboardX")
    folder = store.run_path(KILLED) / TENSORBOARD
    follow(store, KILLED, range(3, 5), log_to=("tensorboard",))  # the log has steps 1 to 4
    found, _ = events(folder)
    assert [step for step, value in found if value.tag == "loss"] == [1, 2, 3, 4]  # 1 and 2 are from the log
    follow(store, KILLED, range(3, 6), log_to=("tensorboard",))
    found, purged = events(folder)
    assert purged == [3]
    assert [step for step, value in found if value.tag == "loss"] == [1, 2, 3, 4, 3, 4, 5]


class Fake(types.ModuleType):
    """Stands for wandb or trackio; records what it is given, and fails from step ``fails_at``."""

    def __init__(self, name, last=0, fails_at=100):
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.last, self.fails_at = last, fails_at
        self.given, self.logged, self.ended = None, [], None
        self.Settings, self.Image = dict, lambda picture: picture.size

    def init(self, **given):
        print("a line on stdout")
        self.given = given
        return self

    @property
    def starting_step(self):
        return self.last + 1 if self.last else 0

    _next_step = starting_step

    def log(self, values, step):
        if step >= self.fails_at:
            raise ConnectionError("The server is down.\nMore about it.")
        self.logged.append((step, *values))

    def finish(self, **given):
        self.ended = given


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_hosted_trackers(store, monkeypatch, capsys, name):
    fake = Fake(name)
    monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    follow(store, "run_1", range(1, 9), log_to=(name,))
    assert fake.given["project"] == "rcig"
    assert fake.given["name"].startswith("run_1")
    assert fake.given["config"] == store.run("run_1").config
    scalars = [step for step, *names in fake.logged if names == ["loss", "accuracy"]]
    assert scalars == list(range(1, 9))
    assert [step for step, *names in fake.logged if names == ["distilled_images"]] == [8]
    assert fake.ended == ({"exit_code": 0} if name == "wandb" else {})
    assert capsys.readouterr().out == ""
    identity = fake.given.get("id", fake.given["name"])

    resumed = Fake(name, last=6)
    monkeypatch.setitem(sys.modules, name, resumed)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    follow(store, "run_1", range(5, 8), log_to=(name,))
    assert resumed.given["project"] == ("mine" if name == "wandb" else "rcig")
    assert [step for step, *_ in resumed.logged] == [7]
    assert resumed.given.get("id", resumed.given["name"]) == identity
    assert resumed.given["resume"] == "allow"


def test_a_tracker_that_fails_is_left_out_with_one_warning(store, monkeypatch):
    fake, other, report = Fake("wandb", fails_at=3), Fake("trackio"), Report()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setitem(sys.modules, "trackio", other)
    follow(store, "run_1", range(1, 9), log_to=("wandb", "trackio"), report=report)
    (warning,) = report.warnings
    assert warning.startswith(
        "Logging to wandb failed and is left out from here on (The server is down.). The run is not affected"
    )
    assert len(other.logged) == 9


def test_a_picture_that_can_not_be_drawn_does_not_stop_the_run(store, monkeypatch):
    def fail(*_):
        raise ValueError("No font.")

    fake, report = Fake("wandb"), Report()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(tracking, "draw_grid", fail)
    follow(store, "run_1", range(1, 9), log_to=("wandb",), report=report)
    assert [warning[:24] for warning in report.warnings] == ["Logging to wandb failed "]
    assert len(fake.logged) == 8


def test_a_long_run_is_thinned(store, monkeypatch):
    fake = Fake("wandb")
    monkeypatch.setitem(sys.modules, "wandb", fake)
    manifest = store.run(KILLED)
    long = type(manifest)(**{**vars(manifest), "config": {**manifest.config, "steps": 5000}})
    context = RunContext(Report(), log_to=("wandb",))
    with suppress(Interrupted), tracked(store, long, parent_of(store, manifest), context) as followed:
        for step in range(1, 31):
            followed.on_step(step, {"loss": 1.0})
        raise Interrupted("Stopped.", 2)
    assert fake.ended == {"exit_code": 1}
    assert [step for step, *_ in fake.logged] == [1, 5, 10, 15, 20, 25, 30]


def test_unknown_and_missing_trackers(monkeypatch):
    with pytest.raises(ConfigError, match=r"--log-to 'mlflow' is not available; choose from: tensorboard, "):
        check_trackers(["mlflow"])
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"pip install 'rcig-cli\[wandb\]'"):
        check_trackers(["wandb"])
