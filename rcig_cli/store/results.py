"""The measurements of a run, each in one document.

A file is named after the time in UTC and a label, such as
``evaluations/20250301T123000.123456Z-convnet.json``.  It is written once and never changed.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from rcig_cli.store.documents import Listing, read_document, read_each, write_document
from rcig_cli.store.files import make_folder, storage_errors

Kind = Literal["evaluations", "attacks", "timings"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def write_result(run_path: Path, kind: Kind, label: str, record: Mapping[str, Any]) -> Path:
    """Write a record into a new file of a run.

    Parameters
    ----------
    run_path
        The run's folder.
    kind
        "evaluations", "attacks" or "timings".
    label
        A part of the file's name, such as the name of an architecture.
    record
        JSON values, without the keys "format" and "sha256".

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        For NaN and infinities in the record.
    RcigError
        If it can't be written.
    """
    folder = run_path / kind
    make_folder(folder, parents=False)
    while (path := folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{label}.json").exists():
        pass
    write_document(path, record)
    return path


def read_results(run_path: Path, kind: Kind) -> Listing[dict[str, Any]]:
    """Return the records of a run, oldest first, and a problem for each that can't be read."""
    with storage_errors(run_path / kind, "read"):
        paths = sorted(path for path in (run_path / kind).glob("*.json") if not path.name.startswith("."))
    return read_each(paths, read_document)
