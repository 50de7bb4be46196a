"""The estimators of evolution strategies against closed forms, and the adapter that tries weights, by hand."""

import numpy as np
import pytest
import torch

from metarl.agents import GaussianMLP, Normalizer, Rollout
from metarl.agents.evolution import antithetic, es_gradient, shaped
from metarl.agents.nn.params import flatten, unflatten
from metarl.agents.search_adapter import Candidates, Search, SearchAdapter, Searching
from metarl.envs import make
from metarl.export.onnx import Scaling, largest_difference, policy_graph


def test_perturbations_come_in_opposite_pairs():
    noise = antithetic(np.random.default_rng(0), 3, 7, 4)
    assert noise.shape == (3, 7, 4) and noise.dtype == np.float32
    np.testing.assert_array_equal(noise[:, :3], -noise[:, 3:6])
    assert not noise[:, 6].any()
    assert len(np.unique(noise[:, :3])) == 3 * 3 * 4  # all drawn apart
    assert antithetic(np.random.default_rng(1), 4000, 2).std() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_on_a_quadratic_the_estimate_is_the_gradient_of_the_smoothed_objective(sigma):
    """f(x) = -x'Ax/2 + b'x. Smoothed, it has the gradient b - Ax at any sigma, and pairs leave (sum g g' / N) of it."""
    rng = np.random.default_rng(0)
    root, b, x = rng.standard_normal((3, 3)), rng.standard_normal(3), rng.standard_normal(3)
    a = root @ root.T

    def f(points):
        return points @ b - 0.5 * np.einsum("...i,ij,...j->...", points, a, points)

    noise = antithetic(rng, 40_000, 3).astype(np.float64)
    estimate = es_gradient(noise, f(x + sigma * noise), sigma)
    exact = b - a @ x
    np.testing.assert_allclose(estimate, noise.T @ noise / len(noise) @ exact, rtol=1e-9)
    error = np.sqrt((exact @ exact + exact**2) / 20_000)  # of a mean over as many pairs
    assert (np.abs(estimate - exact) < 4 * error).all()


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7])
def test_an_odd_one_does_not_shorten_the_estimate(count):
    noise = antithetic(np.random.default_rng(0), 20_000, count, 2).astype(np.float64)
    slope = np.array([2.0, -1.0])
    np.testing.assert_allclose(es_gradient(noise, noise @ slope, 1.0).mean(0), slope, rtol=0.05)


def test_of_the_cube_it_is_the_smoothed_objective_s_not_the_objective_s_own():
    """f(x) = x^3: E f(x + sigma g) = x^3 + 3 x sigma^2, with the gradient 3 x^2 + 3 sigma^2."""
    noise = antithetic(np.random.default_rng(0), 400_000, 1).astype(np.float64)
    estimate = es_gradient(noise, (0.5 + 0.8 * noise[:, 0]) ** 3, 0.8)
    assert estimate[0] == pytest.approx(3 * 0.5**2 + 3 * 0.8**2, rel=0.02)


def test_ranks():
    np.testing.assert_allclose(shaped(np.array([3.0, -10.0, 7.0, 5.0, 4.0]), "rank"), [-0.25, -0.5, 0.5, 0.25, 0.0])
    np.testing.assert_allclose(shaped(np.array([1.0, 2.0, 2.0]), "rank"), [-0.5, 0.25, 0.25])  # equals are alike
    rows = np.random.default_rng(0).standard_normal((4, 9))
    for row, got in zip(rows, shaped(rows, "rank"), strict=True):
        np.testing.assert_allclose(got, np.argsort(np.argsort(row)) / 8 - 0.5)


def test_standard_deviations():
    np.testing.assert_allclose(shaped(np.array([[1.0, 3.0], [5.0, 5.0]]), "std"), [[-1.0, 1.0], [0.0, 0.0]])


@pytest.mark.parametrize("how", ["rank", "std", "none"])
def test_diverged_episodes_are_the_worst(how):
    worst = shaped(np.array([4.0, np.nan, 2.0, 9.0]), how)
    np.testing.assert_array_equal(worst, shaped(np.array([4.0, 2.0, 2.0, 9.0]), how))
    assert np.isfinite(worst).all() and not shaped(np.full(3, np.nan), how).any()


def test_flat_weights_are_the_weights():
    params = GaussianMLP(3, 2, (4,)).init(np.random.default_rng(0)) | {"scalar": torch.tensor(2.0)}
    vector = flatten(params)
    assert vector.shape == (3 * 4 + 4 + 4 * 2 + 2 + 2 + 1,)
    for name, value in unflatten(vector, params).items():
        assert torch.equal(value, params[name])
    both = unflatten(torch.stack([vector, vector + 1]), params)
    assert all(torch.equal(both[name][1], value + 1) for name, value in params.items())
    assert torch.equal(flatten(both, lead=1), torch.stack([vector, vector + 1]))


# ---- one step of a search


def test_a_gradient_step_by_hand():
    search = Search("gradient", sigma=0.5, lr=0.2, shaping="none")
    noise = np.array([[[1.0, 2.0], [-1.0, -2.0]]])
    after = search.step(np.array([[10.0, 20.0]]), noise, np.array([[3.0, 1.0]]))
    np.testing.assert_allclose(after, [[10.0 + 0.2 * 2, 20.0 + 0.2 * 4]])  # (3 g - 1 g) / (2 * 0.5)


def test_hill_climbing_goes_to_the_best_and_stays_where_none_is_better():
    search = Search("hill_climbing", sigma=0.5)
    noise = np.array([[[0.0], [1.0], [-4.0]], [[0.0], [1.0], [-4.0]], [[0.0], [1.0], [-4.0]]])
    returns = np.array([[1.0, 0.0, 2.0], [3.0, 3.0, 2.0], [np.nan, -5.0, np.nan]])
    np.testing.assert_allclose(search.step(np.full((3, 1), 7.0), noise, returns), [[5.0], [7.0], [7.5]])
    drawn = search.draw(np.random.default_rng(0), 2, 5, 3)
    assert not drawn[:, 0].any() and drawn[:, 1:].all()


# ---- the adapter


POLICY = GaussianMLP(3, 2, (4,), init_std=0.3)


def adapter(stochastic=False, **settings):
    params = POLICY.init(np.random.default_rng(0))
    if not stochastic:
        del params["log_std"]
    exploring = settings.pop("exploring", True)
    return SearchAdapter(POLICY, params, Normalizer.identity(3), Search(**settings), exploring)


def test_each_episode_is_lived_by_its_own_weights_all_along():
    acting, observations = adapter(sigma=0.3), np.random.default_rng(1).standard_normal((2, 5, 3))
    rng = np.random.default_rng(2)
    decision = acting.act(acting.start(2), observations, rng)
    again = acting.act(decision.state, observations, rng)
    np.testing.assert_array_equal(decision.actions, again.actions)
    for m in range(2):
        for k in range(5):
            vector = flatten(acting.params) + 0.3 * torch.from_numpy(decision.state.tried.noise[m, k])
            x = torch.from_numpy(observations[m, k].astype(np.float32))
            params = unflatten(vector, acting.params)
            alone = torch.tanh(x @ params["w0"] + params["b0"]) @ params["w1"] + params["b1"]
            np.testing.assert_allclose(decision.actions[m, k], alone.numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="got 4 episodes in each task, expected 5"):
        acting.act(decision.state, observations[:, :4], rng)
    fresh = acting.act(acting.next_episode(decision.state), observations, rng)
    assert not np.array_equal(fresh.state.tried.noise, decision.state.tried.noise)


def test_without_noise_the_present_weights_act():
    acting, observations = adapter(), np.random.default_rng(1).standard_normal((2, 5, 3))
    decision = acting.act(acting.start(2), observations, None)
    assert decision.state.tried is None
    expected = POLICY.mean(acting.params, torch.from_numpy(observations.astype(np.float32)))
    np.testing.assert_allclose(decision.actions, expected.numpy(), atol=1e-6)


def test_a_stochastic_policy_samples_its_actions_around_each_candidate():
    acting = adapter(stochastic=True, sigma=0.1)
    observations = np.zeros((1, 2, 3))
    state, rng = acting.start(1), np.random.default_rng(0)
    first = acting.act(state, observations, rng)
    many = np.stack([acting.act(first.state, observations, rng).actions[0] for _ in range(2000)])
    candidates = unflatten(first.state.tried.params, acting.params)
    for k in range(2):
        np.testing.assert_allclose(many[:, k].std(0), candidates["log_std"][k].exp(), rtol=0.06)
        mean = torch.tanh(candidates["b0"][k]) @ candidates["w1"][k] + candidates["b1"][k]
        np.testing.assert_allclose(many[:, k].mean(0), mean, atol=0.03)
    still = adapter(stochastic=True, exploring=False)
    assert still.act(still.start(1), observations, rng).state.tried is None


def test_adaptation_moves_every_task_by_its_own_returns():
    acting = adapter(operator="gradient", sigma=0.5, lr=0.1, shaping="none")
    noise = antithetic(np.random.default_rng(0), 2, 4, len(flatten(acting.params)))
    rewards = np.random.default_rng(1).standard_normal((2, 3, 4))
    shape, blank = (2, 3, 4), np.zeros((2, 3, 4), bool)
    rollout = Rollout(
        observations=np.zeros((*shape, 3), np.float32), raw_moments=np.zeros((3, 3)),
        actions=np.zeros((*shape, 2), np.float32), rewards=rewards, terminated=blank, truncated=blank, valid=~blank,
        diverged=np.zeros((2, 4), bool), last_observations=np.zeros((2, 4, 3), np.float32),
        state=Searching(acting.start(2).params, Candidates(noise, torch.empty(0))),
    )  # fmt: skip
    after = acting.adapt(acting.start(2), rollout)
    for m in range(2):
        up = sum(rewards[m, :, k].sum() * noise[m, k] for k in range(4)) / (4 * 0.5)
        np.testing.assert_allclose(after.params[m], flatten(acting.params).numpy() + 0.1 * up, atol=1e-5)
    assert after.tried is None


@pytest.mark.parametrize("stochastic", [False, True])
def test_the_exported_policy_is_that_of_the_adapted_weights(stochastic):
    env = make("HalfCheetahDir", 1, horizon=30, autoreset_mode="Disabled")
    policy = GaussianMLP(17, 6, (5,), init_std=0.3)
    params = policy.init(np.random.default_rng(0))
    if not stochastic:
        del params["log_std"]
    acting = SearchAdapter(policy, params, Normalizer(10.0, np.linspace(-1, 1, 17), np.full(17, 20.0)), Search())
    state = Searching(acting.start(1).params + 0.2)  # as adaptation has moved them
    scaling = Scaling.of(*env.family.control_range(env.model), 1.0)
    model = policy_graph(acting, state, scaling).serialize("search")
    assert largest_difference(model, acting, state, env, scaling, 0) < 1e-5
    assert largest_difference(model, acting, acting.start(1), env, scaling, 0) > 1e-3
    if stochastic:
        assert "noise" in policy_graph(acting, state, scaling, noise=True).inputs
    else:
        with pytest.raises(NotImplementedError, match="deterministic; export it without noise"):
            policy_graph(acting, state, scaling, noise=True)
