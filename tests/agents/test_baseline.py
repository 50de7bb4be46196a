"""The batched baseline against a ridge regression a task, and the promises about padding."""

import numpy as np
import pytest
import torch

from metarl.agents import Rollout, discounted_returns, fit_values
from metarl.agents.baseline import _solve, fit_unscaled


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


def features(observations, steps):
    s = np.clip(observations.astype(np.float64), -10, 10)
    t = steps[:, None] / 100.0
    return np.concatenate([s, s**2, t, t**2, t**3], axis=1)


def fitted(known, targets, wanted):
    """Ridge regression in the dual form: standardized features of the known steps, as much ridge as there are."""
    mean, std = known.mean(0), known.std(0)
    std[std < 1e-8] = np.inf
    z, x = ((rows - mean) / std for rows in (known, wanted))
    kernel = z @ z.T + z.shape[1] * np.eye(len(z))
    return targets.mean() + x @ z.T @ np.linalg.solve(kernel, targets - targets.mean())


def test_equals_a_regression_in_each_task():
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 13, (3, 5))
    data = rollout(rng, lengths=lengths)
    targets = discounted_returns(data.rewards, data.valid, 0.99)
    values, bootstrap = fit_values(data, targets)
    assert bootstrap.shape == (3, 5)
    steps = np.broadcast_to(np.arange(12)[:, None], (12, 5))
    for m in range(3):
        keep = data.valid[m]
        known = features(data.observations[m][keep], steps[keep])
        last = features(data.last_observations[m], lengths[m])
        np.testing.assert_allclose(values[m][keep], fitted(known, targets[m][keep], known), atol=1e-9)
        np.testing.assert_allclose(bootstrap[m], fitted(known, targets[m][keep], last), atol=1e-9)


def test_noise_is_not_taken_for_value_where_features_outnumber_steps():
    """83 features, 60 steps, and no relation: rllab's ridge explains all of it, ours about half."""
    rng = np.random.default_rng(3)
    data = rollout(rng, num_tasks=20, steps=10, episodes=6, dim=40)
    targets = rng.normal(size=data.shape)

    def explained(values):
        return 1 - np.square(values - targets).sum() / np.square(targets).sum()

    assert explained(fit_unscaled(data, targets)[0]) > 0.999
    assert 0.5 < explained(fit_values(data, targets)[0]) < 0.7


def test_scales_of_observations_and_rewards_do_not_matter():
    rng = np.random.default_rng(7)
    data = rollout(rng, steps=30, episodes=10, dim=3)
    targets = rng.normal(size=data.shape)
    values, bootstrap = fit_values(data, targets)
    data.observations[...] *= 0.125
    data.last_observations[...] *= 0.125
    data.observations[...] = np.clip(data.observations, -1.25, 1.25)  # as it was clipped before
    data.last_observations[...] = np.clip(data.last_observations, -1.25, 1.25)
    again, after = fit_values(data, 1000 * targets - 5)
    np.testing.assert_allclose(again, 1000 * values - 5, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(after, 1000 * bootstrap - 5, rtol=1e-6, atol=1e-6)


def test_what_features_tell_is_found():
    rng = np.random.default_rng(4)
    data = rollout(rng, steps=30, episodes=10, dim=3)
    targets = 50.0 + 3.0 * data.observations[..., 0].astype(float) - np.arange(30)[:, None] / 10.0
    values, _ = fit_values(data, targets)
    assert 1 - np.var(values - targets) / np.var(targets) > 0.98


def test_what_is_not_finite_is_said():
    data = rollout(np.random.default_rng(6))
    with pytest.raises(ValueError, match="are the observations and rewards finite"):
        fit_values(data, np.full(data.shape, np.nan))
    one = np.zeros(data.shape)
    one[0, 0, 0] = np.inf  # of a single task
    with pytest.raises(ValueError, match="are the observations and rewards finite"):
        fit_values(data, one)


def reference(observations, steps, targets):
    """rllab's linear feature baseline for one task, in float64."""
    x = np.concatenate([features(observations, steps), np.ones((len(steps), 1))], axis=1)
    gram = x.T @ x + 1e-5 * np.eye(x.shape[1])
    return x @ np.linalg.solve(gram, x.T @ targets)


def test_runs_of_before_keep_rllabs_ridge():
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 13, (3, 5))
    data = rollout(rng, lengths=lengths)
    targets = discounted_returns(data.rewards, data.valid, 0.99)
    values, bootstrap = fit_unscaled(data, targets)
    steps = np.broadcast_to(np.arange(12)[:, None], (12, 5))
    for m in range(3):
        keep = data.valid[m]
        want = reference(data.observations[m][keep], steps[keep], targets[m][keep])
        np.testing.assert_allclose(values[m][keep], want, atol=2e-3)
    assert bootstrap.shape == (3, 5)


@pytest.mark.parametrize("fit", [fit_values, fit_unscaled])
def test_padding_does_not_matter(fit):
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 12, (3, 5))
    data = rollout(rng, lengths=lengths)
    targets = discounted_returns(data.rewards, data.valid, 0.99)
    values, _ = fit(data, targets)
    data.observations[~data.valid] = 99.0
    again, _ = fit(data, targets)
    assert (values[data.valid] == again[data.valid]).all()


def test_a_singular_system_has_a_larger_ridge_than_a_regular_one():
    regular, moment = torch.eye(2, dtype=torch.float64)[None], torch.ones(1, 2, 1, dtype=torch.float64)
    torch.testing.assert_close(_solve(regular, moment), moment / (1 + 1e-5), rtol=1e-12, atol=0)
    found = _solve(-1e-5 * regular, moment)  # the first ridge leaves nothing of it
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, moment / 9e-5, rtol=1e-9, atol=0)
    with pytest.raises(ValueError, match="cannot be solved: are the observations and rewards finite"):
        _solve(regular * torch.nan, moment)


@pytest.mark.parametrize("fit", [fit_values, fit_unscaled])
def test_a_singular_system_is_solved(fit):
    data = rollout(np.random.default_rng(2))
    data.observations[...] = 0.0
    values, _ = fit(data, np.ones(data.shape))
    np.testing.assert_allclose(values, 1.0, atol=1e-2)
