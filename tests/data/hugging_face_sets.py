"""Write data sets as Hugging Face's library ``datasets`` does, with PyArrow."""

import io
import json

import numpy as np
import pyarrow
import pyarrow.ipc
import pyarrow.parquet
from PIL import Image

from tests.data.examples import pixels

NAMES = ("cat", "dog", "frog")
IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array).save(stream, "PNG")
    return stream.getvalue()


def encoded(images):
    return pyarrow.array([{"bytes": png(image), "path": None} for image in images], IMAGE)


def class_label(*names):
    return {"names": list(names), "_type": "ClassLabel"}


def table(features=None, **columns):
    """A table with the metadata of the library datasets; features of images needn't be given."""
    found = pyarrow.table(columns)
    if features is None:
        return found
    features = {name: {"_type": "Image"} for name in columns if name not in features} | features
    return found.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def example(count=30, shape=(8, 8, 3), seed=0, names=NAMES):
    """Images, their labels, and a table of both."""
    images, labels = pixels(count, *shape, seed=seed), np.arange(count) % len(names)
    return images, labels, table({"label": class_label(*names)}, img=encoded(images), label=labels)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(content, path, row_group_size=7)
    else:
        with pyarrow.ipc.new_stream(path, content.schema) as stream:
            stream.write_table(content, max_chunksize=7)


def save_to_disk(folder, content, shards=2):
    rows = len(content) // shards
    names = [f"data-{number:05}-of-{shards:05}.arrow" for number in range(shards)]
    for number, name in enumerate(names):
        write(folder / name, content.slice(number * rows, rows if number < shards - 1 else None))
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_split": None}))
    (folder / "dataset_info.json").write_text("{}")


def write_shards(folder):
    """Files as on the Hub, without compression, so that damage reaches what they hold."""
    for split, count in (("train", 20), ("test", 10)):
        (folder / "data").mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(
            example(count)[2], folder / "data" / f"{split}-00000-of-00001.parquet", compression="none"
        )
    return folder
