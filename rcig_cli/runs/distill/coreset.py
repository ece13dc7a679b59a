"""A run that picks real images (`distillation.coresets`) instead of learning any.

It takes no outer steps and saves no checkpoints: a run that was stopped starts again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from rcig_cli.distillation import pool
from rcig_cli.distillation.coresets import Rows
from rcig_cli.distillation.records import centred_one_hot
from rcig_cli.distillation.settings import FeatureSettings
from rcig_cli.errors import ConfigError, Interrupted, shorten
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import network_for
from rcig_cli.runs.distill.distilled import write_distilled
from rcig_cli.runs.distill.run_loop import RunContext, RunInterrupted
from rcig_cli.runs.engine.batches import Batches, Indices, RealData
from rcig_cli.runs.engine.environment import jit, processors
from rcig_cli.runs.engine.randomness import Use, key_for
from rcig_cli.runs.engine.real_training import make_training_on_real
from rcig_cli.runs.engine.training import TEST_BATCH, in_batches
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.signals import StopRequest
from rcig_cli.store.records import RunManifest, now, write_manifest
from rcig_cli.store.results import write_result


def pick_images(
    path: Path, manifest: RunManifest, prepared: Prepared, context: RunContext, stop: StopRequest
) -> RunManifest:
    """Pick the images of a run, write them into its folder ``path``, and return its new manifest.

    The caller holds the lock of the folder.

    Raises
    ------
    ConfigError
        If several processes are to do it.
    RunInterrupted
        If a signal stopped it.
    """

    def record(**changes: Any) -> RunManifest:
        changed = replace(manifest, updated=now(), **changes)
        write_manifest(path, changed)
        return changed

    def check_for_stop() -> None:
        if stop.signal_number is not None:
            message = "Stopped before the images were picked; a resumed run starts again."
            raise RunInterrupted(path.name, message, stop.signal_number)

    config = DistillConfig.from_json(manifest.config)
    check_one_process(config, context)
    record(status="running", files={})
    began = time.monotonic()
    try:
        chosen = _chosen(prepared, config, _make_rows(prepared, config, context, check_for_stop))
    except Interrupted:
        record(status="interrupted")
        raise
    files = write_distilled(path, _arrays(chosen, prepared, config))
    seconds = time.monotonic() - began
    timing = {"steps": 0, "seconds": seconds, "device": jax.default_backend(), "processors": processors()}
    write_result(path, "timings", "distill", timing)
    return record(status="finished", files=files)


def check_one_process(config: DistillConfig, context: RunContext) -> None:
    """Refuse to pick images in a job of several processes.

    Raises
    ------
    ConfigError
        If it is one.
    """
    if config.algorithm_record.pick and context.processes.count > 1:
        raise ConfigError(f"{config.algorithm} picks real images in one process; leave out --distributed.")


def _chosen(prepared: Prepared, config: DistillConfig, rows: Callable[[Indices], Rows]) -> Indices:
    """Choose real images class by class: their indices; those of a class that has too few are repeated.

    ``rows`` returns the features ``[m, d]`` of real images by their indices ``[m]``.
    """
    pick = config.algorithm_record.pick
    assert pick is not None
    chosen, labels = [], prepared.labels("train")
    for label, count in enumerate(config.decoded_per_class(prepared.classes)):
        members = np.flatnonzero(labels == label)
        random = np.random.default_rng([config.seed, label])
        wanted = min(count, len(members))
        picked = np.asarray(pick(rows(members), wanted, random))
        if not _are_rows(picked, wanted, len(members)):
            raise ConfigError(
                f"pick of {config.algorithm} returned {shorten(picked.tolist())} for {len(members)} real "
                f"images: expected {wanted} different whole numbers from 0 to {len(members) - 1}."
            )
        own = members[picked]
        chosen.append(np.resize(own, count))
    return np.concatenate(chosen)


def _are_rows(picked: npt.NDArray[Any], wanted: int, rows: int) -> bool:
    """Whether these are ``wanted`` different numbers of rows."""
    return (
        picked.shape == (wanted,)
        and picked.dtype.kind in "iu"
        and len(np.unique(picked)) == wanted
        and bool(((picked >= 0) & (picked < rows)).all())
    )


def _arrays(chosen: Indices, prepared: Prepared, config: DistillConfig) -> Mapping[str, npt.NDArray[Any]]:
    """Return the arrays of the set of some real images, as `write_distilled` writes them."""
    classes = prepared.labels("train")[chosen]
    stored = config.decoder(prepared.shape, prepared.classes).encode(prepared.stored("train")[chosen])
    labels = centred_one_hot(jnp.asarray(classes), prepared.classes)
    return {
        **{name: np.asarray(array) for name, array in stored.items()},
        "labels": np.asarray(labels),
        "classes": classes,
    }


def _make_rows(
    prepared: Prepared, config: DistillConfig, context: RunContext, check_for_stop: Callable[[], None]
) -> Callable[[Indices], Rows]:
    """Return the function from indices of real images ``[m]`` to their features.

    These are ``[m, d]`` from a network that is trained first, or ``[m, 0]`` if the method compares none.
    """
    settings = config.method
    if not isinstance(settings, FeatureSettings):
        return lambda indices: np.zeros((len(indices), 0), np.float32)
    network = network_for(config, prepared.shape, prepared.classes)
    real = RealData(prepared.images("train"), prepared.labels("train"))
    optimizer, classes = optax.adam(settings.feature_lr), prepared.classes
    train = make_training_on_real(network, optimizer, classes=classes, loss=pool.cross_entropy)
    batches = Batches(real, config.batch, 1, config.seed, config.augmentations)
    models = train(key_for(config.seed, Use.POOL), batches)
    total = settings.feature_steps
    for done, trained in enumerate(islice(models, total + 1)):
        model = trained
        check_for_stop()
        if total:
            context.report.progress("training the network whose features are compared", done, total)
    trained_network = network.with_statistics(model.statistics)
    features = jit(lambda images: trained_network.apply(model.parameters, images)[1])

    def batches_of(indices: Indices) -> Iterator[Rows]:
        for start in range(0, len(indices), TEST_BATCH):
            check_for_stop()
            yield real.images[indices[start : start + TEST_BATCH]]

    return lambda indices: in_batches(features, batches_of(indices))
