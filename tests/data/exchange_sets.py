"""Distilled sets that the tests of import and export share."""

import io
import json
import struct
import zipfile
from dataclasses import replace

import numpy as np

from rcig_cli.data.exchange.foreign import Target
from rcig_cli.data.exchange.outgoing import OutgoingSet
from rcig_cli.data.whitening.whitening import fit
from tests.data.examples import natural_images

NAMES = ("cat", "dog", "T-shirt/top")


def target(channels=3, side=4, **changes):
    return replace(Target("pets", (side, side, channels), NAMES, 60), **changes)


def outgoing(ipc=2, channels=3, side=4, class_names=NAMES, seed=0):
    """A set with numbers that only a bit for bit copy keeps: a negative zero, and one too small for most."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(len(class_names), dtype=np.int32), ipc)
    images = rng.normal(size=(len(classes), side, side, channels)).astype(np.float32)
    images[0, 0, 0, 0], images[-1, -1, -1, -1] = -0.0, 1e-41
    labels = np.eye(len(class_names))[classes] - 1 / len(class_names) + rng.normal(size=(len(classes), 1)) / 9
    whitening = fit([natural_images(50, side, channels)], zca=channels == 3)
    return OutgoingSet(
        "run_7", "pets", class_names, images, labels.astype(np.float32), classes, whitening=whitening
    )


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def published(state, chunk=None, monkeypatch=None):
    """A training state as the published runs saved theirs: Flax's own MessagePack."""
    import flax.serialization

    if chunk is not None:
        monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", chunk)
    return flax.serialization.msgpack_serialize(state)


def state_of(images, labels, **more):
    """The state of a run of RCIG: what is wanted, and much that isn't."""
    pair = {"x_proto": images, "y_proto": labels}
    return {
        "step": 9,
        "params": {"x_proto": images + 1, "y_proto": labels, "log_temp": np.zeros((), np.float32)},
        "ema_average": pair,
        "opt_state": {"0": {"mu": pair, "nu": [1.5, "text", None, True, b"bytes"]}, "1": {}},
        **more,
    }


def npy_header(shape, descr="<f4"):
    stream = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": descr}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def zipped(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def safetensors_bytes(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
