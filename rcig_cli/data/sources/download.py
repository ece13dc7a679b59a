"""Download the official files of known data sets, each checked against its published size and checksum.

Files are downloaded by pooch into the folder ``downloads`` of rcig's cache (``~/.cache/rcig`` on Linux, or as
``XDG_CACHE_HOME`` says).  An interrupted download is resumed with an HTTP range request, by the same command
or by a later one.  An archive is unpacked, and then deleted.  A digest of the unpacked files is kept and
compared before each use; if they are damaged, the archive is downloaded again.

``RCIG_MIRROR`` names a folder, or the address of one, in which each file is looked for before its official
addresses: as ``NAME/FILE`` (NAME is that of the data set), then as ``FILE``.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rcig_cli.data.sources.known import Archive, KnownDataset
from rcig_cli.data.sources.listener import Listener
from rcig_cli.errors import ConfigError, RcigError

_TIMEOUT = (10.0, 30.0)  # seconds to wait for a connection, and for each next byte
_TRIES = 3  # in a row at one address that bring no further bytes
_PAUSE = 1.0  # seconds before the second try; twice as many before the third
_PIECE = 2**16  # bytes read at a time; a piece that isn't complete when a connection ends is lost
_MEGABYTE = 10**6


class _Failure(Exception):
    """Why a file can't be downloaded; the text follows the address in a sentence."""


class _NotResumed(Exception):
    """A server can't send the rest of a file."""


def fetch(known: KnownDataset, listener: Listener) -> Path:
    """Return the folder of a data set's official files, downloading and unpacking what the cache lacks.

    Other processes that fetch the same data set wait.

    Parameters
    ----------
    known
        A data set with ``archives``.
    listener
        Receives messages and the progress of downloads, in megabytes.

    Raises
    ------
    RcigError
        If no address has the right files, or they can't be stored.
    ConfigError
        If ``RCIG_MIRROR`` names a folder that doesn't exist.
    """
    import pooch

    cache = Path(pooch.os_cache("rcig")) / "downloads" / known.name
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(cache / "lock", known, listener):
            if known.folder is None:
                for archive in known.archives:
                    _obtain(known, archive, cache, listener)
                return cache
            return _unpacked(known, known.folder, cache, listener)
    except OSError as error:
        raise RcigError(
            f"{known.name} can't be stored in {cache} ({error.strerror or error}): free some disk space, or "
            "set XDG_CACHE_HOME to a folder on another disk, and run the command again to resume."
        ) from error


@contextmanager
def _lock(path: Path, known: KnownDataset, listener: Listener) -> Iterator[None]:
    import filelock

    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        listener.note(f"Waiting for another process, which downloads {known.name}.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


# Archives.


def _unpacked(known: KnownDataset, name: str, cache: Path, listener: Listener) -> Path:
    folder, digest, fresh = cache / name, cache / f"{name}.sha256", cache / "unpacking"
    if folder.is_dir():
        if digest.is_file() and digest.read_text() == _digest(folder):
            return folder
        listener.note(f"{folder} is damaged or incomplete: its archive is downloaded again.")
    digest.unlink(missing_ok=True)
    files = [_obtain(known, archive, cache, listener) for archive in known.archives]
    try:
        for path in (folder, fresh):
            shutil.rmtree(path, ignore_errors=True)
        for file in files:
            listener.note(f"Unpacking {file.name}.")
            _unpack(file, fresh)
        (fresh / name).rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    digest.write_text(_digest(folder))
    for file in files:
        file.unlink()
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        return
    with tarfile.open(archive) as tar:
        # Python before 3.11.4 has no filters; by its checksum, the archive is the official one.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder)


def _digest(folder: Path) -> str:
    """Return the SHA-256 of the names and the contents of all files in a folder."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        found.update(f"{content} {path.relative_to(folder).as_posix()}\n".encode())
    return found.hexdigest()


# Files.


def _obtain(known: KnownDataset, archive: Archive, cache: Path, listener: Listener) -> Path:
    """Return the path of a file in the cache, having downloaded it if it isn't there or is damaged."""
    failures: list[str] = []
    for address in _addresses(known, archive):
        if failures:
            listener.note(f"{failures[-1]}.")
        try:
            return _obtain_from(address, archive, cache, listener)
        except _Failure as failure:
            failures.append(f"{address} {failure}")
    names = ", ".join(each.name for each in known.archives)
    own = f", or unpack it and pass --from {known.folder}" if known.folder else ""
    raise RcigError(
        f"{known.name} could not be downloaded: {'; '.join(failures)}. Run the command again to resume; "
        f"without internet access, set RCIG_MIRROR to a folder with {names}{own}."
    )


def _addresses(known: KnownDataset, archive: Archive) -> Iterator[str]:
    mirror = os.environ.get("RCIG_MIRROR", "").removesuffix("/")
    if _is_remote(mirror):
        yield f"{mirror}/{known.name}/{archive.name}"
        yield f"{mirror}/{archive.name}"
    elif mirror:
        folder = Path(mirror)
        if not folder.is_dir():
            raise ConfigError(f"RCIG_MIRROR is {mirror}, which is neither a folder nor an http address.")
        own = folder / known.name / archive.name
        yield str(own if own.exists() else folder / archive.name)
    yield archive.address
    yield from archive.mirrors


def _is_remote(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _obtain_from(address: str, archive: Archive, cache: Path, listener: Listener) -> Path:
    """Download a file from one address, trying again as long as that brings more of it."""
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    part = _Part(cache / f"{archive.name}.part", archive, listener)
    tries, resumable = 0, True
    while True:
        before = part.size()
        try:
            path = pooch.retrieve(
                address,
                f"sha256:{archive.sha256}",
                fname=archive.name,
                path=cache,
                downloader=part.download if _is_remote(address) else _copy,
            )
            return Path(path)
        except requests.RequestException as error:
            reason = _reason(error)
            if error.response is not None and _is_final(error.response.status_code):
                raise _Failure(reason) from error
            tries = 1 if part.size() > before else tries + 1
            if tries == _TRIES:
                raise _Failure(reason) from error
            listener.note(f"{address} {reason}; trying again.")
            time.sleep(_PAUSE * tries)
        except (_NotResumed, ValueError) as error:  # the latter is pooch's, of a wrong checksum
            part.path.unlink(missing_ok=True)
            # The bytes that an earlier attempt left may be wrong: try once more without them.
            if not (before and resumable):
                raise _Failure("has other content than the published file") from error
            resumable = False
            listener.note(f"{archive.name} could not be resumed: it is downloaded from the beginning.")


def _is_final(status: int) -> bool:
    """Whether it is useless to repeat a request; with 408 and 429, servers ask to retry later."""
    return 400 <= status < 500 and status not in (408, 429)


def _copy(address: str, output: str, _pooch: Any) -> None:
    try:
        shutil.copyfile(address, output)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise _Failure(f"can't be read: {error.strerror}") from error


def _reason(error: Exception) -> str:
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"answered with HTTP status {error.response.status_code}"
    if isinstance(error, exceptions.Timeout) or "timed out" in str(error):
        return "did not answer in time"
    if isinstance(error, exceptions.SSLError):
        return "has no valid certificate"
    if isinstance(error, exceptions.ProxyError):
        return "could not be reached through the proxy"
    if "NewConnectionError" in str(error) or "NameResolutionError" in str(error):
        return "could not be reached"
    if isinstance(error, (exceptions.ConnectionError, exceptions.ChunkedEncodingError)):
        return "ended the connection early"
    return f"can't be read ({error})"


@dataclass
class _Part:
    """The part of a file that is downloaded, to which pooch's downloader writes."""

    path: Path
    archive: Archive
    listener: Listener
    _file: IO[bytes] = field(init=False, repr=False)
    _announced: bool = False

    def size(self) -> int:
        """Return how many bytes are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def download(self, address: str, output: str, pooch_: Any) -> None:
        """Download the rest of the file, and rename it to ``output``; a downloader of pooch."""
        import pooch
        import requests

        if not self._announced:
            self._announced = True
            self.listener.note(
                f"Downloading {self.archive.name} ({self.archive.size / _MEGABYTE:.3g} MB) from {address}."
            )
        if self.size() != self.archive.size:
            with self.path.open("ab") as self._file:
                downloader = pooch.HTTPDownloader(
                    chunk_size=_PIECE,
                    timeout=_TIMEOUT,
                    headers={"Range": f"bytes={self.size()}-", "Accept-Encoding": "identity"},
                    hooks={"response": self._begin},
                )
                downloader(address, self, pooch_)
            if self.size() < self.archive.size:
                raise requests.ConnectionError("the file ended early")
        self.path.replace(output)

    def _begin(self, response: Any, **_: Any) -> None:
        """Look at the header of a response, before its content is read."""
        if response.status_code == 200:  # from the beginning
            sent = response.headers.get("Content-Length")
            self._check_size(int(sent) if sent else None)
            self._file.truncate(0)
        elif response.status_code == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != self.size():
                raise _NotResumed
            self._check_size(None if found[2] == "*" else int(found[2]))
        elif response.status_code == 416:  # there is no such range
            raise _NotResumed
        # Some servers declare a .gz file as encoded; it is to be stored as it is.
        response.raw.headers.pop("Content-Encoding", None)

    def _check_size(self, size: int | None) -> None:
        if size is not None and size != self.archive.size:
            raise _Failure(f"has {size} bytes instead of the published {self.archive.size}")

    def write(self, piece: bytes) -> None:
        """Append bytes, as many as the file has at most."""
        self._file.write(piece)
        done = self._file.tell()
        if done > self.archive.size:
            self._file.truncate(0)
            raise _Failure(f"sent more than the {self.archive.size} bytes of the published file")
        done, total = (math.ceil(size / _MEGABYTE) for size in (done, self.archive.size))
        self.listener.progress(f"{self.archive.name} (MB)", done, total)

    def flush(self) -> None:
        """Write what is buffered."""
        self._file.flush()
