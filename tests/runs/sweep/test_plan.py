"""The file of a sweep: its combinations, and the messages for what is wrong in it."""

from pathlib import Path

import pytest

from rcig_cli.data.sources.known import KNOWN
from rcig_cli.errors import ConfigError, NotFound
from rcig_cli.presets.config import resolve
from rcig_cli.runs.distill.time_budget import check_method
from rcig_cli.runs.sweep.plan import make_plan, read_plan

DOCS = Path(__file__).resolve().parents[3] / "docs" / "sweeps"

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
baseline = false
"""


def written(tmp_path, text):
    path = tmp_path / "sweep.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_each_block_is_a_product_and_the_sweep_their_union(tmp_path):
    plan = read_plan(written(tmp_path, GOOD))
    assert plan.datasets == ("digits",)
    assert plan.axes == ("inner_steps", "seed", "hessian_steps")
    (evaluation,) = plan.evaluations
    assert (evaluation.settings, evaluation.baseline) == ({"networks": 3}, False)
    assert plan.combinations() == [
        {"dataset": "digits", "ipc": 1, **own}
        for own in (
            {"inner_steps": 2, "seed": 0},
            {"inner_steps": 2, "seed": 1},
            {"inner_steps": 5, "seed": 0},
            {"inner_steps": 5, "seed": 1},
            {"hessian_steps": 2},
            {"hessian_steps": 5},
        )
    ]


def test_one_block_is_a_table_and_one_value_needs_no_list():
    plan = make_plan({"ipc": 1, "width": 8, "sweep": {"width": 4, "seed": [0]}})
    assert plan.combinations() == [{"ipc": 1, "width": 4, "seed": 0}]


def test_data_sets_are_swept_like_other_settings():
    plan = make_plan({"ipc": 1, "sweep": {"dataset": ["digits", "mnist"], "seed": [0, 1]}})
    assert plan.datasets == ("digits", "mnist")
    assert [(each["dataset"], each["seed"]) for each in plan.combinations()] == [
        ("digits", 0),
        ("digits", 1),
        ("mnist", 0),
        ("mnist", 1),
    ]
    assert make_plan({"ipc": 1, "sweep": {"seed": 0}}).datasets == (None,)


def test_steps_or_minutes_of_a_block_are_used_instead_of_the_shared_ones():
    def of(shared, *blocks):
        plan = make_plan({"ipc": 1, **shared, "sweep": list(blocks)})
        return [(each.get("steps"), each.get("minutes")) for each in plan.combinations()]

    assert of({"minutes": 10}, {"algorithm": "dm"}, {"steps": [7, 8]}) == [(None, 10), (7, None), (8, None)]
    assert of({"steps": 7}, {"seed": 0}, {"minutes": [1, 0.5]}) == [(7, None), (None, 1), (None, 0.5)]


def test_methods_that_pick_real_images_take_neither_steps_nor_minutes():
    methods = ["dm", "herding"]
    plan = make_plan({"ipc": 1, "minutes": 10, "sweep": {"algorithm": methods}})
    assert plan.ignored() == {"minutes": ("herding",)}
    assert [each.get("minutes") for each in plan.combinations()] == [10, None]
    plan = make_plan({"ipc": 1, "steps": 10, "sweep": {"algorithm": methods}})
    assert [each.get("steps") for each in plan.combinations()] == [10, None]
    plan = make_plan({"ipc": 1, "sweep": {"algorithm": methods, "minutes": 3}})
    assert [each.get("minutes") for each in plan.combinations()] == [3, None]


def test_protocols_are_described_by_what_distinguishes_them():
    def labels(*tables):
        plan = make_plan({"ipc": 1, "sweep": {"seed": 0}, "evaluate": list(tables)})
        return [each.label for each in plan.evaluations]

    bench = {"protocol": "dc-bench", "networks": 2}
    assert labels({"networks": 3}, {**bench, "augment": True}) == ["rcig", "dc-bench, augmented"]
    assert labels(bench, {**bench, "norm": "none"}) == ["dc-bench", "dc-bench, norm none"]
    assert labels({"arch": "convnet"}, {"arch": "vgg11"}) == ["rcig, arch convnet", "rcig, arch vgg11"]


def test_a_shared_setting_is_left_out_for_methods_that_do_not_have_it():
    plan = make_plan({"ipc": 1, "inner_steps": 3, "sweep": {"algorithm": ["rcig", "frepo"]}})
    assert plan.ignored() == {"inner_steps": ("frepo",)}
    assert plan.combinations() == [
        {"ipc": 1, "inner_steps": 3, "algorithm": "rcig"},
        {"ipc": 1, "algorithm": "frepo"},
    ]


def test_a_shared_setting_is_left_out_for_parametrizations_that_do_not_have_it():
    plan = make_plan({"ipc": 1, "factor": 4, "sweep": {"parametrization": ["raw", "multiformation"]}})
    assert plan.ignored() == {"factor": ("raw",)}
    assert plan.combinations() == [
        {"ipc": 1, "parametrization": "raw"},
        {"ipc": 1, "factor": 4, "parametrization": "multiformation"},
    ]
    with pytest.raises(ConfigError, match="factor is not a setting of raw or basis"):
        make_plan({"ipc": 1, "factor": 4, "sweep": {"parametrization": ["raw", "basis"]}})


def test_a_swept_setting_is_refused_for_methods_that_do_not_have_it():
    plan = make_plan({"ipc": 1, "sweep": {"algorithm": ["rcig", "frepo"], "inner_steps": [2, 3]}})
    assert plan.ignored() == {}
    resolve("digits", (8, 8, 1), 10, plan.combinations()[0])
    with pytest.raises(ConfigError, match=r"inner_steps.* of frepo"):
        resolve("digits", (8, 8, 1), 10, plan.combinations()[2])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = [", "is not valid TOML"),
        ("", "must be a table [sweep]"),
        ("ipc = 1\nsweep = [1]", "must be a table [sweep]"),
        ("[sweep]\nseed = [0]", "ipc = 1"),
        ("ipc = 1\nseed = [0, 1]", "under [sweep]"),
        ("ipc = 1\n[sweep]\nseed = []", "no values"),
        ("ipc = 1\n[sweep]\ninner_step = [1]", "did you mean inner_steps"),
        ("ipc = 1\nwidht = 3\n[sweep]\nseed = [0]", "did you mean width"),
        ('ipc = 1\ndataset = ["a", "b"]\n[sweep]\nseed = [0]', "dataset has several values"),
        ("ipc = 1\n[sweep]\ndataset = [3]", "dataset must be text"),
        ("ipc = 1\nminutes = 0\n[sweep]\nseed = [0]", "minutes must be a number above 0"),
        ("ipc = 1\n[sweep]\nsteps = 3\nminutes = 3", "steps and minutes contradict"),
        ('ipc = 1\nminutes = 3\n[sweep]\nalgorithm = ["random"]', "minutes is not a setting of random"),
        ("ipc = 1\nevaluate = []\n[sweep]\nseed = [0]", "evaluate must be a table"),
        ("ipc = 1\n[sweep]\nseed = [0]\n[[evaluate]]\n[[evaluate]]\nbaseline = false", "the same settings"),
        ('ipc = 1\n[sweep]\nseed = ["0"]', "seed must be a whole number"),
        ("ipc = 1\n[sweep]\nseed = [true]", "seed must be a whole number"),
        ("ipc = 1\n[sweep]\nflip = [1]", "flip must be true or false"),
        ("ipc = 1\nimage_lr = 1979-05-27\n[sweep]\nseed = [0]", "image_lr must be a number"),
        ("ipc = 1\n[sweep]\nimage_lr = [nan]", "image_lr must be a number"),
        ("ipc = 1\n[sweep]\nimage_lr = [1" + "0" * 400 + "]", "image_lr must be a number"),
        ('ipc = 1\n[sweep]\nalgorithm = ["rcik"]', "did you mean rcig"),
        ('ipc = 1\nalgorithm = "frepo"\ninner_steps = 2\n[sweep]\nseed = [0]', "not a setting of frepo"),
        ("ipc = 1\n[sweep]\nseed = [0]\n[evaluate]\nnetwork = 3", "did you mean networks"),
        ('ipc = 1\n[sweep]\nseed = [0]\n[evaluate]\nnetworks = "3"', "Under [evaluate], networks must be"),
        ('ipc = 1\n[sweep]\nseed = [0]\n[evaluate]\narch = "vit"', "arch must be one of"),
        ("ipc = 1\n[sweep]\nseed = [0]\n[evaluate]\nbaseline = 1", "baseline must be true or false"),
        ("ipc = 1\nevaluate = 3\n[sweep]\nseed = [0]", "evaluate must be a table"),
        (
            "ipc = 1\n[sweep]\n"
            + "\n".join(f"{n} = {list(range(1, 99))}" for n in ("seed", "width", "depth")),
            "more than 1000",
        ),
    ],
)
def test_mistakes_are_reported_with_the_name_of_the_file(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_plan(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_documented_sweeps_can_be_run(path):
    shapes = {"digits": (8, 8, 1), "mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1)}
    plan = read_plan(path)
    configs = set()
    for settings in plan.combinations():
        given = {name: value for name, value in settings.items() if name != "minutes"}
        name = given["dataset"]
        config = resolve(
            name, shapes.get(name, (64, 64, 3)), KNOWN[name].classes if name in KNOWN else 10, given
        )
        configs.add(config)
        if "minutes" in settings:
            check_method(config)
    runs = {"table_1": 12, "figure_1_and_2": 22, "table_2": 72, "settings_mnist": 6}
    runs |= {"paper_table_1": 72, "paper_table_2": 22, "paper_table_3": 2, "paper_figures_1_and_2": 24}
    assert len(configs) == runs[path.stem]


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(NotFound, match=r"nothing\.toml"):
        read_plan(tmp_path / "nothing.toml")
    with pytest.raises(ConfigError, match="can't be read"):
        read_plan(tmp_path)
