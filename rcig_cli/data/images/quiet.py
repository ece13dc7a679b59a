"""Silence around libraries that talk: TensorFlow, TensorFlow Datasets and what they import; and Pillow."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep log lines, warnings and prints away from the user while the block runs.

    Errors raised in the block pass through unchanged.
    """
    # TensorFlow reads these once, when it is first imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@functools.cache
def hush_pillow() -> None:
    """Keep what Pillow and its TIFF library say of damaged files away from the user: errors of ours say it.

    The library writes to the process's standard error by itself; where it is can only be told on Linux.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(OSError, AttributeError):
        from PIL import _imaging  # noqa: F401, so that the library is loaded

        loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        for path in loaded:
            if Path(path).name.startswith("libtiff"):
                ctypes.CDLL(path).TIFFSetErrorHandler(None)
