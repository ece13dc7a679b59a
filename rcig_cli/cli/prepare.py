"""``rcig prepare``."""

from typing import Annotated, Any

import typer

from rcig_cli.cli.list import dataset_summary
from rcig_cli.cli.options import Context, with_settings
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import describe_dataset
from rcig_cli.runs.prepare.config import PrepareConfig
from rcig_cli.settings import settings_of


@with_settings(*settings_of(PrepareConfig).values())
def prepare(
    here: Context,
    settings: dict[str, Any],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="digits (the default), mnist, cifar10, ..., hf:OWNER/NAME, tfds:NAME; any name with --from.",
        ),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ORIGIN",
            help="Your own images: a folder or file (docs/datasets.md), hf:OWNER/NAME, tfds:NAME, or a "
            "function of your own as MODULE:NAME (docs/extending.md).",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a data set of that name in the store.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait while another process prepares a data set of that name.")
    ] = False,
) -> None:
    """Preprocess images and save them. If stopped, run the same command again to resume.

    Example: rcig prepare cifar10, or rcig prepare birds --from birds/ --resolution 32
    """
    if name is None and origin is not None:
        raise ConfigError(f"The data need a name: rcig prepare NAME --from {origin}")
    from rcig_cli.runs.prepare.prepare import prepare as job

    with here.console.working():
        prepared = job(
            here.store(create=True),
            name or "digits",
            origin=origin,
            report=here.console,
            overwrite=overwrite,
            wait=wait,
            **settings,
        )
    dataset = prepared.manifest
    document = {**dataset_summary(dataset), "class_names": list(dataset.class_names)}
    document["assumptions"] = dataset.source["notes"]
    here.console.data(f"{dataset.name}: {describe_dataset(dataset)}", document)
    here.next(f"distill {prepared.name} --ipc 1")
