"""The network that learns from the distilled set, as a member of the family sees it, at one pool model.

    linearised    f(theta) = J theta  (+ h theta_F)
    as it is      f(theta) = f(theta_0 + theta)

It says what the distilled images are in the inner problem, what the solution makes of real images, and what
of the distilled images the meta-gradient has to see.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.bilevel.inner import InnerProblem, VanillaProblem, inner_problem
from rcig_cli.distillation.bilevel.linearized import Apply, Network, body_of, linearize, with_body
from rcig_cli.distillation.bilevel.staged import linearize_in_stages
from rcig_cli.distillation.bilevel.subsampling import linearize_subsampled
from rcig_cli.distillation.family import Member
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Tree, split

# images -> (p [b, C], and the gradient in all parameters as a function of dL/dp)
Predictor = Callable[[Array], tuple[Array, Callable[[Array], Tree]]]


class Sight(NamedTuple):
    """What the inner problem sees of images.

    Attributes
    ----------
    features
        h_S, ``[n, d]``; ``[n, 0]`` without a closed form.
    by_theta, by_v
        ``f(theta)`` and ``J v``, ``[n, C]``.
    """

    features: Array
    by_theta: Array
    by_v: Array


class Student(NamedTuple):
    """A member of the family with its network at theta_0."""

    member: Member
    network: Network
    theta_0: Tree

    def pose(
        self,
        images: Array,
        labels: Array,
        lam: float,
        platform: Platform,
        *,
        in_stages: bool = False,
        wide: bool = False,
        subset: int | None = None,
    ) -> InnerProblem | VanillaProblem:
        """The inner problem on ``images [n, H, W, c]``, ``labels [n, C]``.

        ``in_stages`` is for many products (`staged`), ``wide`` for solves with A in float64, ``subset`` for
        gradients through so many images at a time (`subsample`).
        """
        parts = platform.parts
        if not self.member.linearized:
            zero = optax.tree.zeros_like(self.theta_0)
            return VanillaProblem(self._as_it_is, images, labels, zero, lam, parts, subset)
        apply, at = self._differentiated()
        if subset is not None:
            J = linearize_subsampled(apply, at, images, subset, platform)
        elif in_stages and self.member.closed_form:
            J = linearize_in_stages(self.network, self.theta_0, images, parts)
        else:
            J = linearize(apply, at, images, parts)
        if not self.member.closed_form:
            J = J._replace(features=J.features[:, :0])
        return inner_problem(J, labels, lam, wide=wide)

    def last_kernel(self, problem: Any, theta: Tree) -> Array | None:
        """theta_F, ``[d, C]``, where it has a closed form."""
        if not self.member.closed_form:
            return None
        r = problem.labels - problem.J.product(theta) if self.member.solves else problem.labels
        kernel: Array = problem.J.features.T @ problem.solve(r)
        return kernel

    def predictor(self, theta: Tree, theta_F: Array | None) -> Predictor:
        """What the solution makes of real images."""

        def as_it_is(images: Array) -> tuple[Array, Callable[[Array], Tree]]:
            p, pull = jax.vjp(lambda theta: self._as_it_is(theta, images), theta)
            return p, lambda dp: pull(dp)[0]

        def linearised(images: Array) -> tuple[Array, Callable[[Array], Tree]]:
            J = linearize(self.network.apply, self.theta_0, images)
            return J.product(_with_kernel(theta, theta_F)), J.transposed

        def head_alone(images: Array) -> tuple[Array, Callable[[Array], Tree]]:
            assert theta_F is not None
            h = self.network.apply(self.theta_0, images)[1]
            return h @ theta_F, lambda dp: {"head": {"kernel": h.T @ dp}}

        if not self.member.solves:
            return head_alone
        return linearised if self.member.linearized else as_it_is

    def look(self, theta: Tree, v: Tree, images: Array, parts: int = 1) -> Sight:
        """What the inner problem sees of distilled images, differentiable in them."""
        sights = [self._look(theta, v, part) for part in split(images, parts)]
        return Sight(*(jnp.concatenate(column) for column in zip(*sights, strict=True)))

    def _look(self, theta: Tree, v: Tree, images: Array) -> Sight:
        apply, at = self._differentiated()
        if not self.member.linearized:
            at = optax.tree.add(at, theta)
        (logits, features), derivative = jax.linearize(lambda t: apply(t, images), at)
        if not self.member.solves:
            return Sight(features, jnp.zeros_like(logits), jnp.zeros_like(logits))
        by_theta = derivative(theta)[0] if self.member.linearized else logits
        kept = features if self.member.closed_form else features[:, :0]
        return Sight(kept, by_theta, derivative(v)[0])

    def _differentiated(self) -> tuple[Apply, Tree]:
        """The network as a function of the parameters that are solved for, and where these are."""
        if self.member.closed_form:
            return with_body(self.network.apply, self.theta_0), body_of(self.theta_0)
        return self.network.apply, self.theta_0

    def _as_it_is(self, theta: Tree, images: Array) -> Array:
        return self.network.apply(optax.tree.add(self.theta_0, theta), images)[0]


def _with_kernel(theta: Tree, theta_F: Array | None) -> Tree:
    """All parameters: ``J theta_B + h theta_F`` is one product over them."""
    if theta_F is None:
        return theta
    return {"body": theta["body"], "head": {"kernel": theta_F, "bias": theta["bias"]}}
