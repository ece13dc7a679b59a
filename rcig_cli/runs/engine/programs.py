"""Compiled functions: as one program, or as several that are called one after the other from Python.

On a CPU XLA must not loop over convolutions (`distillation.platform`), and the time that it takes to compile
grows with the number of operations.  So a function that is called repeatedly, such as an iteration of a
solve, becomes a program of its own, which is compiled once.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from rcig_cli.runs.engine.environment import jit

_WIDE = ("float64", "int64", "uint64")
_REPEATED = "repeated_in_its_own_program"  # the name in a jaxpr of a function marked by `repeated`
_COMPILED: dict[str, Any] = {}  # programs of this process by their text


class Program:
    """A function, compiled when it is first called, or before."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self._jitted = jit(function, **options)
        self._compiled: Any = None

    def compile(self, *arguments: Any) -> int:
        """Compile for arguments of these shapes; return the bytes of memory that a call takes, all in all."""
        self._compiled = self._jitted.lower(*arguments).compile()
        return _memory(self._compiled)

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return (self._compiled or self._jitted)(*arguments)


def repeated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that `Programs` compiles as a program of its own."""

    def marked(*arguments: Any) -> Any:
        return function(*arguments)

    marked.__name__ = _REPEATED
    return jax.jit(marked)


class Programs:
    """A function, compiled as several programs, for each combination of its arguments' shapes.

    Each function in it that is marked by `repeated` is a program, and so are the operations before, between
    and after these.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: dict[Any, _Sequence] = {}  # by the shapes of the arguments

    def compile(self, *arguments: Any) -> int:
        """Compile for arguments of these shapes; return the bytes of memory that a call takes at most."""
        return self._sequence_for(*jax.tree.flatten(arguments)).peak_memory()

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        leaves, structure = jax.tree.flatten(arguments)
        return self._sequence_for(leaves, structure)(leaves)

    def _sequence_for(self, leaves: list[Any], structure: Any) -> "_Sequence":
        key = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self._compiled:
            self._compiled[key] = _Sequence(self._function, jax.tree.unflatten(structure, leaves))
        return self._compiled[key]


class _Step(NamedTuple):
    """A program in a sequence.

    Attributes
    ----------
    program
        Compiled; maps the values of ``inputs`` to those of ``outputs``.
    inputs, outputs
        Variables of the jaxpr; an input may also be a literal number.
    last_used
        Variables that no later step uses.
    """

    program: Any
    inputs: Sequence[Any]
    outputs: Sequence[core.Var]
    last_used: Sequence[core.Var]


class _Sequence:
    """The programs of a function for arguments of some shapes."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        jaxpr = closed.jaxpr
        self._constants, self._structure = closed.consts, jax.tree.structure(shape)
        self._inputs, self._outputs = (*jaxpr.constvars, *jaxpr.invars), jaxpr.outvars
        # Programs with 64-bit numbers, such as solves in float64, are compiled and called with these allowed.
        made: list[Any] = [variable for equation in jaxpr.eqns for variable in equation.outvars]
        wide = any(variable.aval.dtype in _WIDE for variable in made)
        self._allow_wide = partial(jax.enable_x64, wide)
        with self._allow_wide():
            self._steps = _steps(jaxpr)

    def __call__(self, leaves: list[Any]) -> Any:
        """Call the function with the leaves of its arguments."""
        values = dict(zip(self._inputs, (*self._constants, *leaves), strict=True))
        with self._allow_wide():
            for step in self._steps:
                results = step.program(*(_value(values, each) for each in step.inputs))
                values.update(zip(step.outputs, results, strict=True))
                for variable in step.last_used:
                    del values[variable]
        return jax.tree.unflatten(self._structure, [_value(values, each) for each in self._outputs])

    def peak_memory(self) -> int:
        """Bytes of memory that a call takes at most, its arguments included."""
        alive = {variable: _bytes(variable) for variable in self._inputs}
        peak = 0
        for step in self._steps:
            own = sum(alive[each] for each in set(_variables(step.inputs)))
            peak = max(peak, sum(alive.values()) - own + _memory(step.program))
            alive.update((variable, _bytes(variable)) for variable in step.outputs)
            for variable in step.last_used:
                del alive[variable]
        return peak


def _steps(jaxpr: core.Jaxpr) -> list[_Step]:
    """Compile the operations of a jaxpr, in their order."""
    programs: dict[int, tuple[core.ClosedJaxpr, Any]] = {}  # the calls of a function have the same jaxpr
    steps: list[_Step] = []
    needed = set(_variables(jaxpr.outvars))  # by what follows
    for equations in reversed(_groups(jaxpr.eqns)):
        made: list[Any] = [variable for equation in equations for variable in equation.outvars]
        taken = [variable for equation in equations for variable in _variables(equation.invars)]
        inputs: Sequence[Any] = [*dict.fromkeys(v for v in taken if v not in made)]
        outputs = [variable for variable in made if variable in needed]
        if _is_repeated(equations[0]):
            inputs, outputs, body = equations[0].invars, made, equations[0].params["jaxpr"]
        else:
            parts = {"constvars": [], "invars": inputs, "outvars": outputs, "eqns": equations}
            unnamed = jaxpr.debug_info.with_unknown_names()
            body = core.ClosedJaxpr(jaxpr.replace(**parts, debug_info=unnamed), [])
        if id(body) not in programs:
            # All inputs are kept, so that programs of equal text take the same arguments.
            jitted = jit(core.jaxpr_as_fun(body), keep_unused=True)
            programs[id(body)] = body, _compiled(jitted.lower(*map(_shape, inputs)))
        program = programs[id(body)][1]
        last_used = [v for v in {*_variables(inputs), *outputs} if v not in needed]
        steps.append(_Step(program, inputs, outputs, last_used))
        needed.update(_variables(inputs))
    return steps[::-1]


def _compiled(lowered: Any) -> Any:
    """Compile a program, unless an equal one has been compiled before."""
    text = lowered.as_text()
    if text not in _COMPILED:
        _COMPILED[text] = lowered.compile()
    return _COMPILED[text]


def _groups(equations: Sequence[core.JaxprEqn]) -> list[list[core.JaxprEqn]]:
    """Divide operations into those of each program: a marked function, or all between two of them."""
    groups: list[list[core.JaxprEqn]] = []
    for equation in equations:
        alone = _is_repeated(equation)
        if alone or not groups or _is_repeated(groups[-1][0]):
            groups.append([equation])
        else:
            groups[-1].append(equation)
    return groups


def _is_repeated(equation: core.JaxprEqn) -> bool:
    return equation.params.get("name") == _REPEATED


def _variables(atoms: Sequence[Any]) -> list[core.Var]:
    return [each for each in atoms if not isinstance(each, core.Literal)]


def _value(values: dict[core.Var, Any], atom: Any) -> Any:
    """The value of a variable, or of a literal."""
    return values[atom] if isinstance(atom, core.Var) else jnp.asarray(atom.val, atom.aval.dtype)


def _shape(atom: Any) -> jax.ShapeDtypeStruct:
    aval = atom.aval
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def _bytes(variable: Any) -> int:
    return int(math.prod(variable.aval.shape) * variable.aval.dtype.itemsize)


def _memory(compiled: Any) -> int:
    """Bytes of memory that a call of a compiled program takes, its arguments and results included."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return 0
    taken = analysis.argument_size_in_bytes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes
    return int(taken - analysis.alias_size_in_bytes)
