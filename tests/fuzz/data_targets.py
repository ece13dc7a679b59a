"""What users bring: arrays, pictures, folders, downloads, and distilled sets made elsewhere."""

import contextlib
import io
import json
import os
import socket
import tempfile
import warnings
from functools import cache, partial
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np
from PIL import Image

from rcig_cli.data.images import picture
from rcig_cli.data.images.picture import FORMATS, read_header, read_picture
from rcig_cli.data.layouts.plain_pickle import read_plain_pickle
from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.source import SPLITS
from rcig_cli.runs.prepare.prepare import PrepareConfig, prepare
from rcig_cli.store.layout import open_store
from tests.data import downloads
from tests.data.examples import pixels
from tests.fuzz import data_mutation as other
from tests.fuzz.mutation import TEXTS, mutate_bytes, mutate_text
from tests.fuzz.target import Target
from tests.silent import Silent

MIB = 1 << 20


@contextlib.contextmanager
def _as_in_the_command():
    """Warnings of Pillow don't reach a user (``cli/app.py``); those of our own code would count."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield


def _read_through(source):
    for split in SPLITS:
        assert len(source.labels(split)) == source.sizes[split]
        for batch in source.batches(split, 7):
            assert batch.images.shape[1:] == source.shape
            assert batch.images.dtype == np.uint8
            assert batch.labels.max() < len(source.class_names)
    json.dumps([source.class_names, source.notes]).encode("ascii")
    assert all(name.isprintable() for name in source.class_names)


def _open(path, name="own", resolution=None):
    with _as_in_the_command():
        _read_through(open_source(name, path, resolution))


# Arrays


def _npz(compressed=False, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def npz_seeds():
    labels = np.array([0, 1, 2, 0, 1])
    for shape, dtype in (((6, 6), "u1"), ((6, 5, 1), "u2"), ((6, 6, 3), "f4"), ((4, 4, 4), "u1")):
        images = (pixels(5, *shape) / (255 if dtype == "f4" else 1)).astype(dtype)
        parts = {"x_train": images, "y_train": labels, "x_test": images[:3], "y_test": labels[:3]}
        yield _npz(compressed=dtype == "u2", **parts)
    yield _npz(**parts, class_names=np.array(["cat", "dog", "cow"]))
    yield _npz(**parts, class_names=np.array(["cat", "dog", "cow"], "S"))


def feed_npz(data, scratch):
    (scratch / "own.npz").write_bytes(data)
    _open(scratch / "own.npz", resolution=None if len(data) % 2 else 4)


def feed_prepare(data, scratch):
    (scratch / "own.npz").write_bytes(data)
    store = open_store(scratch / "store", create=True)
    config = PrepareConfig("own", str(scratch / "own.npz"), resolution=4)
    with _as_in_the_command():
        prepare(store, config, Silent(), workers=0)
    store.dataset("own")


# Pictures


def _picture(form, image, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def png_seeds():
    colour = pixels(9, 8, 3)
    for image in (colour, colour[..., 0], pixels(9, 8, 4), colour[..., 0].astype(np.uint16) * 257):
        yield _picture("PNG", Image.fromarray(image))
    yield _picture("PNG", Image.fromarray(colour).quantize(8), transparency=3)
    frames = [Image.fromarray(colour), Image.fromarray(colour[::-1].copy())]
    yield _picture("PNG", frames[0], save_all=True, append_images=frames[1:])


def picture_seeds():
    colour = Image.fromarray(pixels(9, 8, 3))
    deep = Image.fromarray(pixels(9, 8).astype(np.uint16) * 257)
    for form in FORMATS:
        yield _picture(form, colour)
        if form not in ("PNG", "AVIF"):
            yield _picture(form, colour.convert("L"))
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        yield _picture("TIFF", colour, compression=packing)
    yield _picture("TIFF", deep)
    yield _picture("PPM", deep)
    yield _picture("TIFF", colour.convert("CMYK"))
    yield _picture("JPEG", colour.convert("CMYK"))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield _picture("JPEG", colour, exif=exif, progressive=True)
    yield _picture("MPO", colour, save_all=True, append_images=[colour])
    yield _picture(
        "GIF", colour.quantize(8), save_all=True, append_images=[colour.quantize(4)], transparency=0
    )
    yield _picture("WEBP", colour.convert("RGBA"), lossless=True, save_all=True, append_images=[colour])
    yield _picture("TGA", colour.quantize(8), compression="tga_rle")
    yield _picture("EPS", colour)
    yield b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nsystemdict\n"


def feed_picture(data, scratch):
    path = scratch / "a.png"
    path.write_bytes(data)
    # With fewer pixels allowed, what a library takes beside them shows.
    with _as_in_the_command(), mock.patch.object(picture, "MOST_PIXELS", 2**20):
        header = read_header(path, data if len(data) % 2 else None)
        found = read_picture(
            path, header.grey, data if len(data) % 2 else None, side=len(data) % 3 * 4 or None
        )
    assert found.dtype == np.uint8
    assert found.shape[2] == (1 if header.grey else 3)


# Folders


def folder_seeds():
    """Trees as JSON: a kind, a path, and what it is made of."""
    split = [
        ["picture", f"{part}/{name}/{n}.png", n]
        for part in ("train", "val")
        for name in "ab"
        for n in range(2)
    ]
    plain = [["picture", f"{name}/deeper/{n}.jpg", n] for name in ("cat", "dog") for n in range(4)]
    links = [
        ["link", "cat/l.png", "../dog/deeper/0.jpg"],
        ["link", "cat/z.png", "/dev/zero"],
        ["link", "loop", "."],
    ]
    odd = [
        ["pipe", "dog/p.png", ""],
        ["socket", "dog/s.png", ""],
        ["text", "dog/t.png", "no"],
        ["folder", "e", ""],
    ]
    for tree in (split, plain, plain + links, split + odd[:3], plain + odd):
        yield json.dumps(tree).encode()


def folder_mutant(data: bytes, random: Random) -> bytes:
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    if isinstance(tree, list) and tree and random.random() < 0.5:
        entry = random.choice(tree)
        if isinstance(entry, list) and len(entry) == 3 and isinstance(entry[1], str):
            entry[0] = random.choice(("picture", "link", "pipe", "socket", "text", "folder", entry[0]))
            entry[1] = "/".join(mutate_text(part, random) if random.random() < 0.4 else part
                                for part in entry[1].split("/"))  # fmt: skip
            entry[2] = random.choice((entry[2], "/", "/dev/zero", "..", ".", "loop", entry[1], 7))
            return json.dumps(tree).encode()
    return other.json_text(tree, random)


@cache
def _png(number):
    return _picture("PNG", Image.fromarray(pixels(6, 6 + number % 2, 3, seed=number % 5)))


_DEEPEST = 150  # what makes and removes folders is recursive


def build_folder(data, root):
    """Make what a tree says, as far as it can be made."""
    root.mkdir()
    try:
        tree = json.loads(data)
        entries = [entry for entry in tree if isinstance(entry, list) and len(entry) == 3][:60]
    except (ValueError, TypeError, RecursionError):
        return
    for kind, place, content in entries:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            path = root / str(place).replace("..", "").lstrip("/")
            # Nothing is written through what is there: a pipe would be waited for.
            if len(path.parts) > len(root.parts) + _DEEPEST or os.path.lexists(path):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.parent.resolve().is_relative_to(root.resolve()):
                _make(path, kind, content)


def _make(path, kind, content):
    match kind:
        case "picture":
            path.write_bytes(_png(content))
        case "small":
            path.write_bytes(_picture("PNG", Image.fromarray(pixels(4, 4, 3, seed=content))))
        case "bytes":
            path.write_bytes(bytes.fromhex(content))
        case "link":
            path.symlink_to(content)
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
                one.bind(str(path))
        case "folder":
            path.mkdir()
        case _:
            path.write_text(str(content))


def feed_folder(data, scratch):
    build_folder(data, scratch / "root")
    _open(scratch / "root")


# Official downloads: the first byte says which file of a copy the rest stands for


def _splits(classes, train, test, *shape):
    return downloads.example_splits(classes, train, test, *shape)


COPIES = {
    "tiny_imagenet": lambda to: downloads.write_tiny_imagenet(to, ("n00000001", "n00000002"), side=8),
    "cub200": lambda to: downloads.write_cub200(to, classes=3),
    "cifar10_binary": lambda to: downloads.write_cifar10_binary(to, _splits(10, 10, 2, 32, 32, 3)),
    "cifar100_binary": lambda to: downloads.write_cifar100_binary(to, _splits(100, 100, 2, 32, 32, 3)),
    "cifar10_python": lambda to: downloads.write_cifar10_python(to, _splits(10, 10, 2, 32, 32, 3)),
    "imagenet64": lambda to: downloads.write_imagenet64(to, _splits(1000, 1000, 2, 8, 8, 3)),
    "mnist": lambda to: downloads.write_idx(to, _splits(10, 10, 2, 7, 7, 1)),
    "mnist_packed": lambda to: downloads.write_idx(to, _splits(10, 10, 2, 7, 7, 1), packed=True),
}


@cache
def _copy(name):
    """The files of a download, by their paths, those that are pictures last."""
    with tempfile.TemporaryDirectory() as folder:
        root = COPIES[name](Path(folder) / "copy")
        files = {
            path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
        }
    return dict(sorted(files.items(), key=lambda file: (file[0].endswith(".JPEG"), file[0])))


def layout_seeds(name):
    files = _copy(name)
    others = [n for n, file in enumerate(files) if not file.endswith((".JPEG", ".jpg"))]
    return [bytes([n]) + files[list(files)[n]] for n in [*others, len(files) - 1] if n < 256]


def layout_mutant(name, data, random):
    files = list(_copy(name))
    which, content = data[0] % len(files) if data else 0, data[1:]
    suffix = Path(files[which]).suffix
    python = name.endswith("python")
    by_suffix = {".txt": other.text_mutant, ".npz": other.zip_mutant, ".gz": other.packed_mutant}
    mutate = by_suffix.get(suffix, other.pickle_mutant if python and not suffix else _mutate_head)
    return bytes([which]) + mutate(content, random)


def _mutate_head(data, random):
    return (
        mutate_bytes(data[:64], random) + data[64:] if random.random() < 0.5 else mutate_bytes(data, random)
    )


def feed_layout(name, data, scratch):
    files = dict(_copy(name))
    if data:
        files[list(files)[data[0] % len(files)]] = data[1:]
    for place, content in files.items():
        (scratch / place).parent.mkdir(parents=True, exist_ok=True)
        (scratch / place).write_bytes(content)
    _open(scratch, name.split("_")[0] if name.startswith(("cifar", "mnist")) else name)


def pickle_seeds():
    return [content for name, content in _copy("cifar10_python").items() if not name.endswith(".html")]


def feed_pickle(data, scratch):
    (scratch / "batch").write_bytes(data)
    read_plain_pickle(scratch, "batch")


# Names and paths, as they are typed


def name_seeds():
    return [b"digits\0", b"mnist\0.", b"own\0folder", b"own\0/dev/zero", b"own\0../x.npz", b"own\0/dev/stdin"]


def name_mutant(data, random):
    text = data.decode("utf-8", "replace")
    first, _, second = text.partition("\0")
    first = mutate_text(first, random) if random.random() < 0.5 else first
    second = random.choice((mutate_text(second, random), random.choice(TEXTS)))
    return f"{first}\0{second}".encode("utf-8", "surrogatepass")


def feed_name(data, scratch):
    name, _, path = data.decode("utf-8", "surrogateescape").partition("\0")
    if not path and name in ("mnist", "fashion_mnist", "cifar10", "cifar100"):
        return  # would be downloaded
    if path:
        _open(scratch / path, name)


def _layout(name, memory=64):
    return Target(f"data_{name}", partial(layout_seeds, name), partial(feed_layout, name), memory * MIB,
                  partial(layout_mutant, name))  # fmt: skip


def _listed(seeds):
    return lambda: list(seeds())


TARGETS = (
    Target("data_npz", _listed(npz_seeds), feed_npz, 64 * MIB, other.zip_mutant),
    Target("data_prepare", _listed(npz_seeds), feed_prepare, 128 * MIB, other.zip_mutant),
    Target("data_png", _listed(png_seeds), feed_picture, 64 * MIB, other.png_mutant),
    Target("data_picture", _listed(picture_seeds), feed_picture, 64 * MIB),
    Target("data_folder", _listed(folder_seeds), feed_folder, 64 * MIB, folder_mutant),
    Target("data_pickle", pickle_seeds, feed_pickle, 64 * MIB, other.pickle_mutant),
    Target("data_name", name_seeds, feed_name, 64 * MIB, name_mutant),
    *map(_layout, COPIES),
)
