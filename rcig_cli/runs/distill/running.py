"""A run under way: its state, what has been written of it, and when to write more.

Where several processes run together each of them has all of this, they go in step, and the first one writes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rcig_cli.distillation.bilevel.learning_rates import start_rate, tune
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.errors import Corrupt, Interrupted
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import distilling_network
from rcig_cli.runs.distill.divergence import (
    Diverged,
    comes_from,
    is_stuck,
    not_finite,
    not_finite_in,
    record_of,
)
from rcig_cli.runs.distill.snapshots import Snapshots
from rcig_cli.runs.engine import preflight
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.draws import Use, first_images, key_for
from rcig_cli.runs.engine.engine import Engine, make_engine
from rcig_cli.runs.engine.mesh import choose_devices, own_device
from rcig_cli.runs.engine.processes import Processes
from rcig_cli.runs.engine.state import Fetch, RunState
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report
from rcig_cli.runs.signals import StopRequest
from rcig_cli.store import checkpoints
from rcig_cli.store.manifest import RunManifest, write_manifest
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.provenance import now

_LOOK_EVERY = 0.5  # seconds that a call to the engine should take, and between looks at the numbers
_SOME_STEPS = 3  # steps after which the time of all can be told


@dataclass(frozen=True)
class CheckpointPolicy:
    """When to save the state: every so many steps, and whenever so many seconds have passed.

    Attributes
    ----------
    steps
        Outer steps between checkpoints, or None.
    seconds
        Seconds between checkpoints; not looked at where ``steps`` is given.
    """

    steps: int | None = None
    seconds: float = 600.0

    def due(self, step: int, seconds_since: float) -> bool:
        """Whether to save after ``step`` outer steps."""
        return step % self.steps == 0 if self.steps else seconds_since >= self.seconds

    def until(self, step: int) -> int | None:
        """Outer steps until a checkpoint is due by their number."""
        return self.steps - step % self.steps if self.steps else None


@dataclass(frozen=True)
class Surroundings:
    """What a run works with.

    Attributes
    ----------
    policy
        When to save.
    report
        Where messages go.
    devices
        How many devices to use; None: one, or with several processes all.
    processes
        This process among those of the job.
    on_step
        Called with each outer step, from 1, and its numbers; the run ends early if it returns False.
    """

    policy: CheckpointPolicy
    report: Report
    devices: int | None = None
    processes: Processes = field(default_factory=Processes)
    on_step: Callable[[int, Mapping[str, float]], bool | None] | None = None


class Running:
    """A run under way.

    Parameters
    ----------
    path, manifest
        Its folder, and its manifest.
    prepared
        The data set it is distilled from.
    around
        What it works with.
    stop, metrics
        Whether a signal has come; and where its numbers go.
    """

    def __init__(
        self,
        path: Path,
        manifest: RunManifest,
        prepared: Prepared,
        around: Surroundings,
        stop: StopRequest,
        metrics: MetricsLog,
    ) -> None:
        self.path, self.manifest, self.around = path, manifest, around
        self.stop, self.metrics = stop, metrics
        self.config = DistillConfig.from_json(manifest.config)
        self.prepared = prepared
        self.real = RealData(prepared.images("train"), prepared.labels("train"))
        self.devices = choose_devices(around.devices)
        self.engine = self._engine_for(self.config)
        self.first = _first(self.real, prepared.classes, self.config)
        self.step = self.saved = 0
        self.state: RunState
        self.ready = False  # whether there is a state
        self.needed = self.there = 0  # bytes of memory
        self.snapshots = Snapshots(
            path,
            steps=self.config.steps,
            ipc=self.config.ipc,
            classes=prepared.classes,
            shape=prepared.manifest.shape,
        )
        # First step of a call, its numbers, and the product after it where that is kept.
        self.pending: list[tuple[int, Fetch, Distilled | None]] = []
        self.began: tuple[int, float] | None = None  # the first steps here, compiled, and when they were done
        self.seconds_per_step: float | None = None  # compilation aside
        self.estimated = False
        self.shown = 0.0  # when

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes."""
        return self.around.processes.is_first

    def record(self, **changes: Any) -> RunManifest:
        """Write what has changed into the run's manifest."""
        self.manifest = replace(self.manifest, updated=now(), **changes)
        if self.writes:
            write_manifest(self.path, self.manifest)
        return self.manifest

    def restore_or_begin(self) -> None:
        """Take up the newest checkpoint, or begin at step 0 with tuned learning rates."""
        template = jax.eval_shape(self.engine.start, self.first)
        self._check_memory(template)
        restored = checkpoints.latest(self.path, template) if self.writes else None
        step = int(self.around.processes.share_text(str(-1 if restored is None else restored.step)))
        if step < 0:
            self.state = self._tuned(self.engine.start(self.first))
            self.ready = True
            self.snapshots.add(0, np.asarray(self.first.images))
            self.save()
        else:
            for sentence in restored.warnings if restored else ():
                self.around.report.warn(sentence)
            whole = self.around.processes.share(restored.state if restored else template)
            self.state, self.step, self.saved, self.ready = self.engine.place(whole), step, step, True
        if self.writes:
            self.metrics.truncate_after(self.step)
            self._restore_snapshots()

    def go(self) -> None:
        """Take all steps that are left."""
        saved_at = time.monotonic()
        while self.step < self.config.steps:
            since = time.monotonic() - saved_at
            due = self.step > self.saved and self.around.policy.due(self.step, since)
            stop, save, count = self.around.processes.agree_on(self._signal(), due, self._pace())
            if stop:
                self._interrupt(stop)
            if save:
                self.save()
                saved_at = time.monotonic()
            count = min(count, self.snapshots.until(self.step), self.around.policy.until(self.step) or count)
            self.state, fetch = self.engine.advance(self.state, self.step, count)
            kept = self.engine.product(self.state) if self.snapshots.due(self.step + count) else None
            self.pending.append((self.step, fetch, kept))
            self.step += count
            self.flush(keep=1)
        self.save()
        self.record(config=self.config.to_json())  # with other steps, if it ended early
        if self.writes:
            checkpoints.prune(self.path, self.step)  # killed before, it may have left an old one

    def flush(self, keep: int = 0) -> None:
        """Fetch the numbers of all calls but the last ``keep``; write, check and show them."""
        ready = self.pending[: len(self.pending) - keep]
        self.pending = self.pending[len(ready) :]
        for first, fetch, kept in ready:
            for step, info in enumerate(fetch(), first + 1):
                numbers = info._asdict()
                del numbers["finite"]
                values = {name: float(value) for name, value in numbers.items()}
                if self.writes:
                    self.metrics.append({"step": step, **values})
                if what := not_finite(info):
                    raise self._diverged(step, what, hopeless=comes_from(self.saved, step, what))
                if self.around.on_step is not None and self.around.on_step(step, values) is False:
                    self.config = replace(self.config, steps=self.step)
            if kept is not None and self.writes:
                self.snapshots.add(step, np.asarray(kept.images))
            self._show(step, values)

    def save(self) -> None:
        """Save the whole state, once its numbers are known to be good."""
        self.flush()
        if self.step == self.saved and checkpoints.steps(self.path):
            return
        whole = self.engine.gather(self.state)
        if what := not_finite_in(whole):
            raise self._diverged(self.step, what)
        if self.writes:
            self.snapshots.save()
            checkpoints.save(self.path, self.step, whole)
        self.saved = self.step
        self.record(step=self.step, log=self.log())

    def log(self) -> dict[str, Any] | None:
        """What the manifest says of the log: its length and digest."""
        return self.metrics.vouched() if self.writes else None

    def product(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the distilled set."""
        product = self.engine.product(self.state)
        classes = np.repeat(np.arange(product.labels.shape[1], dtype=np.int32), self.config.ipc)
        return {
            "images": np.asarray(product.images),
            "labels": np.asarray(product.labels),
            "classes": classes,
        }

    def _engine_for(self, config: DistillConfig) -> Engine:
        network = distilling_network(self.prepared, config)
        algorithm, batch, seed = config.algorithm, config.batch, config.seed
        return make_engine(network, algorithm, self.real, batch=batch, seed=seed, devices=self.devices)

    def _check_memory(self, template: RunState) -> None:
        """Compile the step; refuse to begin if it doesn't fit."""
        self.around.report.note("Compiling the outer step.")
        self.needed = self.engine.compile(template)
        images = self.first.labels.shape[0] * (2 if self.config.algorithm.flip else 1)
        self.there = preflight.memory_there(own_device(self.devices))
        preflight.check_memory(
            self.needed, self.there, self.config, images, lambda c: self._engine_for(c).compile(template)
        )

    def _pace(self) -> int:
        """Steps in the next call: as many as take about as long as we want between looks."""
        if self.seconds_per_step is None:
            return 1
        return max(1, min(self.engine.most, int(_LOOK_EVERY / self.seconds_per_step)))

    def _show(self, step: int, values: dict[str, float]) -> None:
        if self.began is None:
            self.began = step, time.monotonic()  # compiled; from here on the steps' own time counts
            return
        seconds = self.seconds_per_step = (time.monotonic() - self.began[1]) / (step - self.began[0])
        if not self.estimated and step - self.began[0] >= _SOME_STEPS:
            self.estimated = True
            left = self.config.steps - step
            self.around.report.note(preflight.estimate(self.needed, self.there, seconds, left))
        if time.monotonic() - self.shown >= _LOOK_EVERY or step == self.config.steps:
            self.shown = time.monotonic()
            shown = {"loss": values["loss"], "accuracy": values["accuracy"], "steps/s": 1 / seconds}
            self.around.report.progress("distilling", step, self.config.steps, shown)

    def _tuned(self, state: RunState) -> RunState:
        """The state with both learning rates tuned, where the solver has any."""
        algorithm = self.config.algorithm
        if not algorithm.has_rates:
            return state
        trials = self.engine.trials(state)

        def watched(falls: Callable[[float], bool]) -> Callable[[float], bool]:
            def look(rate: float) -> bool:
                if self.stop.signal_number is not None and self.around.processes.count == 1:
                    self._interrupt(self.stop.signal_number)
                return falls(rate)

            return look

        inner = tune(algorithm.inner_rate_start, watched(trials.inner))
        hessian = tune(algorithm.hessian_rate_start, watched(lambda rate: trials.hessian(inner, rate)))
        rates = self.around.processes.share([np.float32(inner), np.float32(hessian)])
        inner_rate, hessian_rate = (start_rate(float(rate)) for rate in rates)
        whole = self.engine.gather(state)
        learner = whole.learner._replace(inner_rate=inner_rate, hessian_rate=hessian_rate)
        return self.engine.place(whole._replace(learner=learner))

    def _restore_snapshots(self) -> None:
        try:
            self.snapshots.restore(self.step)
        except Corrupt as error:
            self.around.report.warn(f"{error} An animation of {self.path.name} will begin at {self.step}.")

    def _diverged(self, step: int, what: Sequence[str], *, hopeless: bool = False) -> Diverged:
        """Say what happened, and which checkpoint stands.

        The newest is removed, if there is an older one, where going on from it is ``hopeless`` or was tried
        with other rates already.
        """
        record = record_of(step, what, self.saved, self.config)
        if hopeless or is_stuck((*self.manifest.divergences, record)):
            older = [each for each in checkpoints.steps(self.path) if each < self.saved]
            if older and self.writes:
                checkpoints.prune(self.path, older[-1])
                self.saved = older[-1]
            if older or hopeless:
                record["checkpoint"] = older[-1] if older else None
        return Diverged(self.path.name, record)

    def _signal(self) -> int:
        return self.stop.signal_number or 0

    def _interrupt(self, signal_number: int) -> None:
        if self.ready:
            self.save()
        where = f"at step {self.step} of {self.config.steps}, after a checkpoint"
        raise Interrupted(f"Stopped {where if self.ready else 'before the first step'}.", signal_number)


def _first(real: RealData, classes: int, config: DistillConfig) -> Distilled:
    """Where psi starts: random real images of each class with their centred one-hot labels."""
    chosen = first_images(key_for(config.seed, Use.FIRST_IMAGES), real.classes, classes, config.ipc)
    labels = centred_one_hot(jnp.asarray(real.classes[chosen]), classes)
    return Distilled(jnp.asarray(real.images[chosen]), labels, jnp.zeros(()))
