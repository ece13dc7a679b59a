"""The picture of a distilled set: every image enlarged without smoothing, by class, with its name."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.layout import plan_page
from rcig_cli.reporting.figures.paint import Images, Labels, new_canvas, paint_image, write_caption


def draw_grid(
    images: Images,
    labels: Labels,
    class_names: Sequence[str],
    *,
    title: str | None = None,
    columns: int | None = None,
    scale: int | None = None,
) -> Image.Image:
    """Draw images by class, with the names of the classes.

    Parameters
    ----------
    images
        ``[n, H, W, c]``, ``uint8``, ``c`` 1 (grey) or 3 (red, green, blue).
    labels
        The class of each image, ``[n]``, as an index into ``class_names``.
    class_names
        The name of each class; one without images is left out.
    title
        A heading.
    columns
        Images side by side: on the page where each class has one image, else within a class.  By
        default the page comes out near square, with at most 10 images of a class in a line.
    scale
        The whole factor by which images are enlarged; by default one that suits their number.

    Returns
    -------
    PIL.Image.Image
        In RGB.  Images keep their order within a class; ``layout.plan_page`` says where each stands.

    Raises
    ------
    ConfigError
        There are no images, or an argument's shape, type or range is not the one above.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    check_set(images, labels, len(class_names))
    if columns is not None and columns < 1:
        raise ConfigError(f"A grid needs at least 1 column, not {columns}.")
    page = plan_page(
        labels.tolist(), images.shape[1:3], class_names, title=title, columns=columns, scale=scale
    )
    canvas = new_canvas(page.width, page.height)
    for image, tile in zip(images, page.tiles, strict=True):
        paint_image(canvas, image, tile)
    for caption in page.captions:
        write_caption(canvas, caption)
    return canvas[0]


def check_set(images: Images, labels: Labels, classes: int) -> None:
    """Refuse images and labels that can't be drawn.

    Raises
    ------
    ConfigError
        There are no images, or a shape, type or range is not the one ``draw_grid`` takes.
    """
    _check_images(images)
    _check_labels(labels, len(images), classes)


def _check_images(images: Images) -> None:
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
        raise ConfigError(
            "Images to draw have the shape [n, height, width, 1 or 3] and 8 bits a channel,"
            f" not {list(images.shape)} and {images.dtype}."
        )
    if 0 in images.shape:
        raise ConfigError("There are no images to draw.")


def _check_labels(labels: Labels, images: int, classes: int) -> None:
    if labels.shape != (images,) or not np.issubdtype(labels.dtype, np.integer):
        raise ConfigError(
            f"{images} images need as many whole labels, not {list(labels.shape)} of type {labels.dtype}."
        )
    least, most = np.min(labels, initial=0), np.max(labels, initial=0)
    if least < 0 or most >= classes:
        raise ConfigError(
            f"{classes} classes are named, but the labels go from {least} to {most};"
            " count them from 0, and name every class."
        )
