"""Each norm against its formula in numpy, in float64, on maps of odd size."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.networks.norms import RUNNING, THIS_BATCH, TRAINING, norm_layer

SHAPE = 3, 5, 7, 12
FIRST = {"mean": jnp.full(12, 0.5), "var": jnp.full(12, 2.0)}


class One(nn.Module):
    norm: str
    statistics: tuple = RUNNING

    @nn.compact
    def __call__(self, a):
        return norm_layer(self.norm, self.statistics)(a)


def maps(dtype=jnp.float64, mean=2.0):
    return mean + jax.random.normal(jax.random.key(0), SHAPE, dtype)


def scaled(norm, a):
    """Parameters of a norm, none of them 1 or 0."""
    names = One(norm).init(jax.random.key(0), a)["params"]
    (name,) = names
    keys = jax.random.split(jax.random.key(1))
    shapes = names[name]["scale"].shape, names[name]["bias"].shape
    scale, bias = (jax.random.normal(k, shape, a.dtype) for k, shape in zip(keys, shapes, strict=True))
    return name, {"scale": scale, "bias": bias}


def by_formula(a, axes, affine):
    a = np.asarray(a, np.float64)
    spread = np.mean((a - a.mean(axes, keepdims=True)) ** 2, axes, keepdims=True)
    return (a - a.mean(axes, keepdims=True)) / np.sqrt(spread + 1e-5) * affine["scale"] + affine["bias"]


def of_groups(a, affine):
    grouped = np.asarray(a).reshape(3, 5, 7, 4, 3)
    plain = by_formula(grouped, (1, 2, 4), {"scale": 1, "bias": 0}).reshape(SHAPE)
    return plain * affine["scale"] + affine["bias"]


FORMULAS = {
    "instance": lambda a, affine: by_formula(a, (1, 2), affine),
    "layer": lambda a, affine: by_formula(a, (1, 2, 3), affine),
    "group": of_groups,
}
AFFINE = {"instance": (12,), "layer": (5, 7, 12), "group": (12,), "batch": (12,)}


@pytest.mark.parametrize("norm", FORMULAS)
@pytest.mark.usefixtures("float64")
def test_norms_of_each_image_follow_their_formulas(norm):
    a = maps()
    name, affine = scaled(norm, a)
    assert affine["scale"].shape == affine["bias"].shape == AFFINE[norm]
    ours = One(norm).apply({"params": {name: affine}}, a)
    np.testing.assert_allclose(ours, FORMULAS[norm](a, affine), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("norm", FORMULAS)
def test_a_small_variance_about_a_large_mean_is_accurate_in_float32(norm):
    """E[a^2] - E[a]^2 would have an error of 1e-3 here, ten times the variance."""
    a = 100 + 0.01 * maps(jnp.float32, 0.0)
    ours, _ = One(norm).init_with_output(jax.random.key(0), a)
    expected = FORMULAS[norm](a, {"scale": 1, "bias": 0})
    assert float(ours.std()) == pytest.approx(expected.std(), rel=1e-2)


@pytest.mark.parametrize(("statistics", "kept"), [(TRAINING, 0.9), (THIS_BATCH, 0.0)])
@pytest.mark.usefixtures("float64")
def test_batch_norm_in_training_uses_the_batch_and_updates_running_statistics(statistics, kept):
    a = maps()
    name, affine = scaled("batch", a)
    variables = {"params": {name: affine}, "batch_stats": {name: FIRST}}
    ours, after = One("batch", statistics).apply(variables, a, mutable=["batch_stats"])
    np.testing.assert_allclose(ours, by_formula(a, (0, 1, 2), affine), rtol=1e-10, atol=1e-12)
    seen = {"mean": np.mean(a, (0, 1, 2)), "var": np.var(a, (0, 1, 2))}
    for which, value in after["batch_stats"][name].items():
        np.testing.assert_allclose(value, kept * FIRST[which] + (1 - kept) * seen[which], rtol=1e-10)


@pytest.mark.usefixtures("float64")
def test_batch_norm_otherwise_uses_running_statistics():
    a = maps()
    name, affine = scaled("batch", a)
    ours = One("batch").apply({"params": {name: affine}, "batch_stats": {name: FIRST}}, a)
    expected = (a - 0.5) / np.sqrt(2 + 1e-5) * affine["scale"] + affine["bias"]
    np.testing.assert_allclose(ours, expected, rtol=1e-10)
