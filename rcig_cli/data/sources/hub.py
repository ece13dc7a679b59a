"""Data sets of the Hugging Face Hub, ``hf:OWNER/NAME``, downloaded by the library ``huggingface_hub``.

They are read from Parquet files: the repository's own, or those that the Hub makes of most public data sets
in the branch ``refs/convert/parquet``.  The library keeps them in its cache, resumes downloads, and uses the
environment variables ``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import glob
import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from rcig_cli.data.formats.table_files import SAVED, data_sets, first_table, is_saved, is_table
from rcig_cli.data.sources.listener import Listener
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Note
from rcig_cli.errors import ConfigError, NotFound, RcigError, shorten

_FORM = re.compile(
    r"hf:(?P<repository>\w[\w.-]*(/\w[\w.-]*)?)(/(?P<folder>\w[\w.-]*(/\w[\w.-]*)*))?(@(?P<revision>[\w./-]+))?"
)
_MEGABYTE = 10**6
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

    form = _FORM.fullmatch(origin)
    if not form:
        raise ConfigError(f"{shorten(origin)} is not a data set of the Hugging Face Hub: pass hf:OWNER/NAME.")
    with _messages(form["repository"]):
        path, commit = _download(form["repository"], form["folder"], form["revision"], listener)
    source = open_path(name, path, options)
    source.origin = {"repository": form["repository"], "commit": commit}
    first, *others = source.notes  # names the folder in the cache
    text = first.text.replace(str(path), f"{origin}, commit {commit[:12]},")
    source.notes = (Note(first.about, text), *others)
    return source


def _download(
    repository: str, folder: str | None, revision: str | None, listener: Listener
) -> tuple[Path, str]:
    """Return the folder of the data set in the library's cache, and the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    def snapshot(branch: str | None, offline: bool) -> Path:
        return Path(
            snapshot_download(
                repository,
                repo_type="dataset",
                revision=branch,
                allow_patterns=[f"{glob.escape(folder)}/{name}" if folder else name for name in _PATTERNS],
                local_files_only=offline,
                tqdm_class=_progress_bar(f"{repository} (MB)", listener),
            )
        )

    branches = [revision] if revision else [None, _CONVERTED]
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


def _progress_bar(label: str, listener: Listener) -> Any:
    """Return a progress bar for ``huggingface_hub`` that prints nothing but informs the listener."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0

        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": False, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            answer: bool | None = super().update(n)
            if self.unit == "B" and self.total and self.n:
                done, total = (math.ceil(count / _MEGABYTE) for count in (self.n, self.total))
                listener.progress(label, done, total)
            return answer

    return Bar


@contextmanager
def _messages(repository: str) -> Iterator[None]:
    """Turn the errors of ``huggingface_hub`` into messages."""
    try:
        import huggingface_hub.errors as errors
    except ImportError as error:
        raise ConfigError(
            f"hf:{repository} needs huggingface_hub, which is not installed: "
            "run \"pip install 'rcig-cli[hub]'\"."
        ) from error
    try:
        yield
    except RcigError:
        raise
    except errors.GatedRepoError as error:
        raise ConfigError(
            f"Access to {repository} must be requested on its page on the Hugging Face Hub; then log in with "
            '"hf auth login", or set HF_TOKEN.'
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise NotFound(
            f"The Hugging Face Hub has no data set {repository}, or it is private: check the name, or log in "
            'with "hf auth login".'
        ) from error
    except errors.RevisionNotFoundError as error:
        raise NotFound(f"{repository} has no such branch, tag or commit on the Hugging Face Hub.") from error
    except errors.HFValidationError as error:
        raise ConfigError(
            f"{shorten(repository)} is not a name that the Hugging Face Hub allows: pass hf:OWNER/NAME."
        ) from error
    except Exception as error:  # the network and the disk can cause errors of every kind
        cause = error.__cause__ or error
        first = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise RcigError(
            f"{repository} could not be downloaded from the Hugging Face Hub, and is not in its cache "
            f"({first[:160]}): check the connection and the disk, and try again."
        ) from error
