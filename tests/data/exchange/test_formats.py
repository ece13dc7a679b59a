"""Every format: exported sets are imported bit for bit, and files of other programs are read."""

import json
import resource

import flax.serialization
import numpy as np
import pytest

from tests.data.examples import save_picture
from tests.data.exchange_sets import (
    NAMES,
    SETTINGS,
    WRITABLE,
    dataset_info,
    exported_set,
    parametrized_set,
    published_state,
    read,
    same_bits,
    write,
)

EXACT = [name for name, form in WRITABLE.items() if not form.lossy]
PART = "data/train-00000-of-00001.parquet"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EXACT)
def test_an_exported_set_is_imported_bit_for_bit(tmp_path, name, channels):
    given = exported_set(ipc=70, channels=channels, side=8)
    found = read(write(tmp_path, name, given), dataset_info(channels, side=8, max_images=900))
    assert found.space == "whitened"
    assert same_bits(found.inputs(given.whitening), given.images)
    assert same_bits(found.labels, given.labels)
    assert same_bits(found.classes, given.classes)


@pytest.mark.parametrize("name", WRITABLE)
def test_what_a_parametrized_set_stores_is_imported_bit_for_bit_beside_its_images(tmp_path, name):
    given = parametrized_set()
    found = read(write(tmp_path, name, given))
    assert same_bits(found.labels, given.labels)
    stored = {name: array.read() for name, array in found.stored.items()}
    if not WRITABLE[name].keeps_stored:
        assert (stored, found.parametrization, name) == ({}, None, "png")
        return
    assert same_bits(found.inputs(given.whitening), given.images)
    assert found.parametrization == SETTINGS
    assert stored.keys() == given.stored.keys()
    assert all(same_bits(stored[name], given.stored[name]) for name in stored)
    assert "skipped" not in [note.about for note in found.notes]


@pytest.mark.parametrize("name", WRITABLE)
def test_exported_files_have_the_usual_permissions(tmp_path, name):
    (tmp_path / "any").touch()
    path = write(tmp_path, name, exported_set())
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    assert {file.stat().st_mode for file in files} == {(tmp_path / "any").stat().st_mode}


@pytest.mark.parametrize("name", [name for name in WRITABLE if name != "torch"])
def test_a_file_that_cannot_be_written_is_an_error_of_the_system(tmp_path, name):
    """As on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match=r"(?i)too large"):
            write(tmp_path, name, exported_set())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("channels", "names", "folders"),
    [
        (1, NAMES, ["0", "1", "2"]),  # a name has a slash
        (3, ("zebra", "ant", "train"), ["ant", "train", "zebra"]),
        (3, ("x", "X", "y"), ["0", "1", "2"]),  # the same name on some systems
    ],
)
def test_pictures_are_imported_as_the_same_8_bit_pixels(tmp_path, channels, names, folders):
    given = exported_set(channels=channels, class_names=names)
    path = write(tmp_path, "png", given)
    assert sorted(entry.name for entry in path.iterdir() if entry.is_dir()) == folders
    found = read(path, dataset_info(channels, class_names=names))
    assert found.space == "pixels"
    assert same_bits(found.images, given.pixels())
    assert same_bits(given.whitening.pixels(found.inputs(given.whitening)), given.pixels())
    assert same_bits(found.labels, given.labels)
    assert same_bits(found.classes, given.classes)


def test_pictures_without_labels_get_centred_one_hot_labels(tmp_path):
    pixels = np.arange(6 * 48, dtype=np.uint8).reshape(6, 4, 4, 3)
    for row, name in enumerate(["cat", "cat", "dog", "dog", "owl", "owl"]):
        save_picture(tmp_path / name / f"{row}.png", pixels[row])
    found = read(tmp_path, dataset_info(class_names=("owl", "cat", "dog")))
    assert found.classes.tolist() == [0, 0, 1, 1, 2, 2]
    assert same_bits(found.images, pixels[[4, 5, 0, 1, 2, 3]])
    assert found.labels == pytest.approx(np.repeat(np.eye(3) - 1 / 3, 2, axis=0))


def test_parquet_follows_the_layout_of_hugging_face(tmp_path):
    import pyarrow.parquet

    path = write(tmp_path, "parquet", exported_set())
    table = pyarrow.parquet.read_table(path / PART)
    assert str(table.schema.field("image").type) == "struct<bytes: binary, path: string>"
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == table.column_names == ["image", "label", "soft_label", "whitened"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": list(NAMES), "_type": "ClassLabel"}
    assert sorted(entry.name for entry in path.iterdir()) == ["data", "distilled.safetensors"]


def test_a_parquet_file_has_images_and_labels_bit_for_bit(tmp_path):
    given = exported_set()
    path = write(tmp_path, "parquet", given)
    (path / "distilled.safetensors").unlink()
    for found in (read(path), read(path / PART)):
        assert found.space == "whitened"
        assert same_bits(found.inputs(given.whitening), given.images)
        assert same_bits(found.labels, given.labels)


def test_parquet_with_only_pictures_and_class_numbers(tmp_path):
    import pyarrow.parquet

    given = exported_set()
    table = pyarrow.parquet.read_table(write(tmp_path, "parquet", given) / PART)
    pyarrow.parquet.write_table(table.select(["image", "label"]), tmp_path / "plain.parquet")
    found = read(tmp_path / "plain.parquet")
    assert found.space == "pixels"
    assert same_bits(found.images, given.pixels())
    assert found.classes.tolist() == given.classes.tolist()


@pytest.mark.parametrize("chunk", [None, 40])
def test_a_published_checkpoint_gives_its_average(tmp_path, monkeypatch, chunk):
    if chunk is not None:  # Flax cuts larger arrays into pieces
        monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", chunk)
    given = exported_set()
    (tmp_path / "checkpoint_9").write_bytes(published_state(given.images, given.labels))
    found = read(tmp_path / "checkpoint_9")
    assert found.space == "whitened"
    assert same_bits(found.inputs(given.whitening), given.images)
    assert same_bits(found.labels, given.labels)
    assert found.classes.tolist() == given.classes.tolist()


def test_a_checkpoint_without_an_average_gives_its_parameters(tmp_path):
    given = exported_set()
    params = {"params": {"x_proto": given.images, "y_proto": given.labels}}
    content = published_state(given.images, given.labels, ema_average=None, params=params)
    (tmp_path / "frepo.ckpt").write_bytes(content)
    assert same_bits(read(tmp_path / "frepo.ckpt").images, given.images)


@pytest.mark.parametrize("names", [("images", "labels"), ("x_proto", "y_proto")])
def test_an_npz_of_another_program(tmp_path, names):
    given = exported_set()
    order = [3, 0, 4, 1, 5, 2]
    arrays = (given.images[order].transpose(0, 3, 1, 2), given.labels[order].astype(np.float64))
    np.savez(tmp_path / "a.npz", **dict(zip(names, arrays, strict=True)))
    found = read(tmp_path / "a.npz", space="whitened")
    # Sorted by class, and within a class in the order of the file.
    by_class = np.argsort(given.classes[order], kind="stable")
    assert same_bits(found.images, given.images[order][by_class])
    assert same_bits(found.labels, given.labels[order][by_class])
