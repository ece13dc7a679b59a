"""The outer loss: how well the model solved for on the distilled set classifies real images.

    p_T   = J_T theta_B + h_T theta_F
    L_out = mean cross-entropy( softmax(exp(log tau) p_T), y_T )  -  mean_i min( margin(y_S[i]), 1/(2C) )

The first is the paper's Platt loss (equation 6).  It reaches psi only through theta_B, theta_F and tau, so
all that is needed of the real batch is its gradient in these three.  ``J_T theta_B + h_T theta_F`` is one
Jacobian product over all parameters, and one transposed product returns both gradients.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.linearized import Apply, linearize, split
from rcig_cli.distillation.platform import Platform, after
from rcig_cli.distillation.records import Tree, total


class PlattLoss(NamedTuple):
    """The Platt loss on a real batch, and its gradients.

    Attributes
    ----------
    value
        Mean cross-entropy in nats, ``[]``.
    accuracy
        Share of the batch classified correctly, ``[]``.
    body
        Gradient in theta_B with theta_F fixed: ``J_T^T dL/dp_T``.
    head
        Gradient in theta_F: ``h_T^T dL/dp_T``, ``[d, C]``.
    log_temperature
        Gradient in log tau, ``[]``.
    """

    value: Array
    accuracy: Array
    body: Tree
    head: Array
    log_temperature: Array


def platt_loss(
    apply: Apply,
    theta_0: Tree,
    solution: tuple[Tree, Array, Array],
    images: Array,
    classes: Array,
    platform: Platform,
) -> PlattLoss:
    """Evaluate the Platt loss and its gradients.

    Parameters
    ----------
    apply, theta_0
        The network, and where it is linearised.
    solution
        ``(theta_B, theta_F, log tau)``.
    images, classes
        The real batch, ``[b, H, W, c]`` and ``[b]`` class indices.
    platform
        Says in how many pieces the batch goes through; they add up.
    """
    count = platform.pieces(images.shape[0])
    done: list[PlattLoss] = []
    for piece, piece_classes in zip(split(images, count), split(classes, count), strict=True):
        if len(done) >= platform.parts:
            piece = after(piece, done[-platform.parts].body)
        share = piece.shape[0] / images.shape[0]
        one = _platt_loss_of_piece(apply, theta_0, solution, piece, piece_classes)
        done.append(jax.tree.map(lambda leaf, share=share: share * leaf, one))
    summed: PlattLoss = total(done)
    return summed


def _platt_loss_of_piece(
    apply: Apply, theta_0: Tree, solution: tuple[Tree, Array, Array], images: Array, classes: Array
) -> PlattLoss:
    theta_B, theta_F, log_temperature = solution
    J = linearize(apply, theta_0, images)
    p = J.product({"body": theta_B["body"], "head": {"kernel": theta_F, "bias": theta_B["bias"]}})

    def cross_entropy(p: Array, log_temperature: Array) -> Array:
        logits = jnp.exp(log_temperature) * p
        return optax.softmax_cross_entropy_with_integer_labels(logits, classes).mean()

    value, (dp, d_temperature) = jax.value_and_grad(cross_entropy, (0, 1))(p, log_temperature)
    pulled = J.transposed(dp)
    accuracy = jnp.mean(jnp.argmax(p, -1) == classes)
    body = {"body": pulled["body"], "bias": pulled["head"]["bias"]}
    return PlattLoss(value, accuracy, body, pulled["head"]["kernel"], d_temperature)


def label_margin(labels: Array) -> Array:
    """Mean lead of each learned label's top class over its second, counted up to ``1/(2C)``.

    Parameters
    ----------
    labels
        y_S, ``[n, C]``.
    """
    top = jax.lax.top_k(labels, 2)[0]
    return jnp.minimum(top[:, 0] - top[:, 1], 0.5 / labels.shape[1]).mean()
