"""Steps and trainings that are a line of arithmetic, for tests of what happens around them.

A store doesn't care what the numbers are: with these a run has few leaves and nothing is compiled, so that
every single operation on the disk can be made to fail, one run each.
"""

import jax
import numpy as np

from rcig_cli.distillation.records import Distilled
from rcig_cli.distillation.step import Finite, Info
from rcig_cli.runs.engine.engine import Engine
from rcig_cli.runs.engine.program import RunState
from rcig_cli.runs.evaluate.evaluate import Spread


def take_over():
    """Let every run and every evaluation of this process be a pretended one."""
    from rcig_cli.runs.distill import running
    from rcig_cli.runs.evaluate import evaluate

    running.make_engine = make_engine
    running._first = first
    evaluate.make_measurement = make_measurement


def first(real, classes, config):
    """The first images of each class, and their labels: what a run begins with."""
    del config
    chosen = [int(np.argmax(np.asarray(real.classes) == label)) for label in range(classes)]
    labels = np.eye(classes, dtype=np.float32) - np.float32(1 / classes)
    return Distilled(np.asarray(real.images)[chosen], labels, np.zeros((), np.float32))


def make_engine(network, config, real, *, batch, seed, devices=None):
    """What `rcig_cli.runs.engine.engine.make_engine` makes, without the mathematics."""
    del network, config, real, batch, devices

    def start(psi):
        return RunState(psi, {"moved": np.zeros((3, 2), np.float32)})

    def one(state, step):
        psi, pool = state
        images = (psi.images * np.float32(0.75) + np.float32(np.sin(step + seed))).astype(np.float32)
        moved = (pool["moved"] + images.mean()).astype(np.float32)
        numbers = dict.fromkeys(Info._fields, np.float32(np.abs(images).mean()))
        info = Info(**{**numbers, "finite": Finite(*[np.bool_(True)] * len(Finite._fields))})
        return RunState(psi._replace(images=images), {"moved": moved}), info

    def advance(state, step, count):
        state, infos = gather(state), []
        for number in range(step, step + count):
            state, info = one(state, number)
            infos.append(info)
        return state, lambda: infos

    def gather(state):
        return jax.tree.map(np.asarray, state)

    return Engine(
        start=start,
        compile=lambda _: 1 << 20,
        advance=advance,
        most=100,
        product=lambda state: state.learner,
        place=gather,
        gather=gather,
        trials=None,
    )


def make_measurement(prepared, protocol, report, total):
    """Stands for training and testing networks: a number computed from the set."""
    del prepared, protocol, report, total
    return lambda _stream, own: Spread((float(np.abs(own.images).mean()),))
