"""What a run in progress is doing, for readers in other processes.

``progress.json`` in the folder of a run is replaced about once a second while a process works on the run, and
removed when the process ends.  It is not durable and not needed to resume: a reader that finds the run's lock
free ignores it.
"""

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROGRESS = "progress.json"
DISTILLING = "distilling"  # the label of the stage of outer steps
BATCH_ACCURACY = "batch accuracy"  # one of its values, of methods that have it


@dataclass(frozen=True)
class Progress:
    """How much of a stage of a run is done.

    Attributes
    ----------
    label
        The stage, such as "distilling".
    done, total
        Parts of the stage, such as outer steps.
    values
        Metrics by name, as a progress bar shows them.
    seconds_left
        Estimated time until the stage ends; None if it is not known yet.
    """

    label: str
    done: int
    total: int
    values: Mapping[str, float]
    seconds_left: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; a value that is not finite is left out."""
        values = {name: value for name, value in self.values.items() if math.isfinite(value)}
        return {**asdict(self), "values": values}


def write_progress(run_path: Path, progress: Progress) -> None:
    """Write the progress of a run; a file that can't be written is left out."""
    temporary = run_path / ".tmp-progress"
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(progress.to_json()))
        temporary.replace(run_path / PROGRESS)


def remove_progress(run_path: Path) -> None:
    """Remove the progress of a run that no process works on any more."""
    with contextlib.suppress(OSError):
        (run_path / PROGRESS).unlink(missing_ok=True)


def read_progress(run_path: Path) -> Progress | None:
    """Return the progress of a run, or None if there is none that can be read."""
    try:
        return Progress(**json.loads((run_path / PROGRESS).read_text()))
    except (OSError, ValueError, TypeError):
        return None
