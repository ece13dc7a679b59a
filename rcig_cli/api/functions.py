"""The functions of the Python API.

Each opens the store, calls one function of the package, and wraps the result.  `rcig_cli` describes the
parameters that they have in common.  Errors are subclasses of `RcigError`; warnings are `RcigWarning`.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from rcig_cli.api.results import Attack, Dataset, DistilledArrays, Run, Sweep
from rcig_cli.errors import ConfigError, listed, shorten
from rcig_cli.extensions import describe
from rcig_cli.reporting.formatting import rounded
from rcig_cli.runs.continual.results import Continual
from rcig_cli.runs.evaluate.results import Evaluation

if TYPE_CHECKING:
    from rcig_cli.store.store import Store

StorePath: TypeAlias = str | os.PathLike[str] | None
OnStep: TypeAlias = Callable[[int, Mapping[str, float]], bool | None]
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class RcigWarning(UserWarning):
    """Something that a user of the library should know, such as a damaged checkpoint that was skipped."""


class _Report:
    """Prints progress and messages to stderr if wanted; warnings go through `warnings`."""

    def __init__(self, *, shown: bool) -> None:
        self._shown, self._line = shown, False

    def note(self, sentence: str) -> None:
        if self._shown:
            self._end_line()
            print(sentence, file=sys.stderr)

    def warn(self, sentence: str) -> None:
        self._end_line()
        warnings.warn(sentence, RcigWarning, stacklevel=2)

    def progress(self, label: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        if not self._shown:
            return
        numbers = "".join(f"  {name} {rounded(value)}" for name, value in (values or {}).items())
        print(f"\r{label} {done}/{total}{numbers}\x1b[K", end="", file=sys.stderr, flush=True)
        self._line = True
        if done == total:
            self._end_line()

    def _end_line(self) -> None:
        if self._line:
            print(file=sys.stderr)
            self._line = False


def _uses_jax(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Set JAX up before a function is called, and fix the options that change results while it runs."""

    @wraps(function)
    def call(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        from rcig_cli.runs.engine import environment

        environment.prepare_environment()
        environment.prepare_jax()
        with environment.pinned():
            environment.check_devices()
            return function(*arguments, **keywords)

    return call


def prepare(
    name: str = "digits",
    source: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    store: StorePath = None,
    progress: bool = False,
    **settings: Any,
) -> Dataset:
    """Preprocess images and save them; return the data set at once if it was prepared the same way before.

    Parameters
    ----------
    name
        A known data set such as ``"digits"`` or ``"cifar10"``, or any name for your own images.
    source
        Your own images: a folder or file (``docs/datasets.md`` lists the formats), ``"hf:OWNER/NAME"``,
        ``"tfds:NAME"``, or a function that returns arrays, ``"MODULE:NAME"`` (``docs/extending.md``).
    overwrite
        Whether to replace a data set of this name that was prepared with other settings.
    **settings
        ``resolution``, ``zca``, ``zca_reg``, ``classes``, ``subset``, ``chunk``, ``range``, ``layout``,
        ``labels`` and ``skip_damaged``, the options of ``rcig prepare`` (``docs/commands.md``).  The range
        may also be a pair of numbers, such as ``(0, 4095)``.

    Raises
    ------
    ConfigError
        If the data can't be used, or the name is taken by a data set with other settings.
    NotFound, Corrupt
        If files are missing or damaged.

    Examples
    --------
    >>> rcig.prepare("digits")
    Dataset digits: 1437 training and 360 test images, 10 classes, 8x8 grey
    """
    settings = _plain(settings)
    if isinstance(settings.get("range"), tuple | list):
        settings["range"] = ",".join(map(str, settings["range"]))
    from rcig_cli.runs.prepare.prepare import prepare as prepare_dataset

    opened = _open(store, create=True)
    prepared = prepare_dataset(
        opened,
        name,
        origin=None if source is None else str(_path("source", source)),
        report=_Report(shown=progress),
        overwrite=overwrite,
        **settings,
    )
    return Dataset(prepared.manifest, prepared.path)


@_uses_jax
def distill(
    dataset: str | Dataset,
    *,
    ipc: int | Mapping[str, int] | Sequence[int] | None = None,
    minutes: float | None = None,
    name: str | None = None,
    tags: Sequence[str] = (),
    resume: bool | str | Run = False,
    on_step: OnStep | None = None,
    checkpoint_every: int | None = None,
    devices: int | None = None,
    log_to: Sequence[str] = (),
    store: StorePath = None,
    progress: bool = False,
    **settings: Any,
) -> Run:
    """Distil a prepared data set to a few images per class; return the finished run.

    Parameters
    ----------
    dataset
        A prepared data set, or ``"digits"``, which is prepared if needed.
    ipc
        Distilled images per class: a number; or one for each class; or numbers by class name, such as
        ``{"cat": 5, "default": 10}`` with ``"default"`` for the classes that are not named.  With a
        ``parametrization`` other than ``"raw"`` the set takes the bytes of that many and has more images.
    minutes
        Choose width, batch and steps, as far as they are not given, so that the whole run takes about this
        many minutes on this machine.  They are recorded as the run's settings (``run.config``).  On a CPU, a
        run of the paper's size takes 10 minutes if neither ``minutes`` nor ``steps``, ``width`` or ``batch``
        is given.
    name, tags
        The run's name, by default ``"run_1"`` and so on, and words to find it by.
    resume
        True resumes the newest unfinished run with these settings, or returns a finished one, or starts one
        (without ``ipc``, it must be there).  A run, or its name, resumes that run.  Only a run that is given
        can be extended by more ``steps``: an unfinished one then takes that many, and a finished one is
        continued by a new run.
    on_step
        Called as ``on_step(step, metrics)`` after each outer step, with ``step`` from 1 and the method's
        metrics by name: ``loss``, in many methods ``accuracy`` (not in dm, dc, dsa and mtt), and others.  If
        it returns False, the run ends after a few more steps, which are computed ahead, and is finished as if
        ``steps`` were the step reached (but a schedule of the learning rates stays that of the steps that
        were planned).  If it raises an exception, `distill` ends with it; the run can be resumed from its
        last checkpoint.
    checkpoint_every
        Outer steps between checkpoints; by default one is saved every 10 minutes.
    devices
        Number of devices to use; 1 by default.
    log_to
        Trackers to which metrics and pictures are logged too: ``"tensorboard"``, ``"wandb"``, ``"trackio"``
        (``docs/tracking.md``).  They don't change the result.
    **settings
        ``steps``, ``seed``, ``width``, ``batch``, ``algorithm`` and all other settings of ``rcig distill``
        (``docs/commands.md``), by name.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed.
    NotFound
        If the data set is not prepared.
    NumericsError
        If the run diverged; the last good checkpoint is intact.
    Interrupted
        If Ctrl-C was pressed (in the main thread); a checkpoint was saved.

    Examples
    --------
    >>> rcig.distill("digits", ipc=1, steps=400)
    Run run_1: 1 image per class of digits, 400 steps, finished
    """
    from rcig_cli.presets.config import declared_settings
    from rcig_cli.runs.distill.distill import distill as run_distillation
    from rcig_cli.runs.distill.run_loop import RunContext
    from rcig_cli.settings import check
    from rcig_cli.store.names import NEWEST

    settings, minutes = _plain(settings), _plain(minutes)
    if isinstance(resume, Run):
        store, resume = resume.store.root if store is None else store, resume.name
    if ipc is not None:
        settings["ipc"] = _plain(ipc)
    elif not resume:
        raise ConfigError("ipc is missing: give the number of distilled images per class, such as ipc=1.")
    check(declared_settings(settings.get("algorithm")), settings)
    opened, of = _locate_or_create(dataset, store)
    if isinstance(log_to, str):
        log_to = (log_to,)
    context = RunContext(
        _Report(shown=progress), checkpoint_every, devices, on_step=on_step, log_to=tuple(log_to)
    )
    if not isinstance(resume, bool | str):
        raise ConfigError(f"resume must be True, False, a run or its name, not {shorten(resume)}.")
    which = resume if isinstance(resume, str) else NEWEST if resume else None
    if isinstance(minutes, bool) or not isinstance(minutes, int | float | None):
        raise ConfigError(f"minutes must be a number above 0, not {shorten(minutes)}.")
    manifest = run_distillation(
        opened,
        {"dataset": of, **settings},
        context,
        resume=which,
        minutes=minutes,
        name=name,
        tags=tags,
    )
    return Run(opened, manifest)


def distill_arrays(
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    *,
    ipc: int | Mapping[str, int] | Sequence[int] = 1,
    class_names: Sequence[str] | None = None,
    zca: bool | None = None,
    zca_reg: float = 0.1,
    pixel_range: tuple[float, float] | str | None = None,
    layout: str | None = None,
    on_step: OnStep | None = None,
    progress: bool = False,
    **settings: Any,
) -> DistilledArrays:
    """Distil images that are in memory; nothing is kept on the disk.

    Parameters
    ----------
    x
        Training images: ``[N, H, W, c]`` or ``[N, c, H, W]`` with 1, 3 or 4 channels ``c``, ``[N, H, W]``,
        or rows of the pixels of square images; uint8 from 0 to 255, or any other type and scale that
        ``docs/datasets.md`` lists.  They are rounded to 8 bits.
    y
        Their classes, ``[N]``: numbers, texts or truth values; or rows with a single 1, ``[N, C]``.
    ipc
        Distilled images per class, as for `distill`.
    class_names
        One name for each class, if the labels number the classes from 0 or from 1, or are these names.
    zca, zca_reg
        As for `prepare`.
    pixel_range, layout
        The values of black and white, such as ``(-1, 1)``, and ``"nhwc"`` or ``"nchw"``, where ``x`` doesn't
        make them clear: ``--range`` and ``--layout`` of ``rcig prepare``.
    on_step, progress, **settings
        As for `distill`.

    Raises
    ------
    ConfigError
        If the arrays or a setting can't be used, or the arrays can be understood in several ways.
    NumericsError
        If the run diverged.

    Examples
    --------
    >>> small = rcig.distill_arrays(x_train, y_train, ipc=1, steps=200)
    >>> small.images.shape, small.labels.shape
    ((10, 28, 28, 1), (10, 10))
    """
    from rcig_cli.presets.config import declared_settings
    from rcig_cli.settings import check

    if of_store := [name for name in ("dataset", "store") if name in settings]:
        raise ConfigError(f"distill_arrays keeps nothing in a store: leave out {listed(of_store)}.")
    of_run = signature(distill).parameters
    others = _plain({name: value for name, value in settings.items() if name not in of_run})
    check(declared_settings(settings.get("algorithm")), others)
    try:
        x, y = _without_objects("x", np.asarray(x)), _without_objects("y", np.asarray(y))
    except ValueError as error:
        raise ConfigError(
            f"x and y can't be made arrays ({error}): all images need the same shape, and so do all labels."
        ) from None
    except (TypeError, RuntimeError) as error:  # a tensor of another library that isn't plain numbers
        raise ConfigError(
            f"x and y can't be made NumPy arrays ({describe(error)}). Move tensors to the CPU first, in "
            "PyTorch with .detach().cpu()."
        ) from None
    named = {} if class_names is None else {"class_names": np.array(class_names, dtype=str)}
    if not x.ndim or not y.ndim or len(x) != len(y):
        raise ConfigError(f"x has the shape {x.shape} and y {y.shape}: there must be a label for each image.")
    test = _darkest_and_brightest(x)  # a test split on the same scale
    with tempfile.TemporaryDirectory(prefix="rcig-") as folder:
        path, store = Path(folder) / "arrays.npz", Path(folder) / "store"
        np.savez(path, x_train=x, y_train=y, x_test=x[test], y_test=y[test], **named)  # type: ignore[arg-type]
        options: dict[str, Any] = {"zca": zca, "zca_reg": zca_reg, "range": pixel_range, "layout": layout}
        try:
            prepare("arrays", path, store=store, progress=progress, **options)
        except ConfigError as error:
            message = str(error).replace(str(path), "x").replace("--range", "pixel_range")
            raise ConfigError(message.replace("--layout", "layout")) from None
        path.unlink()
        run = distill("arrays", ipc=ipc, on_step=on_step, store=store, progress=progress, **settings)
        return DistilledArrays(
            images=run.images,
            stored=run.stored,
            size=run.size,
            labels=run.labels,
            classes=run.classes,
            config=run.config,
            metrics=run.metrics(),
            class_names=run.class_names,
            whitening=run.distilled.prepared.whitening(),
        )


def _without_objects(argument: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of Python objects, such as a column of pandas has, as one of numbers or texts.

    Raises
    ------
    ConfigError
        If the objects are something else, or of different kinds.
    """
    if array.dtype.kind != "O":
        return array
    values = array.ravel().tolist()
    typed = np.array(array.tolist())
    are_texts = all(isinstance(each, str) for each in values)
    if typed.dtype.kind not in ("U" if are_texts else "biuf"):
        kinds = ", ".join(sorted({type(each).__name__ for each in values}))
        raise ConfigError(f"{argument} has values of the types {kinds}: expected all numbers or all texts.")
    return typed


def _darkest_and_brightest(x: npt.NDArray[Any]) -> list[int]:
    """Return the numbers of the images with the smallest and the largest pixel."""
    if not x.size or x.dtype.kind not in "biuf":
        return [0][: len(x)]
    rows = x.reshape(len(x), -1)
    return sorted({int(rows.min(axis=1).argmin()), int(rows.max(axis=1).argmax())})


@_uses_jax
def evaluate(
    run: str | Run,
    *,
    baseline: bool = True,
    full_data: bool = False,
    full_epochs: int = 20,
    scores: bool = False,
    store: StorePath = None,
    progress: bool = False,
    **settings: Any,
) -> Evaluation:
    """Train networks on a distilled set from random initializations, and measure their test accuracy.

    The result is saved with the run too.

    Parameters
    ----------
    run
        A finished run.
    baseline
        Whether to train networks on random real images too, ``ipc`` of each class: the same bytes.
    full_data, full_epochs
        Whether to train networks on all real images too, and for how many epochs, but at least ``steps``
        steps; the accuracy is kept with the data set for later evaluations by the same protocol.
    scores
        Whether to compute DD-Ranking's scores too (`rcig_cli.runs.evaluate.scores.Scores`).
    **settings
        ``protocol`` (``"rcig"`` or ``"dc-bench"``), ``networks`` (5), ``arch``, ``norm``, ``width``,
        ``augment``, ``hard_labels``, ``steps``, ``lr``, ``choose_lr`` (such as ``"1e-4,1e-3"``), ``seed`` and
        the other fields of `rcig_cli.runs.evaluate.protocol.EvaluationProtocol`; by default the paper's
        protocol on the run's own network.

    Raises
    ------
    NotFound
        If there is no such run, or it is not finished.
    ConfigError
        If a setting is unknown or has a value that is not allowed.

    Examples
    --------
    >>> rcig.evaluate("run_1", networks=5)
    Test accuracy: run_1 92.1 ± 0.4 %, random subset 68.6 ± 4.2 %
    (convnet, width 128, 1000 steps, 5 networks)
    2.6 kB stored and 400 bytes of labels
    """
    from rcig_cli.runs.evaluate import evaluate as job

    loaded = load(run, store=store)
    return job.evaluate(
        loaded.distilled,
        report=_Report(shown=progress),
        baseline=baseline,
        full_data=full_data,
        full_epochs=_plain(full_epochs),
        scores=scores,
        **_plain(settings),
    )


@_uses_jax
def attack(
    run: str | Run | Sequence[str | Run],
    *,
    steps: Sequence[int] | None = None,
    store: StorePath = None,
    progress: bool = False,
    **settings: Any,
) -> Attack:
    """Run membership inference attacks: infer which images a network was trained on.

    Networks are trained on the real images, on a random subset of them, and on the distilled set.  The result
    is saved with each run too.

    Parameters
    ----------
    run
        A finished run, or several: of disjoint chunks of a data set (see `prepare`), whose results are
        averaged, or by different methods, which are compared.
    steps
        Training steps after which the networks are attacked; by default the paper's, 100 to 16000.
    **settings
        ``networks`` (5), ``shadows`` (an even number from 4 adds LiRA), ``arch``, ``norm``, ``width``,
        ``lr``, ``seed`` and the other fields of `rcig_cli.runs.membership.protocol.AttackProtocol`.

    Raises
    ------
    NotFound
        If there is no such run, or it is not finished.
    ConfigError
        If a setting is unknown or has a value that is not allowed, or the runs can't be attacked together
        because their images, classes, numbers of images per class or networks differ.

    Examples
    --------
    >>> rcig.attack("run_1", networks=2, steps=[500]).auc["distilled"]["mlp"].mean
    0.512
    """
    from rcig_cli.runs.membership import attack as job

    runs = run if isinstance(run, Sequence) and not isinstance(run, str) else [run]
    loaded = [load(each, store=store) for each in runs]
    sets = [each.distilled for each in loaded]
    found = job.attack(sets, report=_Report(shown=progress), steps=_plain(steps), **_plain(settings))
    return Attack(", ".join(each.name for each in loaded), found.to_json())


@_uses_jax
def continual(
    dataset: str | Dataset,
    *,
    ipc: int | Mapping[str, int] | Sequence[int],
    tasks: int = 5,
    full_epochs: int = 20,
    checkpoint_every: int | None = None,
    store: StorePath = None,
    progress: bool = False,
    **settings: Any,
) -> Continual:
    """Distil the classes of a data set task by task, and test on all classes seen so far after each task.

    Networks are trained on the distilled sets of all tasks so far; and, for comparison, on as many random
    real images, and on all real images of the classes seen so far.  What is finished in the store is not
    computed again.

    Parameters
    ----------
    dataset
        A prepared data set, or ``"digits"``, which is prepared if needed.
    ipc
        Distilled images per class, as for `distill`.
    tasks
        Number of tasks into which the classes are divided, in the order of
        ``numpy.random.RandomState(seed).permutation(C)``.
    full_epochs
        For how many epochs networks are trained on all real images, but at least as many steps as on the
        distilled sets.
    checkpoint_every
        As for `distill`.
    **settings
        Settings of `distill` and of `evaluate` by name.  Those that both have are the distillation's; the
        evaluation's begin with ``evaluate_``, such as ``evaluate_steps``.  There is one ``seed`` for all.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed, or the classes can't be divided equally.
    NotFound
        If the data set is not prepared.
    NumericsError
        If a run diverged.
    Interrupted
        If Ctrl-C was pressed while a run was distilled.

    Examples
    --------
    >>> rcig.continual("digits", tasks=5, ipc=2, algorithm="dm", steps=100, networks=3)
    sequence_1 of digits, by dm: test accuracy
    task  classes  accuracy      random images  all real images  run
    1     2, 8     98.6 ± 0.0 %  97.2 ± 1.1 %   100.0 ± 0.0 %    run_1
    ...
    """
    from rcig_cli.runs.continual import continual as job
    from rcig_cli.runs.continual.plan import settings_of_continual
    from rcig_cli.runs.distill.distill import choose_dataset
    from rcig_cli.runs.distill.run_loop import RunContext
    from rcig_cli.settings import check

    settings = _plain({**settings, "ipc": ipc})
    check(settings_of_continual(settings.get("algorithm")), settings)
    opened, name = _locate_or_create(dataset, store)
    context = RunContext(_Report(shown=progress), checkpoint_every)
    prepared = choose_dataset(opened, name, context.report)
    tasks, full_epochs = _plain((tasks, full_epochs))
    return job.continual(opened, prepared, settings, context, tasks=tasks, full_epochs=full_epochs)


@_uses_jax
def sweep(
    plan: str | os.PathLike[str] | Mapping[str, Any],
    *,
    part: tuple[int, int] | None = None,
    new: bool = False,
    only_finished: bool = False,
    checkpoint_every: int | None = None,
    store: StorePath = None,
    progress: bool = False,
) -> Sweep:
    """Distil and evaluate every combination of some settings.

    What is finished in the store is not computed again, so a sweep that was stopped is resumed by the same
    call.

    Parameters
    ----------
    plan
        A TOML file (``docs/sweeps/README.md``), or its content as a mapping, such as
        ``{"ipc": 1, "sweep": {"seed": [0, 1]}}``.
    part
        ``(k, n)`` makes only part ``k`` of ``n`` of the runs, counted from 1, for several processes at the
        same time.  A later call without it returns the whole table.
    new
        Whether to start a new sweep that doesn't reuse existing runs.
    only_finished
        Whether to run nothing, and return the results of the runs that are finished and evaluated.
    checkpoint_every
        As for `distill`.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed, or a combination is not possible.
    NotFound
        If the file doesn't exist, a data set is not prepared, or no run is finished where only finished ones
        are wanted.
    Locked
        If another process is running this sweep, or one of its runs.
    Interrupted
        If Ctrl-C was pressed while a run was distilled.

    Examples
    --------
    >>> settings = {"dataset": "digits", "ipc": 1, "steps": 100, "width": 16, "evaluate": {"networks": 2}}
    >>> rcig.sweep({**settings, "sweep": {"algorithm": ["rcig", "frepo"], "seed": [0, 1]}})
    sweep_1: test accuracy
      algorithm rcig: 79.9 ± 2.8 % (run_1, run_2)
      algorithm frepo: 75.3 ± 4.7 % (run_3, run_4)
    """
    from rcig_cli.runs.sweep import sweep as job
    from rcig_cli.runs.sweep.plan import make_plan, read_plan

    if only_finished and new:
        raise ConfigError("new contradicts only_finished: leave one of them out.")
    read = make_plan(_plain(plan)) if isinstance(plan, Mapping) else read_plan(Path(plan))
    report = _Report(shown=progress)
    opened = _open(store, create=not only_finished)
    if only_finished:
        found = job.finished(opened, read, report=report, part=part)
    else:
        found = job.sweep(opened, read, report=report, new=new, part=part, checkpoint_every=checkpoint_every)
    table = found.table.to_json()
    return Sweep(found.name, table["rows"], table["random_subsets"], found.figures, found.left_out)


def load(run: str | Run, *, store: StorePath = None) -> Run:
    """Open a run by its name (``"newest"`` is the newest one), or read a `Run` again.

    Raises
    ------
    NotFound
        If there is no such run.

    Examples
    --------
    >>> rcig.load("run_1").pixels().shape
    (10, 8, 8, 1)
    """
    opened, name = _locate(run, Run, store)
    return Run(opened, opened.run(name))


def list_datasets(*, store: StorePath = None) -> list[Dataset]:
    """Return all prepared data sets of a store; a damaged one is left out, with a warning."""
    opened = _open(store)
    return [Dataset(each, opened.dataset_path(each.name)) for each in _listed(opened.datasets())]


def list_runs(*, store: StorePath = None) -> list[Run]:
    """Return all runs of a store, the oldest first; a damaged one is left out, with a warning."""
    opened = _open(store)
    found = sorted(_listed(opened.runs()), key=lambda run: run.created)
    return [Run(opened, each) for each in found]


def export(
    run: str | Run,
    format: str | None = None,  # noqa: A002
    out: str | os.PathLike[str] | None = None,
    *,
    whitening: bool = True,
    store: StorePath = None,
) -> Path:
    """Write a distilled set into a new file or folder: images, soft labels, class names and the whitening.

    Of a parametrized set the images are decoded; all formats but PNG and DD-Ranking have what it stores too.

    Parameters
    ----------
    run
        A finished run.
    format
        ``"npz"``, ``"safetensors"``, ``"torch"``, ``"parquet"``, ``"png"`` or ``"dd-ranking"``
        (``docs/exchange.md``); by default that of the ending of ``out``, or npz.
    out
        The file or folder, which must not exist yet and is returned; by default in the current folder, named
        after the run.
    whitening
        Whether to export the whitening too, which others need for the test images.
    """
    from rcig_cli.runs.exchange.exporting import export_set

    opened, name = _locate(run, Run, store)
    path, _ = export_set(opened, name, _path("out", out), format=format, whitening=whitening)
    return path


def push(
    run: str | Run,
    repository: str,
    *,
    private: bool = False,
    license: str | None = None,  # noqa: A002
    revision: str | None = None,
    message: str | None = None,
    out: str | os.PathLike[str] | None = None,
    store: StorePath = None,
    progress: bool = False,
) -> str | Path:
    """Upload a distilled set to the Hugging Face Hub, as one commit to a data set repository.

    The repository has the images as Parquet for the library ``datasets``, all arrays in
    ``distilled.safetensors``, a picture, and a data card (``docs/hub.md``).  This needs the extra ``hub``,
    and a login with ``hf auth login`` or the environment variable ``HF_TOKEN``.

    Parameters
    ----------
    run
        A finished run.
    repository
        ``"OWNER/NAME"``; it is created if needed.
    private
        Whether a new repository is private.
    license
        The license of the set, as the Hub names it, such as ``"cc-by-4.0"``; by default none is stated.
    revision
        The branch, which is created if needed; by default the main branch.
    message
        The message of the commit.
    out
        A new folder into which the files are written; then nothing is uploaded.

    Returns
    -------
    str or Path
        The address of the repository, or ``out``.

    Raises
    ------
    ConfigError
        If you are not logged in or may not write there, or the repository is public although ``private`` is
        set.
    NotFound
        If there is no such run, or it is not finished.
    RcigError
        If the upload fails.
    """
    from rcig_cli.runs.exchange.pushing import push_set

    opened, name = _locate(run, Run, store)
    done = push_set(
        opened,
        name,
        repository,
        private=private,
        license=license,
        revision=revision,
        message=message,
        out=_path("out", out),
        report=_Report(shown=progress),
    )
    return done if isinstance(done, Path) else done.address


@_uses_jax
def import_set(
    path: str | os.PathLike[str],
    dataset: str | Dataset,
    *,
    space: str | None = None,
    index: int | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    tags: Sequence[str] = (),
    store: StorePath = None,
) -> Run:
    """Import a distilled set made elsewhere, as a finished run.

    What was assumed is in ``run.manifest.imported_as``.

    Parameters
    ----------
    path
        A published checkpoint (Flax), ``.npz``, ``.pt``, ``.safetensors``, ``.parquet``, a folder of images,
        or one with ``images_best.pt`` and ``labels_best.pt``; or ``"hf:OWNER/NAME"``, perhaps with
        ``"@REVISION"``, a data set repository of the Hugging Face Hub.
    dataset
        The prepared data set that it was distilled from, or ``"digits"``, which is prepared if needed.
    space
        What the values of its images are: ``"whitened"``, ``"normalized"``, ``"dc-normalized"``,
        ``"kornia-zca"`` or ``"pixels"`` (``docs/exchange.md``); by default as the file states.
    index
        Which set of a file with several, from 0.
    class_names
        The data set's class names in the order of the set's class numbers; by default as the file states.
    name
        The run's name; by default derived from the file's name.
    tags
        Words to find the run by.
    """
    from rcig_cli.runs.exchange import importing

    opened, of = _locate_or_create(dataset, store)
    file = _path("path", path)
    if file is None:
        raise ConfigError("path must be the file or folder to import, not None.")
    manifest = importing.import_set(
        opened,
        file,
        of,
        space=space,
        index=index,
        class_names=class_names,
        name=name,
        tags=tags,
        report=_Report(shown=False),
    )
    return Run(opened, manifest)


def report(run: str | Run, out: str | os.PathLike[str] | None = None, *, store: StorePath = None) -> Path:
    """Write a self-contained HTML page about a finished run: figures, accuracies, settings, commands.

    The file is ``out``, by default ``figures/report.html`` in the run's folder; it is returned.
    """
    from rcig_cli.reporting.html_report import write_report

    path = _path("out", out)
    return write_report(load(run, store=store).distilled, report=_Report(shown=False), out=path)


def report_all(out: str | os.PathLike[str] | None = None, *, store: StorePath = None) -> Path:
    """Write a self-contained HTML page with the pictures and test accuracies of all finished runs.

    They are sorted by data set and then by accuracy; a damaged run is left out, with a warning.  The file is
    ``out``, by default ``gallery.html`` in the store's folder; it is returned.

    Raises
    ------
    NotFound
        If there is no finished run.
    """
    from rcig_cli.reporting.gallery import write_gallery

    path, _ = write_gallery(_open(store), report=_Report(shown=False), out=_path("out", out))
    return path


def _open(store: StorePath, *, create: bool = False) -> "Store":
    from rcig_cli.store.location import default_root
    from rcig_cli.store.store import open_store

    return open_store(_path("store", store or None) or default_root(), create=create)


def _path(argument: str, value: Any) -> Path | None:
    if not isinstance(value, str | os.PathLike | None):
        raise ConfigError(f"{argument} must be a path, not {shorten(value)}.")
    if value == "":
        raise ConfigError(f"{argument} is empty: give a path.")
    return None if value is None else Path(os.path.expanduser(value))


def _plain(value: Any) -> Any:
    """Return a value with Python's numbers in place of NumPy's, also in lists and mappings."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return (tuple if isinstance(value, tuple) else list)(map(_plain, value))
    return value


def _locate(
    what: str | Run | Dataset, kind: type[Run] | type[Dataset], store: StorePath
) -> tuple["Store", str]:
    """Return the store and the name of a run or data set."""
    if isinstance(what, str):
        return _open(store), what
    if not isinstance(what, kind):
        argument = kind.__name__.lower()
        raise ConfigError(f"{argument} must be a {kind.__name__} or its name, not {shorten(what)}.")
    if isinstance(what, Dataset) and what.only is not None:
        raise ConfigError(
            f"dataset has only the classes {what.only} of {what.name}: give {what.name!r} instead; "
            f"rcig.distill takes classes={what.only!r}."
        )
    return (what.store if store is None else _open(store)), what.name


def _locate_or_create(dataset: str | Dataset, store: StorePath) -> tuple["Store", str]:
    """Return the store and the name of a data set; for one that is prepared if needed, make the store."""
    from rcig_cli.data.sources.opening import EMBEDDED

    if dataset == EMBEDDED:
        _open(store, create=True)
    return _locate(dataset, Dataset, store)


def _listed(listing: Any) -> Any:
    for problem in listing.problems:
        warnings.warn(problem, RcigWarning, stacklevel=3)
    return listing.found
