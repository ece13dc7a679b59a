"""``python -m rcig_cli``, the same as ``rcig``."""

from rcig_cli.cli.app import main

main()
