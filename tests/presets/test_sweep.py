"""A sweep's file: what it stands for, and every way of writing it wrongly."""

from pathlib import Path

import pytest

from rcig_cli.errors import ConfigError, NotFound
from rcig_cli.presets.preset import resolve
from rcig_cli.presets.sweep import make_plan, read_plan

DOCS = Path(__file__).resolve().parents[2] / "docs" / "sweeps"

GOOD = """
dataset = "digits"
ipc = 1

[[sweep]]
inner_steps = [2, 5]
seed = [0, 1]

[[sweep]]
hessian_steps = [2, 5]

[evaluate]
networks = 3
"""


def written(tmp_path, text):
    path = tmp_path / "sweep.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_each_block_is_a_product_and_the_sweep_their_union(tmp_path):
    plan = read_plan(written(tmp_path, GOOD))
    assert plan.dataset == "digits"
    assert plan.axes == ("inner_steps", "seed", "hessian_steps")
    assert plan.evaluate == {"networks": 3}
    assert plan.combinations() == [
        {"ipc": 1, "inner_steps": 2, "seed": 0},
        {"ipc": 1, "inner_steps": 2, "seed": 1},
        {"ipc": 1, "inner_steps": 5, "seed": 0},
        {"ipc": 1, "inner_steps": 5, "seed": 1},
        {"ipc": 1, "hessian_steps": 2},
        {"ipc": 1, "hessian_steps": 5},
    ]


def test_one_block_is_a_table_and_one_value_needs_no_list():
    plan = make_plan({"ipc": 1, "width": 8, "sweep": {"width": 4, "seed": [0]}})
    assert plan.combinations() == [{"ipc": 1, "width": 4, "seed": 0}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfe\x00", "isn't readable TOML"),
        ("seed = [", "isn't readable TOML"),
        ("a = " + "[" * 50_000, "isn't readable TOML"),
        ("seed = " + "9" * 10_000, "isn't readable TOML"),
        ("x" * (1 << 21), "larger than"),
        ("", "needs a table [sweep]"),
        ("ipc = 1", "needs a table [sweep]"),
        ("ipc = 1\nsweep = 3", "needs a table [sweep]"),
        ("ipc = 1\nsweep = [1]", "needs a table [sweep]"),
        ("[sweep]\nseed = [0]", "ipc = 1"),
        ("ipc = 1\nseed = [0, 1]", "under [sweep]"),
        ("ipc = 1\n[sweep]\nseed = []", "no values"),
        ("ipc = 1\n[sweep]\nn_iner = [1]", "did you mean 'inner_steps'"),
        ("ipc = 1\n[sweep]\nn_Hinv = [1]", "did you mean 'hessian_steps'"),
        ("ipc = 1\nwidht = 3\n[sweep]\nseed = [0]", "did you mean 'width'"),
        ("ipc = 1\n[sweep]\nxqzjv = [1]", "there are: "),
        ("ipc = 1\n[sweep]\n" + "x" * 5000 + " = [1]", "there is no setting 'xxx"),
        ('ipc = 1\n[sweep]\ndataset = ["a", "b"]', "one data set"),
        ('ipc = 1\n[sweep]\nseed = ["0"]', "seed must be a whole number"),
        ("ipc = 1\n[sweep]\nseed = [true]", "seed must be a whole number"),
        ("ipc = 1\n[sweep]\nseed = [0.5]", "seed must be a whole number"),
        ("ipc = 1\n[sweep]\nsolver = [[1]]", "solver must be a text"),
        ('ipc = 1\n[sweep]\nflip = ["maybe"]', "flip must be true or false"),
        ("ipc = 1\n[sweep]\nflip = [1]", "flip must be true or false"),
        ("ipc = 1\nimage_lr = 1979-05-27\n[sweep]\nseed = [0]", "image_lr must be a number"),
        ("ipc = {a = 1}\n[sweep]\nseed = [0]", "ipc must be a whole number"),
        ("ipc = 1\n[sweep]\nseed = [0]\n[evaluate]\nnetwork = 3", "did you mean 'networks'"),
        ('ipc = 1\n[sweep]\nseed = [0]\n[evaluate]\nnetworks = "3"', "networks under [evaluate] must be"),
        ("ipc = 1\nevaluate = 3\n[sweep]\nseed = [0]", "evaluate must be a table"),
        (
            "ipc = 1\n[sweep]\n"
            + "\n".join(f"{n} = {list(range(1, 99))}" for n in ("seed", "width", "depth")),
            "more than 1000 runs",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_that_names_the_file(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_plan(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_ready_made_ones_can_be_run_on_digits(path):
    plan = read_plan(path)
    assert plan.dataset == "digits"
    configs = {resolve("digits", (8, 8, 1), 10, settings) for settings in plan.combinations()}
    assert 9 <= len(configs) <= 24


def test_files_that_are_not_there_or_no_files(tmp_path):
    with pytest.raises(NotFound, match=r"nothing\.toml"):
        read_plan(tmp_path / "nothing.toml")
    with pytest.raises(ConfigError, match="can't be read"):
        read_plan(tmp_path)


PLACES = ["[[sweep]]\nimage_lr = [{}]", "[[sweep]]\nseed=0\n[evaluate]\nlr = {}"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1" + "0" * 400])
@pytest.mark.parametrize("place", PLACES)
def test_numbers_that_are_none_are_refused(tmp_path, value, place):
    (tmp_path / "sweep.toml").write_text(f"ipc = 1\n{place.format(value)}\n")
    with pytest.raises(ConfigError, match="must be a number"):
        read_plan(tmp_path / "sweep.toml")
