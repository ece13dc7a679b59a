"""One process of a job, as `test_processes.py` starts it: ``member.py CASE PORT COUNT INDEX [FOLDER]``."""

# ruff: noqa: E402 (JAX comes after what has to be set before it)

import os
import sys
import time
from pathlib import Path

from rcig_cli.runs.engine.device import prepare_environment, prepare_jax

prepare_environment()
prepare_jax()

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from rcig_cli.errors import Interrupted, NumericsError, RcigError
from rcig_cli.runs.engine.processes import join
from rcig_cli.runs.engine.seat import find_seat
from rcig_cli.runs.signals import stop_on_signals
from rcig_cli.store import checkpoints


def mean_of_gradients(processes):
    """A function compiled over all processes' devices: the mean of what each computes from its rows."""
    mesh = jax.make_mesh((processes.count,), ("real",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("real"))

    def local(w, x):
        return jax.lax.pmean(jax.grad(lambda w: jnp.mean((x @ w) ** 2))(w), "real")

    spread = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec("real")),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    compiled = jax.jit(spread)

    def call(w, x):
        own = np.split(x, processes.count)[processes.index]
        return np.asarray(compiled(w, jax.make_array_from_process_local_data(rows, own)))

    return call


def state():
    return {
        "zero": np.array([-0.0, 0.0], np.float32),
        "nan": np.array([0x7FC12345], np.uint32).view(np.float32),
        "half": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3),
        "empty": np.zeros((0, 3), np.float32),
        "flag": np.array(True),
        "big": np.random.default_rng(0).standard_normal((500, 700)),
    }


def numbers():
    rng = np.random.default_rng(1)
    return rng.standard_normal(5).astype(np.float32), rng.standard_normal((12, 5)).astype(np.float32)


def share(processes, folder):
    """All that is shared; and process 0 saves alone, and each restores alone."""
    assert jax.process_count() == processes.count
    name = processes.share_text("run_7" if processes.is_first else "")
    given = state()
    template = (
        given
        if processes.is_first
        else jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), given)
    )
    shared = processes.share(template)
    same = all(np.asarray(shared[k]).tobytes() == np.asarray(given[k]).tobytes() for k in given)
    w, x = numbers()
    meta = mean_of_gradients(processes)(w, x)
    expected = 2 * x.T @ (x @ w) / len(x)
    close = bool(np.allclose(meta, expected, rtol=1e-5))
    began = time.perf_counter()
    wishes = [processes.agree_on(0, processes.index, step % 2) for step in range(100)]
    cost = (time.perf_counter() - began) / 100
    agreed = wishes == [(0, processes.count - 1, step % 2) for step in range(100)]
    if processes.is_first:
        checkpoints.save(folder, 3, given)
    processes.agree(0)
    restored = checkpoints.latest(folder, template)
    sound = restored.step == 3 and restored.state["big"].tobytes() == given["big"].tobytes()
    print(name, same, close, agreed, cost < 0.05, sound)


def collectives(processes, folder):
    call, (w, x) = mean_of_gradients(processes), numbers()
    while True:
        call(w, x)
        ready(folder, processes)


def idle(processes, folder):
    call, (w, x) = mean_of_gradients(processes), numbers()
    call(w, x)
    ready(folder, processes)
    time.sleep(60)


def saving(processes, folder):
    """Process 0 saves, and the others wait for it in the next collective."""
    call, (w, x) = mean_of_gradients(processes), numbers()
    call(w, x)
    if processes.is_first:
        for step in range(10_000):
            checkpoints.save(folder, step, {"x": np.arange(100_000)})
            ready(folder, processes)
    ready(folder, processes)
    call(w, x)


def fail(processes, folder):
    """The last process fails, and the others wait in a collective for it."""
    if processes.index == processes.count - 1:
        raise NumericsError("The run diverged.")
    mean_of_gradients(processes)(*numbers())


def fail_first(processes, folder):
    """Process 0 fails, and the others wait for its word."""
    if processes.is_first:
        raise NumericsError("The run diverged.")
    processes.share_text("")


def fail_all(processes, folder):
    raise NumericsError(f"The run diverged, says {processes.index}.")


def stop(processes, folder):
    """A signal to one stops all, at the same step; process 0 then saves for longer than errors wait."""
    with stop_on_signals() as request:
        for step in range(100_000):
            number = processes.agree(request.signal_number or 0)
            if number:
                if processes.is_first:
                    time.sleep(4.5)
                    (folder / "saved").touch()
                raise Interrupted(f"Stopped at step {step}.", number)
            ready(folder, processes)


def ready(folder, processes):
    (folder / f"ready{processes.index}").touch()


def main(case, port, count, index, folder):
    try:
        seat = find_seat(f"127.0.0.1:{port}", int(count), int(index))
        with join(seat, limit=60) as processes:
            globals()[case](processes, Path(folder))
    except RcigError as error:  # as cli/app.py does
        print(f"rcig: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    os.environ["http_proxy"] = os.environ["https_proxy"] = "http://127.0.0.1:9"
    main(*sys.argv[1:])
