"""Commands over a store that says absurd things, as somebody else may have made it."""

import json
import shutil

import pytest

from rcig_cli.store.seals import sealed
from tests.cli.test_errors import one_sentence
from tests.cli.test_golden import GOLDEN


@pytest.fixture
def store(tmp_path):
    return shutil.copytree(GOLDEN / "format_1_sealed", tmp_path / "a")


def change(path, **fields):
    document = {**json.loads(path.read_bytes()), **fields}
    path.write_text(sealed(document))


@pytest.mark.parametrize("value", ["[1, 2]", '"a"', "true", "1" + "0" * 400])
def test_a_log_of_something_else_than_numbers_is_not_drawn(rcig, store, value):
    log = store / "runs/run_1/metrics.jsonl"
    log.write_text(log.read_text() + f'{{"step": 99, "loss": {value}}}\n')
    drawn = rcig("visualize", "run_1", "--curves", "--store", store)
    one_sentence(drawn, 5)
    assert "'loss' is" in drawn.err


@pytest.mark.parametrize(
    "fields", [{"protocol": 3}, {"accuracy": {"mean": "high", "values": []}}, {"accuracy": {"mean": 10**400}}]
)
def test_an_evaluation_without_its_numbers_is_told_and_left_out(rcig, store, fields):
    path = next((store / "runs/run_1/evaluations").glob("*.json"))
    change(path, **fields)
    shown = rcig("show", "run_1", "--store", store)
    assert shown.code == 0
    assert path.name in shown.err.replace("\n", "")
    for command in (["compare", "run_1", "run_2"], ["report", "run_1"]):
        assert rcig(*command, "--store", store).code == 0


def test_an_attack_without_its_numbers_is_told_and_left_out(rcig, store):
    path = next((store / "runs/run_1/attacks").glob("*.json"))
    change(path, targets={"real": {"auc": {"mlp": 0.5}}})
    shown = rcig("show", "run_1", "--store", store)
    assert shown.code == 0
    assert path.name in shown.err.replace("\n", "")


def test_nothing_in_a_store_gives_orders_to_the_terminal(rcig, store):
    change(store / "datasets/shapes/manifest.json", source={"by": "\x1b]0;owned\x07 \u202egnp \ud800"})
    shown = rcig("show", "shapes", "--store", store)
    assert shown.code == 0
    assert "\\x1b]0;owned\\x07 \\u202egnp \\ud800" in shown.out


@pytest.mark.parametrize("folder", ["evaluations", "figures"])
def test_nothing_is_written_through_a_link(rcig, store, tmp_path, folder):
    (tmp_path / "outside").mkdir()
    shutil.rmtree(store / "runs/run_1" / folder, ignore_errors=True)
    (store / "runs/run_1" / folder).symlink_to(tmp_path / "outside")
    command = (
        ["report", "run_1"] if folder == "figures" else ["evaluate", "run_1", "--networks", 1, "--steps", 1]
    )
    assert rcig(*command, "--store", store).code == 5
    assert list((tmp_path / "outside").iterdir()) == []
