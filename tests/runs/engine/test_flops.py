"""Counting the operations of a function."""

import jax
import jax.numpy as jnp
import numpy as np

from rcig_cli.runs.engine.flops import count


def test_products_and_convolutions_are_counted_as_often_as_they_run_and_only_if_needed():
    left, right = np.ones((3, 5), np.float32), np.ones((5, 7), np.float32)
    images, kernel = np.ones((2, 8, 9, 3), np.float32), np.ones((3, 3, 3, 4), np.float32)

    def convolved(images, kernel):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=layout)

    def loop(left, right):
        return jax.lax.scan(lambda x, _: (x + left @ right, None), jnp.zeros((3, 7)), length=6)[0]

    assert count(lambda x, y: x @ y, left, right) == 2 * 3 * 5 * 7
    assert count(lambda x, y: (x @ y, x.sum())[1], left, right) == 0
    assert count(jax.jit(loop), left, right) == 6 * 2 * 3 * 5 * 7
    assert count(convolved, images, kernel) == 2 * (2 * 8 * 9 * 4) * (3 * 3 * 3)
