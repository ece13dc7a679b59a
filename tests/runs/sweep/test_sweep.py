"""Sweeps: the table, the runs and their parents, repetition, edited files, divergence."""

import json
import re
import shutil
import tomllib

import pytest

import rcig_cli
from rcig_cli.store.locks import RunLock
from tests.conftest import exit_code, run_rcig

FILE = """
dataset = "digits"
ipc = 1
steps = 12
width = 4
batch = 64
pool_size = 3
pool_steps = 3
algorithm = "frepo"

[[sweep]]
l2_rate = [5e-4, 5e-3]

[evaluate]
networks = 2
steps = {steps}
"""
TIMES = ("milliseconds_per_step", "seconds", "seconds_in_all")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a store of digits and a sweep's file."""
    folder = tmp_path_factory.mktemp("sweep")
    assert exit_code("prepare", "digits", "--store", folder / "a") == 0
    (folder / "sweep.toml").write_text(FILE.format(steps=20))
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed") / "a"
    shutil.copytree(prepared / "a", store)
    made = run_rcig("sweep", prepared / "sweep.toml", "--store", store, "--json", "--quiet")
    assert (made.code, made.err) == (0, "")
    return store, made.json


@pytest.fixture
def store(undisturbed, tmp_path):
    """A copy of the store with the finished sweep."""
    shutil.copytree(undisturbed[0], tmp_path / "a")
    return tmp_path / "a"


def found(document):
    """The table of a sweep without times."""
    rows = [{key: value for key, value in row.items() if key not in TIMES} for row in document["rows"]]
    return rows, document["random_subsets"]


def test_the_json(undisturbed):
    _, document = undisturbed
    assert document["axes"] == ["l2_rate"]
    assert [row["settings"] for row in document["rows"]] == [{"l2_rate": 5e-4}, {"l2_rate": 5e-3}]
    for row in document["rows"]:
        assert row["seeds"] == [0]
        assert len(row["accuracy"]["values"]) == 2
        assert row["diverged"] == []
        assert row["stored_bytes"] == {"images": 2560, "labels": 400}
        assert row["milliseconds_per_step"] > 0
        assert row["seconds"] == pytest.approx(12 * row["milliseconds_per_step"] / 1000)
        assert row["seconds_in_all"] > row["seconds"] * 0.5
    assert len(document["random_subsets"]) == 1
    assert {path.rpartition("/")[2] for path in document["files"]} == {"seconds.png", "course.png"}


def test_the_sweep_and_its_runs_refer_to_each_other(undisturbed):
    from rcig_cli.store.digests import mismatches
    from rcig_cli.store.store import open_store

    store = open_store(undisturbed[0], create=False)
    sweep = store.group("sweep", "sweep_1")
    assert (sweep.status, sweep.runs) == ("finished", ("run_1", "run_2"))
    for name in sweep.runs:
        parents = store.run(name).parents
        assert parents["sweep"] == {"name": "sweep_1", "digest": sweep.digest}
        assert parents["dataset"] == sweep.parents["digits"]
    assert sweep.parents.keys() == {"digits"}
    assert set(sweep.files) == {"table.json", "figures/seconds.png", "figures/course.png"}
    assert mismatches(store.group_path("sweep", "sweep_1"), sweep.files) == {}


def test_a_finished_sweep_is_not_run_again(rcig, prepared, undisturbed, store):
    before = {path: path.stat().st_mtime_ns for path in (store / "runs").rglob("*.json*")}
    outcome = rcig("sweep", prepared / "sweep.toml", "--store", store, "--json")
    assert outcome.json["rows"] == undisturbed[1]["rows"]
    assert outcome.json["sweep"] == "sweep_1"
    assert "sweep_1 of digits is finished" in outcome.err
    assert {path: path.stat().st_mtime_ns for path in (store / "runs").rglob("*.json*")} == before


def test_the_python_api_takes_a_file_or_its_content(prepared, undisturbed, store):
    for plan in (prepared / "sweep.toml", tomllib.loads(FILE.format(steps=20))):
        found = rcig_cli.sweep(plan, store=store)
        assert (found.name, found.rows) == ("sweep_1", undisturbed[1]["rows"])
        assert found.random_subsets == undisturbed[1]["random_subsets"]
        assert {path.name for path in found.figures} == {"seconds.png", "course.png"}
    title, first, second = repr(found).splitlines()
    assert title == "sweep_1: test accuracy"
    assert re.fullmatch(r"  l2_rate 0.0005: [\d.]+ ± [\d.]+ % \(run_1\)", first)
    assert second.startswith("  l2_rate 0.005: ")
    with pytest.raises(rcig_cli.ConfigError, match="There must be a table"):
        rcig_cli.sweep({"ipc": 1}, store=store)


def test_parts_are_joined_on_another_machine_without_any_run(
    rcig, prepared, undisturbed, tmp_path, monkeypatch
):
    from rcig_cli.runs.distill import group
    from rcig_cli.runs.sweep import sweep

    store = tmp_path / "a"
    shutil.copytree(prepared / "a", store)
    line = ["sweep", prepared / "sweep.toml", "--store", store]
    with monkeypatch.context() as nothing_is_run:
        nothing_is_run.delattr(sweep.distill, "execute")
        outcome = rcig(*line, "--only-finished")
        assert (outcome.code, outcome.err.count("No run of this sweep is finished")) == (3, 1)
        assert rcig("list", "--store", store, "--json").json["sweeps"] == []
    for part, learned in (("2/2", 5e-3), ("1/2", 5e-4)):
        outcome = rcig(*line, "--part", part, "--json")
        assert [row["settings"] for row in outcome.json["rows"]] == [{"l2_rate": learned}]
        if part == "2/2":
            with monkeypatch.context() as nothing_is_run:
                nothing_is_run.delattr(sweep.distill, "execute")
                nothing_is_run.delattr(sweep, "evaluate")
                some = rcig(*line, "--only-finished", "--json").json
            assert [row["runs"] for row in some["rows"]] == [["run_1"]]
            assert (some["status"], some["left_out"]) == ("interrupted", ["run 1 of 2, l2_rate 0.0005"])
    monkeypatch.setattr(group, "machine", lambda: {"device": "another"})
    monkeypatch.delattr(sweep.distill, "execute")
    monkeypatch.delattr(sweep, "evaluate")
    document = rcig(*line, "--json").json
    assert (document["status"], document["left_out"]) == ("finished", [])
    assert [row["runs"] for row in document["rows"]] == [["run_2"], ["run_1"]]
    of_one_process = undisturbed[1]
    assert [row["accuracy"] for row in document["rows"]] == [
        row["accuracy"] for row in of_one_process["rows"]
    ]
    assert document["random_subsets"] == of_one_process["random_subsets"]


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "1/0", "a/b"])
def test_a_part_that_does_not_exist_is_refused(rcig, prepared, tmp_path, part):
    outcome = rcig("sweep", prepared / "sweep.toml", "--part", part, "--store", tmp_path)
    assert outcome.code == 2
    assert "--part must be K/N with K from 1 to N" in outcome.err


def test_a_forecast_has_memory_time_and_status_and_runs_nothing(rcig, prepared, store, tmp_path):
    (tmp_path / "more.toml").write_text(FILE.format(steps=20).replace("5e-3]", "0.1]"))
    before = sorted(store.rglob("*"))
    line = ["sweep", tmp_path / "more.toml", "--store", store, "--dry-run"]
    done, other = rcig(*line, "--json").json["runs"]
    assert (done["status"], other["status"]) == ("finished", None)
    assert (other["settings"], other["steps"], other["batch"]) == ({"l2_rate": 0.1}, 12, 64)
    assert 10**5 < other["memory"] < 10**9
    assert 0 < other["seconds"] < 60
    outcome = rcig(*line)
    assert re.search(r"0.1 +12 +64 +4 +[\d.]+ [kM]B +1 s +not started", outcome.out)
    assert "counted from their first step, need about 1 s." in " ".join(outcome.err.split())
    assert [run["status"] for run in rcig(*line, "--new", "--json").json["runs"]] == [None, None]
    assert sorted(store.rglob("*")) == before


def test_a_forecast_knows_runs_that_were_killed_and_those_of_other_data(rcig, prepared, store):
    from dataclasses import replace

    from rcig_cli.store.records import write_manifest
    from rcig_cli.store.store import open_store

    runs = [open_store(store, create=False).run(name) for name in ("run_1", "run_2")]
    other = {"dataset": {"name": "digits", "digest": "a" * 64}}
    for run, changes in zip(runs, ({"status": "running"}, {"parents": other}), strict=True):
        write_manifest(store / "runs" / run.name, replace(run, **changes))
    found = rcig("sweep", prepared / "sweep.toml", "--store", store, "--dry-run", "--json").json["runs"]
    assert [run["status"] for run in found] == ["interrupted", None]


def test_a_forecast_counts_only_runs_that_the_sweep_takes(rcig, prepared, store):
    from dataclasses import replace

    from rcig_cli.store.records import write_manifest
    from rcig_cli.store.store import open_store

    run = open_store(store, create=False).run("run_1")
    old = replace(run, versions={**run.versions, "jax": "0.1"}, parents={"dataset": run.parents["dataset"]})
    write_manifest(store / "runs" / "run_1", old)
    found = rcig("sweep", prepared / "sweep.toml", "--store", store, "--dry-run", "--json").json["runs"]
    assert [run["status"] for run in found] == [None, "finished"]


def test_there_are_not_more_parts_than_runs(rcig, prepared, store):
    outcome = rcig("sweep", prepared / "sweep.toml", "--part", "1/3", "--store", store)
    assert outcome.code == 2
    assert "This sweep can be divided into at most 2 parts, not 3." in outcome.err


def test_an_edited_file_is_another_sweep_that_uses_existing_runs(rcig, undisturbed, store, tmp_path):
    (tmp_path / "edited.toml").write_text(FILE.format(steps=3) + "baseline = false\n")
    outcome = rcig("sweep", tmp_path / "edited.toml", "--store", store, "--json")
    assert outcome.json["sweep"] == "sweep_2"
    assert outcome.json["random_subsets"] == []
    assert [row["runs"] for row in outcome.json["rows"]] == [["run_1"], ["run_2"]]
    assert outcome.json["rows"][0]["accuracy"] != undisturbed[1]["rows"][0]["accuracy"]
    assert len(list((store / "runs").iterdir())) == 2


def test_random_images_are_left_out_although_they_were_evaluated_before(rcig, undisturbed, store, tmp_path):
    assert undisturbed[1]["random_subsets"]
    (tmp_path / "edited.toml").write_text(FILE.format(steps=20) + "baseline = false\n")
    assert rcig("sweep", tmp_path / "edited.toml", "--store", store, "--json").json["random_subsets"] == []


@pytest.mark.slow
def test_a_new_sweep_uses_no_existing_runs(rcig, store, tmp_path):
    (tmp_path / "one.toml").write_text(FILE.format(steps=2).replace("[5e-4, 5e-3]", "5e-4"))
    for extra, sweep, run in (
        ((), "sweep_2", "run_1"),
        (("--new",), "sweep_3", "run_3"),
        ((), "sweep_3", "run_3"),
    ):
        outcome = rcig("sweep", tmp_path / "one.toml", *extra, "--store", store, "--json")
        assert outcome.json["sweep"] == sweep
        assert outcome.json["rows"][0]["runs"] == [run]
    # Also if it is resumed after its run was lost.
    shutil.rmtree(store / "runs" / "run_3")
    assert rcig("sweep", tmp_path / "one.toml", "--store", store, "--json").json["rows"][0]["runs"] == [
        "run_3"
    ]
    parents = json.loads((store / "runs" / "run_3" / "manifest.json").read_text())["parents"]
    assert parents["sweep"]["name"] == "sweep_3"


def test_a_run_for_which_there_is_not_enough_memory_is_left_out(rcig, prepared, tmp_path, monkeypatch):
    from rcig_cli.runs.sweep import sweep

    def evaluate(distilled, *arguments, **settings):
        if distilled.config.method.l2_rate == 5e-4:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 99 bytes.")
        return evaluate_really(distilled, *arguments, **settings)

    evaluate_really = sweep.evaluate
    monkeypatch.setattr(sweep, "evaluate", evaluate)
    shutil.copytree(prepared / "a", tmp_path / "a")
    line = ["sweep", prepared / "sweep.toml", "--store", tmp_path / "a"]
    outcome = rcig(*line)
    assert outcome.code == 0
    assert "run 1 of 2, l2_rate 0.0005 is left out. There was not enough memory for it." in outcome.err
    assert "The table is incomplete. Not in it: run 1 of 2, l2_rate 0.0005." in outcome.err
    assert "0.005" in outcome.out
    (listed,) = rcig("list", "--store", tmp_path / "a", "--json").json["sweeps"]
    assert listed["status"] == "interrupted"
    monkeypatch.setattr(sweep, "evaluate", evaluate_really)
    again = rcig(*line, "--json").json
    assert (again["status"], len(again["rows"])) == ("finished", 2)


def test_what_is_finished_is_shown_on_another_machine_and_nothing_is_written(
    rcig, prepared, store, tmp_path, monkeypatch
):
    """Also the runs that the sweep has taken from another one."""
    from rcig_cli.runs.distill import group

    (tmp_path / "edited.toml").write_text(FILE.format(steps=20).replace("[5e-4, 5e-3]", "[5e-3, 5e-4]"))
    line = ["sweep", tmp_path / "edited.toml", "--store", store]
    made = rcig(*line, "--json").json
    assert made["sweep"] == "sweep_2"
    monkeypatch.setattr(group, "machine", lambda: {"device": "another"})
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with RunLock(store / "sweeps" / "sweep_2"):
        shown = rcig(*line, "--only-finished", "--json").json
    assert found(shown) == found(made)
    assert (shown["sweep"], shown["status"], shown["files"]) == ("sweep_2", "finished", [])
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    with pytest.raises(rcig_cli.ConfigError, match="contradicts only_finished"):
        rcig_cli.sweep(prepared / "sweep.toml", store=store, new=True, only_finished=True)


def test_runs_of_another_machine_are_not_used_and_said_to_be_there(rcig, store, tmp_path, monkeypatch):
    from rcig_cli.runs.distill import group

    monkeypatch.setattr(group, "machine", lambda: {"device": "another"})
    (tmp_path / "edited.toml").write_text(FILE.format(steps=2) + "baseline = false\n")
    outcome = rcig("sweep", tmp_path / "edited.toml", "--store", store)
    assert "Not used, since they were made with other versions, on another machine or" in outcome.err
    assert "has changed: run_1, run_2.\n" in outcome.err
    assert "It is computed on a CPU with" in outcome.err
    assert len(list((store / "runs").iterdir())) == 4


def test_a_run_that_diverges_is_a_row(rcig, tmp_path):
    text = FILE.format(steps=5).replace("steps = 12", "steps = 20")
    (tmp_path / "wild.toml").write_text(text.replace("l2_rate = [5e-4, 5e-3]", "image_lr = [1e30, 0.02]"))
    outcome = rcig("sweep", tmp_path / "wild.toml", "--store", tmp_path / "a", "--json")
    assert outcome.code == 0
    wild, tame = outcome.json["rows"]
    assert (wild["accuracy"], wild["diverged"]) == (None, ["run_1"])
    assert tame["accuracy"] is not None
    assert "run_1 diverged at step" in outcome.err
    again = rcig("sweep", tmp_path / "wild.toml", "--store", tmp_path / "a")
    assert "diverged" in again.out
    assert "1, 1 diverged" in again.out


def test_a_row_has_all_networks_of_all_seeds():
    from dataclasses import replace

    from rcig_cli.presets.config import resolve
    from rcig_cli.presets.paper import PaperResult
    from rcig_cli.presets.set_size import SetSize
    from rcig_cli.runs.evaluate.protocol import evaluation_protocol
    from rcig_cli.runs.evaluate.results import Evaluation, Spread
    from rcig_cli.runs.sweep.table import Cell, Outcome, tabulate
    from tests.store.conftest import _run_manifest

    start = resolve("digits", (8, 8, 1), 10, {"ipc": 1, "steps": 100})
    configs = [start.override({"width": width, "seed": seed}) for width in (4, 8) for seed in (0, 1, 2)]
    protocol = evaluation_protocol(start, 10)
    paper = PaperResult(0.9, 0.01, "Table 2")
    outcomes = [
        Outcome(
            Cell(None, config.to_json(), config, ()),
            _run_manifest(f"run_{n + 1}", config=config.to_json(), status="failed" if n == 5 else "finished"),
            label,
            replace(protocol, width=config.width, augment=label == "augmented"),
            None
            if n == 5
            else Evaluation(
                *(f"run_{n + 1}", {}, Spread((n / 10, n / 10 + 0.1))),
                *(Spread((0.1,)) if n in (0, 1, 3) else None, paper, SetSize.of(config, (8, 8, 1), 10)),
            ),
            (10.0 + n, 2.0),
        )
        for n, config in enumerate(configs)
        for label in ("plain", "augmented")
    ]
    table = tabulate(("width", "seed"), outcomes)
    narrow, other, wide, _ = table.rows
    assert table.axes == ("width",)
    assert [(row.label, row.settings) for row in table.rows] == [
        ("plain", {"width": 4}),
        ("augmented", {"width": 4}),
        ("plain", {"width": 8}),
        ("augmented", {"width": 8}),
    ]
    assert narrow.accuracy.values == (0.0, 0.1, 0.1, 0.2, 0.2, 0.30000000000000004)
    assert wide.accuracy.values == (0.3, 0.4, 0.4, 0.5)
    assert (narrow.diverged, wide.diverged) == ([], ["run_6"])
    assert (narrow.milliseconds, narrow.seconds, narrow.seconds_in_all) == (11.0, 1.1, 2.0)
    assert wide.to_json()["run_accuracies"][2] is None
    assert wide.to_json()["stored_bytes"] == {"images": 2560, "labels": 400}
    assert wide.to_json()["paper"] == {"mean": 0.9, "std": 0.01, "where": "Table 2"}
    assert other.to_json()["protocol"]["augment"]
    assert [(each.label, each.protocol.width) for each in table.baselines] == [
        ("plain", 4),
        ("augmented", 4),
        ("plain", 8),
        ("augmented", 8),
    ]


def test_one_process_at_a_time(rcig, prepared, store):
    from rcig_cli.store.locks import RunLock

    with RunLock(store / "sweeps" / "sweep_1"):
        outcome = rcig("sweep", prepared / "sweep.toml", "--store", store)
    assert outcome.code == 4
    assert "sweep_1 is being written" in outcome.err


def test_the_time_of_a_step_is_averaged_over_all_parts_of_a_run(tmp_path):
    from rcig_cli.runs.sweep.table import timing_of
    from rcig_cli.store.results import write_result

    assert timing_of(tmp_path) is None
    for steps, milliseconds, seconds in ((10, 100.0, 1.0), (30, 200.0, 6.0)):
        timing = {"steps": steps, "milliseconds_per_step": milliseconds, "seconds": seconds}
        write_result(tmp_path, "timings", "distill", timing)
    assert timing_of(tmp_path) == (175.0, 7.0)
    (tmp_path / "picked").mkdir()
    write_result(tmp_path / "picked", "timings", "distill", {"steps": 0, "seconds": 3.0})
    assert timing_of(tmp_path / "picked") == (None, 3.0)
