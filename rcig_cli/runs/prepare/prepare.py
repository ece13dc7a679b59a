"""Prepare a data set: real images in, arrays that networks read out, in the store.

Two streaming passes (`preparing`): the first measures the whitening on the training images, the second
writes every image through it.  Memory depends on the size of an image, not on their number.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rcig_cli.data.sources.opening import identity, open_source
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.data.sources.subset import subset
from rcig_cli.errors import ConfigError, Corrupt, Interrupted, NotFound, RcigError
from rcig_cli.runs.engine.environment import processors
from rcig_cli.runs.prepare.preparing import ARRAYS, Around, Preparing
from rcig_cli.runs.report import Report
from rcig_cli.runs.signals import StopRequest, stop_on_signals
from rcig_cli.store.documents import digest_of
from rcig_cli.store.layout import Store
from rcig_cli.store.manifest import DatasetManifest, write_manifest
from rcig_cli.store.partial import Partial, partial_folder, remove_published
from rcig_cli.store.provenance import now, versions

__all__ = ["ARRAYS", "PrepareConfig", "prepare"]

_MOST_WORKERS = 4  # each has a batch in memory; what takes longest, a matrix product, has threads of its own


@dataclass(frozen=True)
class PrepareConfig:
    """Every setting of a preparation.

    Attributes
    ----------
    name
        What the data set is called in the store.
    path
        Where the user's own data are, absolute; None for a named set.
    resolution
        Side in pixels to which images are brought; None keeps theirs.
    zca
        Whether to whiten; None: RGB images are, grey ones aren't.
    zca_reg
        Regularisation of the whitening, as a share of the average eigenvalue.
    subset, chunk
        Keep only the chunk-th (from 0) of disjoint, class-balanced groups of this many training images.
    """

    name: str
    path: str | None = None
    resolution: int | None = None
    zca: bool | None = None
    zca_reg: float = 0.1
    subset: int | None = None
    chunk: int = 0


def prepare(
    store: Store,
    config: PrepareConfig,
    report: Report,
    *,
    overwrite: bool = False,
    wait: bool = False,
    workers: int | None = None,
) -> DatasetManifest:
    """Prepare a data set, or return the one that is there if it was prepared the same way.

    A preparation that was stopped, or killed, goes on where it was.

    Parameters
    ----------
    store, config, report
        Where to, what and how, and where messages go.
    overwrite
        Whether to prepare again what is prepared.
    wait
        Whether to wait where another process prepares a data set of that name.
    workers
        Threads that compute beside those that read and write; as many as there are processors by default.
        The result doesn't depend on it.

    Raises
    ------
    ConfigError
        If one of that name was prepared another way and ``overwrite`` is not set, or the data can't be used.
    NotFound, Corrupt
        If the data are missing or damaged.
    Locked
        If another process prepares a data set of that name, and ``wait`` is not set.
    Interrupted
        If a signal has come; what has been done is saved.
    """
    final = store.dataset_path(config.name)
    if final.exists() and not overwrite:
        return _already_there(store, config, report)
    source = _open(config)
    for sentence in source.notes:
        report.note(sentence)
    with stop_on_signals() as stop:
        waiting = _Waiting(config.name, report, stop) if wait else None
        with partial_folder(store.datasets_path, config.name, waiting=waiting) as partial:
            if final.exists() and not overwrite:  # by now
                return _already_there(store, config, report)
            around = Around(report, stop, min(processors(), _MOST_WORKERS) if workers is None else workers)
            try:
                _finish(partial, source, config, around)
            except (ConfigError, Corrupt, NotFound):
                with suppress(RcigError):  # of these data, or with these settings, nothing will come
                    partial.remove()
                raise
            partial.publish(final, overwrite=overwrite)
    return store.dataset(config.name)


class _Waiting:
    """What is done while another process prepares the same."""

    def __init__(self, name: str, report: Report, stop: StopRequest) -> None:
        self._name, self._report, self._stop, self._said = name, report, stop, False

    def __call__(self) -> None:
        if not self._said:
            self._said = True
            self._report.note(f"Waiting for another process, which prepares {self._name}.")
        if self._stop.signal_number is not None:
            raise Interrupted("Stopped waiting.", self._stop.signal_number)


def _open(config: PrepareConfig) -> ImageSource:
    source = open_source(config.name, Path(config.path) if config.path else None, config.resolution)
    if config.subset is not None:
        return subset(source, config.subset, config.chunk)
    if config.chunk:
        raise ConfigError("--chunk picks one of the groups that --subset makes: give --subset as well.")
    return source


def _already_there(store: Store, config: PrepareConfig, report: Report) -> DatasetManifest:
    remove_published(store.datasets_path, config.name)
    manifest = store.dataset(config.name)
    asked, found = asdict(config), manifest.config
    changed = [f"{key}: {asked[key]}, not {found.get(key)}" for key in asked if asked[key] != found.get(key)]
    if changed:
        raise ConfigError(
            f"{config.name} is prepared already, another way ({'; '.join(changed)}): "
            "prepare it under another name, or again with --overwrite."
        )
    report.note(f"{config.name} is prepared already, with these settings; --overwrite prepares it again.")
    return manifest


def _finish(partial: Partial, source: ImageSource, config: PrepareConfig, around: Around) -> None:
    """Bring a preparation to its end, from wherever it is: all but publishing it."""
    path = Path(config.path) if config.path else None
    made_of = {"config": asdict(config), "data": identity(source, path), "versions": versions()}
    key = digest_of(made_of)
    if partial.is_finished(key):
        return
    whiten = source.shape[2] == 3 if config.zca is None else config.zca
    preparing = Preparing(partial, source, key, around, whiten=whiten, regularisation=config.zca_reg)
    files = preparing.run()
    manifest = DatasetManifest(
        name=config.name,
        created=now(),
        class_names=source.class_names,
        shape=source.shape,
        sizes=dict(source.sizes),
        whitened=whiten,
        config=asdict(config),
        source={"from": config.path or "named", "notes": list(source.notes)},
        versions=versions(),
        files=files,
    )
    write_manifest(partial.content, manifest)
    if partial.has_state:
        partial.finish(key)
