"""Continual learning from distilled sets: the classes come in tasks, and each task leaves a small set.

The classes, in a random order, are divided into equal tasks.  Each task's set is distilled from its classes
alone.  After each task fresh networks are trained on the sets of all tasks so far, and tested on the test
images of all classes so far; beside it, networks trained on as many random real images (a lower bound), and
on all real images of these classes (an upper bound).

Source: the experiment of DM (Zhao and Bilen, 2023), which FRePo (Zhou et al., 2022) repeats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.records import training_set
from rcig_cli.errors import ConfigError, Interrupted, NumericsError
from rcig_cli.presets.classes import class_list
from rcig_cli.presets.config import DistillConfig
from rcig_cli.presets.images_per_class import counts_per_class
from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels
from rcig_cli.reporting.formatting import count_of
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.continual.plan import (
    TASKS,
    class_order,
    divide,
    split_settings,
    with_options_of_continual,
)
from rcig_cli.runs.continual.results import Continual, Stage
from rcig_cli.runs.distill import distill
from rcig_cli.runs.distill.distilled import DistilledSet, open_distilled
from rcig_cli.runs.distill.group import RunGroup, find_or_create
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.distill.time_budget import warn_if_long_on_cpu
from rcig_cli.runs.engine.training import TrainingSet
from rcig_cli.runs.evaluate.evaluate import labels_of, measure_full_data, warn_if_short
from rcig_cli.runs.evaluate.measurement import (
    check_test_images,
    make_measurement,
    protocol_network,
    random_subsets,
)
from rcig_cli.runs.evaluate.protocol import FULL_EPOCHS, EvaluationProtocol, evaluation_protocol
from rcig_cli.runs.evaluate.results import Spread
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.store.digests import digests
from rcig_cli.store.documents import canonical, read_document, write_document
from rcig_cli.store.files import make_folder, write_bytes_atomically
from rcig_cli.store.records import GroupManifest
from rcig_cli.store.store import ACCURACIES, TABLE, Store

_FIGURE = "figures/accuracy.png"


@dataclass(frozen=True)
class Task:
    """A task, and what follows it.

    Attributes
    ----------
    classes
        The data set with the task's classes alone.
    seen
        The data set with the classes of this and all earlier tasks, in their order.
    config
        How its set is distilled.
    images
        Number of distilled images of this and all earlier tasks.
    """

    classes: Prepared
    seen: Prepared
    config: DistillConfig
    images: int

    @property
    def key(self) -> str:
        """Identifies its run."""
        return canonical(self.config.to_json())


def continual(
    store: Store,
    prepared: Prepared,
    settings: Mapping[str, Any],
    context: RunContext,
    *,
    tasks: int = TASKS,
    full_epochs: int = FULL_EPOCHS,
) -> Continual:
    """Distil task by task and measure accuracies, or resume the newest sequence of the same settings.

    Parameters
    ----------
    store
        Where the runs are.
    prepared
        The data set.
    settings
        Settings of the distillation and of the evaluation (`plan`) by name.  The order of the classes follows
        from ``seed``.
    context
        Where and how the runs are executed.
    tasks
        Number of tasks.
    full_epochs
        For how many epochs networks are trained on all real images.

    Raises
    ------
    ConfigError
        If a setting has a value that is not allowed, or the classes can't be divided into so many tasks.
    Locked
        If another process is writing this sequence.
    NumericsError
        If a run diverged.
    Interrupted, KeyboardInterrupt
        If a signal stopped it.  Finished runs and accuracies are kept, and the current run has a checkpoint.
    """
    planned, protocol = plan_tasks(prepared, settings, tasks)
    warn_if_short(protocol, planned[-1].images, context.report, full_epochs=full_epochs)
    document = {
        "tasks": [list(task.classes.chosen) for task in planned],
        "configurations": [task.config.to_json() for task in planned],
        "protocol": protocol.to_json(),
        "full_epochs": full_epochs,
    }
    # Accuracies are kept with a sequence, so another version of the user's own code begins another one.
    if code := {**planned[0].config.extensions, **protocol.extensions}:
        document["extensions"] = code
    parents = {prepared.name: prepared.manifest.as_parent}
    manifest, lock = find_or_create(store, "sequence", document, parents, compared=document)
    with lock:
        state = "is finished" if manifest.status == "finished" else f"has {tasks} tasks"
        context.report.note(f"{manifest.name} of {prepared.name} {state}.")
        if manifest.status != "finished":
            warn_if_long_on_cpu(planned[0].config, split_settings(settings)[0], context)
        return _Sequence(store, manifest, planned, protocol, full_epochs, context).run()


def plan_tasks(
    prepared: Prepared, settings: Mapping[str, Any], tasks: int
) -> tuple[list[Task], EvaluationProtocol]:
    """Resolve the settings of every task, and those of the evaluation after each.

    The number of training steps is the same after each task: that for the sets of all tasks.

    Raises
    ------
    ConfigError
        As `continual`.
    """
    of_distillation, of_evaluation = split_settings(settings)
    if "ipc" not in of_distillation:
        raise ConfigError("Pass the number of images per class to distil, for example --ipc 10.")
    if tasks < 1:
        raise ConfigError(f"tasks must be 1 or more, not {tasks}.")
    names = prepared.class_names
    ipc = counts_per_class(of_distillation["ipc"], names)
    order = class_order(len(names), of_distillation.get("seed", 0))
    planned: list[Task] = []
    for group in divide(order, tasks, prepared.name):
        seen = order[: len(planned) * len(group) + len(group)]
        of_classes, of_seen = (prepared.of_classes(class_list(each, names)) for each in (group, seen))
        counts = ipc if isinstance(ipc, int) else [ipc[number] for number in group]
        config = resolved(prepared, {**of_distillation, "ipc": counts, "classes": of_classes.only})
        distill.check_possible(of_classes, config)
        try:
            check_test_images(of_seen)
        except ConfigError as error:
            raise ConfigError(f"{error} Another --seed gives another order of the classes.") from None
        images = sum(config.decoded_per_class(len(group))) + (planned[-1].images if planned else 0)
        planned.append(Task(of_classes, of_seen, config, images))
    first, images = planned[0].config, planned[-1].images
    protocol = evaluation_protocol(first, images, **of_evaluation, seed=first.seed)
    try:
        protocol_network(prepared, protocol)  # refuses too small images
    except ConfigError as error:
        raise ConfigError(with_options_of_continual(str(error))) from None
    return planned, protocol


class _Sequence:
    """A sequence of tasks in progress; the caller holds its lock."""

    def __init__(
        self,
        store: Store,
        manifest: GroupManifest,
        tasks: Sequence[Task],
        protocol: EvaluationProtocol,
        full_epochs: int,
        context: RunContext,
    ) -> None:
        self.store, self.tasks, self.context, self.report = store, tasks, context, context.report
        self.protocol, self.full_epochs = protocol, full_epochs
        self.path = store.group_path("sequence", manifest.name)
        keys = [task.key for task in tasks]
        self.group = RunGroup(store, manifest, keys, lambda run: [canonical(run.config)])
        self.group.tell_of_runs_elsewhere(self.report)

    def run(self) -> Continual:
        """Distil and measure what is missing, write the results, and return them."""
        make_folder(self.path / ACCURACIES)
        self.group.record(status="running", files={})
        stages: list[Stage] = []
        sets: list[DistilledSet] = []
        try:
            for task in self.tasks:
                sets.append(self._distil(task, len(sets) + 1))
                stages.append(self._stage(task, sets))
        except (Interrupted, KeyboardInterrupt):
            self.group.record(status="interrupted")
            raise
        except NumericsError:
            self.group.record(status="failed")
            raise
        return self._write(stages)

    def _distil(self, task: Task, number: int) -> DistilledSet:
        """Return the set of a task, whose run is finished first."""

        def create() -> Any:
            return distill.create_run(self.store, task.classes, task.config, self.group.manifest)

        run, lock = self.group.open_or_create(task.key, create)
        with lock:
            run = self.store.run(run.name)
            if run.status == "failed":
                raise NumericsError(
                    f"{run.name}, the run of task {number}, diverged. Start again with a lower learning rate."
                )
            if run.status != "finished":
                self.report.note(f"{run.name}: task {number} of {len(self.tasks)}.")
                distill.execute(self.store.run_path(run.name), run, task.classes, self.context)
        return open_distilled(self.store, run.name)

    def _stage(self, task: Task, sets: Sequence[DistilledSet]) -> Stage:
        """Measure the accuracies after a task, of whose and all earlier tasks these are the sets."""
        number, seen, protocol = len(sets), task.seen, self.protocol
        # Reads the test images, so only if an accuracy is missing.
        measurement = cache(lambda: make_measurement(seen, protocol, self.report))

        def of_distilled() -> Spread:
            joined, label = join_sets(sets, protocol, seen.classes), count_of(number, "task")
            return measurement()(0, joined, f"training networks on the sets of {label}")

        def of_random() -> Spread:
            counts = [count for one in sets for count in one.config.images_per_class(one.prepared.classes)]
            subsets = random_subsets(seen, counts, flip=protocol.flip)
            return measurement()(1, subsets, f"training networks on random images of {seen.classes} classes")

        return Stage(
            classes=task.classes.class_names,
            run=sets[-1].run.name,
            seen=seen.classes,
            images=task.images,
            accuracy=self._kept(f"{number}-distilled", of_distilled),
            random_subset=self._kept(f"{number}-random", of_random),
            full_data=measure_full_data(seen, protocol, self.full_epochs, self.report),
        )

    def _kept(self, name: str, measure: Callable[[], Spread]) -> Spread:
        """Return an accuracy that was measured before, or measure it and keep it."""
        path = self.path / ACCURACIES / f"{name}.json"
        if path.exists():
            return Spread.from_json(read_document(path))
        found = measure()
        write_document(path, found.to_json())
        return found

    def _write(self, stages: Sequence[Stage]) -> Continual:
        """Write the table and the plot, and mark the sequence finished."""
        manifest, algorithm = self.group.manifest, self.tasks[0].config.algorithm
        figure = self.path / _FIGURE
        protocol = self.protocol.to_json()
        result = Continual(manifest.name, manifest.dataset, algorithm, protocol, tuple(stages), figure)
        write_document(self.path / TABLE, result.to_json())
        make_folder(figure.parent)
        title = f"{manifest.name}: {manifest.dataset}, {len(stages)} tasks"
        write_bytes_atomically(figure, draw_panels([_panel(result)], title))
        files = digests(self.path, TABLE) | digests(self.path, _FIGURE)
        self.group.record(status="finished", files=files)
        return result


def join_sets(sets: Sequence[DistilledSet], protocol: EvaluationProtocol, classes: int) -> TrainingSet:
    """Return the sets of all tasks so far, in their order, as one training set of ``classes`` classes."""
    labels, first = [], 0
    for each in sets:
        labels.append(embed_labels(labels_of(each, protocol), first, classes))
        first += each.prepared.classes
    images = jnp.concatenate([jnp.asarray(each.images) for each in sets])
    return TrainingSet(*training_set(images, jnp.concatenate(labels), flip=protocol.flip))


def embed_labels(labels: Array, first: int, classes: int) -> Array:
    """Embed the labels of a task in those of more classes, so that one-hot labels stay one-hot.

    Parameters
    ----------
    labels
        Centred labels of the task's classes, ``[n, C_t]``.
    first
        The number of the task's first class among all classes.
    classes
        The number of all classes, C.

    Returns
    -------
    Array
        Labels ``[n, C]``, centred: ``labels + 1/C_t`` in the columns of the task and 0 in the others, less
        ``1/C``.
    """
    own = labels.shape[1]
    return jnp.pad(labels + 1 / own, ((0, 0), (first, classes - first - own))) - 1 / classes


def _panel(result: Continual) -> Panel:
    """Return the plot: accuracies against the number of classes seen."""
    seen = [stage.seen for stage in result.stages]
    lines = {
        "all real images (upper bound)": [stage.full_data for stage in result.stages],
        f"distilled by {result.algorithm}": [stage.accuracy for stage in result.stages],
        "random real images (lower bound)": [stage.random_subset for stage in result.stages],
    }
    return Panel(
        "classes seen",
        "test accuracy on them (%)",
        [
            Series(label, seen, [100 * s.mean for s in spreads], [100 * s.std for s in spreads])
            for label, spreads in lines.items()
        ],
    )
