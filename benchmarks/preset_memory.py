"""The memory that each preset's outer step needs, as XLA counts it for one program that contains its loops.

    python benchmarks/preset_memory.py [NAME ...]

Each step is compiled at full width, but not run.  XLA counts the memory for this machine's device.  A GPU
also needs a workspace for convolutions, and memory for the real images if they are kept on the device.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# Side, channels and classes of each data set.
SHAPES = {
    **{"mnist": (28, 1, 10), "fashion_mnist": (28, 1, 10)},
    **{"cifar10": (32, 3, 10), "cifar100": (32, 3, 100), "cub200": (32, 3, 200)},
    **{"tiny_imagenet": (64, 3, 200), "imagenet64": (64, 3, 1000)},
    **{"imagenette": (128, 3, 10), "imagewoof": (128, 3, 10)},
}


def needed(name: str, ipc: int) -> float:
    """GB of one step with its state."""
    from rcig_cli.runs.engine import environment

    environment.prepare_environment()
    environment.prepare_jax()
    import jax
    import numpy as np

    from rcig_cli.distillation.platform import Platform
    from rcig_cli.distillation.records import Distilled
    from rcig_cli.distillation.task import Task
    from rcig_cli.presets.config import resolve
    from rcig_cli.runs.configuration import network_for
    from rcig_cli.runs.engine import engine
    from rcig_cli.runs.engine.batches import RealData

    engine.current_platform = lambda: Platform()
    side, channels, classes = SHAPES[name]
    shape = side, side, channels
    config = resolve(name, shape, classes, {"ipc": ipc})
    network = network_for(config, shape, classes)
    real = RealData(np.zeros((config.batch, *shape), np.float32), np.zeros(config.batch, np.int32))
    made = engine.make_engine(
        lambda platform: config.algorithm_record.make(Task(network, platform), config.method),
        real,
        batch=config.batch,
        seed=0,
    )
    n = classes * ipc
    images, *others = (jax.ShapeDtypeStruct(size, np.float32) for size in ((n, *shape), (n, classes), ()))
    psi = Distilled({"images": images}, *others)
    return made.compile(jax.eval_shape(made.start, psi)) / 1e9


def main() -> None:
    """Compile each preset's step in a separate process."""
    from rcig_cli.presets.paper import presets

    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(needed(sys.argv[2], int(sys.argv[3]))))
        return
    for name in sys.argv[1:] or SHAPES:
        for ipc in presets(name):
            command = [sys.executable, __file__, "--one", name, str(ipc)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            found = done.stdout.splitlines()[-1:] or [done.stderr.splitlines()[-1:]]
            print(name, ipc, *found, flush=True)


if __name__ == "__main__":
    main()
