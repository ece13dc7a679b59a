"""A network linearized in its parameters at theta_0.

    f(theta_0 + t) ~ f(theta_0) + J t        (paper, equation 2)

J is used as two linear maps, ``t -> J t`` and ``u -> J^T u``; the primal pass runs once and is kept.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.records import Tree, split, total

Apply = Callable[[Tree, Array], tuple[Array, Array]]  # (parameters, images) -> (logits, features)


class Linearized(NamedTuple):
    """Features and Jacobian products of a network on a batch of images.

    Attributes
    ----------
    features
        h at theta_0, ``[n, d]``.
    product
        ``t -> J t``, from the parameters' structure to ``[n, C]``.
    transposed
        ``u -> J^T u``, from ``[n, C]`` to the parameters' structure.
    draw
        ``key -> transposed``, unbiased, through a random subset of the images; None if subsets aren't used.
    """

    features: Array
    product: Callable[[Tree], Array]
    transposed: Callable[[Array], Tree]
    draw: Callable[[Array], Callable[[Array], Tree]] | None = None


def body_of(parameters: Tree) -> Tree:
    """theta_B: every parameter but the last kernel."""
    return {"body": parameters["body"], "bias": parameters["head"]["bias"]}


def with_body(apply: Apply, parameters: Tree) -> Apply:
    """The network as a function of theta_B alone, its last kernel fixed."""

    def apply_body(body: Tree, images: Array) -> tuple[Array, Array]:
        head = {"kernel": parameters["head"]["kernel"], "bias": body["bias"]}
        return apply({"body": body["body"], "head": head}, images)

    return apply_body


def linearize(apply: Apply, theta: Tree, images: Array, parts: int = 1) -> Linearized:
    """Linearize a network in its parameters.

    Parameters
    ----------
    apply
        ``(theta, images) -> (logits [n, C], features [n, d])``.
    theta
        Where to linearize.
    images
        ``[n, H, W, c]``.
    parts
        Into how many independent parts the batch is cut.
    """
    return stack([_linearize_whole(apply, theta, part) for part in split(images, parts)])


def stack(pieces: Sequence[Linearized]) -> Linearized:
    """Concatenate the parts of a batch, in their order."""
    ends = [sum(p.features.shape[0] for p in pieces[: i + 1]) for i in range(len(pieces) - 1)]

    def product(t: Tree) -> Array:
        return jnp.concatenate([piece.product(t) for piece in pieces])

    def transposed(u: Array) -> Tree:
        rows = jnp.split(u, ends)
        terms = [piece.transposed(row) for piece, row in zip(pieces, rows, strict=True)]
        return total(terms)

    return Linearized(jnp.concatenate([p.features for p in pieces]), product, transposed)


def _linearize_whole(apply: Apply, theta: Tree, images: Array) -> Linearized:
    (_, features), derivative = jax.linearize(lambda t: apply(t, images), theta)

    def product(t: Tree) -> Array:
        logits: Array = derivative(t)[0]
        return logits

    transpose = jax.linear_transpose(product, theta)
    return Linearized(features, product, lambda u: transpose(u)[0])
