"""Outer steps, compiled for the devices at hand.

On one CPU device a step is a few programs driven from Python (`driven`), since a convolution inside an XLA
loop is slow there; elsewhere many steps are one program, over all devices (`sharded`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax

from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.step import Step
from rcig_cli.errors import ConfigError
from rcig_cli.runs.engine.base import Engine
from rcig_cli.runs.engine.batches import Batches, RealData
from rcig_cli.runs.engine.driven import Driven
from rcig_cli.runs.engine.mesh import BATCH, current_platform, make_mesh, settled
from rcig_cli.runs.engine.sharded import Sharded


def make_engine(
    make_step: Callable[[Platform], Step],
    real: RealData,
    *,
    batch: int,
    seed: int,
    augmentations: Sequence[str] = (),
    balanced: bool = False,
    devices: Sequence[jax.Device] | None = None,
) -> Engine:
    """Compile a run's functions.

    Parameters
    ----------
    make_step
        The method's functions for a layout.
    real
        The real training images.
    batch, seed
        Real images per outer step, and the run's seed.
    augmentations
        Names of the operations by which the real images of a step are augmented.
    balanced
        Whether a step has as many real images of each class.
    devices
        Devices to use; default: the first device JAX lists.

    Raises
    ------
    ConfigError
        If the batch can't be divided evenly among the devices.
    """
    platform = current_platform()
    step = make_step(platform)
    images = batch if balanced else min(batch, len(real.classes))
    mesh = make_mesh(devices or jax.devices()[:1], step.models, images)
    classes = int(real.classes.max()) + 1
    if balanced and batch // step.models // mesh.shape[BATCH] % classes:
        raise ConfigError(
            f"--batch {batch} must give each of {mesh.shape[BATCH]} devices as many images of each of the "
            f"{classes} classes; use a multiple of {step.models * mesh.shape[BATCH] * classes}."
        )
    batches = Batches(real, batch, step.models, seed, augmentations, balanced=balanced)
    if platform.unroll and mesh.size == 1:
        return Driven(step, seed, batches, mesh)
    platform = replace(platform, repeated=settled)
    step = make_step(platform)
    averaging = make_step(replace(platform, average=lambda tree: jax.lax.pmean(tree, BATCH)))
    return Sharded(step, averaging, seed, batches, mesh, in_loop=not platform.unroll)
