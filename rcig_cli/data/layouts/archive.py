"""Zip archives, ``.npz`` files among them, opened with care.

What an archive declares is held against its size before anything in it is unpacked: its directory is small,
its members lie one behind the other, and none unpacks to more than Deflate can pack into it.
"""

from __future__ import annotations

import errno
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rcig_cli.data.layouts.regular import open_regular
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError

_PACKED_AT_MOST = 1032  # times that Deflate can make bytes fewer
_LARGEST_DIRECTORY = 2**20
_LOCAL_HEADER = 30
_SHOWN = 80
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, EOFError, struct.error),
    *(UnicodeDecodeError, NotImplementedError, RuntimeError),
)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive; say in a sentence what is wrong with it while it is open.

    Raises
    ------
    NotFound
        If there is no such file.
    Corrupt
        If it is no zip archive, damaged, or declares more than it can hold.
    ConfigError
        If it is no regular file, a name in it leads out of it or is there twice, or it is packed otherwise
        than NumPy does it.
    RcigError
        If the system doesn't let it be read.
    """
    try:
        with _Directory(open_regular(path).detach()) as file, zipfile.ZipFile(file) as archive:
            file.most = None
            _check_names(archive, path)
            _check_places(archive, path)
            yield archive
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}: check what you passed to --from.") from error
    except _DAMAGES as error:
        kind = path.suffix or ".zip"
        raise Corrupt(f"{path} is damaged, cut short or no {kind} file: make or copy it again.") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # its directory points before its beginning
            raise Corrupt(f"{path} is damaged: make or copy it again.") from error
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error


def most_unpacked(packed: int) -> int:
    """Bytes that so many can unpack to by Deflate, a header besides: what declares more, lies."""
    return (packed + 64) * _PACKED_AT_MOST


class _Directory(io.BufferedReader):
    """A file that gives an archive's directory, but not the gigabytes that can be declared for one."""

    most: int | None = _LARGEST_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if self.most is not None and size is not None and size > self.most:
            raise zipfile.BadZipFile(f"a directory of {size} bytes")
        return super().read(size)


def _check_names(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse names that lead out of the archive: nothing is unpacked, but nobody writes such by slip."""
    names = archive.namelist()
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise ConfigError(
                f"{path} holds the path {name[:_SHOWN]!r}, which leads out of it: use a file you trust."
            )
    if len(set(names)) != len(names):
        raise ConfigError(f"{path} holds two things of the same name: use a file you trust.")


def _check_places(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse members that lie over one another, or unpack to more than they can hold."""
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    if any(entry.compress_type not in _METHODS for entry in entries):
        raise ConfigError(f"{path} isn't packed as NumPy does it: save it with numpy.savez_compressed.")
    ends = [entry.header_offset + _LOCAL_HEADER + entry.compress_size for entry in entries]
    begins = [*(entry.header_offset for entry in entries), archive.start_dir]
    if begins[0] < 0 or any(end > begin for end, begin in zip(ends, begins[1:], strict=True)):
        raise zipfile.BadZipFile("members lie over one another")
    if not all(map(_can_be, entries)):
        raise Corrupt(f"{path} declares more than it can hold: make or copy it again.")


def _can_be(entry: zipfile.ZipInfo) -> bool:
    if entry.compress_type == zipfile.ZIP_STORED:
        return entry.file_size == entry.compress_size
    return entry.file_size <= most_unpacked(entry.compress_size)
