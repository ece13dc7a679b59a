"""The interface of networks that distillation uses; `rcig_cli.networks` has the networks themselves."""

from typing import Protocol, Self

from jax import Array

from rcig_cli.distillation.records import Tree


class Network(Protocol):
    """The functions of a network that methods use."""

    @property
    def lower_layers(self) -> tuple[str, ...]:
        """Keys, in the body's parameters, of the layers below the cut, in order; empty without a cut."""

    def init(self, key: Array) -> Tree:
        """Draw fresh parameters."""

    def first_statistics(self) -> Tree:
        """Running statistics of its normalization layers before any training."""

    def with_statistics_of(self, parameters: Tree, images: Array) -> Self:
        """The network with the statistics of its normalization layers fixed to those of these images."""

    def train(self, parameters: Tree, statistics: Tree, images: Array) -> tuple[Array, Tree]:
        """Logits with the statistics of these images, and the running statistics after them."""

    def apply(self, parameters: Tree, images: Array) -> tuple[Array, Array]:
        """Logits ``[b, C]`` and features ``[b, d]`` of images ``[b, H, W, c]``."""

    def lower(self, body: Tree, images: Array) -> Array:
        """The output z ``[b, ...]`` of the layers below the cut, whose parameters are ``body``."""

    def upper(self, parameters: Tree, z: Array) -> tuple[Array, Array]:
        """Logits and features from z, by the layers above the cut."""
