"""ImageNette: 128x128, RGB, 10 classes (paper, Tables 4, S2 and S3).

Hardware in the paper: one Quadro RTX A6000, 5.05 and 12.62 hours.  Real batches of 256, as published.
"""

from rcig_cli.presets.preset import table_s3

PRESETS = {
    1: table_s3(6_000, (53.0, 0.9), (47.2, 1.2), 23, batch=256),
    10: table_s3(3_000, (65.0, 0.7), (63.9, 0.8), 36, batch=256),
}
