"""One outer step (paper, Algorithm 1), of any member of the family.

    theta = argmin L_in,  v = H^-1 g_T            two solves
    psi    <- psi - AdaBelief(direct + implicit)
    mean   <- 0.99 mean + 0.01 psi                its bias-corrected value is the product

``make_step`` closes over what is fixed and returns the functions a run is made of.  None is compiled here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation import pool
from rcig_cli.distillation.bilevel import learning_rates
from rcig_cli.distillation.bilevel import problem as bilevel
from rcig_cli.distillation.bilevel.learning_rates import Rate
from rcig_cli.distillation.bilevel.linearized import Network
from rcig_cli.distillation.bilevel.problem import Proposal
from rcig_cli.distillation.bilevel.solvers import Solution
from rcig_cli.distillation.bilevel.subsampling import choose
from rcig_cli.distillation.config import AlgorithmConfig
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import Distilled, Tree, all_finite, training_set


class Learner(NamedTuple):
    """Everything an outer step changes, but the pool.

    Attributes
    ----------
    psi
        What is learned.
    optimizer
        The state of its AdaBelief.
    average
        The running mean of psi, as ``optax.ema`` keeps it.
    inner_rate, hessian_rate
        Learning rates of the two Adam solves; they rest with conjugate gradients.
    """

    psi: Distilled
    optimizer: optax.OptState
    average: optax.EmaState
    inner_rate: Rate
    hessian_rate: Rate


class Finite(NamedTuple):
    """Which numbers of an outer step are finite, each ``[]``, in the order in which one follows from another.

    Attributes
    ----------
    pool_models
        The parameters of the models it was taken at.
    loss, gradient
        The outer loss and the meta-gradient there.
    images, labels, temperature
        What psi has become.
    """

    pool_models: Array
    loss: Array
    gradient: Array
    images: Array
    labels: Array
    temperature: Array


class Info(NamedTuple):
    """What one outer step has to say, all ``[]``.

    Attributes
    ----------
    loss, accuracy, direct_norm, implicit_norm, inner_progress, hessian_progress
        See `bilevel.Observed`; means over the pool models of the step.
    temperature
        tau.
    inner_rate, hessian_rate
        Learning rates of the two Adam solves.
    finite
        What of the step is finite.
    """

    loss: Array
    accuracy: Array
    direct_norm: Array
    implicit_norm: Array
    inner_progress: Array
    hessian_progress: Array
    temperature: Array
    inner_rate: Array
    hessian_rate: Array
    finite: Finite


@dataclass(frozen=True)
class Step:
    """The functions a run is made of, each pure.

    Keys draw subsets of the images (`subsample`); where gradients go through all of them they may be left
    out.

    Attributes
    ----------
    start
        ``psi -> Learner``.
    propose
        ``(learner, theta_0, images, classes, key) -> Proposal``: both solves and the meta-gradient.
    accept
        ``(learner, proposal) -> (learner, Info)``: what that does to psi.
    train
        ``(model, psi, key) -> model``: one step of ordinary training on the distilled set; the same key at
        each of several, the model's age tells them apart.
    fresh
        ``key -> model``.
    renew
        ``(model, key) -> model``: a fresh one, where the old one has had its share.
    product
        ``learner -> Distilled``: the bias-corrected average.
    solve_inner, solve_hessian
        ``(psi, theta_0, rate, key) -> Solution`` and
        ``(psi, theta_0, theta, rate, (images, classes), key) -> Solution``: one Adam solve alone, for tuning.
    """

    start: Callable[[Distilled], Learner]
    propose: Callable[..., Proposal]
    accept: Callable[[Learner, Proposal], tuple[Learner, Info]]
    train: Callable[..., Model]
    fresh: Callable[[Array], Model]
    renew: Callable[[Model, Array], Model]
    product: Callable[[Learner], Distilled]
    solve_inner: Callable[..., Solution]
    solve_hessian: Callable[..., Solution]

    def update(
        self, learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> tuple[Learner, Info]:
        """Propose at one pool model and accept: steps 2 to 6 of one outer step."""
        return self.accept(learner, self.propose(learner, theta_0, images, classes, key))


def make_step(network: Network, config: AlgorithmConfig, platform: Platform) -> Step:
    """Put the functions of a run together.

    Parameters
    ----------
    network
        What is distilled with.
    config
        The algorithm's settings.
    platform
        How loops and batches are laid out.
    """
    belief = optax.scale_by_belief()
    mean = optax.ema(config.average_decay)
    adam = optax.adam(config.pool_rate)

    def pose(psi: Distilled, theta_0: Tree, key: Array | None) -> bilevel.Bilevel:
        return bilevel.pose(network, config, platform, psi, theta_0, key)

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        rates = learner.inner_rate.value, learner.hessian_rate.value
        return pose(learner.psi, theta_0, key).propose(rates, images, classes)

    def accept(learner: Learner, proposal: Proposal) -> tuple[Learner, Info]:
        direction, optimizer = belief.update(proposal.gradient, learner.optimizer)
        rates = config.image_rate, config.label_rate, config.temperature_rate
        psi = Distilled._make(p - rate * d for p, rate, d in zip(learner.psi, rates, direction, strict=True))
        average = mean.update(psi, learner.average)[1]
        inner_rate = learning_rates.adapt(learning_rates.count(learner.inner_rate, proposal.inner))
        hessian_rate = learning_rates.adapt(learning_rates.count(learner.hessian_rate, proposal.hessian))
        info = _info(learner, psi, proposal)
        return Learner(psi, optimizer, average, inner_rate, hessian_rate), info

    def start(psi: Distilled) -> Learner:
        inner_rate = learning_rates.start_rate(config.inner_rate_start)
        hessian_rate = learning_rates.start_rate(config.hessian_rate_start)
        return Learner(psi, belief.init(psi), mean.init(psi), inner_rate, hessian_rate)

    def train(model: Model, psi: Distilled, key: Array | None = None) -> Model:
        images, labels = training_set(psi.images, psi.labels, flip=config.flip)
        subset = bilevel.backward_subset(config, labels.shape[0])
        if subset is not None:
            assert key is not None
            chosen = choose(jax.random.fold_in(key, model.age), labels.shape[0], subset)
            images, labels = images[chosen], labels[chosen]
        return pool.train(network, adam, model, images, labels)

    def fresh(key: Array) -> Model:
        return pool.fresh_model(network, adam, key)

    def solve_hessian(
        psi: Distilled,
        theta_0: Tree,
        theta: Tree,
        rate: Array,
        real: tuple[Array, Array],
        key: Array | None = None,
    ) -> Solution:
        posed = pose(psi, theta_0, key)
        return posed.solve_hessian(theta, posed.judge(theta, *real), rate)

    return Step(
        start=start,
        propose=propose,
        accept=accept,
        train=train,
        fresh=fresh,
        renew=lambda model, key: pool.renew(model, config.pool_max_steps, lambda: fresh(key)),
        product=lambda learner: optax.tree.bias_correction(
            learner.average.ema, config.average_decay, learner.average.count
        ),
        solve_inner=lambda psi, theta_0, rate, key=None: pose(psi, theta_0, key).solve_inner(rate),
        solve_hessian=solve_hessian,
    )


def _info(learner: Learner, psi: Distilled, proposal: Proposal) -> Info:
    return Info(
        *proposal.observed,
        temperature=jnp.exp(learner.psi.log_temperature),
        inner_rate=learner.inner_rate.value,
        hessian_rate=learner.hessian_rate.value,
        finite=Finite(
            pool_models=proposal.broken == 0,
            loss=jnp.isfinite(proposal.observed.loss),
            gradient=all_finite(proposal.gradient),
            images=all_finite(psi.images),
            labels=all_finite(psi.labels),
            temperature=jnp.isfinite(jnp.exp(psi.log_temperature)),
        ),
    )
