"""``rcig mia``."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.console import Console
from rcig_cli.cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
)
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import TARGETS, count_of, decimal, percent

if TYPE_CHECKING:
    from rcig_cli.runs.membership.attack import Attacked
    from rcig_cli.runs.membership.attack_record import Target

_SHADOWS = 16
_ROWS = {  # short, so that a table with the paper's figures fits 80 columns
    "threshold": "threshold",
    "logistic_regression": "logistic",
    "mlp": "MLP",
    "random_forest": "forest",
    "knn": "k-NN",
    "lira": "LiRA",
}


def mia(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Finished runs: of disjoint chunks, if several.")
    ],
    networks: Annotated[
        int | None, typer.Option(help="Networks to train on each target. Default: 5.")
    ] = None,
    steps: Annotated[
        list[int] | None,
        typer.Option(
            help="Training steps after which to attack; may be given several times. "
            "Default: the paper's, 100 to 16000."
        ),
    ] = None,
    lira: Annotated[bool, typer.Option("--lira", help="Attack with LiRA too, from shadow networks.")] = False,
    shadows: Annotated[
        int, typer.Option(help="Shadow networks for each of LiRA's targets, an even number.")
    ] = _SHADOWS,
    arch: Annotated[str | None, typer.Option(help="Architecture to train. Default: convnet.")] = None,
    norm: Annotated[str | None, typer.Option(help="Norm to train with. Default: the usual one.")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's learning rate, constant. Default: 1e-4.")] = None,
    width: Annotated[
        int | None, typer.Option(help="Channels of the first block. Default: the run's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="All randomness follows from it. Default: 0.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the curves go. Default: in the first run's folder.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Attack networks trained on a distilled set, to see whether it leaks who was in the data.

    Example: rcig mia run_1 --networks 2 --steps 500 --steps 2000
    """
    del debug
    here = context(store, json, quiet)
    artifacts = here.store()
    for run in runs:
        artifacts.run(run)
    here.prepare_jax()
    from rcig_cli.runs.distill.distilled import open_distilled
    from rcig_cli.runs.membership import attack as job
    from rcig_cli.runs.membership.attack_curves import check_curves, write_curves
    from rcig_cli.runs.membership.attack_protocol import default_protocol

    sets = [open_distilled(artifacts, run) for run in runs]
    path = out or sets[0].path / "figures" / "mia.png"
    check_curves(path)
    if lira and not shadows:
        raise ConfigError("--lira needs shadow networks: give --shadows an even number from 4.")
    protocols = [
        default_protocol(
            distilled,
            architecture=arch,
            normalization=norm,
            networks=networks,
            steps=steps or None,
            learning_rate=lr,
            width=width,
            shadows=shadows if lira else 0,
            seed=seed,
        )
        for distilled in sets
    ]
    with here.console.working():
        attacked = job.attack(sets, protocols, here.console)
    targets = job.all_targets(attacked)
    write_curves(targets, f"Who was in the data of {', '.join(runs)}?", path)
    if json:
        here.console.data("", {**_document(attacked, targets), "files": [str(path)]})
        return
    _show(attacked, targets, here.console)
    here.console.data(str(path), {})


def _document(attacked: "Sequence[Attacked]", targets: "Mapping[str, Target]") -> dict[str, Any]:
    """One run's record; of several, all together, and each under ``runs``."""
    each = [one.to_json() for one in attacked]
    if len(each) == 1:
        return each[0]
    return {"run": None, "targets": {name: one.to_json() for name, one in targets.items()}, "runs": each}


def _show(attacked: "Sequence[Attacked]", targets: "Mapping[str, Target]", console: Console) -> None:
    """A column for each target: AUC, then who is found while hardly anybody is accused wrongly."""
    first, networks = attacked[0], sum(each.protocol.networks for each in attacked)
    console.note(
        f"{count_of(networks, 'network')} on each target, after {first.protocol.steps[-1]} "
        f"steps: mean ± standard deviation{_beside(targets)}. The AUC of guessing, on {first.judged} members "
        f"and as many others, is 0.500 ± {first.chance_error:.3f}."
    )
    heads = [TARGETS[name] for name in targets]
    rows = [("test accuracy", *map(_accuracy, targets.values()))]
    rows += [(title, *(_auc(each, attack) for each in targets.values())) for attack, title in _ROWS.items()]
    console.table(("AUC", *heads), rows)
    console.out.print()
    allowed = " and ".join(str(count) for count in first.false_positives.values())
    console.note(
        f"Share of members found while at most 0.1 % and 1 % of the others ({allowed} of {first.judged}) are "
        "taken for members."
    )
    rows = [(title, *(_tpr(each, attack) for each in targets.values())) for attack, title in _ROWS.items()]
    console.table(("TPR (%)", *heads), rows)


def _beside(targets: "Mapping[str, Target]") -> str:
    where = {target.paper.where for target in targets.values() if target.paper}
    return "".join(f" (and the paper's mean, {table}, width 128, 16000 steps)" for table in where)


def _accuracy(target: "Target") -> str:
    shown = percent(*_spread(one.accuracy for one in target.last))
    return f"{shown} ({100 * target.paper.accuracy[0]:.1f})" if target.paper else shown


def _auc(target: "Target", attack: str) -> str:
    successes = target.successes(attack)
    if not successes:
        return "-"
    paper = target.paper.auc.get(attack) if target.paper else None
    return decimal(*_spread(one.auc for one in successes)) + (f" ({paper[0]:.2f})" if paper else "")


def _tpr(target: "Target", attack: str) -> str:
    """The mean at each false positive rate."""
    rates = [one.tpr for one in target.successes(attack)]
    return "   ".join(f"{100 * _spread(each)[0]:5.1f}" for each in zip(*rates, strict=True)) or "-"


def _spread(values: Iterable[float]) -> tuple[float, float]:
    from rcig_cli.runs.evaluate.spread import Spread

    spread = Spread(tuple(values))
    return spread.mean, spread.std
