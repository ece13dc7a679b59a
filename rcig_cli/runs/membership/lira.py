"""LiRA on trained networks, with shadow networks or with the networks of other runs.

Networks trained on real images are attacked online.  The candidates are their training images and the same
number of test images.  Each shadow network is trained on a random half of the candidates, and on all other
training images of the attacked network, so that it has the same number of training images.

The members of a distilled set are the images that it was distilled from.  A shadow network would have to be
trained on a set distilled without some of them.  The networks of other runs, distilled from other images,
serve as such shadows: they give the scores of the examples as non-members.  So this attack is offline, and
needs two runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.distillation.pool import Model
from rcig_cli.privacy.lira import inclusion, offline_scores, online_scores
from rcig_cli.privacy.roc import success
from rcig_cli.runs.membership.results import LiraResult


@dataclass(frozen=True, eq=False)
class Examples:
    """Images ``[n, H, W, c]`` and their classes ``[n]``."""

    images: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, indices: npt.NDArray[Any]) -> "Examples":
        """Return the examples at some indices, or those that a mask selects."""
        return Examples(self.images[indices], self.classes[indices])

    def and_(self, others: "Examples") -> "Examples":
        """Return these examples followed by others."""
        images, classes = [self.images, others.images], [self.classes, others.classes]
        return Examples(np.concatenate(images), np.concatenate(classes))


@dataclass(frozen=True, eq=False)
class Candidates:
    """Examples whose membership an attack infers.

    Attributes
    ----------
    members, non_members
        The same number of each.
    context
        Further members, which the attacker is assumed to know.
    """

    members: Examples
    non_members: Examples
    context: Examples

    @property
    def examples(self) -> Examples:
        """Members, then non-members."""
        return self.members.and_(self.non_members)

    @property
    def are_members(self) -> npt.NDArray[np.bool_]:
        """Which of `examples` are members."""
        return np.arange(len(self.members) + len(self.non_members)) < len(self.members)


# (model, examples) -> phi [n], the confidence at the true class (`privacy.lira.confidences`)
Confidences = Callable[[Model, Examples], npt.NDArray[Any]]


def attack_online(
    models: Sequence[Model],
    candidates: Candidates,
    train: Callable[[int, Examples], Model],
    phi: Confidences,
    random: np.random.Generator,
    *,
    shadows: int,
) -> LiraResult:
    """Attack networks that were trained on the members and the context of the candidates.

    Parameters
    ----------
    train
        Trains the shadow network of a given number, as the models were trained.
    random
        Draws the training sets of the shadows.
    shadows
        Number of shadow networks, even.
    """
    examples, members = candidates.examples, candidates.are_members
    inside = inclusion(shadows, len(examples), random)
    seen = np.stack(
        [
            phi(train(number, candidates.context.and_(examples.take(included))), examples)
            for number, included in enumerate(inside)
        ]
    )
    found = [success(online_scores(phi(model, examples), seen, inside), members) for model in models]
    return LiraResult("online", len(candidates.members), len(candidates.non_members), shadows, tuple(found))


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """Networks trained on a run's distilled set, and the images it was distilled from as candidates."""

    models: Sequence[Model]
    candidates: Candidates
    whitening: Whitening
    phi: Confidences


def attack_offline(attacked: TrainedRun, others: Sequence[TrainedRun]) -> LiraResult | None:
    """Attack the networks of one run, with the networks of other runs as shadows.

    Returns None if all the other runs were distilled from the same images.
    """
    examples, members = attacked.candidates.examples, attacked.candidates.are_members
    pixels = attacked.whitening.pixels(examples.images)
    ids = _image_ids(pixels)
    seen, outside = [], []
    for other in others:
        # The other networks need images with their own preprocessing.
        preprocessed = Examples(other.whitening.apply(pixels), examples.classes)
        theirs = other.candidates.members.and_(other.candidates.context)
        unseen = ~np.isin(ids, _image_ids(other.whitening.pixels(theirs.images)))
        for model in other.models:
            seen.append(other.phi(model, preprocessed))
            outside.append(unseen)
    kept = np.any(outside, axis=0)
    if not (kept & members).any() or not (kept & ~members).any():
        return None
    shadows, without = np.stack(seen)[:, kept], np.stack(outside)[:, kept]
    found = [
        success(offline_scores(attacked.phi(model, examples)[kept], shadows, without), members[kept])
        for model in attacked.models
    ]
    counts = int((kept & members).sum()), int((kept & ~members).sum())
    return LiraResult("offline", *counts, len(seen), tuple(found))


def _image_ids(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.str_]:
    """Return a checksum for each image: equal for equal pixels, however the images were whitened."""
    return np.array([sha256(image.tobytes()).hexdigest() for image in pixels])
