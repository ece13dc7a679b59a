"""The Python API: what it returns, what it leaves behind, and what it imports."""

import importlib.util
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

import rcig_cli as rcig
from rcig_cli.api.functions import _plain, _without_objects
from rcig_cli.runs.distill.snapshots import read_course
from tests.parametrized import BASIS, write_encoded


@pytest.fixture(scope="module")
def run(digits_run):
    """The finished run of ``digits_run``."""
    return rcig.load("run_1", store=digits_run)


def settings_of(run):
    return {name: value for name, value in run.config.items() if name != "dataset"}


def test_importing_takes_less_than_300_ms_and_imports_neither_jax_nor_numpy():
    code = """
import sys, time
start = time.perf_counter()
import rcig_cli
seconds = time.perf_counter() - start
assert not {"jax", "numpy", "pydantic", "typer", "rich"} & set(sys.modules)
for name in rcig_cli.__all__:
    getattr(rcig_cli, name)
assert not {"jax", "tensorflow", "sklearn"} & set(sys.modules)
print(seconds)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.3


def test_distill_gives_the_bytes_that_the_command_gives(run, tmp_path):
    rcig.prepare("digits", store=tmp_path)
    steps, trackers = [], ["tensorboard"] if importlib.util.find_spec("tensorboardX") else []
    again = rcig.distill(
        "digits",
        **settings_of(run),
        store=tmp_path,
        on_step=lambda step, values: steps.append((step, values)),
        log_to=trackers,
    )
    for name in ("images", "labels", "classes"):
        assert getattr(again, name).tobytes() == getattr(run, name).tobytes()
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5, 6]
    assert [values["loss"] for _, values in steps] == again.metrics()["loss"].tolist()
    assert again.status == "finished"
    assert again.config == run.config
    logged = b"".join(path.read_bytes() for path in again.path.glob("tensorboard/events.*"))
    assert logged.count(b"distilled_images") >= 2 * len(trackers)  # snapshots and the final set


def test_a_callback_that_returns_false_ends_the_run_as_if_it_had_fewer_steps(run, tmp_path):
    rcig.prepare("digits", store=tmp_path)
    long = {**settings_of(run), "steps": 10**6}
    stopped = rcig.distill("digits", **long, store=tmp_path, on_step=lambda step, _: np.bool_(step < 4))
    assert stopped.status == "finished"
    assert 4 <= stopped.step == stopped.config["steps"] < 10**6
    course = read_course(stopped.distilled.path)
    assert course.steps.tolist() == [0, 1, 2, 3, 4, stopped.step]
    np.testing.assert_allclose(course.images[-1], stopped.images, atol=2e-2)
    whole = rcig.distill("digits", **{**long, "steps": stopped.step}, store=tmp_path)
    assert stopped.images.tobytes() == whole.images.tobytes()
    assert [stopped.manifest.replanned, whole.manifest.replanned] == [True, False]


def test_a_run_whose_callback_raised_is_resumed(run, tmp_path):
    def fail(step, values):
        raise KeyError("mine")

    dataset = rcig.prepare("digits", store=tmp_path)
    settings = settings_of(run)
    with pytest.raises(KeyError, match="mine"):
        rcig.distill(dataset, **settings, on_step=fail)
    resumed = rcig.distill(dataset, **settings, resume=True)
    assert resumed.name == "run_1"
    assert resumed.images.tobytes() == run.images.tobytes()
    assert rcig.distill(dataset, resume="run_1").status == "finished"


def test_it_works_outside_of_the_main_thread(run, tmp_path):
    made = []
    rcig.prepare("digits", store=tmp_path)
    settings = settings_of(run)
    thread = threading.Thread(target=lambda: made.append(rcig.distill("digits", **settings, store=tmp_path)))
    thread.start()
    thread.join()
    assert made[0].images.tobytes() == run.images.tobytes()


def test_distilling_arrays_is_distilling_a_prepared_set_and_leaves_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    images, classes = rcig.list_datasets(store=run.store.root)[0].split("train")
    x = run.distilled.prepared.whitening().pixels(images)
    small = rcig.distill_arrays(x, classes, **settings_of(run), class_names=[f"digit {i}" for i in range(10)])
    assert small.images.tobytes() == run.images.tobytes()
    assert np.allclose(small.inputs(x[:5]), images[:5], atol=1e-6)
    assert (small.pixels() == run.pixels()).all()
    assert len(small.metrics["loss"]) == 6
    assert small.class_names[3] == "digit 3"
    assert list(tmp_path.iterdir()) == []
    assert "<img" in small._repr_html_()
    assert repr(small).endswith("10 classes, 8x8x1, 2.6 kB stored and 400 bytes of labels")
    floats = x.reshape(-1, 1, 8, 8).astype(np.float32) / 255
    again = rcig.distill_arrays(floats, np.eye(10)[classes], **settings_of(run))
    assert again.images.tobytes() == run.images.tobytes()
    with pytest.raises(rcig.ConfigError, match=r"pass uint8 from 0 to 255, \[n, 8, 8, 1\]"):
        again.inputs(floats)


def test_distilling_arrays_refuses_what_is_not_clear():
    x, y = np.random.default_rng(0).normal(size=(20, 8, 8)), np.arange(20) % 2
    with pytest.raises(rcig.ConfigError, match=r"^x has pixels .* with pixel_range, such as"):
        rcig.distill_arrays(x, y)
    with pytest.raises(rcig.ConfigError, match="a label for each image"):
        rcig.distill_arrays(x, y[:-1])
    with pytest.raises(rcig.ConfigError, match="all images need the same shape, and"):
        rcig.distill_arrays([np.zeros((8, 8)), np.zeros((8, 9))], [0, 1])


def test_arrays_of_objects_are_taken_as_what_they_hold():
    texts, numbers = (np.array(each, object) for each in (["5", "0", "5"], [3, 1, 3]))
    assert _without_objects("y", texts).tolist() == ["5", "0", "5"]
    assert _without_objects("y", texts).dtype.kind == "U"
    assert _without_objects("y", numbers).dtype == np.int64
    for values in (["5", 0, "5"], [3, None, 3], ["5", float("nan"), "5"]):
        with pytest.raises(rcig.ConfigError, match=r"y has values of the types .*, .*: expected all num"):
            rcig.distill_arrays(np.zeros((3, 8, 8)), np.array(values, object))


def test_a_tensor_on_a_gpu_is_to_be_moved():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    with pytest.raises(rcig.ConfigError, match=r"cuda:0 .*Move tensors to the CPU first, in PyTorch with"):
        rcig.distill_arrays(Tensor(), [0, 1])


def test_distilling_arrays_checks_settings_first():
    with pytest.raises(rcig.ConfigError, match="did you mean width"):
        rcig.distill_arrays(None, None, widht=16)
    for name in ("store", "dataset"):
        with pytest.raises(rcig.ConfigError, match=f"keeps nothing in a store: leave out {name}"):
            rcig.distill_arrays(None, None, **{name: "mine"})


def test_numbers_may_be_those_of_numpy(run):
    plain = _plain({"seed": np.int64(3), "ipc": np.array([1, 2]), "classes": (np.bool_(True), [np.int32(4)])})
    assert plain == {"seed": 3, "ipc": [1, 2], "classes": (True, [4])}
    assert [type(each) for each in (plain["seed"], plain["classes"][0])] == [int, bool]
    own = {
        **settings_of(run),
        "seed": np.int64(0),
        "steps": np.int32(6),
        "flip": np.bool_(run.config["flip"]),
    }
    assert rcig.distill("digits", **own, resume=True, store=run.store.root).name == "run_1"


def test_a_run_may_be_given_to_resume_it(run):
    assert rcig.distill("digits", resume=run).name == "run_1"  # in its own store


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    rcig.prepare("digits", store="~/sets")
    assert (tmp_path / "sets" / "store.json").exists()


def test_a_range_may_be_a_pair_of_numbers(tmp_path):
    x, y = np.linspace(-2, 2, 20 * 64).reshape(20, 8, 8), np.arange(20) % 2
    np.savez(tmp_path / "own.npz", images=x, labels=y)
    prepared = rcig.prepare("own", tmp_path / "own.npz", range=(-4, 4), store=tmp_path / "store")
    pixels = prepared.pixels(prepared.split("train")[0])
    assert (pixels.min(), pixels.max()) == (64, 191)
    with pytest.raises(rcig.ConfigError, match="LOW,HIGH"):
        rcig.prepare("other", tmp_path / "own.npz", range=[4, -4], store=tmp_path / "store")


def test_a_run_has_its_arrays_settings_and_metrics(run):
    assert run.images.shape == (10, 8, 8, 1)
    assert run.images.dtype == np.float32
    assert run.labels.shape == (10, 10)
    assert run.classes.tolist() == list(range(10))
    assert run.class_names[0] == "0"
    assert run.pixels().dtype == np.uint8
    assert run.stored.keys() == {"images"}
    assert (run.size.images, vars(run.size.stored_bytes)) == (10, {"images": 2560, "labels": 400})
    assert run.config["ipc"] == 1
    assert run.metrics()["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert run.grid().width > 400
    assert repr(run) == "Run run_1: 1 image per class of digits, 6 steps, finished"
    assert "data:image/png;base64," in run._repr_html_()


def test_a_store_lists_its_data_sets_and_runs(digits_run, monkeypatch):
    monkeypatch.setenv("RCIG_STORE", str(digits_run))
    assert [each.name for each in rcig.list_runs()] == ["run_1"]
    (dataset,) = rcig.list_datasets()
    assert repr(dataset) == "Dataset digits: 1437 training and 360 test images, 10 classes, 8x8 grey"
    images, labels = dataset.split("test")
    assert images.shape == (360, 8, 8, 1)
    assert dataset.pixels(images).max() == 255
    assert len(labels) == 360


def test_an_evaluation_prints_its_accuracies(run):
    found = rcig.evaluate(run, networks=2, steps=20)
    assert len(found.accuracy.values) == 2
    assert found.protocol["steps"] == 20
    assert re.match(r"Test accuracy: run_1 \d+\.\d ± \d\.\d %, random subset ", repr(found))
    assert repr(found).endswith("\n2.6 kB stored and 400 bytes of labels")
    assert rcig.load(run).evaluations()[-1] == found


def test_a_parametrized_set_has_its_stored_arrays_and_its_size(run, tmp_path):
    write_encoded(tmp_path / "basis.npz", run.store.root, "digits", BASIS)
    dataset = rcig.prepare("digits", store=tmp_path / "store")
    basis = rcig.import_set(tmp_path / "basis.npz", dataset)
    assert {name: array.shape for name, array in basis.stored.items()} == {
        "bases": (4, 4, 4, 1), "mixing": (30, 4)
    }  # fmt: skip
    assert basis.images.shape == (30, 8, 8, 1)
    assert vars(basis.size.stored_bytes) == {"images": 736, "labels": 1200}
    assert repr(basis) == "Run basis: 3 images per class of digits in the bytes of 1 (basis), imported"


def test_an_attack_prints_every_auc(run):
    found = rcig.attack(run, networks=1, steps=[10])
    assert set(found.auc) == {"real", "random_subset", "distilled"}
    assert 0 <= found.auc["distilled"]["mlp"].mean <= 1
    assert "0.5 is chance" in repr(found)
    assert "random subset: threshold 0." in repr(found)


def test_an_exported_set_is_imported_again(run, tmp_path):
    dataset = rcig.prepare("digits", store=tmp_path / "store")
    path = rcig.export(run, out=tmp_path / "set.npz")
    again = rcig.import_set(path, dataset, name="again")
    assert np.allclose(again.images, run.images, atol=1e-5)
    assert repr(again) == "Run again: 1 image per class of digits, imported"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda store: rcig.load("run_9", store=store), rcig.NotFound, "run_9"),
        (lambda store: rcig.distill("digits", store=store), rcig.ConfigError, "ipc=1"),
        (lambda store: rcig.distill("digits", ipc=1, widht=3, store=store), rcig.ConfigError, "width"),
        (lambda store: rcig.distill("cifar10", ipc=1, store=store), rcig.NotFound, "cifar10"),
        (
            lambda store: rcig.distill("digits", ipc=1, resume=3, store=store),
            rcig.ConfigError,
            "resume must be True, False, a run or its name, not 3",
        ),
        (lambda store: rcig.list_runs(store=store / "none"), rcig.NotFound, "no store"),
        (lambda store: rcig.export("run_1", "zip", store=store), rcig.ConfigError, "zip"),
        (lambda _: rcig.evaluate(3), rcig.ConfigError, "run must be a Run or its name, not 3"),
        (lambda _: rcig.attack(3), rcig.ConfigError, "run must be a Run or its name, not 3"),
        (lambda _: rcig.attack([]), rcig.ConfigError, "Pass at least one run to attack"),
        (
            lambda store: rcig.attack("run_1", steps=500, store=store),
            rcig.ConfigError,
            r"steps must be whole numbers of 1 or more, such as \[500\], not 500",
        ),
        (lambda _: rcig.distill(3, ipc=1), rcig.ConfigError, "dataset must be a Dataset or its name, not 3"),
        (
            lambda store: rcig.distill(rcig.list_datasets(store=store)[0].of_classes("3,5"), ipc=1),
            rcig.ConfigError,
            "dataset has only the classes 3,5 of digits: give 'digits' instead; .* classes='3,5'",
        ),
        (lambda _: rcig.list_runs(store=3), rcig.ConfigError, "store must be a path, not 3"),
        (lambda _: rcig.prepare("digits", 3), rcig.ConfigError, "source must be a path, not 3"),
        (lambda _: rcig.prepare("mine", ""), rcig.ConfigError, "source is empty"),
    ],
)
def test_errors_say_what_is_wrong(digits_run, call, error, message):
    with pytest.raises(error, match=message):
        call(digits_run)


def test_progress_is_printed_on_request_only(run, capsys):
    rcig.evaluate(run, networks=1, steps=5, baseline=False)
    assert capsys.readouterr().err == ""
    rcig.evaluate(run, networks=1, steps=5, baseline=False, progress=True)
    assert "training networks on run_1 1/1" in capsys.readouterr().err


def test_distil_checks_settings_before_it_looks_for_a_store_and_prepares_digits(tmp_path):
    with pytest.raises(rcig.ConfigError, match="did you mean width"):
        rcig.distill("digits", ipc=1, widht=16, store=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    tiny = {"steps": 2, "width": 4, "batch": 64, "pool_size": 3, "pool_steps": 3}
    tiny |= {"inner_steps": 2, "hessian_steps": 2}
    run = rcig.distill("digits", ipc=1, store=tmp_path / "a", **tiny)
    assert run.images.shape == (10, 8, 8, 1)
