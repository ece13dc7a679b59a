"""The step of methods with an inner problem to solve: RCIG, CIG and VIG.

    theta = argmin L_in(theta, psi),    v = H^-1 g_T,    gradient = direct + implicit

`inner` poses the inner problem, `solvers` solves it, `outer` evaluates the solution on real images, and
`meta_gradient` takes the gradient in psi.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.bilevel import learning_rates, solvers
from rcig_cli.distillation.bilevel.inner import InnerProblem, Layout, Outputs, Quadratic
from rcig_cli.distillation.bilevel.learning_rates import Rate
from rcig_cli.distillation.bilevel.meta_gradient import combine, meta_gradient
from rcig_cli.distillation.bilevel.outer import Loss, OuterLoss, evaluate_outer_loss
from rcig_cli.distillation.bilevel.solvers import Solution
from rcig_cli.distillation.bilevel.subsampling import choose, subset_size, through_subset
from rcig_cli.distillation.pool import Pool
from rcig_cli.distillation.records import Distilled, Tree, training_set
from rcig_cli.distillation.settings import ImplicitSettings, KernelSettings
from rcig_cli.distillation.step import Info, Learner, Proposal, Step, make_step
from rcig_cli.distillation.task import Task

_LARGEST_STAGED = 2000  # n C, above which linearizing in stages takes too much memory


class Keys(NamedTuple):
    """Keys for the subsets of one outer step, each used once; all None without a subset.

    Attributes
    ----------
    statistics
        For the images whose statistics batch norm uses.
    inner, outer, hessian
        For the inner solve, for ``g_T``, and for the Hessian-inverse solve.
    outputs
        For the meta-gradient.
    """

    statistics: Array | None = None
    inner: Array | None = None
    outer: Array | None = None
    hessian: Array | None = None
    outputs: Array | None = None


class Rates(NamedTuple):
    """Learning rates of the two Adam solves."""

    inner: Rate
    hessian: Rate


@dataclass(frozen=True)
class Bilevel:
    """The two-level problem of a run, without psi and the pool model.

    Attributes
    ----------
    task, settings
        The network that is distilled with and the `Platform`; the method's settings.
    inner_problem, loss
        The kind of inner problem, and the outer loss.
    """

    task: Task
    settings: ImplicitSettings
    inner_problem: type[InnerProblem]
    loss: Loss

    def at(self, psi: Distilled, theta_0: Tree, key: Array | None = None) -> "BilevelAt":
        """The problem for a psi at a pool model.

        ``key`` draws subsets; it is needed where ``backward_subset`` is less than the number of images,
        mirrored ones included.
        """
        settings, network = self.settings, self.task.network
        images, labels = training_set(self.task.decode(psi.stored), psi.labels, flip=settings.flip)
        subset = subset_size(settings.backward_subset, labels.shape[0])
        keys, statistics_images = Keys(), images
        if subset is not None:
            assert key is not None
            each = jax.random.split(key, len(Keys._fields))
            keys, statistics_images = Keys(*each), images[choose(each[0], len(images), subset)]
        layout = Layout(
            self.task.platform,
            subset=subset,
            staged=bool(network.lower_layers) and _staging_pays(settings, *labels.shape),
            float64=isinstance(settings, KernelSettings) and settings.solve_precision == "float64",
        )
        fixed = network.with_statistics_of(theta_0, statistics_images)  # of batch norm
        lam = settings.l2_rate * psi.labels.shape[0]
        problem = self.inner_problem.pose(fixed, theta_0, images, labels, lam, layout)
        return BilevelAt(self, psi, problem, keys)


class BilevelAt(NamedTuple):
    """The two-level problem for one psi at one pool model.

    Attributes
    ----------
    bilevel
        The parts that stay the same during the run.
    psi
        The learned quantities.
    problem
        The inner problem.
    keys
        Keys for subsets of the distilled images.
    """

    bilevel: Bilevel
    psi: Distilled
    problem: InnerProblem
    keys: Keys

    def solve_inner(self, lr: Array | None = None) -> Solution:
        """Solve the inner problem for ``theta``; ``lr`` is needed by Adam only."""
        settings, platform, problem = self.bilevel.settings, self.bilevel.task.platform, self.problem
        steps = settings.inner_steps
        if steps == 0:
            return solvers.no_iterations(problem.value_and_gradient_at_zero()[1])  # shaped like theta
        if settings.solver == "cg":
            assert isinstance(problem, Quadratic)
            return solvers.inner_by_cg(problem, steps, platform)
        assert lr is not None
        return solvers.inner_by_adam(problem, lr, steps, platform, self.keys.inner)

    def evaluate(self, theta: Tree, images: Array, classes: Array) -> OuterLoss:
        """The outer loss at ``theta`` on real images ``[b, H, W, c]`` of ``classes [b]``."""
        predict, tau = self.problem.predictor(theta), self.psi.log_temperature
        loss, platform = self.bilevel.loss, self.bilevel.task.platform
        return evaluate_outer_loss(predict, loss, tau, images, classes, platform)

    def solve_hessian(self, theta: Tree, outer: OuterLoss, lr: Array | None = None) -> Solution:
        """Solve for ``v = H^-1 g_T`` at ``theta``; ``lr`` is needed by Adam only."""
        settings, platform, problem = self.bilevel.settings, self.bilevel.task.platform, self.problem
        steps = settings.hessian_steps
        g = problem.with_new_subset(self.keys.outer).outer_gradient(outer)
        if steps == 0:
            return solvers.no_iterations(g)
        if settings.solver == "cg":
            assert isinstance(problem, Quadratic)
            return solvers.hessian_by_cg(problem, g, steps, platform)
        assert lr is not None
        return solvers.hessian_by_adam(problem, (theta, g), lr, steps, platform, self.keys.hessian)

    def gradients(self, theta: Tree, v: Tree, outer: OuterLoss) -> tuple[Distilled, Distilled]:
        """Direct and implicit gradient in psi."""
        settings, problem = self.bilevel.settings, self.problem
        outputs = partial(problem.outputs, theta, v)

        def outputs_through_subset(images: Array) -> Outputs:
            key, size = self.keys.outputs, settings.backward_subset
            if key is None or size is None:
                return outputs(images)
            return through_subset(outputs, images, key, size, self.bilevel.task.platform)

        return meta_gradient(
            self.psi,
            self.bilevel.task,
            settings,
            outer,
            outputs_through_subset,
            direct=partial(problem.direct_gradient, outer),
            implicit=problem.implicit_gradient,
        )


def make_implicit_step(bilevel: Bilevel) -> Step:
    """Build the `Step` of RCIG, CIG or VIG."""
    settings, limit = bilevel.settings, bilevel.inner_problem.closed_form
    by_adam = settings.solver == "adam"

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        at = bilevel.at(learner.psi, theta_0, key)
        inner_lr, hessian_lr = (rate.value for rate in learner.extra) if by_adam else (None, None)
        inner = at.solve_inner(inner_lr)
        outer = at.evaluate(inner.value, images, classes)
        hessian = at.solve_hessian(inner.value, outer, hessian_lr)
        direct, implicit = at.gradients(inner.value, hessian.value, outer)
        metrics = {
            "loss": outer.value,
            "accuracy": outer.accuracy,
            "direct_norm": optax.tree.norm(direct.stored),
            "implicit_norm": optax.tree.norm(implicit.stored),
            "inner_progress": _remaining(inner),
            "hessian_progress": _remaining(hessian),
        }
        counts: dict[str, Any] = {}
        if by_adam:
            counts["inner"], counts["hessian"] = learning_rates.count(inner), learning_rates.count(hessian)
        return Proposal(combine(direct, implicit, limit=limit), metrics, counts)

    step = make_step(bilevel.task, settings, propose, Pool.of(settings))
    return _with_learning_rates(step, bilevel) if by_adam else step


def _with_learning_rates(step: Step, bilevel: Bilevel) -> Step:
    """The step with learning rates of the two Adam solves as the learner's ``extra``."""
    settings = bilevel.settings

    def start(psi: Distilled) -> Learner:
        starts = settings.inner_rate_start, settings.hessian_rate_start
        return step.start(psi)._replace(extra=Rates(*map(learning_rates.start_rate, starts)))

    def accept(learner: Learner, proposal: Proposal) -> tuple[Learner, Info]:
        rates: Rates = learner.extra
        moved, info = step.accept(learner, proposal)
        adapted = Rates(
            learning_rates.adapt(rates.inner, proposal.counts["inner"]),
            learning_rates.adapt(rates.hessian, proposal.counts["hessian"]),
        )
        metrics = {**info.metrics, "inner_rate": rates.inner.value, "hessian_rate": rates.hessian.value}
        return moved._replace(extra=adapted), info._replace(metrics=metrics)

    def tune(
        learner: Learner,
        theta_0: Tree,
        images: Array,
        classes: Array,
        key: Array,
        *,
        compile: Callable[..., Any],  # noqa: A002
        check_for_stop: Callable[[], None],
    ) -> Learner:
        """Raise each learning rate while the losses of its solve fall (paper, S3)."""

        def hessian_at(psi: Distilled, theta_0: Tree, theta: Tree, lr: Array) -> Solution:
            at = bilevel.at(psi, theta_0, key)
            return at.solve_hessian(theta, at.evaluate(theta, images, classes), lr)

        def tuned(solve: Callable[..., Solution], start: float, *arguments: Tree) -> float:
            def losses_fall(lr: float) -> bool:
                check_for_stop()
                return bool(solve(learner.psi, theta_0, *arguments, jnp.float32(lr)).monotone)

            return learning_rates.tune(start, losses_fall)

        solve_inner = compile(lambda psi, theta_0, lr: bilevel.at(psi, theta_0, key).solve_inner(lr))
        inner_lr = tuned(solve_inner, settings.inner_rate_start)
        theta = solve_inner(learner.psi, theta_0, jnp.float32(inner_lr)).value
        hessian_lr = tuned(compile(hessian_at), settings.hessian_rate_start, theta)
        return learner._replace(extra=Rates(*map(learning_rates.start_rate, (inner_lr, hessian_lr))))

    return replace(step, start=start, accept=accept, tune=tune)


def _staging_pays(settings: ImplicitSettings, n: int, classes: int) -> bool:
    """Whether linearizing in stages is faster.

    Its preparation takes as long as it saves in about C iterations, and its memory grows with ``n C``.
    """
    return settings.inner_steps + settings.hessian_steps >= 2 * classes and n * classes <= _LARGEST_STAGED


def _remaining(solution: Solution) -> Array:
    """Return a solve's residual (or loss) at its last iteration relative to that at its first.

    Where the first is 0, the last is returned as it is.
    """
    first, last = solution.progress[0], solution.progress[-1]
    return last / jnp.where(first == 0, 1, first)
