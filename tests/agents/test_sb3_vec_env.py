"""What SB3 sees of many simulations: the same as of SB3's own loop over single environments, to the last bit."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from metarl.agents.global_random import global_generators
from metarl.agents.sb3.vec_env import VectorEnvAdapter, rows
from metarl.envs import SingleEnv, make

pytestmark = pytest.mark.sb3

N = 4
NEAR = {"goal_x": [0.105, 0.3, 0.205, -0.1], "goal_y": [0.0, 0.3, 0.0, 0.0]}  # near enough to arrive


def navigation(horizon=6, mode=AutoresetMode.SAME_STEP, num_envs=N):
    env = make("Navigation2D", num_envs, horizon=horizon, autoreset_mode=mode)
    if num_envs == N:
        env.set_tasks(env.space.tasks(**NEAR))
    return env


def singles(horizon=6):
    def build(i):
        env = SingleEnv("Navigation2D", horizon=horizon)
        env.set_task(env.space.tasks(**NEAR)[i])
        return env

    return DummyVecEnv([lambda i=i: build(i) for i in range(N)])


def test_steps_are_those_of_sb3_s_own_loop():
    """Observations, rewards, ends, infos, terminal observations; episodes end by arrival and by the time limit."""
    mine, theirs = VectorEnvAdapter(navigation(horizon=2)), singles(horizon=2)
    theirs._seeds = list(mine.seed(5))
    observation = mine.reset()
    np.testing.assert_array_equal(observation, theirs.reset())
    goals, ends = np.stack([NEAR["goal_x"], NEAR["goal_y"]], 1), {True: 0, False: 0}
    for step in range(40):
        noise = np.random.default_rng(step).uniform(-1, 1, (N, 2))
        action = np.clip((goals - observation) / 0.1 + 0.05 * noise, -1, 1).astype(np.float32)
        observation, *got = mine.step(action)
        expected = theirs.step(action)
        for a, b in zip((observation, *got[:2]), expected[:3], strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        for i, (a, b) in enumerate(zip(got[2], expected[3], strict=True)):
            last, other = a.pop("terminal_observation", None), b.pop("terminal_observation", None)
            assert a == b
            assert (last is None) == (other is None) == (not got[1][i])
            if last is not None:
                np.testing.assert_array_equal(last, other)
                assert not np.array_equal(last, observation[i])
                ends[a["TimeLimit.truncated"]] += 1
    assert min(ends.values()) > 5


def test_any_vector_environment_of_gymnasium_s():
    """Pendulum from Gymnasium's own SyncVectorEnv, whose infos are masked and whose reset returns some."""

    class Numbered(gymnasium.Wrapper):
        def reset(self, **kwargs):
            self.episode = getattr(self, "episode", 0) + 1
            return super().reset(**kwargs)[0], {"episode_number": self.episode}

    def build():
        return gymnasium.wrappers.TimeLimit(Numbered(gymnasium.make("Pendulum-v1").unwrapped), 5)

    mine = VectorEnvAdapter(SyncVectorEnv([build] * 3, autoreset_mode=AutoresetMode.SAME_STEP))
    theirs = DummyVecEnv([build] * 3)
    theirs._seeds = list(mine.seed(1))
    np.testing.assert_array_equal(mine.reset(), theirs.reset())
    assert mine.reset_infos == theirs.reset_infos == [{"episode_number": 1}] * 3
    for step in range(12):
        action = np.full((3, 1), 0.1 * step, np.float32)
        (a, r, d, i), (a2, r2, d2, i2) = mine.step(action), theirs.step(action)
        np.testing.assert_array_equal(a, a2)
        np.testing.assert_array_equal(r, r2)
        np.testing.assert_array_equal(d, d2)
        assert [x.keys() for x in i] == [x.keys() for x in i2]
        assert all("episode_number" not in x for x in i)
        assert mine.reset_infos == theirs.reset_infos


def test_other_autoreset_modes_are_refused():
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED):
        with pytest.raises(ValueError, match=rf"got .* autoreset mode {mode.name}, expected SAME_STEP"):
            VectorEnvAdapter(navigation(mode=mode))


def test_seeds_share_no_simulation():
    env = VectorEnvAdapter(make("HalfCheetahDir", 8, horizon=5, autoreset_mode=AutoresetMode.SAME_STEP))
    first = {}
    for seed in range(4):
        env.seed(seed)
        first[seed] = env.reset()
    rows_ = np.concatenate(list(first.values()))
    assert len(np.unique(rows_, axis=0)) == len(rows_)
    env.seed(2)
    np.testing.assert_array_equal(env.reset(), first[2])
    assert not np.array_equal(env.reset(), first[2])  # a seed holds for one reset
    assert env.seed() != env.seed()


def test_a_breakdown_is_a_cut():
    """NaN as an action: the episode ends, a value follows it, and nobody else notices."""
    env = VectorEnvAdapter(make("HalfCheetahDir", 3, horizon=9, autoreset_mode=AutoresetMode.SAME_STEP))
    env.seed(0)
    before = env.reset()
    action = np.zeros((3, 6), np.float32)
    action[1] = np.nan
    _, rewards, dones, infos = env.step(action)
    assert dones.tolist() == [False, True, False]
    assert infos[1]["diverged"] and infos[1]["TimeLimit.truncated"] and rewards[1] == 0
    np.testing.assert_array_equal(infos[1]["terminal_observation"], before[1])
    assert not any(infos[i]["diverged"] or infos[i]["TimeLimit.truncated"] for i in (0, 2))


def test_questions_and_orders_go_to_the_one_object():
    env = VectorEnvAdapter(navigation())
    assert env.get_attr("horizon", indices=[0, 2]) == [6, 6]
    assert env.has_attr("space") and not env.has_attr("spice")
    env.set_attr("note", "new")
    assert env.env.note == "new" and env.get_attr("note", indices=1) == ["new"]
    tasks = env.env.space.tasks(goal_x=[0.1] * N, goal_y=[0.2] * N)
    assert env.env_method("set_tasks", tasks) == [None] * N
    env.reset()
    assert env.env.tasks == tasks
    with pytest.raises(ValueError, match=r"got indices \[1\], expected None: the 4 simulations are one object"):
        env.env_method("state", indices=[1])
    assert env.env_is_wrapped(gymnasium.Wrapper) == [False] * N
    assert env.env_is_wrapped(gymnasium.Wrapper, indices=0) == [False]
    env.set_options({"tasks": tasks})
    env.reset()
    with pytest.raises(ValueError, match="unknown reset options"):
        env.set_options({"task": tasks})
        env.reset()
    env.set_options([{}, {"a": 1}, {}, {}])
    with pytest.raises(ValueError, match="got different reset options"):
        env.reset()
    env.close()


@global_generators(np.random.SeedSequence(0))
def test_sb3_s_wrappers_and_evaluation_work_on_it():
    env = VecNormalize(VecMonitor(VectorEnvAdapter(navigation(horizon=3))))
    model = PPO("MlpPolicy", env, n_steps=6, batch_size=12, n_epochs=1, policy_kwargs={"net_arch": [4]}, device="cpu")
    model.learn(24)
    assert len(model.ep_info_buffer) >= N and {episode["l"] for episode in model.ep_info_buffer} <= {1, 2, 3}
    returns, lengths = evaluate_policy(model, env, n_eval_episodes=5, return_episode_rewards=True)
    assert len(returns) == 5 and max(lengths) <= 3


@global_generators(np.random.SeedSequence(0))
def test_ppo_bootstraps_from_the_last_observation_where_time_ran_out():
    """With lambda = 1 and one value everywhere, the return of a cut step is its reward and gamma times that value."""
    gamma, value = 0.9, 50.0
    env = navigation(horizon=3, num_envs=2)
    env.set_tasks(env.space.tasks(goal_x=[0.0001, 0.4], goal_y=[0.0, 0.4]))  # the first arrives at once
    model = PPO("MlpPolicy", VectorEnvAdapter(env), n_steps=3, batch_size=6, n_epochs=1, gamma=gamma, gae_lambda=1.0,
                policy_kwargs={"net_arch": []}, device="cpu")  # fmt: skip
    with torch.no_grad():
        model.policy.value_net.weight.zero_()
        model.policy.value_net.bias.fill_(value)
        model.policy.action_net.weight.zero_()
        model.policy.log_std.fill_(-12.0)  # stays where it is
    rewards = []
    step_wait = model.env.step_wait
    model.env.step_wait = lambda: rewards.append((out := step_wait())[1].copy()) or out
    model.train = lambda: None
    model.learn(6)
    returns = model.rollout_buffer.returns.reshape(3, 2)
    r = np.array(rewards)
    np.testing.assert_allclose(returns[:, 0], r[:, 0], atol=1e-5)  # terminated at each step: nothing follows
    expected = r[0, 1] + gamma * r[1, 1] + gamma**2 * (r[2, 1] + gamma * value)
    assert returns[0, 1] == pytest.approx(expected, rel=1e-4)


def test_rows_of_masked_infos():
    mask = np.array([True, False])
    info = {"a": np.array([1.5, 0.0]), "_a": mask, "b": {"c": np.array([1, 2])}, "_b": ~mask}
    assert rows(info, 2) == [{"a": 1.5}, {"b": {"c": 2}}]
