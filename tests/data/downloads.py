"""Write small data sets in every layout that is recognized, as the official archives unpack."""

import gzip
import io
import pickle
import struct
from typing import ClassVar

import numpy as np
from PIL import Image
from scipy.io import savemat

from rcig_cli.data.sources.known import KNOWN
from tests.data.examples import pixels
from tests.data.hugging_face_sets import example, save_to_disk

CIFAR10_NAMES = KNOWN["cifar10"].class_names
IMAGENETTE, IMAGEWOOF = KNOWN["imagenette"].synsets, KNOWN["imagewoof"].synsets
CIFAR100_NAMES = tuple(f"thing_{number:02}" for number in range(100))
SPELLINGS = ("{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte")


def example_splits(classes, train, test, *shape):
    """Random images and labels for both splits; every class is in both if there are enough images."""
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
    """Images [n, 32, 32, 3] as CIFAR stores them: [n, 3072], the red plane first."""
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


class _Python2Pickler(pickle._Pickler):
    """Writes what Python 2's cPickle wrote at protocol 2: texts are byte strings; the memo counts from 1."""

    def save_text(self, value):
        content = value.encode() if isinstance(value, str) else value
        short = len(content) < 256
        self.write(b"U" + bytes([len(content)]) if short else b"T" + struct.pack("<i", len(content)))
        self.write(content)
        self.memoize(value)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, str: save_text, bytes: save_text}


def python2_pickle(value):
    stream = io.BytesIO()
    pickler = _Python2Pickler(stream, protocol=2)
    pickler.memo[0] = 0, None
    pickler.dump(value)
    return stream.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


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


def write_kmnist(folder, splits):
    """KMNIST as NumPy files; each has one array without a name."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, (images, labels) in splits.items():
        np.savez_compressed(folder / f"kmnist-{split}-imgs.npz", images.reshape(images.shape[:3]))
        np.savez_compressed(folder / f"kmnist-{split}-labels.npz", labels.astype(np.uint8))
    return folder


def write_hugging_face(folder):
    for split, count in (("train", 20), ("test", 10)):
        save_to_disk(folder / split, example(count, names=tuple("0123456789"))[2])
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return folder


def write_emnist(folder, splits, name="letters", first=1, packed=True):
    """One of EMNIST's six data sets: images transposed, and the characters of each label in a list."""
    folder.mkdir(parents=True, exist_ok=True)
    pack = (lambda data: gzip.compress(data, 1)) if packed else bytes
    for split, (images, labels) in splits.items():
        stem, end = f"emnist-{name}-{split}", ".gz" if packed else ""
        stored = images.reshape(images.shape[:3]).transpose(0, 2, 1)
        (folder / f"{stem}-images-idx3-ubyte{end}").write_bytes(pack(idx_bytes(stored)))
        (folder / f"{stem}-labels-idx1-ubyte{end}").write_bytes(pack(idx_bytes(labels + first)))
    codes = "".join(f"{number + first} {65 + number} {97 + number}\n" for number in range(26))
    (folder / f"emnist-{name}-mapping.txt").write_text(codes)
    return folder


def write_svhn(folder, splits, compressed=True):
    """SVHN's cropped digits: MATLAB files, in which the digit 0 has the label 10."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, (images, labels) in splits.items():
        content = {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels, labels, 10).astype("u1")[:, None]}
        savemat(folder / f"{split}_32x32.mat", content, do_compression=compressed)
    return folder


def write_stl10(folder, splits):
    """STL-10: planes of each image, column by column, and labels from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, (images, labels) in splits.items():
        (folder / f"{split}_X.bin").write_bytes(np.ascontiguousarray(images.transpose(0, 3, 2, 1)).tobytes())
        (folder / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    (folder / "unlabeled_X.bin").write_bytes(bytes(3 * 96 * 96))
    names = "airplane bird car cat deer dog horse monkey ship truck"
    (folder / "class_names.txt").write_text("\n".join(names.split()) + "\n")
    (folder / "fold_indices.txt").write_text("0 1 2\n")
    return folder


def write_cifar10_1(folder, splits, versions=("v6",)):
    """CIFAR-10.1: a single pair of arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    for version in versions:
        images, labels = splits["train"]
        np.save(folder / f"cifar10.1_{version}_data.npy", images)
        np.save(folder / f"cifar10.1_{version}_labels.npy", labels.astype(np.int32))
    return folder


def csv_rows(images, labels=None):
    """Rows of a label and pixels."""
    rows = images.reshape(len(images), -1).tolist()
    if labels is not None:
        rows = [[label, *row] for label, row in zip(labels.tolist(), rows, strict=True)]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def write_kaggle_digits(folder, splits):
    """The files of Kaggle's Digit Recognizer: the images for testing have no labels."""
    folder.mkdir(parents=True, exist_ok=True)
    pixel_names = ",".join(f"pixel{number}" for number in range(28 * 28))
    (folder / "train.csv").write_text(f"label,{pixel_names}\n" + csv_rows(*splits["train"]))
    (folder / "test.csv").write_text(f"{pixel_names}\n" + csv_rows(splits["test"][0]))
    (folder / "sample_submission.csv").write_text("ImageId,Label\n1,0\n2,0\n")
    return folder


_RGB = 32, 32, 3
_TINY_CODES = ("n00000001", "n00000002")
_TEN, _HUNDRED = example_splits(10, 20, 10, *_RGB), example_splits(100, 100, 10, *_RGB)
# A small copy in every format: its title, the data set's name, a file that it needs, and what writes it.
COPIES = {
    "Tiny-ImageNet": (
        "tiny_imagenet",
        "val/val_annotations.txt",
        lambda to: write_tiny_imagenet(to, _TINY_CODES, side=8),
    ),
    "CUB-200-2011": ("cub200", "images.txt", lambda to: write_cub200(to, classes=3)),
    "CIFAR-10, binary version": ("cifar10", "data_batch_3.bin", lambda to: write_cifar10_binary(to, _TEN)),
    "CIFAR-100, binary version": ("cifar100", "test.bin", lambda to: write_cifar100_binary(to, _HUNDRED)),
    "CIFAR-10, python version": ("cifar10", "data_batch_3", lambda to: write_cifar10_python(to, _TEN)),
    "CIFAR-100, python version": ("cifar100", "meta", lambda to: write_cifar100_python(to, _HUNDRED)),
    "Downsampled ImageNet": (
        "imagenet64",
        "train_data_batch_3.npz",
        lambda to: write_imagenet64(to, example_splits(1000, 1000, 10, 8, 8, 3)),
    ),
    "ImageNette": (
        "imagenette",
        "train/n01440764/n01440764_0.JPEG",
        lambda to: write_imagenette(to, per_class=1, short=16),
    ),
    "ImageWoof": (
        "imagewoof",
        "train/n02086240/n02086240_0.JPEG",
        lambda to: write_imagenette(to, tuple(IMAGEWOOF), per_class=1, short=16),
    ),
    "MNIST's IDX files": (
        None,
        "t10k-labels-idx1-ubyte",
        lambda to: write_idx(to, example_splits(10, 20, 10, 28, 28, 1)),
    ),
    "NumPy arrays": (
        None,
        "kmnist-train-imgs.npz",
        lambda to: write_kmnist(to, example_splits(10, 20, 10, 28, 28, 1)),
    ),
    "a Hugging Face data set": (None, "train/state.json", write_hugging_face),
    "STL-10, binary version": (
        None,
        "test_y.bin",
        lambda to: write_stl10(to, example_splits(10, 20, 10, 96, 96, 3)),
    ),
    "MATLAB's .mat files": (None, "train_32x32.mat", lambda to: write_svhn(to, _TEN)),
    "a table of pixels": (
        None,
        "train.csv",
        lambda to: write_kaggle_digits(to, example_splits(10, 60, 10, 28, 28, 1)),
    ),
}
