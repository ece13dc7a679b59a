"""The animation: its frames are the images in the order of the steps, in their colours."""

import io

import numpy as np
import pytest
from PIL import Image

from rcig_cli.reporting.figures import animation
from rcig_cli.reporting.figures.animation import BETWEEN, FIRST, LAST, draw_animation
from rcig_cli.reporting.figures.canvas import BACKGROUND, INK, Heading
from rcig_cli.reporting.figures.grid import plan_grid
from tests.reporting.figures.pictures import clear_border, noise

NAMES = ["red one", "green one", "<blue>"]
HUES = np.array([(220, 30, 30), (30, 200, 40), (30, 40, 210)], np.uint8)


def hued(share):
    """Three images between grey and their hue."""
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


def shown(frame, images):
    """The colour in the middle of each image."""
    layout = plan_grid(np.arange(len(images)), images.shape[1:3], NAMES)
    return np.array(
        [frame[top + layout.tile[1] // 2, left + layout.tile[0] // 2] for left, top in layout.tiles]
    )


def test_frames_are_the_steps_in_order_in_their_colours():
    images = [hued(share) for share in np.linspace(0, 1, 5)]
    frames, durations = read(draw_animation(images, [0, 1, 3, 10, 100], np.arange(3), NAMES))
    assert durations == [FIRST, BETWEEN, BETWEEN, BETWEEN, LAST]
    for frame, each in zip(frames, images, strict=True):
        assert np.abs(shown(frame, each) - each[:, 0, 0].astype(int)).max() <= 2
        assert (frame[0, 0] == BACKGROUND).all()
        assert clear_border(frame, 8)


def test_the_bar_grows_in_proportion_to_the_step_and_the_size_stays():
    heading = Heading("run_1", "test accuracy 50.0 %")
    frames, _ = read(draw_animation([hued(0.5)] * 4, [0, 50, 100, 200], np.arange(3), NAMES, heading=heading))
    bars = [(frame == INK).all(axis=-1).sum(axis=1)[-66:].max() for frame in frames]
    np.testing.assert_allclose(np.array(bars) / bars[-1], [0, 0.25, 0.5, 1], atol=0.01)
    assert len({frame.shape for frame in frames}) == 1


def test_grey_stays_grey():
    images = [noise(3, (8, 8, 1), seed) for seed in range(3)]
    frames, _ = read(draw_animation(images, [0, 1, 2], np.arange(3), NAMES))
    for frame, each in zip(frames, images, strict=True):
        colours = shown(frame, each)
        assert np.ptp(colours, axis=1).max() == 0
        # Pillow finds colours in the palette by six bits of each channel.
        assert np.abs(colours[:, 0] - each[:, 4, 4, 0].astype(int)).max() < 4


def test_a_large_animation_loses_frames_but_not_the_first_and_the_last(monkeypatch):
    images = [noise(3, seed=seed) for seed in range(20)]
    whole = draw_animation(images, list(range(20)), np.arange(3), NAMES)
    monkeypatch.setattr(animation, "LARGEST", len(whole) // 3)
    less = draw_animation(images, list(range(20)), np.arange(3), NAMES)
    assert len(less) <= len(whole) // 3
    (frames, durations), (every, _) = read(less), read(whole)
    assert 3 <= len(frames) < 8
    assert (frames[0] == every[0]).all()
    assert (frames[-1] == every[-1]).all()
    assert durations[-1] == LAST


@pytest.mark.parametrize("count", [None, 500])
def test_a_narrow_page_has_room_for_its_text(count):
    encoded = draw_animation([noise(1, (8, 8, 1))] * 2, [0, 1000000], np.zeros(1, int), ["a"], count=count)
    assert clear_border(read(encoded)[0][1], 8)
