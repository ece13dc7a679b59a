"""Networks, augmentations, methods and data sources of the user's own: the contracts and their errors."""

import importlib
import os
import shutil
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType, SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rcig_cli.cli.distill  # options have the choices of when their command is imported
import rcig_cli.cli.evaluate  # noqa: F401
from rcig_cli.augmentation import augment_by, check_operations
from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.distillation import methods
from rcig_cli.errors import ConfigError
from rcig_cli.extensions import has_changed, installed, load, provenance
from rcig_cli.networks.architectures import build_network
from rcig_cli.presets.config import DistillConfig, difference, resolve
from rcig_cli.presets.set_size import SetSize
from rcig_cli.reporting.commands import distill_commands
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.continual import continual
from rcig_cli.runs.continual.plan import settings_of_continual, split_settings
from rcig_cli.runs.distill import distill
from rcig_cli.runs.distill.group import RunGroup
from rcig_cli.runs.distill.resume import newest_of, newest_with
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.engine.environment import machine
from rcig_cli.runs.evaluate import full_data
from rcig_cli.runs.evaluate.measurement import schedule_of
from rcig_cli.runs.evaluate.protocol import evaluation_protocol
from rcig_cli.runs.evaluate.results import Evaluation, Spread
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.runs.sweep.plan import make_plan
from rcig_cli.runs.sweep.plots import panels_of
from rcig_cli.runs.sweep.table import Cell, Outcome, tabulate
from rcig_cli.settings import check
from rcig_cli.store.records import versions, write_manifest
from rcig_cli.store.store import open_store
from tests.conftest import start_rcig
from tests.silent import Silent
from tests.store.conftest import _run_manifest

NETWORKS = """
import flax.linen as nn
import jax.numpy as jnp

class Perceptron(nn.Module):
    classes: int
    width: int = 8

    @nn.compact
    def __call__(self, images):
        return nn.Dense(self.classes)(nn.relu(nn.Dense(self.width)(images.reshape(len(images), -1))))

class Normed(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, images, train):
        hidden = nn.BatchNorm(use_running_average=not train)(images.reshape(len(images), -1))
        return nn.Dense(self.classes)(hidden)

class Dropped(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, images, train=False):
        hidden = nn.Dropout(0.5, deterministic=not train)(images.reshape(len(images), -1))
        return nn.Dense(self.classes)(hidden)

class Pair(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, images):
        logits = nn.Dense(self.classes)(images.reshape(len(images), -1))
        return logits, images

class Linear:  # not of Flax
    def __init__(self, classes):
        self.classes = classes

    def init(self, key, images):
        return jnp.zeros((images[0].size, self.classes))

    def apply(self, kernel, images):
        return images.reshape(len(images), -1) @ kernel

number = 3
def five(classes):
    return Perceptron(5)
def text(classes):
    return "a network"
def untold(count):
    return Perceptron(count)
def failing(classes):
    raise RuntimeError("no memory left.")
"""

AUGMENTATIONS = """
def double(key, image):
    return 2 * image
def shrink(key, image):
    return image[1:]
def failing(key, image):
    raise ValueError("no such axis")
number = 3
"""

METHODS = """
from rcig_cli.distillation.methods import Method, Metric
from rcig_cli.distillation.settings import GradientSettings, MethodSettings
from rcig_cli.settings import record, setting

@record
class Settings(GradientSettings):
    sharpness: float = setting(2.0, "How sharp.", gt=0)
    rounds: int = setting(3, "Rounds of sharpening, at most.", ge=1)
    own_lr: float = setting(0.5, "How fast it becomes sharp.", gt=0)
    parts: tuple[int, ...] = (1, 2)

class Undecorated(GradientSettings):
    sharpness: float = 2.0

def make(task, settings):
    return "a step"

def of(**changes):
    fields = dict(name="own", title="own", reference=None, settings=Settings, metrics=(), make=make)
    return Method(**{**fields, **changes})

OWN = of(metrics=(Metric("loss", "sharp loss", "Loss"),))
COUNTING = of(metrics=(Metric("step", "steps", "Steps"),))

@record
class Declaring(GradientSettings):
    flip: bool = setting(True, "Mirrored images too.")
    image_lr: float = setting(0.05, "Learning rate.", gt=0)
    average_decay: float = setting(0.0, "Decay.", ge=0, lt=1)

@record
class DeclaringMore(Declaring):
    schedule: str = setting(..., "Schedule.")
    final_rate: float = setting(0.3, "The last rate.")

DECLARING = of(settings=DeclaringMore)
BY_IMAGES = of(settings=Declaring, defaults=lambda images, given: {"image_lr": images / 100})

@record
class Taken(GradientSettings):
    width: int = setting(3, "Width of a filter.")
    factor: float = setting(3, "Of the loss.")

TAKEN = of(settings=Taken)

@record
class WithLr(GradientSettings):
    lr: float = setting(0.5, "Of the filter.", gt=0)

WITH_LR = of(settings=WithLr)
WRONG_SETTINGS = of(settings=Undecorated)
NOTHING = Method(name="own", title="own", reference=None, settings=MethodSettings, metrics=())
"""

DATA = """
import numpy as np
x = np.arange(8 * 64, dtype=np.uint8).reshape(8, 8, 8)
y = np.arange(8) % 2

def halves():
    return x[:6], y[:6], x[6:], y[6:]
def named():
    return [*halves(), ("cat", "dog")]
def unnamed():
    return (*halves(), None)
def three():
    return x, y, x
def failing():
    raise OSError("the archive is missing")
def ragged():
    return [x[0], x[0, :4]], y[:2], x, y
number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module into the current folder; nothing of it is left afterwards.

    If it was imported, it is imported again, as in a new process.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(methods, "_imported", {})
    before = set(sys.modules)

    def write(name, text=""):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        if sys.modules.pop(name, None):
            importlib.invalidate_caches()
            importlib.import_module(name)

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def plugins(module, tmp_path, monkeypatch):
    """Install a distribution with a working and a broken extension of each kind."""
    module("plugged", NETWORKS + AUGMENTATIONS + METHODS + DATA)
    module("broken", "raise RuntimeError('a library is too old')")
    names = {"architectures": "Perceptron", "augmentations": "double", "methods": "OWN", "datasets": "named"}
    info = tmp_path / "site" / "plugged-2.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 2.5\n")
    (info / "top_level.txt").write_text("plugged\nbroken\n")
    (info / "RECORD").write_text("plugged.py,,\nbroken.py,,\n")
    (info / "entry_points.txt").write_text(
        "\n".join(
            f"[rcig.{group}]\nshort-{group} = plugged:{name}\nbad-{group} = broken:it\nvgg11 = broken:it"
            for group, name in names.items()
        )
    )
    for file in ("plugged.py", "broken.py"):
        shutil.move(tmp_path / file, tmp_path / "site" / file)
    monkeypatch.syspath_prepend(tmp_path / "site")


def network(name, classes=10, shape=(8, 8, 1), **options):
    return build_network(name, image_shape=shape, classes=classes, **options)


def one_sentence(outcome, *said):
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert len(outcome.err.strip().splitlines()) <= 2
    for words in said:
        assert words in outcome.err


def test_a_module_of_the_current_folder_is_found_without_a_change_of_the_python_path(module, tmp_path):
    module("package/part", "class Holder:\n    value = 7")
    assert load("method", "package.part:Holder.value") == 7
    assert sys.path[0] == str(tmp_path)
    assert set(provenance("package.part:Holder")) == {"module_sha256"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent:it", "there is no module absent. It must be installed, or be in the current folder"),
        ("present.part:it", r"there is no module present.part"),
        ("needy:it", r"needy:it can't be imported: ModuleNotFoundError: No module named 'absent_library'"),
        ("raising:it", r"raising:it can't be imported: ValueError: 1 is not 2. --debug shows where"),
        ("present:perceptrn", "the module present has no perceptrn. Did you mean perceptron"),
        ("present", "There is no architecture 'present'; your own is named MODULE:NAME"),
    ],
)
def test_what_cannot_be_imported(module, name, message):
    module("present", "perceptron = 1")
    module("needy", "import absent_library")
    module("raising", "raise ValueError('1 is not 2.\\nmore')")
    with pytest.raises(ConfigError, match=message):
        load("architecture", name)


def test_a_flax_module_or_an_object_like_it_is_a_network(module):
    module("nets", NETWORKS)
    images, key = jnp.ones((4, 8, 8, 1)), jax.random.key(0)
    for name in ("nets:Perceptron", "nets:Linear"):
        own = network(name)
        parameters = own.init(key)
        logits, statistics = own.train(parameters, own.first_statistics(), images)
        assert (logits.shape, statistics) == ((4, 10), {})
        assert (logits == own.apply(parameters, images)[0]).all()
    narrow = network("nets:Perceptron", width=3).init(key)
    assert (64, 3) in [leaf.shape for leaf in jax.tree.leaves(narrow)]


def test_batch_norm_of_a_module_is_updated_in_training_and_used_in_tests(module):
    module("nets", NETWORKS)
    own = network("nets:Normed")
    images = jax.random.normal(jax.random.key(1), (50, 8, 8, 1)) + 3
    parameters, before = own.init(jax.random.key(0)), own.first_statistics()
    logits, after = own.train(parameters, before, images)
    mean = after["batch_stats"]["BatchNorm_0"]["mean"]
    assert np.allclose(mean, 0.01 * images.reshape(50, -1).mean(0), atol=1e-5)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    tested = own.with_statistics(before).apply(parameters, images)[0]
    assert not np.allclose(tested, logits)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "number",
            {},
            "nets:number is 3: expected a function, or a class of Flax modules, that is called with",
        ),
        ("untold", {}, r"nets:untold\(classes=10\) fails: .* unexpected keyword argument 'classes'"),
        ("five", {"width": 4}, "nets:five.* fails: .* unexpected keyword argument 'width'"),
        ("Perceptron", {"channels": "equal"}, "The channels of nets:Perceptron can't be chosen"),
        ("failing", {}, r"nets:failing\(classes=10\) fails: RuntimeError: no memory left. --debug"),
        ("text", {}, r"nets:text returned 'a network': expected a flax.linen.Module, or another object with"),
        ("five", {}, r"logits, floating point \(2, 10\) for 2 images and 10 classes, not float32 \(2, 5\)"),
        ("Pair", {}, r"must return logits, .* not tuple"),
        ("Dropped", {}, "The model of nets:Dropped fails for images .*Dropout can't be used"),
    ],
)
def test_what_is_not_a_network_is_refused_before_training(module, name, options, message):
    module("nets", NETWORKS)
    with pytest.raises(ConfigError, match=message):
        network(f"nets:{name}", **options)


def test_an_operation_keeps_shape_and_type_and_is_applied_to_each_image(module):
    module("mine", AUGMENTATIONS)
    check_operations(["flip", "mine:double"], (8, 8, 3))
    images = jnp.ones((5, 4, 4, 1))
    assert (augment_by(jax.random.key(0), images, ["mine:double"]) == 2).all()
    for name, message in {
        "shrink": r"must return an image like its own, float32 \(8, 8, 3\), not float32 \(7, 8, 3\)",
        "failing": r"mine:failing fails .* ValueError: no such axis. It is called as mine:failing\(key",
        "number": r"mine:number is 3: expected a function \(key, image\) -> image",
    }.items():
        with pytest.raises(ConfigError, match=message):
            check_operations([f"mine:{name}"], (8, 8, 3))


def test_an_evaluation_may_augment_by_chosen_operations(module):
    module("mine", AUGMENTATIONS)
    config = resolve("digits", (8, 8, 1), 10, {"ipc": 1})
    assert "augment_with" not in evaluation_protocol(config, 10).to_json()
    protocol = evaluation_protocol(config, 10, augment_with="mine:double", arch="nets:any")
    assert (protocol.augment, protocol.operations) == (True, ("mine:double",))
    assert (protocol.norm, protocol.width, protocol.channels) == (None, None, "doubling")
    assert [*protocol.extensions] == ["nets:any", "mine:double"]
    assert (schedule_of(protocol).augmented(jax.random.key(0), jnp.ones((2, 4, 4, 1))) == 2).all()
    with pytest.raises(ConfigError, match=r"augment_with must be a list of .*did you mean rotate"):
        evaluation_protocol(config, 10, augment_with="rotated")
    with pytest.raises(ConfigError, match="augment_with contradicts --no-augment"):
        evaluation_protocol(config, 10, augment_with="crop", augment=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("make", "mine:make is <function make.*: expected a rcig_cli.distillation.methods.Method"),
        ("WRONG_SETTINGS", "The settings of mine:WRONG_SETTINGS are .*with @record above it"),
        ("NOTHING", "mine:NOTHING must have either make or pick"),
        ("COUNTING", "mine:COUNTING has a metric with the name step"),
    ],
)
def test_what_is_not_a_method_is_refused(module, name, message):
    module("mine", METHODS)
    with pytest.raises(ConfigError, match=message):
        methods.find_method(f"mine:{name}")


def test_a_method_of_ones_own_has_its_settings_and_is_known_by_its_reference(module):
    module("mine", METHODS)
    flags = {"ipc": 1, "algorithm": "mine:OWN", "sharpness": 3.0, "steps": 5}
    config = resolve("digits", (8, 8, 1), 10, flags)
    assert (config.method.sharpness, config.algorithm_record.name) == (3.0, "mine:OWN")
    assert config.extensions.keys() == {"mine:OWN"}
    with pytest.raises(ConfigError, match="sharpness must be a number above 0"):
        resolve("digits", (8, 8, 1), 10, {**flags, "sharpness": -1.0})
    with pytest.raises(ConfigError, match="no setting 'sharpnes'; did you mean sharpness"):
        resolve("digits", (8, 8, 1), 10, {"ipc": 1, "algorithm": "mine:OWN", "sharpnes": 3.0})
    with pytest.raises(ConfigError, match="make of mine:OWN returned 'a step': expected a Step"):
        config.algorithm_record.make(None, config.method)
    swept = {"ipc": 1, "sweep": {"algorithm": ["rcig", "mine:OWN"], "steps": [5]}, "sharpness": 3.0}
    assert [each.get("sharpness") for each in make_plan(swept).combinations()] == [None, 3.0]


def test_settings_with_names_that_mean_something_else_are_refused(module):
    module("mine", METHODS)
    with pytest.raises(ConfigError, match=r"mine:TAKEN has settings with names .*\(width, factor\): rename"):
        resolve("digits", (8, 8, 1), 10, {"ipc": 1, "algorithm": "mine:TAKEN"})


def test_defaults_that_a_method_of_ones_own_declares_come_before_the_preset_of_the_data_set(module):
    module("mine", METHODS)
    flags = {"ipc": 1, "algorithm": "mine:DECLARING", "schedule": "constant"}
    config = resolve("digits", (8, 8, 1), 10, flags)
    usual = resolve("digits", (8, 8, 1), 10, {"ipc": 1})
    assert usual.method.image_lr != 0.05
    assert usual.method.average_decay != 0
    assert not usual.method.flip
    method = config.method
    assert (method.flip, method.image_lr, method.average_decay) == (True, 0.05, 0.0)
    assert (method.final_rate, method.models) == (0.3, 1)
    assert (config.steps, config.width, config.batch) == (usual.steps, usual.width, usual.batch)
    assert resolve("digits", (8, 8, 1), 10, {**flags, "image_lr": 0.7}).method.image_lr == 0.7
    by_images = resolve("digits", (8, 8, 1), 10, {"ipc": 2, "algorithm": "mine:BY_IMAGES"})
    assert by_images.method.image_lr == 0.2
    # What a method doesn't declare itself is still the preset's.
    inherited = resolve("digits", (8, 8, 1), 10, {"ipc": 1, "algorithm": "mine:OWN"})
    assert inherited.method.image_lr == usual.method.image_lr


def test_a_setting_that_an_evaluation_has_too_is_the_methods_in_continual_learning(module):
    module("mine", METHODS)
    given = {"algorithm": "mine:WITH_LR", "lr": 0.7, "evaluate_lr": 0.1, "networks": 2}
    check(settings_of_continual("mine:WITH_LR"), given)
    of_method, of_evaluation = split_settings(given)
    assert of_method == {"algorithm": "mine:WITH_LR", "lr": 0.7}
    assert of_evaluation == {"lr": 0.1, "networks": 2}
    assert split_settings({"lr": 0.1})[1] == {"lr": 0.1}


def test_a_method_that_was_defined_again_is_the_new_one(module):
    module("mine", METHODS)
    first = methods.find_method("mine:OWN")
    assert methods.find_method("mine:OWN") is first
    mine = sys.modules["mine"]
    mine.OWN = mine.of(title="another")
    again = methods.find_method("mine:OWN")
    assert (again.title, methods.known_method("mine:OWN")) == ("another", again)


def test_batch_norm_is_for_methods_that_say_so(module):
    module("mine", METHODS)
    flags = {"ipc": 1, "norm": "batch"}
    with pytest.raises(ConfigError, match="mine:OWN can't distil with batch norm"):
        resolve("digits", (8, 8, 1), 10, {**flags, "algorithm": "mine:OWN"})
    for name in ("rcig", "herding"):
        assert resolve("digits", (8, 8, 1), 10, {**flags, "algorithm": name}).norm == "batch"


def test_a_run_of_a_method_that_has_other_settings_now_is_read_and_not_continued(module):
    module("mine", METHODS)
    flags = {"ipc": 1, "algorithm": "mine:OWN", "sharpness": 3.0, "own_lr": 0.1, "steps": 5}
    stored = {**resolve("digits", (8, 8, 1), 10, flags).to_json(), "norm": "batch"}
    mine = sys.modules["mine"]
    mine.OWN = mine.of(settings=mine.DeclaringMore)
    methods.find_method("mine:OWN")
    read = DistillConfig.from_stored(stored)
    assert (read.is_unread, read.to_json(), read.learning_rates) == (True, stored, {})
    assert read.override({"steps": 7}).steps == 7
    with pytest.raises(ConfigError, match="no setting 'sharpness'"):
        DistillConfig.from_json(stored)


@pytest.fixture
def finished(module, tmp_path):
    """Return a store with a finished run of the user's own method, the run, and its configuration."""
    module("mine", METHODS)
    config = resolve("digits", (8, 8, 1), 10, {"ipc": 1, "algorithm": "mine:OWN", "steps": 5})
    store = open_store(tmp_path / "store", create=True)
    used = {"mine:OWN": {**config.extensions["mine:OWN"], "metrics": []}}
    own = {"config": config.to_json(), "status": "finished", "extensions": used}
    own |= {"versions": versions(), "machine": machine()}
    run, lock = store.create("run", lambda name: _run_manifest(name, **own))
    lock.release()
    return store, run, config


def test_a_finished_run_is_used_again_only_if_its_code_is_the_same(module, finished):
    store, run, config = finished
    digest = run.parents["dataset"]["digest"]
    parents = {"digits": run.parents["dataset"]}
    sweep = SimpleNamespace(kind="sweep", parents=parents, as_parent={"name": "sweep_1", "digest": "b" * 64})

    def used():
        group = RunGroup(store, sweep, ["a"], lambda _: ["a"]).names.get("a")
        return [
            group,
            *(each and each.name for each in (newest_of(store, config, digest), newest_with(store, {}))),
        ]

    assert used() == ["run_1"] * 3
    module("mine", METHODS + "# changed")
    assert used() == [None] * 3
    write_manifest(store.run_path("run_1"), replace(run, status="interrupted", step=3))
    assert used() == [None, "run_1", "run_1"]  # resumed, with a warning
    write_manifest(store.run_path("run_1"), replace(run, parents={**run.parents, "sweep": sweep.as_parent}))
    assert used() == [None] * 3  # nor by the sweep that made it
    module("mine", METHODS)
    assert used() == ["run_1"] * 3


def test_the_checksum_is_that_of_the_code_that_was_imported(module, tmp_path):
    module("mine", METHODS)
    methods.find_method("mine:OWN")
    imported = provenance("mine:OWN")
    (tmp_path / "mine.py").write_text(METHODS + "# edited while it is used")
    assert provenance("mine:OWN") == imported
    importlib.reload(sys.modules["mine"])
    assert has_changed("mine:OWN", imported)
    assert provenance("mine:OWN")["module_sha256"] == sha256((tmp_path / "mine.py").read_bytes()).hexdigest()


def test_a_run_that_failed_before_its_first_step_is_not_preferred_to_a_finished_one(module, finished):
    store, run, config = finished
    digest = run.parents["dataset"]["digest"]
    own = {"config": run.config, "extensions": run.extensions}
    store.create("run", lambda name: _run_manifest(name, status="interrupted", **own))[1].release()
    assert newest_of(store, config, digest).name == "run_1"
    write_manifest(store.run_path("run_1"), replace(run, status="failed"))
    assert newest_of(store, config, digest).name == "run_2"
    module("mine", METHODS + "# mended")
    assert newest_of(store, config, digest) is None


def test_what_a_run_has_by_default_is_known_for_a_method_with_settings_without_default(module, tmp_path):
    module("mine", METHODS)
    prepared = prepare(open_store(tmp_path / "store", create=True), "digits", report=Silent())
    flags = {"ipc": 1, "algorithm": "mine:DECLARING", "schedule": "cosine", "image_lr": 0.5}
    config = resolved(prepared, flags)
    usual = distill._usual(prepared, config)
    assert (usual["schedule"], usual["image_lr"]) == ("cosine", 0.05)


def test_the_module_of_a_run_without_a_name_is_imported_to_see_whether_it_has_changed(finished):
    store, _, _ = finished
    del sys.modules["mine"]
    assert newest_with(store, {"ipc": 1}).name == "run_1"
    del sys.modules["mine"]
    Path("mine.py").unlink()
    assert newest_with(store, {"ipc": 1}) is None


def test_another_version_of_a_module_begins_another_sequence_of_tasks(module, tmp_path, monkeypatch):
    module("mine", METHODS + AUGMENTATIONS)
    store = open_store(tmp_path / "store", create=True)
    prepared = prepare(store, "digits", report=Silent())
    monkeypatch.setattr(continual, "_Sequence", lambda *given: SimpleNamespace(run=lambda: given[1].name))

    def name(**settings):
        given = {"ipc": 1, "algorithm": "random", **settings}
        return continual.continual(store, prepared, given, RunContext(Silent()))

    own = {"distill_augment": "mine:double"}
    assert (name(**own), name(**own), name()) == ("sequence_1", "sequence_1", "sequence_2")
    module("mine", METHODS + AUGMENTATIONS + "# changed")
    assert (name(**own), name()) == ("sequence_3", "sequence_2")


def test_an_accuracy_on_all_real_images_is_kept_only_for_code_with_a_checksum(module, tmp_path, monkeypatch):
    module("nets", NETWORKS)
    load("architecture", "nets:Perceptron")
    monkeypatch.setitem(sys.modules, "notebook", ModuleType("notebook"))
    prepared = prepare(open_store(tmp_path / "store", create=True), "digits", report=Silent())
    config = resolve("digits", (8, 8, 1), 10, {"ipc": 1})
    trained = []
    monkeypatch.setattr(
        full_data, "_trained", lambda _, protocol, *__: trained.append(protocol) or Spread((0.5,))
    )
    for arch, times in (("nets:Perceptron", 1), ("notebook:Perceptron", 3)):
        protocol = evaluation_protocol(config, 10, arch=arch)
        for _ in range(2):
            full_data.full_data_accuracy(prepared, protocol, None, schedule_of(protocol), Silent())
        assert len(trained) == times


def test_a_sweep_over_a_setting_of_ones_own_is_drawn(module, tmp_path):
    module("mine", METHODS)
    outcomes = []
    for rounds in (1, 2):
        flags = {"ipc": 1, "algorithm": "mine:OWN", "rounds": rounds, "steps": 5}
        config = resolve("digits", (8, 8, 1), 10, flags)
        run = _run_manifest(f"run_{rounds}", config=config.to_json(), status="finished")
        size = SetSize.of(config, (8, 8, 1), 10)
        evaluation = Evaluation(run.name, {}, Spread((0.5,)), None, None, size)
        protocol = evaluation_protocol(config, 10)
        outcomes.append(
            Outcome(Cell(None, config.to_json(), config, ()), run, "rcig", protocol, evaluation, None)
        )
    panels = panels_of(tabulate(("rounds",), outcomes), open_store(tmp_path / "a", create=True))
    (panel,) = panels["accuracy"]
    assert panel.x_label == "rounds of sharpening, rounds"


def test_a_stored_configuration_is_read_without_importing_its_method(module, monkeypatch):
    module("mine", METHODS)
    flags = {"ipc": 1, "algorithm": "mine:OWN", "sharpness": 3.0, "flip": True}
    stored = resolve("digits", (8, 8, 1), 10, flags).to_json()
    monkeypatch.setattr(methods, "_imported", {})
    Path("mine.py").unlink()
    read = DistillConfig.from_json(stored)
    assert (read.to_json(), read.method.flip, read.decoded_per_class(10)) == (stored, True, (1,) * 10)
    assert difference(read.override({"steps": 7}), read) == [f"steps: 7, not {read.steps}"]
    assert read.declared["sharpness"].help == "A setting of mine:OWN."
    del sys.modules["mine"]
    with pytest.raises(ConfigError, match="there is no module mine"):
        resolve("digits", (8, 8, 1), 10, flags)


@pytest.mark.parametrize("imported", [True, False])
def test_a_report_names_the_rates_of_a_method_of_ones_own(module, monkeypatch, digits_run, imported):
    module("mine", METHODS)
    prepared = open_prepared(open_store(digits_run, create=False), "digits")
    flags = {"ipc": 1, "algorithm": "mine:OWN", "steps": 5}
    before, between, after = ({"image_lr": 0.1, "own_lr": rate} for rate in (0.9, 0.05, 0.01))
    stored = resolved(prepared, {**flags, **after}).to_json()
    if not imported:
        monkeypatch.setattr(methods, "_imported", {})
    diverged = tuple({"step": 3, "rates": rates} for rates in (before, between))
    run = _run_manifest("run_1", config=stored, divergences=diverged)
    first, *others = distill_commands(prepared, run, DistillConfig.from_json(stored))
    assert "--set own_lr=0.9" in first
    resume = "rcig distill --resume run_1 --algorithm mine:OWN"
    assert others == [f"{resume} --set own_lr=0.05", f"{resume} --set own_lr=0.01"]


def test_arrays_that_a_function_returns_are_a_data_set(module):
    module("mine", DATA)
    source = open_source("halves", "mine:halves")
    assert (source.shape, source.sizes) == ((8, 8, 1), {"train": 6, "test": 2})
    assert source.origin["extensions"].keys() == {"mine:halves"}
    assert source.origin["arrays"].keys() == {"x_train", "y_train", "x_test", "y_test"}
    assert open_source("named", "mine:named").class_names == ("cat", "dog")
    assert open_source("unnamed", "mine:unnamed").class_names == ("0", "1")
    for name, message in {
        "three": "mine:three returned a tuple of 3: expected the arrays x_train, y_train, x_test, y_test",
        "failing": r"mine:failing\(\) fails: OSError: the archive is missing",
        "ragged": r"mine:ragged returned values that can't be turned into NumPy arrays: ValueError: .*\.$",
        "number": "mine:number is 3: expected a function that returns arrays",
    }.items():
        with pytest.raises(ConfigError, match=message):
            open_source("mine", f"mine:{name}")
    with pytest.raises(ConfigError, match="--labels can't be used with the function mine:halves"):
        open_source("mine", "mine:halves", ReadOptions(labels="labels.csv"))
    Path("mine:halves").mkdir()  # a path of this name comes first
    with pytest.raises(ConfigError, match="mine:halves"):
        open_source("halves", "mine:halves")


def test_names_of_installed_extensions_are_choices_and_are_not_imported(plugins, rcig, tmp_path):
    path = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for command, group in (("distill", "methods"), ("evaluate", "architectures")):
        out, err = start_rcig(command, "--help", env=path).communicate()
        choices = "".join(out.split()).replace("|", ",")
        assert f",bad-{group},short-{group}," in choices, err
    assert rcig("list", "--store", tmp_path / "store").code == 3
    assert "short-datasets" in rcig("prepare", "short-dataset").err
    assert not {"plugged", "broken"} & set(sys.modules)
    assert installed("method") == {
        "bad-methods": "broken:it",
        "short-methods": "plugged:OWN",
        "vgg11": "broken:it",
    }
    assert network("vgg11").body.layers  # what is built in comes first


def test_an_installed_extension_is_recorded_by_its_reference_and_version(plugins):
    flags = {"ipc": 1, "algorithm": "short-methods", "distill_augment": "crop,short-augmentations"}
    config = resolve("digits", (8, 8, 1), 10, flags)
    assert (config.algorithm, config.augmentations) == ("plugged:OWN", ("crop", "plugged:double"))
    protocol = evaluation_protocol(config, 10, arch="short-architectures")
    found = protocol.extensions["plugged:Perceptron"]
    assert (found["distribution"], found["version"], len(found["module_sha256"])) == ("plugged", "2.5", 64)


def test_a_broken_extension_is_an_error_where_it_is_used(plugins, rcig, tmp_path, digits_run):
    why = "(broken:it) can't be imported: RuntimeError: a library is too old"
    store = ("--store", digits_run)
    one_sentence(rcig("evaluate", "run_1", "--arch", "bad-architectures", *store), "broken:it", "too old")
    one_sentence(rcig("distill", "digits", "--ipc", 1, "--algorithm", "bad-methods", *store), why)
    one_sentence(rcig("prepare", "bad-datasets", "--store", tmp_path / "store"), "broken:it", "too old")
    one_sentence(
        rcig("evaluate", "run_1", "--arch", "resnet", *store), "or your own as MODULE:NAME", "resnet18"
    )
    assert rcig("list", *store).code == 0


def test_a_prepared_set_records_the_function_that_it_is_from(plugins, rcig, tmp_path):
    store = ("--store", tmp_path / "store")
    done = rcig("prepare", "short-datasets", *store, "--json")
    assert (done.code, done.json["class_names"]) == (0, ["cat", "dog"]), done.err
    source = rcig("show", "short-datasets", *store, "--json").json["source"]
    assert (source["from"], source["extensions"]["plugged:named"]["version"]) == ("plugged:named", "2.5")
    assert "already prepared" in rcig("prepare", "short-datasets", *store).err


def test_a_data_set_is_not_taken_as_prepared_if_its_function_may_have_changed(module, tmp_path):
    module("mine", DATA)
    store = open_store(tmp_path / "store", create=True)

    def prepared():
        return prepare(store, "halves", origin="mine:halves", report=Silent())

    digest = prepared().manifest.digest
    assert prepared().manifest.digest == digest
    module("mine", DATA + "# changed")
    with pytest.raises(ConfigError, match="The module of mine:halves has changed since halves was prepared"):
        prepared()
    del sys.modules["mine"]
    Path("mine.py").unlink()
    assert prepared().manifest.digest == digest


@pytest.fixture
def store_of(digits_run, tmp_path):
    """Copy the store of a finished run."""
    return Path(shutil.copytree(digits_run, tmp_path / "artifacts"))


def test_a_network_of_ones_own_is_trained_and_recorded(module, rcig, store_of):
    module("nets", NETWORKS)
    given = ("--arch", "nets:Normed", "--networks", 1, "--steps", 3, "--baseline", "none")
    done = rcig("evaluate", "run_1", *given, "--store", store_of, "--json")
    assert done.code == 0, done.err
    (found,) = done.json["evaluations"]
    assert (found["architecture"], found["normalization"]) == ("nets:Normed", None)
    assert set(found["extensions"]["nets:Normed"]) == {"module_sha256"}
    newest = max((store_of / "runs" / "run_1" / "evaluations").iterdir())
    assert newest.name.endswith("-nets-Normed.json")


def test_commands_that_read_a_run_need_no_method_and_resuming_it_does(module, rcig, store_of):
    run = open_store(store_of, create=False).run("run_1")
    config = {**run.config, "algorithm": "gone:METHOD"}
    write_manifest(store_of / "runs" / "run_1", replace(run, config=config, status="interrupted", files={}))
    store = ("--store", store_of)
    for command in (("list",), ("show", "run_1"), ("show", "run_1", "--toml")):
        assert rcig(*command, *store).code == 0
    one_sentence(rcig("distill", "--resume", "run_1", *store), "gone:METHOD can't be imported: there is no")


def test_settings_are_set_by_name(rcig, tmp_path):
    one_sentence(rcig("distill", "digits", "--ipc", 1, "--set", "power", "--store", tmp_path), "NAME=VALUE")
    wrong = rcig("distill", "digits", "--ipc", 1, "--set", "image_lr=-1", "--store", tmp_path)
    one_sentence(wrong, "image_lr must be a number above 0, not -1")
