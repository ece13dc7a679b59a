"""What the user sees: data on stdout, messages and progress on stderr."""

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from rcig_cli.reporting.formatting import percent

_LINE_EVERY = 30.0  # seconds between progress lines where nothing can be animated
# What a document in a store may hold and is no text to a terminal: control characters, orders to write from
# right to left, and halves of characters, which can't be encoded.
_UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Console:
    """Both streams, as the options say; also a job's report.

    Parameters
    ----------
    json
        Data as one JSON object.
    quiet
        Nothing on stderr.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json, self.quiet = json, quiet
        self.out = RichConsole(highlight=False, soft_wrap=True)
        self.err = RichConsole(stderr=True, highlight=False, quiet=quiet, soft_wrap=True)
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_line = time.monotonic()

    def note(self, sentence: str) -> None:
        """Say something the user should know."""
        self.err.print(shown(sentence), markup=False)

    def warn(self, sentence: str) -> None:
        """Say something the user should worry about."""
        self.err.print(shown(f"Warning: {sentence}"), style="yellow", markup=False)

    def agrees(self, question: str) -> bool:
        """Ask at the terminal, on stderr, even where all else is quiet; only a yes is a yes."""
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def data(self, text: str, document: Mapping[str, Any]) -> None:
        """Print a result: the text, or with ``--json`` the document."""
        if self.json:
            print(json.dumps(document), flush=True)
        else:
            self.out.print(shown(text), markup=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table: first column to the left, the others to the right."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*map(shown, row))
        self.out.print(table)

    def fail(self, message: str, code: int) -> None:
        """Print an error, as the end of a command."""
        fail(message, code, as_json=self.json)

    def next(self, command: str) -> None:
        """Name the next useful command."""
        if not self.json:
            self.err.print(shown(f"Next: {command}"), style="dim", markup=False)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Show progress while a job runs."""
        if self.quiet or not self.err.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[values]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.err, transient=True) as self._bar:
            yield
        self._bar = None
        self._tasks = {}

    def progress(self, label: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        """Move a bar; where nothing can be animated, write a line now and then, and the last numbers."""
        shown = "  ".join(_number(name, value) for name, value in (values or {}).items())
        if self._bar is not None:
            if label not in self._tasks:
                # What was done before we looked says nothing about the speed, and so about the time left.
                self._tasks[label] = self._bar.add_task(label, total=total, completed=done, values=shown)
            self._bar.update(self._tasks[label], completed=done, total=total, values=shown)
        elif not self.quiet and (
            (done == total and values) or time.monotonic() - self._last_line > _LINE_EVERY
        ):
            self._last_line = time.monotonic()
            self.note(f"{label} {done}/{total}  {shown}".rstrip())


def shown(text: str) -> str:
    """Return a text with what isn't for a terminal written as Python writes it."""
    return _UNSHOWN.sub(lambda match: repr(match[0])[1:-1], text)


def _number(name: str, value: float) -> str:
    if name == "accuracy":
        return f"{name} {percent(value)}"
    return f"{name} {value:.3g}"


def fail(message: str, code: int, *, as_json: bool) -> None:
    """Print an error: a sentence on stderr, and with ``--json`` an object on stdout."""
    if as_json:
        print(json.dumps({"error": {"code": code, "message": message}}), flush=True)
    RichConsole(stderr=True, highlight=False, soft_wrap=True).print(
        shown(f"rcig: {message}"), style="red" if code < 128 else "", markup=False
    )
    sys.stdout.flush()
