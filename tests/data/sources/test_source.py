"""Opening a data set by name or path, its identity, and batches."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.data.sources.opening import identity, open_source
from rcig_cli.data.sources.source import Batch, regroup
from rcig_cli.errors import ConfigError, NotFound
from tests.data.examples import pixels, save_picture


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12))
def test_regroup_keeps_every_image_in_order(sizes, size):
    every = np.arange(sum(sizes), dtype=np.int32)
    parts = np.split(every, np.cumsum(sizes))[:-1]
    images = [part.astype(np.uint8)[:, None, None, None] for part in parts]
    out = list(regroup(map(Batch, images, parts), size))
    assert [len(batch) for batch in out[:-1]] == [size] * (len(out) - 1)
    assert np.concatenate([every[:0], *(batch.labels for batch in out)]).tolist() == every.tolist()
    assert all((batch.images.ravel() == batch.labels).all() for batch in out)


def test_an_unknown_name_is_answered_with_the_nearest_and_all():
    with pytest.raises(NotFound, match=r"Did you mean mnist\?.*digits, mnist, .*cifar100"):
        open_source("mnits")
    with pytest.raises(NotFound, match=r"^There is no data set 'zzz'\. Known names"):
        open_source("zzz")


def test_missing_and_other_paths_are_refused(tmp_path):
    with pytest.raises(NotFound, match="nowhere"):
        open_source("flowers", tmp_path / "nowhere.npz")
    (tmp_path / "data.csv").write_text("1,2")
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "data.csv", tmp_path / "pipe.npz"):
        with pytest.raises(ConfigError, match="none of the formats"):
            open_source("flowers", path)


def test_the_identity_follows_names_sizes_and_times_of_files(tmp_path):
    for name in "ab":
        for index in range(3):
            save_picture(tmp_path / name / f"{index}.png", pixels(4, 4, 3))

    def found():
        return identity(open_source("photos", tmp_path))

    before = found()
    assert found() == before
    os.utime(tmp_path / "a" / "1.png", ns=(1, 1))
    touched = found()
    (tmp_path / "a" / "1.png").rename(tmp_path / "a" / "9.png")
    renamed = found()
    save_picture(tmp_path / "a" / "9.png", pixels(4, 4, 3, seed=1))
    assert len({each["origin"]["files"] for each in (before, touched, renamed, found())}) == 4


def test_nothing_heavy_is_imported_before_it_is_needed():
    heavy = "{'PIL', 'sklearn', 'tensorflow_datasets'}"
    code = f"import sys, rcig_cli.data.sources.opening; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
