"""The animation: its frames are the images in the order of the steps, in their colours."""

import io

import numpy as np
import pytest
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures import animation
from rcig_cli.reporting.figures.animation import BETWEEN, FIRST, LAST, draw_animation
from rcig_cli.reporting.figures.layout import plan_page
from rcig_cli.reporting.figures.paint import BACKGROUND, INK
from tests.reporting.figures.pictures import clear_border, noise

NAMES = ["red one", "green one", "<blue>"]
HUES = np.array([(220, 30, 30), (30, 200, 40), (30, 40, 210)], np.uint8)


def hued(share):
    """Three images that fade from grey into their hue."""
    mixed = (1 - share) * 128 + share * HUES.astype(float)
    return np.broadcast_to(mixed.round().astype(np.uint8)[:, None, None], (3, 8, 8, 3))


def read(encoded):
    frames, durations = [], []
    with Image.open(io.BytesIO(encoded)) as picture:
        assert picture.format == "GIF"
        assert picture.info["loop"] == 0
        for index in range(picture.n_frames):
            picture.seek(index)
            durations.append(picture.info["duration"])
            frames.append(np.asarray(picture.convert("RGB")).astype(int))
    return frames, durations


def shown(frame, images, names):
    """The colour at the middle of each tile."""
    page = plan_page(list(range(len(names))), images.shape[1:3], names)
    return np.array([frame[t.top + t.height // 2, t.left + t.width // 2] for t in page.tiles])


def test_frames_are_the_steps_in_order_in_their_colours():
    steps = [0, 1, 3, 10, 100]
    images = [hued(share) for share in np.linspace(0, 1, 5)]
    frames, durations = read(draw_animation(images, steps, np.arange(3), NAMES))
    assert len(frames) == 5
    assert durations == [FIRST, BETWEEN, BETWEEN, BETWEEN, LAST]
    for frame, each in zip(frames, images, strict=True):
        assert np.abs(shown(frame, each, NAMES) - each[:, 0, 0].astype(int)).max() <= 2
        assert (frame[0, 0] == BACKGROUND).all()
        assert clear_border(frame, 8)


def test_the_bar_grows_with_the_step_and_the_page_stays():
    images = [hued(0.5)] * 4
    frames, _ = read(draw_animation(images, [0, 2, 20, 200], np.arange(3), NAMES))
    rows = [(frame == INK).all(axis=-1).sum(axis=1).max() for frame in frames]
    assert rows == sorted(rows)
    assert rows[0] < rows[1] < rows[2] < rows[3]
    assert len({frame.shape for frame in frames}) == 1


def test_grey_stays_grey():
    images = [noise(3, (8, 8, 1), seed) for seed in range(3)]
    frames, _ = read(draw_animation(images, [0, 1, 2], np.arange(3), NAMES))
    for frame, each in zip(frames, images, strict=True):
        colours = shown(frame, each, NAMES)
        assert np.ptp(colours, axis=1).max() == 0
        # Pillow looks colours up by six bits of each channel.
        assert np.abs(colours[:, 0] - each[:, 4, 4, 0].astype(int)).max() < 4


def test_all_frames_share_one_palette_of_256_colours():
    images = [noise(30, seed=seed) for seed in range(4)]
    frames, _ = read(draw_animation(images, [0, 1, 2, 3], np.arange(30) % 3, NAMES))
    assert len(np.unique(np.concatenate([frame.reshape(-1, 3) for frame in frames]), axis=0)) <= 256


def test_a_large_animation_loses_frames_but_not_the_first_and_the_last(monkeypatch):
    images = [noise(3, seed=seed) for seed in range(20)]
    whole = draw_animation(images, list(range(20)), np.arange(3), NAMES)
    monkeypatch.setattr(animation, "LARGEST", len(whole) // 3)
    less = draw_animation(images, list(range(20)), np.arange(3), NAMES)
    assert len(less) <= len(whole) // 3
    frames, durations = read(less)
    every, _ = read(whole)
    assert 3 <= len(frames) < 8
    assert (frames[0] == every[0]).all()
    assert (frames[-1] == every[-1]).all()
    assert durations[-1] == LAST


def test_a_narrow_page_has_room_for_its_step():
    frames, _ = read(draw_animation([noise(1, (8, 8, 1))] * 2, [0, 1000000], np.zeros(1, int), ["a"]))
    assert clear_border(frames[1], 8)


def test_it_says_when_only_some_of_the_images_are_shown(monkeypatch):
    said = []
    monkeypatch.setattr(animation, "fit_lines", lambda text, *_: said.append(text) or (text,))
    for count in (None, 3, 500):
        draw_animation([noise(3)] * 2, [0, 7], np.arange(3), NAMES, count=count)
    assert said[:4] == ["step 0: real images", "step 7 of 7"] * 2
    assert said[4:] == ["step 0: real images, 3 of 500 images", "step 7 of 7, 3 of 500 images"]


def test_what_cannot_be_drawn_is_refused_in_a_sentence():
    with pytest.raises(ConfigError, match="not 0 for 0"):
        draw_animation([], [], np.arange(3), NAMES)
    with pytest.raises(ConfigError, match="not 1 for 2"):
        draw_animation([hued(0), hued(1)], [0], np.arange(3), NAMES)
