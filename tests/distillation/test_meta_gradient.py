"""Every derivative of an outer step against the slow oracle and against finite differences, in float64."""

from functools import cache, cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.bilevel import solvers
from rcig_cli.distillation.bilevel.formulations import Layout, LinearizedBody
from rcig_cli.distillation.bilevel.linearized import body_of
from rcig_cli.distillation.bilevel.meta_gradient import combine, meta_gradient
from rcig_cli.distillation.bilevel.outer import evaluate_outer_loss, platt
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot, training_set
from rcig_cli.networks.architectures import build_network
from tests.oracles import rcig as oracle

pytestmark = pytest.mark.usefixtures("float64")

# n is not b, C is 3, sizes are odd; the grey one has a padded first convolution.
CASES = {
    "rgb flipped in parts": {"shape": (9, 9, 3), "n": 3, "b": 7, "classes": 3, "flip": True, "parts": 3},
    "rgb in stages": {
        **{"shape": (9, 9, 3), "n": 3, "b": 7, "classes": 3, "flip": True, "parts": 2},
        "staged_at_depth": 3,
    },
    "grey": {"shape": (7, 7, 1), "n": 5, "b": 4, "classes": 3, "flip": False, "parts": 1},
}


class Setting:
    """One small distillation problem, posed both ways."""

    def __init__(self, shape, n, b, classes, flip, parts, staged_at_depth=None):
        keys = iter(jax.random.split(jax.random.key(7), 40))
        normal = lambda *shape: jax.random.normal(next(keys), shape, jnp.float64)  # noqa: E731
        network = build_network(
            "convnet",
            image_shape=shape,
            classes=classes,
            width=2,
            depth=staged_at_depth or 2,
            activation="softplus",
        )
        self.staged = staged_at_depth is not None
        self.apply = network.apply
        self.theta_0 = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float64) + 0.1 * normal(*leaf.shape), network.init(next(keys))
        )
        layout = Layout(Platform(parts=parts), staged=self.staged)
        self.formulation = LinearizedBody(network, self.theta_0, layout)
        labels = centred_one_hot(jnp.arange(n) % classes, classes, jnp.float64) + 0.05 * normal(n, classes)
        self.psi = Distilled(normal(n, *shape), labels, jnp.asarray(0.3))
        self.real = normal(b, *shape), jnp.arange(b) % classes
        self.flip, self.parts, self.l2_rate = flip, parts, 0.01
        self.oracle = oracle.Problem(self.apply, self.theta_0, self.l2_rate, flip)
        self.theta_B = jax.tree.map(lambda leaf: 0.1 * normal(*leaf.shape), body_of(self.theta_0))
        self.v = jax.tree.map(lambda leaf: normal(*leaf.shape), body_of(self.theta_0))

    def problem(self):
        images, labels = training_set(self.psi.images, self.psi.labels, flip=self.flip)
        lam = self.l2_rate * self.psi.images.shape[0]
        return self.formulation.problem(images, labels, lam)

    def outer_loss(self, theta_B, problem):
        predict, tau = self.formulation.predictor(problem, theta_B), self.psi.log_temperature
        platform = Platform(parts=self.parts, piece=2 if self.parts > 1 else None)
        return evaluate_outer_loss(predict, platt, tau, *self.real, platform)

    def gradients(self, theta_B, v, problem):
        outer = self.outer_loss(theta_B, problem)
        return meta_gradient(
            self.psi,
            outer,
            partial(self.formulation.outputs, theta_B, v),
            direct=partial(self.formulation.direct_gradient, problem, outer),
            implicit=partial(self.formulation.implicit_gradient, problem),
            flip=self.flip,
            margin=True,
        )

    @cached_property
    def ours(self):
        """Every derivative at an arbitrary theta_B and v."""

        @jax.jit
        def derivatives(theta_B, v):
            problem = self.problem()
            outer = self.outer_loss(theta_B, problem)
            direct, implicit = self.gradients(theta_B, v, problem)
            return {
                "inner loss and gradient": problem.value_and_gradient(theta_B),
                "Hessian product": problem.hessian(theta_B)(v),
                "outer loss": outer.value,
                "g_T": self.formulation.outer_gradient(problem, outer),
                "direct": direct,
                "implicit": implicit,
            }

        return derivatives(self.theta_B, self.v)

    @cached_property
    def oracles(self):
        """The same from the definitions."""

        @jax.jit
        def derivatives(theta_B, v):
            outer = jax.value_and_grad(oracle.outer_loss, 1)
            value, g = outer(self.oracle, theta_B, self.psi, *self.real, False)
            return {
                "inner loss and gradient": jax.value_and_grad(oracle.inner_loss, 1)(
                    self.oracle, theta_B, self.psi
                ),
                "Hessian product": oracle.hessian(self.oracle, self.psi) @ v,
                "outer loss": value,
                "g_T": g,
                "direct": oracle.direct(self.oracle, theta_B, self.psi, self.real, True),
                "implicit": oracle.implicit(self.oracle, theta_B, v, self.psi),
            }

        return derivatives(flat(self.theta_B), flat(self.v))

    @cached_property
    def solved(self):
        """theta_B, g_T and v by conjugate gradients run to the end, and the meta-gradient there."""

        @jax.jit
        def solve():
            problem = self.problem()
            steps = 2 * problem.labels.size
            theta_B = solvers.inner_by_cg(problem, steps, Platform()).value
            g = self.formulation.outer_gradient(problem, self.outer_loss(theta_B, problem))
            v = solvers.hessian_by_cg(problem, g, steps, Platform()).value
            return theta_B, g, v, self.gradients(theta_B, v, problem)

        return solve()

    @cached_property
    def minimizer(self):
        """theta_B* by the oracle."""
        return oracle.minimizer(self.oracle, self.psi)

    @cached_property
    def outer_at_the_minimum(self):
        """``psi -> L_out(theta_B*(psi), psi)``, by the oracle."""

        @jax.jit
        def outer(psi):
            theta_B = oracle.minimizer(self.oracle, psi)
            return oracle.outer_loss(self.oracle, theta_B, psi, *self.real, True)

        return outer


@cache
def setting_for(name):
    """Return the problem of a case; all tests share it, since compiling it takes most of the time."""
    return Setting(**CASES[name])


@pytest.fixture(params=CASES)
def setting(request):
    return setting_for(request.param)


def flat(tree):
    return jax.flatten_util.ravel_pytree(tree)[0]


def assert_close(ours, reference, relative=1e-8):
    ours, reference = flat(ours), flat(reference)
    assert float(jnp.linalg.norm(reference)) > 1e-6
    assert float(jnp.linalg.norm(ours - reference) / jnp.linalg.norm(reference)) < relative


@pytest.mark.parametrize("what", ["inner loss and gradient", "Hessian product", "outer loss", "g_T"])
def test_each_derivative_of_the_losses_is_the_oracles(setting, what):
    ours, reference = setting.ours[what], setting.oracles[what]
    if isinstance(reference, tuple):
        assert_close(ours[0], reference[0])
        assert_close(ours[1], reference[1])
    else:
        assert_close(ours, reference)


def test_direct_gradient(setting):
    for ours, reference in zip(setting.ours["direct"], setting.oracles["direct"], strict=True):
        assert_close(ours, reference)


def test_implicit_gradient(setting):
    implicit, expected = setting.ours["implicit"], setting.oracles["implicit"]
    assert_close(implicit.images, expected.images)
    assert_close(implicit.labels, expected.labels)
    assert float(implicit.log_temperature) == 0 == float(expected.log_temperature)


def test_conjugate_gradients_run_to_the_end_equal_the_dense_solves(setting):
    theta_B, g, v, _ = setting.solved
    assert_close(theta_B, setting.minimizer)
    assert_close(v, oracle.inverse_hessian_product(setting.oracle, setting.psi, flat(g)))


def test_adam_approaches_the_dense_solves():
    setting = setting_for("grey")
    platform = Platform(unroll=False)
    _, g, _, _ = setting.solved
    exact = oracle.inverse_hessian_product(setting.oracle, setting.psi, flat(g))

    @jax.jit
    def solve(inner_rate, hessian_rate):
        problem = setting.problem()
        inner = solvers.inner_by_adam(problem, inner_rate, 4000, platform)
        return inner, solvers.hessian_by_adam(problem, (None, g), hessian_rate, 4000, platform)

    inner, v = solve(jnp.asarray(3e-3), jnp.abs(exact).max() / 1000)
    assert_close(inner.value, setting.minimizer, 0.02)
    assert_close(v.value, exact, 0.02)


@pytest.mark.parametrize("leaf", ["images", "labels", "log_temperature"])
def test_the_whole_meta_gradient_against_finite_differences(setting, leaf):
    """With both solves exact, direct + implicit is the derivative of the outer loss at the inner minimum."""
    direct, implicit = setting.solved[3]
    step = jax.random.normal(jax.random.key(1), getattr(setting.psi, leaf).shape, jnp.float64)

    def outer(by):
        return setting.outer_at_the_minimum(
            setting.psi._replace(**{leaf: getattr(setting.psi, leaf) + by * step})
        )

    h = 1e-5
    numerical = (outer(h) - outer(-h)) / (2 * h)
    ours = jnp.vdot(getattr(direct, leaf) + getattr(implicit, leaf), step)
    np.testing.assert_allclose(ours, numerical, rtol=1e-6)


def test_combine_scales_each_leaf_of_the_implicit_gradient_down_to_the_direct_one():
    direct = Distilled(jnp.array([3.0, 4.0]), jnp.array([1.0]), jnp.array(2.0))
    implicit = Distilled(jnp.array([0.0, 50.0]), jnp.array([jnp.nan]), jnp.array(0.5))
    combined = combine(direct, implicit)
    np.testing.assert_allclose(combined.images, [3.0, 9.0])  # norm 50 brought down to 5
    np.testing.assert_allclose(combined.labels, [1.0])  # what is not a number counts as 0
    np.testing.assert_allclose(combined.log_temperature, 2.5)  # smaller already: as it is
