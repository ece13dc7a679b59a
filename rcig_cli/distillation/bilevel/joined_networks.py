"""Several networks as one whose features are all of theirs, so that its kernel is the mean of theirs (RFAD).

h(x) = [h_1(x), ..., h_N(x)] / sqrt(N),    h(x) h(x')^T = (h_1(x) h_1(x')^T + ... + h_N(x) h_N(x')^T) / N
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.records import Tree
from rcig_cli.networks.network import Network


@dataclass(frozen=True)
class JoinedNetworks(Network):
    """Several networks of one architecture, without a common split.

    Their parameters and statistics are stacked along a first axis.

    Attributes
    ----------
    members
        The networks, which differ in their statistics only.
    """

    members: tuple[Network, ...] = ()

    @classmethod
    def of(cls, members: Sequence[Network]) -> Self:
        """Join networks."""
        first = members[0]
        return cls(first.body, first.classes, first.image_shape, members=tuple(members))

    def init(self, key: Array) -> Tree:
        """Draw fresh parameters of each."""
        keys = jax.random.split(key, len(self.members))
        return _stacked([member.init(each) for member, each in zip(self.members, keys, strict=True)])

    def first_statistics(self) -> Tree:
        """Those of each."""
        return _stacked([member.first_statistics() for member in self.members])

    def with_statistics_of(self, parameters: Tree, images: Array) -> Self:
        """Fix the statistics of each to those of these images."""
        pairs = zip(self.members, self._each(parameters), strict=True)
        return self.of([member.with_statistics_of(theta, images) for member, theta in pairs])

    def train(self, parameters: Tree, statistics: Tree, images: Array) -> tuple[Array, Tree]:
        """The mean of their logits with the statistics of these images, and each one's running statistics."""
        trees = self._each(parameters), self._each(statistics)
        found = [
            member.train(theta, running, images)
            for member, theta, running in zip(self.members, *trees, strict=True)
        ]
        return _mean([logits for logits, _ in found]), _stacked([after for _, after in found])

    def apply(self, parameters: Tree, images: Array) -> tuple[Array, Array]:
        """The mean of their logits ``[b, C]``, and all their features ``[b, N d]``, divided by sqrt(N)."""
        pairs = zip(self.members, self._each(parameters), strict=True)
        found = [member.apply(theta, images) for member, theta in pairs]
        features = jnp.concatenate([features for _, features in found], 1) / jnp.sqrt(len(found))
        return _mean([logits for logits, _ in found]), features

    def _each(self, stacked: Tree) -> list[Tree]:
        return [jax.tree.map(lambda leaf, at=at: leaf[at], stacked) for at in range(len(self.members))]


def _mean(logits: Sequence[Array]) -> Array:
    return jnp.mean(jnp.stack(logits), 0)


def _stacked(trees: Sequence[Tree]) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
