"""TensorFlow Datasets: what it prepared is read, and its failures end in a sentence."""

import importlib.util
import logging
import subprocess
import sys
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from rcig_cli.data.images.picture import read_picture
from rcig_cli.data.sources import tfds
from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError
from tests.data.examples import pixels, whole

needs_tensorflow = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("tensorflow", "importlib_resources"))),
    reason="building a TensorFlow data set needs TensorFlow and importlib_resources",
)


def stand_in(name, version, images, split="test", labels=(0, 1, 2), **other):
    """Make a builder that looks like a published data set and holds ``images``; see `prepare`."""
    import tensorflow_datasets
    from tensorflow_datasets.core import registered

    with registered.skip_registration():

        class StandIn(tensorflow_datasets.core.GeneratorBasedBuilder):
            VERSION = tensorflow_datasets.core.Version(version)

            def _info(self):
                features = tensorflow_datasets.features
                shape = (None, None, 3 if isinstance(images[0], str) else images[0].shape[2])
                label = features.ClassLabel(names=["a", "b", "c"])
                found = {"image": features.Image(shape=shape), "label": label, **other}
                return tensorflow_datasets.core.DatasetInfo(
                    builder=self, features=features.FeaturesDict(found)
                )

            def _split_generators(self, _):
                train = {"train": self._generate_examples(images, (0, 1, 2))}
                return train | ({split: self._generate_examples(images[:5], labels)} if split else {})

            def _generate_examples(self, some, labels):
                for index, image in enumerate(some):
                    yield index, {"image": image, "label": labels[index % 3]}

    StandIn.name = name
    return StandIn


def prepare(folder, file_format="array_record", name="mnist", version="3.0.1", images=None, **options):
    """Prepare a data set as TFDS does: all images in "train", 5 in ``split`` with these ``labels``."""
    images = pixels(30, 28, 28, 1) if images is None else images
    with tfds.quiet():
        import tensorflow_datasets

        tensorflow_datasets.disable_progress_bar()
        builder = stand_in(name, version, images, **options)(data_dir=str(folder), file_format=file_format)
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
    source = open_source("mnist", "tfds:mnist")
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
        "print(sum(len(batch) for batch in open_source('mnist', 'tfds:mnist').batches('train', 8)))"
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
    source = tfds.open_tfds("mine", "birds", 9)
    assert source.sizes == {"train": 6, "test": 5}
    assert source.notes == (Note("splits", "The validation split of birds/1.0.0 is its test split."),)
    found = {image.tobytes() for image in whole(source, "train").images}
    assert found == {read_picture(path, grey=False, side=9).tobytes() for path in files}


@needs_tensorflow
def test_damaged_files_are_reported(data_dir):
    prepare(data_dir)
    for path in data_dir.rglob("*train*array_record*"):
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(Corrupt, match=r"mnist/3.0.1 in .*prepare it again"):
        whole(open_source("mnist", "tfds:mnist"), "train")


@needs_tensorflow
def test_a_download_goes_through_tensorflow_datasets(data_dir, monkeypatch):
    monkeypatch.setattr(tfds, "_check_reachable", list)
    with tfds.quiet():
        import tensorflow_datasets

        made = stand_in("birds", "1.0.0", pixels(6, 8, 8, 3))
        builder = made(data_dir=str(data_dir), file_format="array_record")
        tfds._download(builder)
        assert tensorflow_datasets.builder("birds", data_dir=str(data_dir)).is_prepared()


@pytest.mark.parametrize("package", ["tensorflow", "tensorflow_datasets"])
def test_without_the_extra_the_error_says_what_to_type(data_dir, monkeypatch, capfd, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"needs {package}, which is not installed") as caught:
        open_source("mnist", "tfds:mnist")
    assert str(caught.value).endswith(
        "run \"pip install 'rcig-cli[tfds]'\", or pass your own copy with --from PATH."
    )
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == 0


def test_another_known_data_set_than_the_name_says_is_refused(data_dir):
    with pytest.raises(ConfigError, match="tfds:cifar10 is cifar10, not mnist: run rcig prepare cifar10"):
        open_source("mnist", "tfds:cifar10")


@pytest.mark.parametrize("name", ["no_such_set", "mnist:9.9.9", "imagenet_resized/63x63"])
def test_an_unknown_name_is_reported(data_dir, name):
    with pytest.raises(NotFound, match=f"TensorFlow Datasets has no data set {name}"):
        open_source("mine", f"tfds:{name}")


@pytest.mark.parametrize("name", ["", "../mnist", "a b", "mnist/x/y"])
def test_what_is_no_name_is_refused(data_dir, name):
    with pytest.raises(ConfigError, match="is not a valid name: use tfds:NAME"):
        open_source("mine", f"tfds:{name}")


def test_features_that_are_no_labelled_images_are_refused(data_dir):
    with pytest.raises(ConfigError, match=r"coco/2014/.* has no features image and label"):
        open_source("mine", "tfds:coco")
    with pytest.raises(
        ConfigError, match=r"The images of oxford_iiit_pet.* differ in size: pass --resolution"
    ):
        open_source("mine", "tfds:oxford_iiit_pet")


@needs_tensorflow
@pytest.mark.parametrize(
    ("options", "sizes", "said"),
    [
        ({"split": None}, {"train": 24, "test": 6}, "has no labelled test split, so the last fifth"),
        ({"labels": (-1, -1, -1)}, {"train": 24, "test": 6}, "has no labelled test split, so the last fifth"),
        (
            {"split": "validation"},
            {"train": 30, "test": 5},
            "The validation split of things/1.0.0 is its test",
        ),
    ],
)
def test_a_test_split_is_found_or_held_out_and_told(data_dir, options, sizes, said):
    images = prepare(data_dir, name="things", version="1.0.0", **options)
    source = open_source("mine", "tfds:things", ReadOptions(resolution=28))
    assert source.sizes == sizes
    (note,) = source.notes
    assert note.about == "splits"
    assert said in note.text
    found = [image.tobytes() for split in ("train", "test") for image in whole(source, split).images]
    assert set(found) == {image.tobytes() for image in images}
    assert source.origin == {"tfds": "things/1.0.0"}


NO_ROUTE = urllib.error.URLError("no route")
REFUSED = urllib.error.HTTPError("https://example.invalid", 405, "no", {}, None)
LATE = ModuleNotFoundError("No module named 'scipy.io'\nFailed importing scipy.io. This likely means ...")


@pytest.mark.parametrize(
    ("error", "answer", "kind", "said"),
    [
        (OSError("no space left"), None, RcigError, "could not be downloaded .*no space left"),
        (ValueError("a\nlong\nstory"), None, RcigError, r"could not be downloaded .*--from PATH"),
        (AssertionError("tried"), NO_ROUTE, RcigError, "could not be downloaded .*no route"),
        (AssertionError("tried"), REFUSED, RcigError, "tried"),
        (LATE, None, ConfigError, r"needs scipy\.io, which"),
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
    info = SimpleNamespace(full_name="mnist/3.0.1")
    builder = SimpleNamespace(url_infos=["https://example.invalid/a.gz"], info=info)
    with pytest.raises(kind, match=said) as caught:
        tfds._download(builder)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
