"""A process that has imported everything, and forks a child for every command it is asked for.

A command then costs what it does and nothing else.  Requests and answers are JSON, a line each, on stdin and
stdout: a list of commands to run at once, and a list of their exit codes.  Started with the layer of
``faults.c`` in LD_PRELOAD, it arms it in the child that is asked to fail.
"""

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import threading
import traceback
import warnings

MODULES = (
    *("rcig_cli.runs.prepare.prepare", "rcig_cli.runs.distill.distill", "rcig_cli.runs.distill.resume"),
    *("rcig_cli.runs.evaluate.evaluate", "rcig_cli.runs.exchange.importing"),
    *("safetensors.numpy", "rcig_cli.data.sources.digits", "sklearn.datasets", "zarr"),
)
LONGEST = 120  # seconds a command may take


def serve():
    """Answer until stdin ends."""
    warnings.simplefilter("ignore")
    from rcig_cli.runs.engine.environment import prepare_environment, prepare_jax, silence_libraries

    silence_libraries()
    prepare_environment()
    prepare_jax()
    for name in MODULES:
        importlib.import_module(name)
    from rcig_cli.cli.app import COMMANDS

    for module, _ in COMMANDS.values():
        importlib.import_module(f"rcig_cli.cli.{module.split(':')[0]}")
    gc.freeze()  # so that a child doesn't copy all of this memory by looking through it
    tell({"commands": list(COMMANDS)})
    for line in sys.stdin:
        children = [started(request) for request in json.loads(line)]
        tell(outcomes(children))


def tell(answer):
    print(json.dumps(answer), flush=True)


def started(request):
    child = os.fork()
    if not child:
        run(request)
    return child


def outcomes(children):
    """The children's exit codes, less than 0 for a signal; None for one that had to be ended."""
    running, late = set(children), set()

    def end():
        for child in tuple(running):
            late.add(child)
            os.kill(child, signal.SIGKILL)

    timer = threading.Timer(LONGEST, end)
    timer.start()
    codes = {}
    for child in children:
        _, status = os.waitpid(child, 0)
        running.discard(child)
        codes[child] = None if child in late else os.waitstatus_to_exitcode(status)
    timer.cancel()
    timer.join()
    return [codes[child] for child in children]


def run(request):
    """Be the command."""
    for number, path in ((1, request["out"]), (2, request["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    from rcig_cli.cli import app

    if request["pretend"]:
        from tests.slow.faults import pretend

        pretend.take_over()
    if fault := request["fault"]:
        layer = ctypes.CDLL(None)
        texts = [fault[name].encode() for name in ("store", "log", "key")]
        layer.faults_arm(*texts, *(fault[name] for name in ("nth", "kind", "error")), 1)
    sys.argv = ["rcig", *request["arguments"]]
    code = 70
    try:
        app.main()
    except SystemExit as stopped:
        code = stopped.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
