"""Pickles are read without running anything that they name."""

import os
import pickle

import pytest

from rcig_cli.data.pickles import read_pickle
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.downloads import python2_pickle
from tests.data.examples import pixels


class Call:
    def __init__(self, called, *arguments):
        self._parts = called, arguments

    def __reduce__(self):
        return self._parts


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cposix\nsystem\nU\x0ftouch executed\x85R.",
        pickle.dumps({"data": Call(os.system, "touch executed")}, protocol=4),
        b"\x80\x02}(U\x04datac__builtin__\neval\nU\x10open('x','w').a)\x85Ru.",
        b"\x80\x02cnumpy\nfromfile\nU\x05batch\x85R.",
        b"\x80\x02(U\x02lsios\nsystem\n.",
    ],
)
def test_a_pickle_that_names_anything_but_arrays_is_refused_and_never_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(ConfigError, match="which is never loaded"):
        read_pickle(tmp_path, "batch", 2**20)
    assert os.listdir() == ["batch"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02K\x01.",  # a number
        b"\x80\x02}K\x01K\x01s.",  # a number as key
        b"\x80\x02}(U\x01\xffK\x01u.",  # a key that isn't UTF-8
        b"\x80\x02}(U\x04dataB\xff\xff\xff\xff",  # a text longer than the file
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01O\x87R.",
        python2_pickle({"data": pixels(2, 9)}).replace(b"K\x02K\x09\x86", b"K\x03K\x09\x86"),
        python2_pickle({"data": pixels(2, 9)}).replace(b"u1", b"O8"),
        b"\x80\x02U\x01xQ.",  # a persistent object
        b"\x80\x02}r\xff\xff\xff\x7f.",  # an index for which the unpickler would allocate 32 GB
    ],
)
def test_a_damaged_pickle_is_refused(tmp_path, content):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(Corrupt, match="download it again"):
        read_pickle(tmp_path, "batch", 2**20)
