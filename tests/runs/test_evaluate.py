"""Evaluating: the paper's accuracy is given where it can be compared."""

from types import SimpleNamespace

import pytest

from rcig_cli.presets.config import resolve
from rcig_cli.runs.evaluate.evaluate import _paper_result
from rcig_cli.runs.evaluate.protocol import evaluation_protocol


@pytest.mark.parametrize(
    ("name", "classes", "mean"), [("cifar10", 10, 0.539), ("cifar10", 3, None), ("pets", 10, None)]
)
def test_the_papers_accuracy_needs_the_published_number_of_classes(name, classes, mean):
    assert paper(name, classes) == pytest.approx(mean)


def test_the_papers_accuracy_is_for_raw_sets():
    assert paper("cifar10", 10, parametrization="raw") == pytest.approx(0.539)
    assert paper("cifar10", 10, parametrization="multiformation") is None


def paper(name, classes, **settings):
    """The mean of the paper's accuracy for a set of 1 image per class, or None."""
    config = resolve(name, (32, 32, 3), classes, {"ipc": 1, **settings})
    distilled = SimpleNamespace(
        run=SimpleNamespace(imported=False), config=config, prepared=SimpleNamespace(classes=classes)
    )
    found = _paper_result(distilled, evaluation_protocol(config, classes))
    return found and found.mean
