"""Data sets of the Hugging Face Hub, ``hf:OWNER/NAME``, downloaded by the library ``huggingface_hub``.

They are read from Parquet files: the repository's own, or those that the Hub makes of most public data sets
in the branch ``refs/convert/parquet``.  The library keeps them in its cache, and resumes downloads.
"""

from __future__ import annotations

import glob
from contextlib import suppress
from pathlib import Path, PurePosixPath

from rcig_cli.data.formats.table_files import SAVED, data_sets, first_table, is_saved, is_table
from rcig_cli.data.hub import HubAddress, hub_errors, progress_bar
from rcig_cli.data.sources.listener import Listener
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Note
from rcig_cli.errors import ConfigError, RcigError

_CONVERTED = "refs/convert/parquet"
_PATTERNS = ("*.parquet", "*.arrow", *(f"*{name}" for name in SAVED))


def open_hub(name: str, origin: str, options: ReadOptions, listener: Listener) -> ImageSource:
    """Open a data set of the Hub, downloading it first if necessary.

    Parameters
    ----------
    name
        The data set's name in the store.
    origin
        ``hf:OWNER/NAME``, or ``hf:OWNER/NAME/FOLDER`` for one of several data sets in a repository; a branch,
        tag or commit may follow as ``@REVISION``.
    options
        As in `rcig_cli.data.sources.opening.open_source`.
    listener
        Receives the progress of the download, in megabytes.

    Raises
    ------
    ConfigError
        If ``huggingface_hub`` is missing, ``origin`` is malformed, or the repository has no data set that can
        be read, or several.
    NotFound
        If there is no such repository or revision, or the repository is private.
    RcigError
        If the download fails.
    """
    from rcig_cli.data.formats.registry import open_path

    address = HubAddress.parse(origin)
    with hub_errors(address.repository):
        path, commit = _download(address, listener)
    source = open_path(name, path, options)
    source.origin = {"repository": address.repository, "commit": commit}
    first, *others = source.notes  # names the folder in the cache
    text = first.text.replace(str(path), f"{origin}, commit {commit[:12]},")
    source.notes = (Note(first.about, text), *others)
    return source


def _download(address: HubAddress, listener: Listener) -> tuple[Path, str]:
    """Return the folder of the data set in the library's cache, and the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, folder = address.repository, address.folder

    def snapshot(branch: str | None, offline: bool) -> Path:
        return Path(
            snapshot_download(
                repository,
                repo_type="dataset",
                revision=branch,
                allow_patterns=[f"{glob.escape(folder)}/{name}" if folder else name for name in _PATTERNS],
                local_files_only=offline,
                tqdm_class=progress_bar(f"{repository} (MB)", listener),
            )
        )

    branches = [address.revision] if address.revision else [None, _CONVERTED]
    for branch in branches:
        try:
            place = _folder_of_tables(repository, folder, branch)
        except (RcigError, HfHubHTTPError):
            raise
        except Exception:  # without a connection, of many kinds
            for each in branches:
                with suppress(LocalEntryNotFoundError):
                    found = snapshot(each, offline=True)
                    path = found / (folder or "")
                    if is_saved(path) or first_table(path):
                        return path, found.name
            raise
        if place is not None:
            found = snapshot(branch, offline=False)
            return found / place, found.name
    raise ConfigError(
        f"{repository} has no Parquet files{f' in {folder}' if folder else ''} on the Hugging Face Hub: "
        "download its files, and pass their folder with --from."
    )


def _folder_of_tables(repository: str, folder: str | None, branch: str | None) -> str | None:
    """Return the folder of the data set in a branch, or None if there are no tables.

    Raises ConfigError if there are several.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        names = HfApi().list_repo_files(repository, repo_type="dataset", revision=branch)
    except RevisionNotFoundError:
        if branch == _CONVERTED:
            return None
        raise
    root = PurePosixPath(folder or "")
    files = [PurePosixPath(name) for name in names if not folder or name.startswith(f"{folder}/")]
    if any(root / name in files for name in SAVED):
        return str(root)
    sets = [str(found) for found in data_sets(root, [file for file in files if is_table(file.name)])]
    if len(sets) > 1:
        raise ConfigError(
            f"{repository} holds {len(sets)} data sets, in {', '.join(sets[:20])}: pass one of them, such as "
            f"hf:{repository}/{sets[0]}."
        )
    return sets[0] if sets else None
