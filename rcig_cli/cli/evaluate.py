"""``rcig evaluate``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.options import Context, with_settings
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import (
    count_of,
    dd_ranking_scores,
    describe_network,
    describe_size,
    describe_training,
    exact_size,
    percent,
)
from rcig_cli.runs.evaluate.protocol import FULL_EPOCHS, EvaluationProtocol, evaluation_protocol
from rcig_cli.settings import settings_of

if TYPE_CHECKING:
    from rcig_cli.presets.set_size import SetSize

_PAPER = "paper, width 128"  # a column


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
    full_data: Annotated[
        bool,
        typer.Option(
            "--full-data",
            help="Also train networks on all real images. The accuracy is kept with the data set for later "
            "evaluations by the same protocol.",
        ),
    ] = False,
    full_epochs: Annotated[
        int,
        typer.Option(
            help="With --full-data or --scores: passes over all real images, but at least --steps steps.",
            min=1,
        ),
    ] = FULL_EPOCHS,
    scores: Annotated[
        bool,
        typer.Option(
            "--scores",
            help="Also compute DD-Ranking's scores LRS and ARS under this protocol, which takes four more "
            "trainings of each network (hard labels, with augmentation, all real images).",
        ),
    ] = False,
) -> None:
    """Evaluate a distilled set: train networks on it, and on as many bytes of random real images.

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
    run = store.run(run).name
    here.prepare_jax()
    from rcig_cli.runs.distill.distilled import open_distilled
    from rcig_cli.runs.evaluate import evaluate as job
    from rcig_cli.runs.evaluate.measurement import protocol_network

    distilled = open_distilled(store, run)
    protocols = [
        evaluation_protocol(distilled.config, len(distilled.images), **each) for each in combinations
    ]
    for protocol in protocols:
        protocol_network(distilled.prepared, protocol)  # refuses an impossible one before any is trained
    with here.console.working():
        evaluations = [
            job.evaluate(
                distilled,
                each,
                report=here.console,
                baseline=baseline == "random",
                full_data=full_data,
                full_epochs=full_epochs,
                scores=scores,
            )
            for each in protocols
        ]
    here.console.document({"run": run, "evaluations": [each.to_json() for each in evaluations]})
    first, size = evaluations[0].protocol, evaluations[0].size
    deviation = ": mean ± standard deviation" if first["networks"] > 1 else ""
    in_full = ["all real images"] if evaluations[0].full_data else []
    rows = [
        (
            describe_network(each.protocol),
            each.accuracy.percent,
            each.random_subset.percent if each.random_subset else "-",
            *([each.full_data.percent] if each.full_data else []),
            f"{percent(each.paper.mean, each.paper.std)} ({each.paper.where})" if each.paper else "-",
            exact_size(size.stored_bytes.images),
        )
        for each in evaluations
    ]
    about = _of_parametrized(size, random=any(each.random_subset for each in evaluations))
    here.console.table(
        ("network", run, "random subset", *in_full, _PAPER, "stored"),
        rows,
        f"Test accuracy of {count_of(first['networks'], 'network')} trained on {run} for "
        f"{describe_training(first)}{deviation}.\n{run}: {describe_size(size)}.{about}",
        optional=("stored", _PAPER),
    )
    if scores:
        here.console.table(
            ("network", "HLR", "IOR", "LRS", "ARS"),
            [
                (describe_network(each.protocol), *dd_ranking_scores(each.scores.to_json()))
                for each in evaluations
                if each.scores
            ],
            "DD-Ranking's scores, computed from accuracies under this protocol, as fractions, and so not "
            "comparable with its leaderboard. HLR: what hard labels lose against all real images; IOR: "
            "improvement over random subsets.",
        )
    here.next(f"visualize {run} --grid")


def _of_parametrized(size: "SetSize", *, random: bool) -> str:
    """Say what a parametrized set is compared with, and why there is no accuracy of the paper."""
    if size.is_raw:
        return ""
    images = count_of(size.raw_images, "real image")
    subsets = f" Random subsets have {images}, which take at least as many bytes." if random else ""
    return f"{subsets} The paper's accuracies are for raw sets."
