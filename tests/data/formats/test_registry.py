"""Which format a path has, and the formats that are class folders: ImageNette and ImageWoof."""

import os

import numpy as np
import pytest

from rcig_cli.data.formats.registry import FORMATS
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, RcigError
from tests.data.downloads import COPIES, IMAGENETTE, IMAGEWOOF, save_jpeg, write_imagenette
from tests.data.examples import pixels, whole


def test_every_format_has_a_copy_in_the_tests():
    assert {form.title: form.dataset for form in FORMATS if form.title != "a folder of image files"} == {
        title: dataset for title, (dataset, *_) in COPIES.items()
    }


@pytest.mark.parametrize("title", COPIES)
def test_a_copy_is_recognized_as_its_own_format_only(tmp_path, title):
    dataset, _, write = COPIES[title]
    write(tmp_path / "inner")
    assert [form.title for form in FORMATS if form.holds(tmp_path / "inner")] == [
        title,
        "a folder of image files",
    ]
    source = open_source("mine", tmp_path / "inner")
    assert source.notes[0].text == f"{tmp_path / 'inner'} is read as {title}."
    (tmp_path / "archive.tar.gz").write_bytes(b"")
    (tmp_path / "__MACOSX").mkdir()
    assert open_source("mine", tmp_path).notes == source.notes  # an archive's only folder is entered
    save_jpeg(tmp_path / "other" / "a.jpg", pixels(8, 8, 3))
    with pytest.raises(ConfigError, match=f"{title} in a subfolder: pass --from {tmp_path}/inner"):
        open_source("mine", tmp_path)
    for name in set(KNOWN) - {dataset, KNOWN[dataset].also} if dataset else ():
        with pytest.raises(ConfigError, match=f"holds {title}, not .* rcig prepare {dataset} --from"):
            open_source(name, tmp_path / "inner")


@pytest.mark.parametrize("title", COPIES)
def test_a_file_that_is_missing_a_pipe_or_outside_the_folder_is_refused(tmp_path, title):
    _, name, write = COPIES[title]
    path = write(tmp_path / "copy") / name
    path.rename(tmp_path / "elsewhere")
    for make in (None, os.mkfifo, lambda path: path.symlink_to(tmp_path / "elsewhere")):
        if make is not None:
            make(path)
        if make is None and title in ("Tiny-ImageNet", "CUB-200-2011"):  # without its list: class folders
            assert "has no test split" in str(open_source("mine", tmp_path / "copy").notes)
            continue
        said = name.split("/")[-1] + "|without training images|no image files|for these labels|has no column"
        with pytest.raises(RcigError, match=said):
            open_source("mine", tmp_path / "copy")
        path.unlink(missing_ok=True)
    path.symlink_to(path)
    with pytest.raises(RcigError):
        open_source("mine", tmp_path / "copy")


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "tiny-imagenet-200.zip", "a.TAR"])
def test_an_archive_has_to_be_unpacked_first(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match="unpack it"):
        open_source("mine", tmp_path / name)


@pytest.mark.parametrize(("name", "synsets"), [("imagenette", IMAGENETTE), ("imagewoof", IMAGEWOOF)])
def test_ten_classes_at_128_pixels(tmp_path, name, synsets):
    source = open_source(name, write_imagenette(tmp_path, tuple(synsets)))
    assert source.shape == (128, 128, 3)
    assert source.sizes == {"train": 20, "test": 10}
    assert source.class_names == tuple(synsets.values())
    texts = {note.about: note.text for note in source.notes}
    assert texts.keys() == {"format", "splits", "classes", "size", "skipped"}
    assert "128 x 128" in texts["size"]
    assert f"{name} as published has 9" in texts["splits"]
    assert np.bincount(whole(source, "train").labels).tolist() == [2] * 10
    mine = open_source("mine", tmp_path)
    assert (mine.shape, mine.class_names) == (source.shape, source.class_names)


def test_some_of_the_classes_are_class_folders_with_readable_names(tmp_path):
    source = open_source("three", write_imagenette(tmp_path, tuple(IMAGENETTE)[:3]))
    assert source.class_names == ("tench", "English springer", "cassette player")
    assert source.shape == (64, 64, 3)
    for code in ("n01440764", "n99999999"):
        for index in range(5):
            save_jpeg(tmp_path / "unknown" / code / f"{index}.JPEG", pixels(8, 8, 3))
    assert open_source("mine", tmp_path / "unknown").class_names == ("n01440764", "n99999999")


def test_all_folders_that_could_be_meant_are_named(tmp_path):
    title = "CIFAR-10, binary version"
    for inner in ("a", "b"):
        COPIES[title][2](tmp_path / inner)
    with pytest.raises(
        ConfigError, match=f"{title} in a subfolder: pass --from {tmp_path}/a or {tmp_path}/b."
    ):
        open_source("mine", tmp_path)


def test_without_a_folder_the_error_says_what_to_do():
    with pytest.raises(ConfigError, match=r"imagewoof2\.tgz, unpack it, .* imagewoof --from imagewoof2"):
        open_source("imagewoof")


def test_files_beside_class_folders_dont_hide_them(tmp_path):
    for number, name in enumerate(("cat", "dog")):
        for index in range(5):
            save_jpeg(tmp_path / name / f"{index}.jpg", pixels(8, 8, 3, seed=10 * number + index))
    np.save(tmp_path / "features.npy", pixels(10, 64))
    np.save(tmp_path / "labels.npy", np.arange(10) % 2)
    np.savez(tmp_path / "train.npz", x=pixels(10, 8, 8), y=np.arange(10) % 2)
    (tmp_path / "train_list.mat").write_bytes(bytes(200))
    (tmp_path / "train.csv").write_text(",".join(map(str, range(26))) + "\n")
    source = open_source("pets", tmp_path)
    assert source.notes[0].text.endswith("is read as a folder of image files.")
    assert source.class_names == ("cat", "dog")
