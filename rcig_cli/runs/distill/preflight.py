"""Checks before a long run: whether it fits into memory, and how long it takes.

The memory needed is that of the compiled step.  If it is more than available, smaller settings are compiled
until some fit, and the error recommends these.
"""

from collections.abc import Callable, Iterator

import jax

from rcig_cli.distillation.settings import ExpertSettings, RidgeSettings
from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.reporting.formatting import count_of, duration, exact_size, size
from rcig_cli.runs.engine.environment import free_memory
from rcig_cli.runs.engine.mesh import memory_limit

_SMALLEST_BATCH, _SMALLEST_SUBSET = 16, 10


def available_memory(device: jax.Device) -> int:
    """Bytes of memory that may be used on a device."""
    return memory_limit(device) or free_memory()


def check_memory(
    needed: int, available: int, config: DistillConfig, images: int, needed_by: Callable[[DistillConfig], int]
) -> None:
    """Refuse a run that needs more memory than is available, both in bytes.

    Parameters
    ----------
    needed, available, config
        Of the run.
    images
        Distilled images that the network sees, mirror images included.
    needed_by
        Bytes that a run of another configuration needs.

    Raises
    ------
    ConfigError
        With the options that make it fit, if some were found.
    """
    if needed <= available:
        return
    show = size if size(needed) != size(available) else exact_size
    wants = f"This run needs about {show(needed)} of memory, but only {show(available)} are available"
    for flag, smaller in _smaller(config, images):
        taken = needed_by(smaller)
        if taken <= available:
            raise ConfigError(f"{wants}. With {flag} it needs about {size(taken)}.")
    raise ConfigError(f"{wants}. Use a smaller --width, or a machine with more memory.")


def _smaller(config: DistillConfig, images: int) -> Iterator[tuple[str, DistillConfig]]:
    """Options that reduce memory, each with its configuration; those that change least come first."""
    batch, method = config.batch, config.method
    if isinstance(method, ExpertSettings):
        return  # whose batch is that of the experts' training
    if isinstance(method, RidgeSettings):
        subset = min(method.backward_subset or images, images)
    else:
        subset = images = 0  # its gradients always go through all images
    while batch // 2 >= _SMALLEST_BATCH or subset // 2 >= _SMALLEST_SUBSET:
        if batch >= subset:
            batch //= 2
        else:
            subset //= 2
        flags = [f"--batch {batch}"] if batch < config.batch else []
        changes = {"batch": batch}
        if subset < images:
            flags.append(f"--backward-subset {subset}")
            changes["backward_subset"] = subset
        yield " ".join(flags), config.override(changes)


def estimate(needed: int, available: int, seconds_per_step: float, steps: int) -> str:
    """Return a line with memory needed and available, time per step, and time for the remaining steps."""
    return (
        f"Needs about {size(needed)} of {size(available)} of memory, and {seconds_per_step:.2g} s per step: "
        f"about {duration(seconds_per_step * steps)} for the remaining {count_of(steps, 'step')}."
    )
