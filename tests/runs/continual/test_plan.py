"""The tasks of continual learning, and the settings of the distillation and of the evaluation."""

import numpy as np
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.runs.continual.plan import (
    class_order,
    distillation_settings,
    divide,
    evaluation_settings,
    split_settings,
    with_options_of_continual,
)

# numpy.random.RandomState(seed).permutation(10) for the seeds 0 to 4; NumPy never changes these numbers.
ORDERS = [
    [2, 8, 4, 9, 1, 6, 7, 3, 0, 5],
    [2, 9, 6, 4, 0, 3, 1, 7, 8, 5],
    [4, 1, 5, 0, 7, 2, 3, 6, 9, 8],
    [5, 4, 1, 2, 9, 6, 7, 0, 3, 8],
    [3, 8, 4, 9, 2, 6, 0, 1, 5, 7],
]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_classes_is_numpys(seed):
    assert class_order(10, seed) == tuple(ORDERS[seed])
    assert class_order(100, seed) == tuple(np.random.RandomState(seed).permutation(100))


def test_tasks_are_consecutive_groups():
    assert divide((4, 0, 3, 1, 5, 2), 3, "six") == [(4, 0), (3, 1), (5, 2)]
    assert divide((4, 0, 3, 1, 5, 2), 1, "six") == [(4, 0, 3, 1, 5, 2)]


@pytest.mark.parametrize(
    ("classes", "tasks", "said"),
    [
        (10, 3, "The 10 classes of x can't be divided into 3 equal tasks of at least 2 classes; possible"),
        (10, 10, "possible numbers of tasks: 1, 2, 5."),
        (7, 2, "possible numbers of tasks: 1."),
    ],
)
def test_what_cannot_be_divided_is_refused(classes, tasks, said):
    with pytest.raises(ConfigError) as error:
        divide(tuple(range(classes)), tasks, "x")
    assert said in str(error.value)


def test_settings_of_both_kinds_are_told_apart():
    given = {
        "steps": 5,
        "evaluate_steps": 7,
        "networks": 2,
        "augment": True,
        "seed": 3,
        "evaluate_norm": "none",
    }
    assert given.keys() <= {**distillation_settings(), **evaluation_settings()}.keys()
    distillation, evaluation = split_settings(given)
    assert distillation == {"steps": 5, "seed": 3}
    assert evaluation == {"steps": 7, "networks": 2, "augment": True, "norm": "none"}
    assert not {"dataset", "classes"} & distillation_settings().keys()
    assert not distillation_settings().keys() & evaluation_settings().keys()


def test_messages_name_the_options_of_the_evaluation():
    said = "Too small for depth 5; use --depth 3 or less, or --norm none, --arch vgg11 or --widths."
    assert with_options_of_continual(said) == said.replace("--depth", "--evaluate-depth").replace(
        "--norm", "--evaluate-norm"
    )
