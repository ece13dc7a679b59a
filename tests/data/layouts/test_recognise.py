import pytest

from rcig_cli.data.layouts.recognise import LAYOUTS, open_recognised
from rcig_cli.data.sources.class_names import IMAGEWOOF
from rcig_cli.data.sources.known import KNOWN, known_names
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError
from tests.data import downloads
from tests.data.examples import pixels, save_picture

RGB = 32, 32, 3
WRITERS = {
    "Tiny-ImageNet": lambda to: downloads.write_tiny_imagenet(to, ("n00000001", "n00000002"), side=8),
    "CUB-200-2011": lambda to: downloads.write_cub200(to, classes=2),
    "CIFAR-10, binary version": lambda to: downloads.write_cifar10_binary(
        to, downloads.example_splits(10, 20, 10, *RGB)
    ),
    "CIFAR-100, binary version": lambda to: downloads.write_cifar100_binary(
        to, downloads.example_splits(100, 100, 10, *RGB)
    ),
    "CIFAR-10, python version": lambda to: downloads.write_cifar10_python(
        to, downloads.example_splits(10, 20, 10, *RGB)
    ),
    "CIFAR-100, python version": lambda to: downloads.write_cifar100_python(
        to, downloads.example_splits(100, 100, 10, *RGB)
    ),
    "Downsampled ImageNet": lambda to: downloads.write_imagenet64(
        to, downloads.example_splits(1000, 1000, 10, 8, 8, 3)
    ),
    "ImageNette": downloads.write_imagenette,
    "ImageWoof": lambda to: downloads.write_imagenette(to, tuple(IMAGEWOOF)),
    "MNIST's IDX files": lambda to: downloads.write_idx(to, downloads.example_splits(10, 20, 10, 28, 28, 1)),
}


def test_every_layout_has_a_copy_here():
    assert [layout.title for layout in LAYOUTS] == list(WRITERS)
    assert {layout.dataset for layout in LAYOUTS} - {None} <= set(known_names())


@pytest.mark.parametrize("title", WRITERS)
def test_a_copy_is_recognised_as_itself_alone(tmp_path, title):
    WRITERS[title](tmp_path)
    assert [layout.title for layout in LAYOUTS if layout.holds(tmp_path)] == [title]
    source = open_recognised("mine", tmp_path)
    assert source.notes[0] == f"{tmp_path} is read as {title}."


@pytest.mark.parametrize(
    "layout", [layout for layout in LAYOUTS if layout.dataset], ids=lambda found: found.title
)
def test_the_name_of_another_known_set_is_refused(tmp_path, layout):
    WRITERS[layout.title](tmp_path)
    for name in set(KNOWN) - {layout.dataset, KNOWN[layout.dataset].also}:
        with pytest.raises(ConfigError, match=f"rcig prepare {layout.dataset} --from"):
            open_recognised(name, tmp_path)


@pytest.mark.parametrize("title", WRITERS)
def test_the_folder_above_it_is_answered_with_the_way_in(tmp_path, title):
    inner = tmp_path / "inner"
    WRITERS[title](inner)
    (tmp_path / "archive.tar.gz").write_bytes(b"")
    with pytest.raises(ConfigError, match=f"{title} in a folder of its own: pass --from {inner}"):
        open_source("mine", tmp_path)


def test_class_folders_are_none_of_them(tmp_path):
    for name in "ab":
        save_picture(tmp_path / name / "0.png", pixels(4, 4, 3))
    assert open_recognised("mine", tmp_path) is None
    assert open_recognised("mine", tmp_path / "a") is None


@pytest.mark.parametrize(
    "name", ["cifar-10-python.tar.gz", "tiny-imagenet-200.zip", "imagewoof2.tgz", "a.TAR"]
)
def test_an_archive_has_to_be_unpacked(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match="unpack it"):
        open_source("mine", tmp_path / name)
