"""What acts and learns on a device may not mix its tensors with the processor's, nor read them to decide anything.

There is no GPU here: `second_device` makes tensors without numbers, and what would be wrong there is an error.
"""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from metarl.agents import (
    GaussianMLP,
    GradientAdapter,
    InnerLoop,
    Normalizer,
    PolicyGradientInner,
    RecurrentAdapter,
    RecurrentPolicy,
    Samples,
)
from metarl.agents.nn.arrays import given_as, some, tensor
from metarl.agents.returns import discounted_returns, generalized_advantages, normalize_advantages
from metarl.util.plugins import MEMORIES

M, K, T, SEEN, A = 2, 3, 4, 5, 2


def moved(params, make):
    return {name: make(*value.shape).requires_grad_(True) for name, value in params.items()}


def there(*tensors):
    return all(x.device.type == "meta" for x in tensors)


def test_two_devices_and_questions_are_errors(second_device):
    x = second_device(3, 4)
    for mix in (lambda: x + torch.ones(3, 4), lambda: x @ torch.ones(4, 2), lambda: torch.cat([x, torch.ones(1, 4)])):
        with pytest.raises(RuntimeError, match="at least two devices"):
            mix()
    with pytest.raises(DataDependentOutputException):
        bool(x.any())
    assert some(x > 0) and there(tensor(np.zeros(3), x)) and given_as(x, x) is x


@pytest.mark.parametrize("cell", MEMORIES.names())
@pytest.mark.parametrize("hypernetwork", [0, 2])
def test_a_policy_with_a_memory(second_device, cell, hypernetwork):
    policy = RecurrentPolicy(SEEN, A, cell, 8, hidden=(4,), hypernetwork=hypernetwork, predictions=1)
    params = moved(policy.init(np.random.default_rng(0)), second_device)
    normalizer = Normalizer.identity(SEEN).update(np.ones((3, SEEN)))
    adapter = RecurrentAdapter(policy, params, normalizer, Normalizer.identity(1))
    state = adapter.start(M)
    for _ in range(2):
        decision = adapter.act(state, second_device(M, K, SEEN), np.random.default_rng(0))
        ended = second_device(M, K, dtype=torch.bool)
        state = adapter.observe(decision.state, second_device(M, K, dtype=torch.float64), ended)
    assert there(decision.actions, decision.observations, *state.memory, *state[1:])
    assert there(adapter.values(adapter.next_episode(state), second_device(M, K, SEEN)))

    # and as it learns
    xs = second_device(T, M * K, policy.input_dim)
    memory = policy.memory.start_beside(xs, M * K)
    recall = policy.recall_errors if policy.memory.fits else policy.recall
    _, ys, *errors = recall(params, memory, xs)
    mean, std, value = policy(params, ys, xs)
    log_probs = policy.distribution(mean, std).log_prob(second_device(T, M * K, A))
    loss = log_probs.sum() + value.sum() + policy.predict(params, ys, xs).sum() + sum(each.sum() for each in errors)
    gradients = torch.autograd.grad(loss, list(params.values()), allow_unused=True)
    assert there(*(gradient for gradient in gradients if gradient is not None))


class Cuts:
    """Trials begin at steps 0 and 2, as the processor knows."""

    def any(self, *axis):
        return self if axis else True

    def nonzero(self):
        return self

    def flatten(self):
        return self

    def tolist(self):
        return [0, 2]

    def __getitem__(self, t):
        return torch.ones(K) > 0


def test_a_memory_that_is_cleared_on_the_way(second_device):
    policy = RecurrentPolicy(SEEN, A, "gru", 8)
    params = moved(policy.init(np.random.default_rng(0)), second_device)
    xs = second_device(T, K, policy.input_dim)
    _, ys = policy.recall(params, policy.memory.start_beside(xs, K), xs, Cuts())
    assert there(ys) and ys.shape == (T, K, 8)


def test_adaptation_by_gradient_steps(second_device):
    policy = GaussianMLP(SEEN, A, (4,))
    inner = PolicyGradientInner(InnerLoop(policy), 0.1, 2, 0.99, 0.95, learn_lr=True)
    meta = moved(inner.init(np.random.default_rng(0)), second_device)
    adapter = inner.adapter(meta, Normalizer.identity(SEEN).update(np.ones((3, SEEN))))
    state, rows = adapter.start(M), (M, T * K)
    decision = adapter.act(state, second_device(M, K, SEEN), np.random.default_rng(0))
    assert isinstance(adapter, GradientAdapter) and there(decision.actions, decision.observations)
    samples = Samples(*(second_device(*rows, *more) for more in ((SEEN,), (A,), (), (), ())))

    def loss(meta):
        params, sizes = inner.split(meta)
        params = {name: value.expand(M, *value.shape) for name, value in params.items()}
        for size in sizes:
            params, _ = inner.inner_loop.adapt(params, size, samples)
        return policy.distribution(policy(params, samples.observations)).log_prob(samples.actions).sum()

    assert there(*torch.func.grad(loss)(meta).values(), *adapter.step(state, samples).params.values())


def test_returns_and_advantages(second_device):
    rewards, mask = second_device(M, T, K, dtype=torch.float64), second_device(M, T, K, dtype=torch.bool)
    last = second_device(M, K, dtype=torch.float64)
    advantages = generalized_advantages(rewards, rewards, last, mask, mask, 0.99, 0.95)
    found = discounted_returns(rewards, mask, 0.99), advantages, normalize_advantages(advantages, mask)
    assert there(*found) and all(x.dtype == torch.float64 and x.shape == (M, T, K) for x in found)
