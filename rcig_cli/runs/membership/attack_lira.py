"""LiRA on trained networks: by shadow networks of our own, or by the networks of other runs.

Networks trained on real images are attacked online: their training images and as many test images are
candidates; each shadow network is trained on a random half of the candidates, and on what else the attacked
network was trained on, so on as many images as that.

Of a distilled set the members are the images it was distilled from, and a shadow would be a distillation
without some of them.  Other runs, from other images, are just that: networks trained on their sets give what
the examples' scores are when they are not members.  So the attack is offline, and needs two runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.distillation.pool import Model
from rcig_cli.privacy.lira import confidences, inclusion, offline_scores, online_scores
from rcig_cli.privacy.roc import success
from rcig_cli.runs.membership.attack_record import Lira

Images = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images and their classes: ``[n, H, W, c]`` and ``[n]``."""

    images: Images
    classes: Classes

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, chosen: npt.NDArray[Any]) -> "Examples":
        """Those at some places."""
        return Examples(self.images[chosen], self.classes[chosen])

    def and_(self, others: "Examples") -> "Examples":
        """These and others."""
        return Examples(
            np.concatenate([self.images, others.images]), np.concatenate([self.classes, others.classes])
        )


@dataclass(frozen=True, eq=False)
class Candidates:
    """Examples whose membership is to be found out.

    Attributes
    ----------
    members, non_members
        As many of each.
    context
        Further members, which an attacker is taken to know.
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
        """Which of `examples` are."""
        return np.arange(len(self.members) + len(self.non_members)) < len(self.members)


Confidences = Callable[[Model, Examples], npt.NDArray[Any]]


def confidences_by(logits: Callable[[Model, Images], Images]) -> Confidences:
    """Return ``(model, examples) -> phi [n]`` by what gives logits."""
    return lambda model, examples: confidences(logits(model, examples.images), examples.classes)


def from_shadows(
    models: Sequence[Model],
    candidates: Candidates,
    train: Callable[[int, Examples], Model],
    phi: Confidences,
    random: np.random.Generator,
    *,
    shadows: int,
) -> Lira:
    """Attack networks online.

    Parameters
    ----------
    models
        Networks trained on the candidates' members and context.
    candidates
        Whose membership is to be found out.
    train
        Trains the shadow network of a number, as the models were trained.
    phi
        The confidences of a network.
    random
        Draws what shadows are trained on.
    shadows
        How many, an even number.
    """
    examples, members = candidates.examples, candidates.are_members
    inside = inclusion(shadows, len(examples), random)
    seen = np.stack(
        [
            phi(train(number, candidates.context.and_(examples.take(had))), examples)
            for number, had in enumerate(inside)
        ]
    )
    found = [success(online_scores(phi(model, examples), seen, inside), members) for model in models]
    return Lira("online", len(candidates.members), len(candidates.non_members), shadows, tuple(found))


@dataclass(frozen=True, eq=False)
class Distillation:
    """A run's networks, as other runs' examples are shown to them.

    Attributes
    ----------
    models
        Networks trained on its distilled set.
    candidates
        Images it was distilled from, and others.
    whitening
        What its images went through.
    phi
        The confidences of its networks.
    """

    models: Sequence[Model]
    candidates: Candidates
    whitening: Whitening
    phi: Confidences


def from_other_runs(attacked: Distillation, others: Sequence[Distillation]) -> Lira | None:
    """Attack networks trained on a distilled set offline, by those of other runs.

    Returns
    -------
    Lira
        None where no other run was distilled from other images.
    """
    examples, members = attacked.candidates.examples, attacked.candidates.are_members
    pixels = attacked.whitening.pixels(examples.images)
    names = _names(pixels)
    seen, outside = [], []
    for other in others:
        as_there = Examples(other.whitening.apply(pixels), examples.classes)
        known = other.candidates.members.and_(other.candidates.context)
        without = ~np.isin(names, _names(other.whitening.pixels(known.images)))
        for model in other.models:
            seen.append(other.phi(model, as_there))
            outside.append(without)
    kept = np.any(outside, axis=0)
    if not (kept & members).any() or not (kept & ~members).any():
        return None
    shadows, without = np.stack(seen)[:, kept], np.stack(outside)[:, kept]
    found = [
        success(offline_scores(attacked.phi(model, examples)[kept], shadows, without), members[kept])
        for model in attacked.models
    ]
    return Lira("offline", int((kept & members).sum()), int((kept & ~members).sum()), len(seen), tuple(found))


def _names(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.str_]:
    """A name for each image that equal ones share, whatever they were whitened by."""
    return np.array([sha256(image.tobytes()).hexdigest() for image in pixels])
