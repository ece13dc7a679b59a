"""Published data sets, through TensorFlow Datasets (TFDS).

TFDS needs TensorFlow to download a data set and to build its files.  They are built in a format that can be
read without TensorFlow; files that TFDS built earlier in its older format are read with TensorFlow.  The
files are in TFDS's own folder, or in the one that ``TFDS_DATA_DIR`` names, and their order is fixed.

TFDS decodes images with a library that depends on the machine.  Here `rcig_cli.data.images.picture` decodes
them instead, so that a data set has the same pixels on every machine and in every format.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import re
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.data.images.picture import read_picture
from rcig_cli.data.sources.class_names import readable
from rcig_cli.data.sources.known import KnownDataset
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Note, Split
from rcig_cli.errors import ConfigError, Corrupt, RcigError

_FILE_FORMAT = "array_record"
_OWN_COPY = "pass your own copy with --from FILE.npz"
_TIMEOUT = 15.0  # seconds to wait for a server; TFDS itself would retry for many minutes


class TfdsSource(ImageSource):
    """A data set that TFDS has prepared, read through its TFDS builder; see `open_tfds`."""

    def __init__(self, known: KnownDataset, builder: Any, resolution: int | None) -> None:
        side = resolution or known.shape[0]
        self._known, self._builder = known, builder
        self._split_names: dict[Split, str] = {"train": "train", "test": known.test_split}
        note = Note("splits", f"The published {known.test_split} split of {known.name} is its test split.")
        super().__init__(
            known.name,
            class_names=readable(builder.info.features["label"].names),
            shape=(side, side, known.shape[2]),
            sizes={split: builder.info.splits[self._split_names[split]].num_examples for split in SPLITS},
            notes=() if known.test_split == "test" else (note,),
        )

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in the order of the prepared files; see `ImageSource.batches`."""
        where = f"{self.name} in {self._builder.data_dir}"
        with _reading(where):
            records = iter(_records(self._builder, self._split_names[split], self._known))
        while True:
            with _reading(where):
                some = list(itertools.islice(records, size))
            if not some:
                return
            yield self._batch(some, Path(where))

    def _batch(self, records: list[dict[str, Any]], where: Path) -> Batch:
        side, _, channels = self.shape
        images = [read_picture(where, channels == 1, bytes(record["image"]), side=side) for record in records]
        return Batch(np.stack(images), np.array([record["label"] for record in records], dtype=np.int32))


def open_tfds(known: KnownDataset, resolution: int | None = None) -> ImageSource:
    """Open a published data set that TFDS has, downloading it first if necessary.

    Images are resized to a side of ``resolution`` pixels, by default the published one.

    Raises
    ------
    ConfigError
        If it has to be downloaded and TensorFlow is missing.
    RcigError
        If the download fails.
    Corrupt
        If the prepared files are damaged.
    """
    with _reading(f"The TensorFlow Datasets copy of {known.name}"):
        builder = _builder(known)
        if not builder.is_prepared():
            builder = _builder(known, file_format=_FILE_FORMAT)
            _download(builder, known)
        return TfdsSource(known, builder, resolution)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress log lines, warnings and prints of TensorFlow and TFDS; errors pass through unchanged."""
    # TensorFlow reads these once, when it is first imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _reading(where: str) -> Iterator[None]:
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

    # TFDS itself reads the variable only when it is imported.
    return tfds.builder(known.tfds, data_dir=os.environ.get("TFDS_DATA_DIR"), **options)


def _download(builder: Any, known: KnownDataset) -> None:
    _import_tensorflow(known)
    try:
        _check_reachable(builder.url_infos or {})
        _prepare(builder)
    except ModuleNotFoundError as error:
        # TFDS imports some packages late, and its error for these has no name.
        found = re.search(r"No module named '([\w.]+)'", str(error))
        raise ConfigError(_missing(known, error.name or (found.group(1) if found else "more"))) from error
    # The network, the archive and the disk can cause errors of every kind.
    except Exception as error:
        raise RcigError(
            f"{known.name} could not be downloaded ({_brief(error)}): check the connection and the disk and "
            f"try again, or {_OWN_COPY}."
        ) from error


def _prepare(builder: Any) -> None:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    # The prepared copies in the cloud are in the older format, which only TensorFlow reads.
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config)


def _import_tensorflow(known: KnownDataset) -> None:
    try:
        import tensorflow
    except ImportError as error:
        raise ConfigError(_missing(known, "TensorFlow")) from error
    # TensorFlow only reads files here, but would reserve the memory of every GPU.
    with contextlib.suppress(RuntimeError):
        tensorflow.config.set_visible_devices([], "GPU")


def _missing(known: KnownDataset, package: str) -> str:
    own = f"unpack {known.download[0]} and pass --from {known.download[1]}" if known.download else _OWN_COPY
    install = "opencv-python-headless" if package == "cv2" else "'rcig-cli[tfds]'"
    return (
        f"{known.name} comes through TensorFlow Datasets, which needs {package} to download it: "
        f'run "pip install {install}", or {own}.'
    )


def _check_reachable(urls: Iterable[str]) -> None:
    for url in itertools.islice(urls, 1):
        request = urllib.request.Request(url, method="HEAD")
        # A server that answers at all is reachable, even if it refuses this kind of request.
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=_TIMEOUT).close()


def _records(builder: Any, split: str, known: KnownDataset) -> Iterable[dict[str, Any]]:
    import tensorflow_datasets as tfds

    pictures = [key for key, kind in builder.info.features.items() if isinstance(kind, tfds.features.Image)]
    decoders = {key: tfds.decode.SkipDecoding() for key in pictures}
    try:
        records: Iterable[dict[str, Any]] = builder.as_data_source(split, decoders=decoders)
    except NotImplementedError:
        _import_tensorflow(known)
        found = builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)
        records = found.as_numpy_iterator()
    return records


def _brief(error: BaseException) -> str:
    first, *_ = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first[:160]}".removesuffix(": ")
