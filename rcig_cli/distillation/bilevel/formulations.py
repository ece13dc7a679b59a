"""How the inner problem is posed at one pool model theta_0, and what follows for the meta-gradient.

                            prediction                      solved for      last kernel     used by
    LinearizedBody          J theta_B + h theta_F           theta_B         closed form     RCIG
    LinearizedNetwork       J theta                         theta           part of theta   CIG
    OriginalNetwork         f(theta_0 + theta)              theta           part of theta   VIG
    FixedBody               h theta_F                       nothing         closed form     FRePo

theta is an offset from theta_0.  The implicit gradient carries how theta depends on psi; a last kernel in
closed form depends on psi directly, which adds the direct gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.bilevel.inner import (
    InnerProblem,
    VanillaProblem,
    inner_problem,
    solve_through,
)
from rcig_cli.distillation.bilevel.linearized import Apply, Linearized, body_of, linearize, with_body
from rcig_cli.distillation.bilevel.outer import OuterLoss, Predictor
from rcig_cli.distillation.bilevel.staged import linearize_in_stages
from rcig_cli.distillation.bilevel.subsampling import linearize_subsampled
from rcig_cli.distillation.network import Network
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Tree, split


class Outputs(NamedTuple):
    """What the inner problem needs of the network on the distilled images.

    Attributes
    ----------
    features
        h_S, ``[n, d]``; ``[n, 0]`` without a closed form.
    f, J_v
        ``f(theta)`` and ``J v``, ``[n, C]``; None where nothing is solved for.
    """

    features: Array
    f: Array | None
    J_v: Array | None


class Views(NamedTuple):
    """All that the losses depend on of the distilled set.

    Attributes
    ----------
    outputs
        Of the network on the distilled images.
    labels
        y_S, ``[n, C]``.
    """

    outputs: Outputs
    labels: Array

    @property
    def residual(self) -> Array:
        """``y_S - f_S(theta)``, ``[n, C]``."""
        return self.labels if self.outputs.f is None else self.labels - self.outputs.f


@dataclass(frozen=True)
class Layout:
    """How a formulation is computed.

    Attributes
    ----------
    platform
        How loops and batches are laid out.
    subset
        Distilled images that gradients go through at a time, or None: all (`subsampling`).
    staged
        Whether to linearize in stages, for many products with the Jacobian (`staged`).
    float64
        Whether to solve with A in float64 (paper, S3, "Miscellaneous").
    """

    platform: Platform
    subset: int | None = None
    staged: bool = False
    float64: bool = False


class Formulation(Protocol):
    """The inner problem of one method; created with the network, theta_0 and a `Layout`."""

    def problem(self, images: Array, labels: Array, lam: float) -> InnerProblem | VanillaProblem:
        """The inner problem on ``images [n, H, W, c]`` and ``labels [n, C]``."""

    def predictor(self, problem: Any, theta: Tree) -> Predictor:
        """What the model at ``theta`` predicts for real images."""

    def outer_gradient(self, problem: Any, outer: OuterLoss) -> Tree:
        """``g_T = dL_out/dtheta``, where a last kernel in closed form follows theta."""

    def outputs(self, theta: Tree, v: Tree, images: Array) -> Outputs:
        """Outputs of the network on images, differentiable in them."""

    def direct_gradient(self, problem: Any, outer: OuterLoss, seen: Views) -> Views | None:
        """Gradient of the outer loss in the views at fixed theta; None if it is zero."""

    def implicit_gradient(self, problem: Any, seen: Views) -> Views:
        """Gradient in the views of ``-< v, dL_in/dtheta >`` at fixed theta and v."""


@dataclass(frozen=True)
class LinearizedBody:
    """The network linearized in theta_B, with the last kernel in closed form (paper, 3.3)."""

    network: Network
    theta_0: Tree
    layout: Layout

    def problem(self, images: Array, labels: Array, lam: float) -> InnerProblem:
        """See `Formulation`."""
        layout = self.layout
        if layout.staged and layout.subset is None:
            J = linearize_in_stages(self.network, self.theta_0, images, layout.platform.parts)
        else:
            J = _linearized(*_body(self.network, self.theta_0), images, layout)
        return inner_problem(J, labels, lam, float64=layout.float64)

    def predictor(self, problem: InnerProblem, theta: Tree) -> Predictor:
        """See `Formulation`."""
        theta_F = problem.J.features.T @ problem.solve(problem.labels - problem.J.product(theta))
        # J theta_B + h theta_F is one product over all parameters.
        everything = {"body": theta["body"], "head": {"kernel": theta_F, "bias": theta["bias"]}}
        return _linearized_predictor(self.network, self.theta_0, everything)

    def outer_gradient(self, problem: InnerProblem, outer: OuterLoss) -> Tree:
        """See `Formulation`."""
        through_head = problem.J.transposed(problem.solve(problem.J.features @ outer.head))
        return optax.tree.sub(outer.body, through_head)

    def outputs(self, theta: Tree, v: Tree, images: Array) -> Outputs:
        """See `Formulation`."""

        def part(images: Array) -> Outputs:
            apply, at = _body(self.network, self.theta_0)
            (_, features), derivative = jax.linearize(lambda t: apply(t, images), at)
            return Outputs(features, derivative(theta)[0], derivative(v)[0])

        return _in_parts(part, images, self.layout)

    def direct_gradient(self, problem: InnerProblem, outer: OuterLoss, seen: Views) -> Views:
        """Through ``theta_F = h_S^T A^-1 (y_S - f_S)``."""
        return _through_head(problem, outer, seen)

    def implicit_gradient(self, problem: InnerProblem, seen: Views) -> Views:
        """Gradient of ``s < J_S v, A^-1 (y_S - f_S) >``."""

        def coupling(seen: Views) -> Array:
            assert seen.outputs.J_v is not None
            alpha = solve_through(problem, seen.outputs.features, seen.residual)
            return problem.scale * jnp.vdot(seen.outputs.J_v, alpha)

        return jax.grad(coupling)(seen)


class _WithoutClosedForm:
    """What formulations share that solve for all parameters, the last kernel among them."""

    def outer_gradient(self, problem: Any, outer: OuterLoss) -> Tree:
        """See `Formulation`."""
        del problem
        return outer.parameters

    def direct_gradient(self, problem: Any, outer: OuterLoss, seen: Views) -> None:
        """Nothing depends on psi at fixed theta."""
        del problem, outer, seen

    def implicit_gradient(self, problem: Any, seen: Views) -> Views:
        """Gradient of ``< J_S v, y_S - f_S > / (n C)``."""
        del problem

        def coupling(seen: Views) -> Array:
            assert seen.outputs.J_v is not None
            return jnp.vdot(seen.outputs.J_v, seen.residual) / seen.labels.size

        return jax.grad(coupling)(seen)


@dataclass(frozen=True)
class LinearizedNetwork(_WithoutClosedForm):
    """The network linearized in all parameters (paper, 3.2): a quadratic with no features and A = lam I."""

    network: Network
    theta_0: Tree
    layout: Layout

    def problem(self, images: Array, labels: Array, lam: float) -> InnerProblem:
        """See `Formulation`."""
        J = _linearized(self.network.apply, self.theta_0, images, self.layout)
        return inner_problem(J._replace(features=J.features[:, :0]), labels, lam)

    def predictor(self, problem: InnerProblem, theta: Tree) -> Predictor:
        """See `Formulation`."""
        del problem
        return _linearized_predictor(self.network, self.theta_0, theta)

    def outputs(self, theta: Tree, v: Tree, images: Array) -> Outputs:
        """See `Formulation`."""

        def part(images: Array) -> Outputs:
            at, apply = self.theta_0, self.network.apply
            (_, features), derivative = jax.linearize(lambda t: apply(t, images), at)
            return Outputs(features[:, :0], derivative(theta)[0], derivative(v)[0])

        return _in_parts(part, images, self.layout)


@dataclass(frozen=True)
class OriginalNetwork(_WithoutClosedForm):
    """The network as it is, nonlinear in its parameters (paper, 3.1)."""

    network: Network
    theta_0: Tree
    layout: Layout

    def problem(self, images: Array, labels: Array, lam: float) -> VanillaProblem:
        """See `Formulation`."""
        zero, parts = optax.tree.zeros_like(self.theta_0), self.layout.platform.parts
        return VanillaProblem(self._predict, images, labels, zero, lam, parts, self.layout.subset)

    def predictor(self, problem: VanillaProblem, theta: Tree) -> Predictor:
        """See `Formulation`."""
        del problem

        def predict(images: Array) -> tuple[Array, Callable[[Array], Tree]]:
            p, pull = jax.vjp(lambda theta: self._predict(theta, images), theta)
            return p, lambda dp: pull(dp)[0]

        return predict

    def outputs(self, theta: Tree, v: Tree, images: Array) -> Outputs:
        """See `Formulation`."""

        def part(images: Array) -> Outputs:
            at, apply = optax.tree.add(self.theta_0, theta), self.network.apply
            (logits, features), derivative = jax.linearize(lambda t: apply(t, images), at)
            return Outputs(features[:, :0], logits, derivative(v)[0])

        return _in_parts(part, images, self.layout)

    def _predict(self, theta: Tree, images: Array) -> Array:
        return self.network.apply(optax.tree.add(self.theta_0, theta), images)[0]


@dataclass(frozen=True)
class FixedBody:
    """Kernel ridge regression: the body stays at theta_0, and the last kernel has a closed form."""

    network: Network
    theta_0: Tree
    layout: Layout

    def problem(self, images: Array, labels: Array, lam: float) -> InnerProblem:
        """See `Formulation`; theta plays no part."""
        J = _linearized(*_body(self.network, self.theta_0), images, self.layout)
        return inner_problem(J, labels, lam, float64=self.layout.float64)

    def predictor(self, problem: InnerProblem) -> Predictor:
        """What the fitted model predicts for real images."""
        theta_F = problem.J.features.T @ problem.solve(problem.labels)

        def predict(images: Array) -> tuple[Array, Callable[[Array], Tree]]:
            h = self.network.apply(self.theta_0, images)[1]
            return h @ theta_F, lambda dp: {"head": {"kernel": h.T @ dp}}

        return predict

    def outputs(self, images: Array) -> Outputs:
        """The features of images, differentiable in them."""

        def part(images: Array) -> Outputs:
            return Outputs(self.network.apply(self.theta_0, images)[1], None, None)

        return _in_parts(part, images, self.layout)

    def direct_gradient(self, problem: InnerProblem, outer: OuterLoss, seen: Views) -> Views:
        """Through ``theta_F = h_S^T A^-1 y_S``."""
        return _through_head(problem, outer, seen)


def _body(network: Network, theta_0: Tree) -> tuple[Apply, Tree]:
    """The network as a function of theta_B, and where to linearize it."""
    return with_body(network.apply, theta_0), body_of(theta_0)


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


def _through_head(problem: InnerProblem, outer: OuterLoss, seen: Views) -> Views:
    def through_head(seen: Views) -> Array:
        alpha = solve_through(problem, seen.outputs.features, seen.residual)
        return jnp.vdot(outer.head, seen.outputs.features.T @ alpha)

    return jax.grad(through_head)(seen)


def _in_parts(function: Callable[[Array], Outputs], images: Array, layout: Layout) -> Outputs:
    """Outputs on the images, in as many independent parts as the platform asks for."""
    parts = [function(part) for part in split(images, layout.platform.parts)]
    joined: Outputs = jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts)
    return joined
