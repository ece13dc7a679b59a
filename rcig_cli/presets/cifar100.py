"""CIFAR-100: 32x32, RGB, 100 classes (paper, Tables 2, S2 and S3).

Hardware in the paper: one Quadro RTX A6000, 1.88, 8.55 and 11.21 hours.  At 50 images per class gradients
go through 2000 of the 5000 images at a time (paper, S3, "Subsampling").
"""

from rcig_cli.presets.preset import table_s3

PRESETS = {
    1: table_s3(10_000, (39.3, 0.4), (36.7, 0.3), 4.4),
    10: table_s3(5_000, (44.1, 0.4), (43.5, 0.3), 16),
    50: table_s3(4_000, (45.5, 0.4), (46.7, 0.3), 22, backward_subset=2000),
}
