"""``rcig distill``."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.console import Console, fail
from rcig_cli.cli.list import run_summary
from rcig_cli.cli.options import (
    CheckpointOption,
    Context,
    SetOption,
    TagOption,
    assignments,
    with_settings,
)
from rcig_cli.errors import ConfigError, Interrupted, NumericsError
from rcig_cli.presets.config import declared_settings, with_methods
from rcig_cli.reporting.formatting import describe_metrics, describe_run
from rcig_cli.settings import check, read_toml
from rcig_cli.store.metrics import final_metrics
from rcig_cli.store.names import NEWEST, is_name, number_of

if TYPE_CHECKING:
    from rcig_cli.runs.distill.divergence import Diverged
    from rcig_cli.runs.engine.processes import ProcessSpec
    from rcig_cli.store.records import RunManifest

_SETTINGS = with_methods(declared_settings())
_SETTINGS.pop("dataset")  # an argument
_running: Any = partial(typer.Option, rich_help_panel="Running")
_several: Any = partial(typer.Option, rich_help_panel="Several processes")


@with_settings(*_SETTINGS.values())
def distill(
    here: Context,
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="DATASET", help="A prepared data set; may be omitted if there is only one."),
    ] = None,
    *,
    settings: dict[str, Any],
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read settings from a TOML file (`rcig show RUN --toml` prints one); options override them.",
        ),
    ] = None,
    more: SetOption = None,
    minutes: Annotated[
        float | None,
        _running(
            help="Choose width, batch and steps so that the whole run takes about this many minutes on this "
            "machine; those that are given are kept. The choice is recorded as the run's settings.",
        ),
    ] = None,
    name: Annotated[
        str | None, _running(help="Name of the new run. Default: run_1, run_2 and so on.")
    ] = None,
    tag: TagOption = None,
    resume: Annotated[
        str | None,
        _running(
            metavar="[RUN]",
            help="Resume RUN, or by default the newest unfinished run with the same settings (without --ipc: "
            "with those given); if there is none, start one, unless a finished run has these settings. With "
            "more --steps, an unfinished RUN is extended; a finished RUN is continued by a new run. A run "
            "that diverged must be named, and may be given lower learning rates.",
        ),
    ] = None,
    wait: Annotated[
        bool, _running("--wait", help="With --resume: wait while another process is writing the run.")
    ] = False,
    checkpoint_every: CheckpointOption = None,
    log_to: Annotated[
        list[str] | None,
        _running(
            metavar="tensorboard|wandb|trackio",
            help="Also log metrics and pictures there (docs/tracking.md); may be given several times.",
        ),
    ] = None,
    devices: Annotated[
        int | None, _running(help="Number of devices to use. Default: 1, or all with --distributed.", min=1)
    ] = None,
    distributed: Annotated[
        bool,
        _several(
            "--distributed",
            help="Run as one process of a distributed job, set up by Slurm or by the options below.",
        ),
    ] = False,
    coordinator: Annotated[str | None, _several(metavar="HOST:PORT", help="Address of process 0.")] = None,
    processes: Annotated[int | None, _several(help="Number of processes.")] = None,
    process: Annotated[int | None, _several(help="Index of this process, from 0.")] = None,
) -> None:
    """Distil a data set to a few images per class. It can be stopped at any time and resumed.

    Settings that aren't given are those of a preset for the data set and --ipc; `rcig show RUN` prints them.

    Example: rcig distill cifar10 --ipc 10 --resume
    """
    if wait and resume is None:
        raise ConfigError("--wait requires --resume.")
    from_file = read_toml(config) if config else {}
    if minutes is not None:
        from_file.pop("steps", None)
    if resume is not None and dataset is None and _names_dataset(here, resume):
        dataset, resume = resume, NEWEST  # of `rcig distill --resume cifar10`
    settings = {**from_file, **assignments(more), **settings}
    if dataset is not None:
        settings["dataset"] = dataset
    check(declared_settings(settings.get("algorithm")), settings)
    new = resume in (None, NEWEST)
    if resume is None and "ipc" not in settings:
        raise ConfigError("Pass the number of images per class to distil, for example --ipc 1.")
    spec = _process_spec(distributed, coordinator, processes, process)
    if spec is not None:
        here.prepare_jax(use_devices=False)
    from rcig_cli.runs.engine.processes import join

    with join(spec, tell=partial(fail, as_json=here.console.json)) as joined:
        if not joined.is_first:
            here = replace(here, console=Console(json=False, quiet=True))
        store = here.store(create="ipc" in settings and new and joined.is_first)
        if not new:
            store.run(str(resume))  # refuses an unknown run before JAX is imported
        here.prepare_jax()
        from rcig_cli.runs.distill.distill import distill as run_distillation
        from rcig_cli.runs.distill.divergence import Diverged
        from rcig_cli.runs.distill.run_loop import RunContext, RunInterrupted

        context = RunContext(here.console, checkpoint_every, devices, joined, log_to=tuple(log_to or ()))
        try:
            with here.console.working():
                run = run_distillation(
                    store,
                    settings,
                    context,
                    resume=resume,
                    wait=wait,
                    minutes=minutes,
                    name=name,
                    tags=tag or (),
                )
        except RunInterrupted as stopped:
            again = here.command(f"distill --resume {stopped.run}")
            raise Interrupted(f"{stopped} To resume: {again}", stopped.signal_number) from None
        except Diverged as error:
            raise NumericsError(f"{error} {_remedy(here, store.run(error.run), error)}") from None
    if joined.is_first:
        chosen = {"budget": run.budget} if run.budget else {}
        path = store.run_path(run.name)
        final = final_metrics(path)
        reached = f", {described}" if (described := describe_metrics(final)) else ""
        here.console.data(
            f"{run.name}: {describe_run(run)}{reached}, in {path}",
            {**run_summary(run), **chosen, "metrics": final, "path": str(path)},
        )
        here.next(f"evaluate {run.name}")


def _names_dataset(here: Context, word: str) -> bool:
    """Whether the word after ``--resume`` is the name of a data set, and not of a run."""
    from rcig_cli.data.sources.opening import EMBEDDED

    if word == NEWEST or number_of("run", word):
        return False
    if not here.root.is_dir():
        return word == EMBEDDED
    store = here.store()
    is_run, is_dataset = is_name("run", word), is_name("data set", word)
    exists = is_dataset and (word == EMBEDDED or store.dataset_path(word).exists())
    return exists and not (is_run and store.run_path(word).exists())


def _process_spec(
    distributed: bool, coordinator: str | None, processes: int | None, process: int | None
) -> "ProcessSpec | None":
    """Return the addresses and numbers of the processes; None for a single process."""
    if distributed:
        from rcig_cli.runs.engine.processes import ProcessSpec

        return ProcessSpec.find(coordinator, processes, process)
    if (coordinator, processes, process) != (None, None, None):
        raise ConfigError("--coordinator, --processes and --process require --distributed.")
    return None


def _remedy(here: Context, run: "RunManifest", error: "Diverged") -> str:
    """Say how a run that diverged can be resumed, or that it can't."""
    if not error.record["rates"]:  # of a method of the user's own
        return "Start a new run with other settings."
    or_more = " or a higher --l2-rate" if "l2_rate" in run.config else ""
    if error.record["checkpoint"] is None:
        return f"Start a new run with a lower learning rate{or_more}."
    if error.lower is None:
        return f"A lower learning rate did not help. Start a new run with lower learning rates{or_more}."
    ((name, value),) = error.lower.items()
    if name in _SETTINGS:
        option = f"{_SETTINGS[name].option} {value:g}"
    else:  # of a method of the user's own
        option = f"--algorithm {run.config['algorithm']} --set {name}={value:g}"
    return f"To resume with a lower learning rate: {here.command(f'distill --resume {run.name} {option}')}"
