"""Whole iterations where weights and experience are on another device than the processor's, without a number.

The environment gives fake tensors (`second_device` of tests/conftest.py): mixing devices is an error anywhere from
collecting to the optimizer's step. What a learner asks about numbers between steps has made-up answers.
"""

import dataclasses

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor

from metarl import load_config, make_learner
from metarl.agents import normalizer
from metarl.algorithms import sampling
from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_env
from metarl.util import ranks
from metarl.util.plugins import MEMORIES

M, K, T = 3, 2, 2
RL2 = ("navigation_sparse/rl2", "algorithm.memory_size=8", "algorithm.epochs=1", "algorithm.minibatches=1",
       "algorithm.trial_episodes=2", "algorithm.window=2")  # fmt: skip
ONCE = ("inner.steps=1", "algorithm.epochs=1")


class Elsewhere:
    """An environment whose tensors are on the second device: shapes are those of `env`."""

    def __init__(self, env, make):
        self._env, self._make = env, make

    def __getattr__(self, name):
        return getattr(self._env, name)

    def reset(self, **_):
        return self._make(M * K, self._env.single_observation_space.shape[0]), {}

    def step(self, actions):
        assert actions.device.type == "meta" and actions.shape == (M * K, self._env.single_action_space.shape[0])
        masks = [self._make(M * K, dtype=torch.bool) for _ in range(4)]
        info = {"diverged": masks[2], "success": masks[3]}
        return self.reset()[0], self._make(M * K), masks[0], masks[1], info


@pytest.fixture
def answers(monkeypatch):
    """What is asked between the steps: yes, one, and all of them."""
    kept, adam = torch.Tensor.__getitem__, torch.optim.Adam

    def chosen(self, at):
        if isinstance(at, torch.Tensor) and at.dtype is torch.bool:
            assert at.device == self.device
            return self.reshape(-1, *self.shape[at.ndim :])
        return kept(self, at)

    def ones(x):
        return np.ones(tuple(x.shape), {torch.bool: bool, torch.int64: int}.get(x.dtype, float))

    answered = {"__bool__": lambda self: True, "__int__": lambda self: T, "__float__": lambda self: 1.0}
    answered |= {"tolist": lambda self: ones(self).tolist(), "__getitem__": chosen}
    answered |= {"nonzero": lambda self: torch.zeros(1, 1, dtype=torch.int64)}
    for name, answer in answered.items():
        monkeypatch.setattr(FakeTensor, name, answer, raising=False)
    for module in (sampling, ranks, normalizer):
        monkeypatch.setattr(module, "as_numpy", lambda x: x if isinstance(x, np.ndarray) else ones(x))
    monkeypatch.setattr(torch.optim, "Adam", lambda params, lr, **_: adam(params, lr))


@pytest.mark.slow
@pytest.mark.parametrize("config", [
    ("navigation/promp", *ONCE), ("navigation/promp", *ONCE, "inner.learn_lr=false", "bootstrap_at_horizon=true"),
    ("navigation/maml", "inner.steps=1", "algorithm.cg_iterations=2", "algorithm.backtracks=2"),
    *((*RL2, f"algorithm.memory={memory}") for memory in MEMORIES.names()),
    (*RL2, "algorithm.predict=task", "bootstrap_at_horizon=true", "algorithm.hypernetwork=2"),
    (*RL2, "algorithm.predict=next_observation", "algorithm.burn_in=2"),
    (*RL2, "algorithm.memory=alpaca", "algorithm.predict=fit"),
], ids=lambda words: "-".join(words[:1] + words[6:]))  # fmt: skip
def test_no_operation_mixes_devices(config, second_device, answers):
    with torch.utils._python_dispatch._disable_current_modes():
        name, *settings = config
        config = load_config(name, [f"meta_batch={M}", f"episodes={K}", f"env.horizon={T}", *settings])
        env = make_env(config, M * K)
    learner = make_learner(config, dataclasses.replace(Spec.of(env), device="meta"))
    weights = learner.params if hasattr(learner, "params") else learner.meta
    before = [value._version for value in weights.values()]
    metrics = learner.iterate(Elsewhere(env, second_device), 0)
    assert metrics["env_steps"] == config.rounds * T  # as often as it asked
    assert {value.device.type for value in weights.values()} == {"meta"}
    if name != "navigation/maml":  # whose line search heard that no step is better
        assert all(value._version > old for value, old in zip(weights.values(), before, strict=True))
    assert {value.device.type for value in learner.state_dict().values()} == {"cpu"}


def test_a_device_is_no_part_of_what_a_run_keeps():
    spec = Spec.of(make_env(load_config("navigation/promp"), 1))
    assert spec.device == "cpu"
    assert Spec.from_json(dataclasses.replace(spec, device="cuda:1").to_json()) == spec
