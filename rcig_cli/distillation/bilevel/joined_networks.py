"""Several networks as one whose features are all of theirs, so that its kernel is the mean of theirs (RFAD).

h(x) = [h_1(x), ..., h_N(x)] / sqrt(N),    h(x) h(x')^T = (h_1(x) h_1(x')^T + ... + h_N(x) h_N(x')^T) / N
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.network import Network
from rcig_cli.distillation.records import Tree


@dataclass(frozen=True)
class JoinedNetworks:
    """Several networks of one architecture; see `rcig_cli.distillation.network.Network`.

    Their parameters and statistics are stacked along a first axis.

    Attributes
    ----------
    members
        The networks, which differ in their statistics only.
    """

    members: tuple[Network, ...]

    @property
    def lower_layers(self) -> tuple[str, ...]:
        """None: they have no common cut."""
        return ()

    def init(self, key: Array) -> Tree:
        """Draw fresh parameters of each."""
        keys = jax.random.split(key, len(self.members))
        return _stacked([member.init(each) for member, each in zip(self.members, keys, strict=True)])

    def first_statistics(self) -> Tree:
        """Those of each."""
        return _stacked([member.first_statistics() for member in self.members])

    def with_statistics_of(self, parameters: Tree, images: Array) -> "JoinedNetworks":
        """Fix the statistics of each to those of these images."""
        pairs = zip(self.members, self._each(parameters), strict=True)
        return JoinedNetworks(tuple(member.with_statistics_of(theta, images) for member, theta in pairs))

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

    def lower(self, body: Tree, images: Array) -> Array:
        """The images: there is no cut."""
        del body
        return images

    def upper(self, parameters: Tree, z: Array) -> tuple[Array, Array]:
        """As `apply`."""
        return self.apply(parameters, z)

    def _each(self, stacked: Tree) -> list[Tree]:
        return [jax.tree.map(lambda leaf, at=at: leaf[at], stacked) for at in range(len(self.members))]


def _mean(logits: Sequence[Array]) -> Array:
    return jnp.mean(jnp.stack(logits), 0)


def _stacked(trees: Sequence[Tree]) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
