"""When, and with which versions of what: the parts of a manifest that the machine fills in."""

import platform
from datetime import UTC, datetime

_LIBRARIES = ("rcig-cli", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "zarr", "numpy")


def now() -> str:
    """Return the time in UTC as manifests write it, such as ``2025-03-01T12:30:00.123456+00:00``."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on, importing none of them.

    Returns
    -------
    dict
        From the name of a distribution to its version; what isn't installed is left out.
    """
    from importlib import metadata

    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found
