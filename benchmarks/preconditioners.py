"""Whether anything solves an outer step's two systems sooner than conjugate gradients with A^-1 do.

    rcig prepare mnist --from mnist.npz && rcig prepare cifar10 --from cifar10.npz
    python benchmarks/preconditioners.py [--store artifacts] [--cases mnist:1 cifar10:10] [--part error|time]

A run of width 32, batch 256, is taken through some outer steps; at its last visits the same two systems are
solved by each method, and the meta-gradient is compared with that of exact solutions (Cholesky, float64).
Times are of the posed problem with both solves, compiled, medians taken in turn.  The last line is JSON.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import machine, seconds, table  # isort: skip

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve

from benchmarks.dual import (
    Direction,
    Linear,
    Solve,
    along,
    by_kernel,
    by_sketch,
    conjugate_gradients,
    from_zero,
    gradients,
    seen_by,
    signs,
)
from benchmarks.visits import (
    Case,
    Functions,
    Judgement,
    Outcome,
    System,
    Visit,
    functions,
    last_visit,
    open_case,
    random_visit,
    record,
)
from rcig_cli.distillation.bilevel import solvers
from rcig_cli.distillation.bilevel.inner import InnerProblem
from rcig_cli.distillation.bilevel.linearized import body_of
from rcig_cli.distillation.records import Distilled, Tree, split, total, training_set
from rcig_cli.networks.network import Network
from rcig_cli.runs.engine.mesh import current_platform

PAIRS = (1, 2, 3, 4, 6, 10, 20)  # of products with J_S and J_S^T, for each of the two systems
TIMED = (2, 4, 6)
STEPS = {1: 40, 10: 30}  # outer steps of the run, by images per class
VISITS = {1: 2, 10: 1}
ROUNDS = 9
MOST_ROWS = 200  # of a Jacobian that is written out in the timed dense solve
CASES = ["mnist:1", "cifar10:1", "mnist:10", "cifar10:10"]


class Exact(NamedTuple):
    """What a visit's systems come to."""

    system: System
    beta: Array
    judgement: Judgement
    beta_v: Array
    outcome: Outcome


class Method(NamedTuple):
    """A way to solve both systems.

    Attributes
    ----------
    precondition
        Of both.
    spent
        Pairs of products that went into it, for each system, before the first iteration.  The gradients
        of single images behind K_w are not among them: what they cost is seen in the times.
    start
        ``rhs -> (guess, residual)`` for theta.
    start_v
        ``(judgement, the first solve) -> (guess, residual)`` for v.
    """

    precondition: Linear
    spent: int = 0
    start: Callable[[Array], tuple[Array, Array]] = from_zero
    start_v: Callable[[Judgement, Solve], tuple[Array, Array]] = lambda judgement, _: from_zero(judgement.rhs)


def exact(visit: Visit, of: Functions) -> Exact:
    """Solve a visit's systems in float64."""
    system = of.write_out(visit)
    factor = np.linalg.cholesky(system.matrix.astype(np.float64))

    def solve(rhs: Any) -> Array:
        half = np.linalg.solve(factor, np.asarray(rhs, np.float64).ravel())
        return jnp.asarray(np.linalg.solve(factor.T, half).reshape(rhs.shape), jnp.float32)

    beta = solve(system.labels)
    judgement = of.judge(visit.psi, visit.theta_0, visit.real, beta)
    beta_v = solve(judgement.rhs)
    outcome = of.finish(visit.psi, visit.theta_0, judgement.judged, beta, beta_v)
    return Exact(system, beta, judgement, beta_v, outcome)


def methods(at: Exact, multiply: Linear, last: Exact | None, before: Exact) -> Iterator[tuple[str, Method]]:
    """Name the methods; ``last`` is the model's last visit, ``before`` the step before, at another model."""
    A, C = jnp.asarray(at.system.A), at.system.labels.shape[1]
    K = jnp.asarray(at.system.K).reshape(A.shape[0] * C, -1)
    keys = jax.random.split(jax.random.key(1), 3)

    def K_times(x: Array) -> Array:
        return (K @ x.ravel()).reshape(x.shape)

    def started_along(beta: Array, beta_v: Array) -> dict[str, Any]:
        theta, v = (Direction(x, multiply(x)) for x in (beta, beta_v))
        return {
            "spent": 1,
            "start": lambda rhs: along([theta], from_zero(rhs)),
            "start_v": lambda judgement, _: along([v], from_zero(judgement.rhs)),
        }

    plain = by_kernel(A)
    yield "A^-1", Method(plain)
    for rank in (4, 16):
        yield f"Nystrom, rank {rank}", Method(by_sketch(A, K_times, C, rank, keys[0]), rank // 2)
    for count in (1, 4):
        kernel = seen_by(at.system.K, np.asarray(signs(keys[1 + int(count > 1)], count, C)))
        yield f"(A + K_w)^-1, {count} w", Method(by_kernel(A + kernel))
    mean = seen_by(at.system.K, np.sqrt(C) * np.eye(C))
    yield "(A + mean of K)^-1", Method(by_kernel(A + mean))
    if last is not None:
        yield "A^-1, from last visit", Method(plain, **started_along(last.beta, last.beta_v))
    yield "A^-1, from step before", Method(plain, **started_along(before.beta, before.beta_v))
    yield "A^-1, v along theta's directions", Method(plain, start_v=_recycled)


def _recycled(judgement: Judgement, first: Solve) -> tuple[Array, Array]:
    return along(first.directions, from_zero(judgement.rhs))


def errors(
    visit: Visit, of: Functions, at: Exact, method: Method, multiply: Linear
) -> dict[int, dict[str, float]]:
    """Relative errors of theta, v and the meta-gradient, by pairs of products that each system had."""
    labels = jnp.asarray(at.system.labels)
    first = conjugate_gradients(multiply, method.precondition, method.start(labels), PAIRS[-1])
    found = {}
    for pairs in PAIRS:
        k = pairs - method.spent
        if k < 0:
            continue
        judgement = of.judge(visit.psi, visit.theta_0, visit.real, first.iterates[k])
        start = method.start_v(judgement, first._replace(directions=first.directions[:k]))
        second = conjugate_gradients(multiply, method.precondition, start, k)
        solutions = first.iterates[k], second.iterates[k]
        got = of.finish(visit.psi, visit.theta_0, judgement.judged, *solutions)
        found[pairs] = difference(got, at.outcome)
    return found


def difference(got: Outcome, wanted: Outcome) -> dict[str, float]:
    """Relative errors, and the cosine between the two meta-gradients in the images."""
    a, b = got.gradient.images, wanted.gradient.images
    cosine = jnp.vdot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
    return {
        "theta": _relative(got.theta, wanted.theta),
        "v": _relative(got.v, wanted.v),
        "images": _relative(a, b),
        "labels": _relative(got.gradient.labels, wanted.gradient.labels),
        "cosine": float(cosine),
    }


def _means(found: list[dict[int, dict[str, float]]]) -> dict[int, dict[str, float]]:
    return {
        pairs: {name: float(np.mean([one[pairs][name] for one in found])) for name in errors}
        for pairs, errors in found[0].items()
    }


def _relative(got: Array, wanted: Array) -> float:
    return float(jnp.linalg.norm(got - wanted) / jnp.linalg.norm(wanted))


def spectrum(system: System) -> dict[str, float]:
    """Largest, median and smallest eigenvalue of A^-1 K: what A^-1 leaves to be done."""
    n, C = system.labels.shape
    half = np.linalg.inv(np.linalg.cholesky(system.A.astype(np.float64)))
    whitened = np.einsum("jl,icld->icjd", half, np.tensordot(half, system.K, 1), optimize=True)
    values = np.linalg.eigvalsh(whitened.reshape(n * C, n * C))
    return {
        "largest": float(values[-1]),
        "median": float(np.median(values)),
        "smallest": float(values[0]),
    }


def error_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Relative errors of the meta-gradient in the images, in percent, a row for each method."""
    return [
        (name, *(f"{100 * by[k]['images']:.2g}" if k in by else "–" for k in PAIRS))
        for name, by in found.items()
    ]


def measure_errors(case: Case) -> dict[str, Any]:
    """Errors of every method at the last visits that had one before; means over them."""
    visits, of = record(case, STEPS[case.config.ipc]), functions(case)
    returns = [at for at in range(1, len(visits)) if last_visit(visits, at) is not None]
    each: list[dict[str, Any]] = []
    ages, spectra, noise = [], [], []
    for at in returns[-VISITS[case.config.ipc] :]:
        visit, before = visits[at], last_visit(visits, at)
        assert before is not None
        here, there = exact(visit, of), exact(visits[before], of)
        beside = exact(visits[at - 1], of)
        matrix, shape = jnp.asarray(here.system.matrix), here.beta.shape

        def multiply(x: Array, matrix: Array = matrix, shape: Any = shape) -> Array:
            return (matrix @ x.ravel()).reshape(shape)

        named = methods(here, multiply, there, beside)
        each.append({name: errors(visit, of, here, method, multiply) for name, method in named})
        other = exact(visit._replace(real=visits[at - 1].real), of)
        noise.append(difference(other.outcome, here.outcome))
        spectra.append(spectrum(here.system))
        ages.append({"steps_apart": at - before, "trained": visit.age - visits[before].age})
    return {
        "errors": {name: _means([one[name] for one in each]) for name in each[0]},
        "another_batch": noise,
        "spectrum": spectra,
        "last_visit": ages,
    }


class Posed(NamedTuple):
    """What a timed way is given: the inner problem, theta_0, X_S, and the second system's g."""

    problem: InnerProblem
    theta_0: Tree
    images: Array
    g: Tree

    @property
    def kernel(self) -> Array:
        """A, ``[n, n]``."""
        h = self.problem.J.features
        return h @ h.T + self.problem.lam * jnp.eye(len(h))

    def rows(self, network: Network, weights: Array) -> Array:
        """Gradients of each image's weighted logits, ``[n r, parameters]``."""
        pieces = split(self.images, current_platform().parts)
        J = jnp.concatenate([gradients(network, self.theta_0, piece, weights) for piece in pieces])
        return J.reshape(-1, J.shape[-1])

    def by_cg(self, precondition: Linear, steps: int) -> Any:
        """Both solves, the second not before the first is done; J_S^T beta summed up, as the tool does."""
        problem, settle = self.problem, current_platform().settle

        def solve(rhs: Array) -> Tree:
            pulled: list[Tree] = []

            def multiply(direction: Array) -> Array:
                image, of_direction = problem.dual_product(direction)
                pulled.append(of_direction)
                return image

            found = conjugate_gradients(multiply, precondition, from_zero(rhs), steps, settle)
            return total([optax.tree.scale(a, t) for a, t in zip(found.lengths, pulled, strict=True)])

        theta = solve(problem.labels)
        return theta, solve(problem.J.product(_chained(self.g, theta)))


def _chained(g: Tree, theta: Tree) -> Tree:
    """``g``, not before theta is there: in a step it depends on theta."""
    return jax.tree.map(lambda a, b: a + 0 * b, g, theta)


def ways(case: Case) -> Iterator[tuple[str, Callable[[Posed], Any]]]:
    """Name what is timed."""
    C = case.data.classes

    def todays(at: Posed, steps: int) -> Any:
        theta = solvers.inner_by_cg(at.problem, steps, current_platform()).value
        g = _chained(at.g, theta)
        return theta, solvers.hessian_by_cg(at.problem, g, steps, current_platform()).value

    def sketched(at: Posed) -> Any:
        J = at.problem.J
        sketch = by_sketch(at.kernel, lambda x: J.product(J.transposed(x)), C, 4, jax.random.key(0))
        return at.by_cg(sketch, 2)

    def structured(at: Posed) -> Any:
        G = at.rows(case.network, signs(jax.random.key(0), 1, C))
        return at.by_cg(by_kernel(at.kernel + G @ G.T / C), 2)

    def dense(at: Posed) -> Any:
        J = at.rows(case.network, jnp.eye(C))
        factor = cho_factor(jnp.kron(at.kernel, jnp.eye(C)) + J @ J.T)
        rights = at.problem.labels, at.problem.J.product(at.g)
        return [cho_solve(factor, rhs.ravel()) @ J for rhs in rights]

    yield "none", lambda at: at.problem.factor
    for steps in TIMED:
        yield f"{steps} + {steps}", partial(todays, steps=steps)
    yield "Nystrom, rank 4, 2 + 2", sketched
    yield "(A + K_w)^-1, 1 w, 2 + 2", structured
    if case.config.ipc * C**2 * (1 + case.config.algorithm.flip) <= MOST_ROWS:
        yield "dense", dense


def measure_times(case: Case) -> dict[str, float]:
    """Seconds of the posed problem with both solves, by each way, and of the outer step, medians."""
    visit = random_visit(case)
    runs: dict[str, Callable[[], Any]] = {}
    flip = case.config.algorithm.flip
    g = jax.tree.map(jnp.ones_like, body_of(visit.theta_0))
    for name, way in ways(case):

        @jax.jit
        def run(psi: Distilled, theta_0: Tree, g: Tree, way: Callable[[Posed], Any] = way) -> Any:
            problem = case.pose(psi, theta_0).problem
            assert isinstance(problem, InnerProblem)
            return way(Posed(problem, theta_0, training_set(*psi[:2], flip=flip)[0], g))

        runs[name] = partial(run, visit.psi, visit.theta_0, g)
    for steps in TIMED:
        settings = {"n_inner": steps, "n_hessian": steps}
        other = case._replace(config=case.config.override(settings))

        @jax.jit
        def step(psi: Distilled, theta_0: Tree, real: tuple[Array, Array], other: Case = other) -> Any:
            return other.pose(psi, theta_0).propose((jnp.float32(0), jnp.float32(0)), *real).gradient

        runs[f"outer step, {steps} + {steps}"] = partial(step, visit.psi, visit.theta_0, visit.real)
    times = [[seconds(run) for run in runs.values()] for _ in range(ROUNDS + 1)][1:]
    return dict(zip(runs, np.median(times, 0).tolist(), strict=True))


def main() -> None:
    """Print tables for each case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, default=Path("artifacts"))
    parser.add_argument("--cases", nargs="+", default=CASES)
    parser.add_argument("--part", choices=("error", "time"), help="only this")
    given = parser.parse_args()
    found: dict[str, Any] = {"machine": machine()}
    for name in given.cases:
        dataset, ipc = name.split(":")
        case = open_case(given.store, dataset, {"ipc": int(ipc), "width": 32, "batch": 256})
        found[name] = {}
        if given.part != "time":
            found[name] = measure_errors(case)
            print(f"{name}: error of the meta-gradient in the images, %, by pairs of products per system\n")
            print(table(("method", *map(str, PAIRS)), error_rows(found[name]["errors"])), flush=True)
            print({key: value for key, value in found[name].items() if key != "errors"}, flush=True)
        if given.part != "error":
            found[name]["seconds"] = measure_times(case)
            rows = [(method, f"{1000 * value:.0f}") for method, value in found[name]["seconds"].items()]
            print(f"{name}: times\n\n{table(('solves', 'ms'), rows)}", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
