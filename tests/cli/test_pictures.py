"""``rcig visualize`` and ``rcig report`` as a user types them."""

import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from rcig_cli.cli.app import app
from tests.conftest import TINY
from tests.reporting.figures.test_page import assert_self_contained

ENDINGS = {"grid": "grid.png", "labels": "labels.png", "curves": "curves.png", "animate": "animate.gif"}


@pytest.fixture
def store(digits_run, tmp_path):
    """A store of one's own with the tiny run."""
    shutil.copytree(digits_run, tmp_path / "a")
    return tmp_path / "a"


def words_of(command):
    return shlex.split(command)[1:]


@pytest.mark.parametrize("kind", ENDINGS)
def test_each_picture_alone(rcig, store, kind):
    outcome = rcig("visualize", "run_1", f"--{kind}", "--store", store, "--json")
    path = store / "runs" / "run_1" / "figures" / ENDINGS[kind]
    assert outcome.json == {"run": "run_1", "files": [str(path)]}
    with Image.open(path) as picture:
        assert picture.size[0] > 400
        assert picture.format == {"animate": "GIF"}.get(kind, "PNG")


def test_several_pictures_go_into_a_folder(rcig, store, tmp_path):
    flags = [f"--{kind}" for kind in ENDINGS]
    outcome = rcig("visualize", "run_1", *flags, "--out", tmp_path / "new" / "folder", "--store", store)
    files = [tmp_path / "new" / "folder" / name for name in ENDINGS.values()]
    assert outcome.out.splitlines() == [str(path) for path in files]
    assert all(path.is_file() for path in files)


def test_one_picture_goes_into_a_folder_that_is_there_or_a_file(rcig, store, tmp_path):
    assert rcig("visualize", "run_1", "--labels", "--out", tmp_path, "--store", store).code == 0
    assert (tmp_path / "labels.png").is_file()
    assert rcig("visualize", "run_1", "--animate", "--out", tmp_path / "x.gif", "--store", store).code == 0
    assert (tmp_path / "x.gif").is_file()


def test_an_animation_has_a_frame_for_each_step_kept(rcig, store, tmp_path):
    rcig("visualize", "run_1", "--animate", "--out", tmp_path / "x.gif", "--store", store)
    with Image.open(tmp_path / "x.gif") as picture:
        assert picture.n_frames == 7  # the real images, and six steps


@pytest.mark.parametrize(
    ("flags", "out", "said"),
    [
        (["--grid", "--labels"], "both.png", "must be a folder"),
        (["--animate"], "x.png", r"must end in \.gif"),
        (["--curves"], "x", r"must end in \.png"),
        (["--grid", "--curves"], "file", "must be a folder"),
    ],
)
def test_an_out_that_cannot_be_is_refused_and_nothing_is_written(rcig, store, tmp_path, flags, out, said):
    (tmp_path / "file").write_text("mine")
    outcome = rcig("visualize", "run_1", *flags, "--out", tmp_path / out, "--store", store, "--json")
    assert outcome.code == 2
    assert said.replace("\\", "") in outcome.json["error"]["message"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "file"]


def test_two_runs_side_by_side(rcig, store):
    again = ["distill", "digits", "--ipc", 2, *TINY, "--steps", 2, "--store", store]
    assert rcig(*again).code == 0
    outcome = rcig("visualize", "run_1", "--compare", "run_2", "--store", store, "--json")
    path = store / "runs" / "run_1" / "figures" / "compare-run_2.png"
    assert outcome.json["files"] == [str(path)]
    with Image.open(path) as picture:
        assert picture.size[0] > 400
    assert rcig("visualize", "run_1", "--compare", "run_9", "--store", store).code == 3


def test_runs_of_different_data_are_not_compared(rcig, store, tmp_path):
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    path = tmp_path / "other.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    rcig("prepare", "other", "--from", path, "--store", store)
    assert rcig("distill", "other", "--ipc", 1, *TINY, "--steps", 1, "--store", store).code == 0
    outcome = rcig("visualize", "run_1", "--compare", "run_2", "--store", store)
    assert outcome.code == 2
    assert "same data set" in outcome.err


def test_a_run_that_kept_nothing_on_its_way_says_so_and_has_a_report_all_the_same(rcig, store, tmp_path):
    run = store / "runs" / "run_1"
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"] = {name: value for name, value in manifest["files"].items() if "snapshots" not in name}
    (run / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(run / "snapshots.zarr")
    (run / "metrics.jsonl").unlink()
    for flag, said in (("--animate", "no snapshots"), ("--curves", "no metrics")):
        outcome = rcig("visualize", "run_1", flag, "--store", store)
        assert outcome.code == 3
        assert said in outcome.err
    assert rcig("report", "run_1", "--out", tmp_path / "r.html", "--store", store).code == 0
    reader = assert_self_contained((tmp_path / "r.html").read_text())
    assert len(reader.named("img")) == 2


def test_the_report_has_everything_and_fetches_nothing(rcig, store):
    rcig("evaluate", "run_1", "--networks", 1, "--steps", 5, "--augment", "--store", store)
    spread = {"mean": 0.75, "std": 0.01, "values": [0.75]}
    attack = {
        "format": 1,
        "targets": {"real": {"accuracy": spread, "auc": {"mlp": spread, "knn": {"mean": 0.5}}}},
    }
    attacks = store / "runs" / "run_1" / "attacks"
    attacks.mkdir(exist_ok=True)  # another test may have attacked the run
    (attacks / "20260101T000000.000000Z-mia.json").write_text(json.dumps(attack))
    (attacks / "20260102T000000.000000Z-other.json").write_text('{"format": 1, "auc": "of another kind"}')
    outcome = rcig("report", "run_1", "--store", store, "--json")
    path = store / "runs" / "run_1" / "figures" / "report.html"
    assert outcome.json == {"run": "run_1", "files": [str(path)]}
    reader = assert_self_contained(path.read_text())
    assert [image["src"][:15] for image in reader.named("img")] == [
        "data:image/png;", "data:image/gif;", "data:image/png;", "data:image/png;"
    ]  # fmt: skip
    assert all(image["alt"] for image in reader.named("img"))
    text = "".join(reader.text)
    for said in (
        "AUC of each attack",
        "0.750 ± 0.010",
        "0.500",
        "75.0 ± 1.0 %",
        "all real images",
        "augmented",
        "n_inner",
    ):
        assert said in text, said
    assert "rcig evaluate run_1 --augment --networks 1 --steps 5\n" in text


def test_hostile_names_stay_text(rcig, tmp_path):
    store, path = tmp_path / "a", tmp_path / "<b> $x.npz"
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    names = ["<script>alert(1)</script>", "$title", '"><img src=x onerror=y>']
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=names)
    assert rcig("prepare", "odd", "--from", path, "--store", store).code == 0
    assert rcig("distill", "odd", "--ipc", 1, *TINY, "--steps", 1, "--store", store).code == 0
    assert rcig("report", "run_1", "--out", tmp_path / "r.html", "--store", store).code == 0
    text = (tmp_path / "r.html").read_text()
    reader = assert_self_contained(text)
    assert all(name in "".join(reader.text) for name in names)
    assert "rcig prepare odd --from '<b> $x.npz'\n" in "".join(reader.text)
    assert str(tmp_path) not in text


def test_the_commands_of_a_report_are_commands_that_make_the_same_run(rcig, store, tmp_path):
    from typer.main import get_command

    from rcig_cli.presets.config import flat
    from rcig_cli.reporting.commands import distill_command
    from rcig_cli.runs.prepare.prepared import open_prepared, resolved
    from rcig_cli.store.layout import open_store

    prepared = open_prepared(open_store(store, create=False), "digits")
    chosen = [
        {"ipc": 1},
        {"ipc": 10, "algorithm": "vig", "n_inner": 7, "flip": True, "image_rate": 0.125, "seed": 3},
        {"ipc": 3, "algorithm": "cig", "models": 4, "normalization": "batch", "width": 8, "batch": 99},
        {"ipc": 1, "solver": "adam", "pool_rate": 1e-6, "label_margin": False, "backward_subset": 5},
    ]
    for settings in chosen:
        config = resolved(prepared, settings)
        words = words_of(distill_command(prepared, config))
        command = get_command(app).commands["distill"]
        given = command.make_context("rcig distill", words[1:]).params
        names = {"norm": "normalization"}
        flags = {names.get(name, name): value for name, value in given.items() if value is not None}
        known = {name: value for name, value in flags.items() if name in flat(config)}
        assert flat(resolved(prepared, known)) == flat(config), words
        assert len(words) <= 3 + 2 * len(settings) + 2
    del rcig, tmp_path


def test_a_report_is_an_html_file(rcig, store, tmp_path):
    for out in (tmp_path, tmp_path / "r.pdf"):
        outcome = rcig("report", "run_1", "--out", out, "--store", store)
        assert outcome.code == 2
        assert "must end in .html" in outcome.err


def test_the_commands_of_judgements_say_what_was_unusual(store):
    from dataclasses import asdict

    from rcig_cli.reporting import commands
    from rcig_cli.runs.distill.distilled import open_distilled
    from rcig_cli.runs.evaluate import evaluate
    from rcig_cli.runs.membership import attack_protocol
    from rcig_cli.store.layout import open_store

    distilled = open_distilled(open_store(store, create=False), "run_1")
    judged = evaluate.default_protocol(
        distilled, architecture="alexnet", hard_labels=True, learning_rate=0.01
    )
    said = commands.evaluate_command(distilled, {"protocol": asdict(judged)})
    assert said == "rcig evaluate run_1 --arch alexnet --hard-labels --lr 0.01 --baseline none"
    attacked = attack_protocol.default_protocol(distilled, steps=[300, 100], networks=2, shadows=4)
    for protocol in (asdict(attacked), {**asdict(attacked), "steps": [100, 300]}):  # as it is, and from JSON
        said = commands.attack_command(distilled, {"protocol": protocol})
        assert said == "rcig mia run_1 --networks 2 --steps 100 --steps 300 --shadows 4 --lira"
    plain = asdict(attack_protocol.default_protocol(distilled))
    assert commands.attack_command(distilled, {"protocol": plain}) == "rcig mia run_1"
