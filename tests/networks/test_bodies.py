"""The bodies against the same networks from flax's and XLA's own layers, in float64."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.networks.architectures import build_network
from tests import drawn

pytestmark = pytest.mark.usefixtures("float64")


def posed(architecture, shape, **settings):
    """A network in float64 with random biases and scales too, and a few images."""
    network = build_network(architecture, image_shape=shape, classes=3, **settings)
    return network, drawn.parameters(network), drawn.normal(1, 2, *shape)


class Vgg(nn.Module):
    """VGG-11 of width 2, as the literature writes it down: conv 2 M 4 M 8 8 M 16 16 M 16 16 M."""

    @nn.compact
    def __call__(self, x):
        for layer in (2, "M", 4, "M", 8, 8, "M", 16, 16, "M", 16, 16, "M"):
            if layer == "M":
                x = nn.max_pool(x, (2, 2), (2, 2))
            else:
                x = nn.relu(nn.InstanceNorm(epsilon=1e-5)(nn.Conv(layer, (3, 3))(x)))
        return x.reshape(len(x), -1)


class VggPublished(nn.Module):
    @nn.compact
    def __call__(self, x):
        for layer in (4, "A", 4, "A", 4, 4, "A", 4, 4, "A", 4, 4, "A"):
            if layer == "A":
                x = nn.avg_pool(x, (2, 2), (2, 2))
            else:
                x = nn.relu(nn.InstanceNorm(epsilon=1e-5)(nn.Conv(layer, (3, 3))(x)))
        return x.reshape(len(x), -1)


class AlexNet(nn.Module):
    """AlexNet of width 4 for colour images, or grey ones, padded by two more at first."""

    @nn.compact
    def __call__(self, x):
        if x.shape[-1] == 1:
            x = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
        for channels, side, pooled in ((4, 5, 1), (6, 5, 1), (8, 3, 0), (6, 3, 0), (6, 3, 1)):
            x = nn.relu(nn.Conv(channels, (side, side))(x))
            x = nn.avg_pool(x, (2, 2), (2, 2)) if pooled else x
        return x.reshape(len(x), -1)


def renamed(body):
    """Parameters of a chain under flax's names."""
    plain = {}
    for i in range(len(body)):
        layer = dict(body[f"block_{i}"])
        norm = layer.pop("InstanceNorm_0", None)
        plain[f"Conv_{i}"] = layer
        if norm is not None:
            plain[f"InstanceNorm_{i}"] = norm
    return plain


@pytest.mark.parametrize(
    ("architecture", "plain", "shape", "settings"),
    [
        ("vgg11", Vgg(), (32, 32, 3), {"width": 2, "norm": "instance"}),
        ("vgg11-published", VggPublished(), (32, 32, 3), {"width": 4, "norm": "instance"}),
        ("alexnet", AlexNet(), (17, 17, 3), {"width": 4}),
        ("alexnet", AlexNet(), (28, 28, 1), {"width": 4}),
    ],
    ids=["vgg11", "vgg11-published", "alexnet", "alexnet-grey"],
)
def test_a_chain_equals_plain_layers(architecture, plain, shape, settings):
    network, parameters, images = posed(architecture, shape, **settings)
    expected = jax.jit(plain.apply)({"params": renamed(parameters["body"])}, images)
    logits, features = jax.jit(network.apply)(parameters, images)
    np.testing.assert_allclose(features, expected, rtol=1e-8, atol=1e-10)
    head = parameters["head"]
    np.testing.assert_allclose(logits, expected @ head["kernel"] + head["bias"], rtol=1e-8, atol=1e-10)


def convolved(x, layer, stride=1):
    pad = layer["kernel"].shape[0] // 2
    kernel = layer["kernel"]
    a = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return a + layer.get("bias", 0)


def instance(a, layer):
    centred = a - a.mean((1, 2), keepdims=True)
    spread = jnp.mean(centred**2, (1, 2), keepdims=True)
    return centred / jnp.sqrt(spread + 1e-5) * layer["scale"] + layer["bias"]


def resnet(body, x, norm):
    """ResNet-18 up to its last map, by the equations of its blocks."""
    x = jax.nn.relu(instance(convolved(x, body["Convolution_0"]), body["InstanceNorm_0"]))
    for stage in range(4):
        for block in range(2):
            layer = body[f"stage_{stage}_block_{block}"]
            stride = 2 if stage and not block else 1
            own = [norm(layer, i) for i in range(3)]
            a = jax.nn.relu(own[0](convolved(x, layer["Convolution_0"], stride)))
            a = own[1](convolved(a, layer["Convolution_1"]))
            x = own[2](convolved(x, layer["Convolution_2"], stride)) if stride == 2 else x
            x = jax.nn.relu(a + x)
    return x


@pytest.mark.parametrize("architecture", ["resnet18", "resnet18-published"])
def test_resnet_equals_its_equations(architecture):
    network, parameters, images = posed(architecture, (20, 20, 3), width=2, norm="instance")
    published = architecture == "resnet18-published"

    def norm(layer, i):
        return lambda a: a if published else instance(a, layer[f"InstanceNorm_{i}"])

    last = jax.jit(lambda body: resnet(body, images, norm))(parameters["body"])
    expected = last.reshape(2, -1) if published else last.mean((1, 2))
    features = jax.jit(network.apply)(parameters, images)[1]
    np.testing.assert_allclose(features, expected, rtol=1e-8, atol=1e-10)
