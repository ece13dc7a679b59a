"""``rcig``, and the same as ``python -m rcig_cli``."""

import signal


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends it without a traceback
    from rcig_cli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
