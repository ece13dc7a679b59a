"""A network linearised in its parameters at theta_0.

    f(theta_0 + t) ~ f(theta_0) + J t        (paper, equation 2)

J is used as two linear maps, ``t -> J t`` and ``u -> J^T u``; the primal pass runs once and is kept.

Where many products are to come, the part of J that belongs to the network's stem is worth writing out as a
matrix: the stem has few parameters, but in a product its tangents go through every later layer.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from rcig_cli.distillation.records import Tree, total

Apply = Callable[[Tree, Array], tuple[Array, Array]]  # (parameters, images) -> (logits, features)


class Network(Protocol):
    """What the algorithm needs of a network."""

    @property
    def stem(self) -> str:
        """Key, in the body's parameters, of the layer next to the images."""

    def init(self, key: Array) -> Tree:
        """Draw fresh parameters."""

    def apply(self, parameters: Tree, images: Array) -> tuple[Array, Array]:
        """Logits ``[b, C]`` and features ``[b, d]``."""


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
    """

    features: Array
    product: Callable[[Tree], Array]
    transposed: Callable[[Array], Tree]


def body_of(parameters: Tree) -> Tree:
    """theta_B: every parameter but the last kernel."""
    return {"body": parameters["body"], "bias": parameters["head"]["bias"]}


def with_body(apply: Apply, parameters: Tree) -> Apply:
    """The network as a function of theta_B alone, its last kernel fixed."""

    def apply_body(body: Tree, images: Array) -> tuple[Array, Array]:
        head = {"kernel": parameters["head"]["kernel"], "bias": body["bias"]}
        return apply({"body": body["body"], "head": head}, images)

    return apply_body


def linearize(
    apply: Apply, theta: Tree, images: Array, parts: int = 1, *, stem: str | None = None
) -> Linearized:
    """Linearise a network in its parameters.

    Parameters
    ----------
    apply
        ``(theta, images) -> (logits [n, C], features [n, d])``.
    theta
        Where to linearise.
    images
        ``[n, H, W, c]``.
    parts
        Into how many independent parts the batch is cut.
    stem
        Key in ``theta["body"]`` whose Jacobian is written out, ``n C`` rows; None: all are maps.
    """
    pieces = [
        _linearize_whole(apply, theta, part)
        if stem is None
        else _linearize_with_stem(apply, theta, part, stem)
        for part in split(images, parts)
    ]
    ends = [sum(p.features.shape[0] for p in pieces[: i + 1]) for i in range(len(pieces) - 1)]

    def product(t: Tree) -> Array:
        return jnp.concatenate([piece.product(t) for piece in pieces])

    def transposed(u: Array) -> Tree:
        rows = jnp.split(u, ends)
        terms = [piece.transposed(row) for piece, row in zip(pieces, rows, strict=True)]
        return total(terms)

    return Linearized(jnp.concatenate([p.features for p in pieces]), product, transposed)


def split(images: Array, parts: int) -> list[Array]:
    """Cut a batch into at most ``parts`` nearly equal parts, none of them empty."""
    return jnp.array_split(images, min(parts, images.shape[0]))


def _linearize_whole(apply: Apply, theta: Tree, images: Array) -> Linearized:
    (_, features), derivative = jax.linearize(lambda t: apply(t, images), theta)

    def product(t: Tree) -> Array:
        logits: Array = derivative(t)[0]
        return logits

    transpose = jax.linear_transpose(product, theta)
    return Linearized(features, product, lambda u: transpose(u)[0])


def _linearize_with_stem(apply: Apply, theta: Tree, images: Array, stem: str) -> Linearized:
    """Linearise with the Jacobian of one layer as a matrix: ``J t = J_rest t_rest + J_stem t_stem``."""

    def join(layer: Tree, rest: Tree) -> Tree:
        return {**rest, "body": {stem: layer, **rest["body"]}}

    def part(theta: Tree) -> tuple[Tree, Tree]:
        others = {key: layer for key, layer in theta["body"].items() if key != stem}
        return theta["body"][stem], {**theta, "body": others}

    def logits(layer: Tree, image: Array) -> Array:
        return apply(join(layer, rest_0), image[None])[0][0]

    layer_0, rest_0 = part(theta)
    rest = _linearize_whole(lambda t, x: apply(join(layer_0, t), x), rest_0, images)
    _, unravel = ravel_pytree(layer_0)
    jacobian = jax.vmap(jax.jacrev(logits), (None, 0))(layer_0, images)  # leaves [n, C, ...]
    J_stem = jnp.concatenate([j.reshape(*j.shape[:2], -1) for j in jax.tree.leaves(jacobian)], -1)

    def product(t: Tree) -> Array:
        layer, others = part(t)
        return rest.product(others) + J_stem @ ravel_pytree(layer)[0]

    def transposed(u: Array) -> Tree:
        return join(unravel(jnp.tensordot(u, J_stem, 2)), rest.transposed(u))

    return Linearized(rest.features, product, transposed)
