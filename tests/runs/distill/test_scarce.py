"""Classes of very unequal size: more distilled images than real ones, and other numbers for some classes."""

import numpy as np
import pytest

from rcig_cli import distill, prepare
from rcig_cli.settings import read_toml

SIZES = {"cat": 1, "dog": 3, "Pepper, bell": 40}
SETTINGS = {
    **{"width": 4, "depth": 1, "batch": 16, "pool_size": 3, "pool_steps": 3, "inner_steps": 2},
    **{"hessian_steps": 2, "steps": 6},
}
IPC = {"dog": 2, "default": 4}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a data set whose classes have the sizes SIZES; class "dog" is missing in its test split."""
    folder, random = tmp_path_factory.mktemp("unequal"), np.random.default_rng(0)
    labels = np.repeat(np.arange(3), list(SIZES.values()))
    images = random.integers(0, 256, (len(labels), 8, 8), np.uint8)
    arrays = {"x_test": images[-8:], "y_test": np.array([0, 2] * 4), "class_names": np.array(list(SIZES))}
    np.savez(folder / "unequal.npz", x_train=images, y_train=labels, **arrays)
    prepare("unequal", folder / "unequal.npz", store=folder / "store")
    return distill("unequal", ipc=IPC, store=folder / "store", **SETTINGS)


def test_the_set_has_the_images_of_each_class_that_were_asked_for(run):
    assert run.classes.tolist() == [0] * 4 + [1] * 2 + [2] * 4
    assert run.labels.argmax(axis=1).tolist() == run.classes.tolist()
    assert len(np.unique(run.images.reshape(10, -1), axis=0)) == 10
    assert repr(run) == "Run run_1: 2–4 images per class of unequal, 6 steps, finished"
    assert run.grid().size[0] > 0


def test_a_stopped_run_is_resumed_to_the_same_bytes(run):
    def stop(step, _):
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill("unequal", ipc=IPC, store=run.store.root, **SETTINGS, checkpoint_every=2, on_step=stop)
    resumed = distill("unequal", ipc=[4, 2, 4], resume=True, store=run.store.root, **SETTINGS)
    assert resumed.name == "run_2"
    for name in ("images", "labels", "classes"):
        assert getattr(resumed, name).tobytes() == getattr(run, name).tobytes()


def test_distill_and_evaluate_say_which_classes_have_too_few_images(run, rcig):
    store = ("--store", run.store.root)
    tiny = [f"--{name.replace('_', '-')}={value}" for name, value in (SETTINGS | {"steps": 1}).items()]
    done = rcig("distill", "unequal", "--ipc", "2", "--ipc", "dog=4", *tiny, *store)
    assert "to 2–4 images per class" in done.err
    assert "('cat' has 1 of 2, 'dog' has 3 of 4) start from these images repeated" in done.err
    evaluated = rcig("evaluate", "run_1", "--networks", "1", "--steps", "2", *store)
    assert "random subsets repeat images of classes that have fewer" in evaluated.err
    assert "('cat' has 1 of 4)" in evaluated.err
    assert evaluated.code == 0


def test_commands_show_the_numbers_of_the_classes(run, rcig, tmp_path):
    store = ("--store", run.store.root)
    listed = rcig("list", *store)
    assert "2–4" in listed.out
    assert rcig("list", "--json", *store).json["runs"][0]["ipc"] == [4, 2, 4]
    (tmp_path / "settings.toml").write_text(rcig("show", "run_1", "--toml", *store).out)
    assert read_toml(tmp_path / "settings.toml")["ipc"] == [4, 2, 4]
    assert rcig("report", "run_1", *store, "--out", tmp_path / "a.html").code == 0
    page = (tmp_path / "a.html").read_text()
    assert "rcig distill unequal --ipc 4 --ipc dog=2" in page
    assert "(&#39;cat&#39; has 1 of 4).\nThe distillation started from these images repeated" in page
    rcig("export", "run_1", "--format", "parquet", "--out", tmp_path / "set", *store)
    imported = rcig("import", tmp_path / "set", "--dataset", "unequal", "--name", "again", *store)
    assert imported.code == 0, imported.err
    runs = {each["run"]: each["ipc"] for each in rcig("list", "--json", *store).json["runs"]}
    assert runs["again"] == runs["run_1"]
