"""How results are put in words, in tables, pictures and pages alike."""

from collections.abc import Mapping
from typing import Any

# What goes without saying of a training, as in the paper's protocol.
_USUAL = {"seed": 0, "learning_rate": 1e-4}

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))

# What networks under attack are trained on.
TARGETS = {"real": "real images", "random_subset": "random subset", "distilled": "distilled set"}

# What of a run may no longer be finite.
_NUMBERS = {
    "pool_models": "pool models",
    "loss": "loss",
    "gradient": "meta-gradient",
    "images": "images",
    "labels": "labels",
    "temperature": "temperature",
    "optimizer": "optimizer's moments",
}


def count_of(count: int, thing: str) -> str:
    """A number of things: ``"1 image"``, ``"2 images"``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def percent(mean: float, std: float | None = None) -> str:
    """A share of 1 in percent, with its deviation: ``"53.9 ± 1.0 %"``."""
    deviation = "" if std is None else f" ± {100 * std:.1f}"
    return f"{100 * mean:.1f}{deviation} %"


def share(mean: float, std: float | None = None) -> str:
    """The same as it is: ``"0.539 ± 0.010"``."""
    return f"{mean:.3f}" + ("" if std is None else f" ± {std:.3f}")


def size(count: float) -> str:
    """A number of bytes, to two digits: ``"512 bytes"``, ``"61 GB"``."""
    for name, unit in _UNITS:
        if count >= unit:
            return f"{float(f'{count / unit:.2g}'):g} {name}"
    return f"{count:.0f} bytes"


def accuracy(found: Mapping[str, Any] | None, missing: str = "-") -> str:
    """A mean and a deviation as a record holds them, in percent; ``missing`` where there are none."""
    return percent(found["mean"], found.get("std")) if found else missing


def network_of(protocol: Mapping[str, Any]) -> str:
    """The network that a protocol trains: ``"convnet, batch norm, width 32"``."""
    norm, width = protocol["normalization"], protocol.get("width")
    words = [protocol["architecture"], *([] if norm == "none" else [f"{norm} norm"])]
    return ", ".join([*words, *([] if width is None else [f"width {width}"])])


def trained(protocol: Mapping[str, Any], *, in_full: bool = False) -> str:
    """How it is trained, and what is unusual about it, or all: ``"1000 steps, augmented"``."""
    words = [f"{protocol['steps']} steps"]
    words += ["augmented"] if protocol["augment"] else []
    words += ["hard labels"] if protocol.get("hard_labels") else []
    words += ["mirror images too"] if in_full and protocol.get("flip") else []
    words += [
        f"{name.replace('_', ' ')} {protocol[name]:g}"
        for name, usual in _USUAL.items()
        if in_full or protocol[name] != usual
    ]
    return ", ".join(words)


def networks(protocol: Mapping[str, Any]) -> str:
    """How many: ``"5 networks"``."""
    return count_of(protocol["networks"], "network")


def described(protocol: Mapping[str, Any]) -> str:
    """All of it on one line."""
    return f"{network_of(protocol)}, {trained(protocol)}, {networks(protocol)}"


def diverged(divergence: Mapping[str, Any]) -> str:
    """When a run diverged, what, and what was left of it."""
    what = ", ".join(_NUMBERS.get(name, name) for name in divergence["not_finite"])
    kept = divergence["checkpoint"]
    stands = "no checkpoint to go on from" if kept is None else f"the checkpoint of step {kept} stands"
    return f"diverged at step {divergence['step']} (no longer finite: {what}); {stands}"
