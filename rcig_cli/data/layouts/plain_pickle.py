"""Pickles of plain numbers, read without Python's ``pickle``: nothing in them is ever called or imported.

A pickle is a program for a machine with a stack.  This one knows what it takes to build one dictionary from
texts to numbers, texts, lists of those, and arrays of bytes with one or two axes, as NumPy pickles them, in
protocols 2 to 5.  The three names NumPy's arrays need are compared with and stand for themselves;
everything else is refused.  Long texts, which arrays' contents are, stay in the file: only where they lie is
kept.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from rcig_cli.data.layouts.files import opened, read_exactly, size_of
from rcig_cli.errors import ConfigError, Corrupt

_LONGEST_TEXT = 4096
_MOST_TEXT = 2**26  # bytes of all texts that are kept
_MOST_VALUES = 2**20
_PROTOCOLS = range(2, 6)


@dataclass(frozen=True)
class PlainArray:
    """A uint8 array inside a pickle.

    Parameters
    ----------
    shape
        Its one or two lengths.
    offset
        Where in the file its bytes begin; all of them are there.
    fortran
        Whether they lie column by column rather than row by row.
    """

    shape: tuple[int, ...]
    offset: int
    fortran: bool


Value = int | str | list[int | str] | PlainArray


class _Name(Enum):
    RECONSTRUCT = "_reconstruct"
    NDARRAY = "ndarray"
    DTYPE = "dtype"


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy", "ndarray"): _Name.NDARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
}


class _Mark:
    """Where on the stack a group of values begins."""


@dataclass(frozen=True)
class _Text:
    """A text or bytes: where they begin, how many there are, and what they say if they are short."""

    offset: int
    length: int
    content: bytes | None


@dataclass
class _Dtype:
    """An array's type; known to be bytes."""

    built: bool = False


@dataclass
class _Array:
    """An array on its way."""

    plain: PlainArray | None = None


def read_plain_pickle(folder: Path, name: str) -> dict[str, Value]:
    """Read a pickle that holds nothing but plain numbers and texts.

    Parameters
    ----------
    folder, name
        The file is ``folder / name``.

    Returns
    -------
    dict
        What it holds; arrays stay in the file.

    Raises
    ------
    ConfigError
        If it asks for anything else.
    Corrupt
        If it is damaged, cut short, or declares more than it holds.
    NotFound, RcigError
        As ``files.opened``.
    """
    path = folder / name
    with opened(folder, name) as file:
        try:
            return _Machine(file, path).run()
        except (IndexError, TypeError, ValueError, UnicodeDecodeError, struct.error) as error:
            raise Corrupt(f"{path} is damaged or no pickle: download it again.") from error


@dataclass
class _Machine:
    """The stack, what it remembers, and the file it reads from."""

    file: BinaryIO
    path: Path
    stack: list[Any] = field(default_factory=list)
    memory: dict[int, Any] = field(default_factory=dict)
    values: int = 0
    kept: int = 0

    def __post_init__(self) -> None:
        self.size = size_of(self.file)

    def run(self) -> dict[str, Value]:
        while (code := self.take(1)) != b".":
            handler = _HANDLERS.get(code)
            if handler is None:
                self.refuse(f"the opcode {code!r}")
            handler(self)
        (found,) = self.stack
        if not isinstance(found, dict) or self.file.read(1):
            raise ValueError("no dictionary alone")
        return found

    def take(self, count: int) -> bytes:
        return read_exactly(self.file, count, self.path)

    def number(self, form: str) -> int:
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(value)

    def push(self, value: Any) -> None:
        self.values += 1
        if self.values > _MOST_VALUES:
            raise self.too_many()
        self.stack.append(value)

    def too_many(self) -> Corrupt:
        return Corrupt(f"{self.path} holds more values than such a file can: download it again.")

    def pop(self) -> Any:
        value = self.stack.pop()
        if isinstance(value, _Mark):
            raise ValueError("a mark where a value was due")
        return value

    def group(self) -> list[Any]:
        found: list[Any] = []
        while not isinstance(value := self.stack.pop(), _Mark):
            found.append(value)
        return found[::-1]

    def refuse(self, what: str) -> NoReturn:
        raise ConfigError(
            f"{self.path} is a pickle that holds {what}, not plain numbers alone, and is not read further: "
            "use the binary version of the download."
        )

    def text(self, form: str) -> None:
        length, offset = self.number(form), self.file.tell()
        if not 0 <= length <= self.size - offset:
            raise Corrupt(f"{self.path} is cut short: download it again.")
        content = self.take(length) if length <= _LONGEST_TEXT else None
        self.kept += len(content or b"")
        if self.kept > _MOST_TEXT:
            raise self.too_many()
        self.file.seek(offset + length)
        self.push(_Text(offset, length, content))

    def long(self) -> None:
        length = self.number("<B")
        if length > 8:
            raise ValueError("no such length")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(values[::-1]))

    def remember(self, index: int) -> None:
        self.memory[index] = self.stack[-1]
        if len(self.memory) > _MOST_VALUES:
            raise self.too_many()

    def recall(self, index: int) -> None:
        if index not in self.memory:
            raise ValueError("nothing remembered")
        self.push(self.memory[index])

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("no list")
        target.extend(self.item(value) for value in items)

    def item(self, value: Any) -> int | str:
        if isinstance(value, _Text):
            return self.say(value)
        if not isinstance(value, int):
            self.refuse("lists of something else")
        return value

    def say(self, text: Any) -> str:
        if not isinstance(text, _Text):
            raise ValueError("no text")
        if text.content is None:
            self.refuse(f"a text of {text.length} bytes")
        return text.content.decode("utf-8")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError("no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.say(key)] = self.entry(value)

    def entry(self, value: Any) -> Value:
        if isinstance(value, _Array):
            if value.plain is None:
                raise ValueError("an array without content")
            return value.plain
        return value if isinstance(value, list) else self.item(value)

    def line(self) -> str:
        found = self.file.readline(256)
        if not found.endswith(b"\n"):
            raise ValueError("no name")
        return found[:-1].decode("ascii")

    def name(self, module: str, attribute: str) -> None:
        known = _NAMES.get((module, attribute))
        if known is None:
            self.refuse(f"a reference to {f'{module}.{attribute}'[:80]!r}")
        self.push(known)

    def stacked_name(self) -> None:
        attribute, module = self.pop(), self.pop()
        self.name(self.say(module), self.say(attribute))

    def reduce(self) -> None:
        arguments, called = self.pop(), self.pop()
        match called, arguments:
            case _Name.RECONSTRUCT, (_Name.NDARRAY, (0,), _Text(content=b"b")):
                self.push(_Array())
            case _Name.DTYPE, (_Text(content=b"u1"), int(), int()):
                self.push(_Dtype())
            case _Name.DTYPE, (_Text(content=bytes(kind)), *_):
                self.refuse(f"an array of {kind[:8].decode('ascii', 'replace')!r}")
            case _:
                self.refuse("a call of something else")

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        match target, state:
            case _Dtype(), (3 | 4, _Text(content=b"|"), None, None, None, -1, -1, 0):
                target.built = True
            case _Array(), (1, tuple(shape), _Dtype(built=True), int(fortran), _Text() as data):
                target.plain = self.array(shape, bool(fortran), data)
            case _:
                self.refuse("something other than an array of bytes")

    def array(self, shape: tuple[Any, ...], fortran: bool, data: _Text) -> PlainArray:
        if not 1 <= len(shape) <= 2 or not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError("no such array")
        if math.prod(shape) != data.length:
            raise Corrupt(f"{self.path}: its array isn't as large as it declares: download it again.")
        return PlainArray(shape, data.offset, fortran)


# By opcode; the names are those of Python's pickletools.
_HANDLERS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": lambda m: None if m.number("<B") in _PROTOCOLS else m.refuse("a protocol it knows nothing of"),
    b"\x95": lambda m: None if m.number("<Q") <= m.size else m.refuse("a frame larger than itself"),  # FRAME
    b"}": lambda m: m.push({}),  # EMPTY_DICT
    b"]": lambda m: m.push([]),  # EMPTY_LIST
    b")": lambda m: m.push(()),  # EMPTY_TUPLE
    b"(": lambda m: m.push(_Mark()),  # MARK
    b"q": lambda m: m.remember(m.number("<B")),  # BINPUT
    b"r": lambda m: m.remember(m.number("<I")),  # LONG_BINPUT
    b"\x94": lambda m: m.remember(len(m.memory)),  # MEMOIZE
    b"h": lambda m: m.recall(m.number("<B")),  # BINGET
    b"j": lambda m: m.recall(m.number("<I")),  # LONG_BINGET
    b"U": lambda m: m.text("<B"),  # SHORT_BINSTRING
    b"T": lambda m: m.text("<i"),  # BINSTRING
    b"C": lambda m: m.text("<B"),  # SHORT_BINBYTES
    b"B": lambda m: m.text("<I"),  # BINBYTES
    b"\x8e": lambda m: m.text("<Q"),  # BINBYTES8
    b"\x8c": lambda m: m.text("<B"),  # SHORT_BINUNICODE
    b"X": lambda m: m.text("<I"),  # BINUNICODE
    b"K": lambda m: m.push(m.number("<B")),  # BININT1
    b"M": lambda m: m.push(m.number("<H")),  # BININT2
    b"J": lambda m: m.push(m.number("<i")),  # BININT
    b"\x8a": lambda m: m.long(),  # LONG1
    b"\x88": lambda m: m.push(True),  # NEWTRUE
    b"\x89": lambda m: m.push(False),  # NEWFALSE
    b"N": lambda m: m.push(None),  # NONE
    b"\x85": lambda m: m.tuple_of(1),  # TUPLE1
    b"\x86": lambda m: m.tuple_of(2),  # TUPLE2
    b"\x87": lambda m: m.tuple_of(3),  # TUPLE3
    b"t": lambda m: m.push(tuple(m.group())),  # TUPLE
    b"a": lambda m: m.append([m.pop()]),  # APPEND
    b"e": lambda m: m.append(m.group()),  # APPENDS
    b"s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),  # SETITEM
    b"u": lambda m: m.set_items(m.group()),  # SETITEMS
    b"c": lambda m: m.name(m.line(), m.line()),  # GLOBAL
    b"\x93": lambda m: m.stacked_name(),  # STACK_GLOBAL
    b"R": lambda m: m.reduce(),  # REDUCE
    b"b": lambda m: m.build(),  # BUILD
}
