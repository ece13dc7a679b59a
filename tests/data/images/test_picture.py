"""Image files: colours, bit depths, orientation, damage, and sizes that are refused."""

import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from rcig_cli.data.images.picture import picture_suffixes, read_header, read_picture
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.examples import pixels, png_bytes, save_picture


def test_usual_suffixes_are_images_and_others_are_not():
    assert {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".webp"} <= picture_suffixes()
    assert not {".txt", ".npz", ".eps", ".ps", ".psd", ".ico", ".wmf", ".pdf", ".h5"} & picture_suffixes()


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


def test_alpha_is_composited_over_white(tmp_path):
    image = pixels(4, 4, 4)
    image[0, 0] = [1, 2, 3, 0]
    path = save_picture(tmp_path / "alpha.png", image)
    assert read_picture(path, grey=False)[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled(tmp_path, suffix):
    values = np.array([[0, 257, 65535, 32768]], dtype=np.uint16)
    path = save_picture(tmp_path / f"deep.{suffix}", values)
    assert read_header(path).grey is True
    assert read_picture(path, grey=True)[0, :, 0].tolist() == [0, 1, 255, 128]


@pytest.mark.parametrize(("options", "last"), [({}, [10, 20, 30]), ({"transparency": 0}, [255, 255, 255])])
def test_palettes_are_looked_up_and_count_as_colour(tmp_path, options, last):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    image.save(tmp_path / "p.png", **options)
    assert read_header(tmp_path / "p.png").grey is False
    assert read_picture(tmp_path / "p.png", grey=False)[0].tolist() == [[200, 100, 50], last]


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "c.tif")
    assert read_picture(tmp_path / "c.tif", grey=False)[0, 0].tolist() == [255, 0, 0]


def test_the_exif_orientation_is_applied(tmp_path):
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


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_file_cut_short_is_reported(tmp_path, suffix):
    path = save_picture(tmp_path / f"cut.{suffix}", pixels(40, 40, 3))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(Corrupt, match=rf"cut\.{suffix}"):
        read_picture(path, grey=False)


def tiff(*tags):
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in sorted(tags))
    return b"II*\0" + struct.pack("<LH", 8, len(tags)) + entries + bytes(64)


TILE = ((256, 8), (257, 8), (258, 8), (259, 8), (262, 1), (277, 1), (324, 99), (325, 9))
BOMBS = {
    "huge.png": png_bytes(60_000, 60_000),
    "wide.png": png_bytes(2**31 - 1, 2**31 - 1),
    "just.png": png_bytes(8192, 8193),
    "huge.bmp": b"BM"
    + struct.pack("<LLLLllHHLLllLL", 99, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "huge.tif": tiff((256, 60_000), (257, 60_000), (258, 8), (259, 1), (262, 1), (273, 99), (277, 1)),
    "tile.tif": tiff(*TILE, (322, 65_536), (323, 65_536)),
    "huge.gif": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x08\x01\0;",
    "huge.webp": b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9),
    "huge.ppm": b"P6 60000 60000 255\n" + bytes(99),
    "huge.tga": bytes([0, 0, 2, *bytes(9), 255, 255, 255, 255, 24, 0]) + bytes(99),
    "huge.jpg": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xd9",
}


@pytest.mark.parametrize("name", BOMBS)
def test_images_that_declare_too_many_pixels_take_no_memory(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BOMBS[name])
    tracemalloc.start()
    with pytest.raises(ConfigError, match="too large"):
        read_picture(path, grey=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path):
    path = save_picture(tmp_path / "a.png", pixels(6, 6, 3))
    with path.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(ConfigError, match="the limit is 268435456 bytes"):
        read_header(path)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(touched) (w) file closefile\n",
        b"\xd7\xcd\xc6\x9a" + bytes(40),  # WMF
        b"8BPS\0\x01" + bytes(6) + struct.pack(">HLLHH", 3, 9, 9, 8, 3),
        b"icns" + struct.pack(">L", 8),
    ],
)
def test_other_formats_are_refused_whatever_they_are_called(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Corrupt, match="damaged or not an image"):
        read_header(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("values", "word"),
    [(np.zeros((2, 2), np.float32), "floats"), (np.full((2, 2), 70000, np.int32), "16 bits")],
)
def test_floats_and_deeper_integers_are_refused(tmp_path, values, word):
    path = save_picture(tmp_path / "f.tif", values)
    with pytest.raises(ConfigError, match=word):
        read_picture(path, grey=True)
