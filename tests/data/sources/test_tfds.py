"""TensorFlow Datasets: what it prepared is read, and its failures end in a sentence."""

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
from rcig_cli.data.sources import tfds
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
    import tensorflow_datasets
    from tensorflow_datasets.core import registered

    with registered.skip_registration():

        class StandIn(tensorflow_datasets.core.GeneratorBasedBuilder):
            VERSION = tensorflow_datasets.core.Version(version)

            def _info(self):
                features = tensorflow_datasets.features
                shape = (None, None, 3 if isinstance(images[0], str) else images[0].shape[2])
                label = features.ClassLabel(names=["a", "b", "c"])
                every = features.FeaturesDict({"image": features.Image(shape=shape), "label": label})
                return tensorflow_datasets.core.DatasetInfo(builder=self, features=every)

            def _split_generators(self, _):
                return {"train": self._generate_examples(images), split: self._generate_examples(images[:5])}

            def _generate_examples(self, some):
                for index, image in enumerate(some):
                    yield index, {"image": image, "label": index % 3}

    StandIn.name = name
    return StandIn


def prepare(folder, file_format="array_record", name="mnist", version="3.0.1", images=None, split="test"):
    images = pixels(30, 28, 28, 1) if images is None else images
    with tfds.quiet():
        import tensorflow_datasets

        tensorflow_datasets.disable_progress_bar()
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
    prepare(data_dir)
    code = (
        "import sys; from tests.data.examples import NoTensorFlow\n"
        "sys.meta_path[:] = map(NoTensorFlow, sys.meta_path)\n"
        "from rcig_cli.data.sources.opening import open_source\n"
        "print(sum(len(batch) for batch in open_source('mnist').batches('train', 8)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert (done.stdout, done.stderr) == ("30\n", "")


@needs_tensorflow
def test_image_files_of_every_colour_and_size_are_read_as_in_a_folder(data_dir, tmp_path_factory):
    """Real JPEGs among ImageNet's and the birds are grey, and some are CMYK."""
    folder = tmp_path_factory.mktemp("pictures")
    arrays = {"rgb": pixels(20, 30, 3), "grey": pixels(19, 9), "cmyk": pixels(9, 9, 4)}
    for name, array in arrays.items():
        image = Image.fromarray(array, "CMYK") if name == "cmyk" else Image.fromarray(array)
        image.save(folder / f"{name}.jpg")
    files = sorted(folder.iterdir()) * 2
    prepare(data_dir, name="birds", version="1.0.0", images=[str(path) for path in files], split="validation")
    source = tfds.open_tfds(replace(KNOWN["cub200"], tfds="birds", test_split="validation"), 9)
    assert source.sizes == {"train": 6, "test": 5}
    assert "validation split of cub200" in source.notes[0].text
    found = {image.tobytes() for image in whole(source, "train").images}
    assert found == {read_picture(path, grey=False, side=9).tobytes() for path in files}


@needs_tensorflow
def test_damaged_files_are_reported(data_dir):
    prepare(data_dir)
    for path in data_dir.rglob("*train*array_record*"):
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(Corrupt, match=r"mnist in .*prepare it again"):
        whole(open_source("mnist"), "train")


@needs_tensorflow
def test_a_download_goes_through_tensorflow_datasets(data_dir, monkeypatch):
    monkeypatch.setattr(tfds, "_check_reachable", list)
    with tfds.quiet():
        import tensorflow_datasets

        made = stand_in("birds", "1.0.0", pixels(6, 8, 8, 3))
        builder = made(data_dir=str(data_dir), file_format="array_record")
        tfds._download(builder, KNOWN["mnist"])
        assert tensorflow_datasets.builder("birds", data_dir=str(data_dir)).is_prepared()


def test_without_tensorflow_the_error_says_what_to_type(data_dir, monkeypatch, capfd):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(sys, "meta_path", list(map(NoTensorFlow, sys.meta_path)))
    with pytest.raises(ConfigError) as caught:
        open_source("mnist")
    assert str(caught.value) == (
        "mnist comes through TensorFlow Datasets, which needs TensorFlow to download it: "
        "run \"pip install 'rcig-cli[tfds]'\", or pass your own copy with --from FILE.npz."
    )
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == 0


NO_ROUTE = urllib.error.URLError("no route")
REFUSED = urllib.error.HTTPError("https://example.invalid", 405, "no", {}, None)
LATE = ModuleNotFoundError("No module named 'scipy.io'\nFailed importing scipy.io. This likely means ...")


@pytest.mark.parametrize(
    ("error", "answer", "kind", "said"),
    [
        (OSError("no space left"), None, RcigError, "could not be downloaded .*no space left"),
        (ValueError("a\nlong\nstory"), None, RcigError, r"could not be downloaded .*--from FILE\.npz"),
        (AssertionError("tried"), NO_ROUTE, RcigError, "could not be downloaded .*no route"),
        (AssertionError("tried"), REFUSED, RcigError, "tried"),
        (LATE, None, ConfigError, r"needs scipy\.io to download"),
    ],
)
def test_a_failed_download_ends_in_one_sentence(monkeypatch, error, answer, kind, said):
    def urlopen(request, timeout):
        if answer:
            raise answer
        return open(__file__)

    def fail(builder):
        raise error

    monkeypatch.setattr(tfds, "_import_tensorflow", lambda _: None)
    monkeypatch.setattr(tfds, "_prepare", fail)
    monkeypatch.setattr(tfds.urllib.request, "urlopen", urlopen)
    with pytest.raises(kind, match=said) as caught:
        tfds._download(SimpleNamespace(url_infos=["https://example.invalid/a.gz"]), KNOWN["mnist"])
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
