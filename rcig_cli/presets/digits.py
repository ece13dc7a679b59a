"""scikit-learn's digits: 8x8, grey, 10 classes, 1437 to train.  Not in the paper: a first look within a minute.

Hardware: any two cores.  One image per class, 400 steps: see docs/results.md for time and accuracy.
"""

from rcig_cli.presets.preset import Preset

_SMALL = {"width": 32, "depth": 2, "batch": 256, "steps": 400}

PRESETS = {1: Preset(_SMALL)}
