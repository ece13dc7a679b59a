"""The paper's results on membership inference: 10 000 images to 500, after 16 000 steps (Tables 5 and S1).

Mean and standard deviation over 5 disjoint groups of 10 000 training images and 5 networks each (n = 25).
Figure 3 (MNIST) and Figure S3 (Fashion-MNIST) have test accuracy and the MLP attack's AUC over the steps, as
curves without numbers.  The rows of other methods are quoted there from Zhou et al., 2022 (FRePo).
"""

import re
from dataclasses import dataclass
from typing import Any

from rcig_cli.presets.paper import PAPER_METHOD

# Training steps after which networks are attacked.
STEPS = (100, 250, 500, 1000, 2000, 4000, 8000, 16_000)

CLASSES, MEMBERS, IMAGES_PER_CLASS = 10, 10_000, 50

Cell = tuple[float, float]  # mean and standard deviation


@dataclass(frozen=True)
class PaperAttack:
    """A row of Table 5 or S1."""

    accuracy: Cell  # on the test images, as a fraction of 1
    auc: dict[str, Cell]  # by attack
    where: str  # the table

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        accuracy, *aucs = ({"mean": mean, "std": std} for mean, std in (self.accuracy, *self.auc.values()))
        return {"accuracy": accuracy, "auc": dict(zip(self.auc, aucs, strict=True)), "where": self.where}


def _table(where: str, **rows: tuple[Cell, ...]) -> dict[str, PaperAttack]:
    """Rows of accuracy in percent and the AUC of each attack; distilled sets have the name of the method."""
    attacks = ("threshold", "logistic_regression", "mlp", "random_forest", "knn")
    return {
        name: PaperAttack((mean / 100, std / 100), dict(zip(attacks, cells, strict=True)), where)
        for name, ((mean, std), *cells) in rows.items()
    }


_RESULTS = {
    "mnist": _table(
        "Table 5",
        real=((99.2, 0.1), (0.99, 0.01), (0.99, 0.00), (1.00, 0.00), (1.00, 0.00), (0.97, 0.00)),
        random_subset=((96.8, 0.2), (0.52, 0.00), (0.50, 0.01), (0.53, 0.01), (0.55, 0.00), (0.54, 0.00)),
        dsa=((98.5, 0.1), (0.50, 0.00), (0.51, 0.00), (0.54, 0.00), (0.54, 0.01), (0.54, 0.01)),
        dm=((98.3, 0.0), (0.50, 0.00), (0.51, 0.01), (0.54, 0.01), (0.54, 0.01), (0.53, 0.01)),
        frepo=((98.5, 0.1), (0.52, 0.00), (0.51, 0.00), (0.53, 0.01), (0.52, 0.01), (0.51, 0.01)),
        rcig=((98.9, 0.0), (0.49, 0.00), (0.50, 0.00), (0.53, 0.00), (0.53, 0.00), (0.52, 0.00)),
    ),
    "fashion_mnist": _table(
        "Table S1",
        real=((89.7, 0.2), (0.99, 0.01), (0.99, 0.00), (0.99, 0.00), (0.99, 0.00), (0.98, 0.00)),
        random_subset=((81.1, 0.7), (0.53, 0.01), (0.51, 0.01), (0.52, 0.01), (0.52, 0.01), (0.53, 0.00)),
        dsa=((87.0, 0.1), (0.51, 0.00), (0.51, 0.01), (0.51, 0.01), (0.52, 0.01), (0.51, 0.01)),
        dm=((87.3, 0.1), (0.52, 0.00), (0.51, 0.01), (0.50, 0.01), (0.52, 0.01), (0.51, 0.01)),
        frepo=((87.6, 0.2), (0.52, 0.00), (0.53, 0.01), (0.53, 0.01), (0.53, 0.01), (0.52, 0.00)),
        rcig=((86.7, 0.3), (0.50, 0.01), (0.50, 0.01), (0.50, 0.01), (0.50, 0.01), (0.50, 0.00)),
    ),
}

# The name of a group is that of the whole data set with a number: mnist_3, mnist3 or mnist-3.
_GROUP = re.compile(r"(.*?)[_-]?\d+")


def paper_attacks(
    dataset: str,
    classes: int,
    members: int,
    ipc: int | tuple[int, ...],
    algorithm: str = PAPER_METHOD,
    *,
    raw: bool = True,
) -> dict[str, PaperAttack]:
    """Return the paper's results on a data set by target, and on sets by a method; empty if it has none.

    Parameters
    ----------
    dataset
        Its name.
    classes
        Number of its classes: users may give the name to images of their own.
    members
        Number of its training images.
    ipc
        Images per class that were distilled from it.
    algorithm
        The method that distilled them.
    raw
        Whether the distilled set is raw, as the paper's are.

    Returns
    -------
    dict
        The rows of ``real``, ``random_subset`` and, where the paper has one for the method, ``distilled``.
    """
    if (classes, members, ipc) != (CLASSES, MEMBERS, IMAGES_PER_CLASS):
        return {}
    group = _GROUP.fullmatch(dataset)
    found = _RESULTS.get(dataset) or _RESULTS.get(group.group(1) if group else "") or {}
    rows = {name: found[name] for name in ("real", "random_subset") if name in found}
    return rows | ({"distilled": found[algorithm]} if raw and algorithm in found else {})
