"""Names become what the font can draw, in lines that fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.reporting.figures.captions import (
    ELLIPSIS,
    OVERHANG,
    drawable,
    fit_lines,
    line_height,
    load_font,
    text_width,
)


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("golden retriever", "golden retriever"),
        ("  two\n\tlines\x00 ", "two lines"),
        ("café au lait", "cafe au lait"),
        ("run_1 · digits", "run_1 · digits"),
        ("日本 tank", "?? tank"),
        ("日本", ""),
        ("\ud800", ""),
        ("", ""),
        ("...", "..."),
    ],
)
def test_names_are_spelled_with_what_the_font_has(name, spelled):
    assert drawable(name) == spelled


@given(st.text())
def test_every_string_can_be_drawn(text):
    spelled = drawable(text)
    assert spelled == spelled.strip()
    assert text_width(spelled, 14) >= 0


@pytest.mark.parametrize(
    ("name", "most", "lines"),
    [
        ("cat", 2, ("cat",)),
        ("", 2, ()),
        ("golden retriever", 2, ("golden", "retriever")),
        ("Chesapeake-Bay-retriever", 2, ("Chesapeake-", "Bay-retriever")),
        ("sweet_pepper_plant", 2, ("sweet_", "pepper_plant")),
    ],
)
def test_names_are_cut_between_words(name, most, lines):
    assert fit_lines(name, 14, 90, most) == lines


def test_a_name_that_does_not_fit_ends_with_an_ellipsis():
    lines = fit_lines("supercalifragilisticexpialidocious", 14, 90, 2)
    assert len(lines) == 2
    assert lines[1].endswith(ELLIPSIS)
    assert "supercalifragilisticexpialidocious".startswith("".join(lines).removesuffix(ELLIPSIS))


def test_a_name_is_not_cut_where_it_just_fits():
    name = "supercalifragilistic"
    width = text_width(name, 14)
    assert fit_lines(name, 14, width, 1) == (name,)
    assert fit_lines(name, 14, width - 1, 1)[0].endswith(ELLIPSIS)


@given(st.text(max_size=300), st.integers(60, 200), st.integers(1, 3))
def test_lines_fit_their_width_and_number(text, width, most):
    name = drawable(text)
    lines = fit_lines(name, 14, width, most)
    assert len(lines) <= most
    assert all(line and text_width(line, 14) <= width for line in lines)
    # Spaces go at a line's end, and before the ellipsis.
    shown = "".join(lines).replace(" ", "").removesuffix(ELLIPSIS)
    assert name.replace(" ", "").startswith(shown)


def test_very_long_names_are_cut_at_once():
    assert len(fit_lines("x" * 100_000, 14, 96, 2)) == 2


def test_the_ink_of_a_line_stays_within_its_height():
    left, top, right, bottom = load_font(14).getbbox("Apqgj|{_", anchor="la")
    assert left >= -OVERHANG
    assert top >= 0
    assert bottom <= line_height(14)
    assert right <= text_width("Apqgj|{_", 14) - OVERHANG
