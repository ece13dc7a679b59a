"""Tiny-ImageNet: 64x64, RGB, 200 classes (paper, Tables 2, S2 and S3).

Hardware in the paper: one Quadro RTX A6000, 7.78 and 6.43 hours.  Real batches of 400, as published.
At 10 images per class gradients go through 500 of the 2000 images at a time (paper, S3, "Subsampling").
"""

from rcig_cli.presets.preset import table_s3

PRESETS = {
    1: table_s3(5_000, (25.6, 0.3), (24.2, 0.2), 15, batch=400),
    10: table_s3(2_000, (27.4, 0.3), (29.4, 0.2), 29, batch=400, backward_subset=500),
}
