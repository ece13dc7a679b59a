import numpy as np
import pytest
from PIL import Image

from rcig_cli.data.images.picture import picture_suffixes, read_header, read_picture
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.examples import pixels, save_picture


def test_usual_endings_are_images_and_others_are_not():
    assert {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".webp"} <= picture_suffixes()
    assert not {".txt", ".npz", ".eps", ".pdf", ".h5"} & picture_suffixes()


def test_rgb_and_grey_come_back_as_they_were(tmp_path):
    colour, grey = pixels(5, 7, 3), pixels(5, 7)
    colour_path = save_picture(tmp_path / "colour.png", colour)
    grey_path = save_picture(tmp_path / "grey.png", grey)
    assert (read_picture(colour_path, grey=False) == colour).all()
    assert (read_picture(grey_path, grey=True)[..., 0] == grey).all()
    assert (read_picture(grey_path, grey=False) == grey[..., None]).all()
    assert read_header(colour_path).grey is False
    assert read_header(grey_path).grey is True
    assert read_header(grey_path).size == (5, 7)


def test_alpha_is_laid_over_white(tmp_path):
    image = pixels(4, 4, 4)
    image[0, 0] = [1, 2, 3, 0]
    path = save_picture(tmp_path / "alpha.png", image)
    assert read_picture(path, grey=False)[0, 0].tolist() == [255, 255, 255]


def test_grey_with_alpha_stays_grey(tmp_path):
    path = save_picture(tmp_path / "alpha.png", np.array([[[7, 255], [7, 0]]], dtype=np.uint8))
    assert read_header(path).grey is True
    assert read_picture(path, grey=True)[0, :, 0].tolist() == [7, 255]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled(tmp_path, suffix):
    values = np.array([[0, 257, 65535, 32768]], dtype=np.uint16)
    path = save_picture(tmp_path / f"deep.{suffix}", values)
    assert read_header(path).grey is True
    assert read_picture(path, grey=True)[0, :, 0].tolist() == [0, 1, 255, 128]


def test_palettes_are_looked_up_and_count_as_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    image.save(tmp_path / "p.png")
    assert read_header(tmp_path / "p.png").grey is False
    assert read_picture(tmp_path / "p.png", grey=False)[0].tolist() == [[200, 100, 50], [10, 20, 30]]


def test_a_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    image.save(tmp_path / "p.png", transparency=0)
    assert read_picture(tmp_path / "p.png", grey=False)[0, 1].tolist() == [255, 255, 255]


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "c.tif")
    assert read_picture(tmp_path / "c.tif", grey=False)[0, 0].tolist() == [255, 0, 0]


def test_the_orientation_mark_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = pixels(3, 5, 3)
    path = save_picture(tmp_path / "turned.png", image, exif=exif)
    assert (read_picture(path, grey=False) == np.rot90(image, -1)).all()
    assert read_header(path).size == (3, 5)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "a.gif", grey=False)[0, 0].tolist() == [255, 0, 0]


def test_what_is_no_image_is_called_damaged(tmp_path):
    path = tmp_path / "no.png"
    path.write_bytes(b"hello")
    with pytest.raises(Corrupt, match=r"no\.png"):
        read_header(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_file_cut_short_is_called_damaged(tmp_path, suffix):
    path = save_picture(tmp_path / f"cut.{suffix}", pixels(40, 40, 3))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(Corrupt, match=rf"cut\.{suffix}"):
        read_picture(path, grey=False)


@pytest.mark.parametrize("limit", [99, 20])
def test_a_decompression_bomb_is_not_opened(tmp_path, monkeypatch, limit):
    path = save_picture(tmp_path / "bomb.png", pixels(10, 10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ConfigError, match="too large"):
        read_header(path)


@pytest.mark.parametrize(
    ("values", "word"),
    [(np.zeros((2, 2), np.float32), "floats"), (np.full((2, 2), 70000, np.int32), "16 bits")],
)
def test_pixels_of_no_known_scale_are_refused(tmp_path, values, word):
    path = save_picture(tmp_path / "f.tif", values)
    with pytest.raises(ConfigError, match=word):
        read_picture(path, grey=True)
