"""What is drawn of the attacks: means and deviations over networks, at every stop, of the MLP attack."""

import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.privacy.attacks import ATTACKS
from rcig_cli.privacy.roc import Success
from rcig_cli.runs.membership.attack_curves import panels_of, write_curves
from rcig_cli.runs.membership.attack_record import Found, Lira, Target, merged


def found(accuracy, auc):
    others = {name: Success(0.1, (0.0, 0.0)) for name in ATTACKS}
    return Found(accuracy, {**others, "mlp": Success(auc, (0.0, 0.0))})


TARGET = Target({100: (found(0.4, 0.5), found(0.6, 0.6)), 250: (found(0.9, 0.7), found(0.9, 0.9))})


def test_panels_hold_means_and_deviations():
    over_steps, accuracy, against = panels_of({"real": TARGET})
    (aucs,), (accuracies,), (both,) = over_steps.series, accuracy.series, against.series
    assert aucs.label == "real images"
    assert aucs.x == accuracies.x == [100, 250]
    assert aucs.y == both.y == pytest.approx([0.55, 0.8])
    assert aucs.error == pytest.approx([0.05, 0.1])
    assert accuracies.y == both.x == pytest.approx([50, 90])
    assert over_steps.level == against.level == 0.5


def test_only_a_png_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.png"):
        write_curves({"real": TARGET}, "title", tmp_path / "a.svg")
    path = write_curves({"real": TARGET}, "title", tmp_path / "new" / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_runs_are_merged_network_by_network():
    lira = Lira("offline", 3, 3, 2, (Success(0.8, (0.1, 0.2)),))
    both = merged([TARGET, Target({100: (found(1.0, 0.9),), 250: (found(1.0, 1.0),)}, (lira,))])
    assert [one.accuracy for one in both.found[100]] == [0.4, 0.6, 1.0]
    assert [one.attacks["mlp"].auc for one in both.last] == [0.7, 0.9, 1.0]
    assert both.lira == (lira,)
    assert both.to_json()["lira"][0]["tpr"]["0.01"] == {"mean": 0.2, "std": 0.0, "values": [0.2]}
