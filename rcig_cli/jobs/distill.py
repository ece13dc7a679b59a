"""Distil a data set: the run, its checkpoints, its end.

A run is created at once with its whole configuration, then goes step by step.  Whatever ends it, the newest
checkpoint stands, and a resumed run gives byte for byte what an uninterrupted one gives (on a CPU).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rcig_cli.distillation.learning_rates import start_rate, tune
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.step import Info
from rcig_cli.errors import ConfigError, Interrupted, NumericsError
from rcig_cli.jobs.distilled import write_distilled
from rcig_cli.jobs.draws import Use, first_images, key_for
from rcig_cli.jobs.engine import Engine, RealData, RunState, make_engine
from rcig_cli.jobs.prepared import Prepared
from rcig_cli.jobs.report import Report
from rcig_cli.jobs.signals import StopRequest, stop_on_signals
from rcig_cli.networks.network import Network, build_network
from rcig_cli.presets.config import DistillConfig
from rcig_cli.store import checkpoints
from rcig_cli.store.layout import Store
from rcig_cli.store.locks import RunLock
from rcig_cli.store.manifest import RunManifest, SweepManifest, now, versions, write_manifest
from rcig_cli.store.metrics import MetricsLog

METRICS = "metrics.jsonl"

_SHOW_EVERY = 0.5  # seconds between looks at the device's numbers


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


def start_run(
    store: Store, prepared: Prepared, config: DistillConfig, sweep: SweepManifest | None = None
) -> tuple[RunManifest, RunLock]:
    """Create a run, locked for this process; where it is one of a ``sweep``, that is its parent too.

    Raises
    ------
    ConfigError
        If there can't be such a run: more images per class than a class has.
    """
    check_possible(prepared, config)
    parents = {"dataset": {"name": prepared.manifest.name, "digest": prepared.manifest.digest}}
    if sweep is not None:
        parents["sweep"] = {"name": sweep.name, "digest": sweep.digest}

    def manifest(name: str) -> RunManifest:
        return RunManifest(
            name=name,
            created=now(),
            updated=now(),
            status="running",
            step=0,
            config=config.to_json(),
            seed=config.seed,
            dataset=config.dataset,
            parents=parents,
            versions=versions(),
            files={},
        )

    name, lock = store.create_run(manifest)
    return store.run(name), lock


def check_possible(prepared: Prepared, config: DistillConfig) -> None:
    """Refuse what the data set can't give."""
    counts = np.bincount(prepared.labels("train"), minlength=prepared.classes)
    fewest = int(np.argmin(counts))
    if config.ipc > counts[fewest]:
        raise ConfigError(
            f"--ipc {config.ipc} is more than there is: class {prepared.manifest.class_names[fewest]!r} of "
            f"{config.dataset} has {counts[fewest]} training images."
        )
    build(prepared, config)


def build(prepared: Prepared, config: DistillConfig) -> Network:
    """Build the network a configuration distils with."""
    return build_network(
        config.architecture,
        image_shape=prepared.manifest.shape,
        classes=prepared.classes,
        width=config.width,
        depth=config.depth,
        activation=config.activation,
    )


def run(
    path: Path, manifest: RunManifest, prepared: Prepared, policy: CheckpointPolicy, report: Report
) -> RunManifest:
    """Go on with a run from its newest checkpoint, or from the start, to its end.

    Parameters
    ----------
    path
        The run's folder; the caller holds its lock.
    manifest
        The run's manifest.
    prepared
        The data set it is distilled from.
    policy
        When to save.
    report
        Where messages go.

    Returns
    -------
    RunManifest
        The finished run's.

    Raises
    ------
    Interrupted
        If a signal stopped it, after a checkpoint.
    NumericsError
        If it diverged; the last good checkpoint stands.
    """
    with stop_on_signals() as stop, MetricsLog(path / METRICS) as metrics:
        if manifest.versions != versions():
            report.warn("Other library versions than this run began with: the last digits may differ.")
        one = _Run(path, manifest, prepared, policy, report, stop, metrics)
        one.record(status="running")
        try:
            one.restore_or_begin()
            one.go()
            files = write_distilled(path, one.product())
        except Interrupted:
            one.record(status="interrupted", step=one.step)
            raise
        except NumericsError:
            one.record(status="failed", step=one.saved)
            raise
        return one.record(status="finished", step=one.step, files=files)


class _Run:
    """A run under way: its state, and what has been written of it."""

    def __init__(
        self,
        path: Path,
        manifest: RunManifest,
        prepared: Prepared,
        policy: CheckpointPolicy,
        report: Report,
        stop: StopRequest,
        metrics: MetricsLog,
    ) -> None:
        config = DistillConfig.from_json(manifest.config)
        self.path, self.config, self.policy, self.report = path, config, policy, report
        self.stop, self.metrics, self.manifest = stop, metrics, manifest
        real = RealData(*prepared.split("train"))
        network = build(prepared, config)
        self.engine = make_engine(network, config.algorithm, real, batch=config.batch, seed=config.seed)
        self.first = _first(real, prepared.classes, config)
        self.step = self.saved = 0
        self.state: RunState
        self.ready = False  # whether there is a state
        self.began: tuple[int, float] | None = None  # the first step here, and when it was done
        self.pending: list[tuple[int, Info]] = []

    def record(self, **changes: Any) -> RunManifest:
        """Write what has changed into the run's manifest."""
        self.manifest = replace(self.manifest, updated=now(), **changes)
        write_manifest(self.path, self.manifest)
        return self.manifest

    def restore_or_begin(self) -> None:
        """Take up the newest checkpoint, or begin at step 0 with tuned learning rates."""
        self.report.note("Compiling the outer step.")
        template = jax.eval_shape(self.engine.start, self.first)
        restored = checkpoints.latest(self.path, template)
        if restored is None:
            self.state = _tuned(self.engine, self.engine.start(self.first), self.config, self._check_stop)
            self.ready = True
            self.save()
        else:
            for sentence in restored.warnings:
                self.report.warn(sentence)
            # A copy that JAX owns: what a step is given may be used up by it.
            self.state = jax.tree.map(jnp.array, restored.state)
            self.step = self.saved = restored.step
            self.ready = True
        self.metrics.truncate_after(self.step)

    def go(self) -> None:
        """Take all steps that are left."""
        looked = saved = time.monotonic()
        while self.step < self.config.steps:
            self._check_stop()
            self.state, info = self.engine.advance(self.state, self.step)
            self.step += 1
            self.pending.append((self.step, info))
            if self.began is None:
                jax.device_get(info)  # compiled; from here on the steps' own time counts
                self.began = self.step, time.monotonic()
            moment = time.monotonic()
            if moment - looked >= _SHOW_EVERY:
                self.flush()
                looked = time.monotonic()
            if self.policy.due(self.step, moment - saved):
                self.save()
                saved = time.monotonic()
        self.save()

    def flush(self) -> None:
        """Fetch the numbers of the steps since the last look; write, check and show them."""
        pending, self.pending = self.pending, []
        for step, info in jax.device_get(pending):
            values = {name: float(value) for name, value in info._asdict().items()}
            if not values.pop("finite"):
                raise NumericsError(
                    f"The run diverged at step {step}: its loss or images are not finite. The checkpoint "
                    f"of step {self.saved} stands. Try a lower --image-lr or a higher --l2-rate."
                )
            self.metrics.append({"step": step, **values})
        if pending:
            shown = {"loss": values["loss"], "accuracy": values["accuracy"]}
            if self.began and self.step > self.began[0]:
                shown["steps/s"] = (self.step - self.began[0]) / (time.monotonic() - self.began[1])
            self.report.progress("distilling", self.step, self.config.steps, shown)

    def save(self) -> None:
        """Save the whole state, once its numbers are known to be good."""
        self.flush()
        if self.step == self.saved and checkpoints.steps(self.path):
            return
        checkpoints.save(self.path, self.step, jax.device_get(self.state))
        self.saved = self.step
        self.record(step=self.step)

    def product(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the distilled set."""
        product = self.engine.product(self.state)
        classes = np.repeat(np.arange(product.labels.shape[1], dtype=np.int32), self.config.ipc)
        return {
            "images": np.asarray(product.images),
            "labels": np.asarray(product.labels),
            "classes": classes,
        }

    def _check_stop(self) -> None:
        if self.stop.signal_number is None:
            return
        if self.ready:
            self.save()
        where = f"at step {self.step} of {self.config.steps}, after a checkpoint"
        raise Interrupted(
            f"Stopped {where if self.ready else 'before the first step'}.", self.stop.signal_number
        )


def _first(real: RealData, classes: int, config: DistillConfig) -> Distilled:
    """Where psi starts: random real images of each class with their centred one-hot labels."""
    chosen = first_images(key_for(config.seed, Use.FIRST_IMAGES), real.classes, classes, config.ipc)
    labels = centred_one_hot(jnp.asarray(real.classes[chosen]), classes)
    return Distilled(jnp.asarray(real.images[chosen]), labels, jnp.zeros(()))


def _tuned(
    engine: Engine, state: RunState, config: DistillConfig, check_stop: Callable[[], None]
) -> RunState:
    """The state with both learning rates tuned, where the solver has any."""
    if not config.algorithm.has_rates:
        return state

    def watched(is_monotone: Callable[[float], bool]) -> Callable[[float], bool]:
        def look(rate: float) -> bool:
            check_stop()
            return is_monotone(rate)

        return look

    inner = tune(
        config.algorithm.inner_rate_start, watched(lambda rate: engine.inner_is_monotone(state, rate))
    )
    hessian = tune(
        config.algorithm.hessian_rate_start,
        watched(lambda rate: engine.hessian_is_monotone(state, inner, rate)),
    )
    learner = state.learner._replace(inner_rate=start_rate(inner), hessian_rate=start_rate(hessian))
    return state._replace(learner=learner)
