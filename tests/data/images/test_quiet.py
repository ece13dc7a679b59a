import logging
import sys
import warnings

import pytest

from rcig_cli.data.images.quiet import quiet


def test_nothing_is_heard(capsys):
    with quiet():
        print("chatter")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.getLogger("absl").error("trouble")
    assert capsys.readouterr() == ("", "")


def test_afterwards_everything_is_heard_again(capsys):
    stdout = sys.stdout
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert sys.stdout is stdout
    assert logging.root.manager.disable == 0
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)
