"""Experts: networks trained on the real images, whose parameters after each epoch are kept.

They lie in the folder of the data set, a file for each expert, in a folder for each way to train them::

    experts/<digest>/settings.json  0.npz  1.npz ...

so that all runs that train them alike share them.  A run that was stopped goes on with the next expert.
"""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import optax
from jax.flatten_util import ravel_pytree

from rcig_cli.distillation import pool
from rcig_cli.distillation.matching.siamese import augment_each
from rcig_cli.distillation.settings import ExpertSettings
from rcig_cli.errors import ConfigError
from rcig_cli.networks.network import Network
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import network_for
from rcig_cli.runs.engine.batches import Batches, RealData
from rcig_cli.runs.engine.randomness import Use, key_for
from rcig_cli.runs.engine.real_training import train_on_real
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report
from rcig_cli.store.arrays import read_npz, write_npz
from rcig_cli.store.documents import digest_of, write_document
from rcig_cli.store.files import make_folder

EXPERTS = "experts"

_OF_THE_TRAINING = ("expert_epochs", "expert_lr", "expert_augment", "batch", "distill_augment", "seed")
_OF_THE_NETWORK = ("width", "depth", "norm", "activation")


def expert_pairs(
    prepared: Prepared,
    config: DistillConfig,
    real: RealData,
    report: Report,
    check_for_stop: Callable[[], None],
    *,
    may_train: bool = True,
) -> RealData:
    """Return pairs of parameters of experts, ``[k, 2, P]``: after an epoch, and ``expert_span`` epochs later.

    Experts that are not in the data set's folder yet are trained first.

    Parameters
    ----------
    prepared, real
        The data set, and its training images.
    config
        The configuration of a method with `ExpertSettings`.
    report
        Receives progress.
    check_for_stop
        Called after each training step; may raise.
    may_train
        Whether experts may be trained; otherwise all must be there.

    Raises
    ------
    ConfigError
        If experts are missing, and may not be trained.
    """
    settings = config.method
    assert isinstance(settings, ExpertSettings)
    folder = _folder(prepared, config)
    network = network_for(config, prepared.shape, prepared.classes)
    pairs = []
    for number in range(settings.experts):
        path = folder / f"{number}.npz"
        if not path.exists():
            if not may_train:
                raise ConfigError(
                    "The experts must be trained by one process before several use them: run the same "
                    "command without --distributed, and stop it when it takes outer steps."
                )
            label = f"training expert {number + 1} of {settings.experts}"

            def progress(done: int, total: int, label: str = label) -> None:
                check_for_stop()
                report.progress(label, done, total)

            write_npz(path, {"parameters": _trajectory(network, prepared, config, real, number, progress)})
        parameters = read_npz(path)["parameters"]
        pairs += [parameters[[at, at + settings.expert_span]] for at in range(settings.last_start + 1)]
    return RealData(np.stack(pairs), np.zeros(len(pairs), np.int32))


def _folder(prepared: Prepared, config: DistillConfig) -> Path:
    """Return the folder of the experts that a configuration trains, with a record of their settings."""
    values = config.to_json()
    settings = {name: values[name] for name in (*_OF_THE_NETWORK, *_OF_THE_TRAINING)}
    folder = prepared.path / EXPERTS / digest_of(settings)[:16]
    if not folder.exists():
        make_folder(folder)
        write_document(folder / "settings.json", settings)
    return folder


def _trajectory(
    network: Network,
    prepared: Prepared,
    config: DistillConfig,
    real: RealData,
    number: int,
    progress: Callable[[int, int], None],
) -> npt.NDArray[np.float32]:
    """Train an expert; return its parameters before the first epoch and after each, ``[epochs + 1, P]``."""
    settings: Any = config.method
    key = jax.random.fold_in(key_for(config.seed, Use.EXPERTS), number)
    batches = Batches(real, config.batch, 1, config.seed + number, config.augmentations)

    models = train_on_real(
        network,
        optax.sgd(settings.expert_lr),
        batches,
        key,
        classes=prepared.classes,
        loss=pool.cross_entropy,
        augment=augment_each if settings.expert_augment else None,
    )
    per_epoch = len(real.classes) // config.batch
    total, kept = settings.expert_epochs * per_epoch, []
    for done, model in enumerate(islice(models, total + 1)):
        progress(done, total)
        if done % per_epoch == 0:
            kept.append(np.asarray(ravel_pytree(model.parameters)[0]))
    return np.stack(kept)
