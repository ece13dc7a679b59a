"""A whole outer step against the same step written the plain way, in float64."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rcig_cli.distillation.bilevel.meta_gradient import combine
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.step import Proposal
from rcig_cli.distillation.task import Task
from rcig_cli.networks.architectures import build_network
from tests import drawn
from tests.oracles import definitions as oracle
from tests.oracles.plain_step import PlainConvNet, make_plain_update, plain_apply

CLASSES, SHAPE, RATES = 3, (8, 8, 3), (1e-3, 2e-3)
PLATFORMS = {"loops inside": Platform(), "unrolled, in parts": Platform(unroll=True, parts=2, piece=3)}


def posed(platform, dtype=jnp.float32, depth=2, steps=1, **settings):
    wanted = {"solver": "adam", "inner_steps": 3, "hessian_steps": 2, "pool_size": 3, **settings}
    config = METHODS["rcig"].settings(**wanted)
    network = build_network(
        "convnet", image_shape=SHAPE, classes=CLASSES, width=2, depth=depth, activation="softplus"
    )
    step = METHODS["rcig"].make(Task(network, platform, steps), config)
    labels = centred_one_hot(np.arange(5) % CLASSES, CLASSES, dtype)
    psi = Distilled({"images": drawn.normal(0, 5, *SHAPE, dtype=dtype)}, labels, jnp.zeros(()))
    theta_0 = drawn.parameters(network, dtype)
    real = drawn.normal(2, 7, *SHAPE, dtype=dtype), np.arange(7) % CLASSES
    return config, step, psi, theta_0, real


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("layout", "depth"), [("loops inside", 2), ("unrolled, in parts", 3)])
def test_a_step_with_adam_is_the_plain_step(layout, depth):
    config, step, psi, theta_0, real = posed(PLATFORMS[layout], jnp.float64, depth)
    learner = step.start(psi)
    rates = learner.extra
    inner = rates.inner._replace(value=jnp.asarray(RATES[0]))
    hessian = rates.hessian._replace(value=jnp.asarray(RATES[1]))
    learner = learner._replace(extra=rates._replace(inner=inner, hessian=hessian))
    moved, info = jax.jit(step.update)(learner, theta_0, *real)
    plain = make_plain_update(plain_apply(PlainConvNet(depth, 2)), config)
    loss, direct, implicit = jax.jit(plain)(psi, jnp.array(RATES), theta_0, *real)
    direct, implicit = Distilled(*direct), Distilled(*implicit)
    margin = 0.5 / CLASSES  # of every label at the start
    np.testing.assert_allclose(info.metrics["loss"] - margin, loss, rtol=1e-9)
    np.testing.assert_allclose(
        info.metrics["direct_norm"], jnp.linalg.norm(direct.stored["images"]), rtol=1e-8
    )
    np.testing.assert_allclose(
        info.metrics["implicit_norm"], jnp.linalg.norm(implicit.stored["images"]), rtol=1e-7
    )
    belief = optax.scale_by_belief()
    direction, _ = belief.update(combine(direct, implicit, limit=True), belief.init(psi))
    rates = config.image_lr, config.label_lr, config.temperature_lr
    for new, old, rate, d in zip(*map(jax.tree.leaves, (moved.psi, psi, rates, direction)), strict=True):
        np.testing.assert_allclose(new, old - rate * d, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_a_cosine_lowers_all_rates_from_the_first_step_to_the_last():
    steps, wanted = 5, {"schedule": "cosine", "final_rate": 0.1, "solver": "cg"}
    config, step, psi, _, _ = posed(Platform(), jnp.float64, steps=steps, **wanted)
    metrics = {"loss": jnp.zeros(()), "accuracy": jnp.zeros(())}
    proposal = Proposal(jax.tree.map(jnp.cos, psi), metrics, {"broken_models": jnp.int32(0)})
    belief = optax.scale_by_belief()
    learner, state = step.start(psi), belief.init(psi)
    shares = [0.1 + 0.9 * (1 + np.cos(np.pi * k / steps)) / 2 for k in range(steps)]
    assert shares[0] == 1
    for share in shares:
        moved, _ = step.accept(learner, proposal)
        direction, state = belief.update(proposal.gradient, state)
        rates = config.image_lr, config.label_lr, config.temperature_lr
        each = map(jax.tree.leaves, (moved.psi, learner.psi, rates, direction))
        for new, old, rate, d in zip(*each, strict=True):
            np.testing.assert_allclose(old - new, share * rate * d, rtol=1e-6, atol=1e-15)
        learner = moved


def test_the_product_is_the_bias_corrected_average():
    config, step, psi, theta_0, real = posed(Platform(), solver="cg", average_decay=0.9)
    learner, update = step.start(psi), jax.jit(step.update)
    seen = []
    for _ in range(3):
        learner, _ = update(learner, theta_0, *real)
        seen.append(learner.psi)
    weights = np.array([0.81, 0.9, 1.0]) * 0.1 / (1 - config.average_decay**3)
    product = step.product(learner)
    for leaf, leaves in zip(
        jax.tree.leaves(product), zip(*map(jax.tree.leaves, seen), strict=True), strict=True
    ):
        expected = sum(w * np.asarray(each) for w, each in zip(weights, leaves, strict=True))
        np.testing.assert_allclose(leaf, expected, rtol=1e-5, atol=1e-6)


def test_a_pool_model_is_trained_and_then_replaced():
    _, step, psi, _, _ = posed(Platform(), pool_max_steps=2)
    key, other = jax.random.split(jax.random.key(5))
    train = jax.jit(lambda model: step.renew(step.train(model, psi), other))
    once = train(jax.jit(step.fresh)(key))
    twice = train(once)
    assert (int(once.age), int(twice.age)) == (1, 0)
    fresh = jax.jit(step.fresh)(other).parameters
    assert all((a == b).all() for a, b in zip(*map(jax.tree.leaves, (twice.parameters, fresh)), strict=True))


def test_training_lowers_the_squared_error():
    _, step, psi, _, _ = posed(Platform(), pool_lr=1e-2)
    network = build_network(
        "convnet", image_shape=SHAPE, classes=CLASSES, width=2, depth=2, activation="softplus"
    )
    model, train = jax.jit(step.fresh)(jax.random.key(1)), jax.jit(step.train)

    @jax.jit
    def error(model):
        return jnp.mean((network.apply(model.parameters, psi.stored["images"])[0] - psi.labels) ** 2)

    before = error(model)
    for _ in range(30):
        model = train(model, psi)
    assert error(model) < 0.8 * before


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("solver", [pytest.param("adam", marks=pytest.mark.slow), "cg"])
def test_without_iterations_the_step_is_frepos_with_the_platt_loss(solver):
    """Without iterations theta and the implicit gradient are 0; the last kernel still has its closed form."""
    config, step, psi, theta_0, real = posed(Platform(), jnp.float64, solver=solver)
    config = replace(config, inner_steps=0, hessian_steps=0)
    network = build_network(
        "convnet", image_shape=SHAPE, classes=CLASSES, width=2, depth=2, activation="softplus"
    )
    step = METHODS["rcig"].make(Task(network, Platform()), config)
    proposal = jax.jit(step.propose)(step.start(psi), theta_0, *real)
    problem = oracle.Problem("rcig", network.apply, theta_0, config.l2_rate, True)
    zero = jnp.zeros_like(oracle.solved_for(problem)[0])
    value, expected = jax.jit(
        lambda: (
            oracle.outer_loss(problem, zero, psi, *real, False),
            oracle.direct(problem, zero, psi, real, True),
        )
    )()
    np.testing.assert_allclose(proposal.metrics["loss"], value, rtol=1e-10)
    for ours, direct in zip(*map(jax.tree.leaves, (proposal.gradient, expected)), strict=True):
        np.testing.assert_allclose(ours, direct, rtol=1e-7, atol=1e-12)
    assert float(proposal.metrics["implicit_norm"]) == 0
