"""Reading and writing the distilled set of a run.

``distilled.zarr`` has the stored arrays of the run's parametrization, from which the images are decoded, and
``labels [n, C]``, centred, and ``classes [n]``, the class that each decoded image started from.  A raw set
stores ``images [n, H, W, c]`` as the network sees them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.errors import Corrupt, NotFound, NumericsError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.presets.set_size import SetSize
from rcig_cli.runs.prepare.prepared import Prepared, parent_of
from rcig_cli.store.arrays import read_array, write_arrays
from rcig_cli.store.digests import digests, mismatches
from rcig_cli.store.files import publish, remove_folder, temporary_folder
from rcig_cli.store.metrics import METRICS
from rcig_cli.store.records import RunManifest
from rcig_cli.store.store import Store

DISTILLED = "distilled.zarr"


@dataclass(frozen=True, eq=False)
class DistilledSet:
    """A distilled set, with the run's manifest, folder and settings, and its data set.

    Attributes
    ----------
    stored
        The stored arrays by name, float32.
    images
        The images that are decoded from these, as the network sees them, float32 ``[n, H, W, c]``.
    labels
        Learned labels, centred, float32 ``[n, C]``.
    classes
        The class that each image started from, ``[n]``.
    """

    run: RunManifest
    path: Path
    config: DistillConfig
    prepared: Prepared
    stored: Mapping[str, npt.NDArray[np.float32]]
    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]

    @property
    def size(self) -> SetSize:
        """Bytes of the stored arrays and of the labels, uncompressed, and number of images."""
        return SetSize.of(self.config, self.prepared.shape, self.prepared.classes)


def write_distilled(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, str]:
    """Write the arrays into a run's folder, in place of any there; return the digests of the files.

    They are the stored arrays, ``labels`` and ``classes``.

    Raises
    ------
    NumericsError
        If they are not all finite; nothing is written then.
    """
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise NumericsError(
            "The distilled images are not finite numbers, so they were not written. Start a new run with a "
            "lower --image-lr."
        )
    if (path / DISTILLED).exists():  # of a process that was killed before it could finish the run
        remove_folder(path / DISTILLED)
    with temporary_folder(path) as temporary:
        write_arrays(temporary, arrays)
        publish(temporary, path / DISTILLED)
    return digests(path, DISTILLED)


def open_distilled(store: Store, name: str) -> DistilledSet:
    """Read the distilled set of a finished run; of the newest run if the name is "newest".

    Raises
    ------
    NotFound
        If there is no such run, or it is not finished.
    Corrupt
        If its files, other than the log, don't match the checksums in its manifest.
    """
    run = store.run(name)
    name, path = run.name, store.run_path(run.name)
    if run.status != "finished":
        raise _unfinished(store, run)
    damaged = mismatches(path, {file: digest for file, digest in run.files.items() if file != METRICS})
    if damaged:
        listed = ", ".join(f"{file} ({problem})" for file, problem in damaged.items())
        raise Corrupt(f"{name} is damaged: {listed}. Restore it from a backup, or make the run again.")
    config, prepared = DistillConfig.from_stored(run.config), parent_of(store, run)
    labels, classes = (read_array(path / DISTILLED, array) for array in ("labels", "classes"))
    names = config.stored_shapes(prepared.shape, prepared.classes)
    stored = {name: read_array(path / DISTILLED, name) for name in names}
    images = config.decoder(prepared.shape, prepared.classes).decode(stored)
    return DistilledSet(run, path, config, prepared, stored, images, labels, classes)


def _unfinished(store: Store, run: RunManifest) -> NotFound:
    """Return the error for a run that has no distilled set yet."""
    status = store.with_current_status(run).status
    if status == "running":
        progress = store.progress(run)
        at = "" if progress is None else f" ({progress.label}, {progress.done} of {progress.total})"
        return NotFound(
            f"{run.name} is still running{at}. "
            f"To wait until it is finished: {store.command(f'watch {run.name}')}"
        )
    if status == "failed":
        return NotFound(
            f"{run.name} diverged and has no distilled set. {store.command(f'show {run.name}')} says more."
        )
    return NotFound(
        f"{run.name} is not finished; it is at step {run.step} of {run.config['steps']}. To resume: "
        f"{store.command(f'distill --resume {run.name}')}"
    )
