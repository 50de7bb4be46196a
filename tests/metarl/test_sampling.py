"""Collected rollouts against the environment stepped by hand, and what never enters them."""

import numpy as np
import pytest

from metarl.agents import Adapter, Decision
from metarl.algorithms.sampling import collect
from metarl.envs import BatchEnv, make, make_family
from metarl.util.rng import PURPOSES, stream


class Scripted(Adapter):
    """Acts by a function of the raw observation and the task's index, and counts its calls in its state."""

    def __init__(self, action):
        self.action, self.states = action, []

    def start(self, num_tasks):
        return 0

    def act(self, state, observations, rng):
        actions = np.stack([self.action(m, observations[m]) for m in range(len(observations))]).astype(np.float32)
        self.states.append(state)
        return Decision(actions, observations.astype(np.float32), state + 1)

    def adapt(self, state, rollout):
        return state


def environment(family, num_tasks, episodes, **options):
    env = make(family, num_tasks * episodes, autoreset_mode="Disabled", num_threads=1, **options)
    tasks = env.space.sample(num_tasks, "train", np.random.default_rng(0))
    env.set_tasks(tasks.repeat(episodes))
    return env, tasks


def test_equals_the_environment_stepped_by_hand():
    env, tasks = environment("HalfCheetahDir", 2, 3, horizon=20)
    adapter = Scripted(lambda m, o: np.tile(np.sin(o[:, :1] * 7 + m), (1, 6)))
    rollout = collect(env, adapter, 0, 3, stream(0, "rollouts", 0))
    assert rollout.shape == (2, 20, 3) and rollout.num_steps == 120
    assert rollout.valid.all() and not rollout.terminated.any()
    assert rollout.truncated[:, -1].all() and not rollout.truncated[:, :-1].any()
    assert adapter.states == list(range(20)) and rollout.state == 20  # the state is carried from step to step

    by_hand, _ = environment("HalfCheetahDir", 2, 3, horizon=20)
    reset_seed, _ = stream(0, "rollouts", 0).spawn(2)
    observation, _ = by_hand.reset(seed=reset_seed)
    moments = []
    for t in range(20):
        assert (observation.astype(np.float32).reshape(2, 3, -1) == rollout.observations[:, t]).all()
        moments.append(observation)
        observation, reward, *_ = by_hand.step(rollout.actions[:, t].reshape(6, -1))
        assert (reward.reshape(2, 3) == rollout.rewards[:, t]).all()
    assert (rollout.last_observations == observation.astype(np.float32).reshape(2, 3, -1)).all()
    everything = np.concatenate(moments)
    np.testing.assert_allclose(rollout.raw_moments[1], everything.mean(0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(rollout.raw_moments[2], 120 * everything.var(0), rtol=1e-12)
    np.testing.assert_allclose(rollout.returns, rollout.rewards.sum(1))


def test_observations_of_small_spread_about_a_large_mean_keep_it():
    class Far(type(make_family("HalfCheetahDir"))):
        def observe(self, sim, derived):
            return 5000 + 0.01 * super().observe(sim, derived)

    moments = []
    for family in (make_family("HalfCheetahDir"), Far()):
        env = BatchEnv(family, 4, autoreset_mode="Disabled", horizon=50)
        moments.append(collect(env, Scripted(lambda m, o: np.full((4, 6), 0.3)), 0, 4, stream(0, "rollouts", 0)))
    near, far = (np.sqrt(rollout.raw_moments[2] / 200) for rollout in moments)
    np.testing.assert_allclose(far, 0.01 * near, rtol=1e-6)


def test_an_episode_ends_where_it_ended():
    """Task 0 walks straight to its goal and stops there; task 1 stays put."""
    env, tasks = environment("Navigation2D", 2, 2, horizon=30, action_scale=0.1)
    goal = tasks.values[0]
    adapter = Scripted(lambda m, o: np.clip(goal - o, -0.1, 0.1) if m == 0 else np.zeros_like(o))
    rollout = collect(env, adapter, 0, 2, stream(0, "rollouts", 0))
    steps = int(np.ceil(np.abs(goal).max() / 0.1 - 1e-9))
    assert (rollout.valid[0].sum(0) == steps).all() and (rollout.valid[1].sum(0) == 30).all()
    assert rollout.terminated[0, steps - 1].all() and rollout.terminated.sum() == 2
    assert not rollout.truncated[0].any() and rollout.truncated[1, -1].all()
    for array in (rollout.observations, rollout.actions, rollout.rewards):
        assert (array[0, steps:] == 0).all()
    assert rollout.raw_moments[0, 0] == 2 * steps + 2 * 30
    np.testing.assert_allclose(rollout.last_observations[0], np.tile(goal, (2, 1)), atol=0.01)


def test_a_diverged_episode_is_counted_and_nothing_of_it_is_valid():
    env, _ = environment("HalfCheetahDir", 2, 2, horizon=10)
    adapter = Scripted(lambda m, o: np.full((2, 6), np.nan if m == 1 else 0.5))
    rollout = collect(env, adapter, 0, 2, stream(0, "rollouts", 0))
    assert rollout.diverged.tolist() == [[False, False], [True, True]]
    assert rollout.valid[0].all() and not rollout.valid[1].any()
    assert np.isnan(rollout.returns[1]).all() and np.isfinite(rollout.returns[0]).all()
    assert rollout.num_steps == 20 + rollout.steps[1].sum() > 20 and rollout.raw_moments[0, 0] == 20
    for array in (rollout.observations, rollout.actions, rollout.rewards, rollout.raw_moments):
        assert np.isfinite(array).all()  # 0 * NaN is NaN: padding must be harmless by itself


def test_the_seed_decides_everything():
    env, _ = environment("HalfCheetahDir", 2, 2, horizon=10)
    adapter = Scripted(lambda m, o: np.tile(np.sin(o[:, :1]), (1, 6)))
    seed = stream(3, "rollouts", 5)
    first = collect(env, adapter, 0, 2, seed)
    again = collect(env, adapter, 0, 2, seed)  # whatever the environment lived through in between
    other = collect(env, adapter, 0, 2, stream(3, "rollouts", 6))
    assert (first.observations == again.observations).all() and (first.rewards == again.rewards).all()
    assert not (first.observations[:, 0] == other.observations[:, 0]).any(axis=-1).any()


def test_initial_states_and_action_noise_have_a_stream_each():
    """The first child of the seed is for the resets, the second for the noise."""
    env, _ = environment("Navigation2DSparse", 2, 2, horizon=3)
    drawn = []

    def act(state, observations, rng):
        drawn.append(rng.standard_normal(4))
        return Decision(np.zeros((2, 2, 2), np.float32), observations.astype(np.float32), state)

    adapter = Scripted(None)
    adapter.act = act
    seed = stream(3, "rollouts", 5)
    collect(env, adapter, 0, 2, seed)
    resets, noise = (np.random.SeedSequence(3, spawn_key=(*seed.spawn_key, i)) for i in range(2))
    rng = np.random.default_rng(noise)
    np.testing.assert_array_equal(drawn, [rng.standard_normal(4) for _ in range(3)])
    assert not np.isin(drawn[0], np.random.default_rng(resets).standard_normal(4)).any()
    assert seed.n_children_spawned == 0  # the caller's seed is as it was


def test_mean_actions_ask_for_no_noise():
    env, _ = environment("Navigation2D", 2, 2, horizon=3)
    given, adapter = [], Scripted(lambda m, o: np.zeros_like(o))
    act = adapter.act
    adapter.act = lambda state, observations, rng: given.append(rng) or act(state, observations, rng)
    collect(env, adapter, 0, 2, stream(0, "rollouts", 0), deterministic=True)
    assert given == [None] * 3


@pytest.mark.parametrize("other", [("rollouts", 1, 0), ("rollouts", 0, 1), ("tasks", 0, 0)])
def test_streams_are_apart(other):
    def draws(seed, purpose, *position):
        return set(np.random.default_rng(stream(seed, purpose, *position)).integers(0, 2**63, 64).tolist())

    here = draws(0, "rollouts", 0, 0)
    assert not here & draws(0, *other) and not here & draws(1, "rollouts", 0, 0)
    assert len(set(PURPOSES)) == len(PURPOSES)
