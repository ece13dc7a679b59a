"""Which devices a run uses, and how its work is laid out on them.

    mesh    models x batch

A step sees ``models`` pool models.  Devices stand in groups; a group has pool models of its own, and in it
each device takes its part of their real images.  What a step computes is the same on any number of devices,
but for rounding: it depends on how many models it sees, and not on where.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rcig_cli.distillation.platform import Platform
from rcig_cli.errors import ConfigError
from rcig_cli.runs.engine.environment import processors

MODELS, BATCH = "models", "batch"  # the axes

_MOST_PARTS = 4  # each part is a copy of the network in the program, to be compiled
_PIECE = 16  # images; at 32 px and width 32 what a layer holds of them fits in a core's cache


def current_platform() -> Platform:
    """Lay loops and batches out for JAX's default device."""
    if jax.default_backend() == "cpu":
        return Platform(True, min(processors(), _MOST_PARTS), _PIECE, _settle)
    return Platform(unroll=False, parts=1)


def _settle(tree: Any) -> Any:
    """Pass a pytree through a call that XLA leaves a call, and so does not compute across."""
    with set_xla_metadata(inlineable="false"):
        return jax.jit(lambda leaves: leaves)(tree)


def choose_devices(count: int | None) -> list[jax.Device]:
    """The first ``count`` devices; with None, one, or all of them where several processes run together.

    Raises
    ------
    ConfigError
        If there are not so many.
    """
    there = jax.devices()
    if count is None:
        count = len(there) if jax.process_count() > 1 else 1
    if not 1 <= count <= len(there):
        kind = there[0].platform.upper()
        raise ConfigError(f"--devices {count} is more than there is: JAX finds {len(there)} ({kind}).")
    if jax.process_count() > 1 and count < len(there):
        raise ConfigError(
            f"--devices {count} would leave processes without a device: with --distributed all {len(there)} "
            "are used. Start fewer processes instead."
        )
    return there[:count]


def own_device(devices: Iterable[jax.Device]) -> jax.Device:
    """The first of some devices that is this process's."""
    return next(device for device in devices if device.process_index == jax.process_index())


def memory_limit(device: jax.Device) -> int | None:
    """Bytes of memory that JAX may take on a device, where it has a limit."""
    return (device.memory_stats() or {}).get("bytes_limit")


def make_mesh(devices: Sequence[jax.Device], models: int, batch: int) -> Mesh:
    """Arrange devices in groups for so many pool models a step and real images.

    Raises
    ------
    ConfigError
        If the batch can't be shared out evenly.
    """
    groups = math.gcd(models, len(devices))
    shares = models * (len(devices) // groups)
    if batch % shares:
        raise ConfigError(
            f"--batch {batch} can't be shared out evenly among {models} pool models a step on {len(devices)} "
            f"devices: use --batch {-(-batch // shares) * shares}."
        )
    return Mesh(np.array(devices).reshape(groups, -1), (MODELS, BATCH))


def put(tree: Any, mesh: Mesh, spec: PartitionSpec, *, own: bool = False) -> Any:
    """Arrays that every process holds whole, onto the devices of a mesh.

    On a CPU they may share their memory with what is put; with ``own`` they don't, and can be used up.
    """
    sharding = NamedSharding(mesh, spec)

    def leaf(array: Any) -> jax.Array:
        whole = np.asarray(array)
        part = (lambda index: jnp.array(whole[index])) if own else (lambda index: whole[index])
        return jax.make_array_from_callback(whole.shape, sharding, part)

    return jax.tree.map(leaf, tree)
