"""The log of a run's metrics: one JSON object per line, in the order of the steps.

A process that is killed leaves at most one incomplete line at the end; it is ignored when reading and removed
before writing.  NaN and infinities, which JSON doesn't have, are written as null.
"""

import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rcig_cli.errors import Corrupt
from rcig_cli.store.documents import parse
from rcig_cli.store.files import storage_errors, write_bytes_atomically

METRICS = "metrics.jsonl"  # in the folder of a run

LAST_STEPS = 50  # whose metrics are averaged


def final_metrics(run_path: Path) -> dict[str, float]:
    """Return the means of a run's metrics over its last 50 steps, or fewer if it has fewer.

    Returns
    -------
    dict
        By name, without ``step``, and the number of these steps as ``averaged_steps``; empty if no step was
        logged.  Values that are not finite are left out.
    """
    last = MetricsLog(run_path / METRICS).read()[-LAST_STEPS:]
    names = dict.fromkeys(name for record in last for name in record if name != "step")
    values = {name: [each[name] for each in last if each.get(name) is not None] for name in names}
    means = {name: math.fsum(found) / len(found) for name, found in values.items() if found}
    return {**means, "averaged_steps": len(last)} if last else {}


class MetricsLog:
    """A file of JSON lines, which needn't exist; it is opened by the first `append`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record of JSON values; readers see it when this returns.

        Raises
        ------
        RcigError
            If it can't be written; then the file is as before.
        """
        line = json.dumps(_finite(record), allow_nan=False).encode() + b"\n"
        with storage_errors(self.path):
            descriptor = self._opened()
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(descriptor, size)
                raise

    def truncate_after(self, step: int) -> None:
        """Remove the records of later steps, and an incomplete line at the end, atomically.

        Raises
        ------
        Corrupt
            If a line other than the last is damaged.
        """
        kept = [record for record in self.read() if record.get("step", 0) <= step]
        self.close()
        if self.path.exists():
            lines = "".join(json.dumps(record) + "\n" for record in kept)
            write_bytes_atomically(self.path, lines.encode())

    def read(self) -> list[dict[str, Any]]:
        """Return all records; none if there is no file.

        Raises
        ------
        Corrupt
            If a line other than the last is damaged.
        """
        with storage_errors(self.path, "read"):
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        records = []
        for number, line in enumerate(lines, 1):
            try:
                records.append(parse(line, f"line {number} of {self.path}"))
            except Corrupt:
                if number < len(lines):
                    raise
        return records

    def sync(self) -> None:
        """Force the log to the disk, if there is one, without an incomplete line at the end.

        Raises
        ------
        RcigError
            If it can't be made durable.
        """
        if self.path.exists():
            with storage_errors(self.path):
                os.fsync(self._opened())

    def close(self) -> None:
        """Close the file; a later `append` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            _drop_incomplete_line(self._descriptor)
        return self._descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _drop_incomplete_line(descriptor: int) -> None:
    """Cut the file after its last complete line."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.ftruncate(descriptor, content.rfind(b"\n") + 1)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
