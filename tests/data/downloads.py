"""Downloads as their makers' archives unpack, written by the tests: every layout that is recognised."""

import gzip
import struct

import numpy as np
from PIL import Image

from rcig_cli.data.sources.class_names import IMAGENETTE, NUMBERED
from tests.data.examples import pixels

CIFAR10_NAMES = NUMBERED["cifar10"]
CIFAR100_NAMES = tuple(f"thing_{number:02}" for number in range(100))
SPELLINGS = ("{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte")


def example_splits(classes, train, test, *shape):
    """Random images and labels for both splits, every class in both as far as they reach."""
    sizes = {"train": train, "test": test}
    return {
        split: (pixels(count, *shape, seed=count), np.random.default_rng(3).permutation(count) % classes)
        for split, count in sizes.items()
    }


def idx_bytes(array):
    """An IDX file of bytes: big-endian lengths, then the bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + np.ascontiguousarray(array, np.uint8).tobytes()


def write_idx(folder, splits, spelling=SPELLINGS[0], packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in (("train", "train"), ("test", "t10k")):
        images, labels = splits[split]
        arrays = ("images", images.reshape(images.shape[:3])), ("labels", labels)
        for content, array in arrays:
            name = spelling.format(part, content, array.ndim)
            data = idx_bytes(array)
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(data, 1))
            else:
                (folder / name).write_bytes(data)
    return folder


def planes(images):
    """Images [n, 32, 32, 3] as CIFAR has them: [n, 3072], the red plane first."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)


def _cifar10_files(splits):
    images, labels = splits["train"]
    parts = zip(np.array_split(images, 5), np.array_split(labels, 5), strict=True)
    yield from ((f"data_batch_{number}", *part) for number, part in enumerate(parts, start=1))
    yield "test_batch", *splits["test"]


def write_cifar10_binary(folder, splits):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10_NAMES) + "\n\n")
    (folder / "readme.html").write_text("<meta>")
    for name, images, labels in _cifar10_files(splits):
        rows = np.column_stack([labels.astype(np.uint8), planes(images)])
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    return folder


def write_cifar100_binary(folder, splits):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fine_label_names.txt").write_text("\n".join(CIFAR100_NAMES) + "\n")
    (folder / "coarse_label_names.txt").write_text("\n".join(f"kind_{n}" for n in range(20)) + "\n")
    for split, (images, labels) in splits.items():
        rows = np.column_stack([(labels % 20).astype(np.uint8), labels.astype(np.uint8), planes(images)])
        (folder / f"{split}.bin").write_bytes(rows.tobytes())
    return folder


class Python2Pickle:
    """Writes what Python 2's cPickle writes at protocol 2: texts are byte strings, and are remembered."""

    def __init__(self):
        self._out, self._count = bytearray(b"\x80\x02"), 1

    def dump(self, value):
        self._value(value)
        return bytes(self._out + b".")

    def _remember(self):
        self._out += (
            b"q" + bytes([self._count]) if self._count < 256 else b"r" + struct.pack("<I", self._count)
        )
        self._count += 1

    def _text(self, text):
        content = text if isinstance(text, bytes) else text.encode()
        short = len(content) < 256
        self._out += (b"U" + bytes([len(content)])) if short else b"T" + struct.pack("<i", len(content))
        self._out += content
        self._remember()

    def _number(self, value):
        if 0 <= value < 256:
            self._out += b"K" + bytes([value])
        elif 0 <= value < 65536:
            self._out += b"M" + struct.pack("<H", value)
        else:
            self._out += b"J" + struct.pack("<i", value)

    def _value(self, value):
        if isinstance(value, dict):
            self._out += b"}"
            self._remember()
            self._out += b"("
            for key, item in value.items():
                self._text(key)
                self._value(item)
            self._out += b"u"
        elif isinstance(value, list):
            self._out += b"]"
            self._remember()
            for start in range(0, len(value), 1000):
                self._out += b"("
                for item in value[start : start + 1000]:
                    self._value(item)
                self._out += b"e"
        elif isinstance(value, np.ndarray):
            self._array(value)
        elif isinstance(value, str | bytes):
            self._text(value)
        else:
            self._number(value)

    def _array(self, array):
        fortran = not array.flags.c_contiguous
        self._out += b"cnumpy.core.multiarray\n_reconstruct\n"
        self._remember()
        self._out += b"cnumpy\nndarray\n"
        self._remember()
        self._out += b"K\x00\x85"
        self._text("b")
        self._out += b"\x87R"
        self._remember()
        self._out += b"(K\x01"
        for length in array.shape:
            self._number(length)
        self._out += b"\x86cnumpy\ndtype\n" if array.ndim == 2 else b"\x85cnumpy\ndtype\n"
        self._text(array.dtype.str[1:])
        self._out += b"K\x00K\x01\x87R"
        self._remember()
        self._out += b"(K\x03"
        self._text("|")
        self._out += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" + (b"\x88" if fortran else b"\x89")
        self._text(array.tobytes("F" if fortran else "C"))
        self._out += b"tb"


def python2_pickle(value):
    return Python2Pickle().dump(value)


def write_cifar10_python(folder, splits, dump=python2_pickle, arrange=np.ascontiguousarray):
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"num_cases_per_batch": 10000, "label_names": list(CIFAR10_NAMES), "num_vis": 3072}
    (folder / "batches.meta").write_bytes(dump(meta))
    for name, images, labels in _cifar10_files(splits):
        batch = {
            "batch_label": f"{name} of 5",
            "labels": labels.tolist(),
            "data": arrange(planes(images)),
            "filenames": [f"picture_s_{number:06}.png" for number in range(len(labels))],
        }
        (folder / name).write_bytes(dump(batch))
    return folder


def write_cifar100_python(folder, splits, dump=python2_pickle):
    folder.mkdir(parents=True, exist_ok=True)
    meta = {
        "fine_label_names": list(CIFAR100_NAMES),
        "coarse_label_names": [f"kind_{number}" for number in range(20)],
    }
    (folder / "meta").write_bytes(dump(meta))
    for split, (images, labels) in splits.items():
        batch = {
            "filenames": [f"picture_s_{number:06}.png" for number in range(len(labels))],
            "batch_label": f"{split} batch 1 of 1",
            "fine_labels": labels.tolist(),
            "coarse_labels": (labels % 20).tolist(),
            "data": planes(images),
        }
        (folder / split).write_bytes(dump(batch))
    (folder / "file.txt~").write_text("")
    return folder


def write_class_folders(folder, splits):
    """PNG files in class folders, named so that a class's images keep their order."""
    for split, (images, labels) in splits.items():
        for label in np.unique(labels):
            (folder / split / f"{label:03}").mkdir(parents=True)
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            array = image[..., 0] if image.shape[2:] == (1,) else image
            Image.fromarray(array).save(folder / split / f"{label:03}" / f"{index:06}.png", compress_level=1)
    return folder


def save_jpeg(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, "JPEG", quality=95)


def write_tiny_imagenet(folder, codes, per_class=3, validation=2, side=64):
    """Images of noise but for one grey one; ``codes`` in the order of wnids.txt."""
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(codes))
    words = [f"{code}\tword {number}, synonym {number}" for number, code in enumerate(codes)]
    (folder / "words.txt").write_text("n00001740\tentity\n" + "\n".join(words) + "\n")
    for number, code in enumerate(codes):
        for index in range(per_class):
            array = pixels(side, side, 3, seed=1000 * number + index)
            name = f"{code}_{index}.JPEG"
            save_jpeg(
                folder / "train" / code / "images" / name, array[..., 0] if number == index == 1 else array
            )
        boxes = [f"{code}_{index}.JPEG\t0\t0\t62\t62" for index in range(per_class)]
        (folder / "train" / code / f"{code}_boxes.txt").write_text("\n".join(boxes) + "\n")
    lines = []
    for index in range(validation * len(codes)):
        save_jpeg(
            folder / "val" / "images" / f"val_{index}.JPEG", pixels(side, side, 3, seed=9_000_000 + index)
        )
        lines.append(f"val_{index}.JPEG\t{codes[(7 * index) % len(codes)]}\t0\t32\t44\t62")
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    save_jpeg(folder / "test" / "images" / "test_0.JPEG", pixels(side, side, 3))
    return folder


def write_cub200(folder, classes=200, per_class=3):
    """The first two images of a class train, the others test; sizes are mixed."""
    lists = {name: [] for name in ("images", "image_class_labels", "train_test_split", "classes")}
    for label in range(1, classes + 1):
        bird = f"{label:03}.Some_Bird_{label}"
        lists["classes"].append(f"{label} {bird}")
        for index in range(per_class):
            number = len(lists["images"]) + 1
            path = f"{bird}/Some_Bird_{index:04}_{number}.jpg"
            save_jpeg(folder / "images" / path, pixels(40 + label % 7, 50 - index, 3, seed=number))
            lists["images"].append(f"{number} {path}")
            lists["image_class_labels"].append(f"{number} {label}")
            lists["train_test_split"].append(f"{number} {int(index < 2)}")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "README").write_text("birds")
    return folder


def write_imagenette(folder, codes=tuple(IMAGENETTE), per_class=2, short=160):
    for split, count in (("train", per_class), ("val", 1)):
        for number, code in enumerate(codes):
            for index in range(count):
                array = pixels(short, short + 10 * number, 3, seed=10 * number + index)
                save_jpeg(folder / split / code / f"{code}_{index}.JPEG", array)
    (folder / "noisy_imagenette.csv").write_text("path,noisy_labels_0\n")
    return folder


def write_imagenet64(folder, splits):
    """``splits`` have 1000 classes; labels are stored from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = splits["train"]
    parts = zip(np.array_split(images, 10), np.array_split(labels, 10), strict=True)
    for number, (some, few) in enumerate(parts, start=1):
        mean = some.mean(axis=0)
        np.savez(folder / f"train_data_batch_{number}.npz", data=planes(some), labels=few + 1, mean=mean)
    images, labels = splits["test"]
    np.savez(folder / "val_data.npz", data=planes(images), labels=labels + 1)
    return folder
