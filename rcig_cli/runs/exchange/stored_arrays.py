"""The arrays that an imported parametrized set stores, checked against its settings and its images."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.imported_set import ImportedSet
from rcig_cli.data.exchange.records import STORED
from rcig_cli.distillation.parametrizations import PARAMETRIZATIONS
from rcig_cli.errors import ConfigError, listed, shorten
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.prepare.prepared import Prepared

_TOLERANCE = 1e-4  # relative difference up to which images count as decoded from the stored arrays


def parametrized(
    path: Path, imported: ImportedSet, prepared: Prepared
) -> tuple[DistillConfig, dict[str, npt.NDArray[np.float32]]]:
    """Return the configuration of an imported parametrized set, and the arrays that it stores.

    Number and shapes of the arrays are checked before they are read, so they take no more memory than the
    images.

    Parameters
    ----------
    path
        The file, for errors.
    imported
        The set, with the settings that the file states.
    prepared
        The data set that it was distilled from.

    Raises
    ------
    ConfigError
        If the settings aren't possible for this data set, or images or arrays don't fit them.
    """
    assert imported.parametrization is not None
    config = _config(path, imported, prepared)
    shape, classes = prepared.shape, prepared.classes
    name = config.parametrization
    counts, found = config.decoded_per_class(classes), np.bincount(imported.classes, minlength=classes)
    if counts != tuple(found.tolist()):
        raise ConfigError(
            f"{path} has {len(imported.classes)} images, but with its settings of {name} it would have "
            f"{sum(counts)}, or others of each class. Export the set again."
        )
    expected = config.stored_shapes(shape, classes)
    for array in dict.fromkeys((*expected, *imported.stored)):
        there = imported.stored.get(array)
        is_right = there is not None and there.shape == expected.get(array) and there.dtype == np.float32
        if not is_right:
            theirs = "no such array" if there is None else f"{there.dtype} {shorten(there.shape)}"
            wanted = f"float32 {expected[array]}" if array in expected else "no such array"
            raise ConfigError(
                f"{path}: {STORED}{array[:40]} doesn't fit the settings of {name}: the file has {theirs}, "
                f"the settings need {wanted}. Export the set again."
            )
    stored = {array: each.read() for array, each in imported.stored.items()}
    images = config.decoder(shape, classes).decode(stored)
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.linalg.norm(images - imported.images)
    if not distance <= _TOLERANCE * np.linalg.norm(images):
        raise ConfigError(
            f"The images of {path} are not those that its stored arrays ({listed(list(stored))}) decode to: "
            "export the set again, or remove its parametrization to import the images as a raw set."
        )
    return config, stored


def _config(path: Path, imported: ImportedSet, prepared: Prepared) -> DistillConfig:
    settings = imported.parametrization
    assert settings is not None
    name = settings.get("parametrization")
    known = PARAMETRIZATIONS.get(name) if isinstance(name, str) else None
    if known is None:
        raise ConfigError(
            f"{path} has the parametrization {shorten(name)}, which is none of: "
            f"{', '.join(PARAMETRIZATIONS)}."
        )
    others = settings.keys() - {"parametrization", "ipc", *known.declared}
    if others or "ipc" not in settings:
        problem = f"{shorten(min(others))} is not one of them" if others else "ipc is missing"
        raise ConfigError(f"{path} has other settings than those of {name}: {problem}. Export the set again.")
    try:
        return resolved(prepared, {**settings, "classes": prepared.only})
    except ConfigError as error:
        raise ConfigError(f"{path} has settings of {name} that can't be used. {error}") from None
