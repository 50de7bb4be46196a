"""Hebbian updates by hand and connection by connection, and the trials of a network that they make."""

import itertools

import numpy as np
import pytest
import torch

from metarl.agents import Normalizer
from metarl.agents.plastic_adapter import PlasticAdapter
from metarl.agents.plasticity import PlasticNetwork
from metarl.envs import make
from metarl.export.onnx import Scaling, largest_difference, policy_graph


def test_one_connection_by_hand():
    network = PlasticNetwork((1, 1), normalize_weights=False)
    rules = {"rule0": torch.tensor([0.1, 0.2, -0.3, 0.4, 0.5]).reshape(5, 1, 1)}  # A, B, C, D, eta
    (w,), y = network.step(rules, (torch.full((1, 1, 1, 1), 0.5),), torch.full((1, 1, 1), 2.0))
    assert y.item() == pytest.approx(0.761594, abs=1e-6)  # tanh(1)
    # 0.5 (0.1 * 2 * 0.761594 + 0.2 * 2 - 0.3 * 0.761594 + 0.4) = 0.361920
    assert w.item() == pytest.approx(0.5 + 0.361920, abs=1e-6)


def test_normalized_by_hand():
    network = PlasticNetwork((2, 1))
    rules = {"rule0": torch.tensor([0.0, 0.0, 0.0, 1.0, 0.5]).reshape(5, 1, 1).expand(5, 2, 1)}  # both grow by 0.5
    (w,), _ = network.step(rules, (torch.tensor([[[[-2.5], [0.5]]]]),), torch.zeros(1, 1, 2))
    assert w.flatten().tolist() == [-1.0, 0.5]  # -2 and 1, divided by 2


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("share", ["connection", "neuron", "layer"])
def test_every_connection_of_every_genome_alone(share, normalize):
    network, rng = PlasticNetwork((3, 4, 2), share, normalize), np.random.default_rng(0)
    genomes = [network.init(rng, 0.5) for _ in range(3)]
    rules = {name: torch.stack([genome[name] for genome in genomes]) for name in genomes[0]}
    weights = network.weights(rng, (2, 3))
    x = torch.from_numpy(rng.standard_normal((2, 3, 3), np.float32))
    after, y = network.step(rules, weights, x)
    for n, k in itertools.product(range(2), range(3)):
        before = x[n, k].double().numpy()
        for layer in range(2):
            w = weights[layer][n, k].double().numpy()
            out = np.tanh(before @ w)
            rule = np.broadcast_to(genomes[k][f"rule{layer}"].double().numpy(), (5, *w.shape))
            new = np.empty_like(w)
            for i, j in itertools.product(*map(range, w.shape)):
                a, b, c, d, eta = rule[:, i, j]
                new[i, j] = w[i, j] + eta * (a * before[i] * out[j] + b * before[i] + c * out[j] + d)
            if normalize:
                new /= np.abs(new).max()
            np.testing.assert_allclose(after[layer][n, k], new, atol=1e-5)
            before = out
        np.testing.assert_allclose(y[n, k], before, atol=1e-6)


def test_weights_of_zero_stay_finite():
    network = PlasticNetwork((2, 3))
    rules = {"rule0": torch.zeros(5, 2, 3)}
    (w,), _ = network.step(rules, network.weights(None, (1, 1)), torch.ones(1, 1, 2))
    assert not w.any()


# ---- the adapter


def plastic(feedback=True, seed=0, share="connection", **options):
    env = make("HalfCheetahDir", 1, horizon=30, autoreset_mode="Disabled", action_scale=2.0)
    size = 17 + 1 + (7 if feedback else 0)
    network = PlasticNetwork((size, 5, 6), share, **options)
    rules = network.init(np.random.default_rng(1), 0.3)
    normalizer = Normalizer(10.0, np.linspace(-1, 1, 17), np.full(17, 20.0))
    rewards = Normalizer(10.0, np.full(1, 0.1), np.full(1, 2.0)) if feedback else None
    seed = None if seed is None else np.random.SeedSequence(seed)
    return env, PlasticAdapter(network, rules, np.full(6, 2.0), normalizer, rewards, seed)


def test_what_the_network_is_given():
    _, adapter = plastic()
    given, step = [], PlasticNetwork.step
    network = adapter.network
    object.__setattr__(network, "step", lambda rules, weights, x: given.append(x) or step(network, rules, weights, x))
    observations = np.random.default_rng(0).standard_normal((2, 3, 17))
    first = adapter.act(adapter.start(2), observations, None)
    rewards = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    second = adapter.act(adapter.observe(first.state, rewards, rewards < -9), observations, None)
    seen = torch.from_numpy(adapter.normalize(observations))
    no_reward = torch.full((2, 3, 1), float((0.0 - 0.1) / np.sqrt(0.2)))
    torch.testing.assert_close(given[0], torch.cat([seen, torch.ones(2, 3, 1), torch.zeros(2, 3, 6), no_reward], -1))
    torch.testing.assert_close(given[1][..., 18:24], torch.from_numpy(first.actions) / 2)
    np.testing.assert_allclose(given[1][..., 24], (rewards - 0.1) / np.sqrt(0.2), rtol=1e-5)
    assert np.abs(second.actions).max() <= 2.0


def test_nothing_is_learned_between_the_end_of_an_episode_and_the_next():
    _, adapter = plastic()
    observations, ended = np.random.default_rng(0).standard_normal((1, 2, 17)), np.array([[True, False]])
    state = adapter.observe(adapter.act(adapter.start(1), observations, None).state, np.ones((1, 2)), ended)
    after = adapter.observe(adapter.act(state, observations, None).state, 5 * np.ones((1, 2)), ~ended)
    for before, now in zip(state.weights, after.weights, strict=True):
        assert torch.equal(before[0, 0], now[0, 0]) and not torch.equal(before[0, 1], now[0, 1])
    assert after.rewards.tolist() == [[1.0, 5.0]] and after.over.all()
    resumed = adapter.next_episode(after)
    assert not resumed.over.any() and all(torch.equal(a, b) for a, b in zip(resumed.weights, after.weights))
    with pytest.raises(ValueError, match="got 3 episodes in each task, expected 2"):
        adapter.act(resumed, np.zeros((1, 3, 17)), None)


def test_where_trials_start():
    _, adapter = plastic()
    drawn = adapter.act(adapter.start(2), np.zeros((2, 3, 17)), None).state.weights[0]
    assert len(torch.unique(drawn)) > 0.9 * drawn.numel()  # another life, other weights
    network = adapter.network
    start = network.weights(np.random.default_rng(0), (50, 40))[0]
    assert start.min() < -0.99 and start.max() > 0.99 and abs(float(start.mean())) < 0.01
    assert not any(w.any() for w in network.weights(None, (2, 3)))


@pytest.mark.parametrize("options", [
    {}, {"feedback": False, "seed": None}, {"share": "neuron", "normalize_weights": False}, {"share": "layer"},
])  # fmt: skip
def test_the_exported_network_learns_as_it_acts(options):
    env, adapter = plastic(**options)
    scaling = Scaling.of(*env.family.control_range(env.model), 2.0)
    model = policy_graph(adapter, adapter.start(1), scaling).serialize("plastic")
    assert largest_difference(model, adapter, adapter.start(1), env, scaling, 0) < 1e-5
    for name, rule in adapter.rules.items():
        adapter.rules = adapter.rules | {name: rule + 0.1}
        assert largest_difference(model, adapter, adapter.start(1), env, scaling, 0) > 1e-5, name
    with pytest.raises(NotImplementedError, match="deterministic; export it without noise"):
        policy_graph(adapter, adapter.start(1), scaling, noise=True)
