"""CIG, VIG and FRePo against their own slow oracle and finite differences, in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.bilevel import solvers
from rcig_cli.distillation.bilevel.formulations import FixedBody, Layout, LinearizedNetwork, OriginalNetwork
from rcig_cli.distillation.bilevel.meta_gradient import combine, meta_gradient
from rcig_cli.distillation.bilevel.outer import evaluate_outer_loss, squared_error
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot, training_set
from rcig_cli.networks.architectures import build_network
from tests.oracles import family as oracle
from tests.oracles.rcig import Problem

SHAPE, CLASSES, N, B, L2_RATE = (7, 7, 3), 3, 4, 5, 0.05
FORMULATIONS = {"cig": LinearizedNetwork, "vig": OriginalNetwork, "frepo": FixedBody}


class Posed:
    """One small problem, as a method and as its oracle see it."""

    def __init__(self, algorithm):
        keys = iter(jax.random.split(jax.random.key(3), 40))
        normal = lambda *shape: jax.random.normal(next(keys), shape, jnp.float64)  # noqa: E731
        network = build_network(
            "convnet", image_shape=SHAPE, classes=CLASSES, width=2, depth=2, activation="softplus"
        )
        start = network.init(next(keys))
        self.theta_0 = jax.tree.map(lambda leaf: leaf + 0.1 * normal(*leaf.shape), start)
        labels = centred_one_hot(jnp.arange(N) % CLASSES, CLASSES, jnp.float64) + 0.05 * normal(N, CLASSES)
        self.psi = Distilled(normal(N, *SHAPE), labels, jnp.asarray(0.3))
        self.real = normal(B, *SHAPE), jnp.arange(B) % CLASSES
        self.algorithm = algorithm
        self.formulation = FORMULATIONS[algorithm](network, self.theta_0, Layout(Platform(parts=3)))
        self.oracle = Problem(network.apply, self.theta_0, L2_RATE, True)
        images, labels = training_set(self.psi.images, self.psi.labels, flip=True)
        self.problem = self.formulation.problem(images, labels, L2_RATE * N)
        self.at, self.unravel = oracle.flat_all(self.oracle)
        self.theta = 0.1 * normal(*self.at.shape)
        self.v = normal(*self.at.shape)

    def outer_loss(self, theta):
        of_theta = () if self.algorithm == "frepo" else (theta,)
        predict = self.formulation.predictor(self.problem, *of_theta)
        tau = self.psi.log_temperature
        return evaluate_outer_loss(predict, squared_error, tau, *self.real, Platform(parts=2, piece=2))

    def meta_gradient(self, theta, v):
        formulation, problem, outer = self.formulation, self.problem, self.outer_loss(theta)
        frepo = self.algorithm == "frepo"
        return meta_gradient(
            self.psi,
            outer,
            formulation.outputs if frepo else partial(formulation.outputs, theta, v),
            direct=partial(formulation.direct_gradient, problem, outer),
            implicit=(lambda _: None) if frepo else partial(formulation.implicit_gradient, problem),
            flip=True,
            margin=False,
        )


@pytest.fixture
def posed(request, float64):
    return Posed(request.param)


def flat(tree):
    return jax.flatten_util.ravel_pytree(tree)[0]


def assert_close(ours, reference, relative=1e-8):
    ours, reference = flat(ours), flat(reference)
    assert float(jnp.linalg.norm(reference)) > 1e-6
    assert float(jnp.linalg.norm(ours - reference) / jnp.linalg.norm(reference)) < relative


@pytest.mark.parametrize("posed", ["cig", "vig"], indirect=True)
def test_each_derivative_is_the_oracles(posed):
    name, theta, v = posed.algorithm, posed.unravel(posed.theta), posed.unravel(posed.v)

    @jax.jit
    def expected(theta, v):
        loss = partial(oracle.inner_loss, name, posed.oracle, psi=posed.psi)
        outer = partial(oracle.outer_loss, name, posed.oracle)
        return {
            "inner": jax.value_and_grad(loss)(theta),
            "at zero": jax.grad(loss)(0 * theta),
            "product": oracle.hessian(name, posed.oracle, theta, posed.psi) @ v,
            "outer": jax.value_and_grad(outer)(theta, posed.psi, *posed.real),
            "implicit": oracle.implicit(name, posed.oracle, theta, v, posed.psi)[:2],
        }

    @jax.jit
    def ours(theta, v):
        outer = posed.outer_loss(theta)
        direct, implicit = posed.meta_gradient(theta, v)
        return {
            "inner": posed.problem.value_and_gradient(theta),
            "at zero": posed.problem.value_and_gradient_at_zero()[1],
            "product": posed.problem.hessian(theta)(v),
            "outer": (outer.value, posed.formulation.outer_gradient(posed.problem, outer)),
            "implicit": implicit[:2],
        }, direct

    references = expected(posed.theta, posed.v)
    found, direct = ours(theta, v)
    for key, reference in references.items():
        assert_close(found[key], reference)
    assert all(float(jnp.abs(leaf).max()) == 0 for leaf in direct)


@pytest.mark.parametrize("posed", ["frepo"], indirect=True)
def test_frepo_has_a_direct_gradient_alone(posed):
    outer = partial(oracle.outer_loss, "frepo", posed.oracle, None)
    value, expected = jax.jit(jax.value_and_grad(outer))(posed.psi, *posed.real)
    (direct, implicit), outer = jax.jit(lambda: (posed.meta_gradient({}, {}), posed.outer_loss({})))()
    assert_close(outer.value, value)
    assert_close(direct.images, expected.images)
    assert_close(direct.labels, expected.labels)
    assert all(float(jnp.abs(leaf).max()) == 0 for leaf in implicit)


@pytest.mark.parametrize("posed", ["cig", "vig", "frepo"], indirect=True)
def test_the_meta_gradient_is_the_derivative_of_the_outer_loss_at_the_inner_minimum(posed):
    name, theta, v = posed.algorithm, None, None
    if name != "frepo":
        minimizer = oracle.make_minimizer(name, posed.oracle)
        theta = minimizer(posed.psi, 0 * posed.theta)
        gradient = jax.jit(jax.grad(partial(oracle.inner_loss, name, posed.oracle, psi=posed.psi)))(theta)
        assert float(jnp.linalg.norm(gradient)) < 1e-12
        g = jax.jit(jax.grad(partial(oracle.outer_loss, name, posed.oracle)))(theta, posed.psi, *posed.real)
        v = jnp.linalg.solve(oracle.hessian(name, posed.oracle, theta, posed.psi), g)
    trees = ({}, {}) if theta is None else (posed.unravel(theta), posed.unravel(v))
    direct, implicit = jax.jit(posed.meta_gradient)(*trees)
    outer_loss = jax.jit(lambda at, psi: oracle.outer_loss(name, posed.oracle, at, psi, *posed.real))

    # VIG's minimum is not linear in psi: a smaller step, and a larger error by rounding.
    h, accuracy = (1e-6, 1e-5) if name == "vig" else (1e-5, 1e-6)
    for leaf in ("images", "labels"):
        step = jax.random.normal(jax.random.key(1), getattr(posed.psi, leaf).shape, jnp.float64)

        def outer(by, leaf=leaf, step=step):
            psi = posed.psi._replace(**{leaf: getattr(posed.psi, leaf) + by * step})
            at = None if theta is None else minimizer(psi, theta)
            return outer_loss(at, psi)

        numerical = (outer(h) - outer(-h)) / (2 * h)
        ours = jnp.vdot(getattr(direct, leaf) + getattr(implicit, leaf), step)
        np.testing.assert_allclose(ours, numerical, rtol=accuracy)


@pytest.mark.parametrize("posed", ["cig"], indirect=True)
def test_conjugate_gradients_solve_cigs_problem(posed):
    steps = 4 * posed.problem.labels.size
    found = jax.jit(lambda: solvers.inner_by_cg(posed.problem, steps, Platform()).value)()
    assert_close(found, oracle.make_minimizer("cig", posed.oracle)(posed.psi, 0 * posed.theta))


@pytest.mark.parametrize("posed", ["vig"], indirect=True)
def test_adam_approaches_a_minimum_of_vigs_problem(posed):
    adam = jax.jit(lambda rate: solvers.inner_by_adam(posed.problem, rate, 1500, Platform()))
    found = adam(jnp.asarray(3e-3))
    loss = partial(oracle.inner_loss, "vig", posed.oracle, psi=posed.psi)
    assert float(jnp.linalg.norm(jax.grad(loss)(flat(found.value)))) < 0.02 * float(
        jnp.linalg.norm(jax.grad(loss)(0 * posed.theta))
    )


def test_without_a_direct_gradient_the_implicit_one_is_not_limited():
    nothing = Distilled(jnp.zeros(2), jnp.zeros(1), jnp.zeros(()))
    implicit = Distilled(jnp.array([1.0, 2.0]), jnp.array([jnp.inf]), jnp.zeros(()))
    combined = combine(nothing, implicit, limit=False)
    np.testing.assert_allclose(combined.images, [1.0, 2.0])
    assert np.isfinite(combined.labels).all()


LOOPS, UNROLLED = Platform(), Platform(unroll=True, parts=2, piece=3)


@pytest.mark.parametrize(
    ("algorithm", "platform"), [("rcig", LOOPS), ("cig", UNROLLED), ("vig", LOOPS), ("frepo", UNROLLED)]
)
def test_steps_lower_the_outer_loss(algorithm, platform):
    solves = {"inner_steps": 6, "hessian_steps": 6, "inner_rate_start": 1e-3, "hessian_rate_start": 1e-2}
    method = METHODS[algorithm]
    settings = method.settings(**{name: value for name, value in solves.items() if name in method.declared})
    network = build_network(
        "convnet", image_shape=SHAPE, classes=CLASSES, width=4, depth=2, activation="softplus"
    )
    step = method.make(network, settings, platform)
    keys = jax.random.split(jax.random.key(0), 3)
    labels = centred_one_hot(jnp.arange(N) % CLASSES, CLASSES)
    learner = step.start(Distilled(jax.random.normal(keys[0], (N, *SHAPE)), labels, jnp.zeros(())))
    theta_0 = network.init(keys[1])
    real = jax.random.normal(keys[2], (9, *SHAPE)), jnp.arange(9) % CLASSES
    update, losses = jax.jit(step.update), []
    for _ in range(40):
        learner, info = update(learner, theta_0, *real)
        losses.append(float(info.metrics["loss"]))
        assert all(info.finite)
    assert losses[-1] < losses[0]
