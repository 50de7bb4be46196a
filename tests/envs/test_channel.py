"""Delays, holds, noise, bias, dropouts and changes in mid-episode, against a plain loop over one MjData."""

import mujoco
import numpy as np
import pytest
import torch

from metarl.envs import BatchEnv, Family, Parameter, TaskSpace, Write
from metarl.envs.latency_noise import SensorActuatorModel
from metarl.envs.sensing import History, Sensing, stacked
from metarl.util.rng import keys, normals, streams, uniforms, words

N = 6
XML = """<mujoco><option timestep="0.01"/><worldbody><body name="pole"><joint name="hinge" axis="0 1 0" damping=".1"/>
  <geom name="rod" type="capsule" size=".05 .2" pos="0 0 .2" contype="0" conaffinity="0"/></body></worldbody>
  <actuator><motor name="motor" joint="hinge" ctrlrange="-1 3" gear=".5"/></actuator></mujoco>"""


def choice(name, quantity, *choices, elements=(), onset=None):
    default = 1.0 if quantity in ("mass", "damping", "control_period") else 0.0
    write = Write(quantity, elements) if quantity else ()
    return Parameter(name, "1", "", default, "choice", choices=(default, *choices), writes=write, onset=onset)


class Pendulum(Family):
    """A pendulum seen as (angle, velocity), rewarded for its angle and paying for its control."""

    name, frame_skip, horizon, camera = "Pendulum", 2, 1000, "track"

    def __init__(self, *parameters):
        self.space = TaskSpace(self.name, parameters)

    def build(self):
        return mujoco.MjModel.from_xml_string(XML)

    def reset_state(self, rngs, qpos, qvel):
        qpos[:, 0] = [rng.uniform(-1, 1) for rng in rngs]

    def observe(self, batch, derived):
        return np.concatenate([batch.bind("qpos"), batch.bind("qvel")], axis=1)

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"angle": batch.bind("qpos")[:, 0].copy(), "control": -ctrl[:, 0]}


def actions(steps, n=N):
    return np.random.default_rng(0).uniform(-1, 1, (steps, n, 1))


def run(env, moves):
    """Observations (T, N, 2) and rewards (T, N) of a reset and the moves."""
    out = [env.step(a)[:2] for a in moves]
    return np.array([o for o, _ in out]), np.array([r for _, r in out])


@pytest.mark.parametrize("period", [1, 3])
def test_delayed_and_held_controls_are_those_of_a_plain_loop(period):
    family = Pendulum(choice("delay", "action_delay", 1, 2, 5), choice("period", "control_period", 2, 3))
    env = BatchEnv(family, 4, autoreset_mode="Disabled")
    delays, moves = np.array([0, 1, 2, 5]), actions(40, 4)
    start, _ = env.reset(seed=3, options={"tasks": env.space.tasks(delay=delays, period=[period] * 4)})
    observed, rewards = run(env, moves)
    for i, delay in enumerate(delays):
        model = env.family.build()
        data = mujoco.MjData(model)
        data.qpos[:], sent = start[i, 0], []
        for step, move in enumerate(moves[:, i, 0]):
            sent.append(np.clip(1 + 2 * move, -1, 3) if step % period == 0 else sent[-1])
            control = sent[step - delay] if step >= delay else 0.0  # that of the reset until the first arrives
            data.ctrl[:] = control
            mujoco.mj_step(model, data, nstep=2)
            np.testing.assert_array_equal(observed[step, i], [data.qpos[0], data.qvel[0]])
            assert rewards[step, i] == data.qpos[0] - control


def test_an_episode_knows_nothing_of_the_controls_of_the_last_one():
    env = BatchEnv(Pendulum(choice("delay", "action_delay", 3), choice("period", "control_period", 2)), N)
    env.set_tasks(env.space.tasks(delay=[3] * N, period=[2] * N))
    first = env.reset(seed=1)[0]
    one = run(env, actions(7))
    np.testing.assert_array_equal(env.reset(seed=1)[0], first)
    np.testing.assert_array_equal(run(env, actions(7))[0], one[0])


def noisy(**settings):
    family = Pendulum(
        choice("bias", "observation_bias", 0.5, elements=(1,)),
        choice("noise", "observation_noise", 0.25, 0.5, elements=(0,)),
        choice("loss", "observation_dropout", 0.5),
    )
    return BatchEnv(family, N, **settings)


def test_bias_and_noise_have_the_size_that_they_say_and_rewards_do_not_see_them():
    env, clean = noisy(), BatchEnv(Pendulum(choice("p", "mass", 2.0)), N)
    env.set_tasks(env.space.tasks(bias=[0.5] * N, noise=[0.0, 0.25, 0.5] * 2))
    first, truth = env.reset(seed=0)[0], clean.reset(seed=0)[0]
    moves = actions(400)
    (got, rewards), (true, expected) = run(env, moves), run(clean, moves)
    np.testing.assert_array_equal(rewards, expected)
    np.testing.assert_array_equal(got[:, :, 1], true[:, :, 1] + 0.5)
    np.testing.assert_array_equal(first[:, 1], truth[:, 1] + 0.5)
    noise = (got - true)[:, :, 0]
    np.testing.assert_array_equal(noise[:, ::3], 0)
    np.testing.assert_allclose(noise.std(axis=0), [0, 0.25, 0.5] * 2, rtol=0.12)
    assert first[1, 0] != truth[1, 0]
    correlation = np.corrcoef(noise[:, [1, 2, 4, 5]].T) - np.eye(4)
    assert np.abs(correlation).max() < 0.2, "simulations share noise"


def test_a_dropped_observation_is_the_last_one_that_arrived():
    env = noisy(autoreset_mode="SameStep", horizon=50)
    env.set_tasks(env.space.tasks(loss=[0.0, 0.5, 0.5, 0.5, 0.5, 0.5]))
    last = env.reset(seed=0)[0]
    np.testing.assert_array_equal(last, env.state())
    lost = []
    for step, move in enumerate(actions(200)):
        got = env.step(move)[0]
        fresh, state = (step % 50 == 49), env.state()
        arrived = (got == state).all(axis=1)
        assert (arrived | (got == last).all(axis=1)).all()
        assert arrived.all() if fresh else arrived[0]
        lost.append(~arrived)
        last = got
    assert 0.4 < np.mean(lost, axis=0)[1:].mean() < 0.6


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_noise_is_restored_by_a_seed_and_goes_on_without_one(mode):
    used, fresh = noisy(autoreset_mode=mode, horizon=7), noisy(autoreset_mode=mode, horizon=7)
    tasks = used.space.tasks(bias=[0.5] * N, noise=[0.25] * N, loss=[0.5] * N)
    used.reset(seed=9, options={"tasks": tasks})
    run(used, actions(23))
    a, b = (e.reset(seed=4, options={"tasks": tasks})[0] for e in (used, fresh))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(run(used, actions(30))[0], run(fresh, actions(30))[0])
    assert not np.array_equal(used.reset()[0], a)


def test_the_state_of_a_channel_is_all_that_it_needs_to_go_on():
    delay, noise = choice("delay", "action_delay", 3), choice("noise", "observation_noise", 0.5)
    family = Pendulum(delay, noise, choice("period", "control_period", 2))
    env = BatchEnv(family, N, autoreset_mode="Disabled")
    env.reset(seed=0, options={"tasks": env.space.tasks(delay=[3] * N, noise=[0.5] * N, period=[2] * N)})
    run(env, actions(12))
    channel, state = env._latency_noise.state(), env.state()
    ahead = run(env, actions(12))[0]
    env._latency_noise.restore(channel)
    env.batch.bind("qpos")[:], env.batch.bind("qvel")[:] = state[:, :1], state[:, 1:]
    np.testing.assert_array_equal(run(env, actions(12))[0], ahead)


def test_noise_does_not_depend_on_how_many_there_are():
    small, large = noisy(), BatchEnv(noisy().family, 40)
    for env in (small, large):
        n = env.num_envs
        env.reset(seed=2, options={"tasks": env.space.tasks(noise=[0.5] * n, loss=[0.5] * n)})
    moves = actions(20, 40)
    np.testing.assert_array_equal(run(small, moves[:, :N])[0], run(large, moves)[0][:, :N])


def test_counted_numbers_are_uniform_normal_and_unlike_for_every_key_and_count():
    key, counter = np.arange(3000, dtype=np.uint64), np.arange(3000, dtype=np.uint64) // np.uint64(2)
    u, z = uniforms(key, counter, 20), normals(key, counter, 21)
    assert z.shape == (3000, 21) and u.min() >= 0 and u.max() < 1
    np.testing.assert_allclose(np.histogram(u, 10, (0, 1))[0] / u.size, 0.1, atol=0.006)
    np.testing.assert_allclose([z.mean(), z.std(), (z**3).mean(), (z**4).mean()], [0, 1, 0, 3], atol=0.1)
    assert len(np.unique(u)) == u.size
    for rows in (z[:-1] * z[1:], z[:, :-1] * z[:, 1:]):
        assert abs(rows.mean()) < 0.02
    np.testing.assert_array_equal(uniforms(key[5:6], counter[5:6], 3)[0], u[5, :3])


@pytest.mark.parametrize(("when", "step"), [(2.0, 2), (2.01, 3), (2.5, 3), (2.99, 3)])
def test_an_onset_between_two_steps_comes_with_the_later_one(when, step):
    """Drawn evenly over a range, nearly every onset is: rounded otherwise, the change would never be written."""
    onset = Parameter("when", "steps", "of the change", 5.0, "uniform", 1.0, 9.0)
    env = BatchEnv(Pendulum(choice("mass", "mass", 3.0, elements="pole", onset="when"), onset), 2, horizon=12)
    env.reset(seed=0, options={"tasks": env.space.tasks(mass=[3.0, 1.0], when=when)})
    plain, written = env.family.build().body_mass[1], []
    for _ in range(6):
        env.step(np.zeros((2, 1)))
        written.append([env.model_of(i).body_mass[1] / plain for i in range(2)])
    np.testing.assert_allclose(written, [[3.0 if t >= step else 1.0, 1.0] for t in range(6)])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_a_change_in_mid_episode_comes_at_its_step(mode):
    """Mass and motor change at a step of each task's own; before and after it is the plain model and the edited one."""
    fault = (choice("mass", "mass", 3.0, elements="pole", onset="when"), choice("delay", "action_delay", 2, onset=4))
    family = Pendulum(*fault, choice("when", None, 3, 9, 100))
    env = BatchEnv(family, 4, horizon=12, autoreset_mode=mode)
    when = np.array([0, 3, 9, 100])
    start, _ = env.reset(seed=5, options={"tasks": env.space.tasks(mass=[3.0] * 4, delay=[2] * 4, when=when)})
    for _ in range(2):
        moves = actions(12, 4)
        observed, _ = run(env, moves)
        for i, onset in enumerate(when):
            model = family.build()
            data = mujoco.MjData(model)
            data.qpos[:] = start[i, 0]
            for step in range(11 if mode == "SameStep" else 12):
                if step == onset:
                    model.body_mass[1] *= 3
                    model.body_inertia[1] *= 3
                    mujoco.mj_setConst(model, mujoco.MjData(model))
                data.ctrl[:] = 1 + 2 * moves[step if step < 4 else step - 2, i, 0]
                mujoco.mj_step(model, data, nstep=2)
                np.testing.assert_array_equal(observed[step, i], [data.qpos[0], data.qvel[0]])
        if mode == "NextStep":
            start = env.step(moves[0])[0]
        elif mode == "SameStep":
            start = observed[-1]
        else:
            start, _ = env.reset()
        np.testing.assert_array_equal(env.model_of(1).body_mass, family.build().body_mass)
    assert env.tasks.values[:, 0].tolist() == [3.0] * 4


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([choice("p", "mass", 2.0, onset="whn"), choice("when", None, 3)], r"onset 'whn' is no parameter \(did you"),
        ([choice("p", "mass", 2.0, onset="q"), choice("q", None, 3, onset=2)], "its onset 'q' has an onset itself"),
        ([choice("p", "action_delay", 1.5)], "parameter p: action_delay needs a choice of whole steps from 0 on"),
        ([choice("p", "control_period", 0)], "control_period needs a choice of whole steps from 1 on"),
        ([choice("p", "action_delay", 1, elements="x")], "action_delay is of all controls; name no elements"),
        ([choice("p", "observation_noise", 1, elements=(2,))], r"indices of the 2 entries of the observation, got \(2"),
        ([choice("p", "observation_dropout", -0.5)], "observation_dropout must not be negative"),
    ],
)
def test_a_channel_that_cannot_be_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        BatchEnv(Pendulum(*parameters), 2)


def test_what_arrives_is_as_noisy_as_what_is_lost():
    """One parameter may write both noise and dropout."""
    both = Parameter("p", "1", "", 0.0, "uniform", 0.0, 0.9,
                     writes=(Write("observation_noise", (0,)), Write("observation_dropout", (0,))))  # fmt: skip
    env = BatchEnv(Pendulum(both), 4000, autoreset_mode="Disabled")
    env.reset(seed=0, options={"tasks": env.space.tasks(p=[0.3] * 4000)})
    last, moved = None, []
    for _ in range(3):
        observation = env.step(np.zeros((4000, 1)))[0][:, 0]
        noise = observation - env.batch.bind("qpos")[:, 0]
        moved.append(noise if last is None else noise[observation != last])
        last = observation
    assert len(moved[1]) == pytest.approx(0.7 * 4000, rel=0.05)
    assert np.std(np.concatenate(moved[1:])) == pytest.approx(0.3, rel=0.03)


EVERYTHING = TaskSpace("Everything", (
    choice("late", "action_delay", 2), choice("hold", "control_period", 2), choice("bias", "observation_bias", 1),
    choice("noise", "observation_noise", 1), choice("old", "observation_delay", 2, elements=(0,)),
    choice("loss", "observation_dropout", 0.5),
))  # fmt: skip
FIXED = (("observation_noise", 0.5, (1,)),)


def test_the_draws_are_the_same_bits_as_tensors():
    key, counter = keys(streams(0, range(50), 50), 7), np.arange(50, dtype=np.uint64)
    here = torch.zeros(0)
    found = uniforms(words(key, here), words(counter, here), 9)
    assert found.dtype == torch.float64
    np.testing.assert_array_equal(found, uniforms(key, counter, 9))
    np.testing.assert_allclose(normals(words(key, here), words(counter, here), 9), normals(key, counter, 9), rtol=1e-12)


def test_nothing_of_it_leaves_another_device(second_device):
    """There, an operation on tensors of two devices is an error, and so is asking for a number."""
    seen, values = second_device(N, 2), second_device(N, EVERYTHING.dim)
    channel, everyone = SensorActuatorModel(EVERYTHING, seen, 1, FIXED), torch.arange(N, device="meta")
    history = History(Sensing(FIXED, np.zeros(2), np.ones(2), np.ones(2), *stacked([(2, 3)])), seen)
    channel.seed(np.arange(N), streams(0, range(N), N))
    channel.start(np.arange(N), second_device(N, 1))
    history.start(everyone, channel.observe(seen, values, everyone, None))
    for _ in range(2):
        sent = channel.command(second_device(N, 1), np.zeros(N, np.int64), values)
        arrived = channel.observe(seen, values, everyone, seen)
        history.step(everyone, arrived)
        for tensor, size in ((sent, 1), (arrived, 2), (history.read(), 6)):
            assert tensor.device.type == "meta" and tensor.shape == (N, size) and tensor.dtype == torch.float32
