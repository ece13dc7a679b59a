"""The step as one program, for accelerators, against the step driven from Python, for CPUs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.task import Task
from rcig_cli.networks.architectures import build_network
from rcig_cli.runs.engine import engine, mesh
from rcig_cli.runs.engine.batches import RealData


def after(steps, platform, monkeypatch, solver, augmentations=()):
    monkeypatch.setattr(engine, "current_platform", lambda: platform)
    network = build_network(
        "convnet", image_shape=(8, 8, 3), classes=3, width=4, depth=2, activation="softplus"
    )
    settings = METHODS["rcig"].settings(
        solver=solver, inner_steps=3, hessian_steps=3, pool_size=2, pool_steps=3, pool_max_steps=4
    )
    random = np.random.default_rng(0)
    real = RealData(random.normal(size=(40, 8, 8, 3)).astype(np.float32), np.arange(40, dtype=np.int32) % 3)
    made = engine.make_engine(
        lambda platform: METHODS["rcig"].make(Task(network, platform), settings),
        real,
        batch=16,
        seed=3,
        augmentations=augmentations,
    )
    labels = centred_one_hot(jnp.arange(6) % 3, 3)
    state = made.start(Distilled({"images": jnp.asarray(real.images[:6])}, labels, jnp.zeros(())))
    infos = []
    step = 0
    while step < steps:
        count = min(made.most, steps - step, 4)
        state, fetch = made.advance(state, step, count)
        infos += fetch()
        step += count
    return made.gather(state), infos


@pytest.mark.parametrize(
    ("solver", "augmentations"),
    [("cg", ("flip", "translate")), pytest.param("adam", (), marks=pytest.mark.slow)],
)
def test_one_program_and_many_do_the_same(monkeypatch, solver, augmentations):
    whole, whole_infos = after(6, Platform(unroll=False), monkeypatch, solver, augmentations)
    driven, driven_infos = after(6, Platform(unroll=True, parts=2), monkeypatch, solver, augmentations)
    assert whole.pool.age.tolist() == driven.pool.age.tolist()
    for one, other in zip(whole_infos, driven_infos, strict=True):
        np.testing.assert_allclose(one.metrics["loss"], other.metrics["loss"], rtol=1e-4)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(driven), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-2, atol=2e-3)


def test_images_read_ahead_give_what_those_on_the_device_give(monkeypatch):
    resident, infos = after(6, Platform(unroll=False), monkeypatch, "cg")
    monkeypatch.setattr(RealData, "fits", lambda *_: False)
    read, read_infos = after(6, Platform(unroll=False), monkeypatch, "cg")
    assert [info.metrics["loss"] for info in infos] == pytest.approx(
        [info.metrics["loss"] for info in read_infos], rel=1e-6
    )
    for one, other in zip(jax.tree.leaves(resident), jax.tree.leaves(read), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_an_unrolled_iterate_is_settled_once():
    platform = Platform(unroll=True, repeated=mesh.settled)

    def chain(platform):
        def body(x):
            return 0.5 * x + jnp.sin(x), x.sum()

        return lambda x: platform.repeat(3, body, x)

    x = jnp.linspace(0, 1, 7)
    settled, plain = jax.jit(chain(platform)), chain(Platform())
    for ours, expected in zip(settled(x), plain(x), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert settled.lower(x).compile().as_text().count(" call(") >= 3


def test_what_is_put_to_be_used_up_shares_no_memory_with_what_it_was():
    room = np.zeros(80, np.float32)
    aligned = room[-room.ctypes.data // 4 % 16 :][:64]  # so that JAX could take it as it is
    grid = mesh.make_mesh(jax.devices()[:1], 1, 1)
    placed = mesh.put(aligned, grid, jax.sharding.PartitionSpec(), own=True)
    aligned[:] = 1
    assert not np.asarray(placed).any()
