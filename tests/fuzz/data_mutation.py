"""Other data files out of good ones: rebuilt around what is changed, with right lengths and checksums."""

import ast
import gzip
import io
import json
import pickletools
import struct
import warnings
import zipfile
import zlib
from random import Random

import numpy as np

from tests.fuzz.mutation import TEXTS, mutate_bytes, mutate_json, mutate_text

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_TYPES = [
    *("|u1", "<u2", ">u2", "<f2", "<f4", ">f4", "<f8", "<f16", "<i8", "<i4", "<u8", "|b1", "<c8"),
    *("|O", "<M8[s]", "|V0", "|V8", "<U0", "<U1", "<U9", "|S0", "|S1", "|S9", "<U1000000", "?", "x"),
    *([("a", "<f4")], [("a", "|O")]),
]
_LENGTHS = (0, 1, 2, 3, 4, 5, 8, -1, 255, 8192, 8193, 10**5, 2**26, 2**31, 2**62, 2**63, 2**64, 10**30)
_ZEROS = (1, 100, 10**4, 10**6)


def npy_mutant(content: bytes, random: Random) -> bytes:
    """Another array: its header, its numbers, or both, and more often than not as many as the header says."""
    try:
        length = int.from_bytes(content[8:10], "little")
        header = ast.literal_eval(content[10 : 10 + length].decode("latin1").strip())
        shape, descr = list(header["shape"]), header["descr"]
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError):
        return mutate_bytes(content, random)
    data = content[10 + length :]
    match random.randrange(9):
        case 0 | 1 if shape:
            shape[random.randrange(len(shape))] = random.choice(_LENGTHS)
        case 2:
            shape = random.choice(
                ([], shape[:-1], [*shape, 1], [1, *shape], [1] * 40, [0, *shape], shape[::-1])
            )
        case 3:
            descr = random.choice(_TYPES)
        case 4:
            data = mutate_bytes(data, random)
        case 5:
            data += bytes(random.choice(_ZEROS))
        case 6:
            special = np.array([np.nan, np.inf, -1, 300, 1e-40, -0.0])
            data = np.resize(special, len(data) // 4).astype("<f4").tobytes()
            descr = "<f4"
        case 7:
            data = data[: random.randrange(len(data) + 1)]
        case _:
            return mutate_bytes(content, random)
    if random.random() < 0.6:
        data = _as_many(shape, descr, data)
    fortran = random.random() < 0.05
    text = repr({"descr": descr, "fortran_order": fortran, "shape": tuple(shape)}).encode("latin1")
    text += b" " * random.choice((0, 1, 50)) + random.choice((b"\n", b"\n", b"", b"L\n", b"(" * 3000))
    version = random.choice((1, 1, 1, 2, 3, 9))
    size = struct.pack("<H" if version == 1 else "<I", min(len(text), 65535))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def _as_many(shape, descr, data):
    try:
        count = int(np.prod(shape, dtype=object)) * np.dtype(descr).itemsize
    except (TypeError, ValueError):
        return data
    return data[:count] + bytes(max(0, count - len(data))) if 0 <= count < 10**7 else data


def zip_mutant(data: bytes, random: Random) -> bytes:
    """Another archive, around members that are changed, lost, doubled, renamed or packed otherwise."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [[info.filename, archive.read(info), info.compress_type] for info in archive.infolist()]
    except Exception:
        return mutate_bytes(data, random)
    for _ in range(random.choice((0, 1, 1, 2))):
        _mutate_member(members, random)
    stream = io.BytesIO()
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
            warnings.simplefilter("ignore")  # of names that are there twice
            for name, content, method in members:
                info = zipfile.ZipInfo(name)
                info.external_attr = random.choice((0, 0, 0, 0o120777 << 16))
                archive.writestr(info, content, method)
    except (ValueError, UnicodeEncodeError, struct.error):
        return mutate_bytes(data, random)
    return _mutate_directory(stream.getvalue(), random) if random.random() < 0.25 else stream.getvalue()


def _mutate_member(members, random):
    if not members:
        members.append(["x_train.npy", b"", 0])
    member = random.choice(members)
    match random.randrange(8):
        case 0:
            members.remove(member)
        case 1:
            members.append([random.choice((member[0], "class_names.npy", "space.npy")), *member[1:]])
        case 2:
            member[0] = mutate_text(member[0], random)[:60_000]
        case 3:
            member[2] = random.choice(_METHODS)
        case _ if member[0].endswith(".pkl"):
            member[1] = pickle_mutant(member[1], random)
        case _:
            member[1] = npy_mutant(member[1], random)


def _mutate_directory(data, random):
    """Lie in one field of one entry of the directory, or of what comes after it."""
    result, places = bytearray(data), []
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        places.append(at)
        at = data.find(b"PK\x01\x02", at + 1)
    end = data.rfind(b"PK\x05\x06")
    fields = [(place + offset, width) for place in places for offset, width in
              ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4))]  # fmt: skip
    if end >= 0:
        fields += [(end + offset, width) for offset, width in ((8, 2), (10, 2), (12, 4), (16, 4), (20, 2))]
    if fields:
        place, width = random.choice(fields)
        value = random.choice((0, 1, 8, 12, 14, 99, 2**16 - 1, 2**31, 2**32 - 1, random.randrange(len(data))))
        result[place : place + width] = (value % 256**width).to_bytes(width, "little")
    return bytes(result)


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_CHUNKS = (
    b"zTXt",
    b"iTXt",
    b"tEXt",
    b"iCCP",
    b"eXIf",
    b"PLTE",
    b"tRNS",
    b"gAMA",
    b"acTL",
    b"fcTL",
    b"fdAT",
    b"IDAT",
)


def png_mutant(data: bytes, random: Random) -> bytes:
    """Another PNG, with right checksums."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += 12 + length
    if not data.startswith(b"\x89PNG") or not chunks:
        return mutate_bytes(data, random)
    for _ in range(random.choice((1, 1, 2, 3))):
        chunk = random.choice(chunks)
        match random.randrange(7):
            case 0 if len(chunks) > 1:
                chunks.remove(chunk)
            case 1:
                chunks.insert(random.randrange(len(chunks)), [random.choice(_CHUNKS), chunk[1]])
            case 2:
                squeezed = zlib.compress(bytes(random.choice(_ZEROS)))
                kind = random.choice((b"zTXt", b"iCCP"))
                chunks.insert(1, [kind, b"name\0\0" + squeezed])
            case 3 if chunks[0][0] == b"IHDR":
                sides = [random.choice((0, 1, 8, 9, 100, 8192, 8193, 60_000, 2**31 - 1, 2**31)) for _ in "wh"]
                rest = bytes(random.choice((0, 1, 2, 3, 4, 6, 8, 16)) for _ in range(5))
                chunks[0][1] = struct.pack(">II", *sides) + random.choice((rest, chunks[0][1][8:]))
            case 4:
                exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + random.randbytes(8)
                chunks.insert(1, [b"eXIf", exif])
            case _:
                chunk[1] = mutate_bytes(chunk[1], random)
    return data[:8] + b"".join(_chunk(kind[:4].ljust(4), content) for kind, content in chunks)


def text_mutant(data: bytes, random: Random) -> bytes:
    """Another list: lines changed, doubled, lost or swapped."""
    lines = data.split(b"\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        at, other = random.randrange(len(lines)), random.randrange(len(lines))
        match random.randrange(6):
            case 0:
                lines[at], lines[other] = lines[other], lines[at]
            case 1:
                lines.insert(at, lines[other])
            case 2 if len(lines) > 1:
                del lines[at]
            case 3:
                words = lines[at].split(b" ")
                words[random.randrange(len(words))] = random.choice(TEXTS).encode("utf-8", "surrogatepass")
                lines[at] = b" ".join(words)
            case 4:
                lines[at] = (
                    lines[at].replace(b" ", b"\t") + b"\t" + random.choice(TEXTS).encode("utf-8", "replace")
                )
            case _:
                lines[at] = mutate_bytes(lines[at], random)
    return b"\n".join(lines)


def packed_mutant(data: bytes, random: Random) -> bytes:
    """Another gzipped file."""
    try:
        content = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return mutate_bytes(data, random)
    content = mutate_bytes(content[:40], random) + content[40:] + bytes(random.choice((0, 0, 1, 10**6)))
    return gzip.compress(content, 1, mtime=0)


_OPCODES = (
    *(b"}", b"]", b")", b"(", b"N", b"\x88", b"\x85", b"\x86", b"\x87", b"t", b"e", b"u", b"s", b"a"),
    *(b"R", b"b", b"q\x00", b"h\x00", b"h\x01", b"r\xff\xff\xff\x7f", b"\x94", b"2", b"0", b"1", b"."),
    *(b"\x93", b"Q", b"P1\n", b"K\x05", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 8),
    *(b"\x8b\xff\xff\xff\x7f", b"I" + b"9" * 5000 + b"\n", b"cos\nsystem\n", b"cnumpy\nndarray\n"),
    *(b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"X\xff\xff\xff\x7f"),
    *(b"U\x02hi", b"T\xff\xff\xff\xff", b"\x8e" + b"\xff" * 8, b"\x95" + b"\xff" * 8),
    *(b"\x81", b"\x82\x01", b"\x8f", b"\x90", b"\x91", b"\x92", b"\x97", b"\x98", b"G\x7f\xf8" + bytes(6)),
)


def pickle_mutant(data: bytes, random: Random) -> bytes:
    """Another program: instructions put in, taken out or replaced; bytes inside them changed."""
    try:
        places = [place for _, _, place in pickletools.genops(data)]
    except Exception:
        return mutate_bytes(data, random)
    for _ in range(random.choice((1, 1, 2, 3))):
        first = random.choice(places)
        after = random.choice([place for place in places if place >= first][:4])
        put = random.choice(_OPCODES) * random.choice((1, 1, 1, 3, 1000))
        match random.randrange(4):
            case 0:
                data = data[:first] + put + data[first:]
            case 1:
                data = data[:first] + data[after:]
            case 2:
                data = data[:first] + put + data[after:]
            case _:
                data = data[:first] + mutate_bytes(data[first : first + 40], random) + data[first + 40 :]
    return data


def json_text(document, random: Random) -> bytes:
    """Another document."""
    try:
        return json.dumps(mutate_json(document, random)).encode()
    except (ValueError, OverflowError, RecursionError):  # numbers too long to be written
        return mutate_bytes(json.dumps(document).encode(), random)
