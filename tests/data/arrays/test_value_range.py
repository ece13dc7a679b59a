"""The scale on which the pixels of arrays are read, in ``.npz`` files."""

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.errors import ConfigError
from tests.data.examples import pixels, whole

LEVELS = pixels(48, 6, 6)  # of 0 to 255, both of which occur
LABELS = np.arange(48) % 3


def read(path, values, test=None, **options):
    """The training images as they are read, and what the reader says about their range."""
    np.savez(
        path, x_train=values, y_train=LABELS, x_test=values[:12] if test is None else test, y_test=LABELS[:12]
    )
    source = open_source("own", path, ReadOptions(**options))
    said = [note.text for note in source.notes if note.about == "range"]
    return whole(source, "train").images[..., 0], " ".join(said)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "own.npz"


@pytest.mark.parametrize("dtype", ["uint16", "int16", ">i4", "int64", "uint64", "float32", "float16"])
def test_values_to_255_of_any_type_are_those_of_8_bits(path, dtype):
    images, said = read(path, LEVELS.astype(dtype))
    assert (images == LEVELS).all()
    assert said == "Pixels from 0 to 255 are read on the scale from 0 to 255; --range LOW,HIGH sets another."


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (LEVELS.astype("uint16") * 257, "0 to 65535"),
        (LEVELS.astype("int32") * 257, "0 to 65535"),
        (LEVELS / 255, "0 to 1"),
        (LEVELS.astype("float32") / 255, "0 to 1"),
        (LEVELS / 127.5 - 1, "-1 to 1"),
        ((LEVELS / 127.5 - 1).astype("float32"), "-1 to 1"),
        (LEVELS.astype("uint16") * 16, "0 to 4080"),
        (LEVELS / 255 * (1 + 1e-6) - 1e-7, "0 to 1"),
        (LEVELS / 127.5 * (1 + 1e-6) - 1 - 1e-7, "-1 to 1"),
        (LEVELS * (1 + 1e-6), "0 to 255"),
    ],
)
def test_all_256_levels_come_back_from_other_scales(path, values, scale):
    images, said = read(path, values)
    assert (images == LEVELS).all()
    assert scale in said


@pytest.mark.parametrize(
    ("levels", "dtype"),
    [
        (100, "uint16"),
        (100, "uint8"),
        (17, "uint8"),
        (17, "float64"),
        (2, "uint8"),
        (2, "bool"),
        (2, "float32"),
        (128, "int8"),
        (4096, "uint16"),
        (4096, "float32"),
        (300, "int64"),
    ],
)
def test_few_levels_are_spread_from_black_to_white(path, levels, dtype):
    values = np.arange(48 * 36).reshape(48, 6, 6) % levels
    top = values.max()
    images, said = read(path, values.astype(dtype), test=values[-12:].astype(dtype))
    assert (images == np.rint(values * (255 / top))).all()
    assert f"on the scale from 0 to {top:g}" in said


def test_dark_pictures_of_8_bits_keep_their_scale_if_one_pixel_is_bright(path):
    dark = LEVELS // 4
    dark[-1, -1, -1] = 128
    images, said = read(path, dark)
    assert (images == dark).all()
    assert said == ""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((LEVELS / 255 - 0.45) / 0.25, "between -1.8 and 2.2, .* --range -1.8,2.2"),
        (LEVELS / 255 - 0.5, "between -0.5 and 0.5, .* --range -0.5,0.5"),
        (LEVELS / 255 - 0.02, "between -0.02 and 0.98"),
        (LEVELS / 240, r"between 0 and 1.0625, .* --range 0,1.062\."),
        (LEVELS / 2, "between 0 and 127.5, .* --range 0,127.5"),
        (LEVELS.astype("int16") - 128, "--range -128,127"),
        ((LEVELS.astype("int16") - 128).astype("int8"), "--range -128,127"),
        (LEVELS * 1.5, "between 0 and 382.5"),
        (np.where(LEVELS == 7, np.nan, LEVELS / 255), "between nan and nan: every pixel must be"),
        (np.where(LEVELS == 7, np.inf, LEVELS / 255), "between 0 and inf: every pixel must be"),
    ],
)
def test_an_unclear_scale_is_refused_with_the_option_that_settles_it(path, values, said):
    with pytest.raises(ConfigError, match=said):
        read(path, values)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (LEVELS / 255, LEVELS[:12] * 1.0),
        (LEVELS, LEVELS[:12] // 128),
        (LEVELS, LEVELS[:12] / 255),
        (LEVELS // 16, LEVELS[:12]),
        (LEVELS / 127.5 - 1, LEVELS[:12] / 255),
        (LEVELS.astype("uint16") * 257, LEVELS[:12]),
    ],
)
def test_splits_on_different_scales_are_refused(path, train, test):
    with pytest.raises(ConfigError, match="save both splits on one scale"):
        read(path, train, test)


def test_the_user_settles_the_scale(path):
    centred = (LEVELS / 255 - 0.5) / 0.25
    images, said = read(path, centred, range=(-2, 2))
    assert (images == LEVELS).all()
    assert said == "-2 is black and 2 is white, as set by --range."
    images, said = read(path, centred, range=(-1, 1))
    assert np.abs(images - np.clip(LEVELS * 2.0 - 127.5, 0, 255)).max() <= 0.5
    outside = (abs(centred) > 1).sum() + (abs(centred[:12]) > 1).sum()
    assert f"--range; {outside} values of pixels lie outside and are clipped." in said
    images, said = read(path, LEVELS // 4, range=(0, 255))
    assert (images == LEVELS // 4).all()
    with pytest.raises(ConfigError, match="finite"):
        read(path, np.where(LEVELS == 7, np.nan, LEVELS), range=(0, 255))
