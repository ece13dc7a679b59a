"""What ``rcig doctor`` checks: versions, devices, the GPU, and whether JAX computes correctly."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcig_cli.reporting.formatting import count_of, size
from rcig_cli.runs.engine.environment import free_memory, jit, processors
from rcig_cli.runs.housekeeping.nvidia import OLDEST_CAPABILITY, Gpu, find_gpus, installed_plugin
from rcig_cli.store.records import versions

if TYPE_CHECKING:
    from jax import Array

_TRIES = 5  # of a computation that goes wrong only sometimes


@dataclass(frozen=True)
class Check:
    """What was found, and what to do where that is not as it should be.

    Attributes
    ----------
    about
        One or two words.
    text
        A sentence.
    advice
        What to do; empty if all is well.
    """

    about: str
    text: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        return {"about": self.about, "ok": not self.advice, "text": self.text, "advice": self.advice}


def examine(refusal: str = "") -> dict[str, Any]:
    """Check this machine.

    Parameters
    ----------
    refusal
        Why JAX can't be used here, if it can't.

    Returns
    -------
    dict
        JSON values: ``checks``, as `Check.to_json` returns them, and what was found.
    """
    found: dict[str, Any] = {"versions": versions(), "devices": [], "processors": processors()}
    gpus = find_gpus()
    checks = [*_of_versions(found["versions"]), _of_machine()]
    platforms: list[str] = []
    if refusal:
        checks.append(Check("JAX", "JAX can't be used.", refusal))
    else:
        import jax

        devices = jax.devices()
        platforms = [device.platform for device in devices]
        cache = str(jax.config.values.get("jax_compilation_cache_dir") or "")
        right = largest_zero_derivative() == 0
        found |= {
            "devices": [str(device) for device in devices],
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
            "compilation_cache": cache or "none",
            "zero_derivative_is_zero": right,
        }
        kinds = ", ".join(dict.fromkeys(device.device_kind for device in devices))
        checks.append(Check("devices", f"JAX uses {count_of(len(devices), 'device')}: {kinds}."))
        checks += [_of_arithmetic(right), _of_cache(cache)]
    checks.append(_of_gpus(gpus, platforms))
    wrong = next((check for check in checks if check.advice), None)
    return {
        **found,
        "gpus": [asdict(gpu) for gpu in gpus],
        "checks": [check.to_json() for check in checks],
        "problem": f"{wrong.text} {wrong.advice}" if wrong else "none",
    }


def _of_versions(found: Mapping[str, str]) -> list[Check]:
    listed = [f"{name} {version}" for name, version in found.items()]
    first = len(listed) // 2  # as many as fit into a line
    return [Check("versions", ", ".join(part) + ".") for part in (listed[:first], listed[first:])]


def _of_machine() -> Check:
    return Check("machine", f"{count_of(processors(), 'processor')}, {size(free_memory())} of free memory.")


def _of_arithmetic(right: bool) -> Check:
    if right:
        return Check("arithmetic", "JAX computes correctly: a derivative that must be 0 is 0.")
    return Check(
        "arithmetic",
        "XLA computes wrong numbers here: a derivative that must be 0 is not.",
        "Don't use its results. Install a version of JAX that rcig supports: pip install -U rcig-cli",
    )


def _of_cache(folder: str) -> Check:
    about = "compilation cache"
    if not folder:
        return Check(
            about, "There is no cache of compiled programs, because RCIG_COMPILATION_CACHE is empty."
        )
    there = next(path for path in (Path(folder), *Path(folder).absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK):
        return Check(about, f"Compiled programs are kept in {folder}.")
    return Check(
        about,
        f"Compiled programs can't be kept: {there} can't be written, so every command compiles anew.",
        "Name another folder by the environment variable RCIG_COMPILATION_CACHE.",
    )


def _of_gpus(gpus: Sequence[Gpu], platforms: Sequence[str]) -> Check:
    """Say whether JAX, with devices of these platforms, uses the GPUs, and else what makes it use them."""
    about = "GPU"
    if not gpus:
        return Check(about, "There is no NVIDIA GPU.")
    first = gpus[0]
    names = ", ".join(dict.fromkeys(gpu.name for gpu in gpus))
    described = f"{names}, driver {first.driver or 'unknown'}"
    if {"gpu", "cuda"} & {*platforms}:
        return Check(about, f"JAX uses the NVIDIA GPU ({described}).")
    unused = f"There is an NVIDIA GPU ({described}), but JAX does not use it"
    for variable, value in (
        ("JAX_PLATFORMS", "cpu"),
        ("CUDA_VISIBLE_DEVICES", ""),
        ("CUDA_VISIBLE_DEVICES", "-1"),
    ):
        if os.environ.get(variable) == value:
            return Check(about, f"{unused}, because {variable} is {value or 'empty'}.")
    if first.is_too_old:
        return Check(
            about,
            f"{unused}: it has the compute capability {first.capability}, and JAX needs {OLDEST_CAPABILITY} "
            "or more.",
        )
    if first.extra is None:
        return Check(about, f"{unused}.", "Its driver is too old: install version 525 or later.")
    install = f"pip install -U 'rcig-cli[{first.extra}]'"
    plugin = installed_plugin()
    if plugin is None:
        return Check(about, f"{unused}.", f"To use it: {install}")
    reason = _reason() if platforms else ""
    return Check(about, f"{unused}, although {plugin} is installed{reason}.", f"To update it: {install}")


def _reason() -> str:
    """Say why JAX can't use CUDA, in its own words."""
    import jax

    try:
        jax.devices("cuda")
    except (RuntimeError, AssertionError) as error:
        words = str(error).partition("\n")[0].rstrip(".")
        return f" ({words})" if words else ""
    return ""


def largest_zero_derivative() -> float:
    """Return the largest entry, over several tries, of a derivative that is exactly 0.

    It is that of pool(conv(pool(conv(x, W0)), W1)) along zero tangents, convolutions written as patches
    times a matrix.  XLA on the CPU gives garbage of up to 1e34 where it fuses products with zeros known at
    compile time (see ``rcig_cli.runs.engine.environment``).
    """
    import jax
    import jax.numpy as jnp

    from rcig_cli.networks.layers import patches

    def convolve(x: "Array", kernel: "Array") -> "Array":
        rows = patches(x, 1)
        return (rows.reshape(-1, rows.shape[-1]) @ kernel).reshape(*rows.shape[:3], -1)

    def pool(x: "Array") -> "Array":
        total = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return total / 4

    def network(kernels: "tuple[Array, Array]", x: "Array") -> "Array":
        return pool(convolve(pool(convolve(x, kernels[0])), kernels[1]))

    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (20, 16, 16, 3))
    kernels = jax.random.normal(keys[1], (27, 16)), jax.random.normal(keys[2], (144, 32))

    def derivative(kernels: "tuple[Array, Array]", x: "Array") -> "Array":
        zeros = jax.tree.map(jnp.zeros_like, kernels)
        return jax.jvp(lambda k: network(k, x), (kernels,), (zeros,))[1]

    compute = jit(derivative)
    largest = 0.0
    for _ in range(_TRIES):
        values = jnp.abs(compute(kernels, x))
        largest = max(largest, float(jnp.where(jnp.isnan(values), jnp.inf, values).max()))
    return largest
