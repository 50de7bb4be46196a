"""The batched baseline against a ridge regression a task, and the promises about padding."""

import numpy as np

from metarl.agents import Rollout, discounted_returns, fit_values


def rollout(rng, num_tasks=3, steps=12, episodes=5, dim=4, lengths=None) -> Rollout:
    shape = (num_tasks, steps, episodes)
    lengths = np.full((num_tasks, episodes), steps) if lengths is None else lengths
    valid = np.arange(steps)[None, :, None] < lengths[:, None, :]
    no = np.zeros(shape, bool)
    return Rollout(
        observations=rng.normal(scale=3, size=(*shape, dim)).astype(np.float32),
        raw_moments=np.zeros((3, dim)),
        actions=rng.normal(size=(*shape, 2)).astype(np.float32),
        rewards=np.where(valid, rng.normal(size=shape), 0.0),
        terminated=no,
        truncated=no,
        valid=valid,
        diverged=np.zeros((num_tasks, episodes), bool),
        last_observations=rng.normal(size=(num_tasks, episodes, dim)).astype(np.float32),
    )


def reference(observations, steps, targets):
    """rllab's linear feature baseline for one task, in float64."""
    s = np.clip(observations.astype(np.float64), -10, 10)
    t = steps[:, None] / 100.0
    features = np.concatenate([s, s**2, t, t**2, t**3, np.ones_like(t)], axis=1)
    gram = features.T @ features + 1e-5 * np.eye(features.shape[1])
    return features @ np.linalg.solve(gram, features.T @ targets)


def test_equals_a_regression_in_each_task():
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 13, (3, 5))
    data = rollout(rng, lengths=lengths)
    targets = discounted_returns(data.rewards, data.valid, 0.99)
    values, bootstrap = fit_values(data, targets)
    steps = np.broadcast_to(np.arange(12)[:, None], (12, 5))
    for m in range(3):
        keep = data.valid[m]
        want = reference(data.observations[m][keep], steps[keep], targets[m][keep])
        np.testing.assert_allclose(values[m][keep], want, atol=2e-3)
    assert bootstrap.shape == (3, 5)


def test_padding_does_not_matter():
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 12, (3, 5))
    data = rollout(rng, lengths=lengths)
    targets = discounted_returns(data.rewards, data.valid, 0.99)
    values, _ = fit_values(data, targets)
    data.observations[~data.valid] = 99.0
    again, _ = fit_values(data, targets)
    assert (values[data.valid] == again[data.valid]).all()


def test_a_singular_system_is_solved():
    data = rollout(np.random.default_rng(2))
    data.observations[...] = 0.0
    values, _ = fit_values(data, np.ones(data.shape))
    np.testing.assert_allclose(values, 1.0, atol=1e-2)
