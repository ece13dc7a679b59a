"""Prepare a data set: real images in, arrays that networks read out, in the store.

Two streaming passes: the first measures the whitening on the training images, the second writes every image
through it.  Memory depends on the size of an image, not on their number.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rcig_cli.data.known import KNOWN
from rcig_cli.data.opening import open_source
from rcig_cli.data.source import ImageSource
from rcig_cli.data.subset import subset
from rcig_cli.data.whitening import Whitening, fit
from rcig_cli.errors import ConfigError
from rcig_cli.jobs.report import Report
from rcig_cli.store.arrays import ArrayWriter
from rcig_cli.store.digests import digests
from rcig_cli.store.files import aside_folder, place_folder, publish_folder
from rcig_cli.store.layout import Store
from rcig_cli.store.manifest import DatasetManifest, now, versions, write_manifest

ARRAYS = "arrays.zarr"

_BATCH = 512  # images in memory at a time
_SPLITS: tuple[Literal["train"], Literal["test"]] = ("train", "test")


@dataclass(frozen=True)
class PrepareConfig:
    """Every setting of a preparation.

    Attributes
    ----------
    name
        What the data set is called in the store.
    path
        Where the user's own data are, absolute; None for a named set.
    resolution
        Side in pixels to which images are brought; None keeps theirs.
    zca
        Whether to whiten; None: RGB images are, grey ones aren't.
    zca_reg
        Regularisation of the whitening, as a share of the average eigenvalue.
    subset, chunk
        Keep only the chunk-th (from 0) of disjoint, class-balanced groups of this many training images.
    """

    name: str
    path: str | None = None
    resolution: int | None = None
    zca: bool | None = None
    zca_reg: float = 0.1
    subset: int | None = None
    chunk: int = 0


def prepare(
    store: Store, config: PrepareConfig, report: Report, *, overwrite: bool = False
) -> DatasetManifest:
    """Prepare a data set, or return the one that is there if it was prepared the same way.

    Raises
    ------
    ConfigError
        If one of that name was prepared another way and ``overwrite`` is not set, or the data can't be used.
    NotFound, Corrupt
        If the data are missing or damaged.
    """
    if store.dataset_path(config.name).exists() and not overwrite:
        return _already_there(store, config, report)
    source = open_source(config.name, Path(config.path) if config.path else None, config.resolution)
    if config.subset is not None:
        source = subset(source, config.subset, config.chunk)
    elif config.chunk:
        raise ConfigError("--chunk picks one of the groups that --subset makes: give --subset as well.")
    for sentence in source.notes:
        report.note(sentence)
    with aside_folder(store.datasets_path) as aside:
        manifest = _write(aside, source, config, report)
        put = place_folder if overwrite else publish_folder
        put(aside, store.dataset_path(config.name))
    return manifest


def _already_there(store: Store, config: PrepareConfig, report: Report) -> DatasetManifest:
    manifest = store.dataset(config.name)
    asked, found = asdict(config), manifest.config
    changed = [f"{key}: {asked[key]}, not {found.get(key)}" for key in asked if asked[key] != found.get(key)]
    if changed:
        raise ConfigError(
            f"{config.name} is prepared already, another way ({'; '.join(changed)}): "
            "prepare it under another name, or again with --overwrite."
        )
    report.note(f"{config.name} is prepared already, with these settings; --overwrite prepares it again.")
    return manifest


def _write(aside: Path, source: ImageSource, config: PrepareConfig, report: Report) -> DatasetManifest:
    zca = source.shape[2] == 3 if config.zca is None else config.zca
    whitening = _measure(source, zca, config.zca_reg, report)
    _write_arrays(aside / ARRAYS, source, whitening, report)
    manifest = DatasetManifest(
        name=config.name,
        created=now(),
        class_names=source.class_names,
        shape=source.shape,
        sizes=dict(source.sizes),
        whitened=whitening.whitened,
        config=asdict(config),
        source={"from": config.path or "named", "notes": list(source.notes)},
        versions=versions(),
        files=digests(aside),
    )
    write_manifest(aside, manifest)
    return manifest


def _measure(source: ImageSource, zca: bool, regularisation: float, report: Report) -> Whitening:
    known = KNOWN.get(source.name)
    fits = known is not None and len(known.mean) == source.shape[2]
    return fit(
        _images(source, report),
        mean=known.mean if known and fits else None,
        std=known.std if known and fits else None,
        zca=zca,
        regularisation=regularisation,
    )


def _images(source: ImageSource, report: Report) -> Iterator[npt.NDArray[np.uint8]]:
    done, total = 0, source.sizes["train"]
    for batch in source.batches("train", _BATCH):
        yield batch.images
        done += len(batch)
        report.progress("measuring", done, total)


def _write_arrays(path: Path, source: ImageSource, whitening: Whitening, report: Report) -> None:
    measured = {f"whitening/{name}": array for name, array in whitening.arrays().items()}
    declared: dict[str, tuple[tuple[int, ...], Any]] = {
        name: (array.shape, array.dtype) for name, array in measured.items()
    }
    for split in _SPLITS:
        count = source.sizes[split]
        declared[f"{split}/images"] = ((count, *source.shape), np.float32)
        declared[f"{split}/labels"] = ((count,), np.int32)
    total, done = sum(source.sizes[split] for split in _SPLITS), 0
    with ArrayWriter.create(path, declared) as writer:
        for name, array in measured.items():
            writer.append(name, array)
        for split in _SPLITS:
            for batch in source.batches(split, _BATCH):
                writer.append(f"{split}/images", whitening.apply(batch.images))
                writer.append(f"{split}/labels", batch.labels)
                done += len(batch)
                report.progress("writing", done, total)
