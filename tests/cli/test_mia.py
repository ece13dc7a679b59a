"""`rcig mia` as a user types it."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import rcig_cli
from rcig_cli.privacy.attacks import ATTACKS
from rcig_cli.privacy.roc import chance_error
from tests.conftest import TINY

TARGETS = ["real", "random_subset", "distilled"]
QUICK = ["--networks", 1, "--steps", 3]


def write_digits(path, count, test, *, labels=None):
    """Digits, or their pictures under other labels, as an .npz file of the first of them."""
    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)[: count + test]
    classes = digits.target[: count + test] if labels is None else labels
    np.savez(
        path,
        x_train=images[:count],
        y_train=classes[:count],
        x_test=images[count:],
        y_test=classes[count:],
    )
    return path


def distilled(rcig, name, path, store, *flags):
    assert rcig("prepare", name, "--from", path, "--store", store, *flags).code == 0
    made = rcig("distill", name, "--ipc", 1, *TINY, "--steps", 1, "--store", store, "--json")
    return made.json["run"]


def test_the_json_and_the_stored_results(rcig, digits_run, tmp_path):
    picture = tmp_path / "curves.png"
    outcome = rcig("mia", "run_1", "--networks", 2, "--steps", 20, "--steps", 5, "--seed", 3,
                   "--out", picture, "--store", digits_run, "--json")  # fmt: skip
    assert outcome.code == 0
    document = outcome.json
    assert document["run"] == "run_1"
    assert list(document["targets"]) == TARGETS
    for target in document["targets"].values():
        assert list(target["auc"]) == list(ATTACKS)
        for found in (target["accuracy"], *target["auc"].values()):
            assert len(found["values"]) == 2
            assert found["mean"] == pytest.approx(np.mean(found["values"]))
            assert found["std"] == pytest.approx(np.std(found["values"]))
            assert all(0 <= value <= 1 for value in found["values"])
        assert set(target["tpr"]["mlp"]) == {"0.001", "0.01"}
        assert list(target["steps"]) == ["5", "20"]
        assert target["steps"]["20"]["auc"] == target["auc"]
        assert target["lira"] == []
        assert target["paper"] is None
    protocol = document["protocol"]
    assert (protocol["members"], protocol["non_members"], protocol["judged_by"]) == (360, 360, 180)
    assert protocol["chance_error"] == chance_error(180, 180)
    assert protocol["false_positives"] == {"0.001": 0, "0.01": 1}
    assert document["files"] == [str(picture)]
    with Image.open(picture) as opened:
        assert opened.format == "PNG"
    kept = [json.loads(path.read_text()) for path in (digits_run / "runs/run_1/attacks").glob("*-mia.json")]
    assert any(record["targets"] == document["targets"] for record in kept)
    real = document["targets"]["real"]["auc"]["mlp"]
    lines = rcig("show", "run_1", "--store", digits_run).out.splitlines()
    assert any(
        line.startswith(f"attacked: AUC of the MLP attack {real['mean']:.3f} ± {real['std']:.3f} on the real")
        and line.endswith("(convnet, width 4, 20 steps, 2 networks)")
        for line in lines
    )


def test_the_tables_and_their_headings(rcig, digits_run, tmp_path):
    picture = tmp_path / "curves.png"
    outcome = rcig("mia", "run_1", *QUICK, "--out", picture, "--store", digits_run)
    assert outcome.out.splitlines()[0].split("  ")[0] == "AUC"
    for row in ("test accuracy", "threshold", "logistic", "MLP", "random forest", "k-NN"):
        assert f"\n{row}" in outcome.out
    assert max(map(len, outcome.out.splitlines()[:-1])) <= 80
    assert outcome.out.rstrip().endswith(str(picture))
    assert "LiRA" not in outcome.out
    assert "±" not in outcome.out
    assert (
        "Test accuracy, and AUC of each attack, on 1 network for each target, after 3 steps." in outcome.err
    )
    assert "Chance AUC (180 members, 180 non-members): 0.500 ± 0.030." in outcome.err
    assert "at most 0.1 % / 1 % (0 / 1 of 180 non-members)" in outcome.err
    assert "training and attacking networks, steps 9/9" in outcome.err


def test_the_papers_results_are_shown_in_brackets(rcig, digits_run, tmp_path, monkeypatch):
    from rcig_cli.runs.membership import attack

    rows = attack.paper_attacks("mnist", 10, 10_000, 50)
    monkeypatch.setattr(attack, "paper_attacks", lambda *_, **__: rows)
    flags = [*QUICK, "--out", tmp_path / "c.png", "--store", digits_run]
    shown = rcig("mia", "run_1", *flags)
    lines = {line.split("  ")[0]: line for line in shown.out.splitlines()[:7]}
    assert lines["test accuracy"].count("(99.2)") == lines["test accuracy"].count("(98.9)") == 1
    assert re.findall(r"\(.*?\)", lines["MLP"]) == ["(1.00)", "(0.53)", "(0.53)"]
    assert max(map(len, shown.out.splitlines()[:-1])) <= 80
    assert "(in brackets: paper, Table 5, width 128, 16000 steps)" in shown.err
    paper = rcig("mia", "run_1", *flags, "--json").json["targets"]["distilled"]["paper"]
    assert paper["where"] == "Table 5"
    assert paper["accuracy"] == pytest.approx({"mean": 0.989, "std": 0.0})
    assert paper["auc"]["threshold"] == {"mean": 0.49, "std": 0.0}


@pytest.mark.slow
def test_the_same_command_gives_the_same_results(rcig, digits_run, tmp_path):
    def targets(*flags):
        fixed = [*QUICK, "--out", tmp_path / "c.png", "--store", digits_run, "--json"]
        return rcig("mia", "run_1", *fixed, *flags).json["targets"]

    assert targets() == targets()
    assert targets() != targets("--seed", 1)


@pytest.mark.slow
def test_runs_of_disjoint_chunks_are_attacked_together_and_by_each_other(rcig, tmp_path):
    store, path = tmp_path / "a", write_digits(tmp_path / "digits.npz", 120, 60)
    for chunk in (0, 1):
        name = f"part_{chunk}"
        distilled(rcig, name, path, store, "--subset", 60, "--chunk", chunk)
    document = rcig(
        "mia", "run_1", "run_2", *QUICK, "--lira", "--shadows", 4, "--store", store, "--json"
    ).json
    assert document["run"] is None
    assert [each["run"] for each in document["runs"]] == ["run_1", "run_2"]
    together = document["targets"]
    for name in TARGETS:
        first, second = (each["targets"][name]["auc"]["mlp"]["values"] for each in document["runs"])
        assert together[name]["auc"]["mlp"]["values"] == [*first, *second]
        assert len(together[name]["lira"]) == 2
    assert {one["kind"] for one in together["real"]["lira"]} == {"online"}
    for one in together["distilled"]["lira"]:
        assert (one["kind"], one["shadows"], one["members"], one["non_members"]) == ("offline", 1, 60, 60)
    assert (store / "runs/run_1/figures/mia.png").is_file()
    (kept,) = (store / "runs/run_2/attacks").glob("*-lira.json")
    record = json.loads(kept.read_text())
    assert record["compared_with"] == ["run_1"]
    assert record["targets"]["distilled"]["lira"] == [together["distilled"]["lira"][1]]
    page = tmp_path / "r.html"
    assert rcig("report", "run_2", "--out", page, "--store", store).code == 0
    text = page.read_text()
    assert "\nrcig mia run_2 run_1 --networks 1 --shadows 4 --steps 3 --lira\n" in text
    assert "with LiRA, on 1 network for each target after 3 training steps. Chance AUC (30 members" in text
    assert "Chance AUC of LiRA for the distilled set (60 members, 60 non-members): 0.500" in text
    assert text.count('<th scope="col">LiRA</th>') == 1
    row = re.search(r'<th scope="row">distilled set</th>(.*?)</tr>', text).group(1)
    assert row.endswith(f"<td>{together['distilled']['lira'][1]['auc']['mean']:.3f}</td>")
    assert len(rcig_cli.load("run_2", store=store).attacks()) == 1


def test_runs_by_several_methods_are_compared(rcig, tmp_path):
    store = tmp_path / "a"
    distilled(rcig, "digits", write_digits(tmp_path / "digits.npz", 120, 60), store)
    tiny_dm = ["--algorithm", "dm", "--width", 4, "--batch", 40, "--steps", 1]
    assert rcig("distill", "digits", "--ipc", 1, *tiny_dm, "--store", store).code == 0
    flags = [*QUICK, "--store", store]
    refused = rcig("mia", "run_1", "run_2", *flags)
    assert refused.code == 2
    assert "channels doubling" in refused.err
    alike = ["--channels", "doubling", "--norm", "none"]
    shown = rcig("mia", "run_1", "run_2", *alike, *flags)
    assert shown.code == 0, shown.err
    columns = ["AUC", "real images", "random subset", "set by rcig", "set by dm"]
    assert re.split("  +", shown.out.splitlines()[0].strip()) == columns
    assert "on 2 networks for the real images, 2 networks for the random subset, 1 network for" in shown.err
    assert "run_2 (set by dm): 2.6 kB" in shown.err
    settings = {"channels": "doubling", "norm": "none", "networks": 1, "steps": [3]}
    found = rcig_cli.attack(["run_1", "run_2"], store=store, **settings)
    assert list(found.auc) == ["real", "random_subset", "set by rcig", "set by dm"]
    assert "set by dm: threshold" in str(found)


def test_lira_on_a_distilled_set_needs_a_second_run(rcig, digits_run, tmp_path):
    flags = [*QUICK, "--lira", "--shadows", 4, "--out", tmp_path / "c.png", "--store", digits_run]
    outcome = rcig("mia", "run_1", *flags)
    assert "only with a second run of the same method, distilled from other images" in outcome.err
    assert outcome.out.splitlines()[7].split()[-1] == "-"
    for said in (
        "Chance AUC (180 members, 180 non-members): 0.500 ± 0.030.",
        "Chance AUC of LiRA for the real images (360 members, 360 non-members): 0.500 ± 0.022.",
        "Chance AUC of LiRA for the random subset (10 members, 10 non-members): 0.500 ± 0.132.",
        "LiRA: 0 / 3 of 360 non-members for the real images, 0 / 0 of 10 non-members for the random subset.",
    ):
        assert f"{said}\n" in outcome.err


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["run_7"], 3, "no run 'run_7'"),
        (["run_1", "run_1"], 2, "Pass each run only once"),
        (["run_1", "--out", "curves.pdf"], 2, "must end in .png"),
        (["run_1", "--steps", 0], 2, "steps must be"),
        (["run_1", "--networks", 0], 2, "networks must be a whole number of 1 or more"),
        (["run_1", "--lira", "--shadows", 5], 2, "even number from 4"),
        (["run_1", "--shadows", 4], 2, "--shadows requires --lira"),
        (["run_1", "--lira", "--shadows", 0], 2, "even number from 4"),
        (["run_1", "--arch", "resnet"], 2, "arch must be one of"),
        (["run_1", "--lr", "1e30", "--networks", 1, "--steps", 5], 6, "use a lower --lr"),
    ],
)
def test_wrong_usage_is_refused_with_one_message(rcig, digits_run, flags, code, said):
    outcome = rcig("mia", *flags, "--store", digits_run)
    assert outcome.code == code
    assert said in outcome.err
    assert "Traceback" not in outcome.err
