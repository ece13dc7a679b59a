"""Each architecture: number of parameters, shapes, defaults, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rcig_cli.distillation import pool
from rcig_cli.errors import ConfigError
from rcig_cli.networks.architectures import ARCHITECTURES, NORMS, build_network
from tests import drawn

SIDES = (8, 28, 32, 64, 128)
DEPTHS = {8: 2, 28: 3, 32: 3, 64: 4, 128: 5}  # of the ConvNet


def built(architecture, side=32, channels=3, **settings):
    if architecture == "convnet":
        settings["depth"] = DEPTHS[side]
    return build_network(architecture, image_shape=(side, side, channels), classes=10, **settings)


def convolution(side, c, f, bias=True):
    return side**2 * c * f + bias * f


def chain(layers, features):
    """Parameters of convolutions ``(side, channels)`` with biases, and of a dense layer after them."""
    counted, c = 0, 3
    for side, f in layers:
        counted, c = counted + convolution(side, c, f), f
    return counted + (features + 1) * 10


def resnet18(norms):
    """Parameters by the table of He et al. (2016), but a 3x3 stem; no biases; a norm has two a channel."""
    counted, c = convolution(3, 3, 64, bias=False) + norms * 2 * 64, 64
    for f in (64, 128, 256, 512):
        counted += convolution(3, c, f, False) + 3 * convolution(3, f, f, False) + norms * 4 * 2 * f
        if f != c:
            counted += convolution(1, c, f, False) + norms * 2 * f
        c = f
    return counted + 5130


VGG = (64, 128, 256, 256, 512, 512, 512, 512)
ALEXNET = ((5, 128), (5, 192), (3, 256), (3, 192), (3, 192))
# Architecture, norm, parameters with 10 classes and 32 px in colour, and their number where others give it.
FORMS = [
    ("convnet", "none", chain([(3, 128), (3, 256), (3, 512)], 4 * 4 * 512), None),
    ("resnet18", "batch", resnet18(norms=True), 11_173_962),
    ("resnet18", "instance", resnet18(norms=True), 11_173_962),
    ("vgg11", "batch", chain([(3, f) for f in VGG], 512) + 2 * sum(VGG), 9_231_114),
    ("vgg11", "none", chain([(3, f) for f in VGG], 512), None),
    ("alexnet", "none", chain(ALEXNET, 4 * 4 * 192), None),
    ("vgg11-published", "batch", chain([(3, 128)] * 8, 128) + 2 * 8 * 128, None),
]


@pytest.mark.parametrize(("architecture", "norm", "counted", "known"), FORMS)
def test_number_of_parameters_is_the_published_one(architecture, norm, counted, known):
    assert parameters_of(built(architecture, norm=norm)) == counted
    assert known in (counted, None)


def parameters_of(network):
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0))))


def test_the_published_resnet_has_one_norm_and_a_flattened_map():
    network = built("resnet18-published", norm="batch")
    body = jax.eval_shape(network.init, jax.random.key(0))["body"]
    norms = [path for path, _ in jax.tree_util.tree_leaves_with_path(body) if "BatchNorm" in str(path)]
    assert [str(path[0].key) for path in norms] == ["BatchNorm_0", "BatchNorm_0"]  # scale and bias
    biases = 4 * 64 + 5 * (128 + 256 + 512)
    assert parameters_of(network) == resnet18(norms=False) + 2 * 64 + biases + (4 * 4 - 1) * 512 * 10


# Features by the side of the images: grey ones have four pixels more, 8 are 12 and 28 are 32.
MAPS = {
    "convnet": (2 * 2 * 256, 4 * 4 * 512, 4 * 4 * 512, 4 * 4 * 1024, 4 * 4 * 2048),
    "resnet18": (512, 512, 512, 512, 512),
    "vgg11": (512, 512, 512, 2 * 2 * 512, 4 * 4 * 512),
    "alexnet": (192, 4 * 4 * 192, 4 * 4 * 192, 8 * 8 * 192, 16 * 16 * 192),
    "resnet18-published": (2 * 2 * 512, 4 * 4 * 512, 4 * 4 * 512, 8 * 8 * 512, 16 * 16 * 512),
    "vgg11-published": (128, 128, 128, 2 * 2 * 128, 4 * 4 * 128),
}
ODD = {
    **{("convnet", 8, 1): 3 * 3 * 256, ("convnet", 28, 3): 3 * 3 * 512, ("alexnet", 28, 3): 3 * 3 * 192},
    **{("resnet18-published", side, 1): (side // 8 + 1) ** 2 * 512 for side in (32, 64, 128)},
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_and_logits(architecture, side, channels):
    network = built(architecture, side, channels)
    images = jax.ShapeDtypeStruct((2, side, side, channels), jnp.float32)
    parameters = jax.eval_shape(network.init, jax.random.key(0))
    network = network.with_statistics(network.first_statistics())
    logits, features = jax.eval_shape(network.apply, parameters, images)
    assert logits.shape == (2, 10)
    expected = MAPS[architecture][SIDES.index(side)]
    assert features.shape == (2, ODD.get((architecture, side, channels), expected))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_can_have_every_norm(architecture, norm):
    network = built(architecture, norm=norm, width=8)
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    parameters, statistics = jax.eval_shape(
        lambda k: (network.init(k), network.first_statistics()), jax.random.key(0)
    )
    _, after = jax.eval_shape(network.train, parameters, statistics, images)
    assert after == statistics
    assert bool(statistics) == (norm == "batch")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_default_norm_and_width(architecture):
    own = ARCHITECTURES[architecture]
    body = built(architecture).body
    assert (body.norm, body.width) == (own.norm, own.width)
    assert body.channels[0] == own.width
    half = built(architecture, width=own.width // 2).body
    assert half.channels == tuple(channels // 2 for channels in body.channels)


@pytest.mark.parametrize(
    "architecture", [pytest.param("resnet18", marks=pytest.mark.slow), "vgg11", "resnet18-published"]
)
def test_training_lowers_the_loss_on_the_smallest_images(architecture):
    """With instance norm a map of one pixel would be the same for every image, and nothing to learn from."""
    network = built(architecture, 8, 3, width=8, norm="instance")
    adam = optax.adam(3e-3)
    images = drawn.normal(0, 10, 8, 8, 3, dtype=np.float32)
    labels = jnp.eye(10) - 0.1
    model = jax.jit(lambda: pool.fresh_model(network, adam, jax.random.key(1)))()
    step = jax.jit(lambda model: pool.train(network, adam, model, images, labels))
    for _ in range(30):
        model = step(model)
    logits, _ = jax.jit(network.train)(model.parameters, model.statistics, images)
    assert float(jnp.mean((logits - labels) ** 2)) < 0.08  # the same for every image: 0.09 at best


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"architecture": "resnet99"}, "arch must be one of convnet, resnet18, vgg11, alexnet, "),
        ({"norm": "spectral"}, "norm must be one of none, batch, instance, layer, group"),
        ({"architecture": "vgg11", "depth": 3}, "The depth of vgg11 is fixed; only that of convnet"),
        ({"architecture": "convnet", "depth": 6}, "use --depth 5 or less"),
        ({"architecture": "vgg11", "channels": "equal"}, "The channels of vgg11 are fixed"),
        ({"norm": "group", "width": 12, "architecture": "alexnet"}, "use a multiple of 8"),
    ],
    ids=str,
)
def test_unknown_names_and_impossible_settings_are_errors(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_network(**{"architecture": "resnet18", "image_shape": (32, 32, 3), "classes": 10, **settings})


def test_channels_double_from_block_to_block_or_are_equal():
    usual, equal = (
        build_network("convnet", image_shape=(32, 32, 3), classes=10, width=12, channels=channels).body
        for channels in ("doubling", "equal")
    )
    assert (usual.channels, equal.channels) == ((12, 24, 48), (12, 12, 12))


def test_kernels_are_lecun_normal_and_biases_zero():
    network = build_network("convnet", image_shape=(32, 32, 3), classes=10, width=64, depth=3)
    parameters = jax.tree.map(np.asarray, jax.jit(network.init)(jax.random.key(0)))
    for block, fan_in in (("block_0", 27), ("block_1", 9 * 64), ("block_2", 9 * 128)):
        kernel = parameters["body"][block]["kernel"]
        assert float(kernel.std()) == pytest.approx(fan_in**-0.5, rel=0.06)
        assert not parameters["body"][block]["bias"].any()
    assert float(parameters["head"]["kernel"].std()) == pytest.approx(4096**-0.5, rel=0.03)


def test_initial_parameters_depend_on_the_key_only():
    network = build_network("convnet", image_shape=(8, 8, 1), classes=3, width=4, depth=2)
    init = jax.jit(network.init)
    one, same, other = (list(map(np.asarray, jax.tree.leaves(init(jax.random.key(k))))) for k in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))
