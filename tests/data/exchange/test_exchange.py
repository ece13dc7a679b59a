"""Every format in, and out and in again: the same bits."""

import json

import numpy as np
import pytest

from rcig_cli.data.exchange import npz_set, parquet_set, picture_folder, safetensors_set
from rcig_cli.data.exchange.foreign import read_set
from rcig_cli.data.exchange.opening import open_foreign
from rcig_cli.errors import ConfigError
from tests.data.examples import save_picture
from tests.data.exchange_sets import NAMES, outgoing, published, same_bits, state_of, target

EXACT = {
    "set.npz": npz_set.write_set,
    "set.safetensors": safetensors_set.write_set,
    "folder": parquet_set.write_set,
}


def write(path, form, given):
    if form == "folder" or form == "pictures":
        path.mkdir()
    (picture_folder.write_set if form == "pictures" else EXACT[form])(path, given)
    return path


def read(path, goal=None, space=None):
    goal = goal or target()
    return read_set(open_foreign(path, goal), goal, space)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", EXACT)
def test_what_goes_out_comes_back_bit_for_bit(tmp_path, form, channels):
    given = outgoing(ipc=70, channels=channels, side=16)
    goal = target(channels, side=16, most=900)
    found = read(write(tmp_path / form, form, given), goal)
    assert found.space == "whitened"
    assert same_bits(found.inputs(given.whitening), given.images)
    assert same_bits(found.labels, given.labels)
    assert same_bits(found.classes, given.classes)


@pytest.mark.parametrize("form", [*EXACT, "pictures"])
def test_others_may_read_what_goes_out(tmp_path, form):
    (tmp_path / "any").touch()
    usual = (tmp_path / "any").stat().st_mode
    path = write(tmp_path / form, form, outgoing())
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    assert {file.stat().st_mode for file in files} == {usual}


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_come_back_to_the_8_bit_pixels(tmp_path, channels):
    given = outgoing(channels=channels)
    path = write(tmp_path / "pictures", "pictures", given)
    assert sorted(entry.name for entry in path.iterdir()) == [
        "0",
        "1",
        "2",
        "labels.npz",
    ]  # a name has a slash
    found = read(path, target(channels))
    assert found.space == "pixels"
    assert same_bits(found.images, given.pixels())
    assert same_bits(given.whitening.pixels(found.inputs(given.whitening)), given.pixels())
    assert same_bits(found.labels, given.labels)
    assert same_bits(found.classes, given.classes)


def test_class_folders_are_called_as_the_classes_where_they_can_be(tmp_path):
    names = ("zebra", "ant", "train")
    given = outgoing(class_names=names)
    path = write(tmp_path / "pictures", "pictures", given)
    assert sorted(entry.name for entry in path.iterdir()) == ["ant", "labels.npz", "train", "zebra"]
    found = read(path, target(class_names=names))
    assert same_bits(found.images, given.pixels())
    assert same_bits(found.labels, given.labels)


def test_pictures_alone_have_centred_one_hot_labels(tmp_path):
    pixels = np.arange(6 * 48, dtype=np.uint8).reshape(6, 4, 4, 3)
    for row, name in enumerate(["cat", "cat", "dog", "dog", "owl", "owl"]):
        save_picture(tmp_path / name / f"{row}.png", pixels[row])
    found = read(tmp_path, target(class_names=("owl", "cat", "dog")))
    assert found.classes.tolist() == [0, 0, 1, 1, 2, 2]
    assert same_bits(found.images, pixels[[4, 5, 0, 1, 2, 3]])
    assert found.labels == pytest.approx(np.repeat(np.eye(3) - 1 / 3, 2, axis=0))


def test_parquet_follows_the_layout_of_hugging_face(tmp_path):
    import pyarrow.parquet

    given = outgoing()
    path = write(tmp_path / "folder", "folder", given)
    table = pyarrow.parquet.read_table(path / "data" / "train-00000-of-00001.parquet")
    assert str(table.schema.field("image").type) == "struct<bytes: binary, path: string>"
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == table.column_names == ["image", "label", "soft_label", "whitened"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": list(NAMES), "_type": "ClassLabel"}
    card = (path / "README.md").read_text()
    assert card.startswith("---\n")
    assert "path: data/train-*" in card


def test_parquet_with_pictures_and_labels_only(tmp_path):
    import pyarrow.parquet

    given = outgoing()
    path = write(tmp_path / "folder", "folder", given) / "data" / "train-00000-of-00001.parquet"
    plain = tmp_path / "plain.parquet"
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).select(["image", "label"]), plain)
    found = read(plain)
    assert found.space == "pixels"
    assert same_bits(found.images, given.pixels())
    assert found.labels.argmax(axis=1).tolist() == given.classes.tolist()


@pytest.mark.parametrize("chunk", [None, 40])
def test_a_published_checkpoint_gives_its_average(tmp_path, monkeypatch, chunk):
    given = outgoing()
    path = tmp_path / "checkpoint_9"
    path.write_bytes(published(state_of(given.images, given.labels), chunk, monkeypatch))
    found = read(path)
    assert found.space == "whitened"
    assert same_bits(found.inputs(given.whitening), given.images)
    assert same_bits(found.labels, given.labels)
    assert found.classes.tolist() == given.classes.tolist()


def test_a_checkpoint_without_an_average_gives_its_parameters(tmp_path):
    given = outgoing()
    state = state_of(given.images, given.labels)
    del state["ema_average"]
    path = tmp_path / "frepo.ckpt"
    path.write_bytes(published({**state, "params": {"params": state["opt_state"]["0"]["mu"]}}))
    assert same_bits(read(path).images, given.images)


@pytest.mark.parametrize("names", [("images", "labels"), ("x_proto", "y_proto")])
def test_an_npz_made_elsewhere(tmp_path, names):
    given = outgoing()
    order = [3, 0, 4, 1, 5, 2]
    arrays = (given.images[order].transpose(0, 3, 1, 2), given.labels[order].astype(np.float64))
    np.savez(tmp_path / "a.npz", **dict(zip(names, arrays, strict=True)))
    found = read(tmp_path / "a.npz", space="whitened")
    # By class, and within one as they came.
    by_class = np.argsort(given.classes[order], kind="stable")
    assert same_bits(found.images, given.images[order][by_class])
    assert same_bits(found.labels, given.labels[order][by_class])


def test_spaces(tmp_path):
    given = outgoing()
    pixels = given.pixels()
    expected = given.whitening.apply(pixels)
    unit = pixels.astype(np.float32) / 255
    standard = (unit - given.whitening.mean) / given.whitening.std
    for images, space, said in (
        (pixels, None, "pixels"),
        (unit, "pixels", "pixels"),
        (standard, *["normalized"] * 2),
    ):
        np.savez(tmp_path / "a.npz", images=images, labels=given.classes)
        found = read(tmp_path / "a.npz", space=space)
        assert found.space == said
        assert same_bits(found.inputs(given.whitening), expected)
        assert found.labels == pytest.approx(np.eye(3)[given.classes] - 1 / 3)


def test_grey_images_need_no_channel(tmp_path):
    given = outgoing(channels=1)
    for shape in ((6, 4, 4), (6, 1, 4, 4), (6, 4, 4, 1)):
        np.savez(tmp_path / "a.npz", images=given.images.reshape(shape), labels=given.labels)
        assert same_bits(read(tmp_path / "a.npz", target(1), "whitened").images, given.images)


IMAGES, LABELS = outgoing().images, outgoing().labels


@pytest.mark.parametrize(
    ("changes", "space", "said"),
    [
        ({"images": None}, None, "no arrays images and labels"),
        ({"images": IMAGES[:, :3]}, "whitened", "3 x 4 x 3, and those of pets are 4 x 4 x 3"),
        ({"images": IMAGES[..., :1]}, "whitened", "4 x 4 x 1, and those of pets are 4 x 4 x 3"),
        ({"images": IMAGES[0]}, "whitened", "4 x 3, and those of pets"),
        ({"images": IMAGES.astype(np.int32)}, "whitened", "type int32"),
        ({"images": IMAGES.astype(complex)}, "whitened", "type complex"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "whitened", "0 images"),
        ({"images": np.zeros((61, 4, 4, 3)), "labels": np.zeros(61)}, "whitened", "61 images; .* 1 to 60"),
        ({"labels": LABELS[:4]}, "whitened", "6 images, but labels of the shape 4 x 3"),
        ({"labels": np.ones((6, 10))}, "whitened", "10 classes, and pets has 3"),
        ({"labels": np.array([0, 0, 1, 1, 2, 3])}, "whitened", "a label 3, and pets has 3 classes"),
        ({"labels": np.array([0, 0, 1, 1, 2, -1])}, "whitened", "negative label"),
        ({"labels": np.array([0, 0, 1, 1, 2, 0.5])}, "whitened", "whole numbers"),
        (
            {"labels": np.array([0, 0, 1, 1, 2, 1])},
            "whitened",
            "1 images of class 'T-shirt/top' and 3 of 'dog'",
        ),
        ({"images": IMAGES[:5], "labels": LABELS[:5]}, "whitened", "as many of each"),
        ({"labels": np.array(list("abcdef"))}, "whitened", "type <U1"),
        ({"labels": LABELS * np.nan}, "whitened", "NaN"),
        ({"classes": np.zeros(5, int)}, "whitened", "one whole number for each"),
        ({}, None, "--space"),
        ({"space": np.array("blue")}, None, "space must be one of"),
        ({"space": np.arange(3)}, None, "space must be one of"),
    ],
)
def test_what_is_no_set_of_this_data_set_is_refused(tmp_path, changes, space, said):
    arrays = {"images": IMAGES, "labels": LABELS, **changes}
    np.savez(tmp_path / "a.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ConfigError, match=said) as caught:
        read(tmp_path / "a.npz", space=space)
    assert "\n" not in str(caught.value)


def test_where_the_channels_are_must_be_told_by_the_shape(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 3, 3, 3), np.uint8), labels=np.arange(3))
    with pytest.raises(ConfigError, match="nobody can tell"):
        read(tmp_path / "a.npz", target(side=3))


@pytest.mark.parametrize(
    ("images", "space", "said"),
    [
        (IMAGES * 1e3, "pixels", "between 0 and 1"),
        (np.where(IMAGES > 1, np.inf, IMAGES), "whitened", "infinities"),
        (IMAGES.astype(np.float64) * 1e60, "normalized", "infinities"),
        (np.zeros((6, 4, 4, 3), np.uint8), "whitened", "these are pixels"),
    ],
)
def test_values_that_cannot_be(tmp_path, images, space, said):
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS)
    found = read(tmp_path / "a.npz", space=space)
    with pytest.raises(ConfigError, match=said):
        found.inputs(outgoing().whitening)
