"""Time, memory and disk space of `rcig prepare` for 1.28 million RGB images of 64 x 64 pixels.

    python benchmarks/prepare.py [--images 12288] [--side 64] [--batch 256] [--no-decomposition]

The images are generated when they are read, and take neither disk space nor memory.  Only ``--images`` of
them are actually prepared, by the package's own code.  The times of the two passes are extrapolated to all
images by their rates; the time of the decomposition of the covariance, which happens once, is added
unchanged.  That time grows with the sixth power of the side and dominates a short run at 64 pixels, so it may
be left out.  Random numbers then replace the eigenvectors, which does not change the passes but saves the
memory of four matrices.  There must be at least as many images as values in an image, 12288 at 64 pixels,
because fewer are whitened by a low-rank basis.  At the end batches of random images are read, as `rcig
distill` does with a set larger than memory, from chunks of the sizes that small and large arrays have.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rcig_cli.data.sources.source import Batch, ImageSource, Split  # noqa: E402

ALL, ALL_TEST = 1_281_167, 50_000
CLASSES = 1000
_PATTERNS = 64


class Generated(ImageSource):
    """A source of generated images, waves and noise, each determined by its index.

    Parameters
    ----------
    side
        Side of an image, in pixels.
    train, test
        Number of images.
    """

    def __init__(self, side: int, train: int, test: int) -> None:
        super().__init__(
            "generated",
            class_names=tuple(str(number) for number in range(CLASSES)),
            shape=(side, side, 3),
            sizes={"train": train, "test": test},
        )
        random = np.random.default_rng(0)
        at = np.linspace(0, 2 * np.pi, side)
        waves = random.normal(size=(_PATTERNS, 2)) * 2
        phases = waves[:, :1, None] * at[:, None] + waves[:, 1:, None] * at
        colours = random.uniform(0.3, 1, (_PATTERNS, 1, 1, 3))
        self._patterns = (96 + 60 * np.sin(phases)[..., None] * colours).astype(np.uint8)

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split; see ``ImageSource.batches``."""
        for start in range(0, self.sizes[split], size):
            numbers = np.arange(start, min(start + size, self.sizes[split]))
            random = np.random.Generator(np.random.SFC64([len(split), start]))
            noise = np.frombuffer(random.bytes(len(numbers) * int(np.prod(self.shape))), np.uint8) & 63
            images = self._patterns[numbers % _PATTERNS] + noise.reshape(-1, *self.shape)
            yield Batch(images, (numbers % CLASSES).astype(np.int32))


class Moment(NamedTuple):
    """Wall-clock, processor and waiting time so far, in seconds, and the number of images that are done."""

    wall: float
    processors: float
    waited: float
    done: int


def waited() -> float:
    """Seconds that the current threads were ready to run but waited for a processor."""
    found = 0
    for task in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):
            found += int(task.read_text().split()[1])
    return found / 1e9


class Stages:
    """A report that notes when each stage began and ended."""

    def __init__(self) -> None:
        self.moments: dict[str, list[Moment]] = {}

    def note(self, sentence: str) -> None:
        """Print the message."""
        print(sentence, file=sys.stderr, flush=True)

    warn = note

    def progress(self, label: str, done: int, total: int, _values: Any = None) -> None:
        """Record the time."""
        print(f"{label} {done}/{total}", end="\r", file=sys.stderr, flush=True)
        self.moments.setdefault(label, []).append(
            Moment(time.perf_counter(), time.process_time(), waited(), done)
        )

    def taken(self, label: str) -> Moment:
        """The times of a stage."""
        return difference(self.moments[label][0], self.moments[label][-1])

    def between(self) -> Moment:
        """The times between the two passes, in which the whitening is computed and written."""
        return difference(self.moments["measuring"][-1], self.moments["writing"][0])


def difference(first: Moment, last: Moment) -> Moment:
    return Moment(*(b - a for a, b in zip(first, last, strict=True)))


def leave_decomposition_out() -> None:
    """Replace the eigenvectors by random numbers, which are as dense and need no time."""

    def numbers(covariance: Any) -> tuple[Any, Any]:
        dimension = len(covariance)
        random = np.random.default_rng(0).standard_normal((dimension, dimension), np.float32)
        return np.diag(covariance).copy(), random.astype(np.float64) / dimension**0.5

    np.linalg.eigh = numbers  # type: ignore[assignment]


def prepared(source: ImageSource, store_path: Path) -> tuple[Stages, dict[str, Any]]:
    """Prepare a source with the package's own code; return the times of the stages and the size on disk."""
    from rcig_cli.runs.prepare import prepare
    from rcig_cli.store.files import bytes_of
    from rcig_cli.store.store import open_store

    prepare.open_source = lambda *_, **__: source
    stages = Stages()
    began = time.perf_counter(), time.process_time()
    prepare.prepare(open_store(store_path, create=True), "generated", report=stages)
    arrays = store_path / "datasets" / "generated" / "arrays.zarr"
    return stages, {
        "seconds": time.perf_counter() - began[0],
        "processor_seconds": time.process_time() - began[1],
        "bytes_images": bytes_of(arrays / "train" / "images") + bytes_of(arrays / "test" / "images"),
        "bytes_whitening": bytes_of(arrays / "whitening"),
    }


def random_reads(store_path: Path, batch: int) -> dict[str, Any]:
    """Read batches of random images from the disk, in chunks of the actual size and of that of a full set."""
    from rcig_cli.store import arrays
    from rcig_cli.store.arrays import StoredRows, write_arrays

    group = store_path / "datasets" / "generated" / "arrays.zarr"
    images = StoredRows(group, "train/images")[:4096]
    chunks = {"1 MiB": arrays.CHUNK_BYTES, "64 KiB": arrays.LARGE_CHUNK_BYTES}
    found = {}
    for name, size in chunks.items():
        arrays.CHUNK_BYTES = size
        path = store_path / name.replace(" ", "_")
        write_arrays(path, {"images": images})
        rows, random = StoredRows(path, "images"), np.random.default_rng(1)
        taken = []
        for _ in range(5):
            chosen = random.choice(len(rows), batch, replace=False)
            began = time.perf_counter(), time.process_time()
            rows[chosen]
            taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        found[name] = dict(
            zip(("seconds", "processor_seconds"), map(min, zip(*taken, strict=True)), strict=True)
        )
    arrays.CHUNK_BYTES = chunks["1 MiB"]
    return {"batch": batch, "chunks": found}


def report(stages: Stages, left: dict[str, Any], images: int, test: int) -> dict[str, Any]:
    """The measured results, and those for all images, to which passes are extrapolated."""
    passes = {name: stages.taken(name) for name in ("measuring", "writing")}
    between = stages.between()
    per_image = left["bytes_images"] / (images + test)
    rates = {name: taken.done / taken.wall for name, taken in passes.items()}
    whole = ALL / rates["measuring"] + between.wall + (ALL + ALL_TEST) / rates["writing"]
    return {
        "run": {"train": images, "test": test, **left},
        "images_per_second": rates,
        "processor_milliseconds_per_image": {
            name: 1000 * taken.processors / taken.done for name, taken in passes.items()
        },
        "cores_busy": {name: taken.processors / taken.wall for name, taken in passes.items()},
        "cores_wanted": {
            name: (taken.processors + taken.waited) / taken.wall for name, taken in passes.items()
        },
        "whitening_seconds": between.wall,
        "whitening_processor_seconds": between.processors,
        "extrapolated": {
            "train": ALL,
            "test": ALL_TEST,
            "hours": whole / 3600,
            "gigabytes": (per_image * (ALL + ALL_TEST) + left["bytes_whitening"]) / 1e9,
        },
    }


def shown(found: dict[str, Any]) -> str:
    """The results as tables."""
    from benchmarks.measuring import short, table

    run, whole = found["run"], found["extrapolated"]
    columns = ["images_per_second", "processor_milliseconds_per_image", "cores_busy", "cores_wanted"]
    passes = [
        [name, *(short(found[column][name]) for column in columns)] for name in ("measuring", "writing")
    ]
    reads = [
        [name, short(1000 * taken["seconds"]), short(1000 * taken["processor_seconds"])]
        for name, taken in found["random_reads"]["chunks"].items()
    ]
    batch = found["random_reads"]["batch"]
    return "\n".join(
        [
            table(["pass", *(column.replace("_", " ") for column in columns)], passes),
            "Wanted: busy, or ready to run and waiting for other programs.",
            "",
            f"Really run: {run['train']} + {run['test']} images of side {found['side']} in "
            f"{short(run['seconds'])} s, of which the whitening {short(found['whitening_seconds'])} s"
            f"{'' if found['decomposition'] else ' (without the decomposition)'}; "
            f"peak {short(found['peak_megabytes'] / 1000)} GB.",
            f"Extrapolated to {whole['train']} + {whole['test']}: {short(whole['hours'])} h, "
            f"{short(whole['gigabytes'])} GB on the disk.",
            "",
            table([f"{batch} random images in chunks of", "ms", "ms of processors"], reads),
        ]
    )


def measured(case: dict[str, Any]) -> dict[str, Any]:
    """Prepare and read some images; return all results."""
    side, images, batch = case["side"], case["images"], case["batch"]
    store_path = Path(tempfile.mkdtemp(prefix="prepare-", dir=case["folder"]))
    if not case["decomposition"]:
        leave_decomposition_out()
    try:
        test = max(1, images // 25)
        stages, left = prepared(Generated(side, images, test), store_path)
        found = {"side": side, "decomposition": case["decomposition"], **report(stages, left, images, test)}
        found["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        found["random_reads"] = random_reads(store_path, min(batch, images // 2))
        return found
    finally:
        shutil.rmtree(store_path, ignore_errors=True)


def main() -> None:
    """Measure in a process that imports only what `rcig prepare` imports; print tables, and JSON last."""
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(measured(json.loads(sys.argv[2]))))
        return
    from benchmarks.measuring import in_own_process, machine

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--images", type=int, default=12288, help="training images that are actually prepared"
    )
    parser.add_argument("--side", type=int, default=64, help="of an image, in pixels")
    parser.add_argument("--batch", type=int, default=256, help="random images that are read")
    parser.add_argument("--no-decomposition", dest="decomposition", action="store_false", help="see above")
    parser.add_argument("--folder", default=None, help="where; a temporary one by default")
    found = in_own_process(__file__, vars(parser.parse_args()))
    print(shown(found))
    print(json.dumps({**found, "machine": machine()}))


if __name__ == "__main__":
    main()
