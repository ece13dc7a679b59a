"""The settings of a preparation."""

import pydantic

from rcig_cli.data.sources.options import Layout, ReadOptions, parse_range
from rcig_cli.settings import record, setting


@record
class PrepareConfig:
    """The settings of a preparation, besides the name of the data set and the path of the user's own data."""

    resolution: int | None = setting(
        None, "Side in pixels to which images are cropped and resized.", ge=4, le=1024
    )
    zca: bool | None = setting(None, "Whiten the images. Default: yes for RGB, no for grey.")
    zca_reg: float = setting(
        0.1, "Regularization of the whitening, as a fraction of the average eigenvalue. Default: 0.1.", gt=0
    )
    range: str | None = setting(
        None,
        "LOW,HIGH: the values of black and white pixels; values outside are clipped. "
        "Default: 0,255 for 8-bit images, from the values of arrays; needed for deeper grey image files.",
        panel="With --from",
    )
    layout: Layout | None = setting(
        None,
        "Where image arrays have their channels: nhwc (last) or nchw (first). Default: from their shape.",
        panel="With --from",
    )
    labels: str | None = setting(
        None,
        "A CSV or JSON lines file with the name and the class of each image file, "
        "or the name of the column of classes.",
        panel="With --from",
    )
    skip_damaged: bool = setting(
        False, "Leave damaged images out. Default: they are an error.", panel="With --from"
    )
    classes: str | None = setting(
        None,
        "Keep only these classes, in this order: names or numbers from 0, separated by commas. Default: all.",
    )
    subset: int | None = setting(None, "Keep this many training images, balanced across classes.", ge=1)
    chunk: int = setting(0, "With --subset: which of the disjoint subsets to keep, from 0.", ge=0)

    @pydantic.model_validator(mode="after")
    def _check(self) -> "PrepareConfig":
        if self.chunk and self.subset is None:
            raise ValueError("chunk requires subset, the number of images in each of the disjoint subsets")
        if self.range is not None:
            parse_range(self.range)
        return self

    def read_options(self) -> ReadOptions:
        """Return the settings that say how data are read."""
        limits = None if self.range is None else parse_range(self.range)
        return ReadOptions(self.resolution, limits, self.layout, self.labels, self.skip_damaged)
