"""Files made to harm: each is refused in a sentence, and none takes the memory it asks for."""

import pickle
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib

import msgpack
import numpy as np
import pytest

from rcig_cli.data.exchange import npz_set, parquet_set, picture_folder, safetensors_set
from rcig_cli.data.exchange.foreign import read_set
from rcig_cli.data.exchange.opening import open_foreign
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError
from tests.data.examples import save_picture
from tests.data.exchange_sets import (
    npy_header,
    outgoing,
    published,
    safetensors_bytes,
    state_of,
    target,
    zipped,
)

GIVEN = outgoing()
HUGE = (10**12, 4, 4, 3)
MOST = 4 * 2**20  # bytes


def read(path, goal=None):
    goal = goal or target()
    return read_set(open_foreign(path, goal), goal, None)


def refused(path, error, said):
    """The file is refused in one sentence, and within little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(RcigError, match=said) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert peak < MOST


def npz(path, images, **more):
    with path.open("wb") as stream:  # a path would get the ending .npz
        np.savez(stream, labels=np.arange(3), space=np.array("whitened"), **more)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", images)
    return path


def array(shape, data, name="float32", code=1):
    return msgpack.ExtType(code, msgpack.packb((shape, name, data)))


def state(x_proto, y_proto=None):
    pair = {"x_proto": x_proto, "y_proto": y_proto or array((3, 3), bytes(36))}
    return msgpack.packb({"ema_average": pair})


def declared_ext(size):
    """A checkpoint whose array is said to have so many bytes, and has none."""
    return msgpack.packb({"params": {}})[:-1] + b"\x81\xa7x_proto\xc9" + struct.pack(">I", size) + b"\x01"


CHUNKED = {
    "__msgpack_chunked_array__": True,
    "shape": {"0": 10**9, "1": 4},
    "chunks": {"0": array((4,), bytes(16))},
}
HEADER = {"dtype": "F32", "shape": list(HUGE), "data_offsets": [0, 4 * 48 * 10**12]}


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (lambda p: npz(p, npy_header(HUGE)), Corrupt, "isn't as large as its header says"),
        (lambda p: npz(p, npy_header((2**62, 4, 4, 3))), Corrupt, "isn't as large as its header says"),
        (lambda p: npz(p, npy_header((-1, 4, 4, 3))), Corrupt, "isn't as large as its header says"),
        (
            lambda p: npz(p, npy_header((10**5, 4, 4, 3)) + bytes(192 * 10**5)),
            ConfigError,
            "100000 images; .* 1 to 60",
        ),
        (lambda p: npz(p, b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(10**7)), Corrupt, "header of images"),
        (lambda p: zipped(p, {"../../images.npy": b""}), ConfigError, "leads out of it"),
        (lambda p: zipped(p, {"/etc/images.npy": b""}), ConfigError, "leads out of it"),
        (lambda p: p.write_bytes(state(array(HUGE, b""))), Corrupt, "has not as many numbers"),
        (lambda p: p.write_bytes(state(array((3, 2**63 - 1, 9), bytes(8)))), Corrupt, "as many numbers"),
        (lambda p: p.write_bytes(state(array((-1, 4), bytes(8)))), Corrupt, "damaged"),
        (lambda p: p.write_bytes(state(array([1] * 9, bytes(4)))), Corrupt, "damaged"),
        (lambda p: p.write_bytes(state(array((3, 4, 4, 3), bytes(9), "object"))), ConfigError, "type object"),
        (lambda p: p.write_bytes(state(array((1,), bytes(8), "complex64"))), ConfigError, "type complex64"),
        (lambda p: p.write_bytes(state(array((1,), bytes(4), code=2))), ConfigError, "something else"),
        (lambda p: p.write_bytes(state(array((1,), bytes(4), code=77))), ConfigError, "something else"),
        (lambda p: p.write_bytes(state(CHUNKED)), Corrupt, "1000000000 x 4"),
        (lambda p: p.write_bytes(state({**CHUNKED, "chunks": {}})), Corrupt, "1000000000 x 4"),
        (lambda p: p.write_bytes(declared_ext(2**31)), Corrupt, "cut short"),
        (lambda p: p.write_bytes(declared_ext(2**32 - 1)), RcigError, ""),
        (lambda p: p.write_bytes(b"\xdf\xff\xff\xff\xff\xa1a\xc0"), Corrupt, "cut short"),
        (lambda p: p.write_bytes(b"\x81\xa1a" + b"\x91" * 10**6), Corrupt, "cut short"),
        (lambda p: p.write_bytes(b"\x81\xa6params" * 10**5), RcigError, ""),
        (lambda p: p.write_bytes(b"\x81\xa1a\xdd\xff\xff\xff\xff"), Corrupt, "cut short"),
        (lambda p: p.write_bytes(b"\x81\xa6params\xdd\xff\xff\xff\xff"), Corrupt, "cut short"),
        (lambda p: p.write_bytes(msgpack.packb({"params": {"x_proto": [0] * 9}})), Corrupt, "damaged"),
        (lambda p: p.write_bytes(msgpack.packb({"weights": 1})), ConfigError, "no checkpoint of RCIG"),
        (lambda p: p.write_bytes(safetensors_bytes({"images": HEADER})), Corrupt, "no .safetensors"),
        (lambda p: p.write_bytes(b"\xff" * 7 + b"\x7f{}"), Corrupt, "no .safetensors"),
        (lambda p: p.write_bytes(b"PAR1" + b"\xff" * 20 + b"\xff\xff\xff\x7fPAR1"), Corrupt, "no Parquet"),
        (lambda p: p.write_bytes(b"PAR1" + bytes(20) + b"\x08\0\0\0PAR1"), Corrupt, "no Parquet"),
        (lambda p: p.write_bytes(pickle.dumps({"images": 1}, protocol=4)), ConfigError, "never loaded"),
        (lambda p: p.write_bytes(b"hello"), ConfigError, "nothing that can be imported"),
        (lambda p: p.write_bytes(b""), ConfigError, "nothing that can be imported"),
    ],
)
def test_each_is_refused(tmp_path, content, error, said):
    path = tmp_path / "file"
    content(path)
    if error is RcigError:  # which of two, is no matter
        with pytest.raises((Corrupt, ConfigError)):
            read(path)
    else:
        refused(path, error, said)


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".safetensors", ".parquet"])
def test_an_empty_file_is_damaged(tmp_path, suffix):
    path = tmp_path / f"empty{suffix}"
    path.touch()
    refused(path, Corrupt, "damaged")


def test_what_is_not_there(tmp_path):
    refused(tmp_path / "nothing", NotFound, "no file or folder")


def test_pickled_objects_in_an_npz_are_never_read(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.array([{}] * 6), labels=GIVEN.labels)
    refused(tmp_path / "a.npz", ConfigError, "pickled Python objects")


class Evil:
    def __reduce__(self):
        return print, ("harm",)


TENSOR = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n."


@pytest.mark.parametrize(
    ("pickled", "error", "said"),
    [
        (pickle.dumps({"images": Evil()}, protocol=2), ConfigError, "print' beside tensors"),
        (pickle.dumps({"images": Evil()}, protocol=4), ConfigError, "'an object' beside tensors"),
        (b"\x80\x02c__builtin__\nbytearray\nK\x01\x85R.", ConfigError, "bytearray' beside tensors"),
        (b"\x80\x02X\xff\xff\xff\x7f", Corrupt, "cut short"),
        (b"\x80\x02\xff.", Corrupt, "cut short"),
        (bytes(17 * 2**20), ConfigError, "far more than two tensors"),
    ],
)
def test_what_a_pt_file_names_is_looked_through_before_it_is_loaded(tmp_path, pickled, error, said):
    path = zipped(tmp_path / "a.pt", {"a/data.pkl": pickled, "a/version": b"3\n"})
    if len(pickled) > MOST:
        with pytest.raises(error, match=said):
            read(path)
    else:
        refused(path, error, said)


@pytest.mark.parametrize(
    ("members", "method", "error", "said"),
    [
        ({"a/data.pkl": TENSOR}, zipfile.ZIP_DEFLATED, Corrupt, "torch.save"),
        ({"a/data.pkl": TENSOR, "b/data.pkl": TENSOR}, zipfile.ZIP_STORED, Corrupt, "torch.save"),
        ({"../data.pkl": TENSOR}, zipfile.ZIP_STORED, ConfigError, "leads out of it"),
    ],
)
def test_a_pt_file_is_the_archive_that_torch_writes(tmp_path, members, method, error, said):
    refused(zipped(tmp_path / "a.pt", members, method), error, said)


def test_without_torch_a_pt_file_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    refused(zipped(tmp_path / "a.pt", {"a/data.pkl": TENSOR}), ConfigError, "pip install torch")


def files():
    """A small file of each kind, by the name it has."""
    return {
        "a.npz": lambda path: npz_set.write_set(path, GIVEN),
        "a.safetensors": lambda path: safetensors_set.write_set(path, GIVEN),
        "a.parquet": _parquet,
        "checkpoint_9": lambda path: path.write_bytes(published(state_of(GIVEN.images, GIVEN.labels))),
    }


def _parquet(path):
    folder = path.parent / "folder"
    folder.mkdir()
    parquet_set.write_set(folder, GIVEN)
    (folder / "data" / "train-00000-of-00001.parquet").rename(path)


@pytest.mark.parametrize("name", files())
def test_a_file_cut_short_is_refused_wherever_it_is_cut(tmp_path, name):
    path = tmp_path / name
    files()[name](path)
    whole = path.read_bytes()
    for kept in range(10, len(whole) - 1, max(1, len(whole) // 97)):
        path.write_bytes(whole[:kept])
        with pytest.raises(Corrupt):
            read(path)


@pytest.mark.parametrize("name", files())
def test_a_changed_byte_is_refused_or_harmless(tmp_path, name):
    path = tmp_path / name
    files()[name](path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    sentences = []
    for place, value in zip(rng.integers(0, len(whole), 150), rng.integers(1, 256, 150), strict=True):
        changed = bytearray(whole)
        changed[place] ^= value
        path.write_bytes(changed)
        try:
            read(path).inputs(GIVEN.whitening)
        except RcigError as error:
            sentences.append(str(error))
    assert sentences
    assert all("\n" not in sentence for sentence in sentences)


PROGRAM = """
import resource, sys
from pathlib import Path
import pyarrow, pyarrow.parquet, safetensors, msgpack
from rcig_cli.data.exchange import npz_set, msgpack_state, parquet_set, picture_folder
from rcig_cli.data.exchange import safetensors_set, torch_file
from rcig_cli.data.exchange.foreign import read_set
from rcig_cli.data.exchange.opening import open_foreign
from rcig_cli.errors import RcigError
from tests.data.exchange_sets import target

taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 64 * 2**20,) * 2)
for path in sys.argv[1:]:
    try:
        read_set(open_foreign(Path(path), target()), target(), None)
    except RcigError as error:
        print(type(error).__name__)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads its own size from /proc")
def test_with_little_memory_left_none_asks_for_more(tmp_path):
    """What libraries allocate outside Python counts too."""
    import pyarrow.parquet

    made = {
        "a.npz": lambda p: npz(p, npy_header((10**6, 4, 4, 3)) + bytes(192 * 10**6)),
        "b.safetensors": lambda p: p.write_bytes(safetensors_bytes({"images": HEADER})),
        "c": lambda p: p.write_bytes(state(array(HUGE, b""))),
        "d": lambda p: p.write_bytes(declared_ext(2**31)),
        "e.pt": lambda p: zipped(
            p, {"a/data.pkl": b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R."}
        ),
        "f.parquet": lambda p: pyarrow.parquet.write_table(
            pyarrow.table({"image": [{"bytes": bytes(10**6)}] * 60, "label": [0] * 60}), p, compression="zstd"
        ),
        "g.parquet": lambda p: pyarrow.parquet.write_table(pyarrow.table({"label": np.zeros(10**7, int)}), p),
        "h/a/a.png": lambda p: p.write_bytes(png_header(60000, 60000)),
    }
    for name, make in made.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        make(tmp_path / name)
    for name in "bc":
        save_picture(tmp_path / "h" / name / "a.png", GIVEN.pixels()[0])
    names = [name.partition("/")[0] for name in made]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        *("ConfigError", "Corrupt", "Corrupt", "Corrupt", "ConfigError", "ConfigError", "ConfigError"),
        "ConfigError",
    ]


def zigzag(value, length=0):
    """A number as Thrift writes it, drawn out to a length."""
    value, written = 2 * value, []
    while value or len(written) < max(1, length):
        written.append(value & 127 | 128)
        value >>= 7
    written[-1] &= 127
    return bytes(written)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process isn't told its size")
def test_a_footer_that_lies_about_its_pages_takes_little_memory(tmp_path):
    import pyarrow.parquet

    path, rows = tmp_path / "a.parquet", 60
    columns = {"image": [{"bytes": bytes(4 * 10**6)}] * rows, "label": [0, 1, 2] * (rows // 3)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression="zstd", use_dictionary=False)
    said = pyarrow.parquet.read_metadata(path).row_group(0).total_byte_size
    whole = path.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    true, false = zigzag(said), zigzag(1000, len(zigzag(said)))
    path.write_bytes(whole[:footer] + whole[footer:].replace(true, false))
    assert said > 2 * 10**8
    assert pyarrow.parquet.read_metadata(path).row_group(0).total_byte_size == 1000
    program = (
        PROGRAM.replace("64 * 2**20", "2**40").replace("\ntaken", "\nparquet_set._FOOTER = 2**27\ntaken")
        + "print(Path('/proc/self/status').read_text())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Corrupt")
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert int(most) < 250_000


def png_header(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10)))


def folder(path):
    path.mkdir()
    picture_folder.write_set(path, GIVEN)
    return path


def link_out(path):
    (path / "0" / "00000.png").unlink()
    (path / "0" / "00000.png").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (link_out, ConfigError, "lead to folders or out of"),
        (lambda p: (p / "0" / "up.png").symlink_to(p / "0"), ConfigError, "lead to folders or out of"),
        (lambda p: (p / "1").rename(p / "one"), ConfigError, "'one', and pets has 3"),
        (lambda p: (p / "0" / "00000.png").unlink(), ConfigError, "about other files"),
        (lambda p: (p / "0" / "00000.png").write_bytes(png_header(60000, 60000)), ConfigError, "too large"),
        (lambda p: (p / "0" / "00000.png").write_bytes(png_header(8, 4)), ConfigError, "4 x 8 pixels"),
        (lambda p: (p / "0" / "00000.png").write_bytes(png_header(4, 4)), Corrupt, "damaged"),
        (lambda p: (p / "0" / "00000.png").write_bytes(b"hello"), Corrupt, "damaged"),
        (lambda p: (p / "labels.npz").write_bytes(b"PK"), Corrupt, "damaged"),
        (
            lambda p: np.savez(p / "labels.npz", files=np.array(["../../x.png"] * 6), labels=GIVEN.labels),
            ConfigError,
            "about other files",
        ),
        (lambda p: np.savez(p / "labels.npz", labels=GIVEN.labels), ConfigError, "must have the arrays"),
        (lambda p: [folder(p / part) for part in ("train", "test")], ConfigError, "it is no distilled set"),
    ],
)
def test_a_folder_of_pictures(tmp_path, change, error, said):
    path = folder(tmp_path / "set")
    change(path)
    refused(path, error, said)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image": [b"x"], "label": [0]}, "column 'image'"),
        ({"image": [{"bytes": None}], "label": [0]}, "column 'image'"),
        ({"image": [{"bytes": b"x"}], "label": ["cat"]}, "column 'label'"),
        ({"image": [{"bytes": b"x"}]}, "no arrays images and labels"),
        ({"whitened": [[1.0]], "label": [0]}, "shape of the column 'whitened'"),
    ],
)
def test_parquet_columns_of_other_kinds(tmp_path, columns, said):
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", ConfigError, said)


def test_a_parquet_folder_with_a_link_out_or_several_parts(tmp_path):
    _parquet(tmp_path / "a.parquet")
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "a.parquet").symlink_to(tmp_path / "a.parquet")
    refused(tmp_path / "set", ConfigError, "leads out of")
    (tmp_path / "set" / "data" / "b.parquet").touch()
    refused(tmp_path / "set", ConfigError, "has 2 Parquet files")
