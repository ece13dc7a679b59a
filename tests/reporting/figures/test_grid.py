"""The picture shows every image unaltered, and nothing stands on anything else."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.grid import draw_grid
from rcig_cli.reporting.figures.layout import plan_page
from rcig_cli.reporting.figures.paint import BACKGROUND

LONG = "supercalifragilisticexpialidocious golden_retriever of the Chesapeake-Bay"
SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (128, 128, 3), (20, 33, 3)]


def noise(count, shape=(32, 32, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def named(classes):
    return [f"class name {index}" for index in range(classes)]


def balanced_labels(classes, per_class):
    return np.repeat(np.arange(classes), per_class)


def area(box):
    return slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)


def framed(tile):
    return slice(tile.top - 1, tile.top + tile.height + 1), slice(tile.left - 1, tile.left + tile.width + 1)


def apart(one, other):
    return (
        one.left + one.width <= other.left
        or other.left + other.width <= one.left
        or one.top + one.height <= other.top
        or other.top + other.height <= one.top
    )


def assert_right(images, labels, names, **options):
    """Check a picture against its plan, pixel by pixel, and return the plan."""
    picture = draw_grid(images, labels, names, **options)
    page = plan_page(labels.tolist(), images.shape[1:3], names, **options)
    assert picture.mode == "RGB"
    assert picture.size == (page.width, page.height)
    pixels = np.asarray(picture)
    assert_tiles_show(images, page, pixels)
    assert_rest_is_background(page, pixels)
    return page


def assert_tiles_show(images, page, pixels):
    assert len(page.tiles) == len(images)
    for image, tile in zip(images, page.tiles, strict=True):
        enlarged = image.repeat(page.scale, axis=0).repeat(page.scale, axis=1)
        np.testing.assert_array_equal(pixels[area(tile)], np.broadcast_to(enlarged, (*enlarged.shape[:2], 3)))


def assert_rest_is_background(page, pixels):
    """No text leaves its box, and no box touches another or the edge."""
    covered = np.zeros(pixels.shape[:2], int)
    for place in [framed(tile) for tile in page.tiles] + [area(caption.box) for caption in page.captions]:
        covered[place] += 1
    assert covered.max() == 1
    assert (pixels[covered == 0] == BACKGROUND).all()
    margin = 16
    assert not covered[:margin].any()
    assert not covered[-margin:].any()
    assert not covered[:, :margin].any()
    assert not covered[:, -margin:].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("per_class", [1, 3])
def test_every_image_is_shown_enlarged(shape, per_class):
    labels = balanced_labels(5, per_class)
    assert_right(noise(len(labels), shape), labels, named(5), title="A heading")


@pytest.mark.parametrize("classes", [1, 2, 3, 7, 10, 37, 100, 200])
@pytest.mark.parametrize("per_class", [1, 2])
def test_any_number_of_classes(classes, per_class):
    labels = balanced_labels(classes, per_class)
    page = assert_right(noise(len(labels), (8, 8, 1)), labels, named(classes))
    assert len(page.captions) == classes


@pytest.mark.parametrize(
    ("classes", "per_class"),
    [(100, 1), (200, 1), (1000, 1), (100, 2), (200, 10), (10, 10), (10, 50), (100, 50)],
)
def test_pages_are_near_square(classes, per_class):
    page = plan_page(balanced_labels(classes, per_class).tolist(), (32, 32), named(classes))
    assert 2 / 3 < page.width / page.height < 3 / 2


def test_ten_classes_of_one_image_stand_in_two_rows_of_five():
    page = plan_page(list(range(10)), (32, 32), named(10))
    assert len({tile.top for tile in page.tiles}) == 2
    assert len({tile.left for tile in page.tiles}) == 5


def test_several_images_stand_in_a_row_beside_their_name():
    labels = balanced_labels(10, 10)
    page = plan_page(labels.tolist(), (32, 32), named(10))
    for index, caption in enumerate(page.captions):
        tiles = page.tiles[10 * index : 10 * index + 10]
        assert len({tile.top for tile in tiles}) == 1
        assert caption.box.left + caption.box.width < min(tile.left for tile in tiles)
        assert tiles[0].top < caption.box.top < tiles[0].top + tiles[0].height


def test_fifty_images_of_a_class_are_wrapped():
    page = plan_page([0] * 50, (32, 32), named(1))
    assert len({tile.top for tile in page.tiles}) == 5
    assert len({tile.left for tile in page.tiles}) == 10


@pytest.mark.parametrize("side", [8, 16, 28, 32, 48, 64, 128])
def test_enlargement_is_whole_and_large_enough(side):
    few = plan_page([0] * 10, (side, side), named(1))
    many = plan_page([0] * 101, (side, side), named(1))
    assert few.tiles[0].width == few.scale * side
    assert 80 <= few.tiles[0].width <= 128
    assert many.tiles[0].width >= 48


def test_labels_in_any_order_group_the_images_and_keep_their_order_within_a_class():
    labels = np.array([2, 0, 2, 1, 0, 2])
    page = assert_right(noise(6), labels, named(3))
    tops = [tile.top for tile in page.tiles]
    assert tops[1] == tops[4] < tops[3] < tops[0] == tops[2] == tops[5]
    assert page.tiles[0].left < page.tiles[2].left < page.tiles[5].left


def test_classes_may_differ_in_number_and_be_absent():
    labels = np.array([0] * 13 + [2] + [5] * 4)
    page = assert_right(noise(len(labels)), labels, named(7))
    assert [caption.lines for caption in page.captions] == [(f"class name {index}",) for index in (0, 2, 5)]


@pytest.mark.parametrize("per_class", [1, 4])
@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 64, 3), (4, 128, 3)])
def test_long_names_stay_in_their_place(per_class, shape):
    labels = balanced_labels(12, per_class)
    page = assert_right(noise(len(labels), shape), labels, [LONG] * 12, title=LONG * 5)
    assert all(caption.lines[-1].endswith("…") for caption in page.captions[1:])


def test_names_the_font_lacks_are_drawn_as_far_as_it_goes():
    names = ["café", "日本", "", "a\nb", "\ud800", "שלום"]
    page = assert_right(noise(6), np.arange(6), names, title="Ünï ✓ 日本")
    assert [caption.lines[0] for caption in page.captions[1:]] == [
        "cafe", "class 1", "class 2", "a b", "class 4", "class 5"
    ]  # fmt: skip


def test_names_leave_ink_in_their_boxes():
    pixels = np.asarray(draw_grid(noise(4), np.arange(4), named(4), title="A heading"))
    for caption in plan_page([0, 1, 2, 3], (32, 32), named(4), title="A heading").captions:
        assert (pixels[area(caption.box)].sum(axis=-1) < 250).sum() > 30


def test_a_title_makes_room_for_itself():
    plain = plan_page([0], (32, 32), named(1))
    titled = assert_right(noise(1), np.array([0]), named(1), title="A heading wider than the one image")
    assert titled.width > plain.width
    assert titled.height > plain.height


@pytest.mark.parametrize("columns", [1, 4, 99])
def test_columns_count_classes_where_each_has_one_image(columns):
    page = assert_right(noise(7), np.arange(7), named(7), columns=columns)
    assert len({tile.left for tile in page.tiles}) == min(columns, 7)


@pytest.mark.parametrize("columns", [1, 4, 99])
def test_columns_count_the_images_of_a_class_where_it_has_several(columns):
    page = assert_right(noise(14), balanced_labels(2, 7), named(2), columns=columns)
    first = page.tiles[:7]
    assert len({tile.left for tile in first}) == min(columns, 7)


def test_captions_keep_clear_of_each_other():
    page = plan_page(list(range(60)), (8, 8), [LONG] * 60)
    assert all(apart(one.box, other.box) for one, other in combinations(page.captions, 2))


def test_grey_images_stay_grey():
    picture = draw_grid(noise(3, (8, 8, 1)), np.arange(3), named(3))
    tile = plan_page([0, 1, 2], (8, 8), named(3)).tiles[1]
    shown = np.asarray(picture)[area(tile)]
    assert (shown[..., 0] == shown[..., 2]).all()


def test_the_same_arguments_give_the_same_picture():
    arguments = noise(20), balanced_labels(4, 5), named(4)
    assert draw_grid(*arguments).tobytes() == draw_grid(*arguments).tobytes()


def test_a_picture_survives_a_file(tmp_path):
    picture = draw_grid(noise(3), np.arange(3), named(3))
    picture.save(tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as read:
        assert read.tobytes() == picture.tobytes()


@pytest.mark.parametrize(
    ("images", "labels", "classes", "columns", "said"),
    [
        (noise(2)[0], np.arange(2), 2, None, "shape"),
        (noise(2)[..., :2], np.arange(2), 2, None, "shape"),
        (noise(2) / 255, np.arange(2), 2, None, "8 bits"),
        (noise(0), np.arange(0), 2, None, "no images"),
        (noise(2, (0, 8, 1)), np.arange(2), 2, None, "no images"),
        (noise(2), np.arange(3), 3, None, "2 images"),
        (noise(2), np.eye(2, dtype=int), 2, None, "2 images"),
        (noise(2), np.array([0.0, 1.0]), 2, None, "float64"),
        (noise(2), np.array([0, 2]), 2, None, "from 0 to 2"),
        (noise(2), np.array([-1, 0]), 2, None, "from -1 to 0"),
        (noise(2), np.arange(2), 0, None, "name"),
        (noise(2), np.arange(2), 2, 0, "column"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(images, labels, classes, columns, said):
    with pytest.raises(ConfigError, match=said):
        draw_grid(images, labels, named(classes), columns=columns)
