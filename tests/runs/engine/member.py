"""One process of a job, as `job.py` starts it: ``member.py CASE FOLDER``."""

# ruff: noqa: E402 (JAX is imported after the environment is prepared)

import os
import sys
import time
from pathlib import Path

from rcig_cli.runs.engine.environment import pin, prepare_environment, prepare_jax
from tests import quick

prepare_environment()
quick.add_flag()
prepare_jax()
pin()

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from rcig_cli.errors import Interrupted, NumericsError, RcigError
from rcig_cli.runs.engine import processes as module
from rcig_cli.runs.engine.processes import ProcessSpec, join
from rcig_cli.runs.signals import stop_on_signals

for name in ("CONNECT_TIMEOUT", "HEARTBEAT_TIMEOUT"):
    setattr(module, name, int(os.environ.get(name, getattr(module, name))))

STATE = {
    "zero": np.array([-0.0, 0.0], np.float32),
    "nan": np.array([0x7FC12345], np.uint32).view(np.float32),
    "half": np.arange(6, dtype=jnp.bfloat16).reshape(2, 3),
    "empty": np.zeros((0, 3), np.float32),
    "flag": np.array(True),
    "double": np.random.default_rng(0).standard_normal((50, 70)),
}


def sharded_gradient(w, x):
    """Mean over all devices of the gradient at each device's rows of x."""
    mesh = jax.make_mesh((jax.device_count(),), ("real",), axis_types=(jax.sharding.AxisType.Auto,))

    def local(w, x):
        return jax.lax.pmean(jax.grad(lambda w: jnp.mean((x @ w) ** 2))(w), "real")

    specs = (PartitionSpec(), PartitionSpec("real"))
    mapped = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False)
    rows = NamedSharding(mesh, PartitionSpec("real"))
    x = jax.make_array_from_callback(x.shape, rows, lambda index: x[index])
    return np.asarray(jax.jit(mapped)(w, x))


def share(processes, folder):
    """Everything that processes exchange."""
    assert (jax.process_count(), jax.process_index()) == (processes.count, processes.index)
    name = processes.share_text("größer" if processes.is_first else "")
    empty = processes.share_text("")
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), STATE)
    shared = processes.share(STATE if processes.is_first else shapes)
    same = all(
        shared[key].tobytes() == leaf.tobytes()
        and (shared[key].shape, shared[key].dtype) == (leaf.shape, leaf.dtype)
        for key, leaf in STATE.items()
    )
    agreed = processes.agree_on(0, processes.index, 7 - processes.index)
    rng = np.random.default_rng(1)
    w, x = rng.standard_normal(5).astype(np.float32), rng.standard_normal((16, 5)).astype(np.float32)
    close = np.allclose(sharded_gradient(w, x), 2 * x.T @ (x @ w) / len(x), rtol=1e-5)
    print(name, repr(empty), same, agreed, jax.device_count(), close)


def collectives(processes, folder):
    while True:
        processes.agree_on(0, 1)
        ready(folder, processes)


def idle(processes, folder):
    ready(folder, processes)
    time.sleep(60)


def fail(processes, folder):
    """The process named in FAILING fails, while the others wait for it in a collective operation."""
    if processes.index == int(os.environ["FAILING"]):
        raise NumericsError("The run diverged.")
    processes.agree_on(0)


def stop(processes, folder):
    """A signal to one stops all at the same step; process 0 then saves for longer than a heartbeat."""
    with stop_on_signals() as request:
        for step in range(100_000):
            number, _ = processes.agree_on(request.signal_number or 0, 1)
            if number:
                if processes.is_first:
                    time.sleep(module.HEARTBEAT_TIMEOUT + 4)
                    (folder / "saved").touch()
                raise Interrupted(f"Stopped at step {step}.", number)
            ready(folder, processes)


def stop_alone(processes, folder):
    """Process 0 is interrupted before the processes could agree."""
    if processes.is_first:
        raise Interrupted("Stopped preparing.", 15)
    processes.share_text("")


def ready(folder, processes):
    (folder / f"ready{processes.index}").touch()


def tell(message, _):
    print(f"rcig: {message}", file=sys.stderr, flush=True)


def main(case, folder):
    try:
        with join(ProcessSpec.find(), tell=tell) as processes:
            globals()[case](processes, Path(folder))
    except RcigError as error:  # as cli/app.py does
        tell(error, error.exit_code)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(*sys.argv[1:])
