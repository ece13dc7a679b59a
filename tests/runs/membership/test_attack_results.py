"""Results of attacks over networks and runs, and the curves drawn from them."""

from types import SimpleNamespace

import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import resolve
from rcig_cli.privacy.attacks import ATTACKS
from rcig_cli.privacy.roc import Success
from rcig_cli.runs.membership.attack import _check_methods, _check_same, _targets_of
from rcig_cli.runs.membership.protocol import attack_protocol
from rcig_cli.runs.membership.results import (
    TARGETS,
    AttackResult,
    LiraResult,
    NetworkResult,
    RunResult,
    TargetResult,
    curves,
)
from tests.silent import Silent


def network(accuracy, auc):
    others = {name: Success(0.1, (0.0, 0.0)) for name in ATTACKS}
    return NetworkResult(accuracy, {**others, "mlp": Success(auc, (0.0, 0.0))})


TARGET = TargetResult(
    {100: (network(0.4, 0.5), network(0.6, 0.6)), 250: (network(0.9, 0.7), network(0.9, 0.9))}
)


def test_panels_have_means_and_deviations():
    over_steps, accuracy, against = curves({"real": TARGET})
    (aucs,), (accuracies,), (both,) = over_steps.series, accuracy.series, against.series
    assert aucs.label == "real images"
    assert aucs.x == accuracies.x == [100, 250]
    assert aucs.y == both.y == pytest.approx([0.55, 0.8])
    assert aucs.error == pytest.approx([0.05, 0.1])
    assert accuracies.y == both.x == pytest.approx([50, 90])
    assert over_steps.level == against.level == 0.5


def test_the_results_of_several_runs_are_joined_network_by_network():
    lira = LiraResult("offline", 3, 3, 2, (Success(0.8, (0.1, 0.2)),))
    other = TargetResult({100: (network(1.0, 0.9),), 250: (network(1.0, 1.0),)}, (lira,))
    runs = [
        RunResult(f"run_{n}", "set by rcig", None, 4, dict.fromkeys(TARGETS, each), None)
        for n, each in enumerate((TARGET, other))
    ]
    both = AttackResult(tuple(runs)).targets["random_subset"]
    assert [each.accuracy for each in both.by_steps[100]] == [0.4, 0.6, 1.0]
    assert both.auc("mlp").values == (0.7, 0.9, 1.0)
    assert both.auc("lira").values == (0.8,)
    assert both.to_json()["lira"][0]["tpr"]["0.01"] == {"mean": 0.2, "std": 0.0, "values": [0.2]}


def test_sets_of_several_methods_are_kept_apart():
    """Networks trained on real images are those of all runs; the sets of one method are averaged."""
    runs = []
    for number, method in enumerate(("rcig", "dm", "rcig")):
        target = TargetResult({100: (network(0.1 * number, 0.5),)})
        runs.append(
            RunResult(f"run_{number}", f"set by {method}", None, 4, dict.fromkeys(TARGETS, target), None)
        )
    found = AttackResult(tuple(runs)).targets
    accuracies = {name: target.accuracy.values for name, target in found.items()}
    assert list(accuracies) == ["real", "random_subset", "set by rcig", "set by dm"]
    assert accuracies["real"] == accuracies["random_subset"] == pytest.approx((0, 0.1, 0.2))
    assert accuracies["set by rcig"] == pytest.approx((0, 0.2))
    assert accuracies["set by dm"] == pytest.approx((0.1,))


def test_runs_are_attacked_together_only_if_their_networks_and_random_subsets_are_alike():
    def distilled(number, **settings):
        config = resolve("digits", (8, 8, 1), 10, {"ipc": 1, **settings})
        return SimpleNamespace(run=SimpleNamespace(name=f"run_{number}"), config=config)

    def check(*sets, **given):
        _check_same(sets, [attack_protocol(each.config, **given) for each in sets])

    rcig, dm = distilled(1), distilled(2, algorithm="dm")
    with pytest.raises(
        ConfigError, match=r"run_1 have .*channels doubling.* run_2 .*channels equal"
    ) as caught:
        check(rcig, dm)
    assert "--channels doubling" in str(caught.value)
    check(rcig, dm, channels="equal", width=8, norm="none", flip=False, depth=2)
    with pytest.raises(ConfigError, match="run_3 and run_1 have different numbers of images per class"):
        check(rcig, distilled(3, ipc=2))


def test_methods_are_compared_on_the_same_data_and_imported_sets_stand_alone():
    def distilled(name, algorithm="rcig", data="a", imported=False, **settings):
        config = resolve("digits", (8, 8, 1), 10, {"ipc": 1, "algorithm": algorithm, **settings})
        prepared = SimpleNamespace(name=f"digits_{data}", manifest=SimpleNamespace(digest=data))
        run = SimpleNamespace(name=name, imported=imported, config=config.to_json())
        return SimpleNamespace(run=run, config=config, prepared=prepared)

    def check(*sets):
        heard = Heard()
        _check_methods(sets, _targets_of(sets), heard)
        return heard.warnings

    ours = [distilled(f"run_{data}", data=data, seed=seed) for seed, data in enumerate("ab")]
    assert check(*ours) == []
    assert check(ours[0], distilled("dm", "dm")) == []
    with pytest.raises(
        ConfigError, match=r"set by rcig was .* from digits_a, digits_b and the set by dm from"
    ):
        check(*ours, distilled("dm", "dm"))
    (warned,) = check(ours[0], distilled("run_c", data="b", steps=5))
    assert warned.startswith(
        "run_a and run_c are averaged, although they were not distilled alike (steps: 5,"
    )
    assert check(ours[0], distilled("published", imported=True, steps=5)) == []
    imported = [distilled(f"of_{data}", data=data, imported=True) for data in "ab"]
    assert _targets_of(imported) == ["imported set"] * 2
    assert check(*imported) == []
    assert _targets_of([imported[0], ours[0]]) == ["imported set of_a", "set by rcig"]
    assert _targets_of([imported[0], imported[0]]) == ["imported set of_a"] * 2


class Heard(Silent):
    """Remembers the warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, sentence):
        self.warnings.append(sentence)
