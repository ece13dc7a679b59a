"""``rcig evaluate``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.options import Context, with_settings
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import (
    count_of,
    describe_network,
    describe_size,
    describe_training,
    exact_size,
    percent,
)
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol, evaluation_protocol
from rcig_cli.settings import settings_of

if TYPE_CHECKING:
    from rcig_cli.presets.set_size import SetSize


@with_settings(*settings_of(EvaluationProtocol).values(), show_defaults=True, repeated=("arch", "norm"))
def evaluate(
    here: Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    settings: dict[str, Any],
    baseline: Annotated[
        str,
        typer.Option(
            metavar="random|none",
            help="Baseline with the same protocol: random real images, --ipc of each class, or none.",
        ),
    ] = "random",
) -> None:
    """Evaluate a distilled set: train networks on it, and on random subsets of the same bytes.

    Example: rcig evaluate run_1 --arch convnet --arch resnet18 --norm batch --norm instance
    """
    if baseline not in ("random", "none"):
        raise ConfigError(f"--baseline must be random or none, not {baseline}.")
    combinations = [
        {**settings, "arch": arch, "norm": norm}
        for arch in dict.fromkeys(settings.get("arch", ["convnet"]))
        for norm in dict.fromkeys(settings.get("norm", [None]))
    ]
    store = here.store()
    store.run(run)
    here.prepare_jax()
    from rcig_cli.runs.distill.distilled import open_distilled
    from rcig_cli.runs.evaluate import evaluate as job

    distilled = open_distilled(store, run)
    protocols = [
        evaluation_protocol(distilled.config, len(distilled.images), **each) for each in combinations
    ]
    with here.console.working():
        evaluations = [
            job.evaluate(distilled, each, report=here.console, baseline=baseline == "random")
            for each in protocols
        ]
    here.console.document({"run": run, "evaluations": [each.to_json() for each in evaluations]})
    first, size = evaluations[0].protocol, evaluations[0].size
    deviation = ": mean ± standard deviation" if first["networks"] > 1 else ""
    rows = [
        (
            describe_network(each.protocol),
            each.accuracy.percent,
            each.random_subset.percent if each.random_subset else "-",
            f"{percent(each.paper.mean, each.paper.std)} ({each.paper.where})" if each.paper else "-",
            exact_size(size.stored_bytes.images),
        )
        for each in evaluations
    ]
    here.console.table(
        ("network", run, "random subset", "paper, width 128", "stored"),
        rows,
        f"Test accuracy of {count_of(first['networks'], 'network')} trained on {run} for "
        f"{describe_training(first)}{deviation}.\n{run}: {describe_size(size)}.{_of_parametrized(size)}",
    )
    here.next(f"visualize {run} --grid")


def _of_parametrized(size: "SetSize") -> str:
    """Say what a parametrized set is compared with, and why there is no accuracy of the paper."""
    if size.is_raw:
        return ""
    return (
        f" Random subsets have {count_of(size.raw_images, 'real image')}, which take at least as many bytes. "
        "The paper's accuracies are for raw sets."
    )
