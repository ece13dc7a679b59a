"""Output of a command: results on stdout, messages and progress on stderr."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.console import JustifyMethod
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from rcig_cli.reporting.formatting import percent, rounded

_WIDEST = 1000  # columns of a table that another program reads, in which no name is broken
_GAP = 2  # spaces between columns
_LINE_EVERY = 30.0  # seconds between progress lines where stderr is not a terminal


class Console:
    """stdout and stderr of a command; also the `Report` that it passes to the library.

    Parameters
    ----------
    json
        Print results as one JSON object.
    quiet
        Print nothing on stderr but errors.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json, self.quiet = json, quiet
        self.out = RichConsole(highlight=False, soft_wrap=True)
        self.err = RichConsole(stderr=True, highlight=False, quiet=quiet, soft_wrap=True)
        if not self.out.is_terminal:
            self.out.width = _WIDEST
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_line = time.monotonic()

    def note(self, sentence: str) -> None:
        """Print a message."""
        self.err.print(printable(sentence), markup=False)

    def warn(self, sentence: str) -> None:
        """Print a warning."""
        self.err.print(printable(f"Warning: {sentence}"), style="yellow", markup=False)

    def agrees(self, question: str) -> bool:
        """Ask a question on stderr, also if quiet; any answer but yes is no."""
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def data(self, text: str, document: Mapping[str, Any]) -> None:
        """Print a result: the text, or with ``--json`` the document."""
        self.document(document)
        self.text(text)

    def document(self, document: Mapping[str, Any]) -> None:
        """Print a result as JSON, with ``--json`` only."""
        if self.json:
            print(json.dumps(document), flush=True)

    def text(self, text: str) -> None:
        """Print a result as text, without ``--json`` only."""
        if not self.json:
            self.out.print(printable(text), markup=False)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        caption: str = "",
        *,
        optional: Sequence[str] = (),
        wrapped: bool = False,
    ) -> None:
        """Print a table, without ``--json`` only, with the caption above it on stderr.

        The first column is aligned to the left and the others to the right.  Columns that have nothing but
        dashes are left out, and so are headings that are all empty.

        Parameters
        ----------
        columns
            Their heads.
        rows
            The cells, a text for each column.
        caption
            Sentences.
        optional
            Columns that are left out, one after the other, where the terminal is too narrow for all.
        wrapped
            Whether the cells are sentences or lists, which are wrapped between words.
        """
        if self.json:
            return
        if caption:
            self.note(caption)
        cells = [list(map(printable, row)) for row in rows]
        widths = [
            max(map(cell_len, [column, *column_cells]))
            for column, *column_cells in zip(columns, *cells, strict=True)
        ]
        left_out: list[str] = []
        shown = [index for index in range(len(columns)) if any(row[index] != "-" for row in cells)]
        for name in (each for each in optional if each in [columns[index] for index in shown]):
            if sum(widths[index] for index in shown) + _GAP * (len(shown) - 1) <= self.out.width:
                break
            left_out.append(name)
            shown = [index for index in shown if columns[index] != name]
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=any(columns))
        for number, index in enumerate(shown):
            justify: JustifyMethod = "left" if number == 0 or not columns[index] else "right"
            table.add_column(columns[index], justify=justify, overflow="fold")
        for row in cells:
            table.add_row(*(row[index] for index in shown))
        self.out.print(table, soft_wrap=not wrapped)
        if left_out:
            self.note(f"Left out in this narrow terminal: {', '.join(left_out)}.")

    @contextmanager
    def working(self) -> Iterator[None]:
        """Show progress bars in a ``with`` block, if stderr is a terminal."""
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
        """Update a progress bar; without a terminal, print a line every 30 seconds and at the end."""
        shown = "  ".join(
            f"{name} {percent(value) if name.endswith('accuracy') else rounded(value)}"
            for name, value in (values or {}).items()
        )
        if self._bar is not None:
            if label not in self._tasks:
                # Steps of an earlier process don't count for the speed and the time left.
                self._tasks[label] = self._bar.add_task(label, total=total, completed=done, values=shown)
            self._bar.update(self._tasks[label], completed=done, total=total, values=shown)
            if done >= total:  # another run may have a bar of the same name, which is to start anew
                self._bar.remove_task(self._tasks.pop(label))
        elif (done == total and values) or time.monotonic() - self._last_line > _LINE_EVERY:
            self._last_line = time.monotonic()
            self.note(f"{label} {done}/{total}  {shown}".rstrip())


def printable(text: str) -> str:
    """Escape characters that could control a terminal; names from data sets may have some."""
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)


def fail(message: str, code: int, *, as_json: bool) -> None:
    """Print an error on stderr, and with ``--json`` also an object on stdout, where these can be written."""
    with suppress(OSError):
        if as_json:
            print(json.dumps({"error": {"code": code, "message": message}}), flush=True)
    with suppress(OSError):
        RichConsole(stderr=True, highlight=False, soft_wrap=True).print(
            printable(f"rcig: {message}"), style="red" if code < 128 else "", markup=False
        )
    with suppress(OSError):
        sys.stdout.flush()
