"""Evaluating: the paper's accuracy is given where it can be compared."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import resolve
from rcig_cli.reporting.formatting import describe_training
from rcig_cli.runs.engine.training import DescentSchedule
from rcig_cli.runs.evaluate.evaluate import _paper_result
from rcig_cli.runs.evaluate.learning_rate import HeldOut
from rcig_cli.runs.evaluate.measurement import check_test_images, random_subsets
from rcig_cli.runs.evaluate.protocol import evaluation_protocol, usual_steps


@pytest.mark.parametrize(
    ("name", "classes", "images", "mean"),
    [
        ("cifar10", 10, 50_000, 0.539),
        ("cifar10", 3, 50_000, None),
        ("cifar10", 10, 1000, None),
        ("pets", 10, 50_000, None),
    ],
)
def test_the_papers_accuracy_needs_the_published_numbers_of_classes_and_images(name, classes, images, mean):
    assert paper(name, classes, images) == pytest.approx(mean)


def test_the_papers_accuracy_is_for_raw_sets():
    assert paper("cifar10", 10, parametrization="raw") == pytest.approx(0.539)
    assert paper("cifar10", 10, parametrization="multiformation") is None


def test_the_papers_accuracy_is_for_its_own_protocol():
    config = resolve("cifar10", (32, 32, 3), 10, {"ipc": 1})
    distilled = SimpleNamespace(run=SimpleNamespace(imported=False), config=config, prepared=published())
    assert _paper_result(distilled, evaluation_protocol(config, 10)) is not None
    assert _paper_result(distilled, evaluation_protocol(config, 10, channels="equal")) is None
    assert _paper_result(distilled, evaluation_protocol(config, 10, protocol="dc-bench", norm="none")) is None
    distilled.config = resolve("cifar10", (32, 32, 3), 10, {"ipc": 1, "algorithm": "dm"})
    by_descent = evaluation_protocol(distilled.config, 10, protocol="dc-bench", augment=True)
    assert _paper_result(distilled, by_descent).mean == pytest.approx(0.31)
    assert _paper_result(distilled, evaluation_protocol(distilled.config, 10)) is None


def test_dc_bench_trains_by_descent_for_as_many_epochs_as_published():
    config = resolve("cifar10", (32, 32, 3), 10, {"ipc": 50})
    usual = evaluation_protocol(config, 500, protocol="dc-bench")
    assert (usual.steps, usual.lr, usual.norm, usual.networks) == (600, 0.01, "instance", 5)
    assert (usual.flip, usual.hard_labels, usual.width, usual.channels) == (False, True, 128, "equal")
    assert evaluation_protocol(config, 500, protocol="dc-bench", augment=True).steps == 2000
    assert evaluation_protocol(config, 10, protocol="dc-bench").steps == 300
    given = evaluation_protocol(config, 10, protocol="dc-bench", steps=7, lr=0.5, norm="none", flip=True)
    assert (given.steps, given.lr, given.norm, given.flip) == (7, 0.5, "none", True)
    assert usual_steps(given, 10) == 300
    with pytest.raises(ConfigError, match="dc-bench trains on hard labels"):
        evaluation_protocol(config, 10, protocol="dc-bench", hard_labels=False)
    other = evaluation_protocol(config, 10, protocol="dc-bench", arch="vgg11")
    assert (other.norm, other.channels) == ("batch", "doubling")
    assert evaluation_protocol(config, 10).steps == usual_steps(evaluation_protocol(config, 10), 10) == 1000


def test_descent_has_momentum_weight_decay_and_a_tenth_of_the_rate_in_the_second_half():
    schedule = DescentSchedule(steps=4, lr=0.5)
    optimizer, weight, velocity = schedule.optimizer(), jnp.float32(2.0), 0.0
    expected, state = 2.0, optimizer.init(weight)
    for step in range(4):
        update, state = optimizer.update(jnp.float32(1.0), state, weight)
        weight = optax.apply_updates(weight, update)
        velocity = 0.9 * velocity + 1 + 5e-4 * expected
        expected -= (0.5 if step < 3 else 0.05) * velocity
        np.testing.assert_allclose(weight, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "text", ["1e-3", "1e-3,1e-3", "1e-3,0", "1e-3,nan", "1e-3,inf", "1e-3,-1", "1e-3,", "a,b"]
)
def test_learning_rates_to_choose_from_are_two_or_more_positive_numbers(text):
    config = resolve("cifar10", (32, 32, 3), 10, {"ipc": 1})
    with pytest.raises(ConfigError, match=r"choose_lr must be two or more positive numbers .*1e-4,1e-3"):
        evaluation_protocol(config, 10, choose_lr=text)


def test_a_chosen_learning_rate_is_in_the_record_of_the_protocol_only_if_it_is_chosen():
    config = resolve("cifar10", (32, 32, 3), 10, {"ipc": 1})
    protocol = evaluation_protocol(config, 10, choose_lr="1e-3, 0.01,1e-3")
    assert protocol.learning_rates == (1e-3, 0.01)
    assert protocol.to_json()["choose_lr"] == "1e-3, 0.01,1e-3"
    assert "choose_lr" not in evaluation_protocol(config, 10).to_json()
    assert "learning rate chosen from 1e-3, 0.01,1e-3" in describe_training(protocol.to_json(), in_full=True)
    with pytest.raises(ConfigError, match="lr contradicts choose_lr"):
        evaluation_protocol(config, 10, choose_lr="1e-3,0.01", lr=0.1)


def test_a_tenth_of_each_class_is_held_out_and_left_out_of_random_subsets():
    labels = np.repeat(np.arange(3, dtype=np.int32), (40, 20, 10))
    images = np.arange(70, dtype=np.float32).reshape(70, 1, 1, 1)
    prepared = SimpleNamespace(name="pets", classes=3, stored=lambda _: images, labels=lambda _: labels)
    held_out = HeldOut.of(prepared)
    assert np.bincount(held_out.labels).tolist() == [4, 2, 1]
    np.testing.assert_array_equal(held_out.images[:, 0, 0, 0], held_out.rows)
    subsets = random_subsets(prepared, [40, 20, 10], flip=False, without=held_out.rows)
    found = np.unique(subsets(jax.random.key(0)).images).astype(int)
    np.testing.assert_array_equal(found, np.setdiff1d(np.arange(70), held_out.rows))
    prepared = SimpleNamespace(name="pets", classes=3, labels=lambda _: np.arange(3, dtype=np.int32))
    with pytest.raises(ConfigError, match="pets has one training image of each class"):
        HeldOut.of(prepared)


def published(classes=10, images=50_000):
    """A data set of the size of CIFAR-10."""
    return SimpleNamespace(classes=classes, shape=(32, 32, 3), sizes={"train": images, "test": 10_000})


def paper(name, classes, images=50_000, **settings):
    """The mean of the paper's accuracy for a set of 1 image per class, or None."""
    config = resolve(name, (32, 32, 3), classes, {"ipc": 1, **settings})
    prepared = published(classes, images)
    distilled = SimpleNamespace(run=SimpleNamespace(imported=False), config=config, prepared=prepared)
    found = _paper_result(distilled, evaluation_protocol(config, classes))
    return found and found.mean


def test_classes_without_test_images_are_refused_before_a_network_is_trained():
    prepared = SimpleNamespace(name="pets", only="cat,dog", class_names=("cat", "dog"), sizes={"test": 0})
    with pytest.raises(ConfigError, match=r"pets has no test images of the classes cat, dog, so"):
        check_test_images(prepared)
    prepared.sizes["test"] = 1
    check_test_images(prepared)
