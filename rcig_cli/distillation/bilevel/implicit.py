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
from rcig_cli.distillation.step import Extra, Learner, Metrics, Pool, Proposal, Step, broken_models, make_step

_MOST_ROWS = 2000  # of a Jacobian that is written out


class Keys(NamedTuple):
    """Keys for the subsets of one outer step, each used once; all None without a subset."""

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
        The method's settings, and how loops and batches are laid out.
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
        """``theta``; ``lr`` is Adam's learning rate."""
        steps, problem = self.settings.inner_steps, self.problem
        if steps == 0:
            return solvers.not_begun(problem.value_and_gradient_at_zero()[1])
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
        """``v = H^-1 g_T`` at ``theta``; ``lr`` is Adam's learning rate."""
        steps, problem = self.settings.hessian_steps, self.problem
        g = self.formulation.outer_gradient(problem.redrawn(self.keys.outer), outer)
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

        def outputs(images: Array) -> Outputs:
            key, size = self.keys.outputs, self.settings.backward_subset
            all_outputs = partial(formulation.outputs, theta, v)
            if key is None or size is None:
                return all_outputs(images)
            return through_subset(all_outputs, images, key, size, self.platform)

        return meta_gradient(
            self.psi,
            outer,
            outputs,
            direct=lambda views: formulation.direct(problem, outer, views),
            implicit=lambda views: formulation.implicit(problem, views),
            flip=self.settings.flip,
            margin=self.settings.label_margin,
        )


MakeFormulation = Callable[[Network, Tree, Layout], Formulation]


@dataclass(frozen=True)
class BilevelSpec:
    """What is fixed of the two-level problem during a run.

    Attributes
    ----------
    network, settings, platform
        The network that is distilled with, the method's settings, and how loops and batches are laid out.
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

    def at(self, psi: Distilled, theta_0: Tree, key: Array | None = None) -> Bilevel:
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
        keys, few = Keys(), images
        if subset is not None:
            if key is None:
                raise TypeError("a subset of the images is drawn with a key")
            each = jax.random.split(key, len(Keys._fields))
            keys, few = Keys(*each), images[choose(each[0], len(images), subset)]
        layout = Layout(
            self.platform,
            subset=subset,
            staged=bool(network.lower_layers) and _in_stages(settings, *labels.shape),
            float64=self.float64,
        )
        formulation = self.formulation(network.with_statistics_of(theta_0, few), theta_0, layout)
        problem = formulation.problem(images, labels, settings.l2_rate * psi.images.shape[0])
        return Bilevel(settings, self.platform, self.loss, psi, formulation, problem, keys)


def make_implicit_step(spec: BilevelSpec, *, limit: bool, temperature_lr: float | None = None) -> Step:
    """Put the functions of a run together.

    Parameters
    ----------
    spec
        The two-level problem.
    limit
        Whether the implicit gradient is scaled down to the direct one (`meta_gradient.combine`).
    temperature_lr
        Learning rate for the log temperature, if the loss has one.
    """
    settings = spec.settings
    by_adam = settings.solver == "adam"

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        bilevel = spec.at(learner.psi, theta_0, key)
        inner_lr, hessian_lr = _values(learner.extra) if by_adam else (None, None)
        theta = bilevel.solve_inner(inner_lr)
        outer = bilevel.evaluate(theta.value, images, classes)
        v = bilevel.solve_hessian(theta.value, outer, hessian_lr)
        direct, implicit = bilevel.gradients(theta.value, v.value, outer)
        metrics = {
            "loss": outer.value,
            "accuracy": outer.accuracy,
            "direct_norm": jnp.linalg.norm(direct.images),
            "implicit_norm": jnp.linalg.norm(implicit.images),
            "inner_progress": _fall(theta),
            "hessian_progress": _fall(v),
        }
        counts: dict[str, Any] = {"broken_models": broken_models(theta_0)}
        if by_adam:
            counts["inner"], counts["hessian"] = learning_rates.tally(theta), learning_rates.tally(v)
        return Proposal(combine(direct, implicit, limit=limit), metrics, counts)

    def tune(
        learner: Learner,
        theta_0: Tree,
        images: Array,
        classes: Array,
        key: Array,
        *,
        compile: Callable[..., Any],  # noqa: A002
        look: Callable[[], None],
    ) -> Learner:
        """Raise each learning rate while the losses of its solve fall (paper, S3)."""

        def solve_hessian(psi: Distilled, theta_0: Tree, theta: Tree, lr: Array) -> Solution:
            bilevel = spec.at(psi, theta_0, key)
            return bilevel.solve_hessian(theta, bilevel.evaluate(theta, images, classes), lr)

        solve_inner = compile(lambda psi, theta_0, lr: spec.at(psi, theta_0, key).solve_inner(lr))
        solve_hessian = compile(solve_hessian)

        def inner_falls(lr: float) -> bool:
            look()
            return bool(solve_inner(learner.psi, theta_0, jnp.float32(lr)).monotone)

        inner_lr = learning_rates.tune(settings.inner_rate_start, inner_falls)
        theta = solve_inner(learner.psi, theta_0, jnp.float32(inner_lr)).value

        def hessian_falls(lr: float) -> bool:
            look()
            return bool(solve_hessian(learner.psi, theta_0, theta, jnp.float32(lr)).monotone)

        hessian_lr = learning_rates.tune(settings.hessian_rate_start, hessian_falls)
        rates = Rates(learning_rates.start_rate(inner_lr), learning_rates.start_rate(hessian_lr))
        return learner._replace(extra=rates)

    extra = Extra(_start_of(settings), _after_step, _metrics, tune) if by_adam else None
    return make_step(
        spec.network, settings, propose, Pool.of(settings), temperature_lr=temperature_lr, extra=extra
    )


def _start_of(settings: ImplicitSettings) -> Callable[[], Rates]:
    def start() -> Rates:
        inner, hessian = settings.inner_rate_start, settings.hessian_rate_start
        return Rates(learning_rates.start_rate(inner), learning_rates.start_rate(hessian))

    return start


def _after_step(rates: Rates, counts: Any) -> Rates:
    each = zip(rates, (counts["inner"], counts["hessian"]), strict=True)
    return Rates(*(learning_rates.adapt(learning_rates.count(rate, solves)) for rate, solves in each))


def _metrics(rates: Rates) -> Metrics:
    return {"inner_rate": rates.inner.value, "hessian_rate": rates.hessian.value}


def _values(rates: Rates) -> tuple[Array, Array]:
    return rates.inner.value, rates.hessian.value


def _in_stages(settings: ImplicitSettings, n: int, classes: int) -> bool:
    """Whether to linearize in stages.

    It costs about as much as C iterations gain by it, and what it is made from grows with ``n C``.
    """
    return settings.inner_steps + settings.hessian_steps >= 2 * classes and n * classes <= _MOST_ROWS


def _fall(solution: Solution) -> Array:
    """Return a solve's residual (or loss) at its last iteration relative to that at its first.

    Where the first is 0, the last is returned as it is.
    """
    first, last = solution.progress[0], solution.progress[-1]
    return last / jnp.where(first == 0, 1, first)
