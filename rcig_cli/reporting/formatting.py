"""Counts, accuracies, sizes and protocols as text, the same in tables, pictures and reports."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rcig_cli.errors import listed
from rcig_cli.store.progress import BATCH_ACCURACY, DISTILLING, Progress

if TYPE_CHECKING:
    from rcig_cli.presets.set_size import SetSize
    from rcig_cli.store.records import DatasetManifest, RunManifest


# The training sets that membership inference attacks compare, as tables name them.
TARGETS = {"real": "real images", "random_subset": "random subset", "distilled": "distilled set"}

# The attacks, as tables name them: short, so that a table with the paper's figures fits 80 columns.
ATTACKS = {
    "threshold": "threshold",
    "logistic_regression": "logistic",
    "mlp": "MLP",
    "random_forest": "random forest",
    "knn": "k-NN",
    "lira": "LiRA",
}

# Values that protocols have, which are shown only on request.
_USUAL_RATES = {"rcig": 1e-4, "dc-bench": 0.01}  # learning rates of evaluation by protocol

# The settings of an imported run that are used by its evaluation, besides those of its parametrization.  Its
# others are a preset's, and unknown.
_USED_OF_IMPORTED = ("dataset", "ipc", "width", "depth", "channels", "norm", "flip")


def target_of(run: "RunManifest") -> str:
    """The set of a run among the training sets where several methods are compared.

    The method of an imported set is unknown, so it is named itself.
    """
    return f"imported set {run.name}" if run.imported else f"set by {run.config['algorithm']}"


def count_of(count: int, noun: str) -> str:
    """A number and its noun: ``"1 image"``, ``"2 images"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def per_class(ipc: int | Sequence[int]) -> str:
    """Images per class, one number or one for each class: ``"10"``, ``"5–10"``."""
    return str(ipc) if isinstance(ipc, int) else f"{min(ipc)}–{max(ipc)}"


def images_per_class(ipc: int | Sequence[int]) -> str:
    """The same with its noun: ``"1 image"``, ``"5–10 images"``."""
    return count_of(ipc, "image") if isinstance(ipc, int) else f"{per_class(ipc)} images"


def percent(mean: float, std: float | None = None) -> str:
    """A fraction as a percentage, with its standard deviation: ``"53.9 ± 1.0 %"``."""
    deviation = "" if std is None else f" ± {100 * std:.1f}"
    return f"{100 * mean:.1f}{deviation} %"


def rounded(value: float) -> str:
    """A number with three significant digits, and all of those before the point: ``"0.0123"``, ``"1235"``."""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def decimal(mean: float, std: float | None = None) -> str:
    """A fraction with three decimals, with its standard deviation: ``"0.539 ± 0.010"``."""
    return f"{mean:.3f}" + ("" if std is None else f" ± {std:.3f}")


def size(count: float) -> str:
    """A number of bytes with two significant digits: ``"512 bytes"``, ``"61 GB"``."""
    return _in_units(count, lambda number: f"{float(f'{number:.2g}'):g}")


def exact_size(count: int) -> str:
    """A number of bytes with one decimal: ``"400 bytes"``, ``"122.9 kB"``."""
    return _in_units(count, lambda number: f"{number:.1f}")


def _in_units(count: float, show: Callable[[float], str]) -> str:
    """A number of bytes in the first unit of which ``show`` gives fewer than 1000, or the largest."""
    if count < 999.5:
        return f"{count:.0f} bytes"
    power = next((power for power in (1, 2) if float(show(count / 1000**power)) < 1000), 3)
    return f"{show(count / 1000**power)} {('kB', 'MB', 'GB')[power - 1]}"


def describe_size(size: "SetSize") -> str:
    """The size of a set: ``"122.9 kB stored (40 images from the bytes of 10) and 1.6 kB of labels"``.

    The images of a raw set are left out.
    """
    images, labels = map(exact_size, (size.stored_bytes.images, size.stored_bytes.labels))
    decoded = "" if size.is_raw else f" ({size.images} images from the bytes of {size.raw_images})"
    return f"{images} stored{decoded} and {labels} of labels"


def accuracy(measured: Mapping[str, Any] | None, missing: str = "-") -> str:
    """A stored accuracy as a percentage, with the deviation of several values; ``missing`` for None."""
    return percent(measured["mean"], _deviation(measured)) if measured else missing


def auc(measured: Mapping[str, Any] | None, missing: str = "-") -> str:
    """A stored AUC with three decimals, otherwise as `accuracy`."""
    return decimal(measured["mean"], _deviation(measured)) if measured else missing


def dd_ranking_scores(measured: Mapping[str, float]) -> tuple[str, str, str, str]:
    """DD-Ranking's HLR, IOR, LRS and ARS with three decimals, from a stored result."""
    hlr, ior, lrs, ars = (f"{measured[name]:.3f}" for name in ("hlr", "ior", "lrs", "ars"))
    return hlr, ior, lrs, ars


def chance_auc(members: int, non_members: int, of: str = "") -> str:
    """The AUC of guessing with its standard error; ``of`` may name an attack."""
    from rcig_cli.privacy.roc import chance_error  # slow to import

    expected = decimal(0.5, chance_error(members, non_members))
    return f"Chance AUC{of} ({members} members, {non_members} non-members): {expected}."


def _deviation(measured: Mapping[str, Any]) -> float | None:
    return None if len(measured.get("values", ())) == 1 else measured.get("std")


def describe_dataset(dataset: "DatasetManifest") -> str:
    """A data set: ``"1437 training and 360 test images, 10 classes, 8x8 grey"``."""
    height, width, channels = dataset.shape
    kind = ("grey" if channels == 1 else "RGB") + (", whitened" if dataset.whitened else "")
    images = f"{dataset.sizes['train']} training and {dataset.sizes['test']} test images"
    return f"{images}, {len(dataset.class_names)} classes, {height}x{width} {kind}"


def known_settings(run: "RunManifest") -> dict[str, Any]:
    """The settings of a run; of an imported one, whose distillation is unknown, those that are used."""
    from rcig_cli.presets.config import DistillConfig  # slow to import

    config = DistillConfig.from_stored(run.config)
    used = {*_USED_OF_IMPORTED, *config.to_decode()} if run.imported else {*run.config}
    return {name: value for name, value in run.config.items() if name in used}


def describe_run(run: "RunManifest") -> str:
    """A run in a few words: ``"1 image per class of digits, 400 steps"``."""
    steps = run.config["steps"]
    done = "" if run.step == steps else f"{run.step} of "
    how = "imported" if run.imported else done + count_of(steps, "step") if steps else run.config["algorithm"]
    return f"{describe_images(run.config, f' of {source_of(run.config)}')}, {how}"


def describe_metrics(metrics: Mapping[str, float]) -> str:
    """The means over the last steps of a run: ``"loss 1.25 and batch accuracy 70.2 % in the last 50 steps"``.

    ``metrics`` are as `final_metrics` returns them; the text is empty if neither is among them.
    """
    shown = [f"loss {metrics['loss']:.3g}"] if "loss" in metrics else []
    shown += [f"batch accuracy {percent(metrics['accuracy'])}"] if "accuracy" in metrics else []
    steps = f" in the last {count_of(int(metrics['averaged_steps']), 'step')}" if shown else ""
    return " and ".join(shown) + steps


def describe_progress(progress: Progress) -> str:
    """What a run in progress is doing: ``"step 312 of 3243, batch accuracy 81.2 %, about 4 min left"``."""
    stage = "step" if progress.label == DISTILLING else progress.label
    accuracy = progress.values.get(BATCH_ACCURACY)
    reached = "" if accuracy is None else f", {BATCH_ACCURACY} {percent(accuracy)}"
    left = "" if progress.seconds_left is None else f", about {duration(progress.seconds_left)} left"
    return f"{stage} {progress.done} of {progress.total}{reached}{left}"


def duration(seconds: float) -> str:
    """Seconds as text: ``"4 s"``, ``"6 min"``, ``"1 h 1 min"``, ``"1 d 12 h"``."""
    if seconds < 59.5:
        return f"{max(round(seconds), 1)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h")) if days else ((hours, "h"), (minutes, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def source_of(settings: Mapping[str, Any]) -> str:
    """The data set of a run, with its classes unless they are all: ``"cifar10 (cat, dog)"``."""
    classes, dataset = settings.get("classes"), settings["dataset"]
    return f"{dataset} ({listed(classes.split(','))})" if classes else f"{dataset}"


def describe_images(settings: Mapping[str, Any], of: str = "") -> str:
    """The images of a set, from the settings of its run: ``"1 image per class"``, then ``of``.

    Of a parametrized set: ``"4 images per class in the bytes of 1 (multiformation)"``.
    """
    decoded, parametrization = _decoded(settings)
    images = f"{images_per_class(decoded)} per class{of}"
    in_bytes = f" in the bytes of {per_class(settings['ipc'])} ({parametrization})"
    return images if parametrization == "raw" else images + in_bytes


def decoded_per_class(settings: Mapping[str, Any]) -> str:
    """The images of each class of a set: ``"10"``, or of a parametrized one ``"4 in the bytes of 1"``."""
    decoded, parametrization = _decoded(settings)
    images, raw = per_class(decoded), per_class(settings["ipc"])
    return raw if parametrization == "raw" else f"{images} in the bytes of {raw}"


def _decoded(settings: Mapping[str, Any]) -> tuple[int | Sequence[int], str]:
    """The images of each class that networks see, one number or one for each class; the parametrization."""
    from rcig_cli.presets.config import DistillConfig  # slow to import

    config = DistillConfig.from_stored(settings)
    if isinstance(config.ipc, int):
        return config.decoded_per_class(1)[0], config.parametrization
    return config.decoded_per_class(len(config.ipc)), config.parametrization


def describe_network(protocol: Mapping[str, Any]) -> str:
    """The network that a protocol trains: ``"convnet, batch norm, width 32"``."""
    norm, width = protocol["norm"], protocol.get("width")
    parts = [protocol["arch"], *([] if norm in (None, "none") else [f"{norm} norm"])]
    parts += [] if width is None else [f"width {width}"]
    return ", ".join([*parts, *(["equal channels"] if protocol.get("channels") == "equal" else [])])


def describe_training(protocol: Mapping[str, Any], *, in_full: bool = False) -> str:
    """How a protocol trains, such as ``"1000 steps, augmented"``; ``in_full`` adds the paper's values."""
    named = protocol.get("protocol", "rcig")
    parts = [f"{protocol['steps']} steps"]
    parts += [] if named == "rcig" else [f"protocol {named}"]
    operations = protocol.get("augment_with")
    parts += [f"augmented by {operations}" if operations else "augmented"] if protocol["augment"] else []
    parts += ["hard labels"] if protocol.get("hard_labels") and named == "rcig" else []
    rates = protocol.get("choose_lr")
    parts += [f"learning rate chosen from {rates}"] if rates else []
    parts += ["mirrored images too"] if in_full and protocol.get("flip") else []
    parts += [
        f"{label} {protocol[name]:g}"
        for name, (label, value) in {
            "seed": ("seed", 0),
            "lr": ("learning rate", _USUAL_RATES[named]),
        }.items()
        if (in_full or protocol[name] != value) and not (name == "lr" and rates)
    ]
    return ", ".join(parts)


def describe_protocol(protocol: Mapping[str, Any]) -> str:
    """Network, training and number of networks on one line."""
    networks = count_of(protocol["networks"], "network")
    return f"{describe_network(protocol)}, {describe_training(protocol)}, {networks}"


def describe_divergence(divergence: Mapping[str, Any]) -> str:
    """At which step a run diverged, which values were not finite, and which checkpoint is left."""
    values = ", ".join(name.replace("_", " ") for name in divergence["not_finite"])
    step = divergence["checkpoint"]
    left = "no checkpoint to resume from" if step is None else f"the checkpoint of step {step} is intact"
    return f"diverged at step {divergence['step']} (not finite: {values}); {left}"
