"""Logging of a run to experiment trackers: TensorBoard, Weights & Biases, Trackio.

Trackers get the settings of the run, up to about a thousand of its outer steps with their metrics, and
pictures of the distilled images.  ``metrics.jsonl`` remains the record of a run: trackers are filled from it
when a run is resumed, and nothing is read from them.  A tracker that fails is left out from then on, with a
warning.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.errors import ConfigError, shorten
from rcig_cli.presets.config import DistillConfig
from rcig_cli.reporting.figures.grid import draw_grid
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.distill.snapshots import due_steps, kept_indices
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.store.metrics import METRICS, MetricsLog
from rcig_cli.store.records import RunManifest
from rcig_cli.store.store import Store

PROJECT = "rcig"
"""The project of all runs in Weights & Biases and in Trackio."""

TENSORBOARD = "tensorboard"
"""The folder in a run's folder with the files for TensorBoard."""

_IMAGES = "distilled_images"
_STEPS = 1000  # of a run that are logged, about
_SNAPSHOTS = 4  # of these, one is logged
_PATIENCE = 120.0  # seconds that Weights & Biases may take to upload what is left when a run ends


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run.

    Attributes
    ----------
    name
        Its name, such as ``run_1``.
    identity
        16 hexadecimal digits that tell it apart from runs of the same name in other stores.
    settings
        All settings, by name.
    path
        Its folder.
    """

    name: str
    identity: str
    settings: Mapping[str, Any]
    path: Path


class Tracker(Protocol):
    """A tracker that logs one run; any method may raise any exception.

    It is made from a `TrackedRun`.
    """

    def begin(self, step: int) -> int:
        """Begin, or continue after an outer step; return up to which step the tracker has metrics already."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of an outer step."""

    def show(self, step: int, picture: Image.Image) -> None:
        """Log a picture of the distilled images after an outer step."""

    def close(self, *, finished: bool) -> None:
        """End, when the run is finished or was stopped."""


class TensorBoard:
    """Files for TensorBoard in the run's folder, written by tensorboardX."""

    def __init__(self, run: TrackedRun) -> None:
        self._run, self._writer = run, cast(Any, None)

    def begin(self, step: int) -> int:
        """Begin a new file; TensorBoard ignores what earlier files have of steps after ``step``."""
        from tensorboardX import SummaryWriter

        folder = self._run.path / TENSORBOARD
        resumed = len(list(folder.glob("events.*")))
        # The name of a file has the time in seconds; the suffix keeps two of the same second apart.
        purge_step = step + 1 if resumed else None
        self._writer = SummaryWriter(str(folder), purge_step=purge_step, filename_suffix=f".{resumed}")
        if resumed:
            return step
        settings = json.dumps(dict(self._run.settings), indent=4)
        self._writer.add_text("settings", "\n".join(f"    {line}" for line in settings.splitlines()), 0)
        return 0

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics, and write them to the file at once, so that a killed process loses none."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def show(self, step: int, picture: Image.Image) -> None:
        """Log a picture."""
        self._writer.add_image(_IMAGES, np.asarray(picture), step, dataformats="HWC")
        self._writer.flush()

    def close(self, *, finished: bool) -> None:  # noqa: ARG002
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


class _Client:
    """A run that ``init`` of a library like Weights & Biases began, and the next step that it expects."""

    def __init__(self, library: Any, run: Any, next_step: int) -> None:
        self._library, self._run, self._last = library, run, max(0, next_step - 1)

    def begin(self, step: int) -> int:  # noqa: ARG002
        """Return the last step that the tracker has."""
        return self._last

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics."""
        self._run.log(dict(values), step=step)

    def show(self, step: int, picture: Image.Image) -> None:
        """Log a picture."""
        self._run.log({_IMAGES: self._library.Image(picture)}, step=step)

    def close(self, *, finished: bool) -> None:  # noqa: ARG002
        """Write what is left."""
        self._run.finish()


class WeightsAndBiases(_Client):
    """A run of Weights & Biases, which is found again by its identity."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        # Nothing that is printed is captured, and the end of a run doesn't wait forever for a connection.
        settings = wandb.Settings(console="off", finish_timeout=_PATIENCE)
        begun = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=run.identity,
            name=run.name,
            config=dict(run.settings),
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        super().__init__(wandb, begun, int(begun.starting_step))

    def close(self, *, finished: bool) -> None:
        """Upload what is left."""
        self._run.finish(exit_code=0 if finished else 1)


class Trackio(_Client):
    """A run of Trackio, which tells runs apart by their names only: the name has part of the identity."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        begun = trackio.init(
            project=PROJECT,
            name=f"{run.name}-{run.identity[:6]}",
            config=dict(run.settings),
            resume="allow",
            embed=False,
        )
        super().__init__(trackio, begun, int(begun._next_step))


# The class of each tracker, and the library that it needs, which is in the extra of the same name.
TRACKERS: Mapping[str, tuple[Callable[[TrackedRun], Tracker], str]] = {
    "tensorboard": (TensorBoard, "tensorboardX"),
    "wandb": (WeightsAndBiases, "wandb"),
    "trackio": (Trackio, "trackio"),
}


def check_trackers(names: Sequence[str]) -> None:
    """Raise `ConfigError` if there is no such tracker, or its library isn't installed."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(
                f"--log-to {shorten(name)} is not available; choose from: {', '.join(TRACKERS)}."
            )
        library = TRACKERS[name][1]
        if importlib.util.find_spec(library) is None:
            raise ConfigError(
                f"--log-to {name} needs {library}, which is not installed: "
                f"run \"pip install 'rcig-cli[{name}]'\"."
            )


@contextmanager
def tracked(store: Store, run: RunManifest, prepared: Prepared, context: RunContext) -> Iterator[RunContext]:
    """Log a run to the trackers of ``context.log_to`` while it is executed in a ``with`` block.

    Yields the context with which it is to be executed.  Of several processes, the first one logs.
    """
    if not context.log_to or not context.processes.is_first:
        yield context
        return
    tracking = _Tracking(store, run, prepared, context)
    finished = False
    try:
        yield replace(context, on_step=tracking.on_step, on_snapshot=tracking.on_snapshot)
        finished = True
    finally:
        tracking.end(finished=finished)


class _Tracking:
    """The trackers of a run that is being executed."""

    def __init__(self, store: Store, run: RunManifest, prepared: Prepared, context: RunContext) -> None:
        self._store, self._run, self._prepared, self._context = store, run, prepared, context
        self._path = store.run_path(run.name)
        self._config = DistillConfig.from_json(run.config)
        self._counts = self._config.decoded_per_class(prepared.classes)
        self._every = math.ceil(self._config.steps / _STEPS) or 1
        self._shown = due_steps(self._config.steps)[:-1][::-_SNAPSHOTS] if self._config.steps else ()
        identity = hashlib.sha256(json.dumps([run.name, run.created, run.parents]).encode()).hexdigest()[:16]
        tracked_run = TrackedRun(run.name, identity, run.config, self._path)
        self._trackers: dict[str, Tracker] = {}  # by name, those that have not failed
        self._logged: dict[str, int] = {}  # up to which step each had metrics when it began
        self._begun = False
        for name in dict.fromkeys(context.log_to):
            with self._failures_of(name):
                self._trackers[name] = TRACKERS[name][0](tracked_run)

    def on_step(self, step: int, values: Mapping[str, float]) -> bool | None:
        """Log an outer step; return what the caller's own function returns."""
        self._begin(step - 1)
        self._log(step, values)
        return None if self._context.on_step is None else self._context.on_step(step, values)

    def on_snapshot(self, step: int, images: npt.NDArray[Any]) -> None:
        """Log a picture of a snapshot's images ``[n, H, W, c]``, now and then."""
        if step in self._shown and self._trackers:
            kept = kept_indices(self._counts, self._prepared.shape)
            classes = np.repeat(np.arange(len(self._counts)), self._counts)
            lacking = [name for name in self._trackers if step > self._logged[name]]
            self._show(lacking, step, images[kept], classes[kept])

    def end(self, *, finished: bool) -> None:
        """Log the final images if the run is finished, and close the trackers."""
        with self._failures_of(*self._trackers):
            if finished and self._trackers:
                distilled = open_distilled(self._store, self._run.name)
                self._begin(distilled.run.step)
                self._show([*self._trackers], distilled.run.step, distilled.images, distilled.classes)
        for name, tracker in list(self._trackers.items()):
            with self._failures_of(name):
                tracker.close(finished=finished)

    def _begin(self, step: int) -> None:
        """Begin all trackers after an outer step, and log what they lack of the steps until then."""
        if self._begun:
            return
        self._begun, before = True, []
        with self._failures_of(*self._trackers):
            log = MetricsLog(self._path / METRICS).read()
            before = [record for record in log if record["step"] <= step]
        for name, tracker in list(self._trackers.items()):
            with self._failures_of(name):
                self._logged[name] = tracker.begin(step)
        for record in before:
            self._log(record["step"], {each: value for each, value in record.items() if each != "step"})

    def _log(self, step: int, values: Mapping[str, float | None]) -> None:
        if step % self._every and step not in (1, self._config.steps):
            return
        known = {name: value for name, value in values.items() if value is not None}
        for name, tracker in list(self._trackers.items()):
            if step > self._logged[name]:
                with self._failures_of(name):
                    tracker.log(step, known)

    def _show(
        self, names: Sequence[str], step: int, images: npt.NDArray[Any], classes: npt.NDArray[Any]
    ) -> None:
        with self._failures_of(*names):
            pixels = self._prepared.whitening().pixels(images)
            picture = draw_grid(pixels, classes, self._prepared.class_names)
        for name in [name for name in names if name in self._trackers]:
            with self._failures_of(name):
                self._trackers[name].show(step, picture)

    @contextmanager
    def _failures_of(self, *names: str) -> Iterator[None]:
        """Leave trackers out, with a warning, if they fail; what they print goes to stderr."""
        try:
            with redirect_stdout(sys.stderr):
                yield
        except Exception as error:  # trackers raise errors of every kind
            self._trackers = {name: each for name, each in self._trackers.items() if name not in names}
            first = (str(error).strip().splitlines() or [""])[0][:160] or type(error).__name__
            self._context.report.warn(
                f"Logging to {', '.join(names)} failed and is left out from here on ({first}). The run is "
                f"not affected: its metrics are in {self._path / METRICS}."
            )
