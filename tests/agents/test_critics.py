"""The squashed Gaussian and the ensemble of critics, each against PyTorch's own or a loop."""

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from metarl.agents.critics import Critics
from metarl.agents.squashed_policy import SquashedPolicy, squash


def test_the_density_of_a_squashed_action_is_torchs():
    mean, noise = torch.randn(2, 50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    std = torch.linspace(0.1, 2.0, 3, dtype=torch.float64).expand(50, 3)
    actions, log_probs = squash(mean, std, noise)
    pi = TransformedDistribution(Independent(Normal(mean, std), 1), TanhTransform(cache_size=1))
    torch.testing.assert_close(log_probs, pi.log_prob(actions), rtol=1e-9, atol=1e-9)
    far, log_prob = squash(torch.full((1, 1), 30.0), torch.ones(1, 1), torch.zeros(1, 1))
    assert far.item() == 1.0 and log_prob.item() == pytest.approx(60 - 2 * np.log(2) - 0.5 * np.log(2 * np.pi))


def test_a_policy_acts_with_its_mean_or_its_noise_within_its_bound():
    policy = SquashedPolicy(2, 3, size=4, hidden=(8,), bound=2.0, init_std=0.5)
    params = policy.init(np.random.default_rng(0))
    assert not [name for name in params if name.startswith(("value.", "log_std"))]
    xs, ys = torch.randn(2, 1000, 7)[0], torch.randn(1000, 4)
    mean, std = policy.act(params, ys, xs)
    assert mean.abs().max() < 0.2 and (std - 0.5).abs().max() < 0.1
    torch.testing.assert_close(policy.decide(params, ys, xs, None), 2.0 * torch.tanh(mean))
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((1000, 3), np.float32))
    got = policy.decide(params, ys, xs, np.random.default_rng(1))
    torch.testing.assert_close(got, 2.0 * torch.tanh(mean + std * noise))
    params["policy.b1"][3:] = 100.0
    assert (policy.act(params, ys, xs)[1] == np.float32(np.exp(2.0))).all()


@pytest.mark.parametrize("count", [1, 3])
def test_the_ensemble_is_a_loop_over_its_critics(count):
    critics = Critics(5, 2, count, size=4, hidden=(6, 7), activation="tanh")
    params = critics.init(np.random.default_rng(0))
    for name, value in params.items():  # biases too
        value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name))))
    xs = torch.randn(9, 3, 5)
    ys, seen, actions = critics.recall(params, xs), xs.flatten(0, 1), torch.randn(27, 2)
    got = critics.values(params, critics.see(params, ys.flatten(0, 1), seen), actions)
    for i in range(count):
        x = torch.cat([ys.flatten(0, 1), seen, actions], dim=1)
        for layer in range(3):
            weight = params[f"w{layer}"][:, i] if layer == 0 else params[f"w{layer}"][i]
            x = (torch.tanh(x) if layer else x) @ weight + params[f"b{layer}"][i]
        torch.testing.assert_close(got[i], x.squeeze(1))
    assert not torch.equal(got[0], got[-1]) or count == 1
