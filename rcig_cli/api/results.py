"""What the functions of the Python API return; each prints itself in a terminal and in a notebook."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rcig_cli.reporting.formatting import TARGETS, count_of, decimal, describe_protocol, percent

if TYPE_CHECKING:
    from PIL import Image

    from rcig_cli.data.whitening.whitening import Whitening
    from rcig_cli.runs.distill.distilled import DistilledSet
    from rcig_cli.store.records import DatasetManifest, RunManifest
    from rcig_cli.store.store import Store

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """A quantity measured on several networks.

    Attributes
    ----------
    mean, std
        Mean and standard deviation over the networks (of the population, as in the papers).
    values
        One value for each network; empty where only mean and deviation are known.
    """

    mean: float
    std: float | None = None
    values: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Score":
        """Read a score from a record of an evaluation or an attack."""
        return cls(document["mean"], document.get("std"), tuple(document.get("values", ())))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared data set.

    Attributes
    ----------
    name
        Its name in the store.
    class_names
        One name for each class, in the order of the labels.
    shape
        Height, width and channels of an image, in pixels.
    sizes
        Number of images in ``"train"`` and in ``"test"``.
    whitened
        Whether the images are whitened (ZCA).
    notes
        What was assumed when the images were read.
    store
        The store that it is in.
    """

    name: str
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    sizes: Mapping[str, int]
    whitened: bool
    notes: tuple[str, ...]
    store: "Store"

    @classmethod
    def from_manifest(cls, store: "Store", manifest: "DatasetManifest") -> "Dataset":
        """Describe a data set of a store."""
        return cls(
            name=manifest.name,
            class_names=manifest.class_names,
            shape=manifest.shape,
            sizes=manifest.sizes,
            whitened=manifest.whitened,
            notes=tuple(manifest.source.get("notes", ())),
            store=store,
        )

    def split(self, name: str = "train") -> tuple[Floats, npt.NDArray[np.int32]]:
        """Read images as networks see them, float32 ``[N, H, W, c]``, and labels, int32 ``[N]``.

        Parameters
        ----------
        name
            ``"train"`` or ``"test"``.
        """
        from rcig_cli.runs.prepare.prepared import open_prepared

        return open_prepared(self.store, self.name).split(name)

    def pixels(self, images: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Undo standardization and whitening: float ``[n, H, W, c]`` to uint8, in natural colours."""
        from rcig_cli.runs.prepare.prepared import open_prepared

        return open_prepared(self.store, self.name).whitening().pixels(images)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        return (
            f"Dataset {self.name}: {self.sizes['train']} training and {self.sizes['test']} test images, "
            f"{len(self.class_names)} classes, {size}{', whitened' if self.whitened else ''}"
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Test accuracy of networks trained on a distilled set.

    Attributes
    ----------
    run
        The run that was evaluated.
    accuracy
        Of networks trained on the distilled set, as a fraction of 1.
    random_subset
        Of networks trained on random real images, as many of each class; None if that was not measured.
    paper
        What the paper reports for this data set and number of images per class; None if nothing.
    protocol
        Architecture, norm, steps, learning rate, seed and so on: every setting of the training.
    """

    run: str
    accuracy: Score
    random_subset: Score | None
    paper: Score | None
    protocol: Mapping[str, Any]

    @classmethod
    def from_json(cls, run: str, document: Mapping[str, Any]) -> "Evaluation":
        """Read the record of an evaluation."""
        random, paper = document["random_subset"], document["paper"]
        return cls(
            run=run,
            accuracy=Score.from_json(document["accuracy"]),
            random_subset=Score.from_json(random) if random else None,
            paper=Score.from_json(paper) if paper else None,
            protocol=document["protocol"],
        )

    def _rows(self) -> list[tuple[str, str]]:
        rows = [(self.run, self.accuracy), ("random subset", self.random_subset), ("paper", self.paper)]
        return [(name, percent(score.mean, score.std)) for name, score in rows if score]

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {score}" for name, score in self._rows())
        return f"Test accuracy: {scores}\n({describe_protocol(self.protocol)})"

    def _repr_html_(self) -> str:
        return _table(("trained on", "test accuracy"), self._rows(), describe_protocol(self.protocol))


@dataclass(frozen=True, eq=False)
class Attack:
    """Membership inference attacks on networks trained on real images, a random subset and a distilled set.

    Attributes
    ----------
    run
        The name of the run whose distilled set was attacked, or the names of several.
    accuracy
        Test accuracy of the attacked networks, for each training set.
    auc
        Area under the ROC curve for each training set (``"real"``, ``"random_subset"``, ``"distilled"``) and
        each attack; 0.5 is chance.
    document
        The whole record, as ``rcig mia --json`` prints it.
    """

    run: str
    accuracy: Mapping[str, Score]
    auc: Mapping[str, Mapping[str, Score]]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Attack":
        """Read the record of an attack."""
        targets = document["targets"]
        return cls(
            run=document["run"],
            accuracy={
                name: Score.from_json(each["accuracy"]) for name, each in targets.items() if each["accuracy"]
            },
            auc={
                name: {attack: Score.from_json(score) for attack, score in each["auc"].items()}
                for name, each in targets.items()
            },
            document=document,
        )

    def __repr__(self) -> str:
        best = {
            target: max(scores.items(), key=lambda each: each[1].mean) for target, scores in self.auc.items()
        }
        found = ", ".join(
            f"{TARGETS[target]} {decimal(score.mean, score.std)} ({attack})"
            for target, (attack, score) in best.items()
        )
        return f"Membership inference on {self.run}, highest AUC (0.5 is chance): {found}"

    def _repr_html_(self) -> str:
        attacks = list(dict.fromkeys(attack for scores in self.auc.values() for attack in scores))
        rows = [
            (
                attack,
                *(decimal(s[attack].mean, s[attack].std) if attack in s else "-" for s in self.auc.values()),
            )
            for attack in attacks
        ]
        heads = ("attack", *(TARGETS[target] for target in self.auc))
        return _table(heads, rows, f"AUC of membership inference attacks on {self.run}; 0.5 is chance")


@dataclass(frozen=True, eq=False)
class DistilledArrays:
    """A distilled set in memory; see `distill_arrays`.

    Attributes
    ----------
    images
        As networks see them (standardized, whitened), float32 ``[n, H, W, c]``.
    labels
        Learned soft labels, float32 ``[n, C]``; they start as one-hot labels less their mean, 1/C.
    classes
        The class that each image started from, int32 ``[n]``.
    config
        Every setting, by name.
    metrics
        What each outer step reported: a float64 array ``[steps]`` for each name.
    class_names
        One name for each class, in the order of the labels.
    """

    images: Floats
    labels: Floats
    classes: npt.NDArray[np.int32]
    config: Mapping[str, Any]
    metrics: Mapping[str, npt.NDArray[np.float64]]
    class_names: tuple[str, ...]
    _whitening: "Whitening"

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the images in natural colours, uint8 ``[n, H, W, c]``."""
        return self._whitening.pixels(self.images)

    def grid(self) -> "Image.Image":
        """Draw all images under the names of their classes."""
        return _grid(self)

    def inputs(self, x: npt.NDArray[np.uint8]) -> Floats:
        """Standardize and whiten other images the same way, such as test images.

        Parameters
        ----------
        x
            uint8 ``[n, H, W, c]`` or, if grey, ``[n, H, W]``.

        Returns
        -------
        ndarray
            float32 ``[n, H, W, c]``.
        """
        return self._whitening.apply(x if x.ndim == 4 else x[..., None])

    def __repr__(self) -> str:
        ipc = count_of(self.config["ipc"], "image")
        size = "x".join(map(str, self.images.shape[1:]))
        return f"Distilled arrays: {ipc} per class, {len(self.class_names)} classes, {size}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{_figure(self)}"


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

    def __init__(self, store: "Store", manifest: "RunManifest") -> None:
        self.store = store
        self.name, self.manifest = manifest.name, manifest
        self.path: Path = store.run_path(manifest.name)

    @property
    def status(self) -> str:
        """``"running"``, ``"interrupted"``, ``"finished"`` or ``"failed"``."""
        return self.manifest.status

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
        """Distilled images as networks see them (standardized, whitened), float32 ``[n, H, W, c]``."""
        return self.distilled.images

    @property
    def labels(self) -> Floats:
        """Learned soft labels, float32 ``[n, C]``; they start as one-hot labels less their mean, 1/C."""
        return self.distilled.labels

    @property
    def classes(self) -> npt.NDArray[np.int32]:
        """The class that each image started from, int32 ``[n]``."""
        return self.distilled.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return self.store.dataset(self.dataset).class_names

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the images in natural colours, uint8 ``[n, H, W, c]``."""
        return self.distilled.prepared.whitening().pixels(self.images)

    def grid(self) -> "Image.Image":
        """Draw all images under the names of their classes."""
        return _grid(self)

    def metrics(self) -> dict[str, npt.NDArray[np.float64]]:
        """Read what each outer step reported: a float64 array ``[steps]`` for each name, and ``step``."""
        from rcig_cli.reporting.figures.curves import columns_of
        from rcig_cli.runs.distill.distill import METRICS
        from rcig_cli.store.metrics import MetricsLog

        return columns_of(MetricsLog(self.path / METRICS).read())

    def evaluations(self) -> list[Evaluation]:
        """Read all evaluations of this run, the oldest first."""
        from rcig_cli.store.results import read_results

        found = read_results(self.path, "evaluations").found
        return [Evaluation.from_json(self.name, document) for document in found]

    def attacks(self) -> list[Attack]:
        """Read all membership inference attacks on this run, the oldest first."""
        from rcig_cli.store.results import read_results

        found = read_results(self.path, "attacks").found
        return [Attack.from_json(document) for document in found if "protocol" in document]

    def __repr__(self) -> str:
        config = self.manifest.config
        state = self.status if self.status == "finished" else f"{self.status} at step {self.step}"
        made = "imported" if self.manifest.imported else f"{config['steps']} steps, {state}"
        return f"Run {self.name}: {count_of(config['ipc'], 'image')} per class of {self.dataset}, {made}"

    def _repr_html_(self) -> str:
        figure = _figure(self) if self.status == "finished" else ""
        return f"<p>{html.escape(repr(self))}</p>{figure}"


def _grid(shown: DistilledArrays | Run) -> "Image.Image":
    from rcig_cli.reporting.figures.grid import draw_grid

    return draw_grid(shown.pixels(), shown.classes, shown.class_names)


def _figure(shown: DistilledArrays | Run) -> str:
    """Return the grid as an HTML image."""
    encoded = io.BytesIO()
    _grid(shown).save(encoded, format="PNG")
    data = base64.b64encode(encoded.getvalue()).decode()
    return f'<img alt="distilled images by class" src="data:image/png;base64,{data}">'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><caption>{html.escape(caption)}</caption>{line(heads, 'th')}{body}</table>"
