"""Upload the distilled set of a run to the Hugging Face Hub, as a data set repository."""

import os
import re
import tempfile
from pathlib import Path

from rcig_cli.data.exchange import parquet
from rcig_cli.data.exchange.hub import Uploaded, upload
from rcig_cli.errors import ConfigError, shorten
from rcig_cli.reporting.dataset_card import GRID, dataset_card
from rcig_cli.reporting.formatting import describe_run
from rcig_cli.reporting.visualize import grid
from rcig_cli.runs.distill.distilled import DistilledSet, open_distilled
from rcig_cli.runs.exchange.exporting import exported_set
from rcig_cli.runs.report import Report
from rcig_cli.store.files import publish, storage_errors, temporary_folder
from rcig_cli.store.store import Store

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_BRANCH = re.compile(r"\w[\w./-]*")


def push_set(
    store: Store,
    run: str,
    repository: str,
    *,
    private: bool = False,
    license: str | None = None,  # noqa: A002
    revision: str | None = None,
    message: str | None = None,
    out: Path | None = None,
    report: Report,
) -> Uploaded | Path:
    """Upload the distilled set of a run as one commit; or write the same files into a folder.

    Parameters
    ----------
    store
        The store that the run is in.
    run
        The name of a finished run.
    repository
        ``OWNER/NAME`` of a data set repository, which is created if needed.
    private
        Whether a new repository is private.
    license
        The identifier of the set's license, such as ``cc-by-4.0``; None to state none.
    revision
        The branch, which is created if needed; by default the main one.
    message
        The message of the commit; by default one that names the run and its data set.
    out
        A new folder for the files; then nothing is uploaded.
    report
        Receives messages and warnings.

    Returns
    -------
    Uploaded or Path
        The address of the repository and the commit; or ``out``.

    Raises
    ------
    NotFound
        If there is no such run, or it isn't finished.
    ConfigError
        If an argument has a form that isn't allowed, or has no effect with ``out``; if ``out`` exists; if the
        user is not logged in or may not write there; or if the repository is public although ``private`` is
        set.
    Corrupt
        If the run is damaged.
    RcigError
        If the upload fails, or the files can't be written.
    """
    _check("repository", repository, _REPOSITORY, "pass OWNER/NAME")
    _check("--license", license, _LICENSE, "pass an identifier such as cc-by-4.0")
    _check("--revision", revision, _BRANCH, "pass the name of a branch")
    if out is not None and (private or message is not None):
        raise ConfigError(
            "--private and --message are for an upload, but with --out nothing is uploaded: leave them out."
        )
    if out is not None and os.path.lexists(out):
        raise ConfigError(f"{out} exists already: choose another path with --out, or move it away.")
    distilled = open_distilled(store, run)
    if license is None:
        report.note("The data card states no license; --license cc-by-4.0, for example, states one.")
    card = dataset_card(distilled, repository, license=license, revision=revision, report=report)
    if out is None:
        with tempfile.TemporaryDirectory(prefix="rcig-") as name, storage_errors(Path(name)):
            _write(Path(name), distilled, card)
            return upload(
                Path(name),
                repository,
                private=private,
                revision=revision,
                message=message or f"{distilled.run.name}: {describe_run(distilled.run)}",
                listener=report,
            )
    with temporary_folder(out.absolute().parent) as folder:
        with storage_errors(out):
            _write(folder, distilled, card)
        publish(folder, out.absolute())
    return out


def _check(what: str, value: str | None, form: re.Pattern[str], remedy: str) -> None:
    if value is not None and not form.fullmatch(value):
        raise ConfigError(f"{what} {shorten(value)} is not possible: {remedy}.")


def _write(folder: Path, distilled: DistilledSet, card: str) -> None:
    """Write everything that is uploaded into an empty folder."""
    parquet.write_set(folder, exported_set(distilled))
    (folder / GRID).write_bytes(grid(distilled))
    (folder / "README.md").write_text(card, encoding="utf-8")
