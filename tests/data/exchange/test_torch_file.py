"""Tests that need PyTorch: ``.pt`` files, and the loader of ``docs/exchange.md``."""

import re
from pathlib import Path

import numpy as np
import pytest

from rcig_cli.errors import ConfigError, Corrupt
from tests.data.exchange_sets import exported_set, read, same_bits, write

torch = pytest.importorskip("torch", reason="PyTorch isn't installed; it is no dependency of rcig")

PAGE = Path(__file__).parents[3] / "docs" / "exchange.md"
GIVEN = exported_set()


def tensors():
    return torch.from_numpy(GIVEN.images), torch.from_numpy(GIVEN.labels)


@pytest.mark.parametrize(
    ("first", "wrap", "names"),
    [
        (False, lambda tensor: tensor, ("images", "labels")),
        (True, torch.nn.Parameter, ("x_proto", "y_proto")),
    ],
)
def test_tensors_come_in_bit_for_bit(tmp_path, first, wrap, names):
    images, labels = tensors()
    pair = (images.permute(0, 3, 1, 2) if first else images), labels
    content = {name: wrap(tensor) for name, tensor in zip(names, pair, strict=True)}
    torch.save({**content, "space": "whitened", "epoch": 3}, tmp_path / "set.pt")
    found = read(tmp_path / "set.pt")
    assert same_bits(found.images, GIVEN.images)
    assert same_bits(found.labels, GIVEN.labels)
    assert found.classes.tolist() == GIVEN.classes.tolist()


def test_pixels_and_class_numbers(tmp_path):
    torch.save(
        {"images": torch.from_numpy(GIVEN.pixels()), "labels": torch.arange(3).repeat(2)}, tmp_path / "a.pth"
    )
    found = read(tmp_path / "a.pth")
    assert found.space == "pixels"
    assert found.classes.tolist() == [0, 0, 1, 1, 2, 2]
    assert same_bits(found.images, GIVEN.pixels()[[0, 3, 1, 4, 2, 5]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "does not hold a dictionary"),
        ({"images": torch.zeros(1)}, "no arrays images and labels"),
        (dict(zip(("images", "labels"), tensors(), strict=True)), "--space"),
        (
            {"images": torch.zeros(1, 4, 4, 3).expand(10**12, 4, 4, 3), "labels": torch.zeros(1)},
            "10{12} images",
        ),
        ({"images": tensors()[0].bfloat16(), "labels": tensors()[1]}, "no arrays images and labels"),
        ({"images": tensors()[0], "labels": tensors()[1], "space": "green"}, "space must be one of"),
    ],
)
def test_a_dictionary_that_is_no_set_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "a.pt")


class Evil:
    def __reduce__(self):
        return print, ("harm",)


@pytest.mark.parametrize("zip_archive", [False, True])
def test_objects_are_never_loaded(tmp_path, capsys, zip_archive):
    content = {"images": Evil(), "labels": torch.zeros(3)}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zip_archive)
    with pytest.raises(Corrupt, match="damaged"):
        read(tmp_path / "a.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("channels", [1, 3])
def test_the_loader_of_the_docs(tmp_path, channels):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(block.splitlines()) <= 24
    names = {}
    exec(compile(block, str(PAGE), "exec"), names)
    given = exported_set(channels=channels)
    dataset, inputs = names["load"](write(tmp_path, "npz", given))
    images, labels = next(iter(torch.utils.data.DataLoader(dataset, batch_size=len(dataset))))
    assert same_bits(images.permute(0, 2, 3, 1).contiguous().numpy(), given.images)
    assert same_bits(labels.numpy(), given.labels)
    pixels = given.pixels()
    seen = inputs(torch.from_numpy(pixels).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(seen, given.whitening.apply(pixels), rtol=0, atol=1e-5)
