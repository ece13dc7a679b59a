"""What the paper reports of membership inference: 10 000 images to 500, after 16 000 steps (Tables 5 and S1).

Mean and standard deviation over 5 disjoint groups of 10 000 training images and 5 networks each (n = 25).
Figure 3 (MNIST) and Figure S3 (Fashion-MNIST) have test accuracy and the MLP attack's AUC over the steps, as
curves without numbers.
"""

import re
from dataclasses import dataclass

# Steps after which networks are attacked.
STEPS = (100, 250, 500, 1000, 2000, 4000, 8000, 16_000)

MEMBERS, IMAGES_PER_CLASS = 10_000, 50

Cell = tuple[float, float]


@dataclass(frozen=True)
class PaperAttack:
    """A row of Table 5 or S1; each a mean and a standard deviation.

    Attributes
    ----------
    accuracy
        Test accuracy, as a share of 1.
    auc
        By attack.
    where
        The table.
    """

    accuracy: Cell
    auc: dict[str, Cell]
    where: str


def _row(where: str, accuracy: Cell, *cells: Cell) -> PaperAttack:
    attacks = ("threshold", "logistic_regression", "mlp", "random_forest", "knn")
    shares = accuracy[0] / 100, accuracy[1] / 100
    return PaperAttack(shares, dict(zip(attacks, cells, strict=True)), where)


_RESULTS = {
    "mnist": {
        "real": _row(
            "Table 5", (99.2, 0.1), (0.99, 0.01), (0.99, 0.00), (1.00, 0.00), (1.00, 0.00), (0.97, 0.00)
        ),
        "random_subset": _row(
            "Table 5", (96.8, 0.2), (0.52, 0.00), (0.50, 0.01), (0.53, 0.01), (0.55, 0.00), (0.54, 0.00)
        ),
        "distilled": _row(
            "Table 5", (98.9, 0.0), (0.49, 0.00), (0.50, 0.00), (0.53, 0.00), (0.53, 0.00), (0.52, 0.00)
        ),
    },
    "fashion_mnist": {
        "real": _row(
            "Table S1", (89.7, 0.2), (0.99, 0.01), (0.99, 0.00), (0.99, 0.00), (0.99, 0.00), (0.98, 0.00)
        ),
        "random_subset": _row(
            "Table S1", (81.1, 0.7), (0.53, 0.01), (0.51, 0.01), (0.52, 0.01), (0.52, 0.01), (0.53, 0.00)
        ),
        "distilled": _row(
            "Table S1", (86.7, 0.3), (0.50, 0.01), (0.50, 0.01), (0.50, 0.01), (0.50, 0.01), (0.50, 0.00)
        ),
    },
}

# A group has a data set of its own, called after the whole one: mnist_3, mnist3 or mnist-3.
_GROUP = re.compile(r"(.*?)[_-]?\d+")


def paper_attacks(dataset: str, members: int, ipc: int) -> dict[str, PaperAttack]:
    """The paper's rows for a data set's name, by target; empty where it reports none for these numbers."""
    if (members, ipc) != (MEMBERS, IMAGES_PER_CLASS):
        return {}
    group = _GROUP.fullmatch(dataset)
    return _RESULTS.get(dataset) or _RESULTS.get(group.group(1) if group else "") or {}
