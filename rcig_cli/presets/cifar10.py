"""CIFAR-10: 32x32, RGB, 10 classes (paper, Tables 2, 3, S2 and S3).

Hardware in the paper: one Quadro RTX A6000, 0.74, 1.82 and 4.09 hours.
"""

from dataclasses import replace

from rcig_cli.presets.preset import table_3, table_s3

# The paper's ResNet-18 and VGG-11 are not the standard ones (networks/architectures.py); the default
# norm ("DN") in its evaluation of RCIG is "none" here.
_ACROSS = {
    **table_3(
        "none",
        {
            ("resnet18-published", "none"): (51.3, 1.7),
            ("resnet18-published", "batch"): (49.7, 1.4),
            ("vgg11-published", "batch"): (46.2, 1.8),
            ("alexnet", "none"): (60.8, 1.8),
        },
    ),
    **table_3(
        "batch",
        {
            ("convnet", "none"): (66.0, 0.6),
            ("resnet18-published", "none"): (54.4, 1.1),
            ("resnet18-published", "batch"): (54.8, 1.1),
            ("vgg11-published", "batch"): (55.4, 1.1),
            ("alexnet", "none"): (62.1, 0.8),
        },
    ),
}

PRESETS = {
    1: table_s3(15_000, (53.9, 1.0), (50.9, 1.5), 3.3),
    10: replace(table_s3(10_000, (69.1, 0.4), (66.4, 1.0), 4.1), across=_ACROSS),
    50: table_s3(5_000, (73.5, 0.3), (72.6, 0.4), 8.3),
}
