"""Distil a data set: start or resume a run, and finish it.

A run is created at once with its complete configuration.  If it is stopped, its newest checkpoint is kept,
and on a CPU a resumed run gives byte for byte the result of an uninterrupted one.
"""

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rcig_cli.augmentation import check_operations
from rcig_cli.data.sources.opening import EMBEDDED
from rcig_cli.distillation.methods import METHODS, find_method
from rcig_cli.distillation.settings import ExpertSettings
from rcig_cli.errors import ConfigError, Interrupted, NotFound, NumericsError
from rcig_cli.extensions import has_changed
from rcig_cli.presets.config import DEFAULT_ALGORITHM, DistillConfig, with_possible_batch, with_references
from rcig_cli.presets.set_size import SetSize
from rcig_cli.reporting.formatting import describe_images, per_class, source_of
from rcig_cli.runs.configuration import most_images, network_for, normalized, resolved
from rcig_cli.runs.distill.coreset import check_one_process, pick_images
from rcig_cli.runs.distill.distilled import write_distilled
from rcig_cli.runs.distill.divergence import Diverged, is_stuck, lower_rate
from rcig_cli.runs.distill.resume import (
    check_minutes,
    locked_run,
    newest_of,
    newest_with,
    nothing_to_resume,
    resumed,
    with_more_steps,
)
from rcig_cli.runs.distill.run_loop import RunContext, RunLoop
from rcig_cli.runs.distill.scarce import scarce_classes
from rcig_cli.runs.distill.snapshots import SNAPSHOTS
from rcig_cli.runs.distill.time_budget import (
    MINUTES_ON_CPU,
    choose_settings,
    long_on_cpu,
    warn_if_long_on_cpu,
)
from rcig_cli.runs.distill.tracking import check_trackers, tracked
from rcig_cli.runs.engine.environment import describe_devices, machine
from rcig_cli.runs.engine.mesh import choose_devices
from rcig_cli.runs.prepare.prepare import open_or_prepare
from rcig_cli.runs.prepare.prepared import Prepared, parent_of
from rcig_cli.runs.report import Report, SharedReport
from rcig_cli.runs.signals import stop_on_signals
from rcig_cli.settings import values_of
from rcig_cli.store import checkpoints
from rcig_cli.store.files import storage_errors
from rcig_cli.store.locks import RunLock, Wait
from rcig_cli.store.metrics import METRICS, MetricsLog
from rcig_cli.store.names import NEWEST, check_chosen_name, check_tags
from rcig_cli.store.progress import remove_progress
from rcig_cli.store.records import (
    GroupManifest,
    RunManifest,
    commit,
    now,
    versions,
    write_manifest,
)
from rcig_cli.store.store import Store


def distill(
    store: Store,
    settings: Mapping[str, Any],
    context: RunContext,
    *,
    resume: str | None = None,
    wait: bool = False,
    minutes: float | None = None,
    name: str | None = None,
    tags: Sequence[str] = (),
) -> RunManifest:
    """Distil a data set, and return the finished run.

    Parameters
    ----------
    store
        Where the data set is, and where the run is created.
    settings
        Settings by name (`presets.config.DistillConfig` and the method's record); the others follow from the
        preset.  Without ``dataset``, the only prepared data set is used, or digits if there is none.
    context
        Where and how the run is executed.
    resume
        The run to resume; "newest" for the newest unfinished run of these settings, or if there is none a
        finished one, which is returned as it is, or else a new one; None for a new run.  With "newest" and
        without ``ipc``, the newest run that has the given settings is resumed, whatever its others.  With
        more ``steps`` than a named run has, an unfinished run takes as many, and a finished one is continued
        by a new run, which begins with its last state.
    wait
        Whether to wait if another process is writing the run.
    minutes
        Choose width, batch and steps of a new run so that it ends after about so many minutes
        (`time_budget`).  A run that is resumed keeps its settings: it must have been started with the same
        number.  On a CPU, a run whose preset would take very long (`long_on_cpu`) is new with 10 minutes
        if neither ``minutes`` nor any of ``steps``, ``width`` and ``batch`` is given.
    name, tags
        The name of a new run instead of ``run_1`` and so on, and words to find it by.  With ``resume``
        "newest", a run of this name is resumed if there is one, and no other.  A run that is resumed keeps
        its tags and gets these too.

    Raises
    ------
    ConfigError
        If a setting has a value that is not allowed, or differs from that of the run to resume; or a tracker
        isn't known or not installed.
    NotFound
        If there is no such data set or run.
    Locked
        If another process is writing the run.
    RunInterrupted
        If a signal stopped it, after saving a checkpoint.
    Diverged
        If numbers are no longer finite; the last good checkpoint remains.
    """
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(f"minutes must be a number above 0, not {minutes:g}.")
    if minutes is not None and context.processes.count > 1:
        raise ConfigError("minutes can't be given for a job of several processes: give steps.")
    settings = with_references(settings)
    check_trackers(context.log_to)
    named = resume if resume not in (None, NEWEST) else None
    tags = check_tags(tags)
    if name is not None and resume == NEWEST and store.run_path(check_chosen_name(name)).exists():
        named, name = name, None
    elif name is not None:
        store.check_new_run(name)
    if named is None and "ipc" not in settings:
        if resume is not None and "dataset" in settings:
            _refuse_imported(store, settings["dataset"])
        found = newest_with(store, settings) if resume is not None else None
        if found is None:
            problem = "" if resume is None else "There is no run with these settings to resume. "
            raise ConfigError(f"{problem}Pass the number of images per class to distil, for example --ipc 1.")
        named = found.name
    processes = context.processes
    note = context.report.note if wait else None
    with ExitStack() as held:
        if not processes.is_first:
            run, is_new = store.run(processes.share_text("")), False
            prepared = parent_of(store, run)
        elif named is not None:
            run = store.run(named)
            find_method(run.config["algorithm"])  # imports it
            prepared = parent_of(store, run)
            settings = normalized(prepared, {"classes": prepared.only, **settings})
            if "batch" in settings:
                given = DistillConfig.from_json(run.config).override({"batch": settings["batch"]})
                given = with_possible_batch(given, prepared.sizes["train"], prepared.classes)
                settings = {**settings, "batch": given.batch}
            check_minutes(run, minutes)
            longer = with_more_steps(run, settings)
            if longer is not None and run.status == "finished":
                making = _continuation(store, prepared, run, longer, wait=note, name=name, tags=tags)
                run = held.enter_context(making)
            else:
                if name is not None:
                    raise ConfigError(f"--name is for a new run, but {run.name} is resumed: leave it out.")
                resumed(run, settings)  # refuses other settings before anything is loaded
                run = held.enter_context(locked_run(store, run, settings, note))
            is_new = False
        else:
            prepared = choose_dataset(store, settings.get("dataset"), context.report)
            prepared = prepared.of_classes(settings.get("classes"))
            run, is_new = held.enter_context(
                _new_or_unfinished(
                    store,
                    prepared,
                    settings,
                    context,
                    resume=resume is not None and name is None,
                    wait=note,
                    minutes=minutes,
                    name=name,
                    tags=tags,
                )
            )
        if processes.is_first:
            processes.share_text(run.name)
        run = replace(run, tags=tuple(dict.fromkeys((*run.tags, *tags))))
        if run.status == "finished":
            if processes.is_first and run != store.run(run.name):
                write_manifest(store.run_path(run.name), run)
            context.report.note(_finished(store, run))
            return run
        context.report.note(_greeting(run, is_new))
        scarce = scarce_classes(
            prepared, DistillConfig.from_json(run.config).decoded_per_class(prepared.classes)
        )
        if scarce:
            picks = find_method(run.config["algorithm"]).pick is not None
            how = "repeat these images" if picks else "start from these images repeated, with a little noise"
            context.report.note(
                f"Classes with fewer training images than are to be distilled ({scarce}) {how}."
            )
        try:
            with tracked(store, run, prepared, context) as followed:
                return execute(store.run_path(run.name), run, prepared, followed)
        except Diverged as error:
            if error.record["checkpoint"] is not None and not is_stuck((*run.divergences, error.record)):
                error.lower = lower_rate(error.record, _usual(prepared, DistillConfig.from_json(run.config)))
            raise


def _usual(prepared: Prepared, config: DistillConfig) -> Mapping[str, Any]:
    """Return the settings, learning rates among them, that a run like this one has by default."""
    same = {"classes": config.classes, "algorithm": config.algorithm, **config.to_decode()}
    if config.algorithm not in METHODS:  # it may have settings without a default
        declared, rates = config.algorithm_record.declared, config.learning_rates
        own = values_of(config.method).items()
        same |= {name: value for name, value in own if name not in rates or declared[name].default is None}
    return resolved(prepared, same).to_json()


@contextmanager
def _new_or_unfinished(
    store: Store,
    prepared: Prepared,
    settings: Mapping[str, Any],
    context: RunContext,
    *,
    resume: bool,
    wait: Wait | None,
    minutes: float | None,
    name: str | None,
    tags: tuple[str, ...],
) -> Iterator[tuple[RunManifest, bool]]:
    """Lock the newest unfinished run of these settings, if one is to be resumed, or else a new run.

    Yields the run, and whether it is new.  If none is unfinished, a finished one is yielded.
    """
    algorithm = settings.get("algorithm", DEFAULT_ALGORITHM)
    any_models = "models" not in settings and "models" in find_method(algorithm).declared
    by_devices = any_models and (context.devices is not None or context.processes.count > 1)
    models = {"models": _models_for(context, algorithm)} if by_devices else {}
    settings = {**models, **normalized(prepared, settings)}
    found, digest = None, prepared.manifest.digest
    config, budget = resolved(prepared, settings), None
    check_one_process(config, context)
    trains_experts = isinstance(config.method, ExpertSettings)  # then minutes can't be given
    choosable = minutes is None and context.processes.count == 1 and not trains_experts
    if choosable and long_on_cpu(config, settings, context.devices):
        minutes = MINUTES_ON_CPU
        context.report.note(
            f"On a CPU the {config.steps} steps of the preset at width {config.width} would take very long, "
            f"so settings for about {minutes:g} minutes are chosen. To choose them yourself, pass --minutes, "
            f"or --steps {config.steps} for the preset."
        )
    if minutes is None and resume:
        found = newest_of(store, config, digest, any_models=any_models)
    elif minutes is not None and resume:
        given = {"dataset": prepared.manifest.name, **settings}
        found = newest_with(store, given, digest, minutes=minutes)
    if found is not None:
        with _locked_or_kept(store, found, tags, wait) as run:
            yield run, False
        return
    if minutes is not None:
        config, budget = choose_settings(prepared, settings, minutes, context)
    elif trains_experts:
        warn_if_long_on_cpu(config, settings, context)
    run, lock = create_run(store, prepared, config, budget=budget, name=name, tags=tags)
    with lock:
        yield run, True


def _locked_or_kept(
    store: Store, run: RunManifest, tags: tuple[str, ...], wait: Wait | None
) -> AbstractContextManager[RunManifest]:
    """Lock a run, unless it is finished and has the tags: then nothing is written into it."""
    if run.status == "finished" and set(tags) <= set(run.tags):
        return nullcontext(run)
    return locked_run(store, run, {}, wait)


@contextmanager
def _continuation(
    store: Store,
    prepared: Prepared,
    run: RunManifest,
    longer: DistillConfig,
    *,
    wait: Wait | None,
    name: str | None,
    tags: tuple[str, ...],
) -> Iterator[RunManifest]:
    """Lock the run that continues a finished one with more steps; without one, or with a name, a new run."""
    wanted = longer.to_json()
    for other in store.newest_runs() if name is None else ():
        is_this = other.parents.get("run") == run.as_parent and other.config == wanted
        if is_this and not other.divergences and (other.status != "finished" or other.has_current_code):
            with _locked_or_kept(store, other, tags, wait) as kept:
                yield kept
            return
    source = store.run_path(run.name)
    present = checkpoints.steps(source)
    if not present:
        raise NotFound(
            f"{run.name} has no checkpoint to continue from: `rcig gc --checkpoints` has removed it. Start a "
            f"new run with --steps {longer.steps}."
        )

    def fill(folder: Path) -> None:
        checkpoints.copy(source, folder, present[-1])
        for file in (METRICS, SNAPSHOTS):
            if (source / file).exists():
                with storage_errors(folder / file):
                    shutil.copyfile(source / file, folder / file)

    made, lock = create_run(
        store, prepared, longer, name=name, tags=tags or run.tags, continues=run, fill=fill
    )
    with lock:
        yield made


def _models_for(context: RunContext, algorithm: str) -> int:
    """Pool models per step: the method's default, rounded up to a multiple of the number of devices."""
    devices = len(choose_devices(context.devices))
    default: int = find_method(algorithm).declared["models"].default
    return math.ceil(default / devices) * devices


def choose_dataset(store: Store, name: str | None, report: Report) -> Prepared:
    """Open the named data set, or the only prepared one, or digits, which is prepared if needed.

    Raises
    ------
    ConfigError
        If several are prepared and none is named.
    NotFound
        If there is none of that name.
    """
    if name is None:
        names = [manifest.name for manifest in store.datasets().found]
        if len(names) > 1:
            raise ConfigError(f"Several data sets are prepared; name the one to distil: {', '.join(names)}.")
        name = names[0] if names else EMBEDDED
    _refuse_imported(store, name)
    return open_or_prepare(store, name, report)


def _refuse_imported(store: Store, name: str) -> None:
    """Raise `ConfigError` if the name is that of an imported run and not of a data set."""
    taken = store.dataset_path(name).exists() or not store.run_path(name).is_dir()
    if not taken and store.run(name).imported:
        raise nothing_to_resume(store.run(name))


def _greeting(run: RunManifest, is_new: bool) -> str:
    config = run.config
    if find_method(config["algorithm"]).pick:
        images = describe_images(config, f" of {source_of(config)}")
        return f"{run.name} picks {images} ({config['algorithm']}, seed {run.seed})."
    solver = f", solver {config['solver']}" if "solver" in config else ""
    network = f"ConvNet of depth {config['depth']} and width {config['width']}"
    verb = "distils" if is_new else "resumes distilling"
    if run.continues is not None and run.step == run.continues["step"]:
        verb = f"continues {run.continues['run']} from step {run.step}: it distils"
    return (
        f"{run.name} {verb} {source_of(config)} to {describe_images(config)} in "
        f"{config['steps']} steps ({network}, {config['algorithm']}{solver}, seed {run.seed}) "
        f"on {describe_devices()}."
    )


def _finished(store: Store, run: RunManifest) -> str:
    if find_method(run.config["algorithm"]).pick:
        return f"{run.name} is already finished. To distil again, leave out --resume."
    return (
        f"{run.name} is already finished. To distil again, leave out --resume; to continue it: "
        + store.command(f"distill --resume {run.name} --steps MORE")
    )


def create_run(
    store: Store,
    prepared: Prepared,
    config: DistillConfig,
    part_of: GroupManifest | None = None,
    *,
    budget: dict[str, Any] | None = None,
    name: str | None = None,
    tags: tuple[str, ...] = (),
    continues: RunManifest | None = None,
    fill: Callable[[Path], None] | None = None,
) -> tuple[RunManifest, RunLock]:
    """Create a run, locked by this process, and perhaps as a part of a sweep or sequence.

    Parameters
    ----------
    store, prepared, config
        Where it is created, its data set and its settings.
    part_of
        The sweep or sequence that it is a part of.
    budget
        How its settings were chosen, if it is to end in a given time.
    name, tags
        As for `distill`.
    continues
        The finished run that it continues.
    fill
        Writes its first files into the folder that it is given.

    Raises
    ------
    ConfigError
        If more images are to be distilled than `most_images`.
    """
    check_possible(prepared, config)
    parents = {"dataset": prepared.manifest.as_parent}
    if part_of is not None:
        parents[part_of.kind] = part_of.as_parent
    if continues is not None:
        parents["run"] = continues.as_parent

    def manifest(name: str) -> RunManifest:
        return RunManifest(
            name=name,
            created=now(),
            updated=now(),
            status="running",
            step=0 if continues is None else continues.step,
            config=config.to_json(),
            seed=config.seed,
            dataset=config.dataset,
            parents=parents,
            versions=versions(),
            machine=machine(),
            commit=commit(),
            size=SetSize.of(config, prepared.shape, prepared.classes).to_json(),
            budget=budget,
            tags=tags,
            continues=None if continues is None else {"run": continues.name, "step": continues.step},
            extensions=_extensions(config),
            files={},
        )

    return store.create("run", manifest, names=None if name is None else [name], fill=fill)


def _extensions(config: DistillConfig) -> dict[str, dict[str, Any]]:
    """Return what a run uses of the user's own, with the metrics of its method, for its manifest."""
    found: dict[str, dict[str, Any]] = {**config.extensions}
    if config.algorithm in found:
        metrics = [asdict(each) for each in config.algorithm_record.metrics]
        found[config.algorithm] = {**found[config.algorithm], "metrics": metrics}
    return found


def _warn_of_changes(manifest: RunManifest, report: Report) -> None:
    """Warn if code of the user's own, that a run uses, has changed since the run was started."""
    for reference, before in manifest.extensions.items():
        if has_changed(reference, before):
            report.warn(f"{reference} has changed since this run was started: results may differ.")


def check_possible(prepared: Prepared, config: DistillConfig) -> None:
    """Refuse a configuration that the data set has too few or too small images for.

    Augmentations of the user's own are imported and checked.
    """
    check_operations(config.augmentations, prepared.shape)
    images, most = sum(config.decoded_per_class(prepared.classes)), most_images(prepared)
    if images > most:
        raise ConfigError(
            f"--ipc {per_class(config.ipc)} is too many: that is {images} images, but a distilled set of "
            f"{config.dataset} may have {most}."
        )
    network_for(config, prepared.shape, prepared.classes)  # refuses too small images


def execute(path: Path, manifest: RunManifest, prepared: Prepared, context: RunContext) -> RunManifest:
    """Execute a run from its newest checkpoint, or from the start, to its end; return its new manifest.

    The caller holds the lock of the run's folder ``path``.

    Raises
    ------
    ConfigError
        If it does not fit into memory.
    RunInterrupted
        If a signal stopped it, after saving a checkpoint.
    Diverged
        If numbers are no longer finite; the last good checkpoint is kept.
    NumericsError
        If the distilled set is not finite, although the state is.
    """
    find_method(manifest.config["algorithm"])
    check_operations(DistillConfig.from_json(manifest.config).augmentations, prepared.shape)
    with stop_on_signals() as stop, MetricsLog(path / METRICS) as metrics, _shared(path, context) as context:
        _warn_of_changes(manifest, context.report)
        if manifest.versions != versions():
            context.report.warn(
                "This run was started with other library versions: results may differ in the last digits."
            )
        here = commit()
        if manifest.commit and here and manifest.commit != here:
            context.report.note(f"It was started at commit {manifest.commit} of rcig, and goes on at {here}.")
        if manifest.machine != machine():
            before = ", ".join(f"{name} {value}" for name, value in manifest.machine.items())
            context.report.warn(
                f"This run was started with another device, processor or environment ({before}): "
                "results may differ in the last digits."
            )
        if DistillConfig.from_json(manifest.config).algorithm_record.pick:
            return pick_images(path, manifest, prepared, context, stop)
        # The loop is deleted when this call returns, while signals are still only noted: an exception that a
        # signal raised in a destructor would be lost.
        return _run_to_end(RunLoop(path, manifest, prepared, context, stop, metrics))


@contextmanager
def _shared(path: Path, context: RunContext) -> Iterator[RunContext]:
    """Write the progress of a run into its folder in a ``with`` block; of several processes, the first does.

    It is removed at the end, and before that what a process that was killed has left.
    """
    if not context.processes.is_first:
        yield context
        return
    remove_progress(path)
    try:
        yield replace(context, report=SharedReport(context.report, path))
    finally:
        remove_progress(path)


def _run_to_end(loop: RunLoop) -> RunManifest:
    loop.record(status="running", files={})  # their checksums are recorded at the end
    try:
        loop.restore_or_start()
        loop.take_steps()
        arrays = loop.product()
        files = write_distilled(loop.path, arrays) if loop.is_writer else {}
        if loop.is_writer:
            # The last one is kept, so that the run can be continued with more steps.
            checkpoints.prune(loop.path, loop.step, kept=1)
    except (Interrupted, ConfigError):
        loop.end("interrupted", loop.step)
        raise
    except NumericsError as error:
        diverged = (error.record,) if isinstance(error, Diverged) else ()
        loop.end("failed", loop.saved, divergences=(*loop.manifest.divergences, *diverged))
        raise
    return loop.end("finished", loop.step, files)  # last: a finished run isn't resumed
