"""CIFAR-10: 32x32, RGB, 10 classes (paper, Tables 2, S2 and S3).

Hardware in the paper: one Quadro RTX A6000, 0.74, 1.82 and 4.09 hours.
"""

from rcig_cli.presets.preset import table_s3

PRESETS = {
    1: table_s3(15_000, (53.9, 1.0), (50.9, 1.5), 3.3),
    10: table_s3(10_000, (69.1, 0.4), (66.4, 1.0), 4.1),
    50: table_s3(5_000, (73.5, 0.3), (72.6, 0.4), 8.3),
}
