"""The types that the functions of the Python API return, with their display in terminals and notebooks."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError
from rcig_cli.presets.classes import chosen_classes
from rcig_cli.presets.set_size import SetSize
from rcig_cli.reporting.formatting import (
    ATTACKS,
    TARGETS,
    describe_dataset,
    describe_images,
    describe_run,
    describe_size,
)
from rcig_cli.runs.evaluate.results import Evaluation, Spread
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.sweep.table import describe_settings
from rcig_cli.store.results import read_results
from rcig_cli.store.store import Store

if TYPE_CHECKING:
    from PIL import Image

    from rcig_cli.reporting.figures.canvas import Heading
    from rcig_cli.runs.distill.distilled import DistilledSet
    from rcig_cli.store.records import RunManifest

Floats = npt.NDArray[np.float32]


class Dataset(Prepared):
    """A prepared data set: ``name``, ``class_names``, ``shape``, ``sizes``, ``whitened``, ``notes``."""

    @property
    def store(self) -> Store:
        """The store that it is in."""
        return Store(self.path.parent.parent)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was assumed when the images were read."""
        return tuple(note["text"] for note in self.manifest.source["notes"])

    def split(self, name: str = "train") -> tuple[Floats, npt.NDArray[np.int32]]:
        """Read the images as networks see them, float32 ``[N, H, W, c]``, and the labels, int32 ``[N]``."""
        return super().split(name)

    def pixels(self, images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Undo standardization and whitening: float ``[n, H, W, c]`` to uint8, in natural colours."""
        return self.whitening().pixels(images)

    def __repr__(self) -> str:
        return f"Dataset {self.name}: {describe_dataset(self.manifest)}"


@dataclass(frozen=True, eq=False)
class Attack:
    """Membership inference attacks on networks trained on real images, a random subset and a distilled set.

    Attributes
    ----------
    run
        The name of the run whose distilled set was attacked, or the names of several.
    document
        The whole record, as ``rcig mia --json`` prints it.
    """

    run: str
    document: Mapping[str, Any]

    @property
    def accuracy(self) -> dict[str, Spread]:
        """Test accuracy of the attacked networks, for each training set."""
        return {
            name: Spread.from_json(target["accuracy"]) for name, target in self.document["targets"].items()
        }

    @property
    def auc(self) -> dict[str, dict[str, Spread]]:
        """Area under the ROC curve for each training set and attack; 0.5 is chance.

        The training sets are ``"real"``, ``"random_subset"`` and ``"distilled"``.  Where runs by several
        methods were attacked together, the last is replaced by one for each method, such as
        ``"set by dm"``.
        """
        return {
            name: {attack: Spread.from_json(found) for attack, found in target["auc"].items()}
            for name, target in self.document["targets"].items()
        }

    def __repr__(self) -> str:
        lines = [f"AUC of membership inference attacks on {self.run} (0.5 is chance):"]
        for name, found in self.auc.items():
            aucs = ", ".join(f"{ATTACKS[attack]} {auc.decimal}" for attack, auc in found.items())
            lines.append(f"  {TARGETS.get(name, name)}: {aucs}")
        return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class Sweep:
    """The results of a sweep.

    Attributes
    ----------
    name
        The name of the sweep in the store; None if only finished runs were wanted, and no sweep of these runs
        was started.
    rows
        One for each combination of the swept settings and each protocol, over all seeds: ``settings``,
        ``protocol``, ``accuracy``, ``runs`` and so on, as ``rcig sweep --json`` prints them.
    random_subsets
        The accuracies of networks trained on random real images, by each protocol.
    figures
        The plots, PNG files; none where only finished runs were wanted.
    left_out
        The runs that are missing: there was not enough time or memory for them, or only finished ones were
        wanted.
    """

    name: str | None
    rows: Sequence[Mapping[str, Any]]
    random_subsets: Sequence[Mapping[str, Any]]
    figures: tuple[Path, ...]
    left_out: tuple[str, ...]

    def __repr__(self) -> str:
        lines = [f"{self.name or 'Sweep'}: test accuracy"]
        several = len({row["protocol_label"] for row in self.rows}) > 1
        for row in self.rows:
            parts = [describe_settings(row["settings"]), row["protocol_label"] if several else ""]
            accuracy = Spread.from_json(row["accuracy"]).percent if row["accuracy"] else "diverged"
            lines.append(
                f"  {', '.join(filter(None, parts)) or 'single run'}: {accuracy} ({', '.join(row['runs'])})"
            )
        if self.left_out:
            lines.append(f"  incomplete, without {'; '.join(self.left_out)}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, repr=False)
class DistilledArrays:
    """A distilled set in memory; see `distill_arrays`.

    Attributes
    ----------
    images
        As networks see them (standardized, whitened), float32 ``[n, H, W, c]``; decoded.
    stored
        The arrays from which the images are decoded, by name, float32; ``images`` alone in a raw set.
    size
        Bytes of the stored arrays and of the labels, and number of images.
    labels
        Learned soft labels, float32 ``[n, C]``; they start as one-hot labels minus their mean, 1/C.
    classes
        The class that each image started from, int32 ``[n]``.
    config
        Every setting, by name.
    metrics
        What each outer step reported: a float64 array ``[steps]`` for each name.
    class_names
        One name for each class, in the order of the labels.
    whitening
        The map between pixels and network inputs.
    """

    images: Floats
    stored: Mapping[str, Floats]
    size: SetSize
    labels: Floats
    classes: npt.NDArray[np.int32]
    config: Mapping[str, Any]
    metrics: Mapping[str, npt.NDArray[np.float64]]
    class_names: tuple[str, ...]
    whitening: Whitening

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the images in natural colours, uint8 ``[n, H, W, c]``."""
        return self.whitening.pixels(self.images)

    def grid(self) -> "Image.Image":
        """Draw all images with the names of their classes."""
        return _grid(self)

    def inputs(self, x: npt.NDArray[np.uint8]) -> Floats:
        """Standardize and whiten other images the same way, such as test images.

        Parameters
        ----------
        x
            uint8 from 0 to 255, ``[n, H, W, c]`` or, if grey, ``[n, H, W]``.

        Returns
        -------
        ndarray
            float32 ``[n, H, W, c]``.

        Raises
        ------
        ConfigError
            If they have another type or shape.
        """
        images = x if x.ndim == 4 else x[..., None]
        if images.dtype != np.uint8 or images.shape[1:] != self.images.shape[1:]:
            expected = ", ".join(map(str, self.images.shape[1:]))
            raise ConfigError(
                f"x has the shape {x.shape} and the type {x.dtype}: pass uint8 from 0 to 255, "
                f"[n, {expected}]."
            )
        return self.whitening.apply(images)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return (
            f"Distilled arrays: {describe_images(self.config)}, "
            f"{len(self.class_names)} classes, {shape}, {describe_size(self.size)}"
        )

    def _repr_html_(self) -> str:
        return _with_grid(self)


class Run:
    """A run in a store: settings, status and, once finished, the distilled set.

    Attributes
    ----------
    name
        Such as ``"run_1"``.
    path
        Its folder.
    manifest
        Its manifest, as it was when the run was loaded.
    store
        The store that it is in.
    """

    def __init__(self, store: Store, manifest: "RunManifest") -> None:
        self.store = store
        self.name, self.manifest = manifest.name, manifest
        self.path: Path = store.run_path(manifest.name)

    @property
    def status(self) -> str:
        """``"running"``, ``"interrupted"``, ``"finished"`` or ``"failed"``."""
        return self.store.with_current_status(self.manifest).status

    @property
    def step(self) -> int:
        """Number of outer steps done."""
        return self.manifest.step

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.manifest.dataset

    @property
    def config(self) -> dict[str, Any]:
        """Every setting, by name."""
        return dict(self.manifest.config)

    @cached_property
    def distilled(self) -> "DistilledSet":
        """The distilled set and the data set that it was distilled from; its checksums are verified.

        Raises
        ------
        NotFound
            If the run is not finished.
        Corrupt
            If a file is damaged.
        """
        from rcig_cli.runs.distill.distilled import open_distilled

        return open_distilled(self.store, self.name)

    @property
    def images(self) -> Floats:
        """Distilled images, decoded, as networks see them (whitened), float32 ``[n, H, W, c]``."""
        return self.distilled.images

    @property
    def stored(self) -> dict[str, Floats]:
        """The arrays from which the images are decoded, by name, float32; ``images`` alone in a raw set."""
        return dict(self.distilled.stored)

    @property
    def size(self) -> SetSize:
        """Bytes of the stored arrays and of the labels, and number of images."""
        return self.distilled.size

    @property
    def labels(self) -> Floats:
        """Learned soft labels, float32 ``[n, C]``; they start as one-hot labels minus their mean, 1/C."""
        return self.distilled.labels

    @property
    def classes(self) -> npt.NDArray[np.int32]:
        """The class that each image started from, int32 ``[n]``."""
        return self.distilled.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        names = self.store.dataset(self.dataset).class_names
        return tuple(names[number] for number in chosen_classes(self.config.get("classes"), names))

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the images in natural colours, uint8 ``[n, H, W, c]``."""
        return self.distilled.prepared.whitening().pixels(self.images)

    def grid(self) -> "Image.Image":
        """Draw all images with the names of their classes, under a title with the test accuracy."""
        from rcig_cli.reporting.visualize import heading_of

        return _grid(self, heading_of(self.distilled))

    def metrics(self) -> dict[str, npt.NDArray[np.float64]]:
        """Read what each outer step reported: a float64 array ``[steps]`` for each name, and ``step``."""
        from rcig_cli.reporting.figures.curves import columns_of
        from rcig_cli.store.metrics import METRICS, MetricsLog

        return columns_of(MetricsLog(self.path / METRICS).read())

    def evaluations(self) -> list[Evaluation]:
        """Read all evaluations of this run, the oldest first."""
        found = read_results(self.path, "evaluations").found
        return [Evaluation.from_json(self.name, document) for document in found]

    def attacks(self) -> list[Attack]:
        """Read all membership inference attacks on this run, the oldest first."""
        found = read_results(self.path, "attacks").found
        return [Attack(self.name, document) for document in found if "protocol" in document]

    def __repr__(self) -> str:
        status = "" if self.manifest.imported else f", {self.status}"
        return f"Run {self.name}: {describe_run(self.manifest)}{status}"

    def _repr_html_(self) -> str:
        return _with_grid(self) if self.status == "finished" else f"<p>{html.escape(repr(self))}</p>"


def _grid(shown: DistilledArrays | Run, heading: "Heading | None" = None) -> "Image.Image":
    from rcig_cli.reporting.figures.grid import draw_grid

    return draw_grid(shown.pixels(), shown.classes, shown.class_names, heading=heading)


def _with_grid(shown: DistilledArrays | Run) -> str:
    from rcig_cli.reporting.figures.canvas import encode_png
    from rcig_cli.reporting.html_page import embedded

    image = '<img alt="distilled images by class" width="{width}" src="{source}">'
    return f"<p>{html.escape(repr(shown))}</p>{image.format(**embedded(encode_png(_grid(shown))))}"
