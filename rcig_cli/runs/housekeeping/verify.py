"""Verify a store, or some of its artifacts: compare every file with its recorded checksum."""

from collections.abc import Sequence
from pathlib import Path

from rcig_cli.errors import Corrupt
from rcig_cli.runs.report import Report
from rcig_cli.store.audit import Audit, Findings
from rcig_cli.store.store import Store, open_store


def open_damaged(root: Path) -> Store:
    """Open a store to verify it, even if its ``store.json`` is damaged.

    Raises
    ------
    NotFound
        If there is no store.
    ConfigError
        If it is something else than a store.
    """
    try:
        return open_store(root, create=False)
    except Corrupt:
        return Store(root)


def verify(store: Store, names: Sequence[str], report: Report, *, quick: bool = False) -> Findings:
    """Compare the files of artifacts with their checksums.

    Parameters
    ----------
    store
        The store.
    names
        Which artifacts; if empty, all, and the folders around them.
    report
        Where progress is shown.
    quick
        Whether to skip the content of files larger than 1 MiB.

    Raises
    ------
    ConfigError
        If no artifact may have such a name.
    NotFound
        If none has it.
    """
    named = [one for name in names for one in store.locate(name)]
    artifacts = list(dict.fromkeys(named)) if names else store.artifacts()
    total = max(1, sum(1 for one in artifacts for path in one.path.rglob("*") if path.is_file()))
    done = 0

    def on_file() -> None:
        # Not every file has a checksum, and files that change meanwhile are checked again.
        nonlocal done
        done = min(done + 1, total - 1)
        report.progress("verifying", done, total)

    audit = Audit(store, quick=quick, on_file=on_file)
    if not audit.check_store_document():
        return audit.found  # a newer format: nothing else can be checked
    if not names:
        audit.check_folders()
    for one in artifacts:
        (audit.check_alone if names else audit.check)(one)
    report.progress("verifying", total, total)
    return audit.found
