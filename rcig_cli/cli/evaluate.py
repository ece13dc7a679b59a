"""``rcig evaluate``."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

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
from rcig_cli.reporting.formatting import count_of, describe_network, describe_training, percent

if TYPE_CHECKING:
    from rcig_cli.runs.evaluate.evaluate import Evaluation


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    arch: Annotated[
        list[str] | None,
        typer.Option(help="Architectures to train; may be given several times. Default: convnet."),
    ] = None,
    norm: Annotated[
        list[str] | None,
        typer.Option(help="Norms to train each with; may be given several times. Default: the usual one."),
    ] = None,
    augment: Annotated[bool, typer.Option("--augment", help="Train with the paper's augmentations.")] = False,
    hard_labels: Annotated[
        bool, typer.Option("--hard-labels", help="Train on the class that each learned label favours.")
    ] = False,
    networks: Annotated[int | None, typer.Option(help="Networks to train. Default: 5.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Training steps. Default: 1000 for 10 images, 2000 for more.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's learning rate. Default: 1e-4.")] = None,
    width: Annotated[
        int | None, typer.Option(help="Channels of the first block. Default: the run's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="All randomness follows from it. Default: 0.")] = None,
    baseline: Annotated[str, typer.Option(help="What to judge beside it: random or none.")] = "random",
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Judge a distilled set: train fresh networks on it, and on random subsets of the same size.

    Example: rcig evaluate run_1 --arch convnet --arch resnet18 --norm batch --norm instance
    """
    del debug
    here = context(store, json, quiet)
    if baseline not in ("random", "none"):
        raise ConfigError(f"--baseline {baseline} is not available; there are: random, none.")
    artifacts = here.store()
    artifacts.run(run)
    here.prepare_jax()
    from rcig_cli.runs.distill.distilled import open_distilled
    from rcig_cli.runs.evaluate import evaluate as job

    distilled = open_distilled(artifacts, run)
    norms: list[str | None] = [*dict.fromkeys(norm)] if norm else [None]
    protocols = [
        job.default_protocol(
            distilled,
            architecture=architecture,
            normalization=normalization,
            augment=augment,
            hard_labels=hard_labels,
            networks=networks,
            steps=steps,
            learning_rate=lr,
            width=width,
            seed=seed,
        )
        for architecture in dict.fromkeys(arch or ["convnet"])
        for normalization in norms
    ]
    with here.console.working():
        evaluations = [
            job.evaluate(distilled, protocol, here.console, baseline=baseline == "random")
            for protocol in protocols
        ]
    if json:
        here.console.data("", {"run": run, "evaluations": [each.to_json() for each in evaluations]})
        return
    _show(run, evaluations, here.console)
    here.next(f"visualize {run} --grid")


def _show(run: str, evaluations: "Sequence[Evaluation]", console: Console) -> None:
    protocols = [asdict(each.protocol) for each in evaluations]
    console.note(
        f"Test accuracy of {count_of(protocols[0]['networks'], 'network')} trained on {run} "
        f"for {describe_training(protocols[0])}: "
        "mean ± standard deviation."
    )
    rows = [
        (
            describe_network(protocol),
            percent(each.accuracy.mean, each.accuracy.std),
            percent(each.random_subset.mean, each.random_subset.std) if each.random_subset else "-",
            f"{percent(each.paper.mean, each.paper.std)} ({each.paper.where})" if each.paper else "-",
        )
        for protocol, each in zip(protocols, evaluations, strict=True)
    ]
    console.table(("network", run, "random subset", "paper, width 128"), rows)
