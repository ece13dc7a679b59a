import importlib.util
import logging
import subprocess
import sys
import urllib.error
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from rcig_cli.data.images.picture import read_picture
from rcig_cli.data.images.quiet import quiet
from rcig_cli.data.sources import named
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, RcigError
from tests.data.examples import NoTensorFlow, pixels, whole

needs_tensorflow = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("tensorflow", "importlib_resources"))),
    reason="building a TensorFlow data set needs TensorFlow and importlib_resources",
)


def stand_in(name, version, images, split="test"):
    """Make a builder that looks like a published data set and holds ``images``."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    with registered.skip_registration():

        class StandIn(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version(version)

            def _info(self):
                shape = (None, None, 3 if isinstance(images[0], str) else images[0].shape[2])
                label = tfds.features.ClassLabel(names=["a", "b", "c"])
                features = {"image": tfds.features.Image(shape=shape), "label": label}
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

            def _split_generators(self, _):
                return {"train": self._generate_examples(images), split: self._generate_examples(images[:5])}

            def _generate_examples(self, some):
                for index, image in enumerate(some):
                    yield index, {"image": image, "label": index % 3}

    StandIn.name = name
    return StandIn


def prepare(folder, file_format, name="mnist", version="3.0.1", images=None, split="test"):
    images = pixels(30, 28, 28, 1) if images is None else images
    with quiet():
        import tensorflow_datasets as tfds

        tfds.disable_progress_bar()
        builder = stand_in(name, version, images, split)(data_dir=str(folder), file_format=file_format)
        builder.download_and_prepare()
    return images


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return tmp_path


@needs_tensorflow
@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
def test_what_was_prepared_is_read_back(data_dir, file_format, capfd):
    images = prepare(data_dir, file_format)
    capfd.readouterr()
    source = open_source("mnist")
    train = whole(source, "train")
    assert source.shape == (28, 28, 1)
    assert source.sizes == {"train": 30, "test": 5}
    assert source.class_names == ("a", "b", "c")
    assert sorted(map(bytes, train.images)) == sorted(map(bytes, images))
    by_pixels = {bytes(image): index % 3 for index, image in enumerate(images)}
    assert [by_pixels[bytes(image)] for image in train.images] == train.labels.tolist()
    assert (whole(source, "train", 4).images == train.images).all()
    assert capfd.readouterr() == ("", "")


@needs_tensorflow
def test_reading_needs_no_tensorflow(data_dir):
    prepare(data_dir, "array_record")
    code = (
        "import sys; from tests.data.examples import NoTensorFlow\n"
        "sys.meta_path[:] = map(NoTensorFlow, sys.meta_path)\n"
        "from rcig_cli.data.sources.opening import open_source\n"
        "print(sum(len(batch) for batch in open_source('mnist').batches('train', 8)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert (done.stdout, done.stderr) == ("30\n", "")


@needs_tensorflow
def test_mixed_sizes_are_brought_to_one(data_dir):
    images = [pixels(20 + index, 30, 3, seed=index) for index in range(9)]
    prepare(data_dir, "array_record", "birds", "1.0.0", images)
    known = replace(KNOWN["caltech_birds2011"], tfds="birds")
    assert whole(named.open_named(known), "train").images.shape == (9, 32, 32, 3)
    assert whole(named.open_named(known, 16), "test").images.shape == (5, 16, 16, 3)


@needs_tensorflow
def test_picture_files_of_every_colour_are_read_as_in_a_folder(data_dir, tmp_path_factory):
    """Real JPEGs among ImageNet's and the birds are grey, and some are CMYK."""
    folder = tmp_path_factory.mktemp("pictures")
    arrays = {"rgb": pixels(9, 9, 3), "grey": pixels(9, 9), "cmyk": pixels(9, 9, 4)}
    for name, array in arrays.items():
        image = Image.fromarray(array, "CMYK") if name == "cmyk" else Image.fromarray(array)
        image.save(folder / f"{name}.jpg")
    files = sorted(folder.iterdir()) * 2
    prepare(data_dir, "array_record", "birds", "1.0.0", [str(path) for path in files])
    source = named.open_named(replace(KNOWN["cub200"], tfds="birds"), 9)
    found = {image.tobytes() for image in whole(source, "train").images}
    assert found == {read_picture(path, grey=False).tobytes() for path in files}


@needs_tensorflow
def test_a_validation_split_can_serve_as_the_test_split(data_dir):
    prepare(data_dir, "array_record", split="validation")
    source = named.open_named(replace(KNOWN["mnist"], test_split="validation"))
    assert source.sizes == {"train": 30, "test": 5}
    assert "validation split of mnist" in source.notes[0]
    assert len(whole(source, "test")) == 5


@needs_tensorflow
def test_damaged_files_are_called_so(data_dir):
    prepare(data_dir, "array_record")
    for path in data_dir.rglob("*train*array_record*"):
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(Corrupt, match=r"mnist in .*prepare it again"):
        whole(open_source("mnist"), "train")


def without_tensorflow(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(sys, "meta_path", list(map(NoTensorFlow, sys.meta_path)))


def test_without_tensorflow_one_sentence_says_what_to_type(data_dir, monkeypatch, capfd):
    without_tensorflow(monkeypatch)
    with pytest.raises(ConfigError) as caught:
        open_source("mnist")
    assert str(caught.value) == (
        "mnist comes through TensorFlow Datasets, which needs TensorFlow to download it: "
        "type \"pip install 'rcig-cli[tfds]'\", or pass your own copy with --from FILE.npz."
    )
    assert capfd.readouterr() == ("", "")


def fail_to_download(monkeypatch, error, answer=None):
    def urlopen(request, timeout):
        if answer:
            raise answer
        return open(__file__)

    def prepare(builder):
        raise error

    monkeypatch.setattr(named, "_import_tensorflow", str)
    monkeypatch.setattr(named, "_prepare", prepare)
    monkeypatch.setattr(named.urllib.request, "urlopen", urlopen)
    named._download(SimpleNamespace(url_infos=["https://example.invalid/a.gz"]), "mnist")


@pytest.mark.parametrize("error", [OSError("no space left"), ValueError("a\nlong\nstory"), KeyError()])
def test_a_failed_download_ends_in_one_sentence(monkeypatch, error):
    with pytest.raises(RcigError, match=r"mnist could not be downloaded .*--from FILE\.npz") as caught:
        fail_to_download(monkeypatch, error)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_server_out_of_reach_is_noticed_at_once(monkeypatch):
    with pytest.raises(RcigError, match=r"could not be downloaded .*no route"):
        fail_to_download(monkeypatch, AssertionError("tried"), answer=urllib.error.URLError("no route"))


def test_a_server_that_refuses_the_question_is_there(monkeypatch):
    refusal = urllib.error.HTTPError("https://example.invalid", 405, "no", {}, None)
    with pytest.raises(RcigError, match="tried"):
        fail_to_download(monkeypatch, AssertionError("tried"), answer=refusal)


def test_what_the_birds_need_besides_tensorflow_is_asked_for_before_the_download(monkeypatch):
    monkeypatch.setattr(named, "_import_tensorflow", str)
    monkeypatch.setattr(named, "_prepare", lambda _: pytest.fail("downloaded"))
    monkeypatch.setattr(named.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        named._download(SimpleNamespace(url_infos=[]), "cub200")
    assert str(caught.value) == (
        "cub200 comes through TensorFlow Datasets, which needs cv2 to download it: type "
        '"pip install opencv-python-headless", or unpack https://data.caltech.edu/records/65de6-vp158 '
        "and pass --from CUB_200_2011."
    )


def test_a_package_that_tensorflow_datasets_imports_late_is_named(monkeypatch):
    late = ModuleNotFoundError("No module named 'scipy.io'\nFailed importing scipy.io. This likely means ...")
    with pytest.raises(ConfigError, match=r"needs scipy\.io to download"):
        fail_to_download(monkeypatch, late)


def test_another_package_that_is_missing_is_named(monkeypatch):
    with pytest.raises(ConfigError, match="needs importlib_resources to download"):
        fail_to_download(monkeypatch, ModuleNotFoundError("gone", name="importlib_resources"))


def test_logging_is_left_as_it_was(data_dir, monkeypatch):
    without_tensorflow(monkeypatch)
    with pytest.raises(ConfigError):
        open_source("mnist")
    assert logging.root.manager.disable == 0


@needs_tensorflow
def test_a_download_really_goes_through_tensorflow_datasets(data_dir, monkeypatch):
    monkeypatch.setattr(named, "_check_reachable", list)
    with quiet():
        import tensorflow_datasets as tfds

        builder = stand_in("birds", "1.0.0", pixels(6, 8, 8, 3))(
            data_dir=str(data_dir), file_format="array_record"
        )
        named._download(builder, "birds")
        assert tfds.builder("birds", data_dir=str(data_dir)).is_prepared()
