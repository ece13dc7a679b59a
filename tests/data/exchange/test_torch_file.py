"""Tests that need PyTorch: ``.pt`` files, and the loader of ``docs/exchange.md``."""

import argparse
import os
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


def test_tensors_of_half_precision(tmp_path):
    images = tensors()[0].half()
    torch.save({"images": images, "labels": tensors()[1], "space": "whitened"}, tmp_path / "set.pt")
    inputs = read(tmp_path / "set.pt").inputs(GIVEN.whitening)
    assert same_bits(inputs, images.float().numpy())


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
        ([1, 2], "no tensors in a known arrangement"),
        ({"data": [tensors()[0], "text"]}, "no tensors in a known arrangement"),
        ({"data": []}, "no tensors in a known arrangement"),
        ([*tensors(), tensors()[0]], "no tensors in a known arrangement"),
        ({"images": torch.zeros(1)}, "no arrays images and labels"),
        (dict(zip(("images", "labels"), tensors(), strict=True)), "--space"),
        (
            {"images": torch.zeros(1, 4, 4, 3).expand(10**12, 4, 4, 3), "labels": torch.zeros(1)},
            "10{12} images",
        ),
        ({"syn_images": tensors()[0], "syn_labels": tensors()[1]}, "It has 'syn_images', 'syn_labels'."),
        ({"images": tensors()[0].numpy(), "labels": tensors()[1].numpy()}, "It has no arrays."),
        ({"images": tensors()[0].to(torch.complex64), "labels": tensors()[1]}, "no arrays images and labels"),
        ({"images": tensors()[0], "labels": tensors()[1], "space": "green"}, "space must be one of"),
        (
            {"images": tensors()[0].to_sparse(), "labels": tensors()[1], "space": "whitened"},
            "isn't an array: .*to_dense",
        ),
    ],
)
def test_a_dictionary_that_is_no_set_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "a.pt")


class Evil:
    def __reduce__(self):
        return print, ("harm",)


class MoreEvil:
    def __reduce__(self):
        return os.system, ("echo harm",)


@pytest.mark.parametrize(
    ("evil", "error", "message"),
    [(Evil, ConfigError, "no arrays images and labels"), (MoreEvil, Corrupt, "does not load safely")],
)
def test_objects_are_never_loaded(tmp_path, capfd, evil, error, message):
    torch.save({"images": evil(), "labels": torch.zeros(3)}, tmp_path / "a.pt")
    with pytest.raises(error, match=message):
        read(tmp_path / "a.pt")
    assert capfd.readouterr().out == ""


def test_a_file_of_pytorch_before_1_6_is_refused(tmp_path):
    torch.save(list(tensors()), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ConfigError, match=r"before 1.6: load and save it again"):
        read(tmp_path / "a.pt")


def normalized_set(seed):
    """A set as DC, DSA and DM save it: images [n, c, H, W] and class numbers."""
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(6, 3, 4, 4, generator=rng), torch.arange(3).repeat_interleave(2)]


SETS = [normalized_set(0), normalized_set(1), normalized_set(2)]
RESULTS = {
    "ConvNet": [np.float64(0.3), np.mean([0.1, 0.2])],
    "all": np.arange(3),
    "args": argparse.Namespace(path=Path("logs"), ipc=2),
}


@pytest.mark.parametrize(
    ("content", "index", "number"),
    [
        ({"data": SETS, "accs_all_exps": RESULTS}, 0, 0),
        ({"data": SETS, "accs_all_exps": RESULTS}, 2, 2),
        ({"data": SETS[1:2], "accs_all_exps": RESULTS}, None, 1),
        ({"data": SETS[1]}, None, 1),
        ({"data": tuple(map(tuple, SETS))}, 1, 1),
        (SETS, 1, 1),
        (SETS[0], None, 0),
        (tuple(SETS[0]), 0, 0),
        ([[torch.nn.Parameter(SETS[2][0]), SETS[2][1].int()]], None, 2),
        ({"image_syn": SETS[1][0], "label_syn": SETS[1][1]}, None, 1),
    ],
)
def test_sets_as_dc_dsa_and_dm_save_them(tmp_path, content, index, number):
    torch.save(content, tmp_path / "res_DC_CIFAR10_ConvNet_2ipc.pt")
    found = read(tmp_path / "res_DC_CIFAR10_ConvNet_2ipc.pt", space="normalized", index=index)
    images, classes = SETS[number]
    assert same_bits(found.images, images.permute(0, 2, 3, 1).contiguous().numpy())
    assert found.classes.tolist() == classes.tolist()
    assert [note.about for note in found.notes] == ["classes", "layout"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, "has 3 distilled sets: choose one with --index, from 0 to 2"),
        (3, "no set 3: choose one from 0 to 2"),
    ],
)
def test_one_of_several_sets_must_be_chosen(tmp_path, index, message):
    torch.save({"data": SETS}, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "a.pt", space="normalized", index=index)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("images_best.pt", "labels_best.pt"), "images_best.pt"),
        (("images_500.pt", "labels_500.pt"), "images_500.pt"),
        (("images_best.pt", "labels_best.pt"), ""),
        (("images.pt", "labels.pt"), ""),
    ],
)
def test_two_files_as_mtt_and_datm_save_them(tmp_path, names, chosen, soft):
    images, classes = SETS[0]
    labels = torch.nn.functional.one_hot(classes) * 9.0 - 3.0 if soft else classes
    for name, tensor in zip(names, (images, labels), strict=True):
        torch.save(tensor, tmp_path / name)
    found = read(tmp_path / chosen, space="normalized")
    assert same_bits(found.images, images.permute(0, 2, 3, 1).contiguous().numpy())
    assert found.classes.tolist() == classes.tolist()
    assert (found.labels.max() == 6) == soft
    assert ("like logits" in found.notes[-1].text) == soft
    assert f"read from {names[1]}" in found.notes[0].text


def test_a_single_tensor_without_its_labels_is_refused(tmp_path):
    torch.save(SETS[0][0], tmp_path / "images_best.pt")
    torch.save(SETS[0][1], tmp_path / "labels_zca.pt")
    for name in ("images_best.pt", "labels_zca.pt", ""):
        with pytest.raises(ConfigError, match="its labels must be in a file beside it"):
            read(tmp_path / name, space="normalized")
    (tmp_path / "labels_best.pt").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match="leads out of"):
        read(tmp_path, space="normalized")


def test_a_file_that_cannot_be_written_is_an_error_of_the_system(tmp_path, monkeypatch):
    def full(*_):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed\nframe #0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"file write failed$"):
        write(tmp_path, "torch", GIVEN)


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
