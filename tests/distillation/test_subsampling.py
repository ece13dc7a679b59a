"""Gradients through a random subset of the distilled images are exact on average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.bilevel.implicit import Bilevel
from rcig_cli.distillation.bilevel.inner import LinearizedBody, LinearizedNetwork, OriginalNetwork
from rcig_cli.distillation.bilevel.linearized import body_of, linearize, with_body
from rcig_cli.distillation.bilevel.outer import platt, squared_error
from rcig_cli.distillation.bilevel.subsampling import choose, linearize_subsampled, through_subset
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.parametrizations import PARAMETRIZATIONS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.task import Task
from rcig_cli.networks.architectures import build_network
from tests import drawn

pytestmark = pytest.mark.usefixtures("float64")

SHAPE, CLASSES, N, SIZE = (7, 7, 3), 3, 11, 4
PLATFORMS = {"loops inside": Platform(), "unrolled, in parts": Platform(unroll=True, parts=2, piece=3)}
DRAWS = 400


@pytest.fixture(params=PLATFORMS)
def platform(request):
    return PLATFORMS[request.param]


def posed(norm="none"):
    network = build_network(
        "convnet",
        image_shape=SHAPE,
        classes=CLASSES,
        width=2,
        depth=2,
        activation="softplus",
        norm=norm,
    )
    labels = centred_one_hot(np.arange(N) % CLASSES, CLASSES, jnp.float64) + 0.05 * drawn.normal(
        2, N, CLASSES
    )
    psi = Distilled({"images": drawn.normal(1, N, *SHAPE)}, labels, jnp.asarray(0.2))
    real = drawn.normal(3, 9, *SHAPE), np.arange(9) % CLASSES
    return network, drawn.parameters(network), psi, real


def flat(tree):
    return jax.flatten_util.ravel_pytree(tree)[0]


def assert_close(ours, reference, relative):
    ours, reference = flat(ours), flat(reference)
    assert float(jnp.linalg.norm(reference)) > 1e-6
    assert float(jnp.linalg.norm(ours - reference) / jnp.linalg.norm(reference)) < relative


def assert_unbiased(estimate, exact):
    """The mean over many draws is the exact value, within four of its own standard errors."""
    keys = jax.random.split(jax.random.key(9), DRAWS)
    assert_mean_is(jax.jit(jax.vmap(lambda key: flat(estimate(key))))(keys), exact)


def assert_mean_is(estimates, exact):
    error = estimates.mean(0) - flat(exact)
    deviation = jnp.sqrt(((estimates - estimates.mean(0)) ** 2).sum(1).mean() / DRAWS)
    assert float(deviation) > 1e-9  # they do vary
    assert float(jnp.linalg.norm(error)) < 4 * float(deviation)


def test_products_in_chunks_are_the_products(platform):
    network, theta_0, psi, _ = posed()
    apply, at = with_body(network.apply, theta_0), body_of(theta_0)
    t = jax.tree.map(lambda leaf: drawn.normal(leaf.size, *leaf.shape), at)

    @jax.jit
    def both():
        whole = linearize(apply, at, psi.stored["images"])
        chunked = linearize_subsampled(apply, at, psi.stored["images"], SIZE, platform)
        return [(each.features, each.product(t), each.transposed(psi.labels)) for each in (chunked, whole)]

    for ours, expected in zip(*both(), strict=True):
        assert_close(ours, expected, 1e-12)


def test_a_drawn_product_is_the_transposed_one_on_average():
    network, theta_0, psi, _ = posed()

    def chunked():
        apply, at = with_body(network.apply, theta_0), body_of(theta_0)
        return linearize_subsampled(apply, at, psi.stored["images"], SIZE, Platform())

    exact = jax.jit(lambda: chunked().transposed(psi.labels))()
    assert_unbiased(lambda key: chunked().draw(key)(psi.labels), exact)


def test_a_gradient_through_a_subset_is_the_gradient_on_average():
    images = drawn.normal(0, N, 3)

    def see(rows):
        return jnp.sin(rows).sum(1)

    def loss(images, key):
        return (through_subset(see, images, key, SIZE, Platform()) ** 2).sum()

    value = jax.jit(loss)(images, jax.random.key(1))
    np.testing.assert_allclose(value, (see(images) ** 2).sum(), rtol=1e-12)  # forward: all of them
    exact = jax.jit(jax.grad(lambda images: (see(images) ** 2).sum()))(images)
    assert_unbiased(lambda key: jax.grad(loss)(images, key), exact)


def test_each_image_is_chosen_equally_often_and_never_twice():
    keys = jax.random.split(jax.random.key(3), 2000)
    chosen = np.asarray(jax.jit(jax.vmap(lambda key: choose(key, N, SIZE)))(keys))
    assert all(len(set(row.tolist())) == SIZE for row in chosen)
    counts = np.bincount(chosen.ravel(), minlength=N)
    assert abs(counts / 2000 - SIZE / N).max() < 4 * np.sqrt(SIZE / N / 2000)


POSED = {
    "rcig": (LinearizedBody, platt),
    "cig": (LinearizedNetwork, squared_error),
    "vig": (OriginalNetwork, squared_error),
}


def settings(algorithm, subset, **changes):
    wanted = {"solver": "adam", "inner_steps": 3, "hessian_steps": 3, "flip": False, "l2_rate": 0.05}
    return METHODS[algorithm].settings(**{**wanted, "backward_subset": subset, **changes})


def pose(network, algorithm, subset, platform, psi, theta_0, key=None, **changes):
    config = settings(algorithm, subset, **changes)
    return Bilevel(Task(network, platform), config, *POSED[algorithm]).at(psi, theta_0, key)


@pytest.mark.parametrize(
    "algorithm", ["rcig", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cig", "vig"))]
)
def test_the_meta_gradient_through_a_subset_is_the_meta_gradient_on_average(algorithm):
    network, theta_0, psi, real = posed()
    rate = jnp.asarray(1e-2)

    @jax.jit
    def exact():
        full = pose(network, algorithm, None, Platform(), psi, theta_0)
        theta = full.solve_inner(rate).value
        outer_loss = full.evaluate(theta, *real)
        v = full.solve_hessian(theta, outer_loss, rate).value
        return theta, v, full.gradients(theta, v, outer_loss)

    theta, v, expected = exact()

    def estimate(key):
        part = pose(network, algorithm, SIZE, Platform(), psi, theta_0, key)
        return part.gradients(theta, v, part.evaluate(theta, *real))

    assert_unbiased(estimate, expected)


@pytest.mark.slow
def test_frepos_gradient_through_a_subset_is_its_gradient_on_average():
    """In bases and mixing coefficients, from which the images are decoded."""
    network, theta_0, psi, real = posed()
    basis = PARAMETRIZATIONS["basis"]
    decoder = basis.make(basis.settings(bases=3, basis_size=4, mixtures=1), SHAPE, (N,))
    stored = decoder.encode(np.asarray(psi.stored["images"]))
    psi = psi._replace(stored=jax.tree.map(jnp.asarray, stored))

    def gradient(subset, key):
        config = METHODS["frepo"].settings(flip=False, l2_rate=0.05, backward_subset=subset)
        step = METHODS["frepo"].make(Task(network, Platform(), decoder=decoder), config)
        return step.propose(step.start(psi), theta_0, *real, key).gradient

    assert_unbiased(lambda key: gradient(SIZE, key), jax.jit(lambda: gradient(None, None))())


@pytest.mark.parametrize("algorithm", [pytest.param("rcig", marks=pytest.mark.slow), "vig"])
def test_each_gradient_of_a_solve_is_through_a_subset_what_it_is_on_average(algorithm):
    network, theta_0, psi, real = posed()

    def gradients(problem, theta, outer_loss):
        return {
            "inner gradient": problem.value_and_gradient(theta)[1],
            "Hessian product": problem.hessian(theta)(theta),
            "g_T": problem.outer_gradient(outer_loss),
        }

    @jax.jit
    def full():
        whole = pose(network, algorithm, None, Platform(), psi, theta_0)
        theta = jax.tree.map(lambda leaf: 0.1 * leaf, whole.solve_inner(jnp.asarray(1e-2)).value)
        outer_loss = whole.evaluate(theta, *real)
        return theta, outer_loss, gradients(whole.problem, theta, outer_loss)

    theta, outer_loss, exact = full()

    def estimate(key):
        part = pose(network, algorithm, SIZE, Platform(), psi, theta_0, key)
        found = gradients(part.problem.with_new_subset(part.keys.inner), theta, outer_loss)
        return {name: flat(each) for name, each in found.items()}

    estimates = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(9), DRAWS))
    if algorithm == "vig":  # its g_T does not depend on the distilled images
        assert_close(estimates.pop("g_T")[0], exact["g_T"], 1e-12)
    for name, each in estimates.items():
        assert_mean_is(each, exact[name])


@pytest.mark.parametrize("algorithm", [pytest.param("cig", marks=pytest.mark.slow), "vig"])
def test_a_subset_gives_the_same_gradient_in_loops_and_unrolled(algorithm):
    network, theta_0, psi, real = posed()

    def gradient(platform):
        chosen = settings(algorithm, SIZE, inner_steps=2, hessian_steps=2)
        step = METHODS[algorithm].make(Task(network, platform), chosen)
        return jax.jit(step.propose)(step.start(psi), theta_0, *real, jax.random.key(0)).gradient[:2]

    loops, unrolled = map(gradient, PLATFORMS.values())
    assert_close(loops, unrolled, 1e-9)


def test_conjugate_gradients_take_all_images_in_chunks():
    network, theta_0, psi, real = posed()
    platform = Platform()

    def found(subset):
        key, iterations = jax.random.key(0), {"inner_steps": 4, "hessian_steps": 4}
        problem = pose(network, "rcig", subset, platform, psi, theta_0, key, solver="cg", **iterations)
        inner = problem.solve_inner()
        outer_loss = problem.evaluate(inner.value, *real)
        return inner.value, problem._replace(keys=problem.keys._replace(outer=None)).solve_hessian(
            inner.value, outer_loss
        ).value

    assert_close(jax.jit(lambda: found(SIZE))(), jax.jit(lambda: found(None))(), 1e-9)
