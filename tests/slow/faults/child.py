"""What runs in the children that faults are injected into: a command, with fake training steps.

The store does not depend on what the numbers are.  With these steps a run has few arrays and nothing is
compiled, so that every operation on the disk can be tried.  The fork server imports this module, and with it
all that commands import.
"""

import ctypes
import gc
import importlib
import os
import sys
import traceback
import warnings
from types import SimpleNamespace

import jax
import numpy as np
import safetensors.numpy  # noqa: F401
import sklearn.datasets  # noqa: F401
import zarr  # noqa: F401

from rcig_cli.cli import app
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.records import Distilled
from rcig_cli.distillation.step import Finite, Info
from rcig_cli.runs.distill import run_loop
from rcig_cli.runs.engine.base import RunState
from rcig_cli.runs.engine.environment import prepare_environment, silence_libraries
from rcig_cli.runs.evaluate import evaluate

METRICS = [metric.name for metric in METHODS["rcig"].metrics]


def run_command(arguments, out, err, armed):
    """Run a command with its output in files; the process ends with the command's exit code.

    Parameters
    ----------
    arguments
        As typed after ``rcig``.
    out, err
        Files for stdout and stderr.
    armed
        What `faults_arm` of ``faults.c`` is called with; None: nothing is intercepted.
    """
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    run_loop.make_engine, run_loop.initial_psi = make_engine, first_images
    evaluate.make_measurement = make_measurement
    if armed:
        texts = [text.encode() for text in armed["texts"]]
        ctypes.CDLL(None).faults_arm(*texts, *armed["numbers"])
    sys.argv = ["rcig", *arguments]
    code = 70
    try:
        app.main()
    except SystemExit as stopped:
        code = stopped.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def first_images(real, classes, config, decoder):
    """Stand for `run_loop.initial_psi`: the first image of each class."""
    chosen = [int(np.argmax(np.asarray(real.classes) == label)) for label in range(classes)]
    labels = np.eye(classes, dtype=np.float32) - np.float32(1 / classes)
    return Distilled(decoder.encode(np.asarray(real.images)[chosen]), labels, np.zeros((), np.float32))


def make_engine(make_step, real, *, batch, seed, augmentations=(), balanced=False, devices=None):
    """Stand for `rcig_cli.runs.engine.engine.make_engine`, with a line of arithmetic as the step."""

    def start(psi):
        return RunState(psi, {"moved": np.zeros((3, 2), np.float32)})

    def one(state, step):
        psi, pool = state
        images = (psi.stored["images"] * np.float32(0.75) + np.float32(np.sin(step + seed))).astype(
            np.float32
        )
        moved = (pool["moved"] + images.mean()).astype(np.float32)
        info = Info(
            dict.fromkeys(METRICS, np.float32(np.abs(images).mean())),
            Finite(*[np.bool_(True)] * len(Finite._fields)),
        )
        return RunState(psi._replace(stored={"images": images}), {"moved": moved}), info

    def advance(state, step, count):
        state, infos = gather(state), []
        for number in range(step, step + count):
            state, info = one(state, number)
            infos.append(info)
        return state, lambda: infos

    def gather(state):
        return jax.tree.map(np.asarray, state)

    return SimpleNamespace(
        start=start,
        template=start,  # arrays have shapes too
        compile=lambda _: 1 << 20,
        advance=advance,
        most=100,
        product=lambda state: state.learner,
        place=gather,
        gather=gather,
        tune=lambda *_: None,
    )


def make_measurement(prepared, protocol, report):
    """Stand for training and testing networks: a number computed from the set."""
    return lambda _stream, own, _label: evaluate.Spread((float(np.abs(own.images).mean()),))


if os.environ.get("LD_PRELOAD", "").endswith("faults.so"):  # in the fork server
    warnings.simplefilter("ignore")
    prepare_environment()
    silence_libraries()
    for module, _ in app.COMMANDS.values():
        importlib.import_module(f"rcig_cli.cli.{module.split(':')[0]}")
    gc.freeze()  # a child's garbage collector then does not touch, and so copy, this memory
