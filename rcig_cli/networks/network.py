"""A network as a value: a body that computes features, and a linear head that computes logits.

    logits = features(images) kernel + bias

The algorithm solves for the head's kernel in closed form and linearizes the rest.  So parameters are always
``{"body": ..., "head": {"kernel": [d, C], "bias": [C]}}``.

The statistics of batch norms are not parameters.  A network holds those it divides by (``statistics``), so
that its output for an image doesn't depend on the rest of the batch; in training it divides by the statistics
of the batch and updates running ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.networks.norms import RUNNING, THIS_BATCH, TRAINING, Statistics

Parameters = Mapping[str, Any]


class Body(nn.Module):
    """A network without its head: a map from images ``[b, H, W, c]`` to features ``[b, ...]``.

    Attributes
    ----------
    width
        Channels of the first layer; the others are in proportion.
    activation
        ``"relu"``, or ``"softplus"`` in distillation at depth 3 or less.
    norm, statistics
        See `norms.norm_layer`.
    """

    width: int
    activation: str = "relu"
    norm: str = "none"
    statistics: Statistics = RUNNING

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels after each layer, or stage of layers."""
        raise NotImplementedError


@dataclass(frozen=True)
class Network:
    """A body and a linear head.

    Attributes
    ----------
    body
        Computes features.
    classes
        Number of logits, C.
    image_shape
        ``(H, W, c)``.
    statistics
        The statistics that its batch norms divide by, as returned by `first_statistics` and `train`.
    """

    body: Body
    classes: int
    image_shape: tuple[int, int, int]
    statistics: Parameters = field(default_factory=dict)

    def init(self, key: Array) -> Parameters:
        """Draw fresh parameters: LeCun-normal kernels, zero biases."""
        key_body, key_head = jax.random.split(key)
        image = jnp.zeros((1, *self.image_shape))
        features, variables = self.body.init_with_output(key_body, image)
        kernel = nn.initializers.lecun_normal()(key_head, (features.size, self.classes))
        head = {"kernel": kernel, "bias": jnp.zeros(self.classes)}
        return {"body": variables["params"], "head": head}

    def apply(self, parameters: Parameters, images: Array) -> tuple[Array, Array]:
        """Logits ``[b, C]`` and features ``[b, d]`` of images ``[b, H, W, c]``."""
        return self._head(parameters, self._pass(parameters["body"], images))

    def first_statistics(self) -> Parameters:
        """Running statistics before any training: mean 0, variance 1; empty without batch norms."""
        if not self._has_statistics:
            return {}
        shapes = jax.eval_shape(self.body.init, jax.random.key(0), jnp.zeros((1, *self.image_shape)))
        fill = {"mean": jnp.zeros, "var": jnp.ones}
        first: Parameters = jax.tree_util.tree_map_with_path(
            lambda path, leaf: fill[path[-1].key](leaf.shape, leaf.dtype), shapes["batch_stats"]
        )
        return first

    def with_statistics(self, statistics: Parameters) -> Self:
        """The network with the statistics of its norms fixed."""
        return replace(self, statistics=statistics)

    def with_statistics_of(self, parameters: Parameters, images: Array) -> Self:
        """The network with the statistics of its norms fixed at those of these images, ``[n, H, W, c]``.

        They are constants: no gradient flows through them.
        """
        if not self._has_statistics:
            return self
        _, statistics = self._with_batch_statistics(
            THIS_BATCH, parameters, self.first_statistics(), jax.lax.stop_gradient(images)
        )
        return self.with_statistics(statistics)

    def train(
        self, parameters: Parameters, statistics: Parameters, images: Array
    ) -> tuple[Array, Parameters]:
        """Logits ``[b, C]`` with the statistics of these images, and the running statistics after them."""
        if not self._has_statistics:
            return self.apply(parameters, images)[0], statistics
        features, after = self._with_batch_statistics(TRAINING, parameters, statistics, images)
        return self._head(parameters, features)[0], after

    @property
    def lower_layers(self) -> tuple[str, ...]:
        """Keys, in the body's parameters, of the layers below the split; none where there is no split."""
        return ()

    def lower(self, body: Parameters, images: Array) -> Array:
        """Output of the layers below the split."""
        del body
        return images

    def upper(self, parameters: Parameters, z: Array) -> tuple[Array, Array]:
        """Logits ``[b, C]`` and features ``[b, d]`` from the output of ``lower``."""
        return self.apply(parameters, z)

    @property
    def _has_statistics(self) -> bool:
        return self.body.norm == "batch"

    def _with_batch_statistics(
        self, how: Statistics, parameters: Parameters, statistics: Parameters, images: Array
    ) -> tuple[Array, Parameters]:
        variables = {"params": parameters["body"], "batch_stats": statistics}
        features, changed = self.body.clone(statistics=how).apply(variables, images, mutable=["batch_stats"])
        assert isinstance(features, Array)
        return features, changed["batch_stats"]

    def _pass(self, body: Parameters, x: Array, *part: slice) -> Array:
        variables = {"params": body, "batch_stats": self.statistics}
        result = self.body.apply(variables, x, *part)
        assert isinstance(result, Array)
        return result

    def _head(self, parameters: Parameters, features: Array) -> tuple[Array, Array]:
        head, flat = parameters["head"], features.reshape(features.shape[0], -1)
        return flat @ head["kernel"] + head["bias"], flat
