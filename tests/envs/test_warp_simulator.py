"""`WarpSimulator` has the methods of a Batch: live arrays, some simulations at a time, fields of their own."""

import mujoco
import numpy as np
import pytest

from metarl.envs import make_family
from metarl.envs.arrays import as_numpy
from metarl.envs.warp import GPU, Warp

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(600),
    pytest.mark.skipif(not GPU.installed(), reason=f"needs the extra gpu: {GPU.command}"),
]  # fmt: skip
N = 4


@pytest.fixture
def simulator():
    made = Warp(device="cpu")("HalfCheetahDir", make_family("HalfCheetahDir").build(), N)
    made.bind("qvel")[:] = np.random.default_rng(0).normal(size=(N, 9))
    made.bind("ctrl")[:] = np.random.default_rng(1).uniform(-1, 1, (N, 6))
    return made


def everything(simulator):
    return {name: as_numpy(simulator.bind(name)).copy() for name in ("qpos", "qvel", "time", "qacc_warmstart", "xpos")}


def test_arrays_are_warps_own_memory(simulator):
    qpos = simulator.bind("qpos")
    qpos[1] = np.arange(9)
    assert simulator._data.qpos.numpy()[1].tolist() == list(range(9))
    simulator._data.qpos.numpy()[2, 0] = 7
    assert qpos[2, 0] == 7 and type(qpos[2]).__name__ == "Tensor"
    mass = simulator.expand("body_mass")
    mass[:, 1] = np.arange(4)[::-1]  # not contiguous
    assert simulator._model.body_mass.numpy()[:, 1].tolist() == [3, 2, 1, 0]
    assert simulator.bind("xmat").shape == (N, simulator.model.nbody, 9) and simulator.bind("time").shape == (N,)


@pytest.mark.parametrize("call", ["step", "forward", "reset"])
def test_simulations_that_are_not_named_keep_their_bits(simulator, call):
    simulator.step(nstep=2)
    simulator.bind("xpos")
    simulator.step(nstep=2)
    before = everything(simulator)
    getattr(simulator, call)(np.array([1, 3]), stage=int(mujoco.mjtStage.mjSTAGE_ACC))
    after = everything(simulator)
    for name in before:
        np.testing.assert_array_equal(before[name][[0, 2]], after[name][[0, 2]], err_msg=name)
    assert any((before[name][[1, 3]] != after[name][[1, 3]]).any() for name in before)


def test_a_graph_computes_what_its_kernels_do(simulator):
    start = {name: as_numpy(simulator.bind(name)).copy() for name in ("qpos", "qvel", "qacc_warmstart")}
    results = []
    for _ in range(4):  # kernel by kernel, recorded, and launched again
        for name, value in start.items():
            simulator.bind(name)[:] = value
        simulator.step(nstep=3)
        results.append(as_numpy(simulator.bind("qvel")))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    simulator.expand("opt.gravity")[:] = 0.0  # the graph of before knows nothing of it
    for name, value in start.items():
        simulator.bind(name)[:] = value
    simulator.step(nstep=3)
    assert (as_numpy(simulator.bind("qvel")) != results[0]).any()


def test_constants_follow_from_each_simulations_fields(simulator):
    model = simulator.model
    scale = np.array([1.0, 0.5, 2.0, 3.0])
    for name in ("body_mass", "body_inertia"):
        shape = (N, *[1] * getattr(model, name).ndim)
        simulator.expand(name)[:] = getattr(model, name) * scale.reshape(shape)
    derived = as_numpy(simulator.bind("xpos"))
    simulator.set_const()
    np.testing.assert_array_equal(derived, simulator.bind("xpos"))
    for i in range(N):
        expected = make_family("HalfCheetahDir").build()
        expected.body_mass *= scale[i]
        expected.body_inertia *= scale[i]
        mujoco.mj_setConst(expected, mujoco.MjData(expected))
        found = simulator.get_model(i)
        for name in ("body_mass", "body_subtreemass", "body_invweight0", "dof_invweight0"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=2e-5, err_msg=name)


def test_data_of_a_simulation_is_its_state(simulator):
    simulator.step(nstep=2)
    simulator.forward()
    data = simulator.get_data(2)
    expected = mujoco.MjData(simulator.model)
    expected.qpos[:], expected.qvel[:], expected.ctrl[:] = data.qpos, data.qvel, data.ctrl
    mujoco.mj_forward(simulator.model, expected)
    assert data.time == pytest.approx(0.02) and data.ncon == expected.ncon
    np.testing.assert_allclose(data.qacc, expected.qacc, rtol=1e-3, atol=1e-2)


def test_a_reset_takes_the_keyframe_of_each_simulation():
    model = make_family("ReacherGoal").build()
    made = Warp(device="cpu")("ReacherGoal", model, 3)
    made.expand("key_qpos")[[0, 2], 0, 0] = np.array([0.25, 0.5])
    made.bind("qvel")[:] = 1.0
    made.reset(np.array([0, 1]), keyframe=0)
    assert as_numpy(made.bind("qpos"))[:, 0].tolist() == [0.25, model.key_qpos[0, 0], model.qpos0[0]]
    assert as_numpy(made.bind("qvel"))[:, 0].tolist() == [0, 0, 1]
