"""The step of methods with an inner problem to solve: RCIG, CIG and VIG.

    theta = argmin L_in(theta, psi),    v = H^-1 g_T,    gradient = direct + implicit

`formulations` says how the inner problem is posed, `solvers` solves it, `outer` evaluates the solution on
real images, and `meta_gradient` takes the gradient in psi.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.bilevel import learning_rates, solvers
from rcig_cli.distillation.bilevel.formulations import Formulation, Layout, Outputs
from rcig_cli.distillation.bilevel.inner import InnerProblem, VanillaProblem
from rcig_cli.distillation.bilevel.learning_rates import Rate
from rcig_cli.distillation.bilevel.meta_gradient import combine, meta_gradient
from rcig_cli.distillation.bilevel.outer import Loss, OuterLoss, evaluate_outer_loss
from rcig_cli.distillation.bilevel.solvers import Solution
from rcig_cli.distillation.bilevel.subsampling import choose, subset_size, through_subset
from rcig_cli.distillation.network import Network
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, Tree, training_set
from rcig_cli.distillation.settings import ImplicitSettings
from rcig_cli.distillation.step import Extra, Learner, Metrics, Pool, Proposal, Step, make_step

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


class Bilevel(NamedTuple):
    """The two-level problem at one pool model.

    Attributes
    ----------
    settings, platform
        The method's settings, and the `Platform`.
    loss
        The outer loss.
    psi
        What is learned.
    formulation, problem
        How the inner problem is posed, and the problem itself.
    keys
        For subsets of the distilled images.
    """

    settings: ImplicitSettings
    platform: Platform
    loss: Loss
    psi: Distilled
    formulation: Formulation
    problem: InnerProblem | VanillaProblem
    keys: Keys

    def solve_inner(self, lr: Array | None = None) -> Solution:
        """Solve the inner problem for ``theta``; ``lr`` is needed by Adam only."""
        steps, problem = self.settings.inner_steps, self.problem
        if steps == 0:
            return solvers.not_begun(problem.value_and_gradient_at_zero()[1])  # shaped like theta
        if self.settings.solver == "cg":
            assert isinstance(problem, InnerProblem)
            return solvers.inner_by_cg(problem, steps, self.platform)
        assert lr is not None
        return solvers.inner_by_adam(problem, lr, steps, self.platform, self.keys.inner)

    def evaluate(self, theta: Tree, images: Array, classes: Array) -> OuterLoss:
        """The outer loss at ``theta`` on real images ``[b, H, W, c]`` of ``classes [b]``."""
        predict = self.formulation.predictor(self.problem, theta)
        return evaluate_outer_loss(
            predict, self.loss, self.psi.log_temperature, images, classes, self.platform
        )

    def solve_hessian(self, theta: Tree, outer: OuterLoss, lr: Array | None = None) -> Solution:
        """Solve for ``v = H^-1 g_T`` at ``theta``; ``lr`` is needed by Adam only."""
        steps, problem = self.settings.hessian_steps, self.problem
        g = self.formulation.outer_gradient(problem.with_new_subset(self.keys.outer), outer)
        if steps == 0:
            return solvers.not_begun(g)
        if self.settings.solver == "cg":
            assert isinstance(problem, InnerProblem)
            return solvers.hessian_by_cg(problem, g, steps, self.platform)
        assert lr is not None
        return solvers.hessian_by_adam(problem, (theta, g), lr, steps, self.platform, self.keys.hessian)

    def gradients(self, theta: Tree, v: Tree, outer: OuterLoss) -> tuple[Distilled, Distilled]:
        """Direct and implicit gradient in psi."""
        formulation, problem = self.formulation, self.problem

        def outputs_through_subset(images: Array) -> Outputs:
            key, size = self.keys.outputs, self.settings.backward_subset
            outputs = partial(formulation.outputs, theta, v)
            if key is None or size is None:
                return outputs(images)
            return through_subset(outputs, images, key, size, self.platform)

        return meta_gradient(
            self.psi,
            outer,
            outputs_through_subset,
            direct=lambda views: formulation.direct_gradient(problem, outer, views),
            implicit=lambda views: formulation.implicit_gradient(problem, views),
            flip=self.settings.flip,
            margin=self.settings.label_margin,
        )


MakeFormulation = Callable[[Network, Tree, Layout], Formulation]


@dataclass(frozen=True)
class BilevelSpec:
    """The parts of the two-level problem that stay the same during a run.

    Attributes
    ----------
    network, settings, platform
        The network that is distilled with, the method's settings, and the `Platform`.
    formulation, loss
        How the inner problem is posed, and the outer loss.
    float64
        Whether to solve with the feature kernel in float64.
    """

    network: Network
    settings: ImplicitSettings
    platform: Platform
    formulation: MakeFormulation
    loss: Loss
    float64: bool = False

    def pose(self, psi: Distilled, theta_0: Tree, key: Array | None = None) -> Bilevel:
        """Pose the problem at a pool model.

        Parameters
        ----------
        psi
            What is learned.
        theta_0
            The pool model's parameters.
        key
            Draws subsets; needed where ``backward_subset`` is less than the number of images, mirrored ones
            included.
        """
        settings, network = self.settings, self.network
        images, labels = training_set(psi.images, psi.labels, flip=settings.flip)
        subset = subset_size(settings.backward_subset, labels.shape[0])
        keys, statistics_images = Keys(), images
        if subset is not None:
            if key is None:
                raise TypeError("a subset of the images is drawn with a key")
            each = jax.random.split(key, len(Keys._fields))
            keys, statistics_images = Keys(*each), images[choose(each[0], len(images), subset)]
        layout = Layout(
            self.platform,
            subset=subset,
            staged=bool(network.lower_layers) and _staging_pays(settings, *labels.shape),
            float64=self.float64,
        )
        fixed = network.with_statistics_of(theta_0, statistics_images)  # of batch norm
        formulation = self.formulation(fixed, theta_0, layout)
        problem = formulation.problem(images, labels, lam=settings.l2_rate * psi.images.shape[0])
        return Bilevel(settings, self.platform, self.loss, psi, formulation, problem, keys)


def make_implicit_step(spec: BilevelSpec, *, limit: bool, temperature_lr: float | None = None) -> Step:
    """Build the `Step` of RCIG, CIG or VIG.

    Parameters
    ----------
    spec
        The two-level problem.
    limit
        Whether the implicit gradient is limited to the norm of the direct one (`meta_gradient.combine`).
    temperature_lr
        Learning rate for the log temperature, if the loss has one.
    """
    settings = spec.settings
    by_adam = settings.solver == "adam"

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        bilevel = spec.pose(learner.psi, theta_0, key)
        inner_lr, hessian_lr = (rate.value for rate in learner.extra) if by_adam else (None, None)
        inner = bilevel.solve_inner(inner_lr)
        outer = bilevel.evaluate(inner.value, images, classes)
        hessian = bilevel.solve_hessian(inner.value, outer, hessian_lr)
        direct, implicit = bilevel.gradients(inner.value, hessian.value, outer)
        metrics = {
            "loss": outer.value,
            "accuracy": outer.accuracy,
            "direct_norm": jnp.linalg.norm(direct.images),
            "implicit_norm": jnp.linalg.norm(implicit.images),
            "inner_progress": _remaining(inner),
            "hessian_progress": _remaining(hessian),
        }
        counts: dict[str, Any] = {}
        if by_adam:
            counts["inner"], counts["hessian"] = learning_rates.tally(inner), learning_rates.tally(hessian)
        return Proposal(combine(direct, implicit, limit=limit), metrics, counts)

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
            bilevel = spec.pose(psi, theta_0, key)
            return bilevel.solve_hessian(theta, bilevel.evaluate(theta, images, classes), lr)

        inner_trial = compile(lambda psi, theta_0, lr: spec.pose(psi, theta_0, key).solve_inner(lr))
        hessian_trial = compile(hessian_at)

        def inner_losses_fall(lr: float) -> bool:
            check_for_stop()
            return bool(inner_trial(learner.psi, theta_0, jnp.float32(lr)).monotone)

        inner_lr = learning_rates.tune(settings.inner_rate_start, inner_losses_fall)
        theta = inner_trial(learner.psi, theta_0, jnp.float32(inner_lr)).value

        def hessian_losses_fall(lr: float) -> bool:
            check_for_stop()
            return bool(hessian_trial(learner.psi, theta_0, theta, jnp.float32(lr)).monotone)

        hessian_lr = learning_rates.tune(settings.hessian_rate_start, hessian_losses_fall)
        rates = Rates(learning_rates.start_rate(inner_lr), learning_rates.start_rate(hessian_lr))
        return learner._replace(extra=rates)

    def starting_rates() -> Rates:
        starts = settings.inner_rate_start, settings.hessian_rate_start
        return Rates(*map(learning_rates.start_rate, starts))

    rates = Extra(start=starting_rates, accept=_adapt_rates, metrics=_rate_metrics, tune=tune)
    extra = rates if by_adam else None
    return make_step(
        spec.network,
        settings,
        propose,
        Pool.of(settings),
        temperature_lr=temperature_lr,
        extra=extra,
    )


def _adapt_rates(rates: Rates, counts: Any) -> Rates:
    each = zip(rates, (counts["inner"], counts["hessian"]), strict=True)
    return Rates(*(learning_rates.adapt(learning_rates.count(rate, solves)) for rate, solves in each))


def _rate_metrics(rates: Rates) -> Metrics:
    return {"inner_rate": rates.inner.value, "hessian_rate": rates.hessian.value}


def _staging_pays(settings: ImplicitSettings, n: int, classes: int) -> bool:
    """Whether to linearize in stages.

    Setting it up takes the time that it saves in about C iterations, and its memory grows with ``n C``.
    """
    return settings.inner_steps + settings.hessian_steps >= 2 * classes and n * classes <= _LARGEST_STAGED


def _remaining(solution: Solution) -> Array:
    """Return a solve's residual (or loss) at its last iteration relative to that at its first.

    Where the first is 0, the last is returned as it is.
    """
    first, last = solution.progress[0], solution.progress[-1]
    return last / jnp.where(first == 0, 1, first)
