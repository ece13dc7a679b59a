"""What the outer steps of a real run saw, and the meta-gradient that comes of any solution of its solves."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measuring import distilled  # isort: skip

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jax import Array

from benchmarks.dual import gradients
from rcig_cli.distillation.bilevel.inner import InnerProblem
from rcig_cli.distillation.bilevel.meta_gradient import combine, outer_gradient
from rcig_cli.distillation.bilevel.outer import Judged
from rcig_cli.distillation.bilevel.problem import Bilevel, pose
from rcig_cli.distillation.records import Distilled, Tree, centred_one_hot, training_set
from rcig_cli.networks.network import Network
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import distilling_network, resolved
from rcig_cli.runs.engine.batches import Batches, RealData
from rcig_cli.runs.engine.draws import Use, draw_each, first_images, key_for, step_keys
from rcig_cli.runs.engine.engine import make_engine
from rcig_cli.runs.engine.mesh import current_platform
from rcig_cli.runs.prepare.prepared import Prepared, open_prepared
from rcig_cli.store.layout import open_store

_ROWS = 10  # images whose Jacobian is written out at a time


class Visit(NamedTuple):
    """One outer step: the pool model it was at, and all that went in.

    Attributes
    ----------
    model, age
        Which pool model, and the training steps it had had.
    psi, theta_0
        What is learned, and the model's parameters.
    real
        The real images and their classes.
    """

    model: int
    age: int
    psi: Distilled
    theta_0: Tree
    real: tuple[Any, Any]


class Case(NamedTuple):
    """A data set and a number of images per class, with the functions of a run on it."""

    config: DistillConfig
    network: Network
    data: Prepared

    def pose(self, psi: Distilled, theta_0: Tree) -> Bilevel:
        """The problem of an outer step."""
        return pose(self.network, self.config.algorithm, current_platform(), psi, theta_0)


def open_case(store: Path, dataset: str, settings: Mapping[str, Any]) -> Case:
    """A case on a prepared data set; nothing is written."""
    data = open_prepared(open_store(store, create=False), dataset)
    config = resolved(data, {"solver": "cg", "n_inner": 6, "n_hessian": 6, **settings})
    return Case(config, distilling_network(data, config), data)


def record(case: Case, steps: int) -> list[Visit]:
    """Distil for so many outer steps; return what each saw."""
    config, (images, classes) = case.config, case.data.split("train")
    real, count = RealData(images, classes), case.data.classes
    engine = make_engine(case.network, config.algorithm, real, batch=config.batch, seed=config.seed)
    batches = Batches(real, config.batch, 1, config.seed)
    chosen = first_images(key_for(config.seed, Use.FIRST_IMAGES), classes, count, config.ipc)
    labels = centred_one_hot(jnp.asarray(classes[chosen]), count)
    state = engine.start(Distilled(jnp.asarray(images[chosen]), labels, jnp.zeros(())))
    keys, algorithm = step_keys(config.seed, 1), config.algorithm
    visits = []
    for step in range(steps):
        drawn = draw_each(keys, jnp.uint32(step), algorithm.pool_size, algorithm.pool_steps)[0]
        model = int(drawn.model)
        seen, labels_seen = batches.of(step)
        theta_0, age, psi = _copied(
            (_one_of(state.pool.parameters, model), state.pool.age[model], state.learner.psi)
        )
        visits.append(Visit(model, int(age), psi, theta_0, (seen[0], labels_seen[0])))
        state, fetch = engine.advance(state, step, 1)
        fetch()
    return visits


def random_visit(case: Case) -> Visit:
    """Something of the shapes of a visit: time does not depend on what images show."""
    keys, shape = jax.random.split(jax.random.key(0), 3), case.data.manifest.shape
    C, batch = case.data.classes, case.config.batch
    psi = distilled(jax.random.normal(keys[0], (C * case.config.ipc, *shape)))
    real = jax.random.normal(keys[1], (batch, *shape)), jnp.arange(batch) % C
    return Visit(0, 0, psi, case.network.init(keys[2]), real)


def last_visit(visits: list[Visit], at: int) -> int | None:
    """When the model of step ``at`` was visited before, if it was and is the same one still."""
    for step in reversed(range(at)):
        if visits[step].model == visits[at].model:
            return step if visits[step].age < visits[at].age else None
    return None


class System(NamedTuple):
    """The dual system written out.

    Attributes
    ----------
    A
        ``[n, n]``.
    K
        J_S J_S^T, ``[n, C, n, C]``.
    features, labels
        h_S and y_S.
    """

    A: npt.NDArray[np.float32]
    K: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]

    @property
    def matrix(self) -> npt.NDArray[np.float32]:
        """``A (x) I_C + K``, ``[n C, n C]``."""
        n, C = self.labels.shape
        whole: npt.NDArray[np.float32] = np.kron(self.A, np.eye(C, dtype=np.float32))
        return whole + self.K.reshape(n * C, n * C)


class Judgement(NamedTuple):
    """The outer loss at a theta, and what the second solve is of.

    Attributes
    ----------
    judged
        The loss and its gradients.
    rhs
        J_S g, the right-hand side.
    """

    judged: Judged
    rhs: Array


class Outcome(NamedTuple):
    """theta, v and the combined meta-gradient, each as one vector but the last."""

    theta: Array
    v: Array
    gradient: Distilled


class Functions(NamedTuple):
    """Compiled, for a case.

    Attributes
    ----------
    write_out
        ``visit -> System``.
    judge
        ``(psi, theta_0, real, beta) -> Judgement`` at ``theta = J_S^T beta``.
    finish
        ``(psi, theta_0, judged, beta, beta_v) -> Outcome`` with ``v = (g - J_S^T beta_v) / s``.
    """

    write_out: Callable[[Visit], System]
    judge: Callable[..., Judgement]
    finish: Callable[..., Outcome]


def functions(case: Case) -> Functions:
    """Compile what a case needs."""

    def posed_at(psi: Distilled, theta_0: Tree) -> tuple[Bilevel, InnerProblem]:
        posed = case.pose(psi, theta_0)
        assert isinstance(posed.problem, InnerProblem)
        return posed, posed.problem

    def judge(psi: Distilled, theta_0: Tree, real: tuple[Array, Array], beta: Array) -> Judgement:
        posed, problem = posed_at(psi, theta_0)
        judged = posed.judge(problem.J.transposed(beta), *real)
        g = outer_gradient(posed.member, problem, judged)
        return Judgement(judged, problem.J.product(g))

    def finish(psi: Distilled, theta_0: Tree, judged: Judged, beta: Array, beta_v: Array) -> Outcome:
        posed, problem = posed_at(psi, theta_0)
        theta, pulled = problem.J.transposed(beta), problem.J.transposed(beta_v)
        g = outer_gradient(posed.member, problem, judged)
        v = optax.tree.scale(1 / problem.scale, optax.tree.sub(g, pulled))
        gradient = combine(*posed.gradients(theta, v, judged))
        return Outcome(_flat(theta), _flat(v), gradient)

    def rows(theta_0: Tree, images: Array) -> Array:
        J = gradients(case.network, theta_0, images, jnp.eye(case.data.classes))
        return J.reshape(-1, J.shape[-1])

    @jax.jit
    def small(psi: Distilled, theta_0: Tree) -> tuple[Array, Array, Array]:
        problem = posed_at(psi, theta_0)[1]
        h = problem.J.features
        return h @ h.T + problem.lam * jnp.eye(len(h)), h, problem.labels

    rows_of = jax.jit(rows)

    def write_out(visit: Visit) -> System:
        images, _ = training_set(*visit.psi[:2], flip=case.config.algorithm.flip)
        pieces = [images[at : at + _ROWS] for at in range(0, len(images), _ROWS)]
        J = np.concatenate([np.asarray(rows_of(visit.theta_0, piece)) for piece in pieces])
        A, features, labels = (np.asarray(part) for part in small(visit.psi, visit.theta_0))
        return System(A, (J @ J.T).reshape(*labels.shape, *labels.shape), features, labels)

    return Functions(write_out, jax.jit(judge), jax.jit(finish))


def _one_of(pool: Tree, model: int) -> Tree:
    return jax.tree.map(lambda leaf: leaf[model], pool)


def _copied(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.array(leaf), tree)


def _flat(tree: Tree) -> Array:
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])
