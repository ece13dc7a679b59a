"""The sizes of the distilled sets of runs.  Needs no JAX."""

from contextlib import suppress

from rcig_cli.errors import RcigError
from rcig_cli.presets.classes import chosen_classes
from rcig_cli.presets.config import DistillConfig
from rcig_cli.presets.set_size import SetSize
from rcig_cli.store.records import RunManifest
from rcig_cli.store.store import Store


def size_of_run(store: Store, run: RunManifest) -> SetSize | None:
    """Return the size of the distilled set of a run; None if its data set was removed or replaced."""
    with suppress(RcigError):
        dataset, config = store.dataset(run.dataset), DistillConfig.from_stored(run.config)
        if dataset.digest != run.parents["dataset"]["digest"]:
            return None
        classes = chosen_classes(config.classes, dataset.class_names)
        return SetSize.of(config, dataset.shape, len(classes))
    return None
