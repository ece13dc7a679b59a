"""The record that describes a parametrization of distilled images.

    images = decode(stored)

The stored arrays are what is learned and written to the disk; networks see the decoded images, each of which
has a learned label of its own.  The functions use only what NumPy and JAX arrays have in common, so the same
``decode`` is differentiated inside an outer step and used to read a set without JAX.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rcig_cli.distillation.settings import Choice
from rcig_cli.settings import record

PANEL = "Parametrization"

Stored = Mapping[str, Any]  # stored arrays by name, of NumPy or JAX
Shape = tuple[int, int, int]  # height, width and channels of an image
Counts = tuple[int, ...]  # images of each class that --ipc asks for


@record
class ParametrizationSettings:
    """Settings of one parametrization; each has a record of its own."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """The functions between stored arrays and images; by default the stored array is the images.

    Attributes
    ----------
    decode
        Stored arrays to images ``[n, H, W, c]``, class by class; differentiable.
    encode
        The start: real images, one for each decoded image and in their order, to stored arrays (NumPy).
    rates
        Learning rates of stored arrays that have their own; all others have that of images.
    """

    decode: Callable[[Stored], Any] = lambda stored: stored["images"]
    encode: Callable[[Any], dict[str, Any]] = lambda images: {"images": images}
    rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Parametrization(Choice):
    """A parametrization of distilled images, the value of ``--parametrization``.

    Attributes
    ----------
    settings
        A record of `ParametrizationSettings`.
    shapes
        ``(settings, image_shape, counts) -> shapes`` of the stored arrays, by name; raises `ConfigError` if
        the settings don't suit images of this shape.
    make
        ``(settings, image_shape, counts) -> Decoder``.
    images_per_class
        ``(settings, ipc) ->`` decoded images of a class of which --ipc asks for ``ipc`` images.
    shared
        Names of stored arrays that all classes share; the rows of the others are in the order of the classes.
    defaults
        ``(image_shape, counts, given) -> settings``: defaults that depend on the images and on the settings
        given, by name.
    """

    settings: type[ParametrizationSettings]
    shapes: Callable[[Any, Shape, Counts], dict[str, tuple[int, ...]]]
    make: Callable[[Any, Shape, Counts], Decoder]
    images_per_class: Callable[[Any, int], int] = lambda _settings, ipc: ipc
    shared: tuple[str, ...] = ()
    defaults: Callable[[Shape, Counts, Mapping[str, Any]], Mapping[str, Any]] = lambda *_: {}
