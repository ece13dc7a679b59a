"""``rcig``, and the same as ``python -m rcig_cli``."""

import signal


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        # Until `watch_signals` takes over, Ctrl-C ends the process without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from rcig_cli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
