"""The adapter of a policy with a memory: it adapts by remembering, within an episode and from one to the next.

    state = adapter.start(num_tasks=40)                   # a new trial: nothing remembered
    rollout = collect(env, adapter, state, 20, seed)      # its first episode, in 20 lives for each task
    state = adapter.adapt(state, rollout)                 # the memory as the episode left it, at the start of the next

The memory is kept from one episode of a trial to the next, and cleared between trials.
"""

from typing import NamedTuple

import numpy as np
import torch

from .adapter import Adapter, Decision
from .memory.base import State, choose
from .normalizer import Normalizer
from .policy import Params
from .recurrent_policy import RecurrentPolicy


class Life(NamedTuple):
    """What a recurrent adapter knows in K lives in each of M tasks: K is 1 until the first step.

    Attributes:
        memory: each (M, K, ...).
        actions: (M, K, A) of the step before; zero at first.
        rewards: (M, K) of the step before, as the environment gave them; zero at first.
        starts: (M, K), one where the next observation is the first of an episode.
        over: (M, K) bool, the episode has ended, and nothing enters the memory until the next one.
    """

    memory: State
    actions: torch.Tensor
    rewards: torch.Tensor
    starts: torch.Tensor
    over: torch.Tensor


class RecurrentAdapter(Adapter):
    """Adapts by remembering: each of the K episodes in a task belongs to a life, a trial, of its own.

    Args:
        policy, params: what was trained; the weights are float32.
        normalizer: of the observations.
        reward_normalizer: of the rewards that the policy is given, of dimension 1.
    """

    pooled = False

    def __init__(self, policy: RecurrentPolicy, params: Params, normalizer: Normalizer, reward_normalizer: Normalizer):
        self.policy, self.params = policy, params
        self.normalizer, self.reward_normalizer = normalizer, reward_normalizer

    def start(self, num_tasks: int) -> Life:
        shape, dtype = (num_tasks, 1), self.params["log_std"].dtype
        return Life(
            memory=tuple(x.unsqueeze(1) for x in self.policy.memory.start(num_tasks, dtype)),
            actions=torch.zeros(*shape, self.policy.action_dim, dtype=dtype),
            rewards=torch.zeros(shape, dtype=torch.float64),
            starts=torch.ones(shape, dtype=dtype),
            over=torch.zeros(shape, dtype=torch.bool),
        )

    @torch.no_grad()
    def act(self, state, observations, rng):
        state, seen = _lives(state, observations.shape[1]), self.normalizer(observations)
        shape = observations.shape[:2]
        x, before = self._input(state, seen)
        memory, y = self.policy.remember(self.params, before, x)
        if state.over.any():
            memory = choose(state.over.flatten(), before, memory)
        mean, std = self.policy.act(self.params, y, x)
        if rng is None:
            actions = mean
        else:
            actions = mean + std * torch.from_numpy(rng.standard_normal(tuple(mean.shape), np.float32))
        log_probs = self.policy.distribution(mean, std).log_prob(actions)
        actions = actions.reshape(*shape, -1)
        state = state._replace(
            memory=tuple(x.reshape(*shape, *x.shape[1:]) for x in memory),
            actions=torch.where(state.over.unsqueeze(-1), state.actions, actions),
            starts=torch.where(state.over, state.starts, 0.0),
        )
        return Decision(actions.numpy(), log_probs.reshape(shape).numpy(), seen, state)

    def observe(self, state, rewards, ended):
        rewards = torch.where(state.over, state.rewards, torch.from_numpy(rewards))
        return state._replace(rewards=rewards, over=state.over | torch.from_numpy(ended))

    def adapt(self, state, rollout):
        """The next episode of each life: the memory goes on from where the rollout left it."""
        return self.next_episode(rollout.state)

    def next_episode(self, state):
        return state._replace(starts=torch.ones_like(state.starts), over=torch.zeros_like(state.over))

    @torch.no_grad()
    def values(self, state: Life, seen: np.ndarray) -> np.ndarray:
        """(M, K) values, in units of their own, of the (M, K, O) normalized observations that come next."""
        x, before = self._input(_lives(state, seen.shape[1]), seen)
        _, y = self.policy.remember(self.params, before, x)
        return self.policy(self.params, y, x).value.reshape(seen.shape[:2]).numpy()

    def _input(self, state: Life, seen: np.ndarray) -> tuple[torch.Tensor, State]:
        """(M * K, X) input of the next step, and the memory before it."""
        rewards = torch.from_numpy(self.reward_normalizer(state.rewards.unsqueeze(-1).numpy()).squeeze(-1))
        x = self.policy.inputs(torch.from_numpy(seen), state.actions, rewards, state.starts)
        return x.flatten(0, 1), tuple(part.flatten(0, 1) for part in state.memory)


def _lives(state: Life, num_lives: int) -> Life:
    """A state with K lives in each task: of none so far, K alike."""
    have = state.over.shape[1]
    if have == num_lives:
        return state
    if have > 1:
        raise ValueError(f"got {num_lives} episodes in each task, expected {have}: each goes on with a life of its own")

    def alike(x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(num_lives, dim=1)

    return Life(tuple(alike(x) for x in state.memory), *(alike(x) for x in state[1:]))
