"""Documents: one text for each content, and every changed byte is found when they are read."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.errors import Corrupt, NotFound
from rcig_cli.store.documents import canonical, digest_of, read_document, write_document

# Lone surrogates too: names of files may hold them, and so may JSON.
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT.filter(lambda key: key not in ("format", "sha256")), JSON, max_size=4))
def test_a_document_comes_back(tmp_path_factory, document):
    path = tmp_path_factory.getbasetemp() / "document.json"
    write_document(path, document)
    assert read_document(path) == document


def test_the_text_is_canonical_and_holds_its_own_checksum(tmp_path):
    write_document(tmp_path / "a.json", {"b": 1, "a": "ü"})
    text = (tmp_path / "a.json").read_text(encoding="ascii")
    document = json.loads(text)
    assert text == json.dumps(document, sort_keys=True, indent=2) + "\n"
    assert document == {"a": "ü", "b": 1, "format": 1, "sha256": digest_of({"a": "ü", "b": 1, "format": 1})}


def test_every_changed_lost_or_added_byte_is_found(tmp_path):
    path = tmp_path / "a.json"
    write_document(path, {"step": 3, "values": [0.5, None, True], "name": "run_1"})
    content, byte = path.read_bytes(), random.Random(0)
    for at in range(len(content)):
        for changed in (bytes([content[at] ^ byte.randint(1, 255)]), b"", content[at : at + 1] + b" "):
            path.write_bytes(content[:at] + changed + content[at + 1 :])
            with pytest.raises(
                Corrupt, match=r"a\.json (is damaged|was written by (a newer|another version of) rcig)"
            ):
                read_document(path)


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"format": 2, "new": "field"}))
    with pytest.raises(Corrupt, match=r"newer rcig \(format 2\)\. .* format 1: upgrade rcig-cli"):
        read_document(tmp_path / "a.json")


@pytest.mark.parametrize("document", [{"format": 0, "sha256": "0"}, {"format": 1}], ids=["0", "no checksum"])
def test_another_format_is_not_called_damaged(tmp_path, document):
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(
        Corrupt, match=r"a\.json was written by another version of rcig, .* a new store with --store"
    ):
        read_document(tmp_path / "a.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"\0" * 50, b'{"format": "1"}', b"{}"]
)
def test_damage_names_the_file(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(Corrupt, match=r"a\.json is damaged: "):
        read_document(tmp_path / "a.json")


def test_a_missing_document(tmp_path):
    with pytest.raises(NotFound, match=r"a\.json does not exist"):
        read_document(tmp_path / "a.json")


def test_nan_is_not_written(tmp_path):
    write_document(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_document(tmp_path / "a.json", {"a": float("nan")})
    assert read_document(tmp_path / "a.json") == {"a": 1}
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"a": float("inf")})
