"""The closed-form fit: recursive least squares is batch ridge regression, and training improves what it predicts."""

import numpy as np
import pytest
import torch

from metarl.agents import RecurrentPolicy
from metarl.agents.memory.alpaca import ALPaCA, least_squares_step

STEPS, ROWS, FEATURES, OUTPUTS = 10_000, 2, 5, 3


def batch_ridge(phis, targets, prior_mean, prior_root, forgetting):
    """(F, P) weights and (F, F) covariance that minimize sum_t l^(T - t) |y - W^T g|^2 + l^T |W - W_0|^2 / P_0."""
    ages = np.arange(len(phis))[::-1]
    weights = forgetting**ages
    prior = forgetting ** len(phis) * np.linalg.inv(prior_root @ prior_root.T)
    information = prior + np.einsum("t,ti,tj->ij", weights, phis, phis)
    return (
        np.linalg.solve(information, prior @ prior_mean + np.einsum("t,ti,tp->ip", weights, phis, targets)),
        np.linalg.inv(information),
    )


def stepped(phis, targets, prior_mean, prior_root, forgetting, dtype=torch.float64):
    """The same by steps, (N, F, P) and (N, F, F)."""
    phis, targets, mean, root = (torch.from_numpy(x).to(dtype) for x in (phis, targets, prior_mean, prior_root))
    rows = phis.shape[1]
    mean, root = mean.expand(rows, -1, -1), root.expand(rows, -1, -1)
    factor = torch.full((rows,), forgetting, dtype=dtype)
    for phi, target in zip(phis, targets):
        mean, root, _ = least_squares_step(mean, root, phi, target, factor)
    return mean.numpy(), root.numpy()


def experience(seed=0):
    """Features of unlike sizes that are far from independent, a random task in each row, and noise."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((FEATURES, FEATURES)) * np.array([3.0, 1.0, 1.0, 0.3, 0.1])
    phis = np.tanh(rng.standard_normal((STEPS, ROWS, FEATURES)) @ mixing)
    tasks = rng.standard_normal((ROWS, FEATURES, OUTPUTS))
    targets = np.einsum("tnf,nfp->tnp", phis, tasks) + 0.3 * rng.standard_normal((STEPS, ROWS, OUTPUTS))
    return phis, targets, rng.standard_normal((FEATURES, OUTPUTS)), rng.standard_normal((FEATURES, FEATURES))


@pytest.mark.parametrize("forgetting", [1.0, 0.999, 0.97])
def test_ten_thousand_steps_are_batch_ridge_regression(forgetting):
    phis, targets, *prior = experience()
    mean, root = stepped(phis, targets, *prior, forgetting)
    for n in range(ROWS):
        expected, covariance = batch_ridge(phis[:, n], targets[:, n], *prior, forgetting)
        np.testing.assert_allclose(mean[n], expected, rtol=0, atol=1e-8)
        np.testing.assert_allclose(root[n] @ root[n].T, covariance, rtol=1e-8, atol=1e-8 * np.abs(covariance).max())


def test_a_few_steps_are_batch_ridge_regression_with_the_prior():
    """Where the prior still counts: three steps of five features."""
    phis, targets, *prior = experience(1)
    mean, root = stepped(phis[:3], targets[:3], *prior, 0.9)
    expected, covariance = batch_ridge(phis[:3, 0], targets[:3, 0], *prior, 0.9)
    np.testing.assert_allclose(mean[0], expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(root[0] @ root[0].T, covariance, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("forgetting", [1.0, 0.97])
def test_single_precision_stays_a_covariance(forgetting):
    phis, targets, *prior = experience()
    mean, root = stepped(phis, targets, *prior, forgetting, torch.float32)
    expected, covariance = batch_ridge(phis[:, 0], targets[:, 0], *prior, forgetting)
    np.testing.assert_allclose(mean[0], expected, atol=2e-3)
    got = root[0].astype(float) @ root[0].T.astype(float)
    np.testing.assert_allclose(got, covariance, rtol=0, atol=1e-2 * np.abs(covariance).max())


# ---- as a memory


def memory_and_params(seed=0, **options):
    memory = ALPaCA(2 + 1 + 2, 6, **{"observed": 2, "features": 4, "units": 8} | options)
    params = {k: v.double().requires_grad_() for k, v in memory.init(np.random.default_rng(seed)).items()}
    return memory, params


def trials(rows=16, steps=40, seed=0):
    """x' = x + gain * a, the gain a row's own: inputs (T, N, 5), with an episode's start in the middle."""
    rng = np.random.default_rng(seed)
    gain, x = rng.uniform(-1, 1, (rows, 1)), rng.standard_normal((rows, 2))
    action, inputs = np.zeros((rows, 1)), []
    for t in range(steps):
        start = float(t % (steps // 2) == 0)
        x = rng.standard_normal((rows, 2)) if start else x + 0.3 * gain * action
        inputs.append(np.concatenate([x, action, gain * action, np.full((rows, 1), start)], axis=1))
        action = rng.uniform(-1, 1, (rows, 1))
    return torch.from_numpy(np.stack(inputs))


@pytest.mark.parametrize("forgetting", [1.0, 0.9])
def test_what_is_fitted_is_the_next_observation_and_the_reward(forgetting):
    """Against ridge regression on what stands in the inputs, as if the episodes' first steps had never been."""
    memory, params = memory_and_params(forgetting=forgetting)
    xs = trials()
    with torch.no_grad():
        state, _, errors = memory.fit(params, memory.start(16, torch.float64), xs)
        follows = xs[1:, :, -1] == 0
        phis = memory._features(params, torch.cat([xs[:-1, :, :2], xs[1:, :, 2:3]], dim=-1))
        targets = torch.cat([xs[1:, :, :2] - xs[:-1, :, :2], xs[1:, :, 3:4]], dim=-1)
    assert follows.any() and not follows.all()
    prior = [params[name].detach().numpy() for name in ("prior_mean", "prior_root")]
    for n in (0, 7):
        kept = follows[:, n]
        expected, covariance = batch_ridge(phis[kept, n].numpy(), targets[kept, n].numpy(), *prior, forgetting)
        np.testing.assert_allclose(prior[0] + state[0][n].numpy(), expected, atol=1e-9)
        np.testing.assert_allclose(state[1][n] @ state[1][n].T, covariance, atol=1e-9)
    assert not errors[0].any() and not errors[20].any()  # nothing led to an episode's first observation
    kept = follows[:-1, 0]
    weights, _ = batch_ridge(phis[:-1, 0][kept].numpy(), targets[:-1, 0][kept].numpy(), *prior, forgetting)
    last = targets[-1, 0] - phis[-1, 0] @ torch.from_numpy(weights)
    assert errors[-1, 0].item() == pytest.approx(last.square().sum().item())  # of the prediction before its update


def test_errors_are_those_along_the_sequence_with_resets():
    memory, params = memory_and_params()
    xs, start = trials(), memory.start(16, torch.float64)
    resets = torch.zeros(xs.shape[:2], dtype=torch.bool)
    resets[20, 3] = True
    state, ys, errors = memory.errors(params, start, xs, resets)
    expected_state, expected = memory.sequence(params, start, xs, resets)
    assert torch.equal(ys, expected) and all(torch.equal(a, b) for a, b in zip(state, expected_state))
    _, _, fresh = memory.fit(params, start, xs[20:])
    torch.testing.assert_close(errors[20:, 3], fresh[:, 3])
    assert not torch.allclose(errors[21:, 4], fresh[1:, 4])  # which knew something by then


def test_gradients_run_through_the_fit():
    memory, params = memory_and_params(forgetting=0.95)
    xs = trials(rows=2, steps=8)
    names = [name for name in params if name not in ("w_mean", "w_std", "b")]  # the error does not need the output

    def loss(*values):
        return memory.errors(params | dict(zip(names, values)), memory.start(2, torch.float64), xs, None)[2].sum()

    assert torch.autograd.gradcheck(loss, tuple(params[name] for name in names), atol=1e-7)


def test_training_learns_features_that_few_steps_fit():
    """The error late in a trial falls below that at its beginning, in rows that were never trained on."""
    memory, params = memory_and_params(features=6)
    optimizer = torch.optim.Adam(params.values(), lr=1e-2)

    def errors(seed):
        return memory.errors(params, memory.start(64, torch.float64), trials(64, 20, seed), None)[2].mean(1)

    before = errors(1000).detach()
    for seed in range(150):
        optimizer.zero_grad()
        errors(seed).mean().backward()
        optimizer.step()
    after = errors(1000).detach()
    assert after.mean() < 0.3 * before.mean()
    assert after[6:10].mean() < 0.3 * after[1:3].mean()  # the task is found out while it acts


def test_the_observation_s_size_comes_from_the_policy():
    assert RecurrentPolicy(7, 3, "alpaca", 4).memory.known == 7
    assert RecurrentPolicy(7, 3, "alpaca", 4, memory_options={"features": 2}).memory.features == 2
    assert RecurrentPolicy(7, 3, "gru", 4).memory.input_dim == 12
