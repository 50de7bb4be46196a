"""What the inner steps learn from, against the baseline and the advantages worked out episode by episode."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from metarl.agents import GaussianMLP, InnerLoop, PolicyGradientInner, Rollout
from metarl.agents.baseline import fit_unscaled, fit_values
from metarl.agents.inner_loop import per_task

DISCOUNT, LAMBDA = 0.9, 0.8
LENGTHS = np.array([[40, 60, 60], [60, 25, 51]])
TERMINATED = np.array([[True, False, False], [False, True, False]])


def rollout() -> Rollout:
    """Two tasks with three episodes of at most 60 steps, which end in a terminal state or at the time limit."""
    rng, shape = np.random.default_rng(0), (2, 60, 3)
    valid = np.arange(60)[None, :, None] < LENGTHS[:, None]
    last = np.arange(60)[None, :, None] == LENGTHS[:, None] - 1
    return Rollout(
        observations=np.where(valid[..., None], rng.normal(size=(*shape, 2)), 0.0).astype(np.float32),
        raw_moments=np.zeros((3, 2)),
        actions=rng.normal(size=(*shape, 1)).astype(np.float32),
        rewards=np.where(valid, rng.normal(1.0, 1.0, shape) + np.arange(60)[:, None] / 20, 0.0),
        terminated=last & TERMINATED[:, None],
        truncated=last & ~TERMINATED[:, None],
        valid=valid,
        diverged=np.zeros((2, 3), bool),
        last_observations=rng.normal(size=(2, 3, 2)).astype(np.float32),
    )


def features(observation, step):
    t = step / 100
    return np.array([*observation, *np.square(observation), t, t**2, t**3])


def standardized_ridge(x, y):
    """x (N, F), y (N,): z = (x - mean) / std, minimizes |y - mean - z w|^2 + F |w|^2."""
    mean, std, num = x.mean(0), x.std(0), x.shape[1]
    z = (x - mean) / std
    padded = np.concatenate([z, np.sqrt(num) * np.eye(num)]), np.concatenate([y - y.mean(), np.zeros(num)])
    w = np.linalg.lstsq(*padded, rcond=None)[0]
    return lambda row: (row - mean) / std @ w + y.mean()


def plain_ridge(x, y):
    """rllab's: features as they are, with a constant, and |w|^2 counts 1e-5."""
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    w = np.linalg.solve(x.T @ x + 1e-5 * np.eye(x.shape[1]), x.T @ y)
    return lambda row: np.array([*row, 1.0]) @ w


def advantages_by_hand(data: Rollout, m: int, fit, bootstrapped: bool) -> list[np.ndarray]:
    """Of each episode of a task: its ridge regression on rewards to go, then sum_l (gamma lambda)^l delta_{t+l}."""
    episodes = [
        (data.observations[m, :n, k].astype(float), data.rewards[m, :n, k]) for k, n in enumerate(LENGTHS[m])
    ]
    rows = [features(o, t) for observations, _ in episodes for t, o in enumerate(observations)]
    to_go = [
        sum(DISCOUNT ** (u - t) * rewards[u] for u in range(t, len(rewards)))
        for _, rewards in episodes for t in range(len(rewards))
    ]  # fmt: skip
    value = fit(np.array(rows), np.array(to_go))
    found = []
    for k, (observations, rewards) in enumerate(episodes):
        n = len(rewards)
        behind = 0.0
        if bootstrapped and not TERMINATED[m, k]:
            behind = value(features(data.last_observations[m, k].astype(float), n))
        values = [*(value(features(o, t)) for t, o in enumerate(observations)), behind]
        deltas = [rewards[t] + DISCOUNT * values[t + 1] - values[t] for t in range(n)]
        found.append(np.array([
            sum((DISCOUNT * LAMBDA) ** (u - t) * deltas[u] for u in range(t, n)) for t in range(n)
        ]))  # fmt: skip
    every = np.concatenate(found)
    return [(a - every.mean()) / every.std() for a in found]


def prepared(data, **options):
    policy = GaussianMLP(2, 1, (4,))
    inner = PolicyGradientInner(InnerLoop(policy), 0.1, 1, DISCOUNT, LAMBDA, **options)
    return inner.prepare(data, per_task(policy.init(np.random.default_rng(0)), 2))[0]


@pytest.mark.parametrize(("baseline", "fit"), [(fit_values, standardized_ridge), (fit_unscaled, plain_ridge)])
@pytest.mark.parametrize("bootstrapped", [False, True])
def test_advantages_are_those_of_each_episode_over_the_baseline_of_its_task(baseline, fit, bootstrapped):
    data = rollout()
    samples = prepared(data, baseline=baseline, bootstrap_at_horizon=bootstrapped)
    got = samples.advantages.reshape(2, 60, 3).numpy()
    for m in range(2):
        for k, want in enumerate(advantages_by_hand(data, m, fit, bootstrapped)):
            n = LENGTHS[m, k]
            np.testing.assert_allclose(got[m, :n, k], want, atol=2e-5)
            assert not got[m, n:, k].any()
    np.testing.assert_allclose(samples.weights.reshape(2, 60, 3), data.valid / np.array([160, 136])[:, None, None])


def test_what_follows_the_time_limit_matters_where_it_is_wanted_and_a_terminal_state_is_followed_by_nothing():
    data, other = rollout(), rollout()
    other.last_observations[...] += 3.0
    moved = {}
    for wanted in (False, True):
        change = prepared(data, bootstrap_at_horizon=wanted).advantages - prepared(
            other, bootstrap_at_horizon=wanted).advantages
        moved[wanted] = float(change.abs().max())
    assert moved[False] == 0 and moved[True] > 0.1
    ended = Rollout(**vars(data) | {"terminated": data.terminated | data.truncated})
    assert torch.equal(
        prepared(ended, bootstrap_at_horizon=True).advantages, prepared(ended, bootstrap_at_horizon=False).advantages
    )


def test_a_task_without_a_valid_step_has_no_weight_and_is_no_nan():
    data = rollout()
    none = replace(data, valid=data.valid & (np.arange(2) == 0)[:, None, None])
    inner = PolicyGradientInner(InnerLoop(GaussianMLP(2, 1, (4,))), 0.1, 1, DISCOUNT, LAMBDA)
    params = inner.inner_loop.policy.init(np.random.default_rng(0))
    samples, _ = inner.prepare(none, per_task(params, 2))
    assert float(samples.weights[0].sum()) == pytest.approx(1.0)
    assert torch.equal(samples.weights[1], torch.zeros(180))
    assert all(torch.isfinite(x).all() for x in samples)


@pytest.mark.parametrize(("steps", "sizes"), [(0, 1), (1, 1), (3, 3)])
def test_there_is_a_step_size_for_each_step_and_one_at_least(steps, sizes):
    inner = PolicyGradientInner(InnerLoop(GaussianMLP(2, 1, (4,))), 0.1, steps, DISCOUNT, LAMBDA)
    _, found = inner.split({"params.w0": torch.zeros(2, 4)})
    assert found == sizes * [{"w0": 0.1}]
