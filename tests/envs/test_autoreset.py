"""The autoreset modes against Gymnasium's SyncVectorEnv of single environments, with the same seeds and tasks."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from metarl.envs import BatchEnv, Parameter, SingleEnv, TaskSpace, Write, make, make_family
from metarl.envs.family import endless

N = 4


def row(info: dict, i: int) -> dict:
    """The entries of simulation i, of the keys whose mask shows it."""
    entries = {}
    for key, value in info.items():
        if key.startswith("_") or not info[f"_{key}"][i]:
            continue
        entries[key] = row(value, i) if isinstance(value, dict) else value[i]
    return entries


def assert_same_entries(mine: dict, theirs: dict) -> None:
    for key, value in theirs.items():
        if isinstance(value, dict):
            assert_same_entries(mine[key], value)
        else:
            np.testing.assert_array_equal(mine[key], value, err_msg=key)


def both(family, mode, horizon):
    name, options = family
    batch = make(name, N, horizon=horizon, autoreset_mode=mode, **options)
    singles = SyncVectorEnv([lambda: SingleEnv(name, horizon=horizon, **options)] * N, autoreset_mode=mode)
    tasks = batch.space.sample(N, "train", np.random.default_rng(0))
    if name == "Navigation2D":  # near enough for some episodes to end early
        tasks = batch.space.tasks(goal_x=[0.105, 0.3, 0.205, -0.1], goal_y=[0.0, 0.3, 0.0, 0.0])
    batch.set_tasks(tasks)
    for i, env in enumerate(singles.envs):
        env.set_task(tasks[i])
    return batch, singles


def policy(name, step, observation, tasks, actions):
    noise = np.random.default_rng(step).uniform(-1, 1, (N, max(6, actions)))
    if name != "Navigation2D":
        return noise[:, :actions].astype(np.float32)
    return np.clip((tasks.values - observation) / 0.1 + 0.05 * noise[:, :2], -1, 1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_modes_are_gymnasiums(every_family, mode):
    batch, singles = both(every_family, mode, horizon=6)
    assert batch.metadata["autoreset_mode"] is mode
    seeds = [3, 1, 4, 1]
    observation = batch.reset(seed=seeds)[0]
    np.testing.assert_array_equal(observation, singles.reset(seed=seeds)[0])
    ends = 0
    for step in range(30):
        action = policy(every_family[0], step, observation, batch.tasks, batch.model.nu)
        (observation, *mine, info), (*theirs, their_info) = batch.step(action), singles.step(action)
        for a, b in zip((observation, *mine), theirs, strict=True):
            np.testing.assert_array_equal(a, b)
        ended = mine[1] | mine[2]
        for i in range(N):
            assert_same_entries(row(info, i), row(their_info, i))
        ends += ended.sum()
        if mode is AutoresetMode.SAME_STEP and ended.any():
            i = int(np.flatnonzero(ended)[0])
            assert not np.array_equal(info["final_obs"][i], observation[i])
            assert set(info["final_info"]) == {"reward_terms", "_reward_terms", "diverged", "_diverged"}
    assert ends >= 4 * N


@pytest.mark.slow
def test_without_autoreset_the_caller_resets(every_family):
    batch, singles = both(every_family, AutoresetMode.DISABLED, horizon=6)
    seeds = [3, 1, 4, 1]
    observation = batch.reset(seed=seeds)[0]
    singles.reset(seed=seeds)
    for step in range(30):
        action = policy(every_family[0], step, observation, batch.tasks, batch.model.nu)
        (observation, *mine, _), (*theirs, _) = batch.step(action), singles.step(action)
        for a, b in zip((observation, *mine), theirs, strict=True):
            np.testing.assert_array_equal(a, b)
        ended = mine[1] | mine[2]
        if ended.any():
            observation = batch.reset(options={"reset_mask": ended})[0]
            np.testing.assert_array_equal(observation, singles.reset(options={"reset_mask": ended})[0])
            assert not np.array_equal(observation[ended], theirs[0][ended])


def test_without_autoreset_a_finished_episode_may_be_stepped_on():
    env = make("HalfCheetahDir", 2, horizon=3, autoreset_mode="Disabled")
    env.reset(seed=0)
    truncated = [env.step(np.zeros((2, 6)))[3].tolist() for _ in range(5)]
    assert truncated == [[False] * 2] * 2 + [[True] * 2] * 3


def test_a_next_step_reset_ignores_the_action_and_pays_nothing():
    env = make("HalfCheetahDir", 2, horizon=2)
    env.reset(seed=0)
    for _ in range(2):
        *_, truncated, info = env.step(np.ones((2, 6)))
    assert truncated.all() and info["_diverged"].all()
    observation, reward, terminated, truncated, info = env.step(np.ones((2, 6)))
    assert reward.tolist() == [0, 0] and not (terminated | truncated).any()
    assert not info["_diverged"].any() and not info["reward_terms"]["_control"].any()
    assert (np.abs(observation[:, :8]) <= 0.1).all()
    assert not info["reward_terms"]["control"].any()


def test_what_is_over_is_not_stepped_and_stays_until_it_is_reset():
    env = make("Walker2dDir", 20, autoreset_mode="Disabled", horizon=60)
    reference = BatchEnv(endless(env.family), 20, autoreset_mode="Disabled", horizon=60)
    rng, over, length = np.random.default_rng(0), np.zeros(20, bool), np.zeros(20, int)
    stepped, step = [], env.batch.step
    env.batch.step = lambda ids, **how: (stepped.append(20 if ids is None else len(ids)), step(ids, **how))
    last, _ = env.reset(seed=0)
    reference.reset(seed=0)
    state = env.state()
    for _ in range(60):
        actions = rng.uniform(-1, 1, (20, 6))
        observation, reward, terminated, truncated, info = env.step(actions)
        expected, paid, *_ = reference.step(actions)
        np.testing.assert_array_equal(observation[~over], expected[~over])
        np.testing.assert_array_equal(reward[~over], paid[~over])
        np.testing.assert_array_equal(observation[over], last[over])
        np.testing.assert_array_equal(env.state()[over], state[over])
        assert not reward[over].any() and terminated[over].all() and not info["_reward_terms"][over].any()
        length += ~over
        last, state, over = observation, env.state(), terminated | truncated
    assert over.all() and len(set(length)) > 5 and (truncated == (length == 60) & ~terminated).all()
    assert sum(stepped) == length.sum() < 20 * 60
    fresh, _ = env.reset(options={"reset_mask": over & (np.arange(20) < 3)})
    assert (fresh[:3] != last[:3]).any(axis=1).all()
    np.testing.assert_array_equal(fresh[3:], last[3:])
    _, _, terminated, _, info = env.step(np.zeros((20, 6)))
    assert info["_reward_terms"].tolist() == [True] * 3 + [False] * 17


def test_when_an_episode_ended_does_not_change_the_noise_of_the_next():
    """The n-th observation of a simulation has the n-th noise, whether it was alive at every step or not."""
    family = make_family("Walker2dDir")
    noise = Parameter("noise", "1", "", 0.1, "choice", choices=(0.1,), writes=Write("observation_noise", (0,)))
    family.space = TaskSpace(family.name, (*family.space.parameters, noise))
    first = []
    for kind in (family, endless(family)):
        env = BatchEnv(kind, 8, autoreset_mode="Disabled", horizon=100)
        last, ended = env.reset(seed=0)[0], np.zeros(8, bool)
        for action in np.random.default_rng(0).uniform(-1, 1, (80, 8, 6)):
            observation, _, now, *_ = env.step(action)
            np.testing.assert_array_equal(observation[ended], last[ended])  # no new noise
            last, ended = observation, now
        assert ended.any() == (kind is family)
        first.append(env.reset()[0])
    np.testing.assert_array_equal(*first)
