"""Pictures of a distilled set, in natural colours."""

import io
from pathlib import Path

from rcig_cli.errors import ConfigError
from rcig_cli.figures.grid import draw_grid
from rcig_cli.jobs.distilled import DistilledSet
from rcig_cli.store.files import storage_errors, write_bytes_atomically


def grid(distilled: DistilledSet, out: Path | None = None) -> Path:
    """Draw every distilled image under its class's name, and write it as a PNG.

    Parameters
    ----------
    distilled
        What is drawn.
    out
        The file; by default ``figures/grid.png`` in the run's folder.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        If ``out`` is no name of a PNG.
    """
    pixels = distilled.prepared.whitening().pixels(distilled.images)
    names = distilled.prepared.manifest.class_names
    picture = draw_grid(pixels, distilled.classes, names)
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG")
    if out is not None and out.suffix.lower() != ".png":
        raise ConfigError(f"{out} must end in .png: that is what is drawn.")
    path = out or distilled.path / "figures" / "grid.png"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, encoded.getvalue())
    return path
