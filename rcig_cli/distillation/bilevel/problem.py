"""The two-level problem at one pool model: an inner problem on the distilled set, judged on real images.

    theta = argmin L_in(theta, psi),    v = H^-1 g_T,    direct + implicit = dL_out/dpsi

What the members of the family, the solvers and a subset of the images (`subsample`) make of it meets here;
`step` says what is done with the gradient.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.bilevel import learning_rates, solvers
from rcig_cli.distillation.bilevel.inner import InnerProblem, VanillaProblem
from rcig_cli.distillation.bilevel.learning_rates import Tally
from rcig_cli.distillation.bilevel.linearized import Network
from rcig_cli.distillation.bilevel.meta_gradient import combine, meta_gradient, outer_gradient
from rcig_cli.distillation.bilevel.outer import LOSSES, Judged, judge
from rcig_cli.distillation.bilevel.solvers import Solution
from rcig_cli.distillation.bilevel.student import Sight, Student
from rcig_cli.distillation.bilevel.subsampling import choose, through_subset
from rcig_cli.distillation.config import AlgorithmConfig
from rcig_cli.distillation.family import FAMILY, Member
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, Tree, all_finite, total, training_set

_MOST_ROWS = 2000  # of a Jacobian that is written out


class Keys(NamedTuple):
    """What draws the subsets of one outer step, each use its own; all None without a subset."""

    statistics: Array | None = None
    inner: Array | None = None
    outer: Array | None = None
    hessian: Array | None = None
    sight: Array | None = None


class Observed(NamedTuple):
    """What is seen of the problem at one pool model, all ``[]``.

    Attributes
    ----------
    loss, accuracy
        The outer loss (without the label margin), and the share of real images classified correctly.
    direct_norm, implicit_norm
        Norms of the two gradients in the images.
    inner_progress, hessian_progress
        Last over first value of what each solve drives down; for the second by Adam, whose first value is 0,
        the last.
    """

    loss: Array
    accuracy: Array
    direct_norm: Array
    implicit_norm: Array
    inner_progress: Array
    hessian_progress: Array


class Proposal(NamedTuple):
    """What one pool model proposes.

    Attributes
    ----------
    gradient
        The meta-gradient in psi, both parts combined.
    inner, hessian
        How the two solves went.
    broken
        How many pool models have parameters that aren't finite, ``[]`` int32.
    observed
        What was seen on the way.
    """

    gradient: Distilled
    inner: Tally
    hessian: Tally
    broken: Array
    observed: Observed


class Bilevel(NamedTuple):
    """The problem, posed.

    Attributes
    ----------
    config, platform
        The algorithm's settings, and how loops and batches are laid out.
    psi
        What is learned.
    student
        The network at the pool model.
    problem
        The inner problem.
    keys
        For subsets.
    """

    config: AlgorithmConfig
    platform: Platform
    psi: Distilled
    student: Student
    problem: InnerProblem | VanillaProblem
    keys: Keys

    @property
    def member(self) -> Member:
        """Of the family."""
        return self.student.member

    def solve_inner(self, rate: Array) -> Solution:
        """``theta``, by as many iterations as the settings say."""
        steps, problem = self.config.n_inner, self.problem
        if not self.member.solves:
            return solvers.nothing_to_solve()
        if steps == 0:
            return solvers.not_begun(problem.value_and_gradient_at_zero()[1])
        if self.config.solver == "cg":
            assert isinstance(problem, InnerProblem)
            return solvers.inner_by_cg(problem, steps, self.platform)
        return solvers.inner_by_adam(problem, rate, steps, self.platform, self.keys.inner)

    def judge(self, theta: Tree, images: Array, classes: Array) -> Judged:
        """The outer loss at ``theta`` on real images ``[b, H, W, c]`` of ``classes [b]``."""
        predict = self.student.predictor(theta, self.student.last_kernel(self.problem, theta))
        loss = LOSSES[self.member.outer]
        return judge(predict, loss, self.psi.log_temperature, images, classes, self.platform)

    def solve_hessian(self, theta: Tree, judged: Judged, rate: Array) -> Solution:
        """``v = H^-1 g_T`` at ``theta``."""
        steps, problem = self.config.n_hessian, self.problem
        if not self.member.solves:
            return solvers.nothing_to_solve()
        g = outer_gradient(self.member, problem.redrawn(self.keys.outer), judged)
        if steps == 0:
            return solvers.not_begun(g)
        if self.config.solver == "cg":
            assert isinstance(problem, InnerProblem)
            return solvers.hessian_by_cg(problem, g, steps, self.platform)
        return solvers.hessian_by_adam(problem, (theta, g), rate, steps, self.platform, self.keys.hessian)

    def gradients(self, theta: Tree, v: Tree, judged: Judged) -> tuple[Distilled, Distilled]:
        """Direct and implicit gradient in psi."""

        def see(images: Array) -> Sight:
            look = partial(self.student.look, theta, v, parts=self.platform.parts)
            key, size = self.keys.sight, self.config.backward_subset
            if key is None or size is None:
                return look(images)
            return through_subset(look, images, key, size, self.platform)

        flags = {"flip": self.config.flip, "margin": self.config.label_margin}
        return meta_gradient(self.member, self.problem, judged, self.psi, see, **flags)

    def propose(self, rates: tuple[Array, Array], images: Array, classes: Array) -> Proposal:
        """Both solves, and the meta-gradient at what they found.

        ``rates`` are the learning rates of the inner and of the Hessian-inverse solve, where these have any.
        """
        inner = self.solve_inner(rates[0])
        judged = self.judge(inner.value, images, classes)
        hessian = self.solve_hessian(inner.value, judged, rates[1])
        direct, implicit = self.gradients(inner.value, hessian.value, judged)
        observed = Observed(
            judged.value,
            judged.accuracy,
            jnp.linalg.norm(direct.images),
            jnp.linalg.norm(implicit.images),
            _fall(inner),
            _fall(hessian),
        )
        combined = combine(direct, implicit, limit=self.member.closed_form)
        broken = jnp.int32(~all_finite(self.student.theta_0))
        return Proposal(
            combined, learning_rates.tally(inner), learning_rates.tally(hessian), broken, observed
        )


def pose(
    network: Network,
    config: AlgorithmConfig,
    platform: Platform,
    psi: Distilled,
    theta_0: Tree,
    key: Array | None = None,
) -> Bilevel:
    """Pose the problem at one pool model.

    Parameters
    ----------
    network, config, platform
        What is distilled with, the settings, and the layout.
    psi
        What is learned.
    theta_0
        The model's parameters.
    key
        Draws the subsets; needed where ``config.backward_subset`` is less than the images there are, mirror
        images included.
    """
    images, labels = training_set(psi.images, psi.labels, flip=config.flip)
    subset = backward_subset(config, labels.shape[0])
    keys = Keys()
    if subset is not None:
        if key is None:
            raise TypeError("a subset of the images is drawn with a key")
        keys = Keys(*jax.random.split(key, len(Keys._fields)))
    few = images if keys.statistics is None else images[choose(keys.statistics, len(images), subset or 0)]
    student = Student(FAMILY[config.algorithm], network.with_statistics_of(theta_0, few), theta_0)
    problem = student.pose(
        images,
        labels,
        config.l2_rate * psi.images.shape[0],
        platform,
        in_stages=bool(network.lower_layers) and _in_stages(config, *labels.shape),
        wide=config.solve_precision == "float64",
        subset=subset,
    )
    return Bilevel(config, platform, psi, student, problem, keys)


def backward_subset(config: AlgorithmConfig, n: int) -> int | None:
    """Through how many of ``n`` images gradients go, or None: through all."""
    size = config.backward_subset
    return size if size is not None and size < n else None


def average(proposals: Sequence[Proposal]) -> Proposal:
    """What several pool models propose together: the mean of what each does."""
    summed: Proposal = total(proposals)
    gradient, observed = jax.tree.map(lambda leaf: leaf / len(proposals), (summed.gradient, summed.observed))
    return summed._replace(gradient=gradient, observed=observed)


def _in_stages(config: AlgorithmConfig, n: int, classes: int) -> bool:
    """Whether to linearise in stages.

    It costs about as much as C iterations gain by it, and what it is made from grows with ``n C``.
    """
    return config.n_inner + config.n_hessian >= 2 * classes and n * classes <= _MOST_ROWS


def _fall(solution: Solution) -> Array:
    first, last = solution.progress[0], solution.progress[-1]
    return last / jnp.where(first == 0, 1, first)
