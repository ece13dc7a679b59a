"""``rcig mia``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.console import Console
from rcig_cli.cli.options import Context, with_settings
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import (
    ATTACKS,
    TARGETS,
    chance_auc,
    count_of,
    describe_run,
    describe_size,
)
from rcig_cli.runs.membership.protocol import SHADOWS, AttackProtocol
from rcig_cli.settings import settings_of

if TYPE_CHECKING:
    from rcig_cli.runs.membership.results import AttackResult, TargetResult


@with_settings(*settings_of(AttackProtocol).values(), show_defaults=True)
def mia(
    here: Context,
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Finished runs. Several of one method should be of disjoint chunks of a data set; runs by "
            "different methods are compared.",
        ),
    ],
    settings: dict[str, Any],
    steps: Annotated[
        list[int] | None,
        typer.Option(
            help="Training steps after which to attack; may be given several times. "
            "Default: the paper's, 100 to 16000."
        ),
    ] = None,
    lira: Annotated[bool, typer.Option("--lira", help="Also attack with LiRA.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File for the curves. Default: figures/mia.png in the first run's folder."),
    ] = None,
) -> None:
    """Run membership inference attacks on networks trained on a distilled set.

    Example: rcig mia run_1 --networks 2 --steps 500 --steps 2000
    """
    if "shadows" in settings and not lira:
        raise ConfigError("--shadows requires --lira.")
    if lira and settings.setdefault("shadows", SHADOWS) == 0:
        raise ConfigError("--lira needs shadow networks: pass --shadows with an even number from 4.")
    store = here.store()
    runs = [store.run(run).name for run in runs]
    here.prepare_jax()
    from rcig_cli.runs.distill.distilled import open_distilled
    from rcig_cli.runs.membership.attack import attack
    from rcig_cli.runs.membership.results import write_curves

    sets = [open_distilled(store, run) for run in runs]
    path = out or sets[0].path / "figures" / "mia.png"
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{path} must end in .png, the only format of this figure.")
    with here.console.working():
        result = attack(sets, report=here.console, steps=steps or None, **settings)
    several = len({each.target for each in result.runs}) > 1
    names = {each.run: f"{each.run} ({each.target})" if several else each.run for each in result.runs}
    described = "; ".join(f"{names[each.run.name]}: {describe_run(each.run)}" for each in sets)
    write_curves(result.targets, f"Membership inference attacks on {described}", path)
    here.console.document({**result.to_json(), "files": [str(path)]})
    _show(result, names, here.console)
    here.console.text(str(path))


def _show(result: "AttackResult", names: "Mapping[str, str]", console: Console) -> None:
    """Print two tables with a column for each target: AUC, and TPR at low false-positive rates.

    ``names`` has for each run what to call it: its name, and where methods are compared its method.
    """
    first, targets = result.runs[0], result.targets
    lira = {  # tested on numbers of its own; of several runs they are mostly the same
        (TARGETS.get(name, name), each.members, each.non_members): each
        for name, target in targets.items()
        for each in target.lira
    }
    used = {
        name: title for name, title in ATTACKS.items() if any(t.successes(name) for t in targets.values())
    }
    networks = {name: len(target.last) for name, target in targets.items()}
    deviation = ": mean ± standard deviation" if max(networks.values()) > 1 else ""
    heads = [TARGETS.get(name, name) for name in targets]
    rows = [("test accuracy", *map(_accuracy, targets.values()))]
    rows += [(title, *(_auc(each, attack) for each in targets.values())) for attack, title in used.items()]
    sizes = [f"{names[run.run]}: {describe_size(run.size)}." for run in result.runs]
    if not all(run.size.is_raw for run in result.runs):
        sizes.append("Random subsets have --ipc images of each class. The paper's results are for raw sets.")
    tested = {
        number: [run for run in result.runs if run.tested == number]
        for number in dict.fromkeys(run.tested for run in result.runs)
    }
    of_run = {
        number: f" on {', '.join(run.run for run in runs)}" if len(tested) > 1 else ""
        for number, runs in tested.items()
    }
    chances = [chance_auc(number, number, of) for number, of in of_run.items()]
    chances += [chance_auc(members, others, f" of LiRA for the {title}") for title, members, others in lira]
    console.table(
        ("AUC", *heads),
        rows,
        f"Test accuracy, and AUC of each attack, on {_networks(networks)}, after "
        f"{first.protocol.steps[-1]} steps{deviation}{_paper_note(targets)}.\n"
        + "\n".join([*sizes, *chances]),
    )
    console.text("")
    of_lira = ", ".join(
        f"{_allowed(each.false_positives, others)} for the {title}"
        for (title, _, others), each in lira.items()
    )
    allowed = "; ".join(
        f"{_allowed(runs[0].false_positives, number)}{of_run[number]}" for number, runs in tested.items()
    )
    rows = [(title, *(_tpr(each, attack) for each in targets.values())) for attack, title in used.items()]
    console.table(
        ("TPR (%)", *heads),
        rows,
        f"True-positive rate at false-positive rates of at most 0.1 % / 1 % ({allowed})."
        + (f"\nLiRA: {of_lira}." if lira else ""),
    )


def _networks(counts: "Mapping[str, int]") -> str:
    """How many networks were trained on each training set, by its name."""
    if len(set(counts.values())) == 1:
        return f"{count_of(max(counts.values()), 'network')} for each target"
    return ", ".join(
        f"{count_of(count, 'network')} for the {TARGETS.get(name, name)}" for name, count in counts.items()
    )


def _allowed(false_positives: "Mapping[str, int]", non_members: int) -> str:
    return f"{' / '.join(map(str, false_positives.values()))} of {non_members} non-members"


def _paper_note(targets: "Mapping[str, TargetResult]") -> str:
    tables = {target.paper.where for target in targets.values() if target.paper}
    return "".join(f" (in brackets: paper, {table}, width 128, 16000 steps)" for table in tables)


def _accuracy(target: "TargetResult") -> str:
    shown = target.accuracy.percent
    return f"{shown} ({100 * target.paper.accuracy[0]:.1f})" if target.paper else shown


def _auc(target: "TargetResult", attack: str) -> str:
    if not target.successes(attack):
        return "-"
    paper = target.paper.auc.get(attack) if target.paper else None
    return target.auc(attack).decimal + (f" ({paper[0]:.2f})" if paper else "")


def _tpr(target: "TargetResult", attack: str) -> str:
    """Return the mean at each false-positive rate."""
    rates = zip(*(success.tpr for success in target.successes(attack)), strict=True)
    return " / ".join(f"{100 * sum(each) / len(each):.1f}" for each in rates) or "-"
