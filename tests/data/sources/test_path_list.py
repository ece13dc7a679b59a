import tracemalloc
from pathlib import Path

import pytest

from rcig_cli.data.sources import path_list
from rcig_cli.data.sources.path_list import PathList


def test_paths_come_back_in_their_order(tmp_path):
    names = ["b/1.png", "a/ü.png", b"a/\xff\n.png".decode("utf-8", "surrogateescape"), "a/1.png"]
    paths = PathList(tmp_path, [tmp_path / name for name in names])
    assert list(paths) == [tmp_path / name for name in names]
    assert list(paths.select([3, 0])) == [tmp_path / "a/1.png", tmp_path / "b/1.png"]
    assert (len(paths), len(PathList(tmp_path, []))) == (4, 0)


def test_a_path_elsewhere_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="subpath"):
        PathList(tmp_path, [Path("/etc/hosts")])


def test_it_takes_little_more_than_the_names():
    root = Path("/data/imagenet")
    name = "train/n01440764/n01440764_{:05}.JPEG"
    tracemalloc.start()
    paths = PathList(root, (root / name.format(index) for index in range(20_000)))
    ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, path_list.__file__)])
    tracemalloc.stop()
    assert len(paths) == 20_000
    kept = sum(trace.size for trace in ours.traces)
    assert len(name.format(0)) < kept / 20_000 < len(name.format(0)) + 16
