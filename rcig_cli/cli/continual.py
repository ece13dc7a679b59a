"""``rcig continual``."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from rcig_cli.cli.options import CheckpointOption, Context, SetOption, assignments, with_settings
from rcig_cli.errors import Interrupted
from rcig_cli.presets.config import DistillConfig, with_methods
from rcig_cli.reporting.formatting import describe_protocol
from rcig_cli.runs.continual.plan import TASKS, settings_of_continual
from rcig_cli.runs.evaluate.protocol import FULL_EPOCHS
from rcig_cli.settings import check, read_toml, settings_of


@with_settings(*with_methods(settings_of_continual()).values())
def continual(
    here: Context,
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="DATASET", help="A prepared data set; may be omitted if there is only one."),
    ] = None,
    *,
    settings: dict[str, Any],
    tasks: Annotated[
        int,
        typer.Option(
            help="Tasks into which the classes are divided, the same number of classes in each.", min=1
        ),
    ] = TASKS,
    full_epochs: Annotated[
        int,
        typer.Option(
            help="Passes over all real images of the networks trained on them, but at least as many steps as "
            "on the distilled sets.",
            min=1,
            rich_help_panel="Evaluation",
        ),
    ] = FULL_EPOCHS,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read settings from a TOML file; options override them."),
    ] = None,
    more: SetOption = None,
    checkpoint_every: CheckpointOption = None,
) -> None:
    """Distil the classes task by task; after each task test networks on all classes seen so far.

    The classes, in a random order that follows from --seed, are divided into equal tasks, and each task's set
    is distilled from its classes alone. After each task networks are trained on the sets of all tasks so far
    and, for comparison, on as many random real images and on all real images.

    The settings are those of rcig distill and, under Evaluation, those of rcig evaluate.

    To resume, run the same command again.

    Example: rcig continual cifar10 --tasks 5 --ipc 20 --algorithm dm
    """
    settings = {**(read_toml(config) if config else {}), **assignments(more), **settings}
    named = settings_of(DistillConfig)["dataset"]  # in a file
    check({"dataset": named, **settings_of_continual(settings.get("algorithm"))}, settings)
    in_file = settings.pop("dataset", None)
    store = here.store(create="ipc" in settings)
    here.prepare_jax()
    from rcig_cli.runs.continual import continual as job
    from rcig_cli.runs.continual.results import HEAD, rows_of
    from rcig_cli.runs.distill.distill import choose_dataset
    from rcig_cli.runs.distill.run_loop import RunContext

    prepared = choose_dataset(store, dataset or in_file, here.console)
    context = RunContext(here.console, checkpoint_every)
    try:
        with here.console.working():
            result = job.continual(store, prepared, settings, context, tasks=tasks, full_epochs=full_epochs)
    except (Interrupted, KeyboardInterrupt) as stopped:
        number = stopped.signal_number if isinstance(stopped, Interrupted) else signal.SIGINT
        said = str(stopped) or "Stopped."
        raise Interrupted(f"{said} To resume, run the same command again.", number) from None
    document = result.to_json()
    here.console.document({**document, "status": "finished", "files": [str(result.figure)]})
    deviation = ": mean ± standard deviation" if result.protocol["networks"] > 1 else ""
    here.console.table(
        HEAD,
        rows_of(document["tasks"]),
        f"Test accuracy on all classes seen so far{deviation}, of networks trained on the sets that "
        f"{result.algorithm} distilled, on as many random real images, and on all real images "
        f"({describe_protocol(result.protocol)}).",
        optional=("run", "classes"),
    )
    here.console.text(str(result.figure))
    here.next(f"show {result.name}")
