"""The outer loss: the loss on real images of the model that solves the inner problem.

    L_out = mean loss( p(X_T), y_T )  -  mean_i min( margin(y_S[i]), 1/(2C) )

    p(X) = J theta_B + h theta_F,  J theta  or  f(theta_0 + theta),  depending on the inner problem (`inner`)

The first term depends on psi only through theta, theta_F and tau, so only its gradient in these is needed of
the real batch: one forward and one backward pass.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Tree, centred_one_hot, split

Loss = Callable[[Array, Array, Array], Array]  # (p [b, C], classes [b], log tau) -> []

# images -> (p [b, C], and the gradient in all parameters as a function of dL/dp)
Predictor = Callable[[Array], tuple[Array, Callable[[Array], Tree]]]


def platt(p: Array, classes: Array, log_temperature: Array) -> Array:
    """Mean cross-entropy of ``softmax(tau p)``, in nats (paper, equation 6)."""
    logits = jnp.exp(log_temperature) * p
    return optax.softmax_cross_entropy_with_integer_labels(logits, classes).mean()


def squared_error(p: Array, classes: Array, log_temperature: Array) -> Array:
    """Half the mean squared difference from the centred one-hot labels; tau is not used."""
    del log_temperature
    return 0.5 * jnp.mean((p - centred_one_hot(classes, p.shape[1], p.dtype)) ** 2)


class OuterLoss(NamedTuple):
    """The outer loss on a real batch, and its gradients.

    Attributes
    ----------
    value
        Mean loss, without the label margin, ``[]``.
    accuracy
        Share of the batch classified correctly, ``[]``.
    parameters
        Gradient in all parameters, theta_F taken as one of them.
    log_temperature
        Gradient in log tau, ``[]``.
    """

    value: Array
    accuracy: Array
    parameters: Tree
    log_temperature: Array

    @property
    def head(self) -> Array:
        """Gradient in the last kernel, ``[d, C]``."""
        kernel: Array = self.parameters["head"]["kernel"]
        return kernel

    @property
    def body(self) -> Tree:
        """Gradient in theta_B, theta_F fixed."""
        return {"body": self.parameters["body"], "bias": self.parameters["head"]["bias"]}


def evaluate_outer_loss(
    predict: Predictor,
    loss: Loss,
    log_temperature: Array,
    images: Array,
    classes: Array,
    platform: Platform,
) -> OuterLoss:
    """Evaluate the outer loss and its gradients.

    Parameters
    ----------
    predict
        Predicts real images by the solution of the inner problem.
    loss
        The method's loss.
    log_temperature
        log tau.
    images, classes
        The real batch, ``[b, H, W, c]`` and ``[b]`` class indices.
    platform
        Determines the number of pieces in which the batch is processed; their results are added.
    """

    def of_piece(piece: Array, piece_classes: Array) -> OuterLoss:
        p, pull = predict(piece)
        value, (dp, d_temperature) = jax.value_and_grad(loss, (0, 2))(p, piece_classes, log_temperature)
        accuracy = jnp.mean(jnp.argmax(p, -1) == piece_classes)
        share = piece.shape[0] / images.shape[0]
        return jax.tree.map(lambda leaf: share * leaf, OuterLoss(value, accuracy, pull(dp), d_temperature))

    count = platform.pieces(images.shape[0])
    pieces = list(zip(split(images, count), split(classes, count), strict=True))
    summed: OuterLoss = platform.average(platform.sum_in_turn(of_piece, pieces))
    return summed


def label_margin(labels: Array) -> Array:
    """Mean difference between the two largest entries of each learned label, limited to ``1/(2C)``.

    Parameters
    ----------
    labels
        y_S, ``[n, C]``.
    """
    top = jax.lax.top_k(labels, 2)[0]
    return jnp.minimum(top[:, 0] - top[:, 1], 0.5 / labels.shape[1]).mean()
