"""CIG, VIG and FRePo against their own slow oracle and finite differences, in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.bilevel import solvers
from rcig_cli.distillation.bilevel.meta_gradient import combine, meta_gradient, outer_gradient
from rcig_cli.distillation.bilevel.outer import LOSSES, judge
from rcig_cli.distillation.bilevel.student import Student
from rcig_cli.distillation.config import AlgorithmConfig
from rcig_cli.distillation.family import FAMILY
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot, training_set
from rcig_cli.distillation.step import make_step
from rcig_cli.networks.architectures import build_network
from tests.oracles import family as oracle
from tests.oracles.rcig import Problem

SHAPE, CLASSES, N, B, L2_RATE = (7, 7, 3), 3, 4, 5, 0.05


class Posed:
    """One small problem, as a member of the family and as its oracle see it."""

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
        self.algorithm, self.member = algorithm, FAMILY[algorithm]
        self.student = Student(self.member, network, self.theta_0)
        self.oracle = Problem(network.apply, self.theta_0, L2_RATE, True)
        images, labels = training_set(self.psi.images, self.psi.labels, flip=True)
        self.problem = self.student.pose(images, labels, L2_RATE * N, Platform(parts=3))
        self.at, self.unravel = oracle.flat_all(self.oracle)
        self.theta = 0.1 * normal(*self.at.shape)
        self.v = normal(*self.at.shape)

    def judged(self, theta):
        predict = self.student.predictor(theta, self.student.last_kernel(self.problem, theta))
        tau = self.psi.log_temperature
        return judge(predict, LOSSES[self.member.outer], tau, *self.real, Platform(parts=2, piece=2))

    def meta_gradient(self, theta, v):
        look = partial(self.student.look, theta, v, parts=3)
        return meta_gradient(
            self.member, self.problem, self.judged(theta), self.psi, look, flip=True, margin=False
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
        judged = posed.judged(theta)
        direct, implicit = posed.meta_gradient(theta, v)
        return {
            "inner": posed.problem.value_and_gradient(theta),
            "at zero": posed.problem.value_and_gradient_at_zero()[1],
            "product": posed.problem.hessian(theta)(v),
            "outer": (judged.value, outer_gradient(posed.member, posed.problem, judged)),
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
    (direct, implicit), judged = jax.jit(lambda: (posed.meta_gradient({}, {}), posed.judged({})))()
    assert_close(judged.value, value)
    assert_close(direct.images, expected.images)
    assert_close(direct.labels, expected.labels)
    assert all(float(jnp.abs(leaf).max()) == 0 for leaf in implicit)


@pytest.mark.parametrize("posed", ["cig", "vig", "frepo"], indirect=True)
@pytest.mark.parametrize("leaf", ["images", "labels"])
def test_the_meta_gradient_is_the_derivative_of_the_outer_loss_at_the_inner_minimum(posed, leaf):
    name, theta, v = posed.algorithm, None, None
    if posed.member.solves:
        theta = oracle.minimiser(name, posed.oracle, posed.psi, 0 * posed.theta)
        gradient = jax.jit(jax.grad(partial(oracle.inner_loss, name, posed.oracle, psi=posed.psi)))(theta)
        assert float(jnp.linalg.norm(gradient)) < 1e-12
        g = jax.jit(jax.grad(partial(oracle.outer_loss, name, posed.oracle)))(theta, posed.psi, *posed.real)
        v = jnp.linalg.solve(oracle.hessian(name, posed.oracle, theta, posed.psi), g)
    trees = ({}, {}) if theta is None else (posed.unravel(theta), posed.unravel(v))
    direct, implicit = jax.jit(posed.meta_gradient)(*trees)
    step = jax.random.normal(jax.random.key(1), getattr(posed.psi, leaf).shape, jnp.float64)

    outer_loss = jax.jit(lambda at, psi: oracle.outer_loss(name, posed.oracle, at, psi, *posed.real))

    def outer(by):
        psi = posed.psi._replace(**{leaf: getattr(posed.psi, leaf) + by * step})
        return outer_loss(None if theta is None else oracle.minimiser(name, posed.oracle, psi, theta), psi)

    # VIG's minimum moves along softplus' bends: a smaller step, and what rounding leaves of it.
    h, accuracy = (1e-6, 1e-5) if name == "vig" else (1e-5, 1e-6)
    numerical = (outer(h) - outer(-h)) / (2 * h)
    ours = jnp.vdot(getattr(direct, leaf) + getattr(implicit, leaf), step)
    np.testing.assert_allclose(ours, numerical, rtol=accuracy)


@pytest.mark.parametrize("posed", ["cig"], indirect=True)
def test_conjugate_gradients_solve_cigs_problem(posed):
    steps = 4 * posed.problem.labels.size
    found = jax.jit(lambda: solvers.inner_by_cg(posed.problem, steps, Platform()).value)()
    assert_close(found, oracle.minimiser("cig", posed.oracle, posed.psi, 0 * posed.theta))


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
    ("algorithm", "platform"),
    [("rcig", LOOPS), ("cig", UNROLLED), ("vig", LOOPS), ("vig", UNROLLED), ("frepo", UNROLLED)],
)
def test_a_step_lowers_the_outer_loss_it_is_about(algorithm, platform):
    config = AlgorithmConfig(
        algorithm=algorithm, n_inner=6, n_hessian=6, inner_rate_start=1e-3, hessian_rate_start=1e-2
    )
    network = build_network(
        "convnet", image_shape=SHAPE, classes=CLASSES, width=4, depth=2, activation="softplus"
    )
    step = make_step(network, config, platform)
    keys = jax.random.split(jax.random.key(0), 3)
    labels = centred_one_hot(jnp.arange(N) % CLASSES, CLASSES)
    learner = step.start(Distilled(jax.random.normal(keys[0], (N, *SHAPE)), labels, jnp.zeros(())))
    theta_0 = network.init(keys[1])
    real = jax.random.normal(keys[2], (9, *SHAPE)), jnp.arange(9) % CLASSES
    update, losses = jax.jit(step.update), []
    for _ in range(40):
        learner, info = update(learner, theta_0, *real)
        losses.append(float(info.loss))
        assert all(info.finite)
    assert losses[-1] < losses[0]
