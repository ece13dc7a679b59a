"""Caltech-UCSD Birds 200 (2011): 32x32, RGB, 200 classes (paper, Tables 2, S2 and S3).

Hardware in the paper: one Quadro RTX A6000, 2.75 and 9.58 hours.
"""

from rcig_cli.presets.preset import table_s3

PRESETS = {
    1: table_s3(10_000, (11.2, 0.4), (12.1, 0.2), 5.7),
    10: table_s3(2_000, (14.3, 0.3), (15.7, 0.3), 17),
}
