"""``rcig import``: a distilled set made elsewhere, as a run."""

from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.list import run_summary
from rcig_cli.cli.options import Context, TagOption, with_context
from rcig_cli.data.exchange.records import SPACES
from rcig_cli.data.files import LARGEST_TEXT, lines_of, open_file
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import describe_run


@with_context
def import_(
    here: Context,
    origin: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A published checkpoint (Flax), .npz, .pt, .safetensors, .parquet, a folder of pictures, or "
            "one with images_best.pt and labels_best.pt; or hf:OWNER/NAME[@REVISION], a data set repository "
            "of the Hugging Face Hub.",
        ),
    ],
    dataset: Annotated[
        str, typer.Option(metavar="DATASET", help="The prepared data set that the set was distilled from.")
    ],
    space: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(SPACES),
            help="What the values of the images are (docs/exchange.md). Default: as the file states.",
        ),
    ] = None,
    index: Annotated[
        int | None, typer.Option(min=0, help="Which set of a file with several, from 0.")
    ] = None,
    class_names: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The data set's class names, one a line, in the order of the file's classes. "
            "Default: as the file states, or the data set's order.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the new run. Default: derived from the file's name.")
    ] = None,
    tag: TagOption = None,
) -> None:
    """Import a distilled set as a run. Nothing in the file is executed.

    Example: rcig import checkpoint_best --dataset cifar10 --name frepo
    """
    store = here.store(create=True)
    here.prepare_jax()
    from rcig_cli.runs.exchange.importing import import_set

    names = None if class_names is None else _read_names(class_names)
    with here.console.working():
        run = import_set(
            store,
            origin,
            dataset,
            space=space,
            index=index,
            class_names=names,
            name=name,
            tags=tag or (),
            report=here.console,
        )
    assert run.imported_as is not None
    read_as, assumed = run.imported_as["space"], run.imported_as["assumptions"]
    document = {**run_summary(run), "space": read_as, "index": index, "assumptions": assumed}
    here.console.data(f"{run.name}: {describe_run(run)} (space: {read_as})", document)
    here.next(f"evaluate {run.name}")


def _read_names(path: Path) -> list[str]:
    """Read the names of the classes from a text file, one a line."""
    with open_file(path, most=LARGEST_TEXT) as file:
        content = file.read()
    try:
        names = lines_of(content)
    except UnicodeDecodeError:
        raise ConfigError(f"--class-names {path} is not text in UTF-8: save it as UTF-8.") from None
    if not names:
        raise ConfigError(f"--class-names {path} is empty: write the name of one class in each line.")
    return names
