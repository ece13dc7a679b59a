"""What was measured on a run: one JSON file a measurement, under names that never collide.

A file is called after the time in UTC and what was measured, such as
``evaluations/20250301T123000.123456Z-convnet.json``, and is written once and never changed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from rcig_cli.errors import Corrupt
from rcig_cli.store.documents import FORMAT
from rcig_cli.store.files import AlreadyExists, make_folder, storage_errors, write_text_atomically
from rcig_cli.store.listing import Listing, read_each
from rcig_cli.store.migrations import read_current
from rcig_cli.store.plain import check_own
from rcig_cli.store.seals import sealed

Kind = Literal["evaluations", "attacks", "timings"]
Check = Callable[[dict[str, Any]], Sequence[str]]
KINDS: tuple[Kind, ...] = get_args(Kind)

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def write_result(run_path: Path, kind: Kind, label: str, record: Mapping[str, Any]) -> Path:
    """Write a record into a new file of a run.

    Parameters
    ----------
    run_path
        The run's folder.
    kind
        "evaluations", "attacks" or "timings".
    label
        What was measured, such as the name of an architecture: 1 to 64 letters, digits, ``_``, ``.``
        and ``-``, beginning with a letter or a digit.
    record
        JSON values; the keys "format" and "sha256", its seal, are added in the file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        For a label that can't be part of a file's name, or NaN and infinities in the record.
    RcigError
        If it can't be written.
    """
    if not _LABEL.fullmatch(label):
        raise ValueError(f"not a label for a file: {label!r}")
    folder = run_path / kind
    make_folder(check_own(folder), parents=False)
    text = sealed({**record, "format": FORMAT})
    while True:
        path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{label}.json"
        try:
            write_text_atomically(path, text, replace=False)
        except AlreadyExists:
            continue
        return path


def read_results(run_path: Path, kind: Kind, check: Check | None = None) -> Listing[dict[str, Any]]:
    """Return the records of a run, oldest first, and what is wrong with those that can't be read.

    Parameters
    ----------
    run_path
        The run's folder.
    kind
        "evaluations", "attacks" or "timings".
    check
        Says what is wrong with a record; nothing is looked at by default.
    """
    with storage_errors(run_path / kind, "read"):
        paths = sorted(path for path in (run_path / kind).glob("*.json") if not path.name.startswith("."))
    return read_each(paths, lambda path: _read_result(path, check))


def _read_result(path: Path, check: Check | None) -> dict[str, Any]:
    document = read_current(path, "result")
    record = {key: value for key, value in document.items() if key != "format"}
    wrong = check(record) if check is not None else None
    if wrong:
        raise Corrupt(f"{path} is damaged: {'; '.join(wrong)}.")
    return record
