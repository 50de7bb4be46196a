"""The batched policy against a PyTorch module a task, and the inner loop's promises."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from metarl.agents import GaussianMLP, GradientAdapter, InnerLoop, Normalizer, PolicyGradientInner, Rollout, Samples
from metarl.agents.inner_loop import per_task
from metarl.agents.policy import GaussianStatistics


def as_module(policy: GaussianMLP, params) -> nn.Sequential:
    layers = []
    for i in range(len(policy.hidden) + 1):
        weight = params[f"w{i}"]
        linear = nn.Linear(*weight.shape)
        linear.weight.data, linear.bias.data = weight.T.clone(), params[f"b{i}"].clone()
        layers += [linear, {"tanh": nn.Tanh, "relu": nn.ReLU}[policy.activation]()]
    return nn.Sequential(*layers[:-1])


def random_samples(policy, num_tasks, num_rows, generator):
    def normal(*shape):
        return torch.randn(shape, generator=generator)

    weights = torch.rand((num_tasks, num_rows), generator=generator)
    return Samples(
        normal(num_tasks, num_rows, policy.observation_dim),
        normal(num_tasks, num_rows, policy.action_dim),
        normal(num_tasks, num_rows) - 3,
        normal(num_tasks, num_rows),
        weights / weights.sum(1, keepdim=True),
    )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_task_m_acts_with_its_own_weights(activation):
    policy = GaussianMLP(5, 2, (8, 7), activation)
    sets = [policy.init(np.random.default_rng(seed)) for seed in range(3)]
    stacked = {name: torch.stack([s[name] for s in sets]) for name in sets[0]}
    stacked["log_std"] = torch.tensor([[0.0, -1.0], [0.5, 0.2], [-2.0, 1.0]])
    observations = torch.randn((3, 6, 5), generator=torch.Generator().manual_seed(0))
    pi = policy.distribution(policy(stacked, observations))
    actions = torch.ones((3, 6, 2))
    for m in range(3):
        mean = as_module(policy, sets[m])(observations[m])
        torch.testing.assert_close(pi.loc[m], mean)
        want = torch.distributions.Normal(mean, stacked["log_std"][m].exp()).log_prob(actions[m]).sum(-1)
        torch.testing.assert_close(pi.log_prob(actions)[m], want)  # summed over action dimensions, not averaged


def test_the_standard_deviation_has_a_floor():
    policy = GaussianMLP(2, 1, (4,), min_std=0.1)
    params = policy.init(np.random.default_rng(0)) | {"log_std": torch.tensor([-50.0])}
    assert policy(params, torch.zeros(1, 1, 2)).std.item() == pytest.approx(0.1)


@pytest.mark.parametrize("head_only", [False, True])
def test_adapting_is_one_gradient_step_in_each_task(head_only):
    policy = GaussianMLP(3, 2, (4,))
    params = policy.init(np.random.default_rng(0))
    before = {name: value.clone() for name, value in params.items()}
    samples = random_samples(policy, 3, 10, torch.Generator().manual_seed(1))
    loop = InnerLoop(policy, head_only=head_only)
    adapted, _ = loop.adapt(per_task(params, 3), dict.fromkeys(params, 0.3), samples)
    for m in range(3):
        part = samples.tasks(slice(m, m + 1))
        leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
        loss = loop.loss(policy({n: v.unsqueeze(0) for n, v in leaves.items()}, part.observations), part).sum()
        loss.backward()
        for name, leaf in leaves.items():
            moved = not head_only or name in policy.head
            want = leaf.detach() - 0.3 * leaf.grad if moved else leaf.detach()
            torch.testing.assert_close(adapted[name][m], want)
    assert all((params[name] == before[name]).all() for name in params)  # the base is a value, not a variable


class Prepared(PolicyGradientInner):
    """Gives the same samples whatever the rollout."""

    def __init__(self, inner_loop, samples):
        super().__init__(inner_loop, 0.5, 1, 0.99, 1.0)
        object.__setattr__(self, "samples", samples)

    def prepare(self, rollout, params):
        return self.samples, None


def test_an_adapter_keeps_its_state_apart():
    policy = GaussianMLP(3, 2, (4,))
    params = policy.init(np.random.default_rng(0))
    samples = random_samples(policy, 2, 10, torch.Generator().manual_seed(1))
    inner = Prepared(InnerLoop(policy), samples)
    adapter = GradientAdapter(inner, params, [dict.fromkeys(params, 0.5)], Normalizer.identity(3))
    start = adapter.start(2)
    observations = np.ones((2, 4, 3))
    first = adapter.act(start, observations, None).actions
    adapted = adapter.adapt(start, rollout=None)
    assert (adapter.act(start, observations, None).actions == first).all()
    assert not np.allclose(adapter.act(adapted, observations, None).actions, first)
    assert (adapter.normalize(observations) == adapter.act(start, observations, None).observations).all()
    drawn = adapter.act(adapter.start(2), np.ones((2, 20_000, 3)), np.random.default_rng(0)).actions
    np.testing.assert_allclose(drawn.mean(1), first[:, 0], atol=0.03)
    np.testing.assert_allclose(drawn.std(1), 1.0, atol=0.03)


def test_each_step_has_its_own_step_sizes_and_further_ones_take_the_last():
    policy = GaussianMLP(3, 2, (4,))
    params = policy.init(np.random.default_rng(0))
    samples = random_samples(policy, 2, 10, torch.Generator().manual_seed(1))
    loop, sizes = InnerLoop(policy), [dict.fromkeys(params, 0.5), dict.fromkeys(params, 0.02)]
    adapter = GradientAdapter(Prepared(loop, samples), params, sizes, Normalizer.identity(3))
    state, want = adapter.start(2), per_task(params, 2)
    for k in (0, 1, 1):
        state, want = adapter.adapt(state, rollout=None), loop.adapt(want, sizes[k], samples)[0]
        assert all(torch.equal(state.params[name], want[name]) for name in params)


def test_the_distribution_is_torchs_independent_normal():
    generator = torch.Generator().manual_seed(2)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    p, q = ((draw(3, 5, 2), draw(3, 1, 2).exp()) for _ in range(2))
    want = [Independent(Normal(mean, std.expand_as(mean)), 1) for mean, std in (p, q)]
    got = [GaussianMLP.distribution(GaussianStatistics(*statistics)) for statistics in (p, q)]
    assert (got[0].batch_shape, got[0].event_shape) == (want[0].batch_shape, want[0].event_shape)
    value = draw(3, 5, 2)
    torch.testing.assert_close(got[0].log_prob(value), want[0].log_prob(value))
    torch.testing.assert_close(kl_divergence(*got), kl_divergence(*want))


@pytest.mark.parametrize("steps", [0, 1])
def test_likelihood_ratios_are_one_to_the_last_bit_before_an_inner_step(steps):
    """Samples carry the log-probabilities of the weights that acted, adapted ones too."""
    policy = GaussianMLP(3, 2, (4,))
    inner = PolicyGradientInner(InnerLoop(policy), 0.3, 1, 0.9, 1.0)
    adapter = inner.adapter(inner.init(np.random.default_rng(0)), Normalizer.identity(3))
    rng, state = np.random.default_rng(1), adapter.start(2)
    shape = (2, 7, 5)
    for _ in range(steps + 1):
        observations = rng.normal(size=(*shape, 3))
        taken = adapter.act(state, observations.reshape(2, -1, 3), rng)
        rollout = Rollout(
            observations.astype(np.float32), np.zeros((3, 3)), taken.actions.reshape(*shape, 2), rng.normal(size=shape),
            np.zeros(shape, bool), np.zeros(shape, bool), np.ones(shape, bool), np.zeros((2, 5), bool),
            np.zeros((2, 5, 3), np.float32),
        )  # fmt: skip
        samples, statistics = inner.prepare(rollout, state.params)
        before, state = state, adapter.adapt(state, rollout)
    pi = policy.distribution(policy(before.params, samples.observations))
    assert torch.equal(pi.log_prob(samples.actions), samples.log_probs)
    assert torch.equal(policy.distribution(statistics).log_prob(samples.actions), samples.log_probs)
    want = Independent(Normal(pi.loc, pi.scale.expand_as(pi.loc)), 1).log_prob(samples.actions)
    torch.testing.assert_close(samples.log_probs, want)
    # so the step is along the policy gradient sum_n w_n grad log pi(a_n) A_n, taken here of the log-probabilities
    leaves = {name: value.clone().requires_grad_() for name, value in before.params.items()}
    log_probs = policy.distribution(policy(leaves, samples.observations)).log_prob(samples.actions)
    (samples.weights * samples.advantages * log_probs).sum().backward()
    for name, leaf in leaves.items():
        torch.testing.assert_close(state.params[name], leaf.detach() + 0.3 * leaf.grad)
