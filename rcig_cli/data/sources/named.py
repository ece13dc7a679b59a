"""Published data sets, through TensorFlow Datasets (TFDS).

TFDS needs TensorFlow to download a data set and to build its files.  They are built in a format that is
then read without TensorFlow; files that TFDS built earlier in its older format are read with it.  The
files lie where TFDS keeps them, or in the folder that ``TFDS_DATA_DIR`` names, and their order is fixed.

TFDS would decode pictures by whichever library it finds; here ``rcig_cli.data.images.picture`` does, so that
a data set has the same pixels on every machine, and in every layout that holds the same files.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.data.images.picture import read_picture
from rcig_cli.data.images.quiet import quiet
from rcig_cli.data.sources.class_names import readable
from rcig_cli.data.sources.known import KNOWN, KnownDataset
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Split
from rcig_cli.errors import ConfigError, Corrupt, RcigError

_FILE_FORMAT = "array_record"

_OWN_COPY = "pass your own copy with --from FILE.npz"

# How long a server may take to answer at all, in seconds: TFDS itself would try on for many minutes.
_PATIENCE = 15.0


class NamedSource(ImageSource):
    """A data set that TFDS has prepared.

    Parameters
    ----------
    known
        What is known about it.
    builder
        Its TFDS builder.
    resolution
        Side in pixels that the user asked for; the published one if None.
    """

    def __init__(self, known: KnownDataset, builder: Any, resolution: int | None) -> None:
        side = resolution or known.shape[0]
        self._builder = builder
        self._split_names: dict[Split, str] = {"train": "train", "test": known.test_split}
        super().__init__(
            known.name,
            class_names=readable(builder.info.features["label"].names),
            shape=(side, side, known.shape[2]),
            sizes={split: builder.info.splits[self._split_names[split]].num_examples for split in SPLITS},
            notes=_notes(known),
        )

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in the order of the prepared files; see ``ImageSource.batches``."""
        where = f"{self.name} in {self._builder.data_dir}"
        with _reading(where):
            records = iter(_records(self._builder, self._split_names[split], self.name))
        while True:
            with _reading(where):
                some = list(itertools.islice(records, size))
            if not some:
                return
            yield self._batch(some, Path(where))

    def _batch(self, records: list[dict[str, Any]], where: Path) -> Batch:
        side, _, channels = self.shape
        pictures = [
            read_picture(where, channels == 1, bytes(record["image"]), side=side) for record in records
        ]
        labels = np.array([record["label"] for record in records], dtype=np.int32)
        return Batch(np.stack(pictures), labels)


def open_named(known: KnownDataset, resolution: int | None = None) -> ImageSource:
    """Open a published data set, downloading it first if need be.

    Parameters
    ----------
    known
        Which one; it has a name in TFDS.
    resolution
        Side in pixels that images are brought to, the published one if None.

    Returns
    -------
    ImageSource
        The published training split, and the published test split, or its validation split where that
        is what is reported on.

    Raises
    ------
    ConfigError
        If it has to be downloaded and TensorFlow is missing.
    RcigError
        If the download fails.
    Corrupt
        If the prepared files are damaged.
    """
    with _reading(f"{known.name} as TensorFlow Datasets keeps it"):
        builder = _builder(known)
        if not builder.is_prepared():
            builder = _builder(known, file_format=_FILE_FORMAT)
            _download(builder, known.name)
        return NamedSource(known, builder, resolution)


def _notes(known: KnownDataset) -> tuple[str, ...]:
    if known.test_split == "test":
        return ()
    return (f"The published {known.test_split} split of {known.name} serves as its test split.",)


@contextlib.contextmanager
def _reading(where: str) -> Iterator[None]:
    """Keep silent, and say in one sentence if files can't be read."""
    try:
        with quiet():
            yield
    except RcigError:
        raise
    # The readers below TFDS raise errors of many kinds on damaged files.
    except Exception as error:
        raise Corrupt(
            f"{where} can't be read ({_brief(error)}): remove it and prepare it again, or {_OWN_COPY}."
        ) from error


def _builder(known: KnownDataset, **options: str) -> Any:
    import tensorflow_datasets as tfds

    # TFDS reads the variable when it is imported, which may have been long ago.
    return tfds.builder(known.tfds, data_dir=os.environ.get("TFDS_DATA_DIR"), **options)


def _download(builder: Any, name: str) -> None:
    _import_tensorflow(name)
    for package in KNOWN[name].builders_need if name in KNOWN else ():
        if importlib.util.find_spec(package) is None:
            raise ConfigError(_missing(name, package))
    try:
        _check_reachable(builder.url_infos or {})
        _prepare(builder)
    except ModuleNotFoundError as error:
        # What TFDS itself raises for packages that it imports late has no name.
        named = re.search(r"No module named '([\w.]+)'", str(error))
        raise ConfigError(_missing(name, error.name or (named.group(1) if named else "more"))) from error
    # Between the network, the archive and the disk, errors of every kind are possible.
    except Exception as error:
        raise RcigError(
            f"{name} could not be downloaded ({_brief(error)}): check the connection and the disk and "
            f"try again, or {_OWN_COPY}."
        ) from error


def _prepare(builder: Any) -> None:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    # The ready-made copies in the cloud are in the older format, which only TensorFlow reads.
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config)


def _import_tensorflow(name: str) -> Any:
    try:
        import tensorflow
    except ImportError as error:
        raise ConfigError(_missing(name, "TensorFlow")) from error
    # It would otherwise reserve the memory of every GPU, and here it only reads files.
    with contextlib.suppress(RuntimeError):
        tensorflow.config.set_visible_devices([], "GPU")
    return tensorflow


def _missing(name: str, package: str) -> str:
    download = KNOWN[name].download if name in KNOWN else None
    own = f"unpack {download[0]} and pass --from {download[1]}" if download else _OWN_COPY
    remedy = (
        "\"pip install 'rcig-cli[tfds]'\"" if package != "cv2" else '"pip install opencv-python-headless"'
    )
    return (
        f"{name} comes through TensorFlow Datasets, which needs {package} to download it: "
        f"type {remedy}, or {own}."
    )


def _check_reachable(urls: Iterable[str]) -> None:
    for url in itertools.islice(urls, 1):
        request = urllib.request.Request(url, method="HEAD")
        # A server that answers, if only to refuse this kind of question, is there.
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=_PATIENCE).close()


def _records(builder: Any, split: str, name: str) -> Iterable[dict[str, Any]]:
    import tensorflow_datasets as tfds

    pictures = [key for key, kind in builder.info.features.items() if isinstance(kind, tfds.features.Image)]
    decoders = {key: tfds.decode.SkipDecoding() for key in pictures}
    try:
        records: Iterable[dict[str, Any]] = builder.as_data_source(split, decoders=decoders)
    except NotImplementedError:
        _import_tensorflow(name)
        found = builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)
        records = found.as_numpy_iterator()
    return records


def _brief(error: BaseException) -> str:
    first, *_ = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first[:160]}".removesuffix(": ")
