"""The accuracy of networks trained on all real images, kept with the data set for each protocol.

The network, its optimizer, loss and augmentation are those of the protocol; the number of steps is that of
some epochs, or of the protocol if that is larger, and the learning rate's schedule extends over them.
"""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice
from typing import Any

import jax
import numpy as np
from jax import Array

from rcig_cli.augmentation import flip_horizontally
from rcig_cli.networks.network import Network
from rcig_cli.runs.engine.batches import Batches, RealData
from rcig_cli.runs.engine.real_training import make_training_on_real, seed_of
from rcig_cli.runs.engine.training import LARGEST_BATCH, AnySchedule, make_logits
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol
from rcig_cli.runs.evaluate.results import Spread
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report
from rcig_cli.store.documents import digest_of, read_document, write_document
from rcig_cli.store.files import make_folder
from rcig_cli.store.store import FULL_DATA

_STREAM = 1000  # of random keys; those of evaluations on distilled sets have smaller numbers

_OF_THE_SET = ("steps", "warmup", "hard_labels")  # settings of the training on distilled images only


def full_data_accuracy(
    prepared: Prepared,
    protocol: EvaluationProtocol,
    network: Network,
    schedule: AnySchedule,
    report: Report,
) -> Spread:
    """Return the test accuracy of networks trained on all real images.

    It is read from the data set's folder if it was measured before, unless the protocol uses code of the
    user's own that has no checksum, such as that of a notebook, which may have changed.

    Parameters
    ----------
    prepared
        The data set.
    protocol, network, schedule
        The protocol, and the network and the schedule that follow from it, with `steps_of` steps.
    report
        Receives progress.
    """
    own = {name: value for name, value in protocol.to_json().items() if name not in _OF_THE_SET}
    classes = {} if prepared.only is None else {"classes": list(prepared.chosen)}
    of_schedule = {name: value for name, value in asdict(schedule).items() if name != "operations"}
    code = {"extensions": protocol.extensions} if protocol.extensions else {}
    settings = {**own, **classes, **code, "schedule": of_schedule}
    path = prepared.path / FULL_DATA / f"{digest_of(settings)[:16]}.json"
    if path.exists() and all("module_sha256" in each for each in protocol.extensions.values()):
        return Spread.from_json(read_document(path)["accuracy"])
    found = _trained(prepared, protocol, network, schedule, report)
    make_folder(path.parent)
    write_document(path, {"settings": settings, "accuracy": found.to_json()})
    return found


def steps_of(prepared: Prepared, protocol: EvaluationProtocol, epochs: int) -> int:
    """Return the training steps of some epochs, or those of the protocol if they are more."""
    return max(protocol.steps, epochs * max(1, prepared.sizes["train"] // LARGEST_BATCH))


def _trained(
    prepared: Prepared, protocol: EvaluationProtocol, network: Network, schedule: AnySchedule, report: Report
) -> Spread:
    real = RealData(prepared.images("train"), prepared.labels("train"))
    test, classes = prepared.images("test"), prepared.labels("test")
    logits = make_logits(network)

    def augment(key: Array, images: Array) -> Array:
        key_flip, key_others = jax.random.split(key)
        if protocol.flip:
            images = jax.vmap(flip_horizontally)(jax.random.split(key_flip, len(images)), images)
        return schedule.augmented(key_others, images)

    train = make_training_on_real(
        network, schedule.optimizer(), classes=prepared.classes, loss=schedule.loss, augment=augment
    )
    values: list[float] = []
    for number in range(protocol.networks):
        batches = Batches(real, LARGEST_BATCH, 1, seed_of(protocol.seed, number))
        models = train(jax.random.fold_in(jax.random.key(protocol.seed), _STREAM + number), batches)
        shown: Mapping[str, Any] = {"accuracy": values[-1]} if values else {}
        label = f"training network {number + 1} of {protocol.networks} on all real images"
        for done, trained in enumerate(islice(models, schedule.steps + 1)):
            model = trained
            report.progress(label, done, schedule.steps, shown)
        values.append(float((np.asarray(logits(model, test)).argmax(1) == classes).mean()))
    return Spread(tuple(values))
