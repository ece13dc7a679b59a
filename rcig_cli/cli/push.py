"""``rcig push``: a run's distilled set, as a data set repository on the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.options import Context, with_context


@with_context
def push(
    here: Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="The data set repository; it is created if needed.")
    ],
    private: Annotated[
        bool,
        typer.Option(
            "--private", help="Make a new repository private; refuse to upload to one that is public."
        ),
    ] = False,
    license: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            metavar="LICENSE",
            help="License of the set, as the Hub names it, such as cc-by-4.0. Default: none is stated.",
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(metavar="BRANCH", help="Branch, created if needed. Default: the main branch."),
    ] = None,
    message: Annotated[
        str | None, typer.Option(help="Commit message. Default: one that describes the run.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the files into this new folder, and upload nothing."),
    ] = None,
) -> None:
    """Upload a distilled set to the Hugging Face Hub, with a data card and a picture. Prints the address.

    Log in with `hf auth login` or set HF_TOKEN first. All files are uploaded as one commit.

    Example: rcig push run_1 OWNER/digits-distilled --license cc-by-4.0
    """
    store = here.store()
    manifest = store.run(run)
    run = manifest.name
    from rcig_cli.runs.exchange.pushing import push_set

    done = push_set(
        store,
        run,
        repository,
        private=private,
        license=license,
        revision=revision,
        message=message,
        out=out,
        report=here.console,
    )
    if isinstance(done, Path):
        here.console.data(str(done), {"run": run, "repository": repository, "files": [str(done)]})
        return
    uploaded = {"run": run, "repository": repository, "address": done.address, "commit": done.commit}
    here.console.data(done.address, uploaded)
    at = f"@{revision}" if revision else ""
    here.next(f"import hf:{repository}{at} --dataset {manifest.dataset}")
