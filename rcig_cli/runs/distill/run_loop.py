"""The loop over outer steps: take steps, report their metrics, save checkpoints.

Several processes that distill one run together all execute this loop in lockstep, and the first one writes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rcig_cli.distillation.parametrizations import Decoder
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.settings import ExpertSettings
from rcig_cli.distillation.task import Task
from rcig_cli.errors import Corrupt, Interrupted
from rcig_cli.presets.config import DistillConfig, with_possible_batch
from rcig_cli.runs.configuration import network_for
from rcig_cli.runs.distill import preflight
from rcig_cli.runs.distill.divergence import (
    Diverged,
    comes_from,
    is_stuck,
    not_finite,
    not_finite_in,
    record_of,
)
from rcig_cli.runs.distill.experts import expert_pairs
from rcig_cli.runs.distill.snapshots import SNAPSHOTS, Snapshots
from rcig_cli.runs.distill.start_images import start_images
from rcig_cli.runs.engine.base import Engine, Fetch, RunState
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.engine import make_engine
from rcig_cli.runs.engine.environment import processors
from rcig_cli.runs.engine.mesh import choose_devices, own_device
from rcig_cli.runs.engine.processes import Processes
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import STEPS_PER_SECOND, Report
from rcig_cli.runs.signals import StopRequest
from rcig_cli.store import checkpoints
from rcig_cli.store.digests import digests
from rcig_cli.store.metrics import METRICS, MetricsLog
from rcig_cli.store.progress import BATCH_ACCURACY, DISTILLING
from rcig_cli.store.records import RunManifest, Status, now, write_manifest
from rcig_cli.store.results import write_result

OnStep = Callable[[int, Mapping[str, float]], bool | None]

REPORT_EVERY = 0.5  # seconds: target duration of one call to the engine; least time between progress reports
_SHOWN = {"loss": "loss", "accuracy": BATCH_ACCURACY}  # metrics in a report of progress, as it calls them
_TIMED_STEPS = 3  # steps after which the remaining time is estimated
_SAVE_EVERY = 600.0  # seconds between checkpoints, by default


@dataclass(frozen=True)
class RunContext:
    """Where and how a run is executed; none of it changes the result.

    Attributes
    ----------
    report
        Where messages and progress go.
    checkpoint_every
        Outer steps between checkpoints; None: 10 minutes.
    devices
        How many devices to use; None: one, or with several processes all of them.
    processes
        The processes that distill the run together.
    on_step
        Called after each outer step with its number, from 1, and its metrics; if it returns False, the run
        ends soon after: steps already being computed are kept.
    on_snapshot
        Called with the number of an outer step and the distilled images after it, ``[n, H, W, c]``, whenever
        a snapshot is taken.
    log_to
        The trackers to which the run is logged, names of `tracking.TRACKERS`.
    """

    report: Report
    checkpoint_every: int | None = None
    devices: int | None = None
    processes: Processes = field(default_factory=Processes)
    on_step: OnStep | None = None
    on_snapshot: Callable[[int, npt.NDArray[Any]], None] | None = None
    log_to: Sequence[str] = ()


class RunInterrupted(Interrupted):
    """A signal stopped the run of this name."""

    def __init__(self, run: str, message: str, signal_number: int) -> None:
        super().__init__(message, signal_number)
        self.run = run


class RunLoop:
    """A run in progress, in the folder ``path``, with its manifest, its log and its data set."""

    def __init__(
        self,
        path: Path,
        manifest: RunManifest,
        prepared: Prepared,
        context: RunContext,
        stop: StopRequest,
        metrics: MetricsLog,
    ) -> None:
        self.path, self.manifest, self.context = path, manifest, context
        self.stop, self.metrics = stop, metrics
        self.config = DistillConfig.from_json(manifest.config)
        self.prepared = prepared
        self.real = RealData(prepared.images("train"), prepared.labels("train"))
        self.devices = choose_devices(context.devices)
        self.decoder = self.config.decoder(prepared.shape, prepared.classes)
        self.initial_psi = initial_psi(self.real, prepared.classes, self.config, self.decoder)
        self.step = self.saved = 0  # outer steps taken, and those of the newest checkpoint
        self.state: RunState | None = None
        self.memory_needed = self.memory_available = 0  # bytes
        self.snapshots = Snapshots(
            path,
            steps=self.config.steps,
            counts=self.config.decoded_per_class(prepared.classes),
            shape=prepared.shape,
        )
        # Calls whose metrics were not fetched yet: steps taken before the call, a function that waits for its
        # metrics, and the distilled set after it if a snapshot is due.
        self.pending: list[tuple[int, Fetch, Distilled | None]] = []
        self.timed_from: tuple[int, float] | None = None  # step and time of the end of the first call
        self.began = time.monotonic()
        self.seconds_per_step: float | None = None
        self.estimated = False
        self.reported_at = 0.0

    @cached_property
    def engine(self) -> Engine:
        """The compiled functions of the run."""
        return self._engine_for(self.config)

    @cached_property
    def learned_from(self) -> RealData:
        """What each outer step takes a batch of: real images, or parameters of experts in their place."""
        if not isinstance(self.config.method, ExpertSettings):
            return self.real

        def check_for_stop() -> None:
            if self.stop.signal_number is not None:
                self._interrupt(self.stop.signal_number)

        return expert_pairs(
            self.prepared,
            self.config,
            self.real,
            self.context.report,
            check_for_stop,
            may_train=self.context.processes.count == 1,
        )

    @property
    def is_writer(self) -> bool:
        """Whether this is the process that writes files."""
        return self.context.processes.is_first

    def record(self, **changes: Any) -> RunManifest:
        """Write changes into the run's manifest."""
        self.manifest = replace(self.manifest, updated=now(), **changes)
        if self.is_writer:
            write_manifest(self.path, self.manifest)
        return self.manifest

    def end(
        self, status: Status, step: int, files: Mapping[str, str] | None = None, **changes: Any
    ) -> RunManifest:
        """Record how the run ended, checksums, and how long its steps took if two or more were taken."""
        if self.is_writer and self.timed_from is not None and self.seconds_per_step is not None:
            timing = {
                "steps": self.step - self.timed_from[0],
                "milliseconds_per_step": 1000 * self.seconds_per_step,
                "seconds": time.monotonic() - self.began,
                "device": jax.default_backend(),
                "processors": processors(),
            }
            write_result(self.path, "timings", "distill", timing)
        recorded = files or {}
        if self.is_writer:
            self.metrics.sync()
            recorded = {**recorded, **digests(self.path, SNAPSHOTS), **digests(self.path, METRICS)}
        return self.record(status=status, step=step, files=recorded, **changes)

    def restore_or_start(self) -> None:
        """Restore the newest checkpoint, or start at step 0 with tuned learning rates."""
        template = self.engine.template(self.initial_psi)
        self._check_memory(template)
        restored = checkpoints.latest(self.path, template) if self.is_writer else None
        # Process 0 decides for all; -1 means that there is no checkpoint.
        step = int(self.context.processes.share_text(str(-1 if restored is None else restored.step)))
        if step < 0:
            self.state = self._tuned(self.engine.start(self.initial_psi))
            self.snapshots.add(0, self._decoded(self.initial_psi))
            self.save()
        else:
            for sentence in restored.warnings if restored else ():
                self.context.report.warn(sentence)
            # The other processes pass only the structure.
            whole = self.context.processes.share(restored.state if restored else template)
            self.state, self.step, self.saved = self.engine.place(whole), step, step
        if self.is_writer:
            self.metrics.truncate_after(self.step)
            self._restore_snapshots()

    def take_steps(self) -> None:
        """Take all remaining steps."""
        saved_at = time.monotonic()
        while self.step < self.config.steps:
            due = self._checkpoint_is_due(time.monotonic() - saved_at)
            signal_number = self.stop.signal_number or 0
            # All processes have to make the same decisions.
            stop, save, count = self.context.processes.agree_on(signal_number, due, self._steps_per_call())
            if stop:
                self._interrupt(stop)
            if save:
                self.save()  # in which `on_step` may end the run
                saved_at = time.monotonic()
                continue
            count = min(count, self.snapshots.until(self.step), self._steps_until_checkpoint())
            assert self.state is not None
            self.state, fetch = self.engine.advance(self.state, self.step, count)
            snapshot = self.engine.product(self.state) if self.snapshots.due(self.step + count) else None
            self.pending.append((self.step, fetch, snapshot))
            self.step += count
            self.stop.unsaved = True
            self.flush(keep=1)  # the call just started computes while the one before it is logged
        ended = self.config.steps != self.manifest.config["steps"]  # by `on_step`
        if ended and not self.snapshots.due(self.step):
            assert self.state is not None
            self.flush()
            self._take_snapshot(self.step, self.engine.product(self.state))
        self.save()
        if ended:
            self.record(config=self.config.to_json(), replanned=True)

    def flush(self, keep: int = 0) -> None:
        """Fetch the metrics of all calls but the last ``keep``; log, check and report them."""
        ready = self.pending[: len(self.pending) - keep]
        self.pending = self.pending[len(ready) :]
        for first, fetch, snapshot in ready:
            for step, info in enumerate(fetch(), first + 1):
                values = {name: float(value) for name, value in info.metrics.items()}
                if self.is_writer:
                    self.metrics.append({"step": step, **values})
                if what := not_finite(info):
                    raise self._diverged(step, what, hopeless=comes_from(self.saved, step, what))
                answer = None if self.context.on_step is None else self.context.on_step(step, values)
                if isinstance(answer, bool | np.bool_) and not answer:
                    self.config = self.config.override({"steps": self.step})
            if snapshot is not None:
                self._take_snapshot(step, snapshot)
            self._report_progress(step, values)

    def _take_snapshot(self, step: int, psi: Distilled) -> None:
        if self.is_writer:
            images = self._decoded(psi)
            self.snapshots.add(step, images)
            if self.context.on_snapshot is not None:
                self.context.on_snapshot(step, images)

    def save(self) -> None:
        """Save a checkpoint, once all its values are known to be finite."""
        self.flush()
        if self.step == self.saved and checkpoints.steps(self.path):
            return
        assert self.state is not None
        whole = self.engine.gather(self.state)
        if what := not_finite_in(whole):
            raise self._diverged(self.step, what)
        if self.is_writer:
            self.snapshots.save()
            self.metrics.sync()
            checkpoints.save(self.path, self.step, whole)
        self.saved = self.step
        self.record(step=self.step)
        self.stop.unsaved = False

    def product(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the distilled set, as `write_distilled` writes them."""
        assert self.state is not None
        product = self.engine.product(self.state)
        count = product.labels.shape[1]
        classes = np.repeat(np.arange(count, dtype=np.int32), self.config.decoded_per_class(count))
        return {**_on_host(product.stored), "labels": np.asarray(product.labels), "classes": classes}

    def _decoded(self, psi: Distilled) -> npt.NDArray[Any]:
        """The images of a psi."""
        images: npt.NDArray[Any] = self.decoder.decode(_on_host(psi.stored))
        return images

    def _engine_for(self, config: DistillConfig) -> Engine:
        return engine_for(config, self.prepared, self.learned_from, self.devices)

    def _check_memory(self, template: RunState) -> None:
        """Compile the step, and refuse to start if it needs more memory than there is."""
        self.context.report.note("Compiling the outer step.")
        self.memory_needed = self.engine.compile(template)
        images = self.initial_psi.labels.shape[0] * (2 if self.config.method.flip else 1)
        real = self.prepared.sizes["train"], self.prepared.classes
        self.memory_available = preflight.available_memory(own_device(self.devices))
        preflight.check_memory(
            self.memory_needed,
            self.memory_available,
            self.config,
            images,
            lambda config: self._engine_for(with_possible_batch(config, *real)).compile(template),
        )

    def _checkpoint_is_due(self, seconds_since_save: float) -> bool:
        every = self.context.checkpoint_every
        return self.step > self.saved and (
            self.step % every == 0 if every else seconds_since_save >= _SAVE_EVERY
        )

    def _steps_until_checkpoint(self) -> int:
        every = self.context.checkpoint_every
        return every - self.step % every if every else self.config.steps

    def _steps_per_call(self) -> int:
        """As many steps as take about as long as the time between reports."""
        if self.seconds_per_step is None:
            return 1
        return max(1, min(self.engine.most, int(REPORT_EVERY / self.seconds_per_step)))

    def _report_progress(self, step: int, values: dict[str, float]) -> None:
        if self.timed_from is None:
            self.timed_from = step, time.monotonic()  # compilation is over: time counts from here
            return
        seconds = (time.monotonic() - self.timed_from[1]) / (step - self.timed_from[0])
        self.seconds_per_step = seconds
        if not self.estimated and step - self.timed_from[0] >= _TIMED_STEPS:
            self.estimated = True
            left = self.config.steps - step
            self.context.report.note(
                preflight.estimate(self.memory_needed, self.memory_available, seconds, left)
            )
        if time.monotonic() - self.reported_at >= REPORT_EVERY or step == self.config.steps:
            self.reported_at = time.monotonic()
            shown = {label: values[name] for name, label in _SHOWN.items() if name in values}
            shown[STEPS_PER_SECOND] = 1 / seconds
            self.context.report.progress(DISTILLING, step, self.config.steps, shown)

    def _tuned(self, state: RunState) -> RunState:
        """The state with tuned learning rates, if the method tunes any."""
        processes = self.context.processes

        def check_for_stop() -> None:
            if self.stop.signal_number is not None and processes.count == 1:
                self._interrupt(self.stop.signal_number)

        learner = self.engine.tune(state, check_for_stop)
        if learner is None:
            return state
        learner = processes.share(learner)
        return self.engine.place(self.engine.gather(state)._replace(learner=learner))

    def _restore_snapshots(self) -> None:
        try:
            self.snapshots.restore(self.step)
        except Corrupt as error:
            self.context.report.warn(
                f"{error} An animation of {self.path.name} will start at step {self.step}."
            )

    def _diverged(self, step: int, what: Sequence[str], *, hopeless: bool = False) -> Diverged:
        """Return the error, with the values that diverged and the checkpoint to resume from.

        If resuming from the newest checkpoint must fail again (``hopeless``), or has already failed with
        other learning rates, that checkpoint is removed, provided that there is an older one.
        """
        record = record_of(step, what, self.saved, self.config)
        if hopeless or is_stuck((*self.manifest.divergences, record)):
            older = [each for each in checkpoints.steps(self.path) if each < self.saved]
            if older and self.is_writer:
                checkpoints.prune(self.path, older[-1])
                self.saved = older[-1]
            if older or hopeless:
                record["checkpoint"] = older[-1] if older else None
        return Diverged(self.path.name, record)

    def _interrupt(self, signal_number: int) -> None:
        if self.state is None:
            message = "Stopped before the first step."
            if isinstance(self.config.method, ExpertSettings):
                message += " Experts that are complete are kept."
        else:
            self.save()
            message = f"Stopped at step {self.step} of {self.config.steps}, after saving a checkpoint."
        raise RunInterrupted(self.path.name, message, signal_number)


def _on_host(stored: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    return {name: np.asarray(array) for name, array in stored.items()}


def initial_psi(real: RealData, classes: int, config: DistillConfig, decoder: Decoder) -> Distilled:
    """The psi of the first step: the start images of each class with their centred one-hot labels.

    Each decoded image has a start image.
    """
    counts = config.decoded_per_class(classes)
    images, labels = start_images(real, counts, config.start, config.seed)
    return Distilled(
        decoder.encode(np.asarray(images)), centred_one_hot(jnp.asarray(labels), classes), jnp.zeros(())
    )


def task_for(config: DistillConfig, prepared: Prepared, platform: Platform) -> Task:
    """Return what a run's method is made for."""
    network = network_for(config, prepared.shape, prepared.classes)
    return Task(
        network,
        platform,
        config.steps,
        config.decoder(prepared.shape, prepared.classes),
        config.decoded_per_class(prepared.classes),
    )


def engine_for(
    config: DistillConfig, prepared: Prepared, real: RealData, devices: Sequence[jax.Device]
) -> Engine:
    """Make the functions of a run of a data set, whose training images are ``real``.

    For a method with experts, ``real`` are pairs of their parameters, and a step takes one for each model.
    """
    batch, augmentations = config.batch, config.augmentations
    if isinstance(config.method, ExpertSettings):
        batch, augmentations = config.method.models, ()
    return make_engine(
        lambda platform: config.algorithm_record.make(task_for(config, prepared, platform), config.method),
        real,
        batch=batch,
        seed=config.seed,
        augmentations=augmentations,
        balanced=config.algorithm_record.real_per_class > 0,
        devices=devices,
    )
