"""The adapter of a policy with a memory: it adapts by remembering, within an episode and from one to the next.

    state = adapter.start(num_tasks=40)                   # a new trial: nothing remembered
    rollout = collect(env, adapter, state, 20, seed)      # its first episode, in 20 trials for each task
    state = adapter.adapt(state, rollout)                 # the memory as the episode left it, at the start of the next

The memory is kept from one episode of a trial to the next, and cleared between trials.
"""

from typing import NamedTuple

import numpy as np
import torch

from metarl.util.arrays import Array
from metarl.util.onnx_graph import Graph

from .adapter import Adapter, Decision
from .memory.base import State, choose
from .nn.arrays import given_as, some, tensor
from .nn.params import Params
from .normalizer import Normalizer
from .recurrent_policy import RecurrentPolicy
from .rollout import Rollout


class TrialState(NamedTuple):
    """What a recurrent adapter knows in K trials in each of M tasks: K is 1 until the first step.

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
    """Adapts by remembering: each of the K episodes in a task belongs to a trial of its own.

    Args:
        policy, params: what was trained; the weights are float32.
        normalizer: of the observations.
        reward_normalizer: of the rewards that the policy is given, of dimension 1.
    """

    shares_experience, kind = False, "memory"

    def __init__(self, policy: RecurrentPolicy, params: Params, normalizer: Normalizer, reward_normalizer: Normalizer):
        self.policy, self.params = policy, params
        self.normalizer, self.reward_normalizer = normalizer, reward_normalizer

    def start(self, num_tasks: int) -> TrialState:
        zeros = next(iter(self.params.values())).new_zeros(num_tasks, 1)
        return TrialState(
            memory=tuple(x.unsqueeze(1) for x in self.policy.memory.start_beside(zeros, num_tasks)),
            actions=zeros.new_zeros(*zeros.shape, self.policy.action_dim),
            rewards=zeros.double(),
            starts=torch.ones_like(zeros),
            over=torch.zeros_like(zeros, dtype=torch.bool),
        )

    @torch.no_grad()
    def act(self, state: TrialState, observations: Array, rng: np.random.Generator | None) -> Decision:
        state, seen = _trials(state, observations.shape[1]), self.normalize(observations)
        shape = observations.shape[:2]
        x, before = self._input(state, seen)
        memory, y = self.policy.remember(self.params, before, x)
        if some(state.over):
            memory = choose(state.over.flatten(), before, memory)
        actions = self.policy.decide(self.params, y, x, rng).reshape(*shape, -1)
        state = state._replace(
            memory=tuple(x.reshape(*shape, *x.shape[1:]) for x in memory),
            actions=torch.where(state.over.unsqueeze(-1), state.actions, actions),
            starts=torch.where(state.over, state.starts, 0.0),
        )
        return Decision(given_as(actions, observations), seen, state)

    def normalize(self, observations: Array) -> Array:
        return self.normalizer(observations)

    def observe(self, state: TrialState, rewards: Array, ended: Array) -> TrialState:
        latest = torch.where(state.over, state.rewards, tensor(rewards, state.over))
        return state._replace(rewards=latest, over=state.over | tensor(ended, state.over))

    def adapt(self, state: TrialState, rollout: Rollout) -> TrialState:
        """The next episode of each trial: the memory goes on from where the rollout left it."""
        return self.next_episode(rollout.state)

    def next_episode(self, state: TrialState) -> TrialState:
        return state._replace(starts=torch.ones_like(state.starts), over=torch.zeros_like(state.over))

    def onnx(self, graph: Graph, state: TrialState, noise: bool) -> str:
        """One step of a trial, with inputs "reward" (N, 1) of the step before and "start" (N, 1), one in the first step
        of an episode; states are the action of the step before and those of the memory."""
        policy, params = self.policy, self.params
        seen = self.normalizer.onnx(graph, graph.input("observation", policy.observation_dim, np.float64))
        reward = self.reward_normalizer.onnx(graph, graph.input("reward", 1, np.float64))
        start, before = graph.input("start", 1), graph.state("action", policy.action_dim)
        if not policy.memory.sees_last_step:
            before, reward = (graph.op("ConstantOfShape", graph.op("Shape", x)) for x in (before, reward))
        action = policy.onnx_decide(graph, params, graph.op("Concat", seen, before, reward, start, axis=-1), noise)
        graph.next_state("action", action, policy.action_dim)
        return action

    @torch.no_grad()
    def values(self, state: TrialState, seen: Array) -> Array:
        """(M, K, V) values, in units of their own, of the (M, K, O) normalized observations that come next."""
        x, before = self._input(_trials(state, seen.shape[1]), seen)
        _, y = self.policy.remember(self.params, before, x)
        return given_as(self.policy(self.params, y, x).values.reshape(*seen.shape[:2], -1), seen)

    def _input(self, state: TrialState, seen: Array) -> tuple[torch.Tensor, State]:
        """(M * K, X) input of the next step, and the memory before it."""
        rewards = self.reward_normalizer(state.rewards.unsqueeze(-1)).squeeze(-1)
        x = self.policy.inputs(tensor(seen, state.over), state.actions, rewards, state.starts)
        return x.flatten(0, 1), tuple(part.flatten(0, 1) for part in state.memory)


def _trials(state: TrialState, num_trials: int) -> TrialState:
    """A state with K trials in each task: of none so far, K alike."""
    have = state.over.shape[1]
    if have == num_trials:
        return state
    if have > 1:
        raise ValueError(f"got {num_trials} episodes in each task, expected {have}: each goes on with its own trial")

    def alike(x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(num_trials, dim=1)

    return TrialState(tuple(alike(x) for x in state.memory), *(alike(x) for x in state[1:]))
