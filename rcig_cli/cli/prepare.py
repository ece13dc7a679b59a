"""``rcig prepare``."""

from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
)
from rcig_cli.errors import ConfigError


def prepare(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="digits (the default), mnist, cifar10, ..., or any name with --from."
        ),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="A folder of class folders, a download unpacked (docs/datasets.md), or an .npz file.",
        ),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Side in pixels to which images are cropped and resized.", min=1)
    ] = None,
    zca: Annotated[
        bool | None, typer.Option("--zca/--no-zca", help="Whiten the images. Default: RGB yes, grey no.")
    ] = None,
    zca_reg: Annotated[
        float, typer.Option(help="Regularisation of the whitening, as a share of the average eigenvalue.")
    ] = 0.1,
    subset: Annotated[
        int | None, typer.Option(help="Keep only this many training images, as many of each class.", min=1)
    ] = None,
    chunk: Annotated[int, typer.Option(help="Which of the disjoint subsets, from 0.", min=0)] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Prepare again what is prepared.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait while another process prepares a data set of that name.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a data set ready: real images in, whitened arrays in the store.

    Example: rcig prepare cifar10, or rcig prepare birds --from birds/ --resolution 32

    Stop it any time: the same command goes on where it was.
    """
    del debug
    if name is None and path is not None:
        raise ConfigError(f"give your data a name: rcig prepare NAME --from {path}")
    here = context(store, json, quiet)
    from rcig_cli.runs.prepare import prepare as job

    config = job.PrepareConfig(
        name=name or "digits",
        path=str(path.expanduser().absolute()) if path else None,
        resolution=resolution,
        zca=zca,
        zca_reg=zca_reg,
        subset=subset,
        chunk=chunk,
    )
    with here.console.working():
        manifest = job.prepare(here.store(create=True), config, here.console, overwrite=overwrite, wait=wait)
    height, width, channels = manifest.shape
    kind = ("grey" if channels == 1 else "RGB") + (", whitened" if manifest.whitened else "")
    here.console.data(
        f"{manifest.name}: {manifest.sizes['train']} training and {manifest.sizes['test']} test images, "
        f"{len(manifest.class_names)} classes, {height}x{width} {kind}",
        {
            "dataset": manifest.name,
            "train": manifest.sizes["train"],
            "test": manifest.sizes["test"],
            "classes": len(manifest.class_names),
            "shape": list(manifest.shape),
            "whitened": manifest.whitened,
        },
    )
    here.next(f"distill {manifest.name} --ipc 1")
