"""``rcig distill``."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.options import (
    DEFAULT_STORE,
    Context,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
    given,
)
from rcig_cli.errors import ConfigError, Interrupted, NumericsError
from rcig_cli.reporting.formatting import count_of

if TYPE_CHECKING:
    from rcig_cli.runs.engine.processes import Processes
    from rcig_cli.runs.prepare.prepared import Prepared
    from rcig_cli.store.layout import Store
    from rcig_cli.store.manifest import RunManifest

NEWEST = "newest"

_PAPER = "Paper's settings"
_TOGETHER = "Several processes"


def distill(
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="DATASET", help="A prepared data set; may be left out if there is one."),
    ] = None,
    ipc: Annotated[int | None, typer.Option(help="Distilled images per class.", min=1)] = None,
    steps: Annotated[int | None, typer.Option(help="Outer steps.", min=1)] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="[RUN]",
            help="Go on with this run, or with the newest unfinished one of these settings, else start one. "
            "One that diverged, and is named, goes on with lower learning rates.",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="With --resume: wait while another process writes the run."),
    ] = False,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(metavar="STEPS", help="Save every so many steps. Default: every 10 minutes.", min=1),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="All randomness follows from it. Default: 0.")] = None,
    width: Annotated[int | None, typer.Option(help="Channels of the network's first block.")] = None,
    depth: Annotated[int | None, typer.Option(help="Blocks of the network.")] = None,
    batch: Annotated[int | None, typer.Option(help="Real images per step.")] = None,
    solver: Annotated[
        str | None, typer.Option(help="cg: conjugate gradients; adam: the paper's, 20 + 20 tuned steps.")
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="rcig, or what the paper compares it with: cig, vig, frepo.")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Normalisation while distilling: none or batch.")] = None,
    devices: Annotated[
        int | None, typer.Option(help="Devices to use. Default: 1; with --distributed, all.", min=1)
    ] = None,
    models: Annotated[
        int | None,
        typer.Option(help="Pool models a step sees, over which it averages. Default: one per device.", min=1),
    ] = None,
    n_inner: Annotated[
        int | None,
        typer.Option("--inner-steps", help="Iterations of the inner solve.", rich_help_panel=_PAPER),
    ] = None,
    n_hessian: Annotated[
        int | None,
        typer.Option(
            "--hessian-steps", help="Iterations of the Hessian-inverse solve.", rich_help_panel=_PAPER
        ),
    ] = None,
    solve_precision: Annotated[
        str | None,
        typer.Option(
            help="Of the solves with the feature kernel: float32 or float64.", rich_help_panel=_PAPER
        ),
    ] = None,
    backward_subset: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Gradients through so many distilled images at a time, for large sets.",
            rich_help_panel=_PAPER,
        ),
    ] = None,
    l2_rate: Annotated[
        float | None, typer.Option(help="Regularisation per distilled image.", rich_help_panel=_PAPER)
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Distil mirror images along.", rich_help_panel=_PAPER),
    ] = None,
    label_margin: Annotated[
        bool | None,
        typer.Option(
            "--label-margin/--no-label-margin", help="Keep labels' top class ahead.", rich_help_panel=_PAPER
        ),
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="softplus or relu, while distilling.", rich_help_panel=_PAPER)
    ] = None,
    image_rate: Annotated[
        float | None, typer.Option("--image-lr", help="AdaBelief's for images.", rich_help_panel=_PAPER)
    ] = None,
    label_rate: Annotated[
        float | None, typer.Option("--label-lr", help="AdaBelief's for labels.", rich_help_panel=_PAPER)
    ] = None,
    temperature_rate: Annotated[
        float | None,
        typer.Option("--temperature-lr", help="AdaBelief's for log tau.", rich_help_panel=_PAPER),
    ] = None,
    average_decay: Annotated[
        float | None, typer.Option(help="Decay of the average that is the product.", rich_help_panel=_PAPER)
    ] = None,
    pool_size: Annotated[int | None, typer.Option(help="Models in the pool.", rich_help_panel=_PAPER)] = None,
    pool_max_steps: Annotated[
        int | None,
        typer.Option(help="Training steps until a pool model is replaced.", rich_help_panel=_PAPER),
    ] = None,
    pool_steps: Annotated[
        int | None,
        typer.Option(help="Most training steps a pool model gets at a time.", rich_help_panel=_PAPER),
    ] = None,
    pool_rate: Annotated[
        float | None, typer.Option("--pool-lr", help="Adam's for the pool models.", rich_help_panel=_PAPER)
    ] = None,
    inner_rate_start: Annotated[
        float | None, typer.Option(help="Where tuning the inner Adam starts.", rich_help_panel=_PAPER)
    ] = None,
    hessian_rate_start: Annotated[
        float | None,
        typer.Option(help="Where tuning the Hessian-inverse Adam starts.", rich_help_panel=_PAPER),
    ] = None,
    distributed: Annotated[
        bool,
        typer.Option(
            "--distributed",
            help="Be one of several processes: found by Slurm's variables, or by the three options below.",
            rich_help_panel=_TOGETHER,
        ),
    ] = False,
    coordinator: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where process 0 is.", rich_help_panel=_TOGETHER),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="How many there are.", rich_help_panel=_TOGETHER)
    ] = None,
    process: Annotated[
        int | None, typer.Option(help="Which this is, from 0.", rich_help_panel=_TOGETHER)
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Distil a data set into a few images per class. Stop it any time; --resume goes on.

    Example: rcig distill cifar10 --ipc 10 --resume
    """
    del debug
    flags = given(
        dataset=dataset, ipc=ipc, steps=steps, seed=seed, width=width, depth=depth, batch=batch,
        algorithm=algorithm, solver=solver, normalization=norm, n_inner=n_inner, n_hessian=n_hessian,
        solve_precision=solve_precision, backward_subset=backward_subset, models=models,
        l2_rate=l2_rate, flip=flip, label_margin=label_margin,
        activation=activation,
        image_rate=image_rate, label_rate=label_rate, temperature_rate=temperature_rate,
        average_decay=average_decay, pool_size=pool_size, pool_max_steps=pool_max_steps,
        pool_steps=pool_steps, pool_rate=pool_rate, inner_rate_start=inner_rate_start,
        hessian_rate_start=hessian_rate_start,
    )  # fmt: skip
    together = _Together(devices, distributed, coordinator, processes, process)
    if wait and resume is None:
        raise ConfigError("--wait belongs to --resume: nobody else is writing a new run.")
    here = context(store, json, quiet)
    _distill(here, flags, _Resume(resume, here.console.note if wait else None), checkpoint_every, together)


@dataclass(frozen=True)
class _Resume:
    """Which run to go on with, if any, and whom to tell that we wait for it; None not to wait."""

    run: str | None
    wait: Callable[[str], None] | None


@dataclass(frozen=True)
class _Together:
    """With how many devices and other processes."""

    devices: int | None
    distributed: bool
    coordinator: str | None
    count: int | None
    index: int | None

    @contextmanager
    def join(self, here: Context) -> "Iterator[Processes]":
        """Be one of the processes, if there are several."""
        from rcig_cli.runs.engine.processes import ProcessSpec, join

        if not self.distributed:
            if (self.coordinator, self.count, self.index) != (None, None, None):
                raise ConfigError("--coordinator, --processes and --process require --distributed.")
            with join(None) as processes:
                yield processes
            return
        spec = ProcessSpec.find(self.coordinator, self.count, self.index)
        here.prepare_jax()
        with join(spec, tell=here.console.fail) as processes:
            yield processes

    def settings(self, flags: Mapping[str, Any]) -> dict[str, Any]:
        """What follows for a new run: a pool model for each device, unless the flags say how many."""
        if "models" in flags or (self.devices is None and not self.distributed):
            return {}
        from rcig_cli.runs.engine.mesh import choose_devices

        return {"models": len(choose_devices(self.devices))}


def _distill(
    here: Context,
    flags: dict[str, Any],
    resume: _Resume,
    checkpoint_every: int | None,
    together: _Together,
) -> None:
    named = resume.run not in (None, NEWEST)
    if not named and "ipc" not in flags:
        if resume.run and "dataset" in flags:
            _refuse_imported(here.store(), flags["dataset"])
        raise ConfigError("say how many images per class to distil, for example --ipc 1.")
    with together.join(here) as processes, ExitStack() as held:
        if not processes.is_first:
            here = here.silenced()
        artifacts = here.store(create=not named and processes.is_first)
        manifest = artifacts.run(str(resume.run)) if named else None
        if manifest is not None:
            from rcig_cli.runs.distill.resume import going_on

            going_on(manifest, flags)  # refuses, before anything is loaded, what can't be
        elif processes.is_first:
            flags["dataset"] = choose_dataset(here, artifacts, flags.get("dataset"))
        here.prepare_jax()
        from rcig_cli.runs.distill import distill as job
        from rcig_cli.runs.distill.divergence import Diverged
        from rcig_cli.runs.distill.running import CheckpointPolicy, Surroundings

        if processes.is_first:
            prepared = _open_prepared(artifacts, manifest, flags)
            of_devices = together.settings(flags)
            claim = _claim(artifacts, manifest, prepared, flags, of_devices, resume)
            run, is_new = held.enter_context(claim)
            processes.share_text(run.name)
        else:
            run, is_new = artifacts.run(processes.share_text("")), False
            prepared = _open_prepared(artifacts, run, flags)
        policy = CheckpointPolicy(steps=checkpoint_every)
        around = Surroundings(policy, here.console, together.devices, processes)
        if run.status == "finished":
            here.console.note(f"{run.name} is finished.")
        else:
            here.console.note(_greeting(run, is_new))
            try:
                with here.console.working():
                    run = job.run(artifacts.run_path(run.name), run, prepared, around)
            except Interrupted as stopped:
                again = here.command(f"distill --resume {run.name}")
                raise Interrupted(f"{stopped} To go on: {again}", stopped.signal_number) from None
            except Diverged as error:
                raise NumericsError(f"{error} {_remedy(here, prepared, run, error.record)}") from None
    if processes.is_first:
        _report(here, run)


def _remedy(here: Context, prepared: "Prepared", run: "RunManifest", divergence: Mapping[str, Any]) -> str:
    """How to go on with a run that diverged."""
    from rcig_cli.presets.config import flat
    from rcig_cli.reporting.commands import words_of
    from rcig_cli.runs.configuration import resolved
    from rcig_cli.runs.distill.divergence import is_stuck, lower_rate

    if divergence["checkpoint"] is None:
        return "Start a new run with a lower learning rate, or with a higher --l2-rate."
    if is_stuck((*run.divergences, divergence)):
        return "Lower rates did not help from there: start a new run with them, or with a higher --l2-rate."
    usual = flat(resolved(prepared, {"ipc": run.config["ipc"]}))
    lower = " ".join(words_of(lower_rate(divergence, usual)))
    return f"To go on with a lower rate: {here.command(f'distill --resume {run.name} {lower}')}"


def _report(here: Context, run: "RunManifest") -> None:
    here.console.data(
        f"{run.name}: {count_of(run.config['ipc'], 'image')} per class of {run.dataset}, {run.step} steps",
        {
            "run": run.name,
            "status": run.status,
            "step": run.step,
            "dataset": run.dataset,
            "ipc": run.config["ipc"],
        },
    )
    here.next(f"evaluate {run.name}")


def _greeting(run: "RunManifest", is_new: bool) -> str:
    network = f"{run.config['architecture']} of depth {run.config['depth']} and width {run.config['width']}"
    algorithm = run.config["algorithm"]
    how = f"{algorithm.get('algorithm', 'rcig')}, solver {algorithm['solver']}"
    verb = "distils" if is_new else "goes on to distil"
    return (
        f"{run.name} {verb} {run.dataset} to {count_of(run.config['ipc'], 'image')} per class "
        f"in {run.config['steps']} steps ({network}, {how}, seed {run.seed})."
    )


def _refuse_imported(artifacts: "Store", name: str) -> None:
    """Say what an imported run is, where it stands after ``--resume`` and so for a data set."""
    from rcig_cli.runs.distill.resume import nothing_to_resume

    taken = artifacts.dataset_path(name).exists() or not artifacts.run_path(name).is_dir()
    if not taken and artifacts.run(name).imported:
        raise nothing_to_resume(artifacts.run(name))


def choose_dataset(here: Context, artifacts: "Store", name: str | None) -> str:
    """Choose the data set named, or the only one there is, or digits on a fresh machine."""
    if name is not None:
        if not artifacts.dataset_path(name).exists():
            _refuse_imported(artifacts, name)
            artifacts.dataset(name)  # raises, naming what there is
        return name
    names = [manifest.name for manifest in artifacts.datasets().found]
    if len(names) > 1:
        raise ConfigError(f"say which data set to distil: {', '.join(names)}.")
    if names:
        return names[0]
    from rcig_cli.runs.prepare.prepare import prepare

    here.console.note("No data set is prepared yet: preparing digits, which comes with scikit-learn.")
    return prepare(artifacts, "digits", report=here.console, wait=True).name


def _open_prepared(
    artifacts: "Store", manifest: "RunManifest | None", flags: Mapping[str, Any]
) -> "Prepared":
    from rcig_cli.runs.prepare.prepared import open_prepared, parent_of

    return open_prepared(artifacts, flags["dataset"]) if manifest is None else parent_of(artifacts, manifest)


def _claim(
    artifacts: "Store",
    manifest: "RunManifest | None",
    prepared: "Prepared",
    flags: Mapping[str, Any],
    of_devices: Mapping[str, Any],
    resume: _Resume,
) -> "AbstractContextManager[tuple[RunManifest, bool]]":
    """Hold the lock of the run to go on with, or of a new one; say which, and whether it is new."""
    from rcig_cli.runs.distill.claim import claim_of, claim_run

    if manifest is not None:
        return claim_run(artifacts, manifest, flags, resume.wait)
    again = resume.run is not None
    return claim_of(artifacts, prepared, flags, of_devices, resume=again, wait=resume.wait)
