"""Compile with fewer of XLA's optimizations, since most of the tests' time is compilation; results differ.

    python quick.py ARGUMENTS...

is the command ``rcig ARGUMENTS...``, compiled in this way.
"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # otherwise the command would print that it changed it

from rcig_cli.runs.engine import environment

environment.PINNED["jax_disable_most_optimizations"] = True

if __name__ == "__main__":
    from rcig_cli.cli.app import main

    main()
