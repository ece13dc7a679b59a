"""The accuracies after each task of a sequence, as a table.  Needs no JAX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcig_cli.errors import listed
from rcig_cli.reporting.formatting import describe_protocol
from rcig_cli.runs.evaluate.results import Spread

HEAD = ("task", "classes", "accuracy", "random images", "all real images", "run")


@dataclass(frozen=True)
class Stage:
    """Test accuracies on all classes seen after a task.

    Attributes
    ----------
    classes
        The names of the task's classes.
    run
        The run that distilled them.
    seen
        Number of classes of this and all earlier tasks.
    images
        Number of distilled images of these.
    accuracy
        Of networks trained on the distilled sets of all tasks so far.
    random_subset
        Of networks trained on random real images, ``ipc`` of each class: a lower bound.
    full_data
        Of networks trained on all real images of the classes: an upper bound.
    """

    classes: tuple[str, ...]
    run: str
    seen: int
    images: int
    accuracy: Spread
    random_subset: Spread
    full_data: Spread

    def to_json(self) -> dict[str, Any]:
        """Return the stage as JSON values."""
        return {
            "classes": list(self.classes),
            "run": self.run,
            "seen": self.seen,
            "images": self.images,
            "accuracy": self.accuracy.to_json(),
            "random_subset": self.random_subset.to_json(),
            "full_data": self.full_data.to_json(),
        }


@dataclass(frozen=True, repr=False)
class Continual:
    """The accuracies of continual learning.

    Attributes
    ----------
    name
        The name of the sequence of tasks in the store.
    dataset, algorithm
        What was distilled, and the method.
    protocol
        How the networks were trained: every setting of `EvaluationProtocol`.
    stages
        The accuracies after each task.
    figure
        The plot, a PNG file.
    """

    name: str
    dataset: str
    algorithm: str
    protocol: Mapping[str, Any]
    stages: tuple[Stage, ...]
    figure: Path

    def to_json(self) -> dict[str, Any]:
        """Return all but the plot as JSON values."""
        return {
            "sequence": self.name,
            "dataset": self.dataset,
            "algorithm": self.algorithm,
            "protocol": dict(self.protocol),
            "tasks": [stage.to_json() for stage in self.stages],
        }

    def __repr__(self) -> str:
        rows = [HEAD, *rows_of(self.to_json()["tasks"])]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        title = f"{self.name} of {self.dataset}, by {self.algorithm}: test accuracy"
        return "\n".join([title, *lines, f"({describe_protocol(self.protocol)})"])


def rows_of(stages: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the cells of the table under `HEAD`, of stages as `Stage.to_json` returns them."""
    return [
        (
            str(number),
            listed(stage["classes"]),
            *(Spread.from_json(stage[each]).percent for each in ("accuracy", "random_subset", "full_data")),
            stage["run"],
        )
        for number, stage in enumerate(stages, 1)
    ]
