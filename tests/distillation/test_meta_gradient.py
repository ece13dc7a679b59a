"""Every derivative of RCIG, CIG and VIG against definitions and finite differences, in float64."""

from functools import cache, cached_property, partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.bilevel import solvers
from rcig_cli.distillation.bilevel.inner import Layout, LinearizedBody, LinearizedNetwork, OriginalNetwork
from rcig_cli.distillation.bilevel.meta_gradient import combine, meta_gradient
from rcig_cli.distillation.bilevel.outer import evaluate_outer_loss, platt, squared_error
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.parametrizations import PARAMETRIZATIONS, Decoder
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot, training_set
from rcig_cli.distillation.task import Task
from rcig_cli.networks.architectures import build_network
from tests import drawn
from tests.oracles import definitions as oracle

pytestmark = pytest.mark.usefixtures("float64")

CLASSES = 3
METHOD = {
    "rcig": (LinearizedBody, platt),
    "cig": (LinearizedNetwork, squared_error),
    "vig": (OriginalNetwork, squared_error),
}
# n is not b, C is 3, sizes are odd; the grey one has a padded first convolution.
CASES = {
    "rcig, rgb flipped in parts": {"algorithm": "rcig", "shape": (9, 9, 3), "n": 3, "b": 7, "parts": 3},
    "rcig, in stages": {"algorithm": "rcig", "shape": (9, 9, 3), "n": 3, "b": 7, "parts": 2, "staged": True},
    "rcig, basis": {
        **{"algorithm": "rcig", "shape": (9, 7, 3), "n": 4, "b": 7, "parts": 2},
        "basis": {"bases": 3, "basis_size": 4, "mixtures": 2},
    },
    "rcig, grey": {"algorithm": "rcig", "shape": (7, 7, 1), "n": 5, "b": 4, "flip": False},
    "cig": {"algorithm": "cig", "shape": (7, 7, 3), "n": 4, "b": 5, "parts": 3},
    "vig": {"algorithm": "vig", "shape": (7, 7, 3), "n": 4, "b": 5, "parts": 3},
}


class Setting:
    """One small distillation problem, for a method and for its oracle."""

    def __init__(self, algorithm, shape, n, b, *, parts=1, flip=True, staged=False, basis=None):
        keys = iter(jax.random.split(jax.random.key(7), 40))
        normal = lambda *shape: jax.random.normal(next(keys), shape, jnp.float64)  # noqa: E731
        self.algorithm, self.parts = algorithm, parts
        self.inner_problem, self.loss = METHOD[algorithm]
        self.settings = METHODS[algorithm].settings(flip=flip, l2_rate=0.03)
        self.network = build_network(
            "convnet",
            image_shape=shape,
            classes=CLASSES,
            width=2,
            depth=3 if staged else 2,
            activation="softplus",
        )
        self.theta_0 = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float64) + 0.1 * normal(*leaf.shape),
            jax.jit(self.network.init)(next(keys)),
        )
        self.layout = Layout(Platform(parts=parts), staged=staged)
        decoder, stored = Decoder(), {"images": (n, *shape)}
        if basis is not None:
            record, counts = PARAMETRIZATIONS["basis"], (n // basis["mixtures"],)
            made_for = record.settings(**basis), shape, counts
            decoder, stored = record.make(*made_for), record.shapes(*made_for)
        self.task = Task(self.network, Platform(parts=parts), decoder=decoder)
        labels = centred_one_hot(np.arange(n) % CLASSES, CLASSES, jnp.float64)
        labels += 0.05 * normal(n, CLASSES)
        arrays = {name: normal(*size) for name, size in stored.items()}
        self.psi = Distilled(arrays, labels, jnp.asarray(0.3))
        self.real = normal(b, *shape), np.arange(b) % CLASSES
        self.oracle = oracle.Problem(
            algorithm, self.network.apply, self.theta_0, self.settings.l2_rate, flip, decoder.decode
        )
        at, self.unravel = oracle.solved_for(self.oracle)
        self.theta, self.v = 0.1 * normal(*at.shape), normal(*at.shape)

    def problem(self):
        images, labels = training_set(
            self.task.decode(self.psi.stored), self.psi.labels, flip=self.settings.flip
        )
        lam = self.settings.l2_rate * self.psi.labels.shape[0]
        return self.inner_problem.pose(self.network, self.theta_0, images, labels, lam, self.layout)

    def outer_loss(self, theta, problem):
        platform = Platform(parts=self.parts, piece=2 if self.parts > 1 else None)
        tau = self.psi.log_temperature
        return evaluate_outer_loss(problem.predictor(theta), self.loss, tau, *self.real, platform)

    def gradients(self, theta, v, problem):
        outer = self.outer_loss(theta, problem)
        return meta_gradient(
            self.psi,
            self.task,
            self.settings,
            outer,
            partial(problem.outputs, theta, v),
            direct=partial(problem.direct_gradient, outer),
            implicit=problem.implicit_gradient,
        )

    @cached_property
    def ours(self):
        """Every derivative at an arbitrary theta and v."""

        @jax.jit
        def derivatives(theta, v):
            problem = self.problem()
            outer = self.outer_loss(theta, problem)
            direct, implicit = self.gradients(theta, v, problem)
            return {
                "inner loss and gradient": problem.value_and_gradient(theta),
                "inner loss and gradient at 0": problem.value_and_gradient_at_zero(),
                "Hessian product": problem.hessian(theta)(v),
                "outer loss and g_T": (outer.value, problem.outer_gradient(outer)),
                "direct gradient": direct,
                "implicit gradient": implicit,
            }

        return derivatives(self.unravel(self.theta), self.unravel(self.v))

    @cached_property
    def oracles(self):
        """The same from the definitions."""

        @jax.jit
        def derivatives(theta, v):
            inner = jax.value_and_grad(oracle.inner_loss, 1)
            outer = jax.value_and_grad(oracle.outer_loss, 1)
            H = oracle.hessian(self.oracle, theta, self.psi)
            return {
                "Hessian": H,
                "inner loss and gradient": inner(self.oracle, theta, self.psi),
                "inner loss and gradient at 0": inner(self.oracle, 0 * theta, self.psi),
                "Hessian product": H @ v,
                "outer loss and g_T": outer(self.oracle, theta, self.psi, *self.real, False),
                "direct gradient": oracle.direct(self.oracle, theta, self.psi, self.real, True),
                "implicit gradient": oracle.implicit(self.oracle, theta, v, self.psi),
            }

        return derivatives(self.theta, self.v)

    @cached_property
    def minimizer(self):
        """``psi -> theta*``, by the oracle."""
        return oracle.make_minimizer(self.oracle)

    @cached_property
    def outer_loss_with_margin(self):
        """``(theta, psi) ->`` the outer loss, by the oracle."""
        return jax.jit(lambda theta, psi: oracle.outer_loss(self.oracle, theta, psi, *self.real, True))

    @cached_property
    def solved(self):
        """theta, g_T and v, exact, and the meta-gradient there; by conjugate gradients run to the end."""
        minimum = self.unravel(self.minimizer(self.psi))

        @jax.jit
        def solve():
            problem = self.problem()
            steps, theta = 4 * problem.labels.size, minimum
            if self.algorithm != "vig":
                theta = solvers.inner_by_cg(problem, steps, Platform()).value
            g = problem.outer_gradient(self.outer_loss(theta, problem))
            if self.algorithm == "vig":
                v = self.unravel(
                    jnp.linalg.solve(oracle.hessian(self.oracle, flat(theta), self.psi), flat(g))
                )
            else:
                v = solvers.hessian_by_cg(problem, g, steps, Platform()).value
            return theta, g, v, self.gradients(theta, v, problem)

        return solve()


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


@pytest.mark.parametrize(
    "what",
    ["inner loss and gradient", "inner loss and gradient at 0", "Hessian product", "outer loss and g_T"],
)
def test_each_derivative_of_the_losses_is_the_oracles(setting, what):
    ours, reference = setting.ours[what], setting.oracles[what]
    if isinstance(reference, tuple):
        assert_close(ours[0], reference[0])
        ours, reference = ours[1], reference[1]
    assert_close(ours, reference)


# A leaf of psi that does not enter has gradient 0: all but the label margin in the direct one of CIG and VIG.
@pytest.mark.parametrize("what", ["direct gradient", "implicit gradient"])
def test_both_gradients_in_psi_are_the_oracles(setting, what):
    both = setting.ours[what], setting.oracles[what]
    for ours, reference in zip(*map(jax.tree.leaves, both), strict=True):
        if not reference.any():
            assert not ours.any()
        else:
            assert_close(ours, reference)


@pytest.mark.parametrize(
    "name",
    [
        *("rcig, grey", "cig"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("rcig, rgb flipped in parts", "rcig, in stages", "rcig, basis")
        ),
    ],
)
def test_conjugate_gradients_run_to_the_end_equal_the_dense_solves(name):
    setting = setting_for(name)
    theta, g, v, _ = setting.solved
    assert_close(theta, setting.minimizer(setting.psi))
    assert_close(v, jnp.linalg.solve(setting.oracles["Hessian"], flat(g)))


def test_no_iteration_of_conjugate_gradients_makes_a_loss_larger():
    setting = setting_for("rcig, grey")
    _, g, _, _ = setting.solved

    def losses_after(steps):
        problem = setting.problem()
        theta = solvers.inner_by_cg(problem, steps, Platform()).value
        v = solvers.hessian_by_cg(problem, g, steps, Platform()).value
        Hv = problem.hessian(theta)(v)
        return problem.value_and_gradient(theta)[0], flat(v) @ (flat(Hv) - 2 * flat(g))

    losses_after = jax.jit(losses_after, static_argnums=0)
    at_zero = setting.ours["inner loss and gradient at 0"][0], 0.0
    losses = [at_zero, *map(losses_after, range(1, 8))]
    for of_one_solve in zip(*losses, strict=True):
        assert all(after < before for before, after in pairwise(map(float, of_one_solve)))


def test_adam_approaches_the_dense_solves():
    setting = setting_for("rcig, grey")
    _, g, v, _ = setting.solved

    @jax.jit
    def solve(inner_rate, hessian_rate):
        problem = setting.problem()
        inner = solvers.inner_by_adam(problem, inner_rate, 4000, Platform())
        return inner, solvers.hessian_by_adam(problem, (None, g), hessian_rate, 4000, Platform())

    inner, found = solve(jnp.asarray(3e-3), jnp.abs(flat(v)).max() / 1000)
    assert_close(inner.value, setting.minimizer(setting.psi), 0.02)
    assert_close(found.value, v, 0.02)


def test_adam_approaches_a_minimum_of_vigs_problem():
    setting = setting_for("vig")
    adam = jax.jit(lambda rate: solvers.inner_by_adam(setting.problem(), rate, 1500, Platform()).value)
    gradient = jax.jit(jax.grad(lambda theta: oracle.inner_loss(setting.oracle, theta, setting.psi)))
    first, last = gradient(0 * setting.theta), gradient(flat(adam(jnp.asarray(3e-3))))
    assert float(jnp.linalg.norm(last)) < 0.02 * float(jnp.linalg.norm(first))


# The layouts that compute the same derivatives in another way are compared with the oracles above.
@pytest.mark.parametrize("leaf", ["stored", "labels", "log_temperature"])
@pytest.mark.parametrize(
    "name",
    [
        *("rcig, rgb flipped in parts", "rcig, grey", "cig", "vig"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("rcig, in stages", "rcig, basis")),
    ],
)
def test_the_whole_meta_gradient_against_finite_differences(name, leaf):
    """With both solves exact, direct + implicit is the derivative of the outer loss at the inner minimum."""
    setting = setting_for(name)
    direct, implicit = setting.solved[3]
    start, unravel = jax.flatten_util.ravel_pytree(getattr(setting.psi, leaf))
    step = drawn.normal(1, *start.shape)

    def outer(by):
        psi = setting.psi._replace(**{leaf: unravel(start + by * step)})
        return setting.outer_loss_with_margin(setting.minimizer(psi), psi)

    # The error of the difference falls with the square of h, down to rounding, which is larger for VIG.
    h, accuracy = (1e-6, 1e-5) if setting.algorithm == "vig" else (2e-6, 1e-6)
    numerical = (outer(h) - outer(-h)) / (2 * h)
    ours = jnp.vdot(flat(getattr(direct, leaf)) + flat(getattr(implicit, leaf)), step)
    np.testing.assert_allclose(ours, numerical, rtol=accuracy)


def test_combine_scales_each_leaf_of_the_implicit_gradient_down_to_the_direct_one():
    direct = Distilled({"images": jnp.array([3.0, 4.0])}, jnp.array([1.0]), jnp.array(2.0))
    implicit = Distilled({"images": jnp.array([0.0, 50.0])}, jnp.array([jnp.nan]), jnp.array(0.5))
    combined = combine(direct, implicit, limit=True)
    np.testing.assert_allclose(combined.stored["images"], [3.0, 9.0])  # norm 50 brought down to 5
    np.testing.assert_allclose(combined.labels, [1.0])  # what is not a number counts as 0
    np.testing.assert_allclose(combined.log_temperature, 2.5)  # smaller already: as it is
    np.testing.assert_allclose(combine(direct, implicit, limit=False).stored["images"], [3.0, 54.0])
