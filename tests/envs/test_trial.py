"""Trials as Gymnasium environments: one trial is one episode, and what is known in it is what was lived in it."""

import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from metarl.agents.global_random import global_generators
from metarl.envs import SingleEnv, TrialEnv, TrialVectorEnv, make

ACTION = np.array([0.5, -0.25], np.float32)


def single(episodes=3, horizon=4, **options):
    return TrialEnv(SingleEnv("Navigation2D", horizon=horizon), episodes, **options)


def vector(num_envs=3, episodes=2, horizon=4, **options):
    env = make("Navigation2D", num_envs, horizon=horizon, autoreset_mode="Disabled")
    return TrialVectorEnv(env, episodes, **options)


def test_gymnasium_accepts_it():
    check_env(single(), skip_render_check=True)
    wrapped = gymnasium.make("metarl.envs:metarl/HalfCheetahMass-v0")
    check_env(TrialEnv(wrapped), skip_render_check=True)
    assert TrialEnv(wrapped).observation_space.shape == (20 + 6 + 2,)


def test_one_trial_by_hand():
    env = single()
    observation, _ = env.reset(seed=0)
    task = env.unwrapped.task
    assert list(observation) == [0, 0, 0, 0, 0, 1]
    earned, returns, ends = [], [], []
    for t in range(12):
        observation, reward, terminated, truncated, info = env.step(ACTION)
        begins = t in (3, 7)
        assert env.unwrapped.task == task
        assert list(observation[2:]) == [0.5, -0.25, reward, begins]
        assert (observation[:2] == 0).all() == begins
        earned.append(reward)
        assert (terminated, truncated) == (False, t == 11)
        assert ("episode_return" in info) == (t in (3, 7, 11))
        if "episode_return" in info:
            returns.append(info["episode_return"])
            ends.append(t)
    np.testing.assert_allclose(returns, [sum(earned[i : i + 4]) for i in (0, 4, 8)])
    np.testing.assert_array_equal(info["episode_returns"], returns)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(ACTION)
    observation, _ = env.reset()
    assert list(observation) == [0, 0, 0, 0, 0, 1]
    assert env.unwrapped.task != task


def test_tasks_follow_from_the_seed_and_are_of_the_split():
    def tasks(seed, **options):
        env = single(**options)
        env.reset(seed=seed)
        first = env.unwrapped.task
        env.reset()
        return first, env.unwrapped.task

    assert tasks(3) == tasks(3)
    assert tasks(3)[0] != tasks(4)[0]
    env = single()
    for split in ("train", "held_out"):
        for task in tasks(5, split=split):
            assert list(env.unwrapped.space.split_of(task)) == [split]


def test_an_episode_may_terminate_inside_a_trial():
    """Straight to the goal: the episode ends, the trial goes on from the start; the last ends the trial."""
    goal = SingleEnv("Navigation2D").space.tasks(goal_x=0.2, goal_y=0.1)
    env = single(episodes=2, horizon=10, draw=lambda env, rng: env.set_task(goal))
    env.reset(seed=0)
    lengths, count, terminated = [], 0, False
    while not terminated:
        where = env.unwrapped.batch_env.state()[0, :2]
        action = np.clip((goal.values[0] - where) / 0.1, -1, 1).astype(np.float32)
        observation, _, terminated, truncated, info = env.step(action)
        count += 1
        if "episode_return" in info:
            lengths.append(count)
            assert terminated == (len(lengths) == 2) and not truncated
    assert lengths[1] == 2 * lengths[0] < 10


def test_the_vector_is_its_simulations():
    """Against TrialEnv on each task; trials of unequal length end at unequal times."""
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 3, 2)).astype(np.float32)
    env, drawn = vector(), []
    observation, _ = env.reset(seed=5)
    drawn.append(env.env.tasks.values)
    log, finals, returns = [observation], [], []
    for t in range(20):
        observation, reward, terminated, truncated, info = env.step(actions[t])
        over = terminated | truncated
        assert env.observation_space.contains(observation)
        assert over.all() == (t % 8 == 7) and ("final_obs" in info) == over.any()
        if over.any():
            finals.append(np.stack(info["final_obs"]))
            returns.append(info["episode_returns"])
            assert info["final_info"]["episode_returns"] is returns[-1] and info["_final_info"].all()
            drawn.append(env.env.tasks.values)
        log.append(observation)
    assert len({tuple(row) for values in drawn for row in values}) == 9
    for i in range(3):
        for trial in range(2):
            task = env.env.space.tasks(goal_x=drawn[trial][i, 0], goal_y=drawn[trial][i, 1])
            plain = single(episodes=2, draw=lambda env, rng, task=task: env.set_task(task))
            expected, _ = plain.reset(seed=0)
            for t in range(8 * trial, 8 * trial + 8):
                np.testing.assert_array_equal(log[t][i], expected)
                expected, *_, info = plain.step(actions[t, i])
            np.testing.assert_array_equal(finals[trial][i], expected)
            np.testing.assert_allclose(returns[trial][i], info["episode_returns"])


def test_simulations_go_through_their_trials_each_at_its_own_pace():
    goals = np.array([[0.2, 0.1], [0.45, 0.45]])

    def draw(env, mask, rng):
        env.set_tasks(env.space.tasks(goal_x=goals[:, 0], goal_y=goals[:, 1]))

    env = vector(2, horizon=30, draw=draw)
    env.reset(seed=0)
    ends = [[], []]
    for t in range(20):
        where = env.env.state()[:, :2]
        _, _, terminated, truncated, info = env.step(np.clip((goals - where) / 0.1, -1, 1))
        assert not truncated.any()
        for i in np.flatnonzero(info["_episode_return"]):
            ends[i].append((t, bool(terminated[i])))
    assert [end for _, end in ends[0][:4]] == [False, True, False, True]
    assert ends[0][3][0] == 4 * ends[0][0][0] + 3
    assert ends[1][0][0] > ends[0][0][0]


def test_a_reset_of_some_leaves_the_others_in_their_trials():
    env, still = vector(horizon=4), vector(horizon=4)
    for each in (env, still):
        each.reset(seed=0)
    goals, actions = env.env.tasks.values.copy(), np.full((3, 2), 0.3)
    for _ in range(6):  # in the second episode of two
        seen = [each.step(actions)[0] for each in (env, still)][0]
    mask = np.array([True, False, False])
    observation, _ = env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(observation[1:], seen[1:])
    assert observation[0].tolist() == [0, 0, 0, 0, 0, 1]
    assert (env.env.tasks.values == goals).all(axis=1).tolist() == [False, True, True]
    for _ in range(2):
        (observation, *_, info), (other, *_, expected) = env.step(actions), still.step(actions)
    np.testing.assert_array_equal(info["_episode_returns"], [False, True, True])
    np.testing.assert_array_equal(info["episode_returns"][1:], expected["episode_returns"][1:])
    assert observation[0].tolist()[2:] != other[0].tolist()[2:]


@pytest.mark.parametrize(("begun", "mask", "message"), [
    (False, [True, False, False], "^the first reset must reset every simulation; leave out reset_mask"),
    (True, [True], r"^reset_mask must be a boolean array of shape \(3,\) .* got bool \(1,\)"),
    (True, [False, False, False], r"^reset_mask must be .* with at least one true value, got bool \(3,\) with 0"),
    (True, [1, 0, 0], r"^reset_mask must be a boolean array of shape \(3,\) .* got int64 \(3,\)"),
])  # fmt: skip
def test_masks_that_cannot_be(begun, mask, message):
    env = vector()
    if begun:
        env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.reset(options={"reset_mask": np.array(mask)})


def test_the_vector_repeats_itself():
    def episode(seed):
        env = vector()
        start, _ = env.reset(seed=seed)
        steps = [env.step(np.full((3, 2), 0.3))[0] for _ in range(9)]
        return np.stack([start, *steps]), env.env.tasks

    (first, tasks), (again, same), (_, other) = episode(1), episode(1), episode(2)
    np.testing.assert_array_equal(first, again)
    assert tasks == same and tasks != other


class Bandit(gymnasium.Env):
    """Two arms, one of which pays; an environment of somebody else's."""

    observation_space, action_space = gymnasium.spaces.Discrete(1), gymnasium.spaces.Discrete(2)
    good = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, float(action == self.good), True, False, {}


def test_any_environment_with_tasks():
    def draw(env, rng):
        env.unwrapped.good = int(rng.integers(2))

    env = TrialEnv(Bandit(), 5, draw=draw)
    check_env(env, skip_render_check=True)
    env.reset(seed=0)
    good = env.unwrapped.good
    observation, reward, terminated, *_ = env.step(1 - good)
    assert list(observation) == [1, good == 1, good == 0, 0, 1] and reward == 0 and not terminated
    assert env.step(good)[1] == 1

    many = SyncVectorEnv([Bandit] * 3, autoreset_mode=AutoresetMode.DISABLED)
    env = TrialVectorEnv(many, 2, draw=lambda env, mask, rng: None)
    assert env.reset(seed=0)[0].shape == (3, 5)
    observation, *_ = env.step(np.array([0, 1, 0]))
    np.testing.assert_array_equal(observation, [[1, 1, 0, 1, 1], [1, 0, 1, 0, 1], [1, 1, 0, 1, 1]])
    *_, terminated, _, info = env.step(np.array([0, 0, 1]))
    assert terminated.all()
    np.testing.assert_array_equal(info["episode_returns"], [[1, 1], [0, 1], [1, 0]])


@pytest.mark.parametrize("wrong, error, message", [
    (lambda: single(episodes=0), ValueError, "at least 1 episode, got 0"),
    (lambda: TrialEnv(Bandit()), TypeError, "Bandit has no 'space': pass draw="),
    (lambda: TrialVectorEnv(make("Navigation2D", 2)), ValueError, "DISABLED, got AutoresetMode.NEXT_STEP"),
])
def test_what_cannot_be_a_trial(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


@pytest.mark.slow
def test_the_snippet_of_the_documentation_runs():
    text = (Path(__file__).parents[2] / "docs" / "guides" / "rl2.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    namespace = {}
    with global_generators(np.random.SeedSequence(0)):
        exec(compile(snippet, "docs/guides/rl2.md", "exec"), namespace)
    assert namespace["model"].num_timesteps == 100
