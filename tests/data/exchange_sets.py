"""Distilled sets that the tests of import and export share."""

import importlib.util
from dataclasses import replace

import numpy as np

from rcig_cli.data.exchange.formats import EXPORTS, read_file
from rcig_cli.data.exchange.imported_set import check_set
from rcig_cli.data.exchange.records import DatasetInfo, ExportedSet
from tests.data.examples import fit, natural_images

_TORCH = importlib.util.find_spec("torch")  # PyTorch is no dependency of rcig
# The formats that hold a set of any data set, and that can be written here.
WRITABLE = {
    name: form for name, form in EXPORTS.items() if name != "dd-ranking" and (_TORCH or name != "torch")
}
NAMES = ("cat", "dog", "T-shirt/top")


def dataset_info(channels=3, side=4, **changes):
    return replace(DatasetInfo("pets", (side, side, channels), NAMES, 60), **changes)


def exported_set(ipc=2, channels=3, side=4, class_names=NAMES, seed=0):
    """A set with a negative zero and a denormal number, which only a copy of all bits keeps."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(len(class_names), dtype=np.int32), ipc)
    images = rng.normal(size=(len(classes), side, side, channels)).astype(np.float32)
    images[0, 0, 0, 0], images[-1, -1, -1, -1] = -0.0, 1e-41
    labels = np.eye(len(class_names))[classes] - 1 / len(class_names) + rng.normal(size=(len(classes), 1)) / 9
    whitening = fit(natural_images(50, side, channels), zca=channels == 3)
    return ExportedSet(
        "run_7", "pets", class_names, images, labels.astype(np.float32), classes, whitening=whitening
    )


SETTINGS = {"parametrization": "multiformation", "ipc": 1, "factor": 2}


def parametrized_set():
    """A set of 4 images per class, and what it stores: here just any arrays of two shapes."""
    rng = np.random.default_rng(1)
    stored = {"some": rng.normal(size=(3, 4, 4, 3)), "more": rng.normal(size=(12, 5))}
    floats = {name: array.astype(np.float32) for name, array in stored.items()}
    return replace(exported_set(ipc=4), stored=floats, parametrization=SETTINGS)


def write(folder, name, given):
    """Export a set in a format; return the path."""
    form = EXPORTS[name]
    path = folder / f"set{form.suffix}"
    if form.is_folder:
        path.mkdir()
    form.write(path, given)
    return path


def read(path, info=None, space=None, index=None, class_names=None):
    """Import a set from a path."""
    info = info or dataset_info()
    return check_set(read_file(path, info, index), info, space, class_names)


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def published_state(images, labels, **more):
    """A training state as the published runs of RCIG saved theirs: Flax's MessagePack."""
    import flax.serialization

    pair = {"x_proto": images, "y_proto": labels}
    state = {
        "step": 9,
        "params": {"x_proto": images + 1, "y_proto": labels, "log_temp": np.zeros((), np.float32)},
        "ema_average": pair,
        "opt_state": {"0": {"mu": pair, "nu": [1.5, "text", None, True, b"bytes"]}, "1": {}},
    }
    changed = {key: value for key, value in {**state, **more}.items() if value is not None}
    return flax.serialization.msgpack_serialize(changed)
