"""The distilled sets in ``examples``."""

import re

from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


def test_the_set_of_digits_is_evaluated_without_preparing_anything(rcig, tmp_path):
    store = ["--store", tmp_path / "store"]
    imported = rcig("import", EXAMPLES / "digits_ipc1.npz", "--dataset", "digits", *store)
    assert imported.code == 0, imported.err
    evaluated = rcig("evaluate", "digits_ipc1", "--networks", "1", "--json", *store)
    assert evaluated.code == 0, evaluated.err
    (result,) = evaluated.json["evaluations"]
    # Five networks reached 93.7 ± 0.9 % when it was exported, and 63.5 ± 3.8 % with random images.
    assert result["accuracy"]["mean"] > 0.9
    assert result["random_subset"]["mean"] < 0.8


def test_the_page_lists_every_set():
    listed = re.findall(r"^\| `(.*?)`", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in EXAMPLES.glob("*.npz"))
