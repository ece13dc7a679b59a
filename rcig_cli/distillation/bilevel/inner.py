"""The inner problem of each method at one pool model theta_0: regression on the distilled set.

    class              prediction f               solved for   last kernel     used by
    LinearizedBody     J theta_B + h theta_F      theta_B      closed form     RCIG (paper, 3.3)
    LinearizedNetwork  J theta                    theta        part of theta   CIG (paper, 3.2)
    OriginalNetwork    f(theta_0 + theta)         theta        part of theta   VIG (paper, 3.1)

theta is an offset from theta_0.  RCIG's problem, with r = y_S - J_S theta_B and A = h_S h_S^T + lam I, is a
quadratic (paper, equations 3 and 4):

    L_in(theta_B) = s/2 ( tr(r^T A^-1 r) + |theta_B|^2 ),    s = lam / (n C)
    grad L_in     = s ( theta_B - J_S^T A^-1 r )
    H v           = s ( v + J_S^T A^-1 J_S v )

CIG's is the same with no features, A = lam I, and theta all parameters:
``( |r|^2 + lam |theta|^2 ) / (2 n C)``.  VIG's is that loss with r = y_S - f(theta_0 + theta).

The implicit gradient is the part of the meta-gradient through theta's dependence on psi.  A last kernel in
closed form depends on psi directly, which adds the direct gradient (`meta_gradient`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.bilevel.feature_kernel import FeatureKernel, feature_kernel
from rcig_cli.distillation.bilevel.linearized import (
    Apply,
    Linearized,
    body_of,
    linearize,
    linearize_in_stages,
    with_body,
)
from rcig_cli.distillation.bilevel.outer import OuterLoss, Predictor
from rcig_cli.distillation.bilevel.subsampling import choose, linearize_subsampled
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Tree, split, total
from rcig_cli.networks.network import Network


class Outputs(NamedTuple):
    """The outputs of the network on the distilled images that the losses depend on.

    Attributes
    ----------
    features
        h_S, ``[n, d]``; None where the last kernel has no closed form.
    f
        ``f(theta)``, or ``J theta`` where the network is linearized, ``[n, C]``.
    J_v
        ``J v``, ``[n, C]``.
    """

    features: Array | None
    f: Array
    J_v: Array


Part = tuple[Outputs, Array]  # a gradient in the outputs and in the labels


@dataclass(frozen=True)
class Layout:
    """The layout of the computation of an inner problem.

    Attributes
    ----------
    platform
        How loops and batches are laid out.
    subset
        Number of distilled images through which gradients are back-propagated, or None for all
        (`subsampling`).
    staged
        Whether to linearize in stages, for many products with the Jacobian.
    float64
        Whether to solve with A in float64.
    """

    platform: Platform
    subset: int | None = None
    staged: bool = False
    float64: bool = False


@dataclass(frozen=True)
class InnerProblem(ABC):
    """An inner problem, made with `pose`; by default the last kernel is a part of theta.

    Attributes
    ----------
    network, theta_0
        The network, and the pool model's parameters.
    labels
        y_S, ``[n, C]``.
    lam
        Regularization, ``l2_rate * |S|``, |S| counted before the flip.
    layout
        How it is computed.
    """

    network: Network
    theta_0: Tree
    labels: Array
    lam: float
    layout: Layout

    closed_form: ClassVar[bool] = False  # whether the last kernel has a closed form

    @classmethod
    @abstractmethod
    def pose(
        cls, network: Network, theta_0: Tree, images: Array, labels: Array, lam: float, layout: Layout
    ) -> Self:
        """Pose the problem on ``images [n, H, W, c]`` and ``labels [n, C]``."""

    @abstractmethod
    def with_new_subset(self, key: Array | None) -> Self:
        """The problem with gradients through a new subset of the images, if subsets are used."""

    @abstractmethod
    def value_and_gradient(self, theta: Tree) -> tuple[Array, Tree]:
        """L_in and its gradient at theta."""

    @abstractmethod
    def value_and_gradient_at_zero(self) -> tuple[Array, Tree]:
        """L_in and its gradient at theta = 0."""

    @abstractmethod
    def hessian(self, theta: Tree) -> Callable[[Tree], Tree]:
        """``v -> H v`` at theta."""

    @abstractmethod
    def predictor(self, theta: Tree) -> Predictor:
        """The function that predicts logits for real images with the model at theta."""

    @abstractmethod
    def outputs(self, theta: Tree, v: Tree, images: Array) -> Outputs:
        """Outputs of the network on images ``[n, H, W, c]``, differentiable in them."""

    def outer_gradient(self, outer: OuterLoss) -> Tree:
        """``g_T = dL_out/dtheta``, including the dependence of a last kernel in closed form on theta."""
        return outer.parameters

    def direct_gradient(self, outer: OuterLoss, outputs: Outputs, labels: Array) -> Part | None:
        """Gradient of the outer loss at fixed theta; None if it is zero."""
        del outer, outputs, labels
        return None

    def implicit_gradient(self, outputs: Outputs, labels: Array) -> Part:
        """Gradient of ``-< v, dL_in/dtheta >  =  < J_S v, y_S - f_S > / (n C)`` at fixed theta and v."""

        def coupling(outputs: Outputs, labels: Array) -> Array:
            return jnp.vdot(outputs.J_v, labels - outputs.f) / labels.size

        part: Part = jax.grad(coupling, (0, 1))(outputs, labels)
        return part


@dataclass(frozen=True)
class Quadratic(InnerProblem):
    """The inner problem of a linearized network.

    Attributes
    ----------
    J
        The linearized network on the distilled images.
    A
        The feature kernel.
    """

    J: Linearized
    A: FeatureKernel

    @property
    def scale(self) -> float:
        """s = lam / (n C)."""
        return self.lam / self.labels.size

    def with_new_subset(self, key: Array | None) -> Self:
        """See `InnerProblem`: J_S^T goes through the subset."""
        if key is None or self.J.draw is None:
            return self
        return replace(self, J=self.J._replace(transposed=self.J.draw(key)))

    def value_and_gradient(self, theta: Tree) -> tuple[Array, Tree]:
        """See `InnerProblem`."""
        r = self.labels - self.J.product(theta)
        alpha = self.A.solve(r)
        pulled = self.J.transposed(alpha)
        value = 0.5 * self.scale * (jnp.vdot(r, alpha) + optax.tree.norm(theta, squared=True))
        return value, jax.tree.map(lambda t, p: self.scale * (t - p), theta, pulled)

    def value_and_gradient_at_zero(self) -> tuple[Array, Tree]:
        """See `InnerProblem`; J_S theta needs no product."""
        alpha = self.A.solve(self.labels)
        value = 0.5 * self.scale * jnp.vdot(self.labels, alpha)
        return value, optax.tree.scale(-self.scale, self.J.transposed(alpha))

    def hessian(self, theta: Tree) -> Callable[[Tree], Tree]:
        """See `InnerProblem`; it is the same at every theta."""
        del theta

        def product(v: Tree) -> Tree:
            pulled = self.J.transposed(self.A.solve(self.J.product(v)))
            return jax.tree.map(lambda a, p: self.scale * (a + p), v, pulled)

        return product


class LinearizedBody(Quadratic):
    """RCIG: linearized in theta_B, with the last kernel in closed form."""

    closed_form = True

    @classmethod
    def pose(
        cls, network: Network, theta_0: Tree, images: Array, labels: Array, lam: float, layout: Layout
    ) -> Self:
        """See `InnerProblem`."""
        if layout.staged and layout.subset is None:
            J = linearize_in_stages(network, theta_0, images, layout.platform.parts)
        else:
            J = _linearized(with_body(network.apply, theta_0), body_of(theta_0), images, layout)
        A = feature_kernel(J.features, lam, float64=layout.float64)
        return cls(network, theta_0, labels, lam, layout, J, A)

    def predictor(self, theta: Tree) -> Predictor:
        """See `InnerProblem`."""
        theta_F = self.A.features.T @ self.A.solve(self.labels - self.J.product(theta))
        # J theta_B + h theta_F is one product over all parameters.
        everything = {"body": theta["body"], "head": {"kernel": theta_F, "bias": theta["bias"]}}
        return _linearized_predictor(self.network, self.theta_0, everything)

    def outputs(self, theta: Tree, v: Tree, images: Array) -> Outputs:
        """See `InnerProblem`."""
        apply, at = with_body(self.network.apply, self.theta_0), body_of(self.theta_0)

        def part(images: Array) -> Outputs:
            (_, features), derivative = jax.linearize(lambda t: apply(t, images), at)
            return Outputs(features, derivative(theta)[0], derivative(v)[0])

        return in_parts(part, images, self.layout.platform)

    def outer_gradient(self, outer: OuterLoss) -> Tree:
        """See `InnerProblem`."""
        through_head = self.J.transposed(self.A.solve(self.A.features @ outer.head))
        return optax.tree.sub(outer.body, through_head)

    def direct_gradient(self, outer: OuterLoss, outputs: Outputs, labels: Array) -> Part:
        """See `InnerProblem`: through ``theta_F = h_S^T A^-1 (y_S - f_S)``."""

        def through_last_kernel(outputs: Outputs, labels: Array) -> Array:
            assert outputs.features is not None
            return self.A.through_last_kernel(outer.head, outputs.features, labels - outputs.f)

        part: Part = jax.grad(through_last_kernel, (0, 1))(outputs, labels)
        return part

    def implicit_gradient(self, outputs: Outputs, labels: Array) -> Part:
        """See `InnerProblem`: the gradient of ``s < J_S v, A^-1 (y_S - f_S) >``."""

        def coupling(outputs: Outputs, labels: Array) -> Array:
            assert outputs.features is not None
            alpha = self.A.solve_through(outputs.features, labels - outputs.f)
            return self.scale * jnp.vdot(outputs.J_v, alpha)

        part: Part = jax.grad(coupling, (0, 1))(outputs, labels)
        return part


class LinearizedNetwork(Quadratic):
    """CIG: linearized in all parameters."""

    @classmethod
    def pose(
        cls, network: Network, theta_0: Tree, images: Array, labels: Array, lam: float, layout: Layout
    ) -> Self:
        """See `InnerProblem`."""
        J = _linearized(network.apply, theta_0, images, layout)
        return cls(network, theta_0, labels, lam, layout, J, feature_kernel(J.features[:, :0], lam))

    def predictor(self, theta: Tree) -> Predictor:
        """See `InnerProblem`."""
        return _linearized_predictor(self.network, self.theta_0, theta)

    def outputs(self, theta: Tree, v: Tree, images: Array) -> Outputs:
        """See `InnerProblem`."""

        def part(images: Array) -> Outputs:
            derivative = jax.linearize(lambda t: self.network.apply(t, images)[0], self.theta_0)[1]
            return Outputs(None, derivative(theta), derivative(v))

        return in_parts(part, images, self.layout.platform)


@dataclass(frozen=True)
class OriginalNetwork(InnerProblem):
    """VIG: the original network, which is nonlinear in its parameters.

    Attributes
    ----------
    images
        X_S, ``[n, H, W, c]``.
    weight
        The number of images that each of these represents, if they are a subset.
    """

    images: Array
    weight: float = 1.0

    @classmethod
    def pose(
        cls, network: Network, theta_0: Tree, images: Array, labels: Array, lam: float, layout: Layout
    ) -> Self:
        """See `InnerProblem`."""
        return cls(network, theta_0, labels, lam, layout, images)

    def with_new_subset(self, key: Array | None) -> Self:
        """See `InnerProblem`: loss and gradient are estimated from the subset."""
        size, count = self.layout.subset, self.labels.shape[0]
        if key is None or size is None:
            return self
        chosen = choose(key, count, size)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen], weight=count / size)

    def value(self, theta: Tree) -> Array:
        """L_in at theta."""
        parts = self.layout.platform.parts
        pieces = zip(split(self.images, parts), split(self.labels, parts), strict=True)
        errors = [jnp.sum((y - self._f(theta, x)) ** 2) for x, y in pieces]
        decay = self.lam * optax.tree.norm(theta, squared=True)
        return 0.5 * (self.weight * total(errors) + decay) / (self.weight * self.labels.size)

    def value_and_gradient(self, theta: Tree) -> tuple[Array, Tree]:
        """See `InnerProblem`."""
        return jax.value_and_grad(self.value)(theta)

    def value_and_gradient_at_zero(self) -> tuple[Array, Tree]:
        """See `InnerProblem`."""
        return self.value_and_gradient(optax.tree.zeros_like(self.theta_0))

    def hessian(self, theta: Tree) -> Callable[[Tree], Tree]:
        """See `InnerProblem`; the gradient is linearized once."""
        product: Callable[[Tree], Tree] = jax.linearize(jax.grad(self.value), theta)[1]
        return product

    def predictor(self, theta: Tree) -> Predictor:
        """See `InnerProblem`."""

        def predict(images: Array) -> tuple[Array, Callable[[Array], Tree]]:
            p, pull = jax.vjp(lambda theta: self._f(theta, images), theta)
            return p, lambda dp: pull(dp)[0]

        return predict

    def outputs(self, theta: Tree, v: Tree, images: Array) -> Outputs:
        """See `InnerProblem`."""

        def part(images: Array) -> Outputs:
            f, derivative = jax.linearize(partial(self._f, images=images), theta)
            return Outputs(None, f, derivative(v))

        return in_parts(part, images, self.layout.platform)

    def _f(self, theta: Tree, images: Array) -> Array:
        return self.network.apply(optax.tree.add(self.theta_0, theta), images)[0]


def in_parts(function: Callable[[Array], Tree], images: Array, platform: Platform) -> Tree:
    """Rows for each image, in as many independent parts as the platform asks for."""
    parts = [function(part) for part in split(images, platform.parts)]
    return jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts)


def _linearized(apply: Apply, at: Tree, images: Array, layout: Layout) -> Linearized:
    """Linearize, in chunks if gradients go through a subset of the images."""
    if layout.subset is not None:
        return linearize_subsampled(apply, at, images, layout.subset, layout.platform)
    return linearize(apply, at, images, layout.platform.parts)


def _linearized_predictor(network: Network, theta_0: Tree, theta: Tree) -> Predictor:
    def predict(images: Array) -> tuple[Array, Callable[[Array], Tree]]:
        J = linearize(network.apply, theta_0, images)
        return J.product(theta), J.transposed

    return predict
