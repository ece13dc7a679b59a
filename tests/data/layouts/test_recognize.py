"""Which layout a folder is read as, and the layouts that are class folders: ImageNette and ImageWoof."""

import numpy as np
import pytest

from rcig_cli.data.layouts.recognize import LAYOUTS, open_recognized
from rcig_cli.data.sources.known import KNOWN, known_names
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError
from tests.data.downloads import COPIES, IMAGENETTE, IMAGEWOOF, save_jpeg, write_imagenette
from tests.data.examples import pixels, whole


def test_every_layout_has_a_copy_in_the_tests():
    assert [(layout.title, layout.dataset) for layout in LAYOUTS] == [
        (title, dataset) for title, (dataset, _) in COPIES.items()
    ]
    assert {layout.dataset for layout in LAYOUTS} - {None} <= set(known_names())


@pytest.mark.parametrize("title", COPIES)
def test_a_copy_is_recognized_as_its_own_layout_only(tmp_path, title):
    dataset, write = COPIES[title]
    write(tmp_path / "inner")
    assert [layout.title for layout in LAYOUTS if layout.holds(tmp_path / "inner")] == [title]
    source = open_recognized("mine", tmp_path / "inner")
    assert source.notes[0] == f"{tmp_path / 'inner'} is read as {title}."
    (tmp_path / "archive.tar.gz").write_bytes(b"")
    with pytest.raises(ConfigError, match=f"{title} in a subfolder: pass --from {tmp_path}/inner"):
        open_source("mine", tmp_path)
    for name in set(KNOWN) - {dataset, KNOWN[dataset].also} if dataset else ():
        with pytest.raises(ConfigError, match=f"holds {title}, not .* rcig prepare {dataset} --from"):
            open_recognized(name, tmp_path / "inner")


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "tiny-imagenet-200.zip", "a.TAR"])
def test_an_archive_has_to_be_unpacked_first(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match="unpack it"):
        open_source("mine", tmp_path / name)


@pytest.mark.parametrize(("name", "synsets"), [("imagenette", IMAGENETTE), ("imagewoof", IMAGEWOOF)])
@pytest.mark.parametrize("short", [160, 320])
def test_ten_classes_at_128_pixels(tmp_path, name, synsets, short):
    write_imagenette(tmp_path, tuple(synsets), short=short)
    source = open_source(name, tmp_path)
    assert source.shape == (128, 128, 3)
    assert source.sizes == {"train": 20, "test": 10}
    assert source.class_names == tuple(synsets.values())
    assert list(synsets) == sorted(synsets)
    assert "128 x 128" in source.notes[1]
    assert f"{name} as published has 9" in source.notes[2]
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


def test_without_a_folder_the_error_says_what_to_do():
    with pytest.raises(ConfigError, match=r"imagewoof2\.tgz, unpack it, .* imagewoof --from imagewoof2"):
        open_source("imagewoof")


def test_empty_classes_and_splits_are_refused_and_links_out_skipped(tmp_path):
    folder = write_imagenette(tmp_path / "imagenette2")
    save_jpeg(tmp_path / "secret.JPEG", pixels(200, 200, 3))
    (folder / "train" / "n01440764" / "linked.JPEG").symlink_to(tmp_path / "secret.JPEG")
    source = open_source("imagenette", folder)
    assert source.sizes["train"] == 20
    assert "Links skipped" in source.notes[1]
    for path in (folder / "val").rglob("*.JPEG"):
        path.unlink()
    with pytest.raises(ConfigError, match="val holds no images"):
        open_source("imagenette", folder)
    for path in (folder / "train" / "n01440764").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match="n01440764 holds no images"):
        open_source("imagenette", folder)
