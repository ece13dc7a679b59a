"""Other inputs out of good ones: bytes as bytes, JSON as JSON, with the values that break programs."""

import copy
import json
from random import Random

LONG = "x" * 10_000
# Texts that a name or a path should not be, and some that it may.
TEXTS = [
    "", ".", "..", "/", "a", "run_1", "run_01", "run_0", "run_1\n", "sweep_1", "shapes", "-", "--help", "-rf",
    "../../etc/passwd", "/etc/passwd", "a/../b", "a//b", "a\\b", "~", "~root", "$HOME", "a\0b", "\0", LONG,
    "a/" * 3000, "ｒｕｎ_１", "run_１", "run_²", "․․/a", "．．／a", "∕etc", "e\u0301", "\u00e9", "\u202egpj",
    "\ud800", "\udcff", "\U0010ffff", "\x1b[31m", "\x7f", "\r\n", "a b", " ", ".aside-0", ".partial-digits",
    ".replaced-run_1-0123456789abcdef", "CON", "nul.txt", "a" * 64, "a" * 65, "a" * 255, "a" * 256, "%s%n",
    "{}", "{0.__class__}", "[bold]x[/bold]", "[/]", "nan", "inf", "1e999", "0x10", "١٢", "1_000", "True",
    "2025-03-01T12:30:00+00:00", "2025-03-01T12:30:00.123456+00:00", "9999-12-31T23:59:59+00:00",
    "0001-01-01T00:00:00+23:59", "0" * 64, "f" * 64, "manifest.json", "distilled.zarr/../../x", "float32",
    "object", "<U10", "O", "|V8", "c", "1" * 5000,
]  # fmt: skip
NUMBERS = [
    0, 1, -1, 2, 3, 7, 10, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1,
    2**64, 10**18, 10**30, 10**400, -(10**400), 10**4299, 0.0, -0.0, 0.5, 1.0, -1.5, 1e-320, 1e300,
    1e308, -1e308,
    float("nan"), float("inf"), float("-inf"),
]  # fmt: skip
_DEEP = 3000  # brackets


def value(random: Random):
    """A JSON value that is likely to be wrong."""
    match random.randrange(10):
        case 0 | 1 | 2:
            return random.choice(TEXTS)
        case 3 | 4 | 5:
            return random.choice(NUMBERS)
        case 6:
            return random.choice([None, True, False, [], {}, [[]], [{}], {"": None}])
        case 7:
            return [value(random) for _ in range(random.randrange(5))]
        case 8:
            return {random.choice(TEXTS): value(random) for _ in range(random.randrange(4))}
    return random.choice([[0] * 1000, [1, 2], {"format": 1}, {"name": "a", "digest": "0" * 64}])


def mutate_json(document, random: Random):
    """Another JSON value: a few places in a copy of this one changed, lost, doubled, renamed or swapped."""
    document = copy.deepcopy(document)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        document = _mutate_once(document, random)
    return document


def _places(value, found, holder=None, key=None):
    found.append((holder, key))
    if isinstance(value, dict):
        for each in value:
            _places(value[each], found, value, each)
    elif isinstance(value, list):
        for index in range(len(value)):
            _places(value[index], found, value, index)
    return found


def _descend(document, random):
    """A place found by going down, each branch as likely as the others."""
    holder, key, here = None, None, document
    while isinstance(here, dict | list) and here and (holder is None or random.random() < 0.8):
        key = random.choice(list(here)) if isinstance(here, dict) else random.randrange(len(here))
        holder, here = here, here[key]
    return holder, key


def _mutate_once(document, random):
    places = _places(document, [])
    holder, key = random.choice(places[1:] if len(places) > 1 and random.random() < 0.97 else places)
    if random.random() < 0.5:  # a table of a thousand digests would have nearly all of it
        holder, key = _descend(document, random)
    if holder is None:
        return value(random) if random.random() < 0.5 else {"a": document}
    if random.random() < 0.3:
        holder[key] = _alike(holder[key], random)
        return document
    match random.randrange(8):
        case 0:
            del holder[key]
        case 1 | 2 | 3:
            holder[key] = value(random)
        case 4:
            other, its = random.choice(places)
            if other is not None and (isinstance(other, dict) or its < len(other)):
                holder[key] = copy.deepcopy(other[its])
        case 5 if isinstance(holder, dict):
            holder[random.choice([*TEXTS, *map(str, holder)])] = holder.pop(key)
        case 6 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = _near(holder[key], random)
        case 7 if isinstance(holder[key], str):
            holder[key] = mutate_text(holder[key], random)
        case _:
            # Copies of a tree in a tree in a tree would never end.
            many = 1 if isinstance(holder[key], dict | list) else 50
            holder[key] = [holder[key]] * random.choice((1, many))
    return document


def _alike(old, random):
    """A value of the same kind: one that may be right."""
    if isinstance(old, bool) or old is None:
        return random.choice([True, False, None])
    if isinstance(old, int):
        return random.choice([old + 1, max(0, old - 1), old * 2, 0, 1, random.randrange(100)])
    if isinstance(old, float):
        return random.choice([old * 2, old / 2, random.random()])
    if isinstance(old, str):
        return random.choice([old, *TEXTS[:10], "none", "batch", "adam", "cg", "run_2", "shapes", "failed"])
    return old[1:] + old[:1] if isinstance(old, list) else dict(reversed(old.items()))


def _near(number, random):
    return random.choice(
        [number + 1, number - 1, -number, number * 2, number * 1000, number + 0.5, str(number)]
    )


def mutate_text(text: str, random: Random) -> str:
    """Another text: something put in, taken out or doubled."""
    at = random.randrange(len(text) + 1)
    end = random.randrange(at, len(text) + 1)
    put = random.choice([random.choice(TEXTS), chr(random.randrange(0x250)), ""])
    return random.choice(
        [text[:at] + put + text[at:], text[:at] + text[end:], text[:at] + put + text[end:], put]
    )


def dump_json(document, random: Random) -> bytes:
    """Write JSON as other programs would: canonical most often, with odd spellings now and then."""
    deep = b'{"a":' * _DEEP if random.random() < 0.5 else b"[" * _DEEP
    style = random.randrange(12)
    text = json.dumps(document, sort_keys=True, indent=2) + "\n"
    if style == 0:
        text = text.replace("{", '{"format": 1, "format": 1,', 1)
    elif style == 1:
        text = text.replace(" 1,", " 1e400,").replace(" 0,", " -0,")
    elif style == 2:
        text = json.dumps(document, ensure_ascii=False)
    elif style == 3:
        return text.encode().replace(b": 1", b": " + deep, 1)
    return text.encode("utf-8", "surrogatepass")


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Other bytes: some changed, cut, put in, doubled or overwritten."""
    result = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at = random.randrange(len(result) + 1)
        end = min(len(result), at + random.choice((1, 2, 4, 8, random.randrange(1, 1 + max(1, len(result))))))
        match random.randrange(6):
            case 0 if at < len(result):
                result[at] ^= 1 << random.randrange(8)
            case 1:
                del result[at:end]
            case 2:
                result[at:at] = result[at:end]
            case 3:
                result[at:at] = random.randbytes(random.choice((1, 2, 4, 8)))
            case 4:
                result[at:end] = random.choice((b"\0", b"\xff", b"\x7f", b"9", b"[", b'"')) * (end - at)
            case 5:
                width = random.choice((1, 2, 4, 8))
                number = random.choice((0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**40)) % 256**width
                result[at : at + width] = number.to_bytes(width, random.choice(("little", "big")))
    return bytes(result)
