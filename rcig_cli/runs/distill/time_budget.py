"""Settings for a distillation that is to end in a given time (``rcig distill --minutes``).

If all steps of the preset fit into the time, its width and batch are kept.  Otherwise the candidates are the
preset's width, and its half, quarter and eighth, each with a smaller batch in proportion to its width.  The
widest is chosen for which enough steps fit.  Candidates are judged by the operations that they take and by
the speed of a matrix product on this machine; the first that seems to fit is compiled, and its steps are
timed.

The choice is recorded as plain settings of the run, which doesn't depend on the clock any more.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled
from rcig_cli.distillation.settings import ExpertSettings, GradientSettings
from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DistillConfig, is_for_gpus
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.distill import preflight
from rcig_cli.runs.distill.run_loop import REPORT_EVERY, RunContext, engine_for, initial_psi, task_for
from rcig_cli.runs.engine.base import Engine
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.environment import jit
from rcig_cli.runs.engine.flops import count
from rcig_cli.runs.engine.mesh import choose_devices, own_device
from rcig_cli.runs.prepare.prepared import Prepared

# With fewer steps for each channel of the width, a narrower network that takes several times as many is the
# better choice.  Test accuracy on CIFAR-10, 1 image per class, in about the time of each row:
#     width 64, batch 128, 150 steps: 39.2 %        width 32, batch 256, 300 steps: 41.0 %
#     width 32, batch 256, 161 steps: 39.0 %        width 16, batch 128, 466 steps: 37.2 %
# So 150 steps are too few at width 64 and enough at width 32; in between it was not measured.
STEPS_PER_CHANNEL = 8

_SIZES = ("width", "batch")
_DIVISORS = (1, 2, 4, 8)  # of the preset's width
_NARROWEST = 16

# With half the batch, the accuracy after as many steps is hardly lower, and a step takes less time, down to
# half.  CIFAR-10, 1 image per class, width 32: 44.0 % after 1600 steps of 0.34 s with 256 real images, 43.8 %
# after 1400 steps of 0.25 s with 128, and about 41 % after 1000 steps of 0.2 s with 64.
_SMALLER = 2  # how many times smaller the batch is at the preset's width
_SMALLEST_BATCH = 64
_REAL_PER_DISTILLED = 2  # real images in a batch for each distilled image, at least

_EXPECTED_SHARE = 0.5  # of the speed of a matrix product, for an outer step
_MATRIX, _MATRIX_SECONDS = 2048, 0.3  # rows of the matrices, and how long their product is timed

# Timed calls of the engine: at least and at most so many, until this share of the time has passed.
_FEWEST_TIMED, _MOST_TIMED, _SHARE_TIMED = 5, 40, 0.03
_MANY = 1000  # steps whose average amount of pool training is typical

# Of the time of the first compilation: to trace the programs again and read them from the cache, if it is on.
_AGAIN = 0.3
_RESERVE = 0.04  # of the time, for checkpoints and for steps that are slower than the first


MINUTES_ON_CPU = 10.0  # for a run that `long_on_cpu` finds


@dataclass(frozen=True)
class _Timing:
    """What was measured of a candidate: seconds for each step, and before the first one of the run."""

    per_step: float
    start: float


def choose_settings(
    prepared: Prepared, settings: Mapping[str, Any], minutes: float, context: RunContext
) -> tuple[DistillConfig, dict[str, Any]]:
    """Choose width, batch and steps, and settings that depend on the number of steps.

    Parameters
    ----------
    prepared
        The data set.
    settings
        Settings given by the user, by name; they are kept.
    minutes
        For the whole run on this machine: measuring, compilation and all steps.
    context
        The devices, and where messages go.

    Returns
    -------
    config, budget
        The configuration, and the record for the run's manifest.

    Raises
    ------
    ConfigError
        If the number of steps is given too, not a single step fits into the time, or as `check_method`.
    """
    end = time.monotonic() + (1 - _RESERVE) * 60 * minutes
    if "steps" in settings:
        raise ConfigError(
            "minutes and steps contradict each other, since minutes chooses the steps: give one."
        )
    preset = resolved(prepared, settings)
    check_method(preset)
    context.report.note(f"Measuring how many steps fit into {_amount(minutes)}.")
    began = time.monotonic()
    real = RealData(prepared.images("train"), prepared.labels("train"))
    psi = initial_psi(real, prepared.classes, preset, preset.decoder(prepared.shape, prepared.classes))
    reading = time.monotonic() - began  # which the run does again
    devices = choose_devices(context.devices)
    memory = preflight.available_memory(own_device(devices))
    speed = expected_speed() * len(devices)
    usual = resolved(prepared, {name: each for name, each in settings.items() if name not in _SIZES})
    candidates = list(_candidates(usual, settings, len(psi.labels)))
    rejected = ""
    for candidate, least in candidates:
        narrowest = candidate == candidates[-1][0]
        shortest = resolved(prepared, {**settings, **_size(candidate), "steps": least})
        expected = int((end - time.monotonic()) * speed / operations_of_step(shortest, prepared, psi))
        if expected < least and not narrowest:
            rejected = _too_few(candidate, expected)
            continue
        steps = min(max(expected, 1), preset.steps)
        at = resolved(prepared, {**settings, **_size(candidate), "steps": steps})
        timing = _measure(engine_for(at, prepared, real, devices), psi, memory, 60 * minutes)
        if timing is None:
            rejected = f" {_described(candidate)} needs more memory than is available."
            continue
        fitting = int((end - time.monotonic() - reading - timing.start) / timing.per_step)
        if fitting >= least or narrowest:
            break
        rejected = _too_few(candidate, fitting)
    else:
        raise ConfigError("Not even the smallest network fits into memory.")
    if fitting < 1:
        raise ConfigError(
            f"{_amount(minutes)} is too short: after compilation there is not enough time for one step of "
            f"{timing.per_step:.2g} s. Give more minutes."
        )
    steps = min(fitting, preset.steps)
    config = resolved(prepared, {**settings, **_size(candidate), "steps": steps})
    if steps > at.steps and config != at.override({"steps": steps, **_rates(config)}):
        config, steps = at, at.steps  # with more steps, other defaults would apply, which were not measured
    assert isinstance(config.method, GradientSettings)
    schedule = config.method.schedule
    whole = " (as many as the preset has)" if steps == preset.steps else ""
    reason = (
        f"Chosen for {_amount(minutes)}: {_described(config)}, schedule {schedule}, and "
        f"{steps} steps{whole} of {timing.per_step:.2g} s.{rejected}"
    )
    context.report.note(reason)
    chosen = {**_size(config), "steps": steps, "schedule": schedule}
    return config, {
        "minutes": minutes,
        "given": dict(settings),
        "chosen": chosen,
        "seconds_per_step": timing.per_step,
        "reason": reason,
    }


def long_on_cpu(config: DistillConfig, settings: Mapping[str, Any], devices: int | None) -> bool:
    """Whether a run would have the size of a preset for a GPU, unasked, on a CPU.

    Parameters
    ----------
    config
        Its configuration.
    settings
        Those that the user gave: with steps, width or batch among them the user has chosen the size.
    devices
        As in `RunContext`.
    """
    on_cpu = choose_devices(devices)[0].platform == "cpu"
    return on_cpu and config.algorithm_record.pick is None and is_for_gpus(config, settings)


def warn_if_long_on_cpu(config: DistillConfig, settings: Mapping[str, Any], context: RunContext) -> None:
    """Say how to choose a smaller size for a run that `long_on_cpu` finds.

    ``settings`` are those that the user gave.
    """
    if not long_on_cpu(config, settings, context.devices):
        return
    what, options = f"the {config.steps} steps", ["--steps", "--width", "--batch"]
    if isinstance(config.method, ExpertSettings):
        what, options = f"the experts and {what}", [*options, "--experts", "--expert-epochs"]
    context.report.warn(
        f"On a CPU, {what} of the preset at width {config.width} take very long. Choose a smaller size with "
        f"{', '.join(options[:-1])} and {options[-1]}."
    )


def check_method(config: DistillConfig) -> None:
    """Refuse a method whose steps can't be chosen.

    Raises
    ------
    ConfigError
        If it takes no steps, or trains experts before them.
    """
    if config.algorithm_record.pick:
        raise ConfigError(f"{config.algorithm} takes no outer steps, so minutes can't be given for it.")
    if isinstance(config.method, ExpertSettings):
        raise ConfigError(
            f"{config.algorithm} trains experts before its steps, so minutes can't be given for it: give "
            "steps."
        )


def _candidates(
    preset: DistillConfig, settings: Mapping[str, Any], images: int
) -> Iterator[tuple[DistillConfig, int]]:
    """Yield configurations with the least number of steps that each must have, the widest first.

    Parameters
    ----------
    preset
        The configuration without a width or batch given by the user.
    settings
        Settings given by the user; a width or batch among them is kept.
    images
        Number of distilled images.
    """
    given = {name: settings[name] for name in _SIZES if name in settings}
    smallest = min(preset.batch, max(_SMALLEST_BATCH, _power_of_two(_REAL_PER_DISTILLED * images)))
    if "batch" not in given and smallest < preset.batch:
        yield preset.override(given), preset.steps
    seen = set()
    for divisor in _DIVISORS:
        width = given.get("width", max(preset.width // divisor, min(preset.width, _NARROWEST)))
        proportional = _power_of_two(preset.batch * width / (_SMALLER * preset.width))
        batch = given.get("batch", min(preset.batch, max(proportional, smallest)))
        if (width, batch) not in seen:
            seen.add((width, batch))
            least = min(STEPS_PER_CHANNEL * width, preset.steps)
            yield preset.override({"width": width, "batch": batch}), least


def _power_of_two(number: float) -> int:
    """Return the smallest power of two that is not below a positive number."""
    return int(2 ** np.ceil(np.log2(number)))


def expected_speed() -> float:
    """Return the floating-point operations per second that an outer step is expected to reach."""
    return _EXPECTED_SHARE * matrix_speed()


def matrix_speed() -> float:
    """Return the floating-point operations per second of a product of two large matrices."""
    matrix = jnp.ones((_MATRIX, _MATRIX))
    product = jit(jnp.matmul)
    jax.block_until_ready(product(matrix, matrix))
    best, start = np.inf, time.perf_counter()
    while (began := time.perf_counter()) < start + _MATRIX_SECONDS:
        jax.block_until_ready(product(matrix, matrix))
        best = min(best, time.perf_counter() - began)
    return float(2 * _MATRIX**3 / best)


def operations_of_step(config: DistillConfig, prepared: Prepared, psi: Distilled) -> float:
    """Return the floating-point operations of an outer step, with the average training of the pool."""
    step = config.algorithm_record.make(task_for(config, prepared, Platform()), config.method)
    key = jax.random.key(0)
    learner, model = jax.eval_shape(step.start, psi), jax.eval_shape(step.fresh, key)
    share = config.batch // step.models
    images = jax.ShapeDtypeStruct((share, *prepared.shape), np.float32)
    classes = jax.ShapeDtypeStruct((share,), np.int32)
    proposing = count(step.propose, learner, model.parameters, images, classes, key)
    average = sum(step.training_range) / 2
    return step.models * (proposing + average * count(step.train, model, psi, key))


def _measure(engine: Engine, psi: Distilled, memory: int, seconds: float) -> _Timing | None:
    """Compile a run, and time its first steps; None if it needs more memory than there is.

    Parameters
    ----------
    engine, psi
        The functions of the run, and where it starts.
    memory
        Bytes that are available.
    seconds
        The time for the whole run.
    """
    began = time.monotonic()
    if engine.compile(engine.template(psi)) > memory:
        return None
    state, number = engine.start(psi), 0

    def take(count: int) -> float:
        """Take steps; return the seconds for each."""
        nonlocal state, number
        start = time.monotonic()
        state, fetch = engine.advance(state, number, count)
        fetch()
        jax.block_until_ready(state)
        number += count
        return (time.monotonic() - start) / count

    take(1)
    compiled = time.monotonic()
    engine.tune(state, lambda: None)
    tuned = time.monotonic()
    # As many steps in a call as the run takes, but so few that the fewest calls fit into their share.
    longest = min(REPORT_EVERY, _SHARE_TIMED * seconds / _FEWEST_TIMED)
    count = max(1, min(engine.most, int(longest / take(1)))) if engine.most > 1 else 1
    first, times = number, list[float]()
    while len(times) < _FEWEST_TIMED or (
        len(times) < _MOST_TIMED and time.monotonic() - tuned < _SHARE_TIMED * seconds
    ):
        times.append(take(count))
    again = _AGAIN if jax.config.values.get("jax_compilation_cache_dir") else 1
    return _Timing(_typical(engine, times, first, count), again * (compiled - began) + (tuned - compiled))


def _typical(engine: Engine, times: Sequence[float], first: int, count: int) -> float:
    """Return the time of a step with the average amount of pool training, on which its time depends.

    ``times`` are those of calls of ``count`` steps from step ``first`` on, per step.
    """
    timed = len(times) * count
    training = np.asarray(engine.training_steps(np.arange(first, first + max(timed, _MANY)))).astype(float)
    each = training[:timed].reshape(len(times), -1).mean(1)
    if np.ptp(each) == 0:
        return float(np.mean(times))
    slope, intercept = np.polyfit(each, times, 1)
    return max(float(intercept + slope * training.mean()), min(times))


def _size(config: DistillConfig) -> dict[str, int]:
    return {name: getattr(config, name) for name in _SIZES}


def _rates(config: DistillConfig) -> dict[str, float]:
    """Return the settings that follow the number of steps and don't change the time of a step."""
    rates = config.learning_rates
    return {name: rates[name] for name in ("image_lr", "label_lr") if name in rates}


def _described(config: DistillConfig) -> str:
    return f"width {config.width}, batch {config.batch}"


def _too_few(config: DistillConfig, steps: int) -> str:
    return f" With {_described(config)} only about {max(steps, 0)} steps would fit."


def _amount(minutes: float) -> str:
    return f"{minutes:g} minute{'' if minutes == 1 else 's'}"
