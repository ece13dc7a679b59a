"""Prepare a data set: read real images, and write the arrays that networks take into the store."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.opening import (
    EMBEDDED,
    digest_of_files,
    identity,
    is_path,
    is_remote,
    name_of,
    open_source,
)
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Note
from rcig_cli.data.sources.subset import only_classes, subset
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError
from rcig_cli.extensions import has_changed, installed, load
from rcig_cli.presets.classes import chosen_classes
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

_MOST_NAMES = 20  # of classes in one message


def prepare(
    store: Store,
    name: str = "digits",
    *,
    origin: str | None = None,
    report: Report,
    overwrite: bool = False,
    wait: bool = False,
    **settings: Any,
) -> Prepared:
    """Prepare a data set, or return the one in the store if it was prepared the same way.

    A preparation that was stopped or killed is resumed, and gives the same bytes.

    Parameters
    ----------
    store
        Where to write.
    name
        A known data set, one of an installed extension, or with ``origin`` any name.  A data set that is
        elsewhere, such as ``hf:OWNER/NAME``, gets the last part of its name.
    origin
        The user's own data: a path (``docs/datasets.md`` lists the formats), ``tfds:NAME`` or
        ``hf:OWNER/NAME``, or a function, ``package.module:NAME``.
    report
        Where messages go.
    overwrite
        Whether to replace a data set of that name that is in the store.
    wait
        Whether to wait while another process prepares a data set of that name.
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
    if origin is None and is_remote(name):
        name, origin = name_of(name), name
    elif origin is None and name not in (EMBEDDED, *KNOWN):
        origin = installed("dataset").get(name)
    elif origin == "":
        raise ConfigError("--from is empty: give a path, hf:OWNER/NAME, tfds:NAME or MODULE:NAME.")
    elif origin is not None and is_path(origin):
        origin = str(Path(origin).expanduser().absolute())
    made_with = {"name": name, "origin": origin, **values_of(config)}
    final = store.dataset_path(name)
    if final.exists() and not overwrite:
        return _already_there(store, made_with, report)
    source = open_source(name, origin, config.read_options(), listener=report)
    if origin is not None:
        source.notes += (Note("classes", _classes_in_order(source.class_names)),)
    if config.classes is not None:
        source = only_classes(source, chosen_classes(config.classes, source.class_names))
    if config.subset is not None:
        source = subset(source, config.subset, config.chunk)
    for note in source.notes:
        report.note(note.text)
    with partial_folder(store.folder_of("data set"), name, wait=report.note if wait else None) as folder:
        if final.exists() and not overwrite:  # by now
            return _already_there(store, made_with, report)
        key = digest_of({"config": made_with, "data": identity(source), "versions": versions()})
        if folder.is_complete and _key_of(folder) != key:
            # It has other settings, or is the old data set, if a process was killed just after replacing
            # that.
            folder.discard()
        if not folder.is_complete:
            try:
                _make_content(folder, source, config, made_with, key, report=report)
            except (ConfigError, Corrupt, NotFound):
                with suppress(RcigError):  # these data can't be prepared: there is nothing to resume
                    folder.remove()
                raise
        folder.publish(final, overwrite=overwrite)
    return open_prepared(store, name)


def open_or_prepare(store: Store, name: str, report: Report) -> Prepared:
    """Open a data set; `EMBEDDED` is prepared if needed.

    Raises
    ------
    NotFound
        If there is none of that name.
    """
    if not store.dataset_path(name).exists():
        if name in KNOWN or name in installed("dataset"):
            raise NotFound(f"{name} is not prepared yet. To prepare it: {store.command(f'prepare {name}')}")
        if name == EMBEDDED:
            report.note(f"Preparing {name}, which comes with scikit-learn.")
            return prepare(store, name, report=report, wait=True)
    return open_prepared(store, name)


def _already_there(store: Store, wanted: Mapping[str, Any], report: Report) -> Prepared:
    name = wanted["name"]
    remove_published(store.folder_of("data set"), name)
    prepared = open_prepared(store, name)
    found = prepared.manifest.config
    changed = [
        f"{'--from' if key == 'origin' else key}: {_given(found.get(key))} before, {_given(value)} now"
        for key, value in wanted.items()
        if value != found.get(key)
    ]
    if changed:
        elsewhere = "under another name" if wanted["origin"] else "in another store with --store"
        raise ConfigError(
            f"{name} is already prepared with other settings ({'; '.join(changed)}): "
            f"prepare it {elsewhere}, or replace it with --overwrite."
        )
    origin, files = wanted["origin"], prepared.manifest.source.get("files")
    labels = ReadOptions(labels=wanted["labels"]).labels_path()
    if files is not None and Path(origin).exists() and digest_of_files(Path(origin), labels) != files:
        where = f"{origin} or {wanted['labels']}" if labels else origin
        raise ConfigError(
            f"The files in {where} have changed since {name} was prepared: prepare them under another name, "
            "or replace it with --overwrite."
        )
    if _code_has_changed(prepared):
        raise ConfigError(
            f"The module of {origin} has changed since {name} was prepared: prepare its data under another "
            "name, or replace it with --overwrite."
        )
    report.note(f"{name} is already prepared with these settings; --overwrite prepares it again.")
    return prepared


def _code_has_changed(prepared: Prepared) -> bool:
    """Whether the function that returned the arrays of a data set may return others now."""
    for reference, before in prepared.manifest.source.get("extensions", {}).items():
        with suppress(ConfigError):  # as with files that are no longer there
            load("dataset", reference)
            if has_changed(reference, before):
                return True
    return False


def _classes_in_order(names: Sequence[str]) -> str:
    """Return the sentence that lists the classes in the order of their numbers, at most 20 of them."""
    half = _MOST_NAMES // 2
    shown = names if len(names) <= _MOST_NAMES else (*names[:half], "...", *names[-half:])
    return f"{len(names)} classes, in this order: {', '.join(shown)}."


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
) -> None:
    """Write the arrays, resuming the work of earlier processes, and then the manifest."""
    whiten = source.shape[2] == 3 if config.zca is None else config.zca
    if config.zca_reg != PrepareConfig().zca_reg and not whiten:
        raise ConfigError(
            f"zca_reg {config.zca_reg:g} is for whitening, but these images are not whitened: pass zca to "
            "whiten them, or leave out zca_reg."
        )
    with stop_on_signals() as stop:
        files = Preparation(
            folder,
            source,
            key,
            whiten=whiten,
            regularization=config.zca_reg,
            report=report,
            stop=stop,
        ).run()
    manifest = DatasetManifest(
        name=made_with["name"],
        created=now(),
        class_names=source.class_names,
        shape=source.shape,
        sizes=dict(source.sizes),
        whitened=whiten,
        config=made_with,
        source={
            "from": made_with["origin"] or "named",
            **source.origin,
            "notes": [vars(note) for note in source.notes],
            "key": key,
        },
        versions=versions(),
        files=files,
    )
    write_manifest(folder.content, manifest)


def _key_of(folder: Partial) -> str | None:
    with suppress(Corrupt):
        return str(read_manifest(folder.content, DatasetManifest).source.get("key"))
    return None
