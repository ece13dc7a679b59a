"""ImageNet resized to 64x64, RGB, 1000 classes (paper, Tables 4, S2 and S3).

Hardware in the paper: one Quadro RTX A6000, 4.75 and 6.87 hours.  Real batches of 400, as published.
Gradients go through 500 of the images at a time (paper, S3, "Subsampling").
"""

from rcig_cli.presets.preset import table_s3

PRESETS = {
    1: table_s3(2_000, (14.6, 0.2), (15.6, 0.2), 33, batch=400, backward_subset=500),
    2: table_s3(2_000, (15.9, 0.1), (16.6, 0.1), 33, batch=400, backward_subset=500),
}
