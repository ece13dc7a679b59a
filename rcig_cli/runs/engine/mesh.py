"""The devices of a run, and the layout of its work on them.

    mesh    models x batch

A step uses ``models`` pool models.  Devices form groups: each group has its own pool models, whose real
images are divided among the devices of the group.  A step computes the same on any number of devices, except
for rounding.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rcig_cli.distillation.platform import Platform
from rcig_cli.errors import ConfigError
from rcig_cli.runs.engine.environment import processors
from rcig_cli.runs.engine.programs import repeated

MODELS, BATCH = "models", "batch"  # the axes

_MOST_PARTS = 4  # each part is a copy of the network in the program that has to be compiled
_PIECE = 16  # images; at 32 px and width 32 a layer's values for so many fit into a core's cache


def current_platform() -> Platform:
    """Return the layout of loops and batches for JAX's default device, for `Programs`."""
    if jax.default_backend() == "cpu":
        return Platform(True, min(processors(), _MOST_PARTS), _PIECE, repeated)
    return Platform(unroll=False, parts=1)


def settled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, with its arguments passed through a call that XLA does not inline.

    So they are computed once, before the function: `Platform.repeated` within a single program.
    """

    def call(*arguments: Any) -> Any:
        with set_xla_metadata(inlineable="false"):
            settled = jax.jit(lambda leaves: leaves)(arguments)
        return function(*settled)

    return call


def choose_devices(count: int | None) -> list[jax.Device]:
    """Return the first ``count`` devices; with None, one, or all of them if there are several processes.

    Raises
    ------
    ConfigError
        If JAX finds fewer.
    """
    there = jax.devices()
    if count is None:
        count = len(there) if jax.process_count() > 1 else 1
    if not 1 <= count <= len(there):
        kind = there[0].platform.upper()
        raise ConfigError(
            f"--devices {count} is too many: JAX finds {len(there)} ({kind}). Use at most {len(there)}."
        )
    if jax.process_count() > 1 and count < len(there):
        raise ConfigError(
            f"--devices {count} would leave processes without a device: with --distributed all {len(there)} "
            "are used. Start fewer processes instead."
        )
    return there[:count]


def own_device(devices: Iterable[jax.Device]) -> jax.Device:
    """Return the first of some devices that belongs to this process."""
    return next(device for device in devices if device.process_index == jax.process_index())


def memory_limit(device: jax.Device) -> int | None:
    """Return the bytes of memory that JAX may use on a device, or None without a limit."""
    return (device.memory_stats() or {}).get("bytes_limit")


def make_mesh(devices: Sequence[jax.Device], models: int, batch: int) -> Mesh:
    """Arrange devices in groups for ``models`` pool models and ``batch`` real images per step.

    Raises
    ------
    ConfigError
        If the batch can't be divided evenly.
    """
    groups = math.gcd(models, len(devices))
    shares = models * (len(devices) // groups)
    if batch % shares:
        raise ConfigError(
            f"--batch {batch} can't be divided evenly among {models} pool models per step on {len(devices)} "
            f"devices: use --batch {-(-batch // shares) * shares}."
        )
    return Mesh(np.array(devices).reshape(groups, -1), (MODELS, BATCH))


def put(tree: Any, mesh: Mesh, spec: PartitionSpec, *, own: bool = False) -> Any:
    """Put arrays, which every process holds whole, onto the devices of a mesh.

    On a CPU the result may share memory with the arrays; with ``own`` it doesn't, and can be donated.
    """
    sharding = NamedSharding(mesh, spec)

    def leaf(array: Any) -> jax.Array:
        whole = np.asarray(array)
        part = (lambda index: jnp.array(whole[index])) if own else (lambda index: whole[index])
        return jax.make_array_from_callback(whole.shape, sharding, part)

    return jax.tree.map(leaf, tree)
