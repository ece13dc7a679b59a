"""Versions and devices of this machine, and a check that JAX computes correctly on it."""

import os
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.networks.layers import patches
from rcig_cli.runs.engine.environment import jit, processors
from rcig_cli.store.records import versions


def examine() -> dict[str, Any]:
    """Return versions, devices, flags, and whether XLA passes the test for its known miscomputation."""
    return {
        "versions": versions(),
        "devices": [str(device) for device in jax.devices()],
        "processors": processors(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "compilation_cache": str(jax.config.values.get("jax_compilation_cache_dir") or "none"),
        "zero_derivative_is_zero": largest_zero_derivative() == 0,
    }


def largest_zero_derivative(tries: int = 5) -> float:
    """Return the largest entry, over several tries, of a derivative that is exactly 0.

    It is that of pool(conv(pool(conv(x, W0)), W1)) along zero tangents, convolutions written as patches
    times a matrix.  XLA on the CPU gives garbage of up to 1e34 where it fuses products with zeros known at
    compile time (see ``rcig_cli.runs.engine.environment``).
    """

    def convolve(x: Array, kernel: Array) -> Array:
        rows = patches(x, 1)
        return (rows.reshape(-1, rows.shape[-1]) @ kernel).reshape(*rows.shape[:3], -1)

    def pool(x: Array) -> Array:
        total = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return total / 4

    def network(kernels: tuple[Array, Array], x: Array) -> Array:
        return pool(convolve(pool(convolve(x, kernels[0])), kernels[1]))

    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (20, 16, 16, 3))
    kernels = jax.random.normal(keys[1], (27, 16)), jax.random.normal(keys[2], (144, 32))

    def derivative(kernels: tuple[Array, Array], x: Array) -> Array:
        zeros = jax.tree.map(jnp.zeros_like, kernels)
        return jax.jvp(lambda k: network(k, x), (kernels,), (zeros,))[1]

    compute = jit(derivative)
    largest = 0.0
    for _ in range(tries):
        values = jnp.abs(compute(kernels, x))
        largest = max(largest, float(jnp.where(jnp.isnan(values), jnp.inf, values).max()))
    return largest
