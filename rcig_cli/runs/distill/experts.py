"""Experts: networks trained on the real images, whose parameters after each epoch are kept.

They are kept in the folder of the data set, with a folder for each set of training settings and a file for
each epoch::

    experts/<digest>/settings.json
    experts/<digest>/<expert>/0.npz  1.npz ...         parameters [P] before the first epoch, after it, ...

Runs with the same training settings share them.  A resumed run continues with the first expert that is not
complete, which is trained again from its beginning.
"""

import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import jax
import numpy as np
import numpy.typing as npt
import optax
from jax.flatten_util import ravel_pytree

from rcig_cli.distillation import pool
from rcig_cli.distillation.matching.siamese import augment_each
from rcig_cli.distillation.settings import ExpertSettings
from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import network_for
from rcig_cli.runs.engine.batches import Batches, Indices, RealData
from rcig_cli.runs.engine.randomness import Use, key_for
from rcig_cli.runs.engine.real_training import make_training_on_real, seed_of
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report
from rcig_cli.store.arrays import read_npz, write_npz
from rcig_cli.store.documents import digest_of, write_document
from rcig_cli.store.files import make_folder
from rcig_cli.store.store import EXPERTS

_OF_THE_TRAINING = ("expert_epochs", "expert_lr", "expert_augment", "batch", "distill_augment", "seed")
_OF_THE_NETWORK = ("width", "depth", "channels", "norm", "activation")


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
    folder, last = _folder(prepared, config), settings.expert_epochs
    missing = [n for n in range(settings.experts) if not _file(folder, n, last).exists()]
    if missing and not may_train:
        raise ConfigError(
            "The experts must be trained by one process before several use them: run the same command "
            "without --distributed, and stop it when it takes outer steps."
        )
    train = make_training_on_real(
        network_for(config, prepared.shape, prepared.classes),
        optax.sgd(settings.expert_lr),
        classes=prepared.classes,
        loss=pool.cross_entropy,
        augment=augment_each if settings.expert_augment else None,
    )
    steps = len(real.classes) // config.batch  # of an epoch; a batch is at most all images
    for number in missing:
        make_folder(folder / str(number))
        batches = Batches(real, config.batch, 1, seed_of(config.seed, number), config.augmentations)
        models = train(jax.random.fold_in(key_for(config.seed, Use.EXPERTS), number), batches)
        for done, model in enumerate(islice(models, last * steps + 1)):
            check_for_stop()
            report.progress(f"training expert {number + 1} of {settings.experts}", done, last * steps)
            if done % steps == 0:
                parameters = np.asarray(ravel_pytree(model.parameters)[0])
                write_npz(_file(folder, number, done // steps), {"parameters": parameters})
    pairs = ExpertPairs(folder, settings)
    return RealData(pairs, np.zeros(len(pairs), np.int32))


class ExpertPairs:
    """Pairs of parameters of experts, ``[k, 2, P]``, on the disk; they are read when they are indexed.

    Pair ``i`` is of expert ``i // (last_start + 1)`` and starts after its epoch ``i % (last_start + 1)``.
    """

    def __init__(self, folder: Path, settings: ExpertSettings) -> None:
        self._folder, self._starts, self._span = folder, settings.last_start + 1, settings.expert_span
        size = len(read_npz(_file(folder, 0, 0))["parameters"])
        self.shape = (settings.experts * self._starts, 2, size)
        self.nbytes = 4 * math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: Indices) -> npt.NDArray[np.float32]:
        """Read the pairs of some indices ``[...]``: ``[..., 2, P]``."""
        read = [self._read(*divmod(int(index), self._starts)) for index in chosen.ravel()]
        return np.stack(read).reshape(*chosen.shape, *self.shape[1:])

    def _read(self, expert: int, start: int) -> npt.NDArray[np.float32]:
        epochs = start, start + self._span
        return np.stack([read_npz(_file(self._folder, expert, epoch))["parameters"] for epoch in epochs])


def _folder(prepared: Prepared, config: DistillConfig) -> Path:
    """Return the folder of the experts that a configuration trains, with a record of their settings."""
    values = config.to_json()
    names = ("classes", *_OF_THE_NETWORK, *_OF_THE_TRAINING)
    settings = {name: values[name] for name in names if values[name] is not None}
    folder = prepared.path / EXPERTS / digest_of(settings)[:16]
    if not (folder / "settings.json").exists():
        make_folder(folder)
        write_document(folder / "settings.json", settings)
    return folder


def _file(folder: Path, expert: int, epoch: int) -> Path:
    return folder / str(expert) / f"{epoch}.npz"
