"""Returns and advantages against hand arithmetic, definitions and closed forms."""

import numpy as np
import pytest

from metarl.agents import Rollout, discounted_returns, generalized_advantages, normalize_advantages


def test_three_steps_by_hand():
    rewards = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    valid = np.ones((1, 3, 1), bool)
    assert discounted_returns(rewards, valid, 0.5).ravel().tolist() == [1 + 1 + 0.75, 2 + 1.5, 3]
    values = np.array([10.0, 20.0, 30.0]).reshape(1, 3, 1)
    bootstrap, never = np.array([[40.0]]), np.zeros((1, 3, 1), bool)
    # TD errors: 1 + .5*20 - 10 = 1,  2 + .5*30 - 20 = -3,  3 + .5*40 - 30 = -7;  gamma * lambda = .25
    got = generalized_advantages(rewards, values, bootstrap, never, valid, 0.5, 0.5)
    assert got.ravel().tolist() == [1 + 0.25 * (-3 + 0.25 * -7), -3 + 0.25 * -7, -7]
    ended = never.copy()
    ended[0, 2, 0] = True  # nothing follows the last step: 3 - 30
    got = generalized_advantages(rewards, values, bootstrap, ended, valid, 0.5, 0.5)
    assert got.ravel().tolist() == [1 + 0.25 * (-3 + 0.25 * -27), -3 + 0.25 * -27, -27]


def by_definition(rewards, values, bootstrap, terminated, length, discount, lam):
    """One episode: A_t = sum_l (gamma lambda)^l delta_{t+l}, O(T^2)."""
    following = [*values[1:length], bootstrap]
    deltas = [
        rewards[t] + (0.0 if terminated[t] else discount * following[t]) - values[t] for t in range(length)
    ]
    return [sum((discount * lam) ** (u - t) * deltas[u] for u in range(t, length)) for t in range(length)]


@pytest.mark.parametrize("seed", range(200))
def test_equals_the_definition_on_random_patterns(seed):
    rng = np.random.default_rng(seed)
    num_tasks, steps, episodes = rng.integers(1, 4), rng.integers(1, 9), rng.integers(1, 4)
    shape = (num_tasks, steps, episodes)
    rewards, values = rng.normal(size=shape), rng.normal(size=shape)
    bootstrap = rng.normal(size=(num_tasks, episodes))
    discount, lam = rng.uniform(size=2)
    length = rng.integers(1, steps + 1, (num_tasks, episodes))
    valid = np.arange(steps)[None, :, None] < length[:, None, :]
    terminated = np.zeros(shape, bool)
    ends = rng.random((num_tasks, episodes)) < 0.5
    np.put_along_axis(terminated, (length - 1)[:, None, :], ends[:, None, :], axis=1)
    got = generalized_advantages(rewards, values, bootstrap, terminated, valid, discount, lam)
    for m in range(num_tasks):
        for k in range(episodes):
            n = length[m, k]
            want = by_definition(
                rewards[m, :, k], values[m, :, k], bootstrap[m, k], terminated[m, :, k], n, discount, lam
            )
            np.testing.assert_allclose(got[m, :n, k], want, atol=1e-12)
            assert (got[m, n:, k] == 0).all()


def test_an_endless_task_is_worth_one_over_one_minus_gamma():
    """Truncated every 50 steps, a reward of one for ever: fitted values settle at 1 / (1 - gamma)."""
    discount, shape = 0.9, (1, 50, 1)
    ones, no = np.ones(shape), np.zeros(shape, bool)
    value = 0.0
    for _ in range(200):
        advantage = generalized_advantages(ones, ones * value, np.full((1, 1), value), no, ~no, discount, 0.95)
        value += 0.5 * advantage.mean()
    assert value == pytest.approx(1 / (1 - discount), rel=1e-2)
    # taking the time limit for an end is the classic bug; it must not pass
    ended = no.copy()
    ended[:, -1] = True
    wrong = generalized_advantages(ones, ones * value, np.full((1, 1), value), ended, ~no, discount, 0.95)
    assert abs(wrong.mean()) > 0.1


def test_normalized_over_the_valid_steps_of_each_task():
    rng = np.random.default_rng(0)
    advantages = rng.normal(3.0, 5.0, (2, 6, 4))
    valid = np.arange(6)[None, :, None] < rng.integers(2, 7, (2, 1, 4))
    got = normalize_advantages(advantages, valid)
    for m in range(2):
        kept = advantages[m][valid[m]]
        np.testing.assert_allclose(got[m][valid[m]], (kept - kept.mean()) / kept.std(), rtol=1e-6)
    assert (got[~valid] == 0).all()


def test_one_valid_step_has_no_advantage_over_itself_and_none_is_harmless():
    valid = np.zeros((2, 3, 1), bool)
    valid[0, 0] = True
    got = normalize_advantages(np.full((2, 3, 1), 5.0), valid)
    assert not got.any() and np.isfinite(got).all()
    # a deviation of zero is not divided by: 1e-8 is added
    small = normalize_advantages(np.array([[[1e-8], [-1e-8]]]), np.ones((1, 2, 1), bool))
    np.testing.assert_allclose(small.ravel(), [0.5, -0.5])


def test_an_episode_of_one_step():
    one = np.ones((1, 1, 1))
    assert discounted_returns(3 * one, one > 0, 0.9).tolist() == [[[3.0]]]
    got = generalized_advantages(3 * one, one, np.array([[10.0]]), one < 0, one > 0, 0.9, 0.5)
    assert got.tolist() == [[[3 + 0.9 * 10 - 1]]]


def test_rewards_after_the_end_count_for_nothing():
    rewards, valid = np.array([1.0, 2.0, 100.0]).reshape(1, 3, 1), np.array([True, True, False]).reshape(1, 3, 1)
    assert discounted_returns(rewards, valid, 0.5).ravel().tolist() == [2.0, 2.0, 0.0]


def test_the_return_of_an_episode_is_of_the_steps_that_were_taken():
    """Undiscounted; an episode that diverged has none, and its steps are no experience."""
    rewards = np.array([[[1.0, 10.0, 5.0], [2.0, 20.0, 5.0], [4.0, 40.0, 5.0]]])  # (1, 3, 3)
    valid = np.array([[[True, True, False], [True, False, False], [True, False, False]]])
    no, nothing = np.zeros(rewards.shape, bool), np.zeros((*rewards.shape, 1), np.float32)
    diverged = np.array([[False, False, True]])
    data = Rollout(nothing, np.zeros((3, 1)), nothing, rewards, no, no, valid, diverged, nothing[:, 0])
    np.testing.assert_array_equal(data.returns, [[7.0, 10.0, np.nan]])
    assert data.shape == (1, 3, 3) and data.num_steps == 4
