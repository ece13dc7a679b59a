"""A network linearized in its parameters at theta_0.

    f(theta_0 + t) ~ f(theta_0) + J t        (paper, equation 2)

J is used as two linear maps, ``t -> J t`` and ``u -> J^T u``; the primal pass runs once and is kept.

`linearize` is for the general case.  `linearize_in_stages` is faster for few images and classes, many
products.  For large distilled sets there is `subsampling.linearize_subsampled`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from rcig_cli.distillation.records import Tree, split, total
from rcig_cli.networks.network import Network

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
    """theta_B: all parameters except the last kernel."""
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
        The number of independent parts into which the batch is cut.
    """
    return _stack([_linearize_part(apply, theta, part) for part in split(images, parts)])


def linearize_in_stages(network: Network, theta_0: Tree, images: Array, parts: int = 1) -> Linearized:
    """Linearize a network in theta_B; equal to `linearize`, but made for many products.

    The network, which has to map each image by itself, is cut, ``logits = upper(z)`` and
    ``z = lower(images)``, and its first layer, the stem, is treated separately:

        J t = J_upper t_upper + D J_lower t_lower + J_stem t_stem,      D = d logits / d z

    D is a small matrix for each image, with ``C`` rows; it replaces a pass through the layers above the cut.
    J_stem has ``n C`` rows and few columns; it replaces a pass through all layers.  Both are computed by
    ``C`` reverse passes.
    """
    return _stack([_linearize_part_in_stages(network, theta_0, part) for part in split(images, parts)])


def _stack(pieces: Sequence[Linearized]) -> Linearized:
    """Concatenate the parts of a batch, in their order."""
    ends = [sum(p.features.shape[0] for p in pieces[: i + 1]) for i in range(len(pieces) - 1)]

    def product(t: Tree) -> Array:
        return jnp.concatenate([piece.product(t) for piece in pieces])

    def transposed(u: Array) -> Tree:
        rows = jnp.split(u, ends)
        terms = [piece.transposed(row) for piece, row in zip(pieces, rows, strict=True)]
        return total(terms)

    return Linearized(jnp.concatenate([p.features for p in pieces]), product, transposed)


def _linearize_part(apply: Apply, theta: Tree, images: Array) -> Linearized:
    (_, features), derivative = jax.linearize(lambda t: apply(t, images), theta)

    def product(t: Tree) -> Array:
        logits: Array = derivative(t)[0]
        return logits

    transpose = jax.linear_transpose(product, theta)
    return Linearized(features, product, lambda u: transpose(u)[0])


def _linearize_part_in_stages(network: Network, theta_0: Tree, images: Array) -> Linearized:
    stem_key, *middle_keys = network.lower_layers
    kernel = theta_0["head"]["kernel"]

    def part(theta: Tree) -> tuple[Tree, Tree, Tree]:
        body = theta["body"]
        middle = {key: body[key] for key in middle_keys}
        above = {key: layer for key, layer in body.items() if key not in network.lower_layers}
        return body[stem_key], middle, {"body": above, "bias": theta["bias"]}

    def lower(stem: Tree, middle: Tree, images: Array) -> Array:
        return network.lower({stem_key: stem, **middle}, images)

    def upper(above: Tree, z: Array) -> tuple[Array, Array]:
        head = {"kernel": kernel, "bias": above["bias"]}
        return network.upper({"body": above["body"], "head": head}, z)

    def rows_of_stem(image: Array, D: Array) -> Array:
        _, pull = jax.vjp(lambda stem: lower(stem, middle_0, image[None])[0], stem_0)
        return jax.vmap(lambda row: ravel_pytree(pull(row)[0])[0])(D)

    stem_0, middle_0, above_0 = part(body_of(theta_0))
    z, up_to_cut = jax.linearize(lambda middle: lower(stem_0, middle, images), middle_0)
    (_, features), from_cut = jax.linearize(lambda above: upper(above, z), above_0)
    D = jax.vmap(jax.jacrev(lambda one: upper(above_0, one[None])[0][0]))(z)  # [n, C, ...]
    J_stem = jax.vmap(rows_of_stem)(images, D)  # [n, C, stem]
    D = D.reshape(*D.shape[:2], -1)
    up_transposed = jax.linear_transpose(up_to_cut, middle_0)
    from_transposed = jax.linear_transpose(lambda above: from_cut(above)[0], above_0)
    _, unravel = ravel_pytree(stem_0)

    def product(t: Tree) -> Array:
        stem, middle, above = part(t)
        image = from_cut(above)[0] + J_stem @ ravel_pytree(stem)[0]
        if not middle:
            return image
        return image + jnp.einsum("nck,nk->nc", D, up_to_cut(middle).reshape(D.shape[0], -1))

    def transposed(u: Array) -> Tree:
        stem, above = unravel(jnp.tensordot(u, J_stem, 2)), from_transposed(u)[0]
        middle = up_transposed(jnp.einsum("nc,nck->nk", u, D).reshape(z.shape))[0] if middle_keys else {}
        return {"body": {stem_key: stem, **middle, **above["body"]}, "bias": above["bias"]}

    return Linearized(features, product, transposed)
