"""The real images of each outer step: kept on the device if they fit, else read ahead by a thread.

Images that don't fit into the host's memory are read from the disk.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array

from rcig_cli.augmentation import augment_one
from rcig_cli.runs.engine.environment import pinned
from rcig_cli.runs.engine.mesh import memory_limit
from rcig_cli.runs.engine.randomness import Use, balanced_order, batch_order, image_keys, key_for

_LARGEST_SHARE = 0.25  # of a device's memory, for the real images

Indices = npt.NDArray[np.int64]


class Rows(Protocol):
    """Rows of numbers on the disk, which are read when they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all rows."""

    @property
    def nbytes(self) -> int:
        """Bytes of all rows in memory."""

    def __getitem__(self, chosen: Indices) -> npt.NDArray[np.float32]:
        """Read rows by their indices ``[...]``: ``[..., *row]``."""


class RealData(NamedTuple):
    """The real training images, ``[N, H, W, c]``, in memory or on the disk, and their classes, ``[N]``."""

    images: npt.NDArray[np.float32] | Rows
    classes: npt.NDArray[np.int32]

    def take(self, chosen: Indices) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Return images ``[..., H, W, c]`` and classes ``[...]`` by their indices ``[...]``."""
        return self.images[chosen], self.classes[chosen]

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of the host's memory that the images occupy."""
        return self.images.nbytes if isinstance(self.images, np.ndarray) else 0

    def fits(self, device: jax.Device) -> bool:
        """Whether they may be kept in a device's memory, together with the rest of a run."""
        if not isinstance(self.images, np.ndarray):
            return False
        limit = memory_limit(device)
        return limit is None or self.images.nbytes <= _LARGEST_SHARE * limit


class Batches:
    """The real images of each outer step, divided evenly among its pool models.

    Parameters
    ----------
    real
        All real training images.
    batch, models
        Images per step, and pool models per step.
    seed
        The run's seed.
    augmentations
        Names of the operations (`rcig_cli.augmentation`) by which the images are augmented; none by default.
    balanced
        Whether each model gets as many images of each class; ``batch // models`` must then be a multiple of
        the number of classes.
    """

    def __init__(
        self,
        real: RealData,
        batch: int,
        models: int,
        seed: int,
        augmentations: Sequence[str] = (),
        *,
        balanced: bool = False,
    ) -> None:
        self.real, self.augmentations = real, augmentations
        self._seed = seed
        key = key_for(seed, Use.DATA)
        if balanced:
            self._order = balanced_order(key, real.classes, int(real.classes.max()) + 1, batch)
            self._shape = models, batch // models
        else:
            self._order = batch_order(key, len(real.classes), batch)
            self._shape = models, min(batch, len(real.classes)) // models

    def chosen(self, step: int) -> Indices:
        """Return the indices of a step's images, ``[models, batch // models]``."""
        return self._order(step).reshape(self._shape)

    def of(self, step: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Return a step's images, ``[models, batch // models, H, W, c]``, and their classes."""
        return self.real.take(self.chosen(step))

    def augmented(self, images: Array, step: Array, first: tuple[Array | int, Array | int] = (0, 0)) -> Array:
        """Return a step's images after augmentation; a pure function of arrays.

        Parameters
        ----------
        images
            ``[m, k, H, W, c]``: some of the step's images.
        step
            The step's number, from 0.
        first
            The first of the models and, for each, the first of its images that these are.
        """
        if not self.augmentations:
            return images
        models, rows = (at + jnp.arange(size) for at, size in zip(first, images.shape[:2], strict=True))
        keys = image_keys(self._seed, step, models[:, None] * self._shape[1] + rows)
        return jax.vmap(jax.vmap(lambda key, image: augment_one(key, image, self.augmentations)))(
            keys, images
        )

    @property
    def shapes(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """Shapes of what `of` returns."""
        images = jax.ShapeDtypeStruct((*self._shape, *self.real.images.shape[1:]), np.float32)
        return images, jax.ShapeDtypeStruct(self._shape, np.int32)


class ReadAhead:
    """Reads the data of the next steps in a thread, while the device computes.

    Parameters
    ----------
    read
        ``(step, count) ->`` the data of ``count`` steps from ``step`` on.
    """

    def __init__(self, read: Callable[[int, int], Any]) -> None:
        self._read = pinned()(read)  # JAX's options are those of a thread
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._coming: tuple[tuple[int, int], Future[Any]] | None = None

    def take(self, step: int, count: int) -> Any:
        """Return the data of ``count`` steps from ``step`` on, and start reading those of the next steps."""
        wanted = step, count
        if self._coming is not None and self._coming[0] == wanted:
            needed = self._coming[1].result()
        else:
            needed = self._read(*wanted)
        following = step + count, count
        self._coming = following, self._thread.submit(self._read, *following)
        return needed
