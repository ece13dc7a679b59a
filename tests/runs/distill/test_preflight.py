"""Estimates of memory and time before a run starts, and the options named where it does not fit."""

import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import resolve
from rcig_cli.runs.distill import preflight
from tests.conftest import TINY


def config(**flags):
    return resolve("cifar10", (32, 32, 3), 10, {"ipc": 10, "batch": 128, **flags})


def test_the_options_named_are_those_that_change_least_and_fit():
    def needed(config):
        return 10 * config.batch + (config.method.backward_subset or 200)

    with pytest.raises(ConfigError) as refusal:
        preflight.check_memory(1480, 1000, config(), 200, needed)
    assert "With --batch 64 --backward-subset 100 it needs about" in str(refusal.value)


def test_no_option_is_named_where_none_would_fit():
    with pytest.raises(ConfigError, match="smaller --width, or a machine with more memory"):
        preflight.check_memory(2, 1, config(), 200, lambda _: 2)


def test_sizes_that_would_be_rounded_alike_are_given_with_more_digits():
    with pytest.raises(ConfigError, match=r"about 22\.4 GB of memory, but only 22\.1 GB are"):
        preflight.check_memory(22_420_000_000, 22_060_000_000, config(), 200, lambda _: 10**12)


def test_a_run_that_does_not_fit_is_refused_with_an_option_that_makes_it_fit(rcig, tmp_path, monkeypatch):
    flags = ["distill", "--ipc", 1, *TINY, "--batch", 512, "--steps", 2, "--store", tmp_path / "a"]
    check, memory = preflight.check_memory, []

    def with_less_than_is_needed_at_first(needed, _, *rest):
        memory.append(needed - 1)
        check(needed, memory[0], *rest)

    monkeypatch.setattr(preflight, "check_memory", with_less_than_is_needed_at_first)
    refused = rcig(*flags)
    assert refused.code == 2
    assert "This run needs about" in refused.err
    named = refused.err.split("With ")[1].split(" it needs")[0].split()
    assert named[0] in ("--batch", "--backward-subset")
    fits = rcig(*flags, *named)
    assert fits.code == 0, fits.err


def test_the_estimate_is_one_line(rcig, tmp_path):
    done = rcig("distill", "--ipc", 1, *TINY, "--steps", 8, "--store", tmp_path / "a")
    lines = [line for line in done.err.splitlines() if line.startswith("Needs about ")]
    assert len(lines) == 1
    assert "s per step: about" in lines[0]
