"""MNIST: 28x28, grey, 10 classes (paper, Tables 2, S2 and S3).

Hardware in the paper: one Quadro RTX A6000, 0.67, 1.25 and 2.75 hours.  At 50 images per
class the solves with the feature kernel are in float64 (paper, S3, "Miscellaneous").
"""

from rcig_cli.presets.preset import table_s3

PRESETS = {
    1: table_s3(15_000, (94.7, 0.5), (92.7, 0.8), 3.2),
    10: table_s3(10_000, (98.9, 0.0), (98.7, 0.1), 3.6),
    50: table_s3(5_000, (99.1, 0.1), (99.2, 0.0), 5.5, solve_precision="float64"),
}
