"""Checks of JSON documents against a table of fields, which find everything that is wrong at once."""

import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rcig_cli.store.names import is_inner_path, nearest, shorten

_LARGEST = sys.float_info.max / 2**20  # with room to add some up, and to show shares of 1 in percent
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Check:
    """One condition on a JSON value.

    Parameters
    ----------
    expected
        What the value must be, to follow "must be".
    holds
        Whether a value is that.
    """

    expected: str
    holds: Callable[[Any], bool]


def problems_of(
    document: Mapping[str, Any], checks: Mapping[str, Check], optional: Collection[str] = ()
) -> list[str]:
    """Compare a document with a table of its fields, of which the `optional` ones may be missing.

    Returns
    -------
    list
        One phrase for each field that is missing, unknown or wrong; empty if all is well.
    """
    missing = [
        f"{shorten(name)} is missing" for name in checks if name not in document and name not in optional
    ]
    unknown = [_unknown(name, checks) for name in document if name not in checks]
    return missing + unknown + _wrong(document, checks)


def wrong_fields(document: Mapping[str, Any], checks: Mapping[str, Check]) -> list[str]:
    """Compare some of a document's fields with a table, as `problems_of` does all; others may be anything."""
    missing = [f"{shorten(name)} is missing" for name in checks if name not in document]
    return missing + _wrong(document, checks)


def _wrong(document: Mapping[str, Any], checks: Mapping[str, Check]) -> list[str]:
    return [
        f"{shorten(name)} must be {check.expected}, and is {shorten(document[name])}"
        for name, check in checks.items()
        if name in document and not check.holds(document[name])
    ]


def _unknown(name: str, checks: Mapping[str, Check]) -> str:
    candidate = nearest(name[:100], checks)
    hint = f" (is it {candidate!r}?)" if candidate else ""
    return f"{shorten(name)} is no field of it{hint}"


def exactly(*allowed: str | int) -> Check:
    """Accept these values only."""
    expected = " or ".join(repr(value) for value in allowed)
    # True equals 1 in Python, but isn't the same JSON.
    return Check(expected, lambda value: type(value) in (str, int) and value in allowed)


def holding(noun: str, checks: Mapping[str, Check], optional: Collection[str] = ()) -> Check:
    """Accept an object with exactly these fields; the `optional` ones may be missing."""
    listed = " and ".join(f"{name!r} ({check.expected})" for name, check in checks.items())
    return Check(
        f"{noun}: {listed}",
        lambda value: isinstance(value, dict) and not problems_of(value, checks, optional),
    )


def having(noun: str, checks: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Accept an object with these fields, the `optional` ones where they are there, and any others."""

    def holds(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        return not wrong_fields(value, checks) and not _wrong(value, optional or {})

    return Check(noun, holds)


def or_null(check: Check) -> Check:
    """Accept null too."""
    return Check(f"null or {check.expected}", lambda value: value is None or check.holds(value))


def listing(noun: str, check: Check) -> Check:
    """Accept a list whose every item passes a check."""
    return Check(f"a list of {noun}", lambda value: isinstance(value, list) and all(map(check.holds, value)))


def mapping(expected: str, key: Callable[[str], bool], check: Check) -> Check:
    """Accept an object whose every key and value passes."""
    return Check(
        expected,
        lambda value: isinstance(value, dict) and all(key(k) and check.holds(v) for k, v in value.items()),
    )


def _is_integer(value: Any, least: int) -> bool:
    # JSON has any; arrays, files and clocks count to 2**63.
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


number = Check("a number", _is_number)
natural = Check("a whole number from 0", lambda value: _is_integer(value, 0))
positive = Check("a whole number from 1", lambda value: _is_integer(value, 1))
flag = Check("true or false", lambda value: isinstance(value, bool))
text = Check("a text", lambda value: isinstance(value, str))
texts = listing("texts", text)
json_object = Check("an object", lambda value: isinstance(value, dict))
digest = Check("a SHA-256", lambda value: isinstance(value, str) and _SHA256.fullmatch(value) is not None)
texts_by_name = mapping("an object of texts", lambda _: True, text)
digests_by_path = mapping(
    "an object from file paths within the folder to their SHA-256", is_inner_path, digest
)
