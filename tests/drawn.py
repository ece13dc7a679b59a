"""Random inputs and parameters, drawn by NumPy: JAX would compile programs for each shape."""

import jax
import jax.numpy as jnp
import numpy as np


def normal(seed, *shape, dtype=np.float64):
    """Normally distributed numbers; float32 unless JAX uses float64."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(dtype))


def parameters(network, dtype=np.float64, seed=0):
    """Parameters of a network with kernels as at its start; biases and scales are random too."""
    random = np.random.default_rng(seed)

    def draw(path, leaf):
        name, drawn = path[-1].key, random.normal(size=leaf.shape)
        if name == "kernel":
            drawn *= np.prod(leaf.shape[:-1]) ** -0.5
        else:
            drawn = 0.1 * drawn + (name == "scale")
        return jnp.asarray(drawn.astype(dtype))

    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0)))
    return jax.tree_util.tree_map_with_path(draw, shapes)
