"""Damaged and hostile data files end in an error of rcig or in correct data, within a stated memory.

Every format is damaged at random: ``RCIG_FUZZ_TRIALS`` says how often, 200 times each by default.
"""

import gzip
import io
import os
import struct
import zipfile
import zlib
from random import Random

import numpy as np
import pyarrow.ipc
import pyarrow.parquet
import pytest
from PIL import Image

from rcig_cli.data.images import picture
from rcig_cli.data.images.picture import FORMATS, read_header, read_picture
from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.errors import ConfigError, RcigError
from tests.data import exchange_sets
from tests.data.downloads import (
    COPIES,
    example_splits,
    write_cifar10_1,
    write_emnist,
    write_idx,
    write_svhn,
)
from tests.data.examples import memory_taken, npy_header, pixels, png_bytes, save_picture
from tests.data.hugging_face_sets import write_shards

MIB = 2**20
TRIALS = int(os.environ.get("RCIG_FUZZ_TRIALS", "200"))
LABELS = np.array([0, 1, 2, 0])

# Warnings of libraries don't reach a user (cli/app.py).
pytestmark = pytest.mark.filterwarnings("ignore")


def damaged(content, random):
    """Cut, insert, remove or overwrite; mostly near the beginning, where headers are."""
    place = random.randrange(min(len(content), random.choice([64, 4096, 2**30])) or 1)
    count = random.choice([1, 1, 4, 40])
    some = random.choice([b"", random.randbytes(count), b"\xff" * count])
    after = random.choice([place, place + count, len(content)])
    return content[:place] + some + content[after:]


def damaged_inside(content, random):
    """Damage what a zip archive or a gzip file holds and pack it again, with correct checksums."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.compress(damaged(gzip.decompress(content), random), 1)
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        victim = random.choice(old.namelist())
        for name in old.namelist():
            member = old.read(name)
            new.writestr(name, damaged(member, random) if name == victim else member)
    return stream.getvalue()


def read_through(path, name="own"):
    """Read a data set to its end and check that it is one."""
    source = open_source(name, path)
    for split in ("train", "test"):
        assert len(source.labels(split)) == source.sizes[split]
        for batch in source.batches(split, 16):
            assert batch.images.shape[1:] == source.shape
            assert batch.images.dtype == np.uint8
            assert batch.labels.min() >= 0
            assert batch.labels.max() < len(source.class_names)
    assert all(text.isprintable() for text in source.class_names)
    return source


def fuzz(files, read, most):
    """Damage one file at a time, read, and restore it; return how many readings were refused."""
    random, refused = Random(len(files)), 0
    lists = [path for path in files if path.suffix not in (".JPEG", ".jpg", ".png")] or files
    for _ in range(TRIALS):
        path = random.choice(lists if random.random() < 0.7 else files)
        content = path.read_bytes()
        packed = path.suffix in (".npz", ".gz") and random.random() < 0.6
        path.write_bytes((damaged_inside if packed else damaged)(content, random))
        found, memory = memory_taken(read)
        refused += isinstance(found, RcigError)
        assert memory < most, (path, found)
        path.write_bytes(content)
    found = read()
    assert found is not None
    return refused


DOWNLOADS = {
    **COPIES,
    "packed IDX": ("mnist", "", lambda to: write_idx(to, example_splits(10, 20, 10, 28, 28, 1), packed=True)),
    "EMNIST": ("letters", "", lambda to: write_emnist(to, example_splits(26, 52, 26, 28, 28, 1))),
    "MATLAB without compression": (
        "svhn",
        "",
        lambda to: write_svhn(to, example_splits(10, 20, 10, 32, 32, 3), compressed=False),
    ),
    "Parquet": ("mine", "", write_shards),
    "CIFAR-10.1": ("mine", "", lambda to: write_cifar10_1(to, example_splits(10, 30, 10, 32, 32, 3))),
}


@pytest.mark.parametrize("title", DOWNLOADS)
def test_damaged_downloads(tmp_path, title):
    name, _, write = DOWNLOADS[title]
    write(tmp_path / "copy")
    files = sorted(path for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert fuzz(files, lambda: read_through(tmp_path / "copy", name or "mnist"), 64 * MIB)


def save_npz(path, images, save=np.savez, **more):
    save(path, x_train=images, y_train=LABELS, x_test=images[:3], y_test=LABELS[:3], **more)
    return path


@pytest.mark.parametrize(
    ("images", "options"),
    [
        (pixels(4, 6, 5, 4), {"class_names": np.array(["cat", "dog", "cow"], "S")}),
        ((pixels(4, 6, 6, 3) / 255).astype("f4"), {"save": np.savez_compressed}),
    ],
)
def test_damaged_npz_files(tmp_path, images, options):
    path = save_npz(tmp_path / "own.npz", images, **options)
    assert fuzz([path], lambda: read_through(path), 64 * MIB)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.asfortranarray(pixels(9, 5, 4, 3)), np.array(["cat", "dog", "emu"] * 3)),
        ((pixels(9, 3, 6, 6) / 127.5 - 1).astype("f4"), np.eye(3)[np.arange(9) % 3]),
        ((pixels(9, 36) // 16).astype("u2"), np.arange(9) % 3 + 1.0),
    ],
)
def test_damaged_pairs_of_arrays(tmp_path, images, labels):
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    assert fuzz([tmp_path / "own.npz"], lambda: read_through(tmp_path / "own.npz"), 64 * MIB)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_images(tmp_path, name, monkeypatch):
    """With fewer pixels allowed, memory that a library takes beside them shows."""
    monkeypatch.setattr(picture, "MOST_PIXELS", 2**20)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2**19)  # Pillow refuses twice as many
    colour = Image.fromarray(pixels(19, 18, 3))
    variants = [(colour, {}), (colour.convert("L"), {})]
    if name in ("PNG", "TIFF"):
        variants.append((Image.fromarray(pixels(19, 18, 4)), {}))
        variants.append((Image.fromarray(pixels(9, 8).astype(np.uint16) * 257), {}))
    if name == "TIFF":
        variants += [(colour, {"compression": c}) for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits")]
    if name == "GIF":
        variants.append((colour.quantize(8), {"save_all": True, "append_images": [colour.quantize(4)]}))
    refused = 0
    for image, options in variants:
        path = tmp_path / "image.bin"
        image.save(path, name, **options)
        refused += fuzz(
            [path], lambda path=path: read_picture(path, read_header(path).grey, side=8), 64 * MIB
        )
    assert refused


@pytest.mark.parametrize("name", ["npz", "safetensors", "parquet", "png", "flax"])
def test_damaged_distilled_sets(tmp_path, name):
    given = exchange_sets.exported_set()
    if name == "flax":
        path = tmp_path / "set.msgpack"
        path.write_bytes(exchange_sets.published_state(given.images, given.labels))
    else:
        path = exchange_sets.write(tmp_path, name, given)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    space = "whitened" if name == "flax" else None
    assert fuzz(files, lambda: exchange_sets.read(path, space=space), 600 * MIB)


# Files that declare or unpack to much more than they are


def packed(count):
    packer = zlib.compressobj(9)
    pieces = [packer.compress(bytes(min(MIB, count - at))) for at in range(0, count, MIB)]
    return b"".join([*pieces, packer.flush()])


def archive(path, arrays):
    """An ``.npz`` file; of an array given as ``(shape, descr)`` the values are zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as stream:
                if isinstance(array, np.ndarray):
                    np.lib.format.write_array(stream, array)
                    continue
                shape, descr = array
                stream.write(npy_header(shape, descr))
                left = int(np.prod(shape)) * np.dtype(descr).itemsize
                while left > 0:
                    left -= stream.write(bytes(min(MIB, left)))
    return path


def total(path, size=16, resolution=None):
    source = open_source("own", path, ReadOptions(resolution))
    return sum(len(batch) for split in ("train", "test") for batch in source.batches(split, size))


@pytest.mark.parametrize(
    ("train", "test", "most"),
    [
        (((6, 4096, 4096, 3), "|u1"), ((3, 4096, 4096, 3), "|u1"), 160),
        (((3, 8192, 4096, 4), "|u1"), ((3, 6, 6, 4), "|u1"), 320),
        (((3, 4096, 8192), "<f4"), ((3, 6, 6), "<f4"), 320),
    ],
)
def test_large_images_in_a_small_archive_are_read_one_by_one(tmp_path, train, test, most):
    labels = {"y_train": np.arange(train[0][0]) % 3, "y_test": np.arange(3)}
    path = archive(tmp_path / "own.npz", {"x_train": train, "x_test": test, **labels})
    assert path.stat().st_size < 3 * MIB
    found, memory = memory_taken(lambda: total(path, 512, 8))
    assert found == train[0][0] + 3
    assert memory < most * MIB


def test_images_beyond_the_limit_and_many_labels(tmp_path):
    arrays = {"y_train": LABELS[:3], "x_test": pixels(3, 6, 6, 3), "y_test": LABELS[:3]}
    path = archive(tmp_path / "own.npz", {"x_train": ((3, 8192, 8192, 3), "|u1"), **arrays})
    found, memory = memory_taken(lambda: total(path))
    assert isinstance(found, ConfigError)
    assert "at most 134217728 bytes" in str(found)
    assert memory < 32 * MIB
    count = 60 * MIB
    arrays = {"x_test": pixels(3, 4), "y_test": LABELS[:3]}
    path = archive(path, {"x_train": ((count, 4), "|u1"), "y_train": ((count,), "|u1"), **arrays})
    found, memory = memory_taken(lambda: total(path))
    assert "no training image" in str(found)
    assert memory < 700 * MIB


@pytest.mark.parametrize("kind", [2, 6])
def test_a_large_image_takes_16_bytes_a_pixel(tmp_path, kind):
    path, side = tmp_path / "a.png", 4096
    path.write_bytes(png_bytes(side, side, packed(side * (1 + side * (3 if kind == 2 else 4))), kind=kind))
    assert path.stat().st_size < MIB
    found, memory = memory_taken(lambda: read_picture(path, grey=False, side=8))
    assert found.shape == (8, 8, 3)
    assert memory < 16 * side * side + 32 * MIB


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: [(b"zTXt", b"name\0\0" + packed(300 * MIB))],
        lambda: [(b"iCCP", b"name\0\0" + packed(300 * MIB))],
        lambda: [(b"iTXt", b"name\0\x01\0\0\0" + packed(300 * MIB))],
        lambda: [(b"zTXt", b"name%d\0\0" % n + packed(MIB - 9)) for n in range(200)],
        lambda: [(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(9000))],
    ],
)
def test_metadata_of_an_image_take_little_memory(tmp_path, bomb):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(8, 8, packed(8 * 25), *bomb()))
    found, memory = memory_taken(lambda: read_picture(path, grey=False))
    assert isinstance(found, RcigError) or found.shape == (8, 8, 3)
    assert memory < 80 * MIB  # Pillow keeps up to 64 MiB of texts


def test_packed_idx_files_of_large_images(tmp_path):
    write_idx(tmp_path, example_splits(2, 2, 2, 7, 7, 1), packed=True)
    for part in ("train", "t10k"):
        content = struct.pack(">HBB3I", 0, 8, 3, 2, 8192, 8192) + bytes(2 * 8192**2)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content, 1))
    del content
    found, memory = memory_taken(lambda: total(tmp_path, 16, 8))
    assert found == 4
    assert memory < 256 * MIB


def test_ten_thousand_files_take_little_memory(tmp_path):
    for name in ("cat", "dog"):
        for number in range(2):
            save_picture(tmp_path / name / f"{number}.png", pixels(6, 6, 3))
    for number in range(10_000):
        os.link(tmp_path / "cat" / "0.png", tmp_path / "dog" / f"{number:05}.png")
    found, memory = memory_taken(lambda: open_source("own", tmp_path).sizes)
    assert sum(found.values()) == 10_004
    assert memory < 16 * MIB


def write_parquet(path, **columns):
    pyarrow.parquet.write_table(
        pyarrow.table(columns), path, compression="zstd", dictionary_pagesize_limit=2**30
    )
    return path


def test_a_large_value_that_repeats_in_a_parquet_file(tmp_path):
    """It is stored once: all rows together are 400 times as large as the file's pages."""
    large = pyarrow.array([png_bytes(8, 8) + bytes(50 * MIB)])
    image = pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(400, np.int32)), large)
    image = pyarrow.StructArray.from_arrays([image], ["bytes"])
    path = write_parquet(tmp_path / "train.parquet", image=image, label=np.arange(400) % 2)
    assert path.stat().st_size < MIB
    _, memory = memory_taken(lambda: open_source("own", path).sizes)
    assert memory < 1000 * MIB
    texts = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(np.zeros(400, np.int32)), pyarrow.array(["a" * 50 * MIB])
    )
    path = write_parquet(tmp_path / "train.parquet", image=[b"-"] * 400, label=texts)
    error, memory = memory_taken(lambda: open_source("own", path))
    assert "too long to be classes" in str(error)
    assert memory < 200 * MIB


def test_compressed_arrow_files_are_refused_before_they_are_unpacked(tmp_path):
    content = pyarrow.table({"image": [bytes(200 * MIB)], "label": [0]})
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    with pyarrow.ipc.new_stream(tmp_path / "train.arrow", content.schema, options=options) as stream:
        stream.write_table(content)
    del content
    error, memory = memory_taken(lambda: open_source("own", tmp_path / "train.arrow"))
    assert "is compressed" in str(error)
    assert memory < 64 * MIB
