"""Distilled sets in data set repositories of the Hugging Face Hub: download for import, and upload.

A repository that `rcig push` wrote has ``distilled.safetensors``, with all arrays unchanged; to import the
set, only this file is downloaded.  Of other repositories the single Parquet file in ``data`` is imported.
"""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rcig_cli.data.exchange.parquet import EXACT, most_bytes
from rcig_cli.data.exchange.records import DatasetInfo
from rcig_cli.data.hub import HUB, MEGABYTE, HubAddress, hub_errors, progress_bar
from rcig_cli.data.sources.listener import Listener
from rcig_cli.data.whitening.moments import dimension_of
from rcig_cli.errors import ConfigError

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class FetchedSet:
    """A file or folder with a distilled set, of the user or from the Hub.

    Attributes
    ----------
    path
        Where it is.
    name
        What a run that is imported from it is named after.
    origin
        What the run records: the file's name, or ``hf:OWNER/NAME@COMMIT``.
    shown
        What messages call it.
    """

    path: Path
    name: str
    origin: str
    shown: str


@contextmanager
def fetched_set(origin: str, dataset: DatasetInfo, listener: Listener) -> Iterator[FetchedSet]:
    """Download a distilled set into a temporary folder, which is there in a ``with`` block.

    Only files that importing reads are downloaded, and none that is larger than a distilled set of the data
    set can be.

    Parameters
    ----------
    origin
        ``hf:OWNER/NAME``, and perhaps ``@`` and a branch, tag or commit.
    dataset
        The data set that it was distilled from.
    listener
        Receives the progress, in megabytes.

    Raises
    ------
    ConfigError
        If ``huggingface_hub`` is missing, ``origin`` is malformed, or the repository has no distilled set, or
        one that is too large.
    NotFound
        If there is no such repository or revision, or the repository is private.
    RcigError
        If the download fails.
    """
    address = HubAddress.parse(origin)
    repository = address.repository
    if address.folder is not None:
        raise ConfigError(f"A distilled set is a whole repository: pass {HUB}{repository}.")
    with tempfile.TemporaryDirectory(prefix="rcig-") as folder:
        with hub_errors(repository):
            from huggingface_hub import HfApi, snapshot_download

            info = HfApi().dataset_info(repository, revision=address.revision, files_metadata=True)
            names = _needed(repository, {file.rfilename: file.size for file in info.siblings or ()}, dataset)
            snapshot_download(
                repository,
                repo_type="dataset",
                revision=info.sha,
                allow_patterns=[glob.escape(name) for name in names],
                local_dir=folder,
                tqdm_class=progress_bar(f"{repository} (MB)", listener),
            )
        yield FetchedSet(Path(folder), repository.split("/")[-1], f"{HUB}{repository}@{info.sha}", origin)


def _needed(repository: str, sizes: dict[str, int | None], dataset: DatasetInfo) -> list[str]:
    """Return the names of the files to download; ``sizes`` has all files of the repository, in bytes."""
    if EXACT in sizes:
        names = [EXACT]
    else:
        parts = [name for name in sizes if _is_part(name)]
        if len(parts) != 1:
            found = (
                f"{len(parts)} Parquet files in data" if parts else "neither that nor a Parquet file in data"
            )
            raise ConfigError(
                f"{repository} is no distilled set that can be imported: it should have {EXACT}, but it has "
                f"{found}."
            )
        names = parts
    most = _most_bytes(dataset)
    for name in names:
        size = sizes[name]
        if size is None or size > most:
            raise ConfigError(
                f"{name} of {repository} has {'an unknown number of' if size is None else size} bytes, but a "
                f"distilled set of {dataset.name} has at most {most}: nothing was downloaded."
            )
    return names


def _is_part(name: str) -> bool:
    path = PurePosixPath(name)
    return path.parent == PurePosixPath("data") and path.suffix == ".parquet"


def _most_bytes(dataset: DatasetInfo) -> int:
    """Return the most bytes of a file with a distilled set of a data set and a whitening."""
    try:
        matrix = _FLOAT * dimension_of(dataset.shape) ** 2
    except ConfigError:  # images of this size can't be whitened
        matrix = 0
    return most_bytes(dataset.max_images, dataset) + 2 * matrix


@dataclass(frozen=True)
class Uploaded:
    """Where an uploaded set is: the address of the repository, and the commit."""

    address: str
    commit: str


def upload(
    folder: Path, repository: str, *, private: bool, revision: str | None, message: str, listener: Listener
) -> Uploaded:
    """Upload all files of a folder to a data set repository, which is created if needed, as one commit.

    Parameters
    ----------
    folder
        The files.
    repository
        ``OWNER/NAME``.
    private
        Whether a new repository is private.
    revision
        The branch, which is created if needed; None for the main branch.
    message
        The message of the commit.
    listener
        Receives a message.

    Raises
    ------
    ConfigError
        If ``huggingface_hub`` is missing, the user is not logged in or may not write there, or the repository
        exists and is public although ``private`` is set.
    RcigError
        If the upload fails.
    """
    with hub_errors(repository, upload=True):
        from huggingface_hub import HfApi, get_token

        if get_token() is None:
            raise ConfigError(
                'You are not logged in to the Hugging Face Hub: run "hf auth login", or set HF_TOKEN to a '
                "token with write access."
            )
        api: Any = HfApi()
        kind = {"repo_type": "dataset"}
        address = str(api.create_repo(repository, private=private or None, exist_ok=True, **kind))
        if private and not api.dataset_info(repository).private:
            raise ConfigError(
                f"{address} exists already and is public, so nothing was uploaded: make it private in its "
                "settings, or leave out --private."
            )
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True, **kind)
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        listener.note(f"Uploading {len(sizes)} files ({sum(sizes) / MEGABYTE:.3g} MB) to {address}.")
        with _without_bars():
            commit = api.upload_folder(
                repo_id=repository, folder_path=folder, commit_message=message, revision=revision, **kind
            )
    return Uploaded(address, commit.oid)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep ``huggingface_hub`` from drawing progress bars."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
