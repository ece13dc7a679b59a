"""Classes that have fewer training images than are to be distilled, or than a random subset is to have."""

from collections.abc import Sequence

import numpy as np

from rcig_cli.errors import listed
from rcig_cli.runs.prepare.prepared import Prepared


def scarce_classes(prepared: Prepared, wanted: Sequence[int]) -> str:
    """Describe the classes with fewer training images than are wanted, as in ``"'cat' has 3 of 10"``.

    ``wanted`` has a number for each class.  The text is empty if there are none.
    """
    found = np.bincount(prepared.labels("train"), minlength=prepared.classes).tolist()
    rows = zip(prepared.class_names, found, wanted, strict=True)
    return listed([f"{name!r} has {count} of {goal}" for name, count, goal in rows if count < goal])
