"""Compile with fewer of XLA's optimizations, since most of the tests' time is compilation; results differ.

    python quick.py ARGUMENTS...

is the command ``rcig ARGUMENTS...``, compiled in this way.  Other programs import this module before JAX and
call `add_flag` after `prepare_environment`.
"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # otherwise the command would print that it changed it

from rcig_cli.runs.engine import environment

# XLA's older compiler of fusions takes half of the time of the one that replaces it.
FLAG = "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"

environment.PINNED["jax_disable_most_optimizations"] = True


def add_flag():
    """Add `FLAG` to those that XLA reads when JAX computes for the first time."""
    os.environ["XLA_FLAGS"] = f"{os.environ['XLA_FLAGS']} {FLAG}"


def start_xla(check_devices=environment.check_devices):
    """Find the devices, for which XLA is started and reads `FLAG`.

    Afterwards the variable is as before: commands in other processes would refuse the flag, and it would
    be a part of the keys of the compilation cache, which tests and the commands that they start share.
    """
    given = os.environ["XLA_FLAGS"]
    add_flag()
    try:
        check_devices()
    finally:
        os.environ["XLA_FLAGS"] = given


if __name__ == "__main__":
    environment.check_devices = start_xla
    from rcig_cli.cli.app import main

    main()
