"""``rcig evaluate``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rcig_cli.cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
)
from rcig_cli.cli.render import Console, percent
from rcig_cli.errors import ConfigError

if TYPE_CHECKING:
    from rcig_cli.jobs.evaluate import Evaluation, Protocol


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    arch: Annotated[
        list[str] | None,
        typer.Option(help="Architectures to train; may be given several times. Default: convnet."),
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Normalisation: none.")] = None,
    augment: Annotated[bool, typer.Option("--augment", help="Train with the paper's augmentations.")] = False,
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

    Example: rcig evaluate run_1 --augment
    """
    del debug
    here = context(store, json, quiet)
    if baseline not in ("random", "none"):
        raise ConfigError(f"--baseline {baseline} is not available; there are: random, none.")
    artifacts = here.store()
    artifacts.run(run)
    here.prepare_jax()
    from rcig_cli.jobs import evaluate as job
    from rcig_cli.jobs.distilled import open_distilled

    distilled = open_distilled(artifacts, run)
    protocols = [
        job.default_protocol(
            distilled,
            architecture=architecture,
            normalization=norm,
            augment=augment,
            networks=networks,
            steps=steps,
            learning_rate=lr,
            width=width,
            seed=seed,
        )
        for architecture in arch or ["convnet"]
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


def _network(protocol: "Protocol") -> str:
    norm = protocol.normalization
    return protocol.architecture + ("" if norm == "none" else f" with {norm} norm")


def _show(run: str, evaluations: "Sequence[Evaluation]", console: Console) -> None:
    protocol = evaluations[0].protocol
    console.note(
        f"Test accuracy of {protocol.networks} networks trained on {run}: mean ± standard deviation"
        f"{', with augmentation' if protocol.augment else ''}."
    )
    rows = [
        (
            f"{_network(each.protocol)}, width {each.protocol.width}, {each.protocol.steps} steps",
            percent(each.accuracy.mean, each.accuracy.std),
            percent(each.random_subset.mean, each.random_subset.std) if each.random_subset else "-",
            f"{percent(each.paper.mean, each.paper.std)} ({each.paper.where}, width 128)"
            if each.paper
            else "-",
        )
        for each in evaluations
    ]
    console.table(("network", run, "random subset", "paper"), rows)
