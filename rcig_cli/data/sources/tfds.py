"""Data sets of TensorFlow Datasets (TFDS) with the features ``image`` and ``label``: the extra ``tfds``.

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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.data.images.picture import read_picture
from rcig_cli.data.sources.class_names import readable
from rcig_cli.data.sources.known import KNOWN, known_in_tfds
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Note, Split
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError, shorten

_NAME = re.compile(r"\w+(/[\w.+-]+)?(:[\d.]+)?", re.ASCII)  # of a data set, its configuration and its version
_FILE_FORMAT = "array_record"
_OWN_COPY = "pass your own copy with --from PATH"
_TIMEOUT = 15.0  # seconds to wait for a server; TFDS itself would retry for many minutes
_TEST_SPLITS = ("test", "validation")  # the first that exists and has labels
_HELD_OUT = "80%"  # of the training images precede those that are held out where there is neither


class TfdsSource(ImageSource):
    """A data set that TFDS has prepared, read through its TFDS builder; see `open_tfds`."""

    def __init__(self, name: str, builder: Any, shape: tuple[int, int, int], splits: Mapping[Split, str]):
        full_name, test = builder.info.full_name, splits["test"]
        if "[" in test:
            text = (
                f"{full_name} has no labelled test split, so the last fifth of its train split is held out."
            )
        else:
            text = f"The {test} split of {full_name} is its test split."
        super().__init__(
            name,
            class_names=readable(builder.info.features["label"].names),
            shape=shape,
            sizes={split: builder.info.splits[splits[split]].num_examples for split in SPLITS},
            notes=() if test == "test" else (Note("splits", text),),
            origin={"tfds": full_name},
        )
        self._builder, self._splits = builder, splits
        self._where = f"{full_name} in {builder.data_dir}"

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in the order of the prepared files; see `ImageSource.batches`."""
        with _reading(self._where):
            records = iter(_records(self._builder, self._splits[split]))
        while True:
            with _reading(self._where):
                some = list(itertools.islice(records, size))
            if not some:
                return
            yield self._batch(some)

    def _batch(self, records: list[dict[str, Any]]) -> Batch:
        side, _, channels = self.shape
        labels = np.array([record["label"] for record in records], dtype=np.int32)
        if labels.min() < 0:
            raise ConfigError(f"{self._where} has images without a label: it can't be used.")
        images = [
            read_picture(Path(self._where), channels == 1, bytes(record["image"]), side=side)
            for record in records
        ]
        return Batch(np.stack(images), labels)


def open_tfds(name: str, dataset: str, resolution: int | None = None) -> ImageSource:
    """Open a data set of TFDS, downloading it first if necessary.

    Parameters
    ----------
    name
        Its name in the store.
    dataset
        Its name in TFDS, with its configuration if it has several: ``imagenet_resized/64x64``.
    resolution
        Side in pixels; by default the published one of a known data set, or that of all images.

    Raises
    ------
    NotFound
        If TFDS has no such data set.
    ConfigError
        If the extra ``tfds`` is missing, or the data set has no images with labels.
    RcigError
        If the download fails.
    Corrupt
        If the prepared files are damaged.
    """
    published = known_in_tfds(dataset)
    if published and KNOWN.get(name, published) is not published:
        raise ConfigError(
            f"tfds:{dataset} is {published.name}, not {name}: run "
            f"rcig prepare {published.name} --from tfds:{dataset}."
        )
    with _reading(f"The TensorFlow Datasets copy of {dataset}"):
        builder = _builder(dataset)
        shape = _shape(builder, resolution or (published.shape[0] if published else None))
        if not builder.is_prepared():
            builder = _builder(dataset, file_format=_FILE_FORMAT)
            _download(builder)
        return TfdsSource(name, builder, shape, _splits(builder))


def _shape(builder: Any, side: int | None) -> tuple[int, int, int]:
    """Return the shape of the images, ``side`` pixels if that is given."""
    import tensorflow_datasets as tfds

    found = dict(builder.info.features.items())
    image, label = found.get("image"), found.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise ConfigError(f"{builder.info.full_name} has no features image and label: it can't be used.")
    if image.np_dtype != np.uint8:
        raise ConfigError(
            f"{builder.info.full_name} has images of type {np.dtype(image.np_dtype)}, not uint8."
        )
    height, width, channels = image.shape
    side = side or (height if height == width else None)
    if side is None:
        raise ConfigError(f"The images of {builder.info.full_name} differ in size: pass --resolution.")
    return side, side, 1 if channels == 1 else 3


def _splits(builder: Any) -> dict[Split, str]:
    """Choose the splits of TFDS that serve as training and test split."""
    there = builder.info.splits
    if "train" not in there:
        raise ConfigError(f"{builder.info.full_name} has no split train, but {', '.join(there) or 'none'}.")
    for name in _TEST_SPLITS:
        if name in there and all(record["label"] >= 0 for record in _records(builder, f"{name}[:1]")):
            return {"train": "train", "test": name}
    return {"train": f"train[:{_HELD_OUT}]", "test": f"train[{_HELD_OUT}:]"}


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


def _builder(dataset: str, **options: str) -> Any:
    if not _NAME.fullmatch(dataset):
        raise ConfigError(f"{shorten(dataset)} is not a valid name: use tfds:NAME or tfds:NAME/CONFIG.")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ConfigError(_missing(dataset, error.name or "it")) from error
    try:
        # TFDS itself reads the variable only when it is imported.
        return tfds.builder(dataset, data_dir=os.environ.get("TFDS_DATA_DIR"), **options)
    except (ValueError, AssertionError) as error:  # an unknown name, configuration or version
        raise NotFound(
            f"TensorFlow Datasets has no data set {dataset}: see the names in its catalogue."
        ) from error


def _download(builder: Any) -> None:
    name = builder.info.full_name
    _import_tensorflow(name)
    try:
        _check_reachable(builder.url_infos or {})
        _prepare(builder)
    except ModuleNotFoundError as error:
        # TFDS imports some packages late, and its error for these has no name.
        found = re.search(r"No module named '([\w.]+)'", str(error))
        raise ConfigError(_missing(name, error.name or (found.group(1) if found else "more"))) from error
    # The network, the archive and the disk can cause errors of every kind.
    except Exception as error:
        raise RcigError(
            f"{name} could not be downloaded ({_brief(error)}): check the connection and the disk and "
            f"try again, or {_OWN_COPY}."
        ) from error


def _prepare(builder: Any) -> None:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    # The prepared copies in the cloud are in the older format, which only TensorFlow reads.
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config)


def _import_tensorflow(name: str) -> None:
    try:
        import tensorflow
    except ImportError as error:
        raise ConfigError(_missing(name, "tensorflow")) from error
    # TensorFlow only reads files here, but would reserve the memory of every GPU.
    with contextlib.suppress(RuntimeError):
        tensorflow.config.set_visible_devices([], "GPU")


def _missing(name: str, package: str) -> str:
    install = "opencv-python-headless" if package == "cv2" else "'rcig-cli[tfds]'"
    return (
        f'tfds:{name} needs {package}, which is not installed: run "pip install {install}", or {_OWN_COPY}.'
    )


def _check_reachable(urls: Iterable[str]) -> None:
    for url in itertools.islice(urls, 1):
        request = urllib.request.Request(url, method="HEAD")
        # A server that answers at all is reachable, even if it refuses this kind of request.
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=_TIMEOUT).close()


def _records(builder: Any, split: str) -> Iterable[dict[str, Any]]:
    import tensorflow_datasets as tfds

    pictures = [key for key, kind in builder.info.features.items() if isinstance(kind, tfds.features.Image)]
    decoders = {key: tfds.decode.SkipDecoding() for key in pictures}
    try:
        records: Iterable[dict[str, Any]] = builder.as_data_source(split, decoders=decoders)
    except NotImplementedError:
        _import_tensorflow(builder.info.full_name)
        found = builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)
        records = found.as_numpy_iterator()
    return records


def _brief(error: BaseException) -> str:
    first, *_ = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first[:160]}".removesuffix(": ")
