"""Names are spelled with the characters of the font, in lines that fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.reporting.figures.canvas import fit_lines, printable, text_width


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("golden retriever", "golden retriever"),
        ("  two\n\tlines\x00 ", "two lines"),
        ("Zürich", "Zürich"),
        ("Zu\u0308rich", "Zürich"),
        ("Ελλάδα, Москва, Tiếng Việt", "Ελλάδα, Москва, Tiếng Việt"),
        ("ｃａｔ", "cat"),
        ("हिन्दी", ""),
        ("run_1 · digits", "run_1 · digits"),
        ("日本 tank", "?? tank"),
        ("日本", ""),
        ("\ud800", ""),
        ("...", "..."),
    ],
)
def test_names_are_spelled_with_the_characters_of_the_font(name, spelled):
    assert printable(name) == spelled


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("cat", ("cat",)),
        ("", ()),
        ("golden retriever", ("golden", "retriever")),
        ("Chesapeake-Bay-retriever", ("Chesapeake-", "Bay-retriever")),
        ("sweet_pepper_plant", ("sweet_", "pepper_plant")),
        ("supercalifragilisticexpialidocious", ("supercalifragil", "isticexpiali…")),
    ],
)
def test_names_are_broken_between_words_and_end_with_an_ellipsis_if_too_long(name, lines):
    assert fit_lines(name, 14, 104, 2) == lines


@given(st.text(max_size=300), st.integers(60, 200), st.integers(1, 3))
def test_lines_of_any_text_fit_their_width_and_number(text, width, most):
    name = printable(text)
    lines = fit_lines(name, 14, width, most)
    assert len(lines) <= most
    assert all(line and text_width(line, 14) <= width for line in lines)
    # Spaces are removed at the end of a line and before the ellipsis.
    shown = "".join(lines).replace(" ", "").removesuffix("…")
    assert name.replace(" ", "").startswith(shown)
