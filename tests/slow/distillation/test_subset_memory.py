"""With gradients through a subset, the memory of a step grows with the subset, not with the distilled set."""

import jax
import jax.numpy as jnp
import pytest

from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.task import Task
from tests.distillation.test_subsampling import CLASSES, SHAPE, posed, settings


@pytest.mark.usefixtures("float64")
def test_memory_grows_with_the_subset_and_not_with_the_set():
    network, theta_0, _, real = posed()

    def temporary(n, subset):
        config = settings("rcig", subset, inner_steps=2, hessian_steps=2)
        step = METHODS["rcig"].make(Task(network, Platform()), config)
        labels = centred_one_hot(jnp.arange(n) % CLASSES, CLASSES, jnp.float64)
        psi = Distilled({"images": jnp.zeros((n, *SHAPE), jnp.float64)}, labels, jnp.asarray(0.0))
        lowered = jax.jit(step.update).lower(step.start(psi), theta_0, *real, jax.random.key(0))
        # What depends on n alone: the images, their features, and the kernel matrix.
        return lowered.compile().memory_analysis().temp_size_in_bytes

    whole = temporary(400, None)
    small, double = temporary(400, 20), temporary(400, 160)
    assert small < double < whole
    per_image = (double - small) / 140
    assert temporary(800, 20) - small < 0.35 * per_image * 400
