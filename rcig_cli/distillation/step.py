"""One outer step of any method: propose a gradient in psi, then apply it.

    psi  <- psi - rate(step) * direction(gradient)      AdaBelief's direction, unless the method has another
    mean <- decay * mean + (1 - decay) * psi        its bias-corrected value is the product

A method defines the gradient (``propose``).  `make_step` adds the parts that all methods share: the
optimizer, the average and the pool of models.  It returns pure functions; nothing is compiled here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation import pool
from rcig_cli.distillation.bilevel.subsampling import choose, subset_size
from rcig_cli.distillation.pool import Model, Pool
from rcig_cli.distillation.records import Distilled, Tree, all_finite, total, training_set
from rcig_cli.distillation.settings import (
    GradientSettings,
    LearnedLabelSettings,
    RidgeSettings,
    TemperatureSettings,
)
from rcig_cli.distillation.task import Task

Metrics = dict[str, Array]


class Learner(NamedTuple):
    """Everything that an outer step changes, except the pool.

    Attributes
    ----------
    psi
        The learned quantities.
    optimizer
        The state of its optimizer.
    average
        The running mean of psi, as ``optax.ema`` keeps it.
    extra
        Other state of the method, such as learning rates of its solves.
    steps
        Outer steps of the run, ``[]`` int32.  It is part of the state so that runs of any length have the
        same programs, which are then compiled once.
    """

    psi: Distilled
    optimizer: optax.OptState
    average: optax.EmaState
    extra: Tree
    steps: Array


class Proposal(NamedTuple):
    """The result of `Step.propose` at one pool model.

    ``metrics`` must contain ``loss``.

    Attributes
    ----------
    gradient
        The gradient in psi.
    metrics
        Numbers to report by name, each ``[]``; those of several pool models are averaged.
    counts
        Counts by name, each ``[]`` int32 or a pytree of these; those of several pool models are added.
    """

    gradient: Distilled
    metrics: Metrics
    counts: dict[str, Any]


class Finite(NamedTuple):
    """Which parts of an outer step are finite, each ``[]``, in the order in which they are computed.

    Attributes
    ----------
    pool_models
        The parameters of the pool models of the step.
    loss, gradient
        The outer loss and the gradient in psi.
    images, labels, temperature
        The new psi, ``images`` as they are stored.
    """

    pool_models: Array
    loss: Array
    gradient: Array
    images: Array
    labels: Array
    temperature: Array


class Info(NamedTuple):
    """The report of one outer step.

    Attributes
    ----------
    metrics
        Numbers by name, each ``[]``: ``loss``, those of the method's record, and any others that `propose`
        computes.
    finite
        Whether each part of the step is finite.
    """

    metrics: Metrics
    finite: Finite


Propose = Callable[..., Proposal]  # (learner, theta_0, images, classes, key) -> Proposal
Tune = Callable[..., Learner]


@dataclass(frozen=True)
class Step:
    """The functions that a run consists of, each pure.

    Keys draw subsets of the distilled images; where gradients go through all of them, they may be left out.

    Attributes
    ----------
    start
        ``psi -> Learner``.
    propose
        ``(learner, theta_0, images, classes, key) -> Proposal``: the gradient at one pool model.
    accept
        ``(learner, proposal) -> (learner, Info)``: the step in psi.
    train
        ``(model, psi, key) -> model``: one step of ordinary training on the distilled set.  The same key may
        be used for several steps, since the model's age tells them apart.
    fresh
        ``key -> model``.
    renew
        ``(model, key) -> model``: a fresh model, if the model has had all its training steps.
    product
        ``learner -> Distilled``: the bias-corrected average, which is what is evaluated and exported.
    models, pool_size, training_steps, max_age
        Pool models per outer step, models in the pool, the most training steps that one gets at a time, and
        those after which it is replaced.
    least_training_steps
        The fewest training steps that a model gets at a time, if ``training_steps`` is not 0.
    tune
        ``(learner, theta_0, images, classes, key, *, compile, check_for_stop) -> learner``: set learning
        rates before the first step, by trials driven from Python; None if there is nothing to tune.
    """

    start: Callable[[Distilled], Learner]
    propose: Propose
    accept: Callable[[Learner, Proposal], tuple[Learner, Info]]
    train: Callable[..., Model]
    fresh: Callable[[Array], Model]
    renew: Callable[[Model, Array], Model]
    product: Callable[[Learner], Distilled]
    models: int
    pool_size: int
    training_steps: int
    max_age: int
    least_training_steps: int = 1
    tune: Tune | None = None

    @property
    def training_range(self) -> tuple[int, int]:
        """The fewest and the most training steps that a model gets at a time."""
        return min(self.least_training_steps, self.training_steps), self.training_steps

    def update(
        self, learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> tuple[Learner, Info]:
        """Propose at one pool model and accept: one outer step without the training of the pool."""
        return self.accept(learner, self.propose(learner, theta_0, images, classes, key))


def make_step(
    task: Task,
    settings: GradientSettings,
    propose: Propose,
    pool_of: Pool,
    *,
    direction: optax.GradientTransformation | None = None,
) -> Step:
    """Build a `Step` from a method's gradient.

    Parameters
    ----------
    task
        What is distilled.
    settings
        The method's settings; labels are learned if they are `LearnedLabelSettings`, and log tau if they are
        `TemperatureSettings`.
    propose
        The method's gradient.
    pool_of
        How pool models are trained.
    direction
        The optimizer without its learning rate; AdaBelief by default.
    """
    optimizer = direction or optax.scale_by_belief()
    mean = optax.ema(settings.average_decay)
    adam = optax.adam(pool_of.lr)
    label_lr = settings.label_lr if isinstance(settings, LearnedLabelSettings) else None
    backward_subset = settings.backward_subset if isinstance(settings, RidgeSettings) else None
    temperature_lr = settings.temperature_lr if isinstance(settings, TemperatureSettings) else None

    def start(psi: Distilled) -> Learner:
        return Learner(psi, optimizer.init(psi), mean.init(psi), {}, jnp.int32(task.steps))

    def checked(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        proposal = propose(learner, theta_0, images, classes, key)
        counts = {**proposal.counts, "broken_models": jnp.int32(~all_finite(theta_0))}
        return proposal._replace(counts=counts)

    def accept(learner: Learner, proposal: Proposal) -> tuple[Learner, Info]:
        directions, state = optimizer.update(proposal.gradient, learner.optimizer)
        share = _share_of_rates(settings, learner)
        own = task.decoder.rates
        of_stored = {name: own.get(name, settings.image_lr) for name in learner.psi.stored}
        rates = Distilled(of_stored, label_lr or 0.0, temperature_lr or 0.0)  # type: ignore[arg-type]
        psi = jax.tree.map(lambda p, rate, d: p - rate * share * d, learner.psi, rates, directions)
        average = mean.update(psi, learner.average)[1]
        metrics = dict(proposal.metrics)
        if temperature_lr is not None:
            metrics["temperature"] = jnp.exp(learner.psi.log_temperature)
        moved = learner._replace(psi=psi, optimizer=state, average=average)
        return moved, Info(metrics, _finite(proposal, psi))

    def train(model: Model, psi: Distilled, key: Array | None = None) -> Model:
        images, labels = training_set(task.decode(psi.stored), psi.labels, flip=settings.flip)
        size = subset_size(backward_subset, labels.shape[0])
        if size is not None:
            assert key is not None
            chosen = choose(jax.random.fold_in(key, model.age), labels.shape[0], size)
            images, labels = images[chosen], labels[chosen]
        return pool.train(task.network, adam, model, images, labels, platform=task.platform)

    def fresh(key: Array) -> Model:
        return pool.fresh_model(task.network, adam, key)

    def product(learner: Learner) -> Distilled:
        average = learner.average
        corrected: Distilled = optax.tree.bias_correction(average.ema, settings.average_decay, average.count)
        return corrected

    return Step(
        start=start,
        propose=checked,
        accept=accept,
        train=train,
        fresh=fresh,
        renew=lambda model, key: pool.renew(model, pool_of.max_age, lambda: fresh(key)),
        product=product,
        models=settings.models,
        pool_size=pool_of.size,
        training_steps=pool_of.training_steps,
        max_age=pool_of.max_age,
    )


def _share_of_rates(settings: GradientSettings, learner: Learner) -> Any:
    """Return the share of the learning rates that the schedule leaves for the next outer step."""
    if settings.schedule == "constant":
        return 1.0
    # A finished run that is continued with more steps keeps the final rates.
    done = jnp.minimum(learner.average.count / learner.steps, 1.0)
    return settings.final_rate + (1 - settings.final_rate) * (1 + jnp.cos(jnp.pi * done)) / 2


def averaged(proposals: Sequence[Proposal]) -> Proposal:
    """Combine the proposals of several pool models: the mean of gradients and metrics, the sum of counts."""
    summed: Proposal = total(proposals)
    gradient, metrics = jax.tree.map(lambda leaf: leaf / len(proposals), (summed.gradient, summed.metrics))
    return Proposal(gradient, metrics, summed.counts)


def _finite(proposal: Proposal, psi: Distilled) -> Finite:
    return Finite(
        pool_models=proposal.counts["broken_models"] == 0,
        loss=jnp.isfinite(proposal.metrics["loss"]),
        gradient=all_finite(proposal.gradient),
        images=all_finite(psi.stored),
        labels=all_finite(psi.labels),
        temperature=jnp.isfinite(jnp.exp(psi.log_temperature)),
    )
