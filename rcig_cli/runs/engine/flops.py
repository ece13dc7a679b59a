"""Counting the floating-point operations of a function's matrix products and convolutions."""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval


def count(function: Callable[..., Any], *arguments: Any) -> int:
    """Multiplications and additions of the products and convolutions that reach an output.

    Multiplications with a convolution's zero padding are counted, as is usual; elementwise operations are
    not.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    needed, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _of_jaxpr(needed)


def _of_jaxpr(jaxpr: Any) -> int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
    if equation.primitive.name == "dot_general":
        return _of_dot(equation)
    if equation.primitive.name == "conv_general_dilated":
        return _of_convolution(equation)
    times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
    return times * sum(_of_jaxpr(inner) for inner in _inner(equation.params.values()))


def _inner(values: Any) -> list[Any]:
    found = []
    for value in values:
        if isinstance(value, core.ClosedJaxpr):
            found.append(value.jaxpr)
        elif isinstance(value, core.Jaxpr):
            found.append(value)
    return found


def _of_dot(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2 * prod(equation.outvars[0].aval.shape) * prod(left[i] for i in contracted)


def _of_convolution(equation: Any) -> int:
    kernel = equation.invars[1].aval.shape
    spec = equation.params["dimension_numbers"].rhs_spec
    per_output = prod(kernel) // kernel[spec[0]]
    return 2 * prod(equation.outvars[0].aval.shape) * per_output
