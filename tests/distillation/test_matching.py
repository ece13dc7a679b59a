"""DM, DC and DSA against sums over classes, and siamese augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.matching import siamese
from rcig_cli.distillation.matching.gradients import distance
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.task import Task
from rcig_cli.networks.architectures import build_network
from tests import drawn

SHAPE, CLASSES = (7, 7, 3), 3
OWN = np.array([0, 0, 1, 2])  # classes of the distilled images
REAL = np.array([0, 1, 2, 1, 0])


@pytest.fixture
def problem(float64):
    """A network in float64, the psi of four images, and five real images."""
    network = build_network(
        "convnet", image_shape=SHAPE, classes=CLASSES, width=2, depth=2, activation="relu", norm="instance"
    )
    labels = centred_one_hot(OWN, CLASSES, jnp.float64)
    psi = Distilled({"images": drawn.normal(1, 4, *SHAPE)}, labels, jnp.zeros(()))
    return network, drawn.parameters(network), psi, drawn.normal(2, 5, *SHAPE)


@pytest.fixture
def _one_operation(monkeypatch):
    """Of the siamese operations, which have tests of their own, one whose derivatives compile fast."""
    monkeypatch.setattr(siamese, "operations", lambda _: (siamese.colour,))


def propose(network, psi, theta, images, classes, key, name="dm", **settings):
    method = METHODS[name]
    task = Task(network, Platform(unroll=True, parts=2, piece=2), images_per_class=(2, 1, 1))
    step = method.make(task, method.settings(flip=False, **settings))
    return jax.jit(lambda: step.propose(step.start(psi), theta, images, classes, key))()


@pytest.mark.usefixtures("_one_operation")
@pytest.mark.parametrize("alike", [False, True])
def test_dm_sums_the_squared_distances_of_mean_features_over_the_classes(problem, alike):
    network, theta, psi, real = problem
    key = jax.random.key(5)
    keys = jax.random.split(key, CLASSES)

    def features(images, label):
        if alike:
            images = siamese.augment_alike(jnp.stack([keys[label]] * len(images)), images)
        return network.apply(theta, images)[1]

    def loss(images):
        total = 0.0
        for label in range(CLASSES):
            means = [features(x[c == label], label).mean(0) for x, c in ((real, REAL), (images, OWN))]
            total += ((means[0] - means[1]) ** 2).sum()
        return total

    value, gradient = jax.jit(jax.value_and_grad(loss))(psi.stored["images"])
    ours = propose(network, psi, theta, real, REAL, key, siamese=alike)
    np.testing.assert_allclose(ours.metrics["loss"], value, rtol=1e-10)
    np.testing.assert_allclose(ours.gradient.stored["images"], gradient, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ours.metrics["gradient_norm"], np.linalg.norm(gradient))
    assert not ours.gradient.labels.any()


@pytest.mark.usefixtures("_one_operation")
def test_dm_has_no_loss_where_the_sets_are_equal_or_a_class_has_no_real_images(problem):
    network, theta, psi, _ = problem
    images = psi.stored["images"]
    for real, classes in ((images, OWN), (images[:3], OWN[:3])):
        ours = propose(network, psi, theta, real, classes, jax.random.key(5))
        np.testing.assert_allclose(ours.metrics["loss"], 0, atol=1e-20)
        assert not np.abs(ours.gradient.stored["images"]).max() > 1e-10


@pytest.mark.usefixtures("_one_operation")
@pytest.mark.parametrize("name", [pytest.param("dc", marks=pytest.mark.slow), "dsa"])
def test_dc_sums_the_distances_of_each_class_s_gradients(problem, name):
    network, theta, psi, real = problem
    real = jnp.concatenate([real, 0.5 * real[:4]])  # three of each class, in turn
    classes, key = np.arange(9) % CLASSES, jax.random.key(5)
    keys = jax.random.split(key, CLASSES)

    def gradient(images, label):
        def mean_loss(theta):
            if name == "dsa":
                seen = siamese.augment_alike(jnp.stack([keys[label]] * len(images)), images)
            else:
                seen = images
            return -jax.nn.log_softmax(network.apply(theta, seen)[0])[:, label].mean()

        return jax.grad(mean_loss)(theta)

    def angles(a, b):
        """Over the outputs of the kernels of all layers."""
        kernels = [(*(x["body"][f"block_{i}"]["kernel"] for x in (a, b)),) for i in range(2)]
        kernels.append((a["head"]["kernel"], b["head"]["kernel"]))
        total = 0.0
        for one, other in kernels:
            for output in range(one.shape[-1]):
                u, v = one[..., output].ravel(), other[..., output].ravel()
                total += 1 - u @ v / (jnp.sqrt(u @ u) * jnp.sqrt(v @ v) + 1e-6)
        return total

    def loss(images):
        return sum(
            angles(gradient(real[classes == label], label), gradient(images[label == OWN], label))
            for label in range(CLASSES)
        )

    value, expected = jax.jit(jax.value_and_grad(loss))(psi.stored["images"])
    ours = propose(network, psi, theta, real, classes, key, name)
    np.testing.assert_allclose(ours.metrics["loss"], value, rtol=1e-10)
    np.testing.assert_allclose(ours.gradient.stored["images"], expected, rtol=1e-8, atol=1e-10)
    assert np.abs(expected).max() > 1e-4


def test_the_distance_of_gradients_depends_on_their_directions_only():
    random = np.random.default_rng(1)
    one, other = (
        {
            "kernel": jnp.asarray(random.normal(size=(3, 3, 2, 5)) * 100),
            "bias": jnp.asarray(random.normal(size=5)),
        }
        for _ in range(2)
    )
    scaled = {"kernel": one["kernel"] * jnp.array([1.0, 2, 3, 4, 5]), "bias": -one["bias"]}
    np.testing.assert_allclose(distance(one, scaled), 0, atol=1e-5)
    np.testing.assert_allclose(distance(one, {**one, "kernel": -one["kernel"]}), 10, rtol=1e-5)
    np.testing.assert_allclose(distance(one, other), distance(scaled, other), rtol=1e-4)


def test_the_distance_has_a_gradient_where_an_output_has_none():
    one = {"kernel": jnp.ones((3, 2)).at[:, 1].set(0)}
    other = {"kernel": jnp.array([[1.0, 2], [2, 1], [0, 1]])}
    for first, second in ((one, other), (other, one)):
        gradient = jax.jit(jax.grad(distance))(first, second)["kernel"]
        assert np.isfinite(gradient).all()


def test_dc_matches_a_single_real_image_of_each_class(problem):
    network, theta, psi, real = problem
    ours = propose(network, psi, theta, real[:3], np.arange(3), jax.random.key(5), "dc")
    assert np.isfinite(ours.gradient.stored["images"]).all()


@pytest.mark.usefixtures("_one_operation")
@pytest.mark.parametrize("name", ["dc", "dsa"])
def test_dc_trains_its_network_as_often_as_is_set_by_descent_with_momentum(problem, name):
    """DSA changes each image by a draw of its own, another in each training step."""
    network, theta, psi, _ = problem
    method, key = METHODS[name], jax.random.key(2)
    settings = method.settings(flip=False, network_steps=3, renew_every=2, network_lr=0.2)
    step = method.make(Task(network, Platform(), images_per_class=(2, 1, 1)), settings)
    assert (step.training_range, step.max_age) == ((3, 3), 6)

    @jax.jit
    @jax.grad
    def gradient_of_loss(theta, images):
        logits = network.apply(theta, images)[0]
        return -jax.nn.log_softmax(logits)[jnp.arange(4), OWN].mean()

    model, train = jax.jit(step.fresh)(jax.random.key(1)), jax.jit(step.train)
    model = model._replace(parameters=theta, optimizer=jax.tree.map(jnp.zeros_like, model.optimizer))
    velocity = jax.tree.map(jnp.zeros_like, theta)
    for age in range(3):
        images = psi.stored["images"]
        if name == "dsa":
            keys = jax.random.split(jax.random.fold_in(key, age), 4)
            images = jnp.stack(
                [siamese.colour(jax.random.split(k)[1], x) for k, x in zip(keys, images, strict=True)]
            )
        gradient = gradient_of_loss(theta, images)
        velocity = jax.tree.map(lambda v, g: 0.5 * v + g, velocity, gradient)
        theta = jax.tree.map(lambda w, v: w - 0.2 * v, theta, velocity)
        model = train(model, psi, key)
    for ours, expected in zip(*map(jax.tree.leaves, (model.parameters, theta)), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("channels", [1, 3])
def test_images_with_the_same_key_are_changed_alike(channels):
    images = drawn.normal(0, 5, 8, 10, channels)
    keys = jax.random.split(jax.random.key(1), 40)
    seen = jax.jit(jax.vmap(lambda key: siamese.augment_alike(jnp.stack([key] * 5), images)))(keys)
    again = jax.jit(siamese.augment_alike)(keys[jnp.array([3, 3, 7, 3, 7])], images)
    np.testing.assert_allclose(again[2], seen[7, 2])
    np.testing.assert_allclose(again[3], seen[3, 3])
    assert len({float(value) for value in seen[:, 0].sum((1, 2, 3))}) > 20
    # All operations are affine in the image, so they commute with means whose weights have the sum 1.
    weights = jnp.array([0.5, -0.25, 0.25, 1.0, -0.5])
    mixed = jnp.einsum("i,ihwc->hwc", weights, images)
    alone = jax.jit(jax.vmap(lambda key: siamese.augment_alike(key[None], mixed[None])[0]))(keys)
    np.testing.assert_allclose(alone, jnp.einsum("i,kihwc->khwc", weights, seen), atol=1e-12)


def test_siamese_operations_have_the_published_ranges():
    image = jnp.ones((8, 8, 1))
    keys = jax.random.split(jax.random.key(2), 400)
    shifted = jax.jit(jax.vmap(lambda key: siamese.crop(key, image)))(keys).sum((1, 2, 3))
    assert set(np.asarray(shifted).tolist()) == {64, 56, 49}  # by at most one pixel of eight
    left = jax.jit(jax.vmap(lambda key: siamese.cutout(key, image)))(keys).sum((1, 2, 3))
    assert left.min() == 64 - 16
    assert left.max() < 64
    values = jax.jit(jax.vmap(lambda key: siamese.colour(key, image)))(keys).ravel()
    assert 0.5 <= values.min() < 0.52
    assert 1.48 < values.max() <= 1.5
    assert len(siamese.operations(1)) == 5
    assert len(siamese.operations(3)) == 6


def test_the_published_ranges_of_saturation_contrast_and_scale():
    keys = jax.random.split(jax.random.key(3), 600)

    def drawn_by(operation, image):
        return np.asarray(jax.jit(jax.vmap(lambda key: operation(key, image)))(keys))

    # Each pixel has the image's mean, so that both factors multiply the differences of its channels.
    colours = drawn_by(siamese.colour, jnp.array([[[0.5, 0.0, -0.5], [-0.5, 0.0, 0.5]]]))
    both = colours[:, 0, 0, 0] - colours[:, 0, 0, 2]
    assert 0 <= both.min() < 0.05
    assert 2.6 < both.max() <= 3  # twice by saturation, and by a half more by contrast
    # Grey pixels have no saturation.
    grey = drawn_by(siamese.colour, jnp.array([[[1.0, 1, 1], [0, 0, 0]]]))
    contrast = grey[:, 0, 0, 0] - grey[:, 0, 1, 0]
    assert 0.5 <= contrast.min() < 0.51
    assert 1.49 < contrast.max() <= 1.5
    # A ramp about the centre shows the factor of its axis.
    rows, columns = jnp.meshgrid(jnp.arange(33.0), jnp.arange(33.0), indexing="ij")
    ramps = drawn_by(siamese.scale, jnp.stack([rows, columns], -1))
    factors = np.stack(
        [(ramps[:, 20, 16, 0] - ramps[:, 12, 16, 0]) / 8, (ramps[:, 16, 20, 1] - ramps[:, 16, 12, 1]) / 8]
    )
    assert (factors.min(1) >= 1 / 1.2 - 1e-5).all()
    assert (factors.min(1) < 0.84).all()
    assert (factors.max(1) > 1.19).all()
    assert (factors.max(1) <= 1.2 + 1e-5).all()
    assert abs(np.corrcoef(factors)[0, 1]) < 0.15  # each axis has its own
