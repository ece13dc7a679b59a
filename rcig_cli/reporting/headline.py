"""The one accuracy by which a run is listed and compared with others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcig_cli.store.records import RunManifest
from rcig_cli.store.results import read_results
from rcig_cli.store.store import Store

_USUAL = {"protocol": "rcig", "arch": "convnet", "augment": False, "hard_labels": False}


@dataclass(frozen=True)
class Headline:
    """The accuracy of a run, and the protocol by which it was measured.

    Attributes
    ----------
    accuracy, random_subset
        As an evaluation has them: mean, std and values; the latter None if it has none.
    protocol
        Of the evaluation.
    is_usual
        Whether that is the default protocol: a ConvNet on the learned labels, not augmented.
    """

    accuracy: Mapping[str, Any]
    random_subset: Mapping[str, Any] | None
    protocol: Mapping[str, Any]
    is_usual: bool


def headline_of(store: Store, run: RunManifest) -> Headline | None:
    """Return the newest accuracy by the default protocol, or else by any protocol; None if there is none.

    Evaluations that can't be read are left out.
    """
    usual, others = list[Headline](), list[Headline]()
    for record in read_results(store.run_path(run.name), "evaluations").found:
        protocol = record["protocol"]
        is_usual = all(protocol.get(name, value) == value for name, value in _USUAL.items())
        headline = Headline(record["accuracy"], record["random_subset"], protocol, is_usual)
        (usual if is_usual else others).append(headline)
    return (usual or others or [None])[-1]  # type: ignore[list-item]
