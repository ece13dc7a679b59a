"""Data made to harm, a kind at a time: refused in a sentence or read, within the memory declared."""

import gzip
import io
import os
import socket
import struct
import unicodedata
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from rcig_cli.cli.app import main
from rcig_cli.data.images import picture
from rcig_cli.data.images.picture import picture_suffixes, read_header, read_picture
from rcig_cli.data.sources.identity import identity
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError
from tests.data.downloads import example_splits, write_cifar10_binary, write_idx, write_tiny_imagenet
from tests.data.examples import pixels, save_picture, whole
from tests.data.exchange_sets import npy_header
from tests.fuzz.guard import peak_of_memory, start_of_memory

MIB = 2**20
LABELS = np.array([0, 1, 2, 0])


def taken(function):
    """What a function returns, or the refusal it ends in; and the bytes it took, libraries' included."""
    before = start_of_memory()
    try:
        found = function()
    except RcigError as error:
        found = error
    memory = peak_of_memory() - before
    assert not isinstance(found, RcigError) or ("\n" not in str(found) and len(str(found)) < 2000)
    return found, memory


def refused(function, error, said, most=32 * MIB):
    found, memory = taken(function)
    assert type(found) is error, found
    assert said in str(found)
    assert memory < most


def read(path, size=16, resolution=None):
    source = open_source("own", path, resolution)
    return sum(len(batch) for split in ("train", "test") for batch in source.batches(split, size))


# Archives


def parts(**changes):
    arrays = {"x_train": pixels(4, 6, 6), "y_train": LABELS, "x_test": pixels(2, 6, 6), "y_test": LABELS[:2]}
    return {
        name: npy(array) if isinstance(array, np.ndarray) else array
        for name, array in (arrays | changes).items()
    }


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as file:
        for name, content in members.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as stream:
                for piece in [content] if isinstance(content, bytes) else content:
                    stream.write(piece)
    return path


def zeros(shape, descr="|u1", count=None):
    """An array of zeros as it is written, piece by piece."""
    yield npy_header(shape, descr)
    left = int(np.prod(shape)) * np.dtype(descr).itemsize if count is None else count
    while left > 0:
        yield bytes(min(left, MIB))
        left -= MIB


def test_a_zip_bomb_of_large_images_is_read_one_by_one(tmp_path):
    """8 images of 4096 x 4096 in 2 MB: 384 MiB, were they read as many at a time as are written."""
    images = zeros((6, 4096, 4096, 3))
    bomb = parts(x_train=images, y_train=npy(np.arange(6) % 3), x_test=zeros((2, 4096, 4096, 3)))
    path = archive(tmp_path / "own.npz", bomb)
    assert path.stat().st_size < 2 * MIB
    found, memory = taken(lambda: read(path, 512, 4))
    assert found == 8
    assert memory < 160 * MIB


@pytest.mark.parametrize(("shape", "descr"), [((2, 8192, 8192, 3), "|u1"), ((2, 8192, 4096), "<f8")])
def test_images_beyond_128_mib_are_refused_unread(tmp_path, shape, descr):
    path = archive(tmp_path / "own.npz", parts(x_train=zeros(shape, descr), y_train=npy(LABELS[:2])))
    refused(lambda: read(path), ConfigError, "at most 134217728")


@pytest.mark.parametrize(("shape", "descr"), [((2, 8192, 4096, 4), "|u1"), ((2, 4096, 8192), "<f4")])
def test_the_largest_images_take_the_memory_that_is_declared(tmp_path, shape, descr):
    images, labels = zeros(shape, descr), npy(LABELS[:2])
    test = {"x_test": zeros((1, 6, 6, *shape[3:]), descr), "y_test": npy(LABELS[:1])}
    path = archive(tmp_path / "own.npz", parts(x_train=images, y_train=labels, **test))
    found, memory = taken(lambda: read(path, 16, 8))
    assert found == 3
    assert memory < 320 * MIB


def test_a_header_that_says_far_more_than_can_be_packed_is_refused(tmp_path):
    path = archive(tmp_path / "own.npz", parts(x_train=zeros((10**12, 6, 6), count=0)))
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)  # its size, unpacked
    path.write_bytes(data)
    refused(lambda: read(path), Corrupt, "more than it can hold")


def test_members_that_lie_over_one_another_are_refused(tmp_path):
    path = archive(tmp_path / "own.npz", parts(x_train=zeros((4, 1000, 1000))))
    data = bytearray(path.read_bytes())
    entries = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[entries[2] + 42 : entries[2] + 46] = data[entries[0] + 42 : entries[0] + 46]
    path.write_bytes(data)
    refused(lambda: read(path), Corrupt, "damaged")


def test_a_directory_of_a_million_members_is_not_read(tmp_path):
    entry = (
        struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
        + b"x"
    )
    count = 10**6
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, count * len(entry), 0, 0)
    (tmp_path / "own.npz").write_bytes(entry * count + end)
    refused(lambda: read(tmp_path / "own.npz"), Corrupt, "damaged")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_pack_are_refused(tmp_path, method):
    path = archive(tmp_path / "own.npz", parts(x_train=zeros((4, 1000, 1000))), method)
    refused(lambda: read(path), ConfigError, "isn't packed as NumPy does it")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("y_train.npy", ConfigError, "two things of the same name"),
        ("../x.npy", ConfigError, "leads out of it"),
        ("/etc/x.npy", ConfigError, "leads out of it"),
        ("a\\..\\x.npy", ConfigError, "leads out of it"),
        ("/" + "x" * 10_000 + ".npy", ConfigError, "leads out of it"),
        ("x" * 10_000 + ".npy", ConfigError, "without a proper name"),
        ("\x1b[2J.npy", ConfigError, "without a proper name"),
        ("\u202egpj.npy", ConfigError, "without a proper name"),
    ],
)
def test_names_in_an_archive(tmp_path, name, error, said):
    path = archive(tmp_path / "own.npz", parts())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, parts()["y_train"])
    refused(lambda: read(path), error, said)


def test_an_encrypted_member_is_called_damaged(tmp_path):
    path = archive(tmp_path / "own.npz", parts())
    path.write_bytes(
        path.read_bytes().replace(b"PK\x01\x02\x2d\x03\x2d\0\0\0", b"PK\x01\x02\x2d\x03\x2d\0\x01\0")
    )
    refused(lambda: read(path), Corrupt, "damaged")


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"class_names": npy_header((10**12,), "<U0")}, Corrupt, "no array of numbers or texts"),
        ({"class_names": npy_header((0, 2**80), "<U1")}, Corrupt, "isn't as large"),
        ({"class_names": npy(np.array(["a", "b", "c" * 10_000]))}, ConfigError, "more than 1000 characters"),
        ({"class_names": npy(np.full(10**6, "a"))}, ConfigError, "at most 100000"),
        ({"class_names": npy(np.array(["a", "e\u0301", "\u00e9"]))}, ConfigError, "repeated"),
        ({"class_names": npy(np.array(["a", "\u202eb", "c"]))}, ConfigError, "unprintable"),
        ({"more": npy_header((1,), [("a", "<f4"), ("b", "<f4")]) + bytes(8)}, ConfigError, "records"),
        ({"more": npy_header((1,) * 33, "|u1") + bytes(1)}, Corrupt, "numbers or texts"),
        ({"more": b"\x93NUMPY\x01\0" + struct.pack("<H", 60_000) + b"(" * 60_000}, Corrupt, "header of more"),
    ],
)
def test_headers(tmp_path, changes, error, said):
    refused(lambda: read(archive(tmp_path / "own.npz", parts(**changes))), error, said)


def test_a_header_written_by_python_2_is_read_in_silence(tmp_path, capfd):
    content = parts()["x_train"].replace(b"(4, 6, 6), }", b"(4L, 6, 6),}")
    assert read(archive(tmp_path / "own.npz", parts(x_train=content))) == 6
    assert capfd.readouterr() == ("", "")


def test_sixty_million_labels_out_of_a_small_file_take_what_is_declared(tmp_path):
    count = 60 * MIB
    path = archive(tmp_path / "own.npz", parts(x_train=zeros((count, 1, 1)), y_train=zeros((count,))))
    refused(lambda: read(path), ConfigError, "no training image", most=512 * MIB)


def test_an_archive_that_changes_between_two_passes_is_not_read_on(tmp_path):
    path = archive(tmp_path / "own.npz", parts())
    source = open_source("own", path)
    assert whole(source, "train").labels.tolist() == [0, 1, 2, 0]
    archive(path, parts(x_train=np.zeros((4, 6, 6), np.uint8)))
    with pytest.raises(Corrupt, match="has changed while it was read"):
        list(source.batches("train", 4))
    path.unlink()
    with pytest.raises(NotFound):
        list(source.batches("train", 4))


# Pictures


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows, *chunks, depth=8, kind=2):
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    )


def packed(count):
    packer = zlib.compressobj(9)
    pieces = [packer.compress(bytes(min(MIB, count - at))) for at in range(0, count, MIB)]
    return b"".join([*pieces, packer.flush()])


def tiff(*tags):
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in sorted(tags))
    return b"II*\0" + struct.pack("<LH", 8, len(tags)) + entries + bytes(64)


BOMBS = {
    "huge.png": lambda: png(60_000, 60_000, packed(100)),
    "wide.png": lambda: png(2**31 - 1, 2**31 - 1, packed(100)),
    "just.png": lambda: png(8192, 8193, packed(100)),
    "huge.bmp": lambda: (
        b"BM" + struct.pack("<LLLLllHHLLllLL", 99, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)
    ),
    "huge.tif": lambda: tiff((256, 60_000), (257, 60_000), (258, 8), (259, 1), (262, 1), (273, 99), (277, 1)),
    "tile.tif": lambda: tiff(
        (256, 8),
        (257, 8),
        (258, 8),
        (259, 8),
        (262, 1),
        (277, 1),
        (322, 65_536),
        (323, 65_536),
        (324, 99),
        (325, 9),
    ),
    "huge.gif": lambda: (
        b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x08\x01\0;"
    ),
    "huge.webp": lambda: b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9),
    "huge.ppm": lambda: b"P6 60000 60000 255\n" + bytes(99),
    "huge.tga": lambda: bytes([0, 0, 2, *bytes(9), 255, 255, 255, 255, 24, 0]) + bytes(99),
    "huge.jpg": lambda: (
        b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xd9"
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_pictures_that_declare_too_much_take_no_memory(tmp_path, name, capfd):
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    found, memory = taken(lambda: read_picture(path, grey=False))
    assert isinstance(found, ConfigError | Corrupt), found
    assert memory < 16 * MIB
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", [2, 6])
def test_the_largest_picture_takes_16_bytes_a_pixel(tmp_path, kind):
    path, side = tmp_path / "a.png", 4096
    path.write_bytes(png(side, side, packed(side * (1 + side * (3 if kind == 2 else 4))), kind=kind))
    assert path.stat().st_size < MIB
    found, memory = taken(lambda: read_picture(path, grey=False, side=8))
    assert found.shape == (8, 8, 3)
    assert memory < 16 * side * side + 32 * MIB


def test_threads_that_decode_share_the_room(tmp_path, monkeypatch):
    side = 2048
    content = png(side, side, packed(side * (1 + side * 3)))
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(8):
            (tmp_path / name / f"{number}.png").write_bytes(content)
    monkeypatch.setattr(picture, "_ROOM", picture._Room(2 * side * side))
    found, memory = taken(lambda: read(tmp_path, 16, 8))
    assert found == 16
    assert memory < 2 * 16 * side * side + 48 * MIB


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: chunk(b"zTXt", b"name\0\0" + packed(300 * MIB)),
        lambda: chunk(b"iCCP", b"name\0\0" + packed(300 * MIB)),
        lambda: chunk(b"iTXt", b"name\0\x01\0\0\0" + packed(300 * MIB)),
        lambda: b"".join(chunk(b"zTXt", b"name%d\0\0" % n + packed(MIB - 9)) for n in range(200)),
        lambda: chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(9000)),
    ],
)
def test_what_comes_with_a_picture_takes_little_memory(tmp_path, bomb):
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 8, packed(8 * 25), bomb()))
    found, memory = taken(lambda: read_picture(path, grey=False))
    assert isinstance(found, RcigError) or found.shape == (8, 8, 3)
    assert memory < 80 * MIB  # Pillow keeps up to 64 MiB of texts


def test_only_the_first_of_many_frames_is_read(tmp_path):
    frames = [Image.new("P", (500, 500), n) for n in range(300)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found, memory = taken(lambda: read_picture(tmp_path / "a.gif", grey=False))
    assert found.shape == (500, 500, 3)
    assert memory < 16 * MIB


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(touched) (w) file closefile\n"


@pytest.mark.parametrize(
    "content",
    [
        POSTSCRIPT,
        b"\xd7\xcd\xc6\x9a" + bytes(40),  # WMF
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),  # FPX, MIC
        b"8BPS\0\x01" + bytes(6) + struct.pack(">HLLHH", 3, 9, 9, 8, 3),
        b"icns" + struct.pack(">L", 8),
        b"SIMPLE  =                    T",
    ],
)
def test_formats_that_are_no_photographs_are_refused_whatever_they_are_called(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    refused(lambda: read_header(tmp_path / "a.png"), Corrupt, "damaged or no image")


def test_only_formats_of_photographs_have_endings():
    assert (
        not {".eps", ".ps", ".psd", ".cur", ".ico", ".icns", ".wmf", ".emf", ".fpx", ".dds"}
        & picture_suffixes()
    )


@pytest.mark.parametrize("packing", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_nothing_is_said_of_damaged_pictures_but_by_us(tmp_path, packing, capfd):
    save_picture(tmp_path / "a.tif", pixels(16, 16, 3), compression=packing)
    whole_file = (tmp_path / "a.tif").read_bytes()
    rng = np.random.default_rng(1)
    for place, value in zip(rng.integers(0, len(whole_file), 200), rng.integers(0, 256, 200), strict=True):
        (tmp_path / "a.tif").write_bytes(whole_file[:place] + bytes([value]) + whole_file[place + 1 :])
        taken(lambda: read_picture(tmp_path / "a.tif", grey=False))
    assert capfd.readouterr() == ("", "")


def test_a_file_of_a_terabyte_without_content_is_refused(tmp_path):
    path = save_picture(tmp_path / "a.png", pixels(6, 6, 3))
    os.truncate(path, 2**40)
    refused(lambda: read_header(path), ConfigError, "at most 268435456 bytes")


# Folders


def fill(folder, count=3):
    for name in ("cat", "dog"):
        for index in range(count):
            save_picture(folder / name / f"{index}.png", pixels(6, 6, 3, seed=index))
    return folder


def pipe(path):
    os.mkfifo(path)


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def link_to_zero(path):
    path.symlink_to("/dev/zero")


def loop(path):
    path.symlink_to(path)


ODD = {
    "pipe": pipe,
    "socket": unix_socket,
    "link to /dev/zero": link_to_zero,
    "loop": loop,
    "folder": os.mkdir,
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_files_in_a_class_folder_are_passed_over(tmp_path, odd, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    fill(tmp_path / "own")
    ODD[odd](tmp_path / "own" / "cat" / "odd.png")
    source = open_source("own", tmp_path / "own")
    assert sum(source.sizes.values()) == 6
    assert identity(source, tmp_path / "own")["files"]


@pytest.mark.parametrize("odd", ODD)
def test_a_picture_that_becomes_something_else_meanwhile_is_refused_not_waited_for(
    tmp_path, odd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    source = open_source("own", fill(tmp_path / "own"))
    victim = tmp_path / "own" / "cat" / "0.png"
    victim.unlink()
    ODD[odd](victim)
    refused(lambda: [list(source.batches(split, 4)) for split in ("train", "test")], *_REFUSALS[odd])


_REFUSALS = {
    "pipe": (ConfigError, "no regular file"),
    "socket": (RcigError, "can't be read"),
    "link to /dev/zero": (ConfigError, "no regular file"),
    "loop": (RcigError, "can't be read"),
    "folder": (ConfigError, "no regular file"),
}


@pytest.mark.parametrize("odd", ["pipe", "socket", "link to /dev/zero", "loop", "folder"])
@pytest.mark.parametrize("name", ["own.npz", "own.png"])
def test_what_the_user_names_is_refused_if_it_is_no_file(tmp_path, odd, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ODD[odd](tmp_path / name)
    found, memory = taken(lambda: read(tmp_path / name))
    assert isinstance(found, ConfigError | NotFound | RcigError)
    assert memory < 16 * MIB


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/stdin", "x" * 10_000, "/" + "a/" * 5000, "PIPE", "."])
def test_the_commands_refuse_it_too(tmp_path, place, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "PIPE")
    with pytest.raises(SystemExit) as ended:
        main(["prepare", "own", "--from", place, "--store", str(tmp_path / "store")])
    said = capsys.readouterr().err
    assert ended.value.code in (1, 2, 3)
    assert "should not have happened" not in said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((b"ok", b"no\xff"), "unprintable"),
        ((b"ok", b"two\nlines"), "unprintable"),
        ((b"ok", "\u202egpj".encode()), "unprintable"),
        ((b"ok", b"\x1b[2J"), "unprintable"),
        (tuple(unicodedata.normalize(form, "caf\u00e9").encode() for form in ("NFC", "NFD")), "repeated"),
    ],
)
def test_class_folders_that_nobody_could_read_or_tell_apart(tmp_path, names, said):
    for name in names:
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        for n in range(3):
            with open(os.path.join(folder, b"%d.png" % n), "wb") as stream:
                stream.write(png(8, 8, packed(8 * 25)))
    refused(lambda: read(tmp_path), ConfigError, said)


def test_names_that_only_look_alike_are_classes_of_their_own(tmp_path):
    for name in ("cat", "\uff43\uff41\uff54", "c\u0430t"):  # fullwidth, and with a Cyrillic letter
        save_picture(tmp_path / name / "a.png", pixels(6, 6, 3))
        save_picture(tmp_path / name / "b\udcff.png", pixels(6, 6, 3))
    assert read(tmp_path) == 6


def test_folders_hundreds_deep_are_refused(tmp_path, monkeypatch):
    fill(tmp_path)
    monkeypatch.chdir(tmp_path / "cat")
    for _ in range(300):
        os.mkdir("a")
        os.chdir("a")
    os.chdir(tmp_path)
    refused(lambda: read(tmp_path), ConfigError, "100 deep")


def test_folders_hundreds_deep_beside_a_download_are_no_matter(tmp_path):
    write_idx(tmp_path, example_splits(10, 20, 10, 7, 7, 1))
    (tmp_path / ("a/" * 300)).mkdir(parents=True)
    source = open_source("own", tmp_path)
    before = identity(source, tmp_path)
    (tmp_path / "a" / "b").touch()
    assert identity(source, tmp_path)["files"] != before["files"]


def test_a_packed_idx_file_that_unpacks_to_large_images(tmp_path):
    write_idx(tmp_path, example_splits(2, 2, 2, 7, 7, 1), packed=True)
    for part in ("train", "t10k"):
        content = struct.pack(">HBB3I", 0, 8, 3, 2, 8192, 8192) + bytes(2 * 8192**2)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content, 1))
    del content
    found, memory = taken(lambda: read(tmp_path, 16, 8))
    assert found == 4
    assert memory < 256 * MIB


def test_a_list_of_many_short_lines_is_refused(tmp_path):
    write_tiny_imagenet(tmp_path, ("n00000001", "n00000002"), side=8)
    (tmp_path / "wnids.txt").write_bytes(b"a\n" * 2**23)
    refused(lambda: read(tmp_path), Corrupt, "too large to be what its name says")
    (tmp_path / "wnids.txt").write_bytes(b"a\n" * 2**22)
    refused(lambda: read(tmp_path), Corrupt, "no list of WordNet codes", most=400 * MIB)


def test_a_sparse_file_of_gigabytes_is_no_batch_of_cifar(tmp_path):
    write_cifar10_binary(tmp_path, example_splits(10, 10, 10, 32, 32, 3))
    os.truncate(tmp_path / "data_batch_3.bin", 3073 * 2**21)
    refused(lambda: read(tmp_path), Corrupt, "too large to be what its name says")


def test_ten_thousand_pictures_take_little_memory(tmp_path):
    fill(tmp_path, 1)
    for number in range(10_000):
        os.link(tmp_path / "cat" / "0.png", tmp_path / "dog" / f"{number:05}.png")
    os.link(tmp_path / "cat" / "0.png", tmp_path / "cat" / "1.png")
    found, memory = taken(lambda: open_source("own", tmp_path).sizes)
    assert sum(found.values()) == 10_003
    assert memory < 16 * MIB
