"""``rcig evaluate``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.console import Console
from rcig_cli.cli.options import Context, with_settings
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import count_of, describe_network, describe_training, percent
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol
from rcig_cli.settings import check, settings_of

if TYPE_CHECKING:
    from rcig_cli.runs.evaluate.results import Evaluation

_SETTINGS = settings_of(EvaluationProtocol)
_REPEATED = ("arch", "norm")  # may be given several times, so these have options of their own


@with_settings(*(each for name, each in _SETTINGS.items() if name not in _REPEATED), show_defaults=True)
def evaluate(
    here: Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    settings: dict[str, Any],
    arch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(_SETTINGS["arch"].choices),
            help="Architecture to train; may be given several times. Default: convnet.",
        ),
    ] = None,
    norm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(_SETTINGS["norm"].choices),
            help="Normalization of the networks; may be given several times. "
            "Default: the usual one of the architecture.",
        ),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(
            metavar="random|none", help="Baseline with the same protocol: random real images, or none."
        ),
    ] = "random",
) -> None:
    """Evaluate a distilled set: train networks on it, and on random subsets of the same size.

    Example: rcig evaluate run_1 --arch convnet --arch resnet18 --norm batch --norm instance
    """
    if baseline not in ("random", "none"):
        raise ConfigError(f"--baseline must be random or none, not {baseline}.")
    norms: list[str | None] = [*dict.fromkeys(norm)] if norm else [None]
    combinations = [
        {**settings, "arch": architecture, "norm": normalization}
        for architecture in dict.fromkeys(arch or ["convnet"])
        for normalization in norms
    ]
    for each in combinations:
        check(_SETTINGS, {name: each[name] for name in _REPEATED if each[name] is not None})
    store = here.store()
    store.run(run)
    here.prepare_jax()
    from rcig_cli.runs.distill.distilled import open_distilled
    from rcig_cli.runs.evaluate import evaluate as job
    from rcig_cli.runs.evaluate.protocol import evaluation_protocol

    distilled = open_distilled(store, run)
    protocols = [
        evaluation_protocol(distilled.config, len(distilled.images), **each) for each in combinations
    ]
    with here.console.working():
        evaluations = [
            job.evaluate(distilled, each, report=here.console, baseline=baseline == "random")
            for each in protocols
        ]
    if here.console.json:
        here.console.data("", {"run": run, "evaluations": [each.to_json() for each in evaluations]})
        return
    _show(run, evaluations, here.console)
    here.next(f"visualize {run} --grid")


def _show(run: str, evaluations: "Sequence[Evaluation]", console: Console) -> None:
    first = evaluations[0].protocol
    deviation = ": mean ± standard deviation" if first["networks"] > 1 else ""
    console.note(
        f"Test accuracy of {count_of(first['networks'], 'network')} trained on {run} for "
        f"{describe_training(first)}{deviation}."
    )
    rows = [
        (
            describe_network(each.protocol),
            each.accuracy.percent,
            each.random_subset.percent if each.random_subset else "-",
            f"{percent(each.paper.mean, each.paper.std)} ({each.paper.where})" if each.paper else "-",
        )
        for each in evaluations
    ]
    console.table(("network", run, "random subset", "paper, width 128"), rows)
