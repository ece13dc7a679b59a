"""Numbers as text; the unit is that of the rounded number."""

import pytest

from rcig_cli.reporting.formatting import duration, exact_size, rounded, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (59, "59 s"),
        (59.7, "1 min"),
        (61, "1 min"),
        (3597, "1 h"),
        (3661, "1 h 1 min"),
        (7200, "2 h"),
        (86_380, "1 d"),
        (130_000, "1 d 12 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text", "exact"),
    [
        (0, "0 bytes", "0 bytes"),
        (999, "999 bytes", "999 bytes"),
        (1000, "1 kB", "1.0 kB"),
        (122_880, "120 kB", "122.9 kB"),
        (994_000, "990 kB", "994.0 kB"),
        (999_940, "1 MB", "999.9 kB"),
        (999_960, "1 MB", "1.0 MB"),
        (1_234_567, "1.2 MB", "1.2 MB"),
        (83e6, "83 MB", "83.0 MB"),
        (999_600_000, "1 GB", "999.6 MB"),
        (2.5e9, "2.5 GB", "2.5 GB"),
        (61e9, "61 GB", "61.0 GB"),
        (2e12, "2000 GB", "2000.0 GB"),
    ],
)
def test_sizes(count, text, exact):
    assert (size(count), exact_size(count)) == (text, exact)


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (999.4, "999"), (999.7, "1000"), (-1234.5, "-1234")]
)
def test_numbers_with_three_digits(value, text):
    assert rounded(value) == text
