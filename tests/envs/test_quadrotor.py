"""QuadrotorWind against rotation matrices, hand arithmetic and MuJoCo's forces on a single simulation."""

import mujoco
import numpy as np
import pytest

from metarl.envs import make
from metarl.envs.families.quadrotor import figure

WEIGHT = 20.0  # N, by the four rotors at rest


def still(tasks, **options):
    """Simulations at the keyframe, which begin the figure at time 0."""
    env = make("QuadrotorWind", len(tasks["speed"]), autoreset_mode="Disabled", num_threads=1, **options)
    env.reset(seed=0, options={"tasks": env.space.tasks(**tasks)})
    env.batch.bind("time")[:] = 0.0
    env.batch.bind("qpos")[:], env.batch.bind("qvel")[:] = env.model.key_qpos[0], 0.0
    return env


def test_at_zero_action_the_rotors_carry_the_weight_in_still_air():
    env = still({"speed": [0.0]})
    assert env.model.body_mass.sum() * 9.81 == pytest.approx(WEIGHT, rel=1e-6)
    for _ in range(20):
        env.step(np.zeros((1, 4)))
    np.testing.assert_allclose(env.batch.bind("qpos")[0], env.model.key_qpos[0], atol=1e-5)
    np.testing.assert_allclose(env.batch.bind("qvel")[0], 0.0, atol=1e-4)


def test_the_wind_pushes_where_it_blows_to_and_with_its_square():
    env = still({"speed": [3.0, 6.0, 12.0, 6.0], "direction": [0.0, 0.0, 0.0, np.pi / 2]})
    forces = []
    for i in range(4):
        model, data = env.model_of(i), env.data_of(i)
        mujoco.mj_forward(model, data)
        forces.append(data.qfrc_passive[:3].copy())
    along = np.array(forces)[:3, 0]
    np.testing.assert_allclose(along[1:] / along[:2], 4.0, rtol=0.01)
    np.testing.assert_allclose(forces[3], [0.0, along[1], 0.0], atol=1e-9)
    assert 0.4 * WEIGHT < along[2] < 0.6 * WEIGHT  # 12 m/s is hard, and can be withstood
    assert along[1] * (6.1 / 6) ** 2 == pytest.approx(2.6, abs=0.05)  # N, as docs/reference/environments.md says
    assert along[2] * (12.1 / 12) ** 2 == pytest.approx(10.3, abs=0.05)


def test_it_sees_where_it_should_be_in_its_own_frame():
    env = still({"speed": [2.0]})
    quat = np.array([0.9, 0.1, -0.3, 0.2]) / np.linalg.norm([0.9, 0.1, -0.3, 0.2])
    env.batch.bind("qpos")[0] = [0.3, -0.2, 1.9, *quat]
    env.batch.bind("qvel")[0] = [0.5, 0.1, -0.4, 0.6, -0.7, 0.8]
    env.batch.bind("time")[0] = 0.7
    seen = env.family.observe(env.batch, env.family.derive(env.batch))[0]
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, quat)
    own = turn.reshape(3, 3).T  # of the world's axes
    place = np.array([1.25 * np.sin(0.7), 0.0, 1.5 + 0.75 * np.sin(1.4)])
    speed = np.array([1.25 * np.cos(0.7), 0.0, 1.5 * np.cos(1.4)])
    np.testing.assert_allclose(seen[:3], own @ (place - [0.3, -0.2, 1.9]), atol=1e-12)
    np.testing.assert_allclose(seen[3:6], own @ (speed - [0.5, 0.1, -0.4]), atol=1e-12)
    np.testing.assert_allclose(seen[9:12], own @ [0, 0, -1], atol=1e-12)
    np.testing.assert_array_equal(seen[12:], [0.6, -0.7, 0.8, 0, 0, 0, 0])


def test_places_velocities_and_accelerations_belong_together():
    time, h = np.linspace(0.0, 6.0, 13), 1e-5
    before, here, after = (figure(time + dt) for dt in (-h, 0.0, h))
    for k in range(2):
        np.testing.assert_allclose((after[k] - before[k]) / (2 * h), here[k + 1], atol=1e-8)
    np.testing.assert_allclose(figure(time + 2 * np.pi)[0], here[0], atol=1e-12)
    lap = figure(np.linspace(0.0, 2 * np.pi, 629))[0]
    np.testing.assert_allclose(np.ptp(lap, axis=0), [2.5, 0.0, 1.5], atol=1e-3)


def test_the_reward_by_hand_and_the_end():
    env = still({"speed": [0.0, 0.0, 0.0]})
    env.batch.bind("qpos")[:, 1] = [0.3, 1.49, 1.51]  # beside the figure's first place
    env.batch.bind("qvel")[:, 3:] = [[1.0, 2.0, 0.0], [0.0] * 3, [0.0] * 3]
    derived = env.family.derive(env.batch)
    ctrl = np.array([[5.0, 7.5, 5.0, 0.0], [5.0] * 4, [5.0] * 4])
    terms = env.family.reward_terms(env.batch, derived, None, ctrl, None)
    got = {name: values[0] for name, values in terms.items()}
    assert got == pytest.approx(
        {"near": 0.5 * 0.8, "on it": 0.5 * np.exp(-3.0), "spin": -0.1, "effort": -0.01 * (0.25 + 1.0)}
    )
    np.testing.assert_array_equal(env.family.terminated(env.batch, None), [False, False, True])


def test_an_episode_begins_anywhere_on_the_figure_in_step_with_it():
    env = make("QuadrotorWind", 200, autoreset_mode="Disabled", num_threads=1)
    seen, _ = env.reset(seed=3)
    time = env.batch.bind("time")
    assert time.min() < 0.2 and time.max() > 6.0 and len(np.unique(time)) == 200
    assert np.abs(seen[:, :6]).max() <= 0.1 < 1.05 * np.abs(seen[:, :6]).max()
    np.testing.assert_array_equal(seen[:, -4:], 0.0)  # the rotors turn
    env.step(np.zeros((200, 4)))
    np.testing.assert_allclose(env.batch.bind("time") - time, 0.0, atol=1e-12)  # it is live
