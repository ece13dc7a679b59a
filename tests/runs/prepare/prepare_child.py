"""A preparation in a process of its own, that kills itself where it is told to.

python prepare_child.py STORE '{"save_every": 0, "kill": ["progress", 3], ...}'
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from rcig_cli.data.sources.source import Batch, ImageSource
from rcig_cli.store import arrays

SIDE, CLASSES = 8, 4


class Generated(ImageSource):
    """Images that are computed from their indices, so they need no file and no memory."""

    def __init__(self, train=900, test=150, side=SIDE, fail_at=None, pause=0.0):
        super().__init__(
            "generated",
            class_names=tuple(f"class {number}" for number in range(CLASSES)),
            shape=(side, side, 3),
            sizes={"train": train, "test": test},
        )
        self.fail_at, self.pause, self.read = fail_at, pause, 0

    def batches(self, split, size):
        for start in range(0, self.sizes[split], size):
            numbers = np.arange(start, min(start + size, self.sizes[split]))
            if self.fail_at is not None and numbers[-1] >= self.fail_at:
                from rcig_cli.errors import Corrupt

                raise Corrupt(f"Image {self.fail_at} is damaged: replace it.")
            self.read += len(numbers)
            time.sleep(self.pause)
            yield Batch(self.images(numbers, split), (numbers % CLASSES).astype(np.int32))

    def images(self, numbers, split):
        random = np.random.default_rng([len(split), int(numbers[0])])
        noise = random.integers(0, 64, (len(numbers), *self.shape), np.uint8)
        return noise + (numbers * 7 % 191).astype(np.uint8)[:, None, None, None]


def small_pieces(monkeypatch=None):
    """Batches of 64 images at most, chunks of 2 and shards of 14: many of each in a small set."""
    from rcig_cli.data.whitening import moments
    from rcig_cli.runs.prepare import passes

    image = SIDE * SIDE * 3 * 4
    changes = [
        (passes, "_BATCH_BYTES", 64 * image),
        (moments, "_BLOCK_BYTES", 100 * image),
        (moments, "_PANEL", 50),
        (arrays, "CHUNK_BYTES", 2 * image),
        (arrays, "SHARD_BYTES", 14 * image),
    ]
    for module, name, value in changes:
        monkeypatch.setattr(module, name, value) if monkeypatch else setattr(module, name, value)


class Silent:
    """A report that counts the calls."""

    def __init__(self):
        self.told = []
        self.on_progress = lambda _: None

    def note(self, sentence):
        self.told.append(sentence)

    warn = note

    def progress(self, label, done, total, _values=None):
        self.told.append((label, done, total))
        self.on_progress(len(self.told))


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(where, count, report):
    """Kill this process at the count-th progress shown, file forced to the disk, or rename."""
    from rcig_cli.store import files, partial

    if where == "progress":
        report.on_progress = lambda so_far: so_far >= count and kill()
        return
    module, name = {
        "sync": (files, "_sync"),
        "publish": (partial, "publish"),
        "replace": (files, "_exchange"),
        "replaced": (files, "_exchange"),
        "save": (files.os, "replace"),
    }[where]
    original, calls = getattr(module, name), []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == count:
            if where == "replaced":
                original(*arguments)
            kill()
        return original(*arguments)

    setattr(module, name, counted)


def peak_bytes():
    """The most memory of this process; getrusage's would count the parent's, from before the exec."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def main():
    from rcig_cli.runs.prepare import passes, prepare
    from rcig_cli.store.store import open_store

    store, case = Path(sys.argv[1]), json.loads(sys.argv[2])
    if "pieces" in case:
        arrays.CHUNK_BYTES, arrays.SHARD_BYTES = case["pieces"]
    else:
        small_pieces()
    passes.SAVE_EVERY, passes.SAVING_SHARE = case.get("save_every", 0), 1e9
    passes.processors = lambda: 2
    source = Generated(**case.get("source", {}))
    prepare.open_source = lambda *_, **__: source
    report = Silent()
    if "kill" in case:
        kill_at(*case["kill"], report)
    if case.get("say"):
        report.on_progress = lambda count: print(count, flush=True)
    prepare.prepare(
        open_store(store, create=True),
        "generated",
        report=report,
        overwrite=case.get("overwrite", False),
        **case.get("config", {}),
    )
    print(json.dumps({"read": source.read, "peak": peak_bytes(), "told": report.told}))


if __name__ == "__main__":
    main()
