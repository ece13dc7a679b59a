"""Settings that are chosen for a time, with measurements of machines that these tests make up."""

from types import SimpleNamespace

import numpy as np
import pytest

import rcig_cli
from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import resolve
from rcig_cli.runs.distill import time_budget
from rcig_cli.runs.distill.run_loop import RunContext, initial_psi
from rcig_cli.runs.distill.time_budget import (
    _candidates,
    _Timing,
    _typical,
    choose_settings,
    long_on_cpu,
    operations_of_step,
    warn_if_long_on_cpu,
)
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.store.store import open_store
from tests.silent import Silent

# With these the programs are those of many other tests, compiled once for all.
SMALL = {"pool_size": 3, "pool_steps": 3, "inner_steps": 2, "hessian_steps": 2}


class Notes(Silent):
    """Keeps messages."""

    def __init__(self):
        self.notes = []

    def note(self, sentence):
        self.notes.append(sentence)

    warn = note


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("digits") / "a"


@pytest.fixture(scope="module")
def digits(store):
    return prepare(open_store(store, create=True), "digits", report=Silent())


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch):
    monkeypatch.setattr(time_budget, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(time_budget, "matrix_speed", lambda: 1e30)  # by it, anything seems to fit


@pytest.fixture
def machine(monkeypatch):
    """Set the speed of matrix products and the seconds per step; return the candidates that are measured."""
    measured = []

    def build(per_step, memory=lambda _: True):
        def measure(config, *_):
            measured.append((config.width, config.batch))
            return _Timing(per_step(config), 0.0) if memory(config) else None

        monkeypatch.setattr(time_budget, "engine_for", lambda config, *_: config)
        monkeypatch.setattr(time_budget, "_measure", measure)
        return measured

    return build


def sizes(config):
    return config.width, config.batch, config.steps


@pytest.mark.parametrize(
    ("dataset", "shape", "given", "expected"),
    [
        ("cifar10", (32, 32, 3), {}, [(128, 1024), (128, 512), (64, 256), (32, 128), (16, 64)]),
        ("imagenette", (128, 128, 3), {}, [(128, 256), (128, 128), (64, 64), (32, 64), (16, 64)]),
        ("digits", (8, 8, 1), {}, [(32, 256), (32, 128), (16, 64)]),
        ("cifar10", (32, 32, 3), {"width": 48}, [(48, 1024), (48, 256)]),
        ("cifar10", (32, 32, 3), {"batch": 99}, [(128, 99), (64, 99), (32, 99), (16, 99)]),
        ("cifar10", (32, 32, 3), {"width": 48, "batch": 99}, [(48, 99)]),
    ],
)
def test_candidates_have_the_preset_first_then_fractions_and_keep_what_is_given(
    dataset, shape, given, expected
):
    preset = resolve(dataset, shape, 10, {"ipc": 1})
    candidates = list(_candidates(preset, given, 10))
    assert [(each.width, each.batch) for each, _ in candidates] == expected
    whole = [preset.steps] if "batch" not in given else []
    widths = [width for width, _ in expected[len(whole) :]]
    assert [least for _, least in candidates] == [*whole, *[8 * width for width in widths]]


def test_batches_of_candidates_have_at_least_two_real_images_for_each_distilled_image():
    preset = resolve("cifar10", (32, 32, 3), 10, {"ipc": 10})
    assert [each.batch for each, _ in _candidates(preset, {}, 100)] == [1024, 512, 256, 256, 256]
    assert [each.batch for each, _ in _candidates(preset, {}, 400)] == [1024] * 4  # never above the preset's


def test_the_widest_that_leaves_enough_steps_is_chosen(digits, machine):
    report = Notes()
    measured = machine(lambda config: 1.0 if config.width > 16 else 0.125)
    config, budget = choose_settings(digits, {"ipc": 1}, 1, RunContext(report))
    assert measured == [(32, 256), (32, 128), (16, 64)]
    assert sizes(config)[:2] == (16, 64)
    assert config.steps == 460  # 4 % of the time is kept in reserve
    assert budget["minutes"] == 1
    assert budget["chosen"] == {"width": 16, "batch": 64, "steps": config.steps, "schedule": "constant"}
    assert report.notes[-1] == budget["reason"]
    assert "With width 32, batch 128 only about 57 steps" in budget["reason"]
    config, _ = choose_settings(digits, {"ipc": 1}, 6, RunContext(report))
    assert sizes(config)[:2] == (32, 128)
    assert config.steps == 345


@pytest.mark.parametrize(
    ("dataset", "shape", "given", "expected"),
    [
        ("cifar10", (32, 32, 3), {}, True),
        ("cifar10", (32, 32, 3), {"image_lr": 0.1, "algorithm": "frepo"}, True),
        ("cifar10", (32, 32, 3), {"steps": 15000}, False),
        ("cifar10", (32, 32, 3), {"width": 128}, False),
        ("cifar10", (32, 32, 3), {"algorithm": "random"}, False),
        ("cifar10", (32, 32, 3), {"algorithm": "mtt"}, True),
        ("digits", (8, 8, 1), {}, False),
    ],
)
def test_on_a_cpu_presets_for_gpus_are_found_unless_the_size_is_given(dataset, shape, given, expected):
    config = resolve(dataset, shape, 10, {"ipc": 1, **given})
    assert long_on_cpu(config, given, None) is expected


def test_methods_whose_steps_are_not_chosen_warn_of_a_preset_for_gpus():
    report, given = Notes(), {"ipc": 1, "algorithm": "mtt"}
    warn_if_long_on_cpu(resolve("cifar10", (32, 32, 3), 10, given), given, RunContext(report))
    assert report.notes == [
        "On a CPU, the experts and the 5000 steps of the preset at width 128 take very long. "
        "Choose a smaller size with --steps, --width, --batch, --experts and --expert-epochs."
    ]


def test_with_enough_time_the_presets_settings_and_steps_are_kept(digits, machine):
    machine(lambda _: 1e-3)
    config, budget = choose_settings(digits, {"ipc": 1}, 10, RunContext(Silent()))
    assert config == resolve("digits", (8, 8, 1), 10, {"ipc": 1})
    assert "1000 steps (as many as the preset has)" in budget["reason"]


def test_what_would_be_too_slow_by_its_operations_is_not_compiled(digits, machine, monkeypatch):
    measured = machine(lambda _: 1.0)
    monkeypatch.setattr(time_budget, "matrix_speed", lambda: 1e9)
    config, budget = choose_settings(digits, {"ipc": 1}, 1, RunContext(Silent()))
    assert measured == [(16, 64)]
    assert "With width 32, batch 128 only about" in budget["reason"]
    assert config.steps == 57  # of the narrowest, as many as fit


def test_steps_are_never_more_than_were_measured_with_the_same_defaults(digits, machine, monkeypatch):
    """So many steps that the defaults of long runs would apply, whose steps take longer."""
    machine(lambda _: 0.001)
    monkeypatch.setattr(time_budget, "matrix_speed", lambda: 2e9)
    monkeypatch.setattr("rcig_cli.presets.config.presets", lambda _: {})
    config, _ = choose_settings(digits, {"ipc": 1, "width": 16, "batch": 128}, 1, RunContext(Silent()))
    assert 100 < config.steps < 7500
    assert config.method.pool_lr == 6e-4


def test_learning_rates_follow_the_steps_also_where_more_fit_than_expected(digits, machine, monkeypatch):
    machine(lambda _: 0.01)
    monkeypatch.setattr(time_budget, "matrix_speed", lambda: 2e9)
    monkeypatch.setattr("rcig_cli.presets.config.presets", lambda _: {})
    config, _ = choose_settings(digits, {"ipc": 1, "width": 16, "batch": 128}, 1, RunContext(Silent()))
    assert config.steps == 5759
    assert config.method.image_lr == config.method.label_lr == 0.0066


def test_what_does_not_fit_into_memory_is_left_out(digits, machine):
    machine(lambda _: 1e-3, memory=lambda config: config.width < 32)
    config, budget = choose_settings(digits, {"ipc": 1}, 1, RunContext(Silent()))
    assert config.width == 16
    assert "width 32, batch 128 needs more memory" in budget["reason"]


@pytest.mark.parametrize(
    ("settings", "per_step", "said"),
    [
        ({"steps": 5}, 0.1, "minutes and steps contradict"),
        ({}, 100, "1 minute is too short: .* step of 1e.02 s"),
    ],
)
def test_what_cannot_be_is_refused(digits, machine, settings, per_step, said):
    machine(lambda _: per_step)
    with pytest.raises(ConfigError, match=said):
        choose_settings(digits, {"ipc": 1, **settings}, 1, RunContext(Silent()))


def test_the_operations_of_a_step_grow_as_they_should(digits):
    real = RealData(digits.images("train"), digits.labels("train"))
    usual = resolve("digits", (8, 8, 1), 10, {"ipc": 1, "width": 64})
    psi = initial_psi(real, 10, usual, usual.decoder((8, 8, 1), 10))

    def operations(**changes):
        return operations_of_step(usual.override(changes), digits, psi)

    assert (
        1.9
        < (operations(batch=4096) - operations(batch=2048))
        / (operations(batch=2048) - operations(batch=1024))
        < 2.1
    )
    assert 3.3 < operations(width=128) / operations(width=64) < 4
    # Ordinary training of the pool: on average (1 + 15) / 2 steps.
    none, some, all_ = (operations(pool_steps=steps) for steps in (1, 3, 15))
    assert (all_ - none) / (some - none) == pytest.approx(7)


class Made:
    """An engine whose steps take 2 s, and 3 s more for each step of pool training."""

    def training_steps(self, numbers):
        return 1 + numbers * 7 % 5


class Clocked(Made):
    """An engine of a GPU, with a clock of its own that its steps take time on."""

    most = 32

    def __init__(self, seconds):
        self.seconds, self.now, self.taken = seconds, 0.0, 0
        self.template = self.start = lambda psi: psi
        self.compile, self.tune = lambda _: 0, lambda *_: None

    def training_steps(self, numbers):
        return np.ones_like(numbers)

    def advance(self, state, first, count):
        assert first == self.taken
        self.taken += count
        self.now += self.seconds * count
        return state, lambda: []


@pytest.mark.parametrize(
    ("per_step", "most"), [(0.001, 2 + 40 * 32), (0.01, 2 + 6 * 32), (0.5, 2 + 5), (10.0, 2 + 5)]
)
def test_few_slow_steps_are_measured_and_many_fast_ones(per_step, most, monkeypatch):
    engine = Clocked(per_step)
    monkeypatch.setattr(time_budget, "time", SimpleNamespace(monotonic=lambda: engine.now))
    timing = time_budget._measure(engine, 0.0, 1, 60.0)
    assert timing.per_step == pytest.approx(per_step)
    assert engine.taken <= most


def test_a_typical_step_has_the_average_amount_of_pool_training():
    times = [2 + 3 * training for training in Made().training_steps(np.arange(1, 8))]
    assert _typical(Made(), times, 1, 1) == pytest.approx(2 + 3 * 3, rel=1e-2)


def test_the_command_prints_what_was_chosen_and_ignores_the_steps_of_a_file(rcig, tmp_path, monkeypatch):
    monkeypatch.setattr(time_budget, "_measure", lambda *_: _Timing(15.0, 0.0))
    given = {"ipc": 1, "width": 4, "batch": 64, "steps": 900, **SMALL}
    text = "".join(f"{name} = {value}\n" for name, value in given.items())
    (tmp_path / "settings.toml").write_text(text)
    line = [
        "distill",
        "digits",
        "--config",
        tmp_path / "settings.toml",
        "--minutes",
        1,
        "--store",
        tmp_path / "a",
    ]
    outcome = rcig(*line, "--json")
    assert outcome.json["step"] == 3
    budget = outcome.json["budget"]
    assert budget["chosen"] == {"width": 4, "batch": 64, "steps": 3, "schedule": "constant"}
    assert budget["reason"] in outcome.err
    assert budget["reason"] in rcig("show", "run_1", "--store", tmp_path / "a").out
    refused = rcig(*line, "--steps", 5)
    assert refused.code == 2
    assert "minutes and steps contradict each other" in refused.err


def test_a_run_for_a_time_is_recorded_with_plain_settings_and_resumed_with_them(digits, store, monkeypatch):
    del digits
    monkeypatch.setattr(time_budget, "_measure", lambda *_: _Timing(8.0, 0.0))
    given = {"ipc": 1, "width": 4, "batch": 64, **SMALL, "store": store}

    def stop(step, _):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rcig_cli.distill("digits", minutes=1, **given, on_step=stop, checkpoint_every=1)
    monkeypatch.setattr(time_budget, "_measure", lambda *_: _Timing(1.0, 0.0))  # another machine
    run = rcig_cli.distill("digits", minutes=1, **given, resume=True)
    assert run.name == "run_1"
    assert run.config["steps"] == 7
    assert open_store(store, create=False).run("run_1").budget["minutes"] == 1
    settings = {name: value for name, value in run.config.items() if name != "dataset"}
    again = rcig_cli.distill("digits", **settings, store=store)
    assert again.images.tobytes() == run.images.tobytes()
    with pytest.raises(ConfigError, match="run_1 was started with minutes 1, and keeps its 7 steps"):
        rcig_cli.distill("digits", minutes=2, resume="run_1", store=store)
    with pytest.raises(ConfigError, match="run_2 was started without minutes"):
        rcig_cli.distill("digits", minutes=2, resume="run_2", store=store)
    with pytest.raises(ConfigError, match="minutes must be a number above 0"):
        rcig_cli.distill("digits", minutes=-1, ipc=1, store=store)
