"""Functions that the benchmarks share: random problems, clocks, separate processes, and tables.

Importing this module sets JAX up as ``rcig`` does; no device is used until something is computed.
"""

import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rcig_cli.runs.engine.environment import prepare_environment, prepare_jax, processors

prepare_environment()
prepare_jax()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from rcig_cli.distillation.methods import METHODS  # noqa: E402
from rcig_cli.distillation.methods.rcig import RcigSettings  # noqa: E402
from rcig_cli.distillation.platform import Platform  # noqa: E402
from rcig_cli.distillation.records import Distilled, centred_one_hot  # noqa: E402
from rcig_cli.distillation.step import Step  # noqa: E402
from rcig_cli.distillation.task import Task  # noqa: E402
from rcig_cli.networks.architectures import build_network  # noqa: E402
from rcig_cli.networks.network import Network  # noqa: E402
from rcig_cli.runs.engine.mesh import current_platform  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SIDE, CLASSES, DEPTH = 32, 10, 3


class Problem(NamedTuple):
    """An outer step on random 32 px RGB images of ten classes; its time does not depend on their content.

    Attributes
    ----------
    step
        Its functions.
    arguments
        Those of ``step.update``.
    """

    step: Step
    arguments: tuple[Any, ...]


def network_of(width: int, depth: int = DEPTH) -> Network:
    """The ConvNet of this size that a run would distil with."""
    return build_network(
        "convnet",
        image_shape=(SIDE, SIDE, 3),
        classes=CLASSES,
        width=width,
        depth=depth,
        activation="softplus",
    )


def problem(
    images: int,
    batch: int,
    width: int,
    settings: RcigSettings,
    depth: int = DEPTH,
    platform: Platform | None = None,
) -> Problem:
    """An outer step on a number of distilled and of real images, on JAX's default device.

    It is laid out for `Programs`, unless another platform is given.
    """
    network = network_of(width, depth)
    step = METHODS["rcig"].make(Task(network, platform or current_platform()), settings)
    of_images, of_real, of_model, of_subsets = jax.random.split(jax.random.key(0), 4)
    real = jax.random.normal(of_real, (batch, SIDE, SIDE, 3)), jnp.arange(batch) % CLASSES
    learner = step.start(distilled(jax.random.normal(of_images, (images, SIDE, SIDE, 3))))
    return Problem(step, (learner, network.init(of_model), *real, of_subsets))


def distilled(images: Any) -> Distilled:
    """The initial psi: these images, with the classes in turn."""
    return Distilled(
        {"images": images}, centred_one_hot(jnp.arange(images.shape[0]) % CLASSES, CLASSES), jnp.zeros(())
    )


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Seconds that one call takes until its result is computed."""
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def peak_host_megabytes() -> float:
    """The peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def in_own_process(script: str, case: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any]:
    """Run ``script --case JSON`` and return the JSON value of its last line.

    Raises
    ------
    RuntimeError
        If it fails, with its output.
    subprocess.TimeoutExpired
        If it takes longer; it is killed.
    """
    command = [sys.executable, script, "--case", json.dumps(case)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env=environment()
    )
    if done.returncode:
        raise RuntimeError(f"{Path(script).name} failed on {dict(case)}:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def environment() -> dict[str, str]:
    """The environment for a child process, in which it can import the package."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def machine() -> dict[str, Any]:
    """The conditions of a measurement: versions, processors, and the current load of the machine.

    The load is the system's average over a minute; below the number of processors no process had to wait.
    """
    return {
        "python": platform.python_version(),
        "jax": importlib.metadata.version("jax"),
        "processors": processors(),
        "load": round(os.getloadavg()[0], 1),
    }


def straight_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Intercept and slope of a straight line, by least squares of the relative errors.

    Noise is proportional to the time, and small times should have the same weight as large ones.
    """
    weights = 1 / np.asarray(y)
    slope, intercept = np.polyfit(np.asarray(x, float), np.asarray(y), 1, w=weights)
    return float(intercept), float(slope)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows as a Markdown table whose columns line up."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def short(value: float, digits: int = 3) -> str:
    """A number with some significant digits, without an exponent."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"
