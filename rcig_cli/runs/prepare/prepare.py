"""Prepare a data set: read real images, and write the arrays that networks take into the store."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rcig_cli.data.sources.opening import identity, open_source
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.data.sources.subset import subset
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError
from rcig_cli.runs.engine.environment import processors
from rcig_cli.runs.prepare.config import PrepareConfig
from rcig_cli.runs.prepare.passes import Preparation
from rcig_cli.runs.prepare.prepared import Prepared, open_prepared
from rcig_cli.runs.report import Report
from rcig_cli.runs.signals import stop_on_signals
from rcig_cli.settings import make, values_of
from rcig_cli.store.documents import digest_of
from rcig_cli.store.partial import Partial, partial_folder, remove_published
from rcig_cli.store.records import DatasetManifest, now, read_manifest, versions, write_manifest
from rcig_cli.store.store import Store

# Each worker has a batch in memory, and the slowest part, a matrix product, uses several threads itself.
_MOST_WORKERS = 4


def prepare(
    store: Store,
    name: str = "digits",
    *,
    path: Path | None = None,
    report: Report,
    overwrite: bool = False,
    wait: bool = False,
    workers: int | None = None,
    **settings: Any,
) -> Prepared:
    """Prepare a data set, or return the one in the store if it was prepared the same way.

    A preparation that was stopped or killed is resumed, and gives the same bytes.

    Parameters
    ----------
    store
        Where to write.
    name
        A known data set, or with ``path`` any name.
    path
        The user's own data: a folder of class folders, an unpacked download, or an ``.npz`` file.
    report
        Where messages go.
    overwrite
        Whether to replace a data set of that name that is in the store.
    wait
        Whether to wait while another process prepares a data set of that name.
    workers
        Threads that compute, in addition to those that read and write; by default as many as processors, at
        most 4.  The result doesn't depend on it.
    **settings
        Those of `PrepareConfig`, by name.

    Raises
    ------
    ConfigError
        If a setting is not allowed, the data can't be used, or a data set of that name was prepared with
        other settings and ``overwrite`` is not set.
    NotFound, Corrupt
        If the data are missing or damaged.
    Locked
        If another process prepares a data set of that name, and ``wait`` is not set.
    Interrupted
        If a signal has come; the progress is saved.  A thread may continue to compute for minutes, and a
        normal exit of the process waits for it (see `rcig_cli.runs.prepare.parallel.in_background`).
    """
    config = make(PrepareConfig, settings)
    path = path.expanduser().absolute() if path else None
    made_with = {"name": name, "path": str(path) if path else None, **values_of(config)}
    final = store.dataset_path(name)
    if final.exists() and not overwrite:
        return _already_there(store, made_with, report)
    source = open_source(name, path, config.resolution)
    if config.subset is not None:
        source = subset(source, config.subset, config.chunk)
    for sentence in source.notes:
        report.note(sentence)
    with partial_folder(store.folder_of("data set"), name, wait=report.note if wait else None) as folder:
        if final.exists() and not overwrite:  # by now
            return _already_there(store, made_with, report)
        key = digest_of({"config": made_with, "data": identity(source, path), "versions": versions()})
        if folder.is_complete and _key_of(folder) != key:
            # It has other settings, or is the old data set, if a process was killed just after replacing
            # that.
            folder.discard()
        if not folder.is_complete:
            try:
                _make_content(folder, source, config, made_with, key, report=report, workers=workers)
            except (ConfigError, Corrupt, NotFound):
                with suppress(RcigError):  # these data can't be prepared: there is nothing to resume
                    folder.remove()
                raise
        folder.publish(final, overwrite=overwrite)
    return open_prepared(store, name)


def _already_there(store: Store, wanted: Mapping[str, Any], report: Report) -> Prepared:
    name = wanted["name"]
    remove_published(store.folder_of("data set"), name)
    prepared = open_prepared(store, name)
    found = prepared.manifest.config
    changed = [
        f"{'--from' if key == 'path' else key}: {_given(found.get(key))} before, {_given(value)} now"
        for key, value in wanted.items()
        if value != found.get(key)
    ]
    if changed:
        raise ConfigError(
            f"{name} is already prepared with other settings ({'; '.join(changed)}): "
            "prepare it under another name, or replace it with --overwrite."
        )
    report.note(f"{name} is already prepared with these settings; --overwrite prepares it again.")
    return prepared


def _given(value: Any) -> str:
    return "not given" if value is None else str(value)


def _make_content(
    folder: Partial,
    source: ImageSource,
    config: PrepareConfig,
    made_with: dict[str, Any],
    key: str,
    *,
    report: Report,
    workers: int | None,
) -> None:
    """Write the arrays, resuming the work of earlier processes, and then the manifest."""
    whiten = source.shape[2] == 3 if config.zca is None else config.zca
    with stop_on_signals() as stop:
        files = Preparation(
            folder,
            source,
            key,
            whiten=whiten,
            regularization=config.zca_reg,
            report=report,
            stop=stop,
            workers=min(processors(), _MOST_WORKERS) if workers is None else workers,
        ).run()
    manifest = DatasetManifest(
        name=made_with["name"],
        created=now(),
        class_names=source.class_names,
        shape=source.shape,
        sizes=dict(source.sizes),
        whitened=whiten,
        config=made_with,
        source={"from": made_with["path"] or "named", "notes": list(source.notes), "key": key},
        versions=versions(),
        files=files,
    )
    write_manifest(folder.content, manifest)


def _key_of(folder: Partial) -> str | None:
    with suppress(Corrupt):
        return str(read_manifest(folder.content, DatasetManifest).source.get("key"))
    return None
