"""A protocol of evaluation in a few words, as tables and lists show it."""

from collections.abc import Mapping
from typing import Any

# What goes without saying, as in the paper's protocol.
_USUAL = {"seed": 0, "learning_rate": 1e-4}


def network_of(protocol: Mapping[str, Any]) -> str:
    """The network that is trained: ``"convnet, batch norm, width 32"``."""
    norm, width = protocol["normalization"], protocol.get("width")
    words = [protocol["architecture"], *([] if norm == "none" else [f"{norm} norm"])]
    return ", ".join([*words, *([] if width is None else [f"width {width}"])])


def trained(protocol: Mapping[str, Any]) -> str:
    """How it is trained, with what is unusual about it: ``"1000 steps, augmented"``."""
    words = [f"{protocol['steps']} steps"]
    words += ["augmented"] if protocol["augment"] else []
    words += ["hard labels"] if protocol.get("hard_labels") else []
    words += [
        f"{name.replace('_', ' ')} {protocol[name]:g}"
        for name, usual in _USUAL.items()
        if protocol[name] != usual
    ]
    return ", ".join(words)


def networks(protocol: Mapping[str, Any]) -> str:
    """How many: ``"5 networks"``."""
    return "1 network" if protocol["networks"] == 1 else f"{protocol['networks']} networks"


def described(protocol: Mapping[str, Any]) -> str:
    """All of it on one line."""
    return f"{network_of(protocol)}, {trained(protocol)}, {networks(protocol)}"
