"""scikit-learn's digits: 8x8, grey, 10 classes, 1437 to train.  Not in the paper: a first look in a minute.

Hardware: any two cores.  The learning rates of psi are some six times the paper's, since the run is fifteen
times shorter: 400 to 1500 steps at the paper's gave 88 to 91 %, these settings 92 to 94 %
(docs/appendix/results-accuracy.md).
"""

from rcig_cli.presets.preset import Preset

PRESETS = {
    1: Preset(
        {
            "width": 32,
            "depth": 2,
            "batch": 256,
            "steps": 1000,
            "image_lr": 0.02,
            "label_lr": 0.02,
            "average_decay": 0.995,
        }
    )
}
