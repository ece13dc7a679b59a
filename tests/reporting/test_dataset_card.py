"""Parts of the data card of a distilled set; ``tests/cli/test_hub.py`` tests the whole card."""

import re
from dataclasses import replace

import numpy as np
import pytest

from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.parametrizations import PARAMETRIZATIONS
from rcig_cli.reporting.dataset_card import citations, inputs_code
from tests.data.examples import fit, natural_images


@pytest.mark.parametrize(
    ("count", "side", "channels", "kind"),
    [(20, 8, 1, None), (300, 8, 3, "matrix"), (50, 8, 3, "basis"), (3, 96, 3, "basis"), (3, 67, 3, None)],
)
def test_the_code_on_the_card_whitens_as_rcig_does(count, side, channels, kind):
    images = natural_images(count, side, channels)
    whitening = fit(images, zca=kind is not None)
    assert kind is None or getattr(whitening, kind) is not None
    code = inputs_code(whitening, (side, side, channels), "transpose")
    arrays = {f"whitening_{name}": array for name, array in whitening.arrays().items()}
    names = {"arrays": arrays}
    exec(f"def inputs(pixels):\n{code}", names)
    np.testing.assert_allclose(names["inputs"](images[:2]), whitening.apply(images[:2]), atol=1e-3)


def test_every_paper_can_be_cited():
    for choice in (*METHODS.values(), *PARAMETRIZATIONS.values()):
        entries = citations(choice, None)
        assert len(entries) == (1 if choice.reference in (None, METHODS["rcig"].reference) else 2)
        keys = [re.fullmatch(r"@inproceedings\{([a-z0-9-]+),\n.*", entry, re.DOTALL)[1] for entry in entries]
        assert len(set(keys)) == len(entries)
    assert "zhao2021dsa" in citations(METHODS["dsa"], None)[0]
    assert citations(METHODS["k-center"], None)[0].startswith("@inproceedings{sener2018kcenter,")


def test_any_text_may_be_the_reference_of_a_method_of_ones_own():
    own = replace(METHODS["dm"], name="mine:OWN", reference="Submitted (2026)")
    assert citations(own, None)[0] == "@misc{mine:OWN,\n  note = {Submitted (2026)},\n}"
