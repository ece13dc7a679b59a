"""A run that diverges stops with its step, and what was good stands."""

import json

from tests.conftest import TINY


def test_a_diverging_run_stops_and_its_last_good_checkpoint_stands(rcig, tmp_path):
    flags = ["--ipc", 1, *TINY, "--steps", 50, "--image-lr", 1e30, "--checkpoint-every", 1]
    outcome = rcig("distill", *flags, "--store", tmp_path / "a")
    assert outcome.code == 6
    assert "diverged at step" in outcome.err
    assert "checkpoint of step" in outcome.err
    run = tmp_path / "a" / "runs" / "run_1"
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert str(manifest["step"]) in {path.name for path in (run / "checkpoints").iterdir()}
    assert not (run / "distilled.zarr").exists()
