"""A compiled function that can be compiled ahead of its first call, and then tells what memory it takes."""

from collections.abc import Callable
from typing import Any

import jax


class Program:
    """A function, compiled when it is first called, or before.

    Parameters
    ----------
    function
        What is compiled.
    options
        For ``jax.jit``.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self._jitted = jax.jit(function, **options)
        self._compiled: Any = None

    def compile(self, *arguments: Any) -> int:
        """Compile for arguments of these shapes; return the bytes of memory that a call takes, all in all."""
        self._compiled = self._jitted.lower(*arguments).compile()
        analysis = self._compiled.memory_analysis()
        if analysis is None:
            return 0
        taken = analysis.argument_size_in_bytes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes
        return int(taken - analysis.alias_size_in_bytes)

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return (self._compiled or self._jitted)(*arguments)
