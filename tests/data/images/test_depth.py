"""Which values are black and white in image files of more than 8 bits."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from rcig_cli.data.images.picture import read_header, read_picture
from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.examples import png_bytes, save_picture, whole

SIDE = 8


def pgm(values, white):
    return b"P5 %d %d %d\n" % (values.shape[1], values.shape[0], white) + values.astype(">u2").tobytes()


def write(root, arrays, suffix="png", white=65535):
    """Write grey images into two class folders, in turn."""
    for number, array in enumerate(arrays):
        path = root / "ab"[number % 2] / f"{number:03}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        if suffix == "pgm":
            path.write_bytes(pgm(array, white))
        else:
            save_picture(path, array)


def ramps(highest, count=20, dtype=np.uint16):
    """Images whose values rise to a fraction of ``highest``; the last to all of it."""
    rise = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE)
    return [(rise * highest * (number + 1) / count).astype(dtype) for number in range(count)]


def read(root, **options):
    """The images that were written, in their order, and the source."""
    source = open_source("deep", root, ReadOptions(**options))
    images = np.concatenate([whole(source, split).images for split in ("train", "test")])[..., 0]
    return sorted(images.tolist(), key=lambda image: np.sum(image)), source


def due(arrays, low, high):
    scaled = [np.rint(np.clip((array.astype(float) - low) * 255 / (high - low), 0, 255)) for array in arrays]
    return sorted((array.astype(int).tolist() for array in scaled), key=lambda image: np.sum(image))


def range_note(source):
    return next(note.text for note in source.notes if note.about == "range")


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_images_of_more_than_8_bits_need_a_range(tmp_path, suffix):
    arrays = ramps(4000)
    write(tmp_path, arrays, suffix)
    said = rf"{tmp_path} has grey images of more than 8 bits, such as a/000\.{suffix}\. .*--range 0,65535\."
    with pytest.raises(ConfigError, match=said):
        open_source("deep", tmp_path)
    found, source = read(tmp_path, range=(100.0, 3000.0))
    assert source.shape == (SIDE, SIDE, 1)
    assert found == due(arrays, 100, 3000)
    assert range_note(source) == "100 is black and 3000 is white, as set by --range."


def test_a_range_for_images_of_8_bits(tmp_path):
    arrays = ramps(15, dtype=np.uint8)
    write(tmp_path, arrays)
    found, source = read(tmp_path, range=(0.0, 15.0))
    assert found == due(arrays, 0, 15)
    assert "15 is white, as set by --range" in range_note(source)


def test_pgm_and_ppm_files_that_pillow_would_rescale_are_refused(tmp_path):
    write(tmp_path, ramps(2000), "pgm", white=4095)
    with pytest.raises(
        ConfigError, match=r"000\.pgm is a PGM or PPM file in which 4095 is white: save it as"
    ):
        open_source("deep", tmp_path, ReadOptions(range=(0.0, 4095.0)))
    (tmp_path / "a.ppm").write_bytes(b"P6 1 1 4095\n" + np.array([0, 2048, 4095], ">u2").tobytes())
    with pytest.raises(ConfigError, match="4095 is white"):
        read_header(tmp_path / "a.ppm")
    (tmp_path / "a.ppm").write_bytes(b"P6 1 1 100\n\0\x32\x64")
    assert read_picture(tmp_path / "a.ppm", grey=False).ravel().tolist() == [0, 128, 255]


@pytest.mark.parametrize(("highest", "dtype"), [(0.9, np.float32), (70_000, np.int32)])
def test_floats_and_integers_of_more_than_16_bits(tmp_path, highest, dtype):
    arrays = ramps(highest, dtype=dtype)
    write(tmp_path, arrays, "tif")
    with pytest.raises(ConfigError, match=r"such as a/000.tif\. .*--range"):
        open_source("deep", tmp_path)
    assert read(tmp_path, range=(-1.0, highest))[0] == due(arrays, -1, highest)


def test_a_range_holds_for_images_of_8_bits_beside_deep_ones(tmp_path):
    arrays = ramps(250, 6)
    write(tmp_path, arrays)
    flat = np.full((SIDE, SIDE), 200, np.uint8)
    save_picture(tmp_path / "a" / "eight.png", flat)
    assert read(tmp_path, range=(0.0, 250.0))[0] == due([*arrays, flat], 0, 250)


@pytest.mark.parametrize("limits", [None, (0.0, 65535.0)])
def test_a_range_that_makes_images_of_8_bits_black_is_refused(tmp_path, limits):
    write(tmp_path, ramps(65535, 6))
    save_picture(tmp_path / "a" / "eight.png", np.full((SIDE, SIDE), 200, np.uint8))
    with pytest.raises(ConfigError, match=r"images of 8 bits, and others of more, such as .*png: save all"):
        open_source("deep", tmp_path, ReadOptions(range=limits))


@pytest.mark.parametrize("limits", [None, (0.0, 65535.0)])
def test_grey_images_and_colours_of_16_bits_are_refused_at_once(tmp_path, limits):
    write_deep_colours(tmp_path, 1, struct.pack(">B3H", 0, 300, 4095, 65535))
    save_picture(tmp_path / "a" / "grey.png", np.full((1, 1), 40_000, np.uint16))
    with pytest.raises(ConfigError, match=r"colours of 16 bits a channel, and grey .*a/grey\.png: save all"):
        open_source("deep", tmp_path, ReadOptions(range=limits))


def test_damaged_colours_of_16_bits_are_counted(tmp_path):
    row = b"\0" + np.random.default_rng(0).integers(0, 256, SIDE * 6, np.uint8).tobytes()
    write_deep_colours(tmp_path, SIDE, row * SIDE)
    for name in ("a/2.png", "b/1.png"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-60])
    with pytest.raises(Corrupt, match=r"2 .*--skip-damaged"):
        open_source("deep", tmp_path)


def test_values_that_are_not_finite_are_refused(tmp_path):
    write(tmp_path, [np.full((SIDE, SIDE), np.nan, np.float32)] * 4, "tif")
    source = open_source("deep", tmp_path, ReadOptions(range=(0.0, 1.0)))
    with pytest.raises(ConfigError, match=r"00\d.tif has pixels that are not finite"):
        whole(source, "train")


def write_deep_colours(root, side, rows):
    """Write PNG files of 16 bits a channel into two class folders."""
    content = bytearray(png_bytes(side, side, zlib.compress(rows)))
    content[24] = 16  # the bit depth
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)


def test_16_bits_a_channel_are_reduced_to_8(tmp_path):
    row = struct.pack(">B3H", 0, 300, 4095, 65535)
    write_deep_colours(tmp_path, 1, row)
    source = open_source("deep", tmp_path)
    assert "Images of 16 bits a channel, of which the upper 8 are used: 4." in range_note(source)
    assert whole(source, "train").images[0].ravel().tolist() == [1, 15, 255]
    with pytest.raises(ConfigError, match="--range can't be used"):
        open_source("deep", tmp_path, ReadOptions(range=(0.0, 4095.0)))


def test_colours_that_do_not_fill_16_bits_are_refused(tmp_path):
    values = np.linspace(0, 4095, SIDE * SIDE * 3).astype(">u2").reshape(SIDE, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in values)
    write_deep_colours(tmp_path, SIDE, raw)
    with pytest.raises(ConfigError, match=r"values up to 4095, which don't fill 16 bits: save .* 8 bits"):
        open_source("deep", tmp_path)


def tiff(array, bits, sample_format, black_is_zero=1):
    data = array.tobytes()
    shorts = {258: bits, 259: 1, 262: black_is_zero, 277: 1, 339: sample_format}
    longs = {256: array.shape[1], 257: array.shape[0], 273: 8, 278: array.shape[0], 279: len(data)}
    entries = b"".join(
        struct.pack("<HHLHH", tag, 3, 1, value, 0)
        if tag in shorts
        else struct.pack("<HHLL", tag, 4, 1, value)
        for tag, value in sorted((shorts | longs).items())
    )
    start = struct.pack("<LH", 8 + len(data), len(shorts) + len(longs))
    return b"II*\0" + start[:4] + data + start[4:] + entries + bytes(4)


def test_tiffs_that_pillow_reads_wrongly_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(np.array([[1, 5]], "<u2"), 16, 1))
    assert read_picture(path, grey=True, limits=(0, 5)).ravel().tolist() == [51, 255]
    Image.new("RGBA", (SIDE, SIDE)).save(path)
    not_alpha, alpha = (struct.pack("<HHLL", 338, 3, 1, meaning) for meaning in (0, 2))
    for content in (
        tiff(np.array([[1, 5]], "<u2"), 16, 1, black_is_zero=0),
        tiff(np.array([[1, -5]], "i1"), 8, 2),
        path.read_bytes().replace(alpha, not_alpha),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="TIFF file of an unsupported kind"):
            read_header(path)


def test_the_orientation_of_deep_images_is_applied(tmp_path):
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 1000
    exif = Image.Exif()
    exif[274] = 6
    with io.BytesIO() as stream:
        Image.fromarray(values).save(stream, "PNG", exif=exif)
        (tmp_path / "a.png").write_bytes(stream.getvalue())
    found = read_picture(tmp_path / "a.png", grey=True, limits=(0, 5000))[..., 0]
    assert found.tolist() == np.rot90(np.arange(6).reshape(2, 3) * 51, -1).tolist()


def test_pages_after_the_first_are_not_used(tmp_path):
    pages = [Image.fromarray(np.full((SIDE, SIDE), value, np.uint8)) for value in (9, 200)]
    for name in ("a/1.tif", "a/2.tif", "b/1.gif", "b/2.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    texts = [note.text for note in open_source("stacks", tmp_path).notes]
    assert "Images of which only the first frame or page is used: 4." in texts
