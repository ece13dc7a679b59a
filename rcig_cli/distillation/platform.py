"""How the same mathematics is laid out for the machine at hand.

XLA on a CPU runs a convolution inside one of its own loops some thirty times slower than outside
(jax-ml/jax issue 12868), and splits small convolutions badly over cores; as many parts of a batch, each on
a core of its own, run faster.  On an accelerator loops belong inside, and a batch stays whole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp

Carry = TypeVar("Carry")
Output = TypeVar("Output")


@dataclass(frozen=True)
class Platform:
    """The layout of loops and batches.

    Attributes
    ----------
    unroll
        Write loops out, one copy of the body after another, instead of an XLA loop.
    parts
        Into how many parts a network's batch is cut; they are independent and may run side by side.
    """

    unroll: bool = False
    parts: int = 1

    def repeat(
        self, steps: int, body: Callable[[Carry], tuple[Carry, Output]], carry: Carry
    ) -> tuple[Carry, Output]:
        """Apply ``body`` a fixed number of times; return the last carry and the outputs, stacked."""
        if not self.unroll:
            return jax.lax.scan(lambda c, _: body(c), carry, length=steps)
        outputs = []
        for _ in range(steps):
            carry, output = body(carry)
            outputs.append(output)
        return carry, jax.tree.map(lambda *rows: jnp.stack(rows), *outputs)
