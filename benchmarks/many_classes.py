"""Write a generated data set of 200 classes with 64 x 64 RGB pixels, the size of Tiny ImageNet.

    python benchmarks/many_classes.py wide.npz [--train 25] [--test 10]

Each class has a smooth random pattern of its own; an image is that pattern, shifted at random, with noise.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

CLASSES, SIDE, COARSE, SHIFT = 200, 64, 6, 8  # pixels of an image, of a pattern before enlarging, of a shift


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=25, help="images per class")
    parser.add_argument("--test", type=int, default=10, help="images per class")
    given = parser.parse_args()
    random = np.random.default_rng(0)
    patterns = [
        np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
        for coarse in random.integers(0, 256, (CLASSES, COARSE, COARSE, 3), np.uint8)
    ]

    def split(count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        classes = np.repeat(np.arange(CLASSES), count)
        images = [
            np.roll(patterns[each], random.integers(-SHIFT, SHIFT + 1, 2), (0, 1))
            + random.normal(0, 40, (SIDE, SIDE, 3))
            for each in classes
        ]
        return np.clip(images, 0, 255).astype(np.uint8), classes

    (x_train, y_train), (x_test, y_test) = split(given.train), split(given.test)
    np.savez(given.out, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


if __name__ == "__main__":
    main()
