"""One outer step (paper, Algorithm 1), of any member of the family.

    theta = argmin L_in,  v = H^-1 g_T            two solves
    psi    <- psi - AdaBelief(direct + implicit)
    mean   <- 0.99 mean + 0.01 psi                its bias-corrected value is the product

``make_step`` closes over what is fixed and returns the functions a run is made of.  None is compiled here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation import learning_rates, pool, solvers
from rcig_cli.distillation.config import AlgorithmConfig
from rcig_cli.distillation.family import FAMILY
from rcig_cli.distillation.inner import InnerProblem, VanillaProblem
from rcig_cli.distillation.learning_rates import Rate
from rcig_cli.distillation.linearized import Network
from rcig_cli.distillation.meta import combine, meta_gradient, outer_gradient
from rcig_cli.distillation.outer import LOSSES, Judged, judge
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import Distilled, Tree, training_set
from rcig_cli.distillation.solvers import Solution
from rcig_cli.distillation.student import Student

_MOST_ROWS = 2000  # of a Jacobian that is written out


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


class Info(NamedTuple):
    """What one outer step has to say, all ``[]``.

    Attributes
    ----------
    loss, accuracy
        The outer loss in nats (without the label margin), and the share of real images classified correctly.
    direct_norm, implicit_norm
        Norms of the two gradients in the images.
    temperature
        tau.
    inner_progress, hessian_progress
        Last over first value of what each solve drives down; for the second by Adam, whose first value is 0,
        the last.
    inner_rate, hessian_rate
        Learning rates of the two Adam solves.
    finite
        Whether the loss and the new psi are finite.
    """

    loss: Array
    accuracy: Array
    direct_norm: Array
    implicit_norm: Array
    temperature: Array
    inner_progress: Array
    hessian_progress: Array
    inner_rate: Array
    hessian_rate: Array
    finite: Array


@dataclass(frozen=True)
class Step:
    """The functions a run is made of, each pure.

    Attributes
    ----------
    start
        ``psi -> Learner``.
    update
        ``(learner, theta_0, images, classes) -> (learner, Info)``: steps 2 to 6 of one outer step.
    train
        ``(model, psi) -> model``: one step of ordinary training on the distilled set.
    fresh
        ``key -> model``.
    renew
        ``(model, key) -> model``: a fresh one, where the old one has had its share.
    product
        ``learner -> Distilled``: the bias-corrected average.
    solve_inner, solve_hessian
        ``(psi, theta_0, rate) -> Solution`` and
        ``(psi, theta_0, theta, rate, images, classes) -> Solution``:
        one Adam solve alone, for tuning.
    """

    start: Callable[[Distilled], Learner]
    update: Callable[[Learner, Tree, Array, Array], tuple[Learner, Info]]
    train: Callable[[Model, Distilled], Model]
    fresh: Callable[[Array], Model]
    renew: Callable[[Model, Array], Model]
    product: Callable[[Learner], Distilled]
    solve_inner: Callable[[Distilled, Tree, Array], Solution]
    solve_hessian: Callable[[Distilled, Tree, Tree, Array, Array, Array], Solution]


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
    member = FAMILY[config.algorithm]
    belief = optax.scale_by_belief()
    mean = optax.ema(config.average_decay)
    adam = optax.adam(config.pool_rate)
    rates = config.image_rate, config.label_rate, config.temperature_rate

    def student_at(theta_0: Tree) -> Student:
        return Student(member, network, theta_0)

    def pose(psi: Distilled, theta_0: Tree) -> InnerProblem | VanillaProblem:
        images, labels = training_set(psi.images, psi.labels, flip=config.flip)
        in_stages = bool(network.lower_layers) and _in_stages(config, *labels.shape)
        lam = config.l2_rate * psi.images.shape[0]
        wide = config.solve_precision == "float64"
        student = student_at(theta_0)
        return student.pose(images, labels, lam, platform.parts, in_stages=in_stages, wide=wide)

    def solve_inner(problem: InnerProblem | VanillaProblem, rate: Array) -> Solution:
        if not member.solves:
            return solvers.nothing_to_solve()
        if config.solver == "cg":
            assert isinstance(problem, InnerProblem)
            return solvers.inner_by_cg(problem, config.n_inner, platform)
        return solvers.inner_by_adam(problem, rate, config.n_inner, platform)

    def solve_hessian(
        problem: InnerProblem | VanillaProblem, theta: Tree, judged: Judged, rate: Array
    ) -> Solution:
        if not member.solves:
            return solvers.nothing_to_solve()
        g = outer_gradient(member, problem, judged)
        if config.solver == "cg":
            assert isinstance(problem, InnerProblem)
            return solvers.hessian_by_cg(problem, g, config.n_hessian, platform)
        return solvers.hessian_by_adam(problem.hessian(theta), g, rate, config.n_hessian, platform)

    def judge_at(
        psi: Distilled,
        problem: InnerProblem | VanillaProblem,
        theta: tuple[Tree, Tree],
        images: Array,
        classes: Array,
    ) -> Judged:
        student = student_at(theta[0])
        predict = student.predictor(theta[1], student.last_kernel(problem, theta[1]))
        return judge(predict, LOSSES[member.outer], psi.log_temperature, images, classes, platform)

    def gradients(
        learner: Learner, theta_0: Tree, images: Array, classes: Array
    ) -> tuple[Judged, Solution, Solution, Distilled, Distilled]:
        problem = pose(learner.psi, theta_0)
        inner = solve_inner(problem, learner.inner_rate.value)
        judged = judge_at(learner.psi, problem, (theta_0, inner.value), images, classes)
        hessian = solve_hessian(problem, inner.value, judged, learner.hessian_rate.value)
        look = partial(student_at(theta_0).look, inner.value, hessian.value), platform.parts
        flags = {"flip": config.flip, "margin": config.label_margin}
        return judged, inner, hessian, *meta_gradient(member, problem, judged, learner.psi, look, **flags)

    def update(learner: Learner, theta_0: Tree, images: Array, classes: Array) -> tuple[Learner, Info]:
        judged, inner, hessian, direct, implicit = gradients(learner, theta_0, images, classes)
        combined = combine(direct, implicit, limit=member.closed_form)
        direction, optimizer = belief.update(combined, learner.optimizer)
        moved = (p - rate * d for p, rate, d in zip(learner.psi, rates, direction, strict=True))
        psi = Distilled._make(moved)
        new = Learner(
            psi,
            optimizer,
            mean.update(psi, learner.average)[1],
            learning_rates.adapt(learning_rates.count(learner.inner_rate, inner)),
            learning_rates.adapt(learning_rates.count(learner.hessian_rate, hessian)),
        )
        return new, _info(learner, psi, judged, (inner, hessian), (direct, implicit))

    def start(psi: Distilled) -> Learner:
        inner_rate = learning_rates.start_rate(config.inner_rate_start)
        hessian_rate = learning_rates.start_rate(config.hessian_rate_start)
        return Learner(psi, belief.init(psi), mean.init(psi), inner_rate, hessian_rate)

    def train(model: Model, psi: Distilled) -> Model:
        return pool.train(network.apply, adam, model, *training_set(psi.images, psi.labels, flip=config.flip))

    def fresh(key: Array) -> Model:
        return pool.fresh_model(network.init, adam, key)

    def solve_hessian_alone(
        psi: Distilled, theta_0: Tree, theta: Tree, rate: Array, images: Array, classes: Array
    ) -> Solution:
        problem = pose(psi, theta_0)
        judged = judge_at(psi, problem, (theta_0, theta), images, classes)
        return solve_hessian(problem, theta, judged, rate)

    return Step(
        start=start,
        update=update,
        train=train,
        fresh=fresh,
        renew=lambda model, key: pool.renew(model, config.pool_max_steps, lambda: fresh(key)),
        product=lambda learner: optax.tree.bias_correction(
            learner.average.ema, config.average_decay, learner.average.count
        ),
        solve_inner=lambda psi, theta_0, rate: solve_inner(pose(psi, theta_0), rate),
        solve_hessian=solve_hessian_alone,
    )


def _in_stages(config: AlgorithmConfig, n: int, classes: int) -> bool:
    """Whether to linearise in stages.

    It costs about as much as C iterations gain by it, and what it is made from grows with ``n C``.
    """
    return config.n_inner + config.n_hessian >= 2 * classes and n * classes <= _MOST_ROWS


def _info(
    learner: Learner,
    psi: Distilled,
    judged: Judged,
    solutions: tuple[Solution, Solution],
    gradients: tuple[Distilled, Distilled],
) -> Info:
    def fall(solution: Solution) -> Array:
        first, last = solution.progress[0], solution.progress[-1]
        return last / jnp.where(first == 0, 1, first)

    direct, implicit = gradients
    inner, hessian = solutions
    return Info(
        loss=judged.value,
        accuracy=judged.accuracy,
        direct_norm=jnp.linalg.norm(direct.images),
        implicit_norm=jnp.linalg.norm(implicit.images),
        temperature=jnp.exp(learner.psi.log_temperature),
        inner_progress=fall(inner),
        hessian_progress=fall(hessian),
        inner_rate=learner.inner_rate.value,
        hessian_rate=learner.hessian_rate.value,
        finite=jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in (judged.value, *psi)])),
    )
