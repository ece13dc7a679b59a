"""Shapes, parameter counts and initialization of the networks."""

import jax
import numpy as np
import pytest

from rcig_cli.networks.architectures import build_network

# Side, channels, depth, width -> features, parameters: counted by hand from the published form.
FORMS = {
    (32, 3, 3, 128): (8192, 3584 + 295168 + 1180160 + 81930),
    (28, 1, 3, 128): (8192, 1280 + 295168 + 1180160 + 81930),
    (8, 1, 2, 32): (576, 320 + 18496 + 5770),
    (64, 3, 4, 8): (1024, 224 + 1168 + 4640 + 18496 + 10250),
}


@pytest.mark.parametrize(("form", "expected"), FORMS.items(), ids=str)
def test_features_and_parameters(form, expected):
    side, channels, depth, width = form
    network = build_network(
        "convnet", image_shape=(side, side, channels), classes=10, width=width, depth=depth
    )
    parameters = network.init(jax.random.key(0))
    logits, features = network.apply(parameters, np.zeros((2, side, side, channels), np.float32))
    assert logits.shape == (2, 10)
    assert features.shape == (2, expected[0])
    assert sum(leaf.size for leaf in jax.tree.leaves(parameters)) == expected[1]


def test_kernels_are_lecun_normal_and_biases_zero():
    network = build_network("convnet", image_shape=(32, 32, 3), classes=10, width=64, depth=3)
    parameters = network.init(jax.random.key(0))
    for block, fan_in in (("block_0", 27), ("block_1", 9 * 64), ("block_2", 9 * 128)):
        kernel = parameters["body"][block]["kernel"]
        assert float(kernel.std()) == pytest.approx(fan_in**-0.5, rel=0.06)
        assert not parameters["body"][block]["bias"].any()
    assert float(parameters["head"]["kernel"].std()) == pytest.approx(4096**-0.5, rel=0.03)


def test_fresh_networks_differ_by_key_and_only_by_key():
    network = build_network("convnet", image_shape=(8, 8, 1), classes=3, width=4, depth=2)
    one, same, other = (jax.tree.leaves(network.init(jax.random.key(k))) for k in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))
