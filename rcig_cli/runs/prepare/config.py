"""The settings of a preparation."""

import pydantic

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
    subset: int | None = setting(None, "Keep this many training images, balanced across classes.", ge=1)
    chunk: int = setting(0, "With --subset: which of the disjoint subsets to keep, from 0.", ge=0)

    @pydantic.model_validator(mode="after")
    def _chunk_of_a_subset(self) -> "PrepareConfig":
        if self.chunk and self.subset is None:
            raise ValueError("chunk requires subset, the number of images in each of the disjoint subsets")
        return self
