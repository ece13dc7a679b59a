"""Seals: a document that vouches for itself, byte by byte."""

import json
from pathlib import Path

import pytest

from rcig_cli.errors import Corrupt
from rcig_cli.store.documents import parse
from rcig_cli.store.seals import SEAL, flaw, is_sealed, sealed, without_seal

GOLDEN = Path(__file__).parent / "golden" / "format_1_sealed"
DOCUMENT = {"format": 1, "mean": 0.1, "name": "Zürich", "values": [1, -2.5e-30], "deep": {"a": None}}
LONG = ("files", "leaves", "config")


def found(content):
    """Whether damage in a document is found: by reading it, or by its seal."""
    try:
        return flaw(content, parse(content, "it")) is not None
    except Corrupt:
        return True


def test_a_sealed_document_is_sound_and_says_the_same():
    text = sealed(DOCUMENT)
    document = json.loads(text)
    assert flaw(text.encode(), document) is None
    assert is_sealed(document)
    assert without_seal(document) == DOCUMENT
    assert sealed(document) == text


def test_what_was_never_sealed_cannot_be_told_from_what_was_meant():
    text = json.dumps(DOCUMENT, sort_keys=True, indent=2) + "\n"
    assert flaw(text.encode(), DOCUMENT) is None
    assert flaw(text.encode() + b" ", DOCUMENT) == "isn't written as rcig writes it"


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_what_json_does_not_have(value):
    content = sealed(DOCUMENT).replace("0.1", value).encode()
    assert found(content)


def every_change(content):
    """Each bit turned, each byte lost, and at each place a digit, a letter, a space and a zero added."""
    for at in range(len(content)):
        before, after = content[:at], content[at + 1 :]
        for bit in range(8):
            yield before + bytes([content[at] ^ 1 << bit]) + after
        yield before + after
    for at in range(len(content) + 1):
        for added in (b"0", b"a", b" ", b"\0"):
            yield content[:at] + added + content[at:]


def first_of(collection):
    first = list(collection)[:1]
    return first if isinstance(collection, list) else {name: collection[name] for name in first}


def test_every_changed_byte_of_every_kind_of_document_is_found():
    """Nothing is sampled here: of each kind the shortest document, at every place."""
    kinds = ["datasets/*/manifest.json", "runs/*/manifest.json", "runs/*/*/*/manifest.json"]
    kinds += ["sweeps/*/manifest.json", "runs/*/evaluations/*.json", "runs/*/timings/*.json"]
    tried = 0
    for kind in kinds:
        shortest = min(GOLDEN.glob(kind), key=lambda path: path.stat().st_size)
        # All its fields, but of the long lists of files, leaves and settings only the first.
        document = json.loads(shortest.read_bytes())
        document |= {name: first_of(document[name]) for name in LONG if name in document}
        content = sealed(document).encode()
        assert not found(content)
        for changed in every_change(content):
            assert found(changed), changed
            tried += 1
    print(f"{tried} changes tried")
    assert tried > 40_000


def test_a_seal_under_another_name_is_damage():
    text = sealed(DOCUMENT)
    for name in ("sha257", "sha56", "sha2256", "ha256", "sha25", "sha2560"):
        document = {**without_seal(json.loads(text)), name: json.loads(text)[SEAL]}
        written = json.dumps(document, sort_keys=True, indent=2) + "\n"
        assert flaw(written.encode(), document) == "has changed since it was written"
