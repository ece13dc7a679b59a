"""Classes that have fewer training images than are to be distilled."""

import numpy as np

from rcig_cli.errors import listed
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.prepare.prepared import Prepared


def scarce_classes(prepared: Prepared, config: DistillConfig) -> str:
    """Describe the classes with fewer training images than distilled ones, as in ``"'cat' has 3 of 10"``.

    The text is empty if there are none.
    """
    found = np.bincount(prepared.labels("train"), minlength=prepared.classes).tolist()
    wanted = config.decoded_per_class(prepared.classes)
    rows = zip(prepared.class_names, found, wanted, strict=True)
    return listed([f"{name!r} has {count} of {goal}" for name, count, goal in rows if count < goal])
