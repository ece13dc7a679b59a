"""Presets resolve to the paper's settings, given settings override them, and invalid ones are refused."""

import pytest

from rcig_cli.distillation.methods import METHODS
from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DistillConfig, declared_settings, difference, resolve
from rcig_cli.presets.paper import OTHERS, PRESETS, PaperResult, paper_result, presets, quoted_result

SHAPES = {
    **{"digits": (8, 8, 1), "mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1)},
    **dict.fromkeys(["tiny_imagenet", "imagenet64"], (64, 64, 3)),
    **dict.fromkeys(["imagenette", "imagewoof"], (128, 128, 3)),
}


def resolved(dataset, ipc=1, classes=10, **flags):
    return resolve(dataset, SHAPES.get(dataset, (32, 32, 3)), classes, {"ipc": ipc, **flags})


SMALL = {"width": 128, "depth": 3, "batch": 1024, "activation": "softplus", "l2_rate": 5e-4}
PAPER = [
    ("mnist", 1, 10, {**SMALL, "steps": 15_000, "flip": False, "solve_precision": "float32"}),
    ("mnist", 50, 10, {**SMALL, "steps": 5_000, "solve_precision": "float64"}),
    ("fashion_mnist", 50, 10, {**SMALL, "steps": 5_000, "solve_precision": "float64"}),
    ("cifar10", 10, 10, {**SMALL, "steps": 10_000, "flip": True}),
    ("cifar10", 50, 10, {"flip": True, "backward_subset": None, "solve_precision": "float32"}),
    ("cifar100", 50, 100, {**SMALL, "steps": 4_000, "flip": False, "backward_subset": 2000}),
    ("tiny_imagenet", 1, 200, {"depth": 4, "batch": 400, "activation": "relu", "flip": True}),
    ("tiny_imagenet", 10, 200, {"backward_subset": 500}),
    ("cub200", 1, 200, {**SMALL, "flip": True}),
    ("caltech_birds2011", 1, 200, {**SMALL, "flip": True}),
    ("imagewoof", 1, 10, {"depth": 5, "batch": 256, "activation": "relu", "l2_rate": 0.05, "flip": True}),
    ("imagenet64", 1, 1000, {"depth": 4, "batch": 400, "flip": True, "backward_subset": 500}),
]


@pytest.mark.parametrize(("dataset", "ipc", "classes", "settings"), PAPER)
def test_the_settings_of_the_paper(dataset, ipc, classes, settings):
    found = resolved(dataset, ipc, classes).to_json()
    assert {name: found[name] for name in settings} == settings


_DESCENT = {"norm": "instance", "channels": "equal", "activation": "relu", "flip": False}
OTHER_PAPERS = [
    ("dm", 1, {**_DESCENT, "steps": 20_000, "image_lr": 1.0, "siamese": True, "batch": 2560}),
    ("dm", 50, {**_DESCENT, "steps": 20_000, "image_lr": 1.0, "siamese": True, "batch": 2560}),
    (
        "dc",
        1,
        {**_DESCENT, "steps": 1000, "image_lr": 0.1, "network_lr": 0.01, "siamese": False, "batch": 2560},
    ),
    ("dc", 10, {"steps": 10_000, "network_steps": 50, "renew_every": 10, "siamese": False}),
    ("dsa", 1, {**_DESCENT, "steps": 1000, "image_lr": 0.1, "network_steps": 0, "siamese": True}),
    ("dsa", 50, {"steps": 50_000, "network_steps": 10, "renew_every": 50, "siamese": True}),
    ("mtt", 1, {**_DESCENT, "steps": 5000, "student_steps": 50, "last_start": 1, "expert_span": 2}),
    ("mtt", 1, {"image_lr": 100.0, "step_size_lr": 1e-7, "step_size": 0.01, "student_batch": None}),
    ("mtt", 10, {"student_steps": 30, "last_start": 19, "image_lr": 1e5, "step_size_lr": 1e-6}),
    (
        "mtt",
        50,
        {"student_steps": 30, "last_start": 39, "image_lr": 1e3, "step_size_lr": 1e-5, "step_size": 1e-3},
    ),
    ("mtt", 10, {"experts": 100, "expert_epochs": 50, "expert_lr": 0.01, "step_size": 0.01}),
    (
        "kip",
        1,
        {"steps": 1000, "image_lr": 0.04, "label_lr": 0.0, "regularization": 1e-6, "hidden_layers": 1},
    ),
]


@pytest.mark.parametrize(("algorithm", "ipc", "settings"), OTHER_PAPERS)
def test_the_settings_of_the_other_methods_papers(algorithm, ipc, settings):
    found = resolved("cifar10", ipc, algorithm=algorithm).to_json()
    assert {name: found[name] for name in settings} == settings


@pytest.mark.parametrize("dataset", PRESETS)
def test_every_preset_resolves(dataset):
    for ipc in presets(dataset):
        config = resolved(dataset, ipc)
        assert DistillConfig.from_json(config.to_json()) == config


def test_every_cell_of_the_papers_tables_2_and_4_has_a_preset_with_its_figure():
    cells = [(name, ipc) for name in PRESETS if name != "digits" for ipc in presets(name)]
    assert len(cells) == 22
    for name, ipc in cells:
        for augment in (False, True):
            result = paper_result(name, ipc, augment=augment)
            assert 0.1 < result.mean < 1
    assert paper_result("imagenette", 10, augment=False).mean == 0.65
    assert paper_result("cifar10", 1, augment=False).mean == pytest.approx(0.539)
    assert paper_result("fashion_mnist", 1, augment=True).std == pytest.approx(0.035)
    assert paper_result("cifar10", 2, augment=False) is None
    assert paper_result("birds", 1, augment=False) is None
    bn = {"distilled_with": "batch", "augment": False}
    assert paper_result("cifar10", 10, **bn).mean == pytest.approx(0.66)
    assert paper_result("cifar10", 10, tested=("vgg11-published", "batch"), **bn).std == pytest.approx(0.011)
    assert paper_result("cifar10", 10, tested=("vgg11", "batch"), **bn) is None  # not the paper's network
    assert paper_result("cifar10", 10, tested=("alexnet", "none"), augment=True) is None
    assert paper_result("cifar10", 50, algorithm="vig", augment=False).mean == pytest.approx(0.3563)
    assert paper_result("mnist", 1, algorithm="cig", augment=False).where == "Table 1"
    assert paper_result("mnist", 1, algorithm="cig", augment=True) is None
    assert paper_result("fashion_mnist", 1, algorithm="vig", augment=False) is None


def test_the_figures_that_table_2_quotes_of_other_methods():
    descent, regression = OTHERS["dm"], OTHERS["frepo"]
    assert quoted_result("cifar10", 1, "dm", descent) == PaperResult(0.31, 0.006, "Table 2")
    assert quoted_result("mnist", 10, "kip", regression).mean == pytest.approx(0.975)
    assert quoted_result("caltech_birds2011", 10, "frepo", regression).std == pytest.approx(0.001)
    assert quoted_result("cifar10", 1, "dm", regression) is None
    assert quoted_result("cifar10", 2, "dm", descent) is None
    assert quoted_result("cub200", 10, "mtt", descent) is None


def rates(config):
    settings = config.to_json()
    return settings["image_lr"], settings["label_lr"], settings["schedule"]


def test_the_shorter_a_run_the_higher_its_rates():
    paper, short = (0.003, 0.003, "constant"), (0.02, 0.02, "constant")
    assert rates(resolved("cifar10")) == rates(resolved("cifar10", steps=7500)) == paper
    assert rates(resolved("cifar10", steps=300)) == rates(resolved("cifar10", steps=1500)) == short
    assert rates(resolved("cifar10", steps=3000)) == (0.011, 0.011, "constant")
    assert rates(resolved("cifar10", steps=7499)) == (0.0053, 0.0053, "constant")
    assert rates(resolved("cifar10", 10, steps=2000)) == (0.011, 0.011, "constant")  # the paper's are 10 000
    assert rates(resolved("birds", 1, steps=300)) == short
    assert rates(resolved("cifar10", steps=300, image_lr=0.1, schedule="cosine")) == (0.1, 0.02, "cosine")
    assert rates(resolved("cifar10", steps=300, algorithm="frepo")) == short
    assert rates(resolved("cifar10", steps=300, algorithm="rfad")) == short
    assert rates(resolved("cifar10", steps=300, algorithm="cig")) == paper  # not measured
    assert rates(resolved("digits", steps=20)) == rates(resolved("digits")) == (0.02, 0.02, "constant")


def test_a_short_run_trains_its_pool_in_fewer_and_larger_steps():
    def pool(config):
        return config.method.pool_lr, config.method.pool_steps, config.method.pool_max_steps

    assert pool(resolved("cifar10")) == pool(resolved("cifar10", 10, steps=5000)) == (5e-5, 15, 100)
    assert pool(resolved("cifar10", steps=300)) == (6e-4, 4, 40)
    assert pool(resolved("cifar10", steps=300, pool_steps=8)) == (6e-4, 8, 40)
    assert pool(resolved("cifar10", steps=300, algorithm="frepo")) == (6e-4, 4, 40)
    assert pool(resolved("cifar10", steps=300, algorithm="cig")) == (5e-5, 15, 100)


def test_a_short_run_of_few_images_has_fewer_iterations_of_conjugate_gradients():
    def iterations(*given, **settings):
        method = resolved("cifar10", *given, **settings).method
        return method.inner_steps, method.hessian_steps

    assert iterations(steps=300) == (3, 3)
    assert iterations(steps=300, hessian_steps=5) == (3, 5)
    assert iterations(steps=300, solver="adam") == (20, 20)
    assert iterations(10, steps=300) == (4, 4)
    assert iterations(50, steps=300) == (10, 10)
    assert iterations(steps=300, parametrization="multiformation") == (4, 4)
    assert iterations(10, steps=300, parametrization="multiformation") == (10, 10)
    assert iterations() == (4, 4)


def test_the_solver_and_its_iterations_depend_on_the_method_and_the_number_of_images():
    assert (resolved("mnist").method.solver, resolved("mnist").method.inner_steps) == ("cg", 4)
    many = resolved("mnist", ipc=10).method
    assert (many.inner_steps, many.hessian_steps) == (10, 10)  # the more images, the more there is to solve
    paper = resolved("mnist", solver="adam").method
    assert (paper.inner_steps, paper.hessian_steps) == (20, 20)
    assert resolved("mnist", solver="adam", inner_steps=7).method.inner_steps == 7
    assert resolved("digits", solver="adam").method.inner_steps == 20
    assert resolved("mnist", inner_steps=0).method.inner_steps == 0
    # CIG has no closed form, and needs more iterations.
    assert resolved("digits", algorithm="cig").method.inner_steps == 30
    assert resolved("digits", algorithm="cig", inner_steps=7).method.inner_steps == 7
    vig = resolved("digits", algorithm="vig").method
    assert (vig.solver, vig.inner_steps, vig.hessian_steps) == ("adam", 20, 20)


def test_the_pool_is_shared_out_evenly_among_the_models_of_a_step():
    assert resolved("mnist").method.pool_size == 30
    assert resolved("mnist", models=8).method.pool_size == 32
    with pytest.raises(ConfigError, match="multiple of 8"):
        resolved("mnist", models=8, pool_size=30)


@pytest.mark.parametrize(
    ("side", "depth", "activation", "l2_rate"),
    [(32, 3, "softplus", 5e-4), (64, 4, "relu", 5e-4), (128, 5, "relu", 0.05), (8, 2, "softplus", 5e-4)],
)
def test_a_set_of_ones_own_gets_what_follows_from_its_size(side, depth, activation, l2_rate):
    config = resolve("birds", (side, side, 3), 7, {"ipc": 3})
    assert (config.depth, config.activation, config.method.l2_rate) == (depth, activation, l2_rate)
    assert config.steps == 15_000


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"steps": -1, "width": 0}, "steps must be a whole number of 0 or more.*; width must be"),
        ({"l2_rate": float("nan")}, "l2_rate must be a number above 0"),
        ({"l2_rate": 10**400}, "l2_rate must be a number above 0"),
        ({"seed": True}, "seed must be a whole number"),
        ({"algorithm": ["rcig"]}, "algorithm must be one of rcig, "),
        ({"algorithm": "vig", "solver": "cg"}, "solver of vig must be adam, not 'cg'; it can be omitted"),
        ({"algorithm": "frepo", "solver": "cg"}, "no setting 'solver' of frepo; the settings are"),
        ({"distill_augment": "crop,rotated"}, "distill_augment must be none.*did you mean rotate"),
        ({"distill_augment": "crop,flip"}, "mnist has grey images, which can't be augmented by flip; use"),
        ({"backward_subset": 0}, "backward_subset must be a whole number of 1 or more"),
        ({"x" * 10_000: 1}, "no setting 'xxx"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_refused(flags, said):
    with pytest.raises(ConfigError, match=said) as caught:
        resolved("mnist", **flags)
    assert len(str(caught.value)) < 1000


def test_the_augmentations_of_a_run_are_a_list_of_names():
    assert resolved("mnist").augmentations == ()
    assert resolved("mnist", distill_augment="crop, cutout").augmentations == ("crop", "cutout")
    assert resolved("cifar10", distill_augment="flip").augmentations == ("flip",)


def test_a_difference_names_fields_and_both_values():
    changed, usual = resolved("mnist", width=32, inner_steps=3), resolved("mnist")
    assert sorted(difference(changed, usual)) == ["inner_steps: 3, not 4", "width: 32, not 128"]


def test_another_algorithm_keeps_the_settings_that_it_has():
    config = resolved("mnist", image_lr=0.5, solver="adam")
    changed = config.override({"algorithm": "frepo"})
    assert changed.method.image_lr == 0.5
    assert changed.to_json().keys() == resolved("mnist", algorithm="frepo").to_json().keys()


def test_a_setting_means_the_same_in_every_method():
    for name, declared in declared_settings().items():
        for method in METHODS.values():
            if name in method.declared:
                assert method.declared[name].type is declared.type
                assert method.declared[name].panel == declared.panel
