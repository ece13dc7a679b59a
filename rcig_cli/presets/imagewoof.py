"""ImageWoof: 128x128, RGB, 10 classes (paper, Tables 4, S2 and S3).

Hardware in the paper: one Quadro RTX A6000, 4.78 and 11.02 hours.  Real batches of 256, as published.
"""

from rcig_cli.presets.preset import table_s3

PRESETS = {
    1: table_s3(6_000, (33.9, 0.6), (27.0, 2.1), 23, batch=256),
    10: table_s3(3_000, (42.2, 0.7), (40.2, 0.6), 36, batch=256),
}
