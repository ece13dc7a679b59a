"""The layout of loops and batches for the machine; it does not change the mathematics.

XLA on a CPU runs a convolution inside one of its own loops some thirty times slower than outside
(jax-ml/jax issue 12868), and splits small convolutions badly over cores: independent parts of a batch, one
per core, run faster.  On an accelerator XLA's loops are fast, and a batch is not split.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.records import split, total

_MOST_PIECES = 16

Carry = TypeVar("Carry")
Output = TypeVar("Output")


@dataclass(frozen=True)
class Platform:
    """The layout of loops and batches.

    Attributes
    ----------
    unroll
        Unroll loops, instead of using an XLA loop.
    parts
        The number of parts into which the distilled images are cut, which run in parallel.
    piece
        Images that pass through the network at a time (real ones, and in training distilled ones), with
        ``parts`` such pieces in parallel; None for all.  A piece that fits into a core's cache is faster.
    repeated
        Returns a function unchanged that is called several times with arguments of the same shapes, so that
        an engine can compile it once (`runs.engine.programs`), or at least compute all its arguments before
        it, once.  Otherwise XLA on a CPU recomputes cheap values for each use: an iterate of an unrolled
        loop, from all earlier iterates.
    average
        Averages a pytree over the devices that share a batch of real images.
    """

    unroll: bool = False
    parts: int = 1
    piece: int | None = None
    repeated: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function
    average: Callable[[Any], Any] = lambda tree: tree

    def pieces(self, count: int) -> int:
        """Return the number of pieces for ``count`` images; each is compiled, so there are few."""
        if self.piece is None:
            return 1
        return min(max(count // self.piece, self.parts), _MOST_PIECES, max(count, 1))

    def repeat(
        self, steps: int, body: Callable[[Carry], tuple[Carry, Output]], carry: Carry
    ) -> tuple[Carry, Output]:
        """Apply ``body`` a fixed number of times; return the last carry and the outputs, stacked."""
        if not self.unroll:
            return jax.lax.scan(lambda c, _: body(c), carry, length=steps)
        body, outputs = self.repeated(body), []
        for _ in range(steps):
            carry, output = body(carry)
            outputs.append(output)
        return carry, jax.tree.map(lambda *rows: jnp.stack(rows), *outputs)

    def scan(
        self,
        body: Callable[[Carry, Any], tuple[Carry, Output]],
        carry: Carry,
        rows: Any,
        *,
        reverse: bool = False,
    ) -> tuple[Carry, Output]:
        """Apply ``body(carry, row)`` to one of the stacked ``rows`` after another, as ``jax.lax.scan``."""
        if not self.unroll:
            return jax.lax.scan(body, carry, rows, reverse=reverse)
        count = len(jax.tree.leaves(rows)[0])
        body, outputs = self.repeated(body), []
        for at in reversed(range(count)) if reverse else range(count):
            carry, output = body(carry, jax.tree.map(lambda leaf, at=at: leaf[at], rows))
            outputs.append(output)
        return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs[:: -1 if reverse else 1])

    def sum_in_turn(self, function: Callable[..., Output], pieces: Sequence[tuple[Array, ...]]) -> Output:
        """Add the results of a function for one piece after another, ``parts`` of them in parallel.

        XLA on a CPU starts all independent work at once, layer by layer, so that every piece is evicted from
        the cache before its next layer.  So a group of pieces waits for the sum of the groups before it
        (`repeated`).
        """

        def add(so_far: Output, group: Sequence[tuple[Array, ...]]) -> Output:
            return total([so_far, *(function(*piece) for piece in group)])

        if len(pieces) == 1:
            return function(*pieces[0])
        shapes = jax.eval_shape(function, *pieces[0])
        summed: Output = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        add = self.repeated(add)
        for start in range(0, len(pieces), self.parts):
            summed = add(summed, pieces[start : start + self.parts])
        return summed

    def rows(self, function: Callable[[Array], Output], images: Array, size: int) -> Output:
        """Return ``function(images)``, a row per image, computed for at most ``size`` images at a time."""
        count = math.ceil(images.shape[0] / size)
        if self.unroll:
            pieces = split(images, count * self.parts)
            return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *self._in_turn(function, pieces))
        stacked = jax.lax.map(function, _stacked(images, count))
        joined = jax.tree.map(lambda leaf: jax.lax.collapse(leaf, 0, 2), stacked)
        return jax.tree.map(lambda leaf: leaf[: images.shape[0]], joined)

    def sum_over(
        self, function: Callable[[Array, Array], Output], images: Array, weights: Array, size: int
    ) -> Output:
        """Return ``function(images, weights)``, a sum over images linear in their weights, in chunks."""
        count = math.ceil(images.shape[0] / size)
        if self.unroll:
            pieces = split(images, count * self.parts), split(weights, count * self.parts)
            return self.sum_in_turn(function, list(zip(*pieces, strict=True)))

        def add(so_far: Output, chunk: tuple[Array, Array]) -> tuple[Output, None]:
            return jax.tree.map(jnp.add, so_far, function(*chunk)), None

        chunks = _stacked(images, count), _stacked(weights, count)
        first, others = (jax.tree.map(lambda leaf, cut=cut: leaf[cut], chunks) for cut in (0, slice(1, None)))
        return jax.lax.scan(add, function(*first), others)[0]

    def _in_turn(self, function: Callable[[Array], Output], pieces: Sequence[Array]) -> list[Output]:
        """Apply a function to one piece after another, ``parts`` of them in parallel, as `sum_in_turn`."""

        def of_group(group: Sequence[Array], before: Any) -> list[Output]:
            del before
            return [function(piece) for piece in group]

        done: list[Output] = []
        of_group = self.repeated(of_group)
        for start in range(0, len(pieces), self.parts):
            done += of_group(pieces[start : start + self.parts], done[-1:])
        return done


def _stacked(rows: Array, count: int) -> Array:
    """Cut ``[n, ...]`` into ``count`` equal chunks, ``[count, m, ...]``, the last padded with zeros."""
    size = math.ceil(rows.shape[0] / count)
    padding = [(0, count * size - rows.shape[0])] + [(0, 0)] * (rows.ndim - 1)
    return jnp.pad(rows, padding).reshape(count, size, *rows.shape[1:])
