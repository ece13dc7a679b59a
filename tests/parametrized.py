"""Parametrized sets made without distilling: real images of a data set, encoded and decoded again."""

import numpy as np

from rcig_cli.data.exchange.formats import EXPORTS
from rcig_cli.data.exchange.records import ExportedSet
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.store.store import open_store

MULTIFORMATION = {"parametrization": "multiformation", "factor": 2}
BASIS = {"parametrization": "basis", "mixtures": 3, "bases": 4, "basis_size": 4}


def encoded(store, dataset, settings, seed=0):
    """A set of a prepared data set as it is exported, with ``settings`` of `rcig distill`."""
    prepared = open_prepared(open_store(store, create=False), dataset)
    manifest, classes = prepared.manifest, prepared.classes
    config = resolved(prepared, {"ipc": 1, **settings})
    images, labels = prepared.split("train")
    counts = config.decoded_per_class(classes)
    chosen = np.concatenate([np.flatnonzero(labels == c)[:count] for c, count in enumerate(counts)])
    decoder = config.decoder(manifest.shape, classes)
    stored = {name: array.astype(np.float32) for name, array in decoder.encode(images[chosen]).items()}
    soft = np.eye(classes)[labels[chosen]] - 1 / classes
    soft += np.random.default_rng(seed).normal(0, 0.05, soft.shape)
    return ExportedSet(
        run="run_7",
        dataset=manifest.name,
        class_names=manifest.class_names,
        images=np.asarray(decoder.decode(stored), np.float32),
        labels=soft.astype(np.float32),
        classes=labels[chosen].astype(np.int32),
        whitening=prepared.whitening(),
        stored=stored,
        parametrization=config.to_decode(),
    )


def write_encoded(path, store, dataset, settings, seed=0):
    """Write such a set as ``.npz``, for `rcig import`."""
    EXPORTS["npz"].write(path, encoded(store, dataset, settings, seed))
