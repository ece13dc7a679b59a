import numpy as np
import pytest

from rcig_cli.data.sources.class_names import IMAGENETTE, IMAGEWOOF
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError
from tests.data.downloads import save_jpeg, write_imagenette
from tests.data.examples import pixels, whole

SETS = {"imagenette": IMAGENETTE, "imagewoof": IMAGEWOOF}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("short", [160, 320])
def test_ten_classes_at_128_pixels(tmp_path, name, short):
    source = open_source(name, write_imagenette(tmp_path, tuple(SETS[name]), short=short))
    assert source.shape == (128, 128, 3)
    assert source.sizes == {"train": 20, "test": 10}
    assert source.class_names == tuple(SETS[name].values())
    assert list(SETS[name]) == sorted(SETS[name])
    assert "128 x 128" in source.notes[1]
    assert f"{name} as published has 9" in source.notes[2]
    assert np.bincount(whole(source, "train").labels).tolist() == [2] * 10


@pytest.mark.parametrize(("name", "word"), [("imagenette", "parachute"), ("imagewoof", "dingo")])
def test_under_another_name_it_is_the_same(tmp_path, name, word):
    source = open_source("mine", write_imagenette(tmp_path, tuple(SETS[name])))
    assert source.shape == (128, 128, 3)
    assert source.class_names[9] == word


def test_the_other_one_under_this_name(tmp_path):
    with pytest.raises(ConfigError, match="holds ImageNette, not imagewoof"):
        open_source("imagewoof", write_imagenette(tmp_path))


def test_some_of_its_classes_are_class_folders_with_readable_names(tmp_path):
    source = open_source("three", write_imagenette(tmp_path, tuple(IMAGENETTE)[:3]))
    assert source.class_names == ("tench", "English springer", "cassette player")
    assert source.shape == (64, 64, 3)


def test_codes_that_are_not_known_stay(tmp_path):
    for code in ("n01440764", "n99999999"):
        for index in range(5):
            save_jpeg(tmp_path / code / f"{index}.JPEG", pixels(8, 8, 3))
    assert open_source("mine", tmp_path).class_names == ("n01440764", "n99999999")


def test_without_a_folder_a_sentence_says_what_to_do():
    with pytest.raises(
        ConfigError, match=r"imagewoof2\.tgz, unpack it, .*rcig prepare imagewoof --from imagewoof2"
    ):
        open_source("imagewoof")


def test_an_empty_class(tmp_path):
    write_imagenette(tmp_path)
    for path in (tmp_path / "train" / "n01440764").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match="n01440764 holds no images"):
        open_source("imagenette", tmp_path)


def test_an_empty_test_split(tmp_path):
    write_imagenette(tmp_path)
    for path in (tmp_path / "val").rglob("*.JPEG"):
        path.unlink()
    with pytest.raises(ConfigError, match="val holds no images"):
        open_source("imagenette", tmp_path)


def test_a_link_that_leads_out_is_passed_over(tmp_path):
    folder = write_imagenette(tmp_path / "imagenette2")
    save_jpeg(tmp_path / "secret.JPEG", pixels(200, 200, 3))
    (folder / "train" / "n01440764" / "linked.JPEG").symlink_to(tmp_path / "secret.JPEG")
    source = open_source("imagenette", folder)
    assert source.sizes["train"] == 20
    assert "Links passed over" in source.notes[1]
