"""The adapter of a policy that infers its task (PEARL): it acts by a latent drawn from the posterior, one an episode.

    state = adapter.start(num_tasks=40)                   # the prior
    rollout = collect(env, adapter, state, 20, seed)      # an episode by a latent drawn from it, in each of 20 trials
    state = adapter.adapt(state, rollout)                 # the posterior; the next episode draws its latent from that

What is known of a task comes from the adapter's own steps in it and from nowhere else: it has no replay store to look
into. As a Gaussian it is two sums, of precisions and of means times precision, which grow with each step. Without noise
the latent is the posterior's mean.
"""

from typing import NamedTuple

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from .adapter import Adapter, Decision
from .context_policy import ContextPolicy
from .nn.params import Params
from .normalizer import Normalizer
from .policy import sample
from .rollout import Rollout


class ContextState(NamedTuple):
    """What is known in K trials in each of M tasks: K is 1 until the first step.

    Attributes:
        precision, weighted: (M, K, L), sums over the trial's transitions, without the prior.
        latent: (M, K, L), of this episode.
        seen: (M, K, O), the last observation, normalized.
        actions: (M, K, A) of the step before, from -1 to 1.
        rewards: (M, K) of the step before, as the environment gave them.
        starts: (M, K) bool, the next observation is the first of an episode.
        over: (M, K) bool, the episode has ended.
    """

    precision: torch.Tensor
    weighted: torch.Tensor
    latent: torch.Tensor
    seen: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    starts: torch.Tensor
    over: torch.Tensor


class ContextAdapter(Adapter):
    """See the module.

    Args:
        policy, params: what was trained.
        normalizer: of the observations.
        reward_normalizer: of the rewards that the encoder is given, of dimension 1.
    """

    shares_experience, kind = False, "posterior"

    def __init__(self, policy: ContextPolicy, params: Params, normalizer: Normalizer, reward_normalizer: Normalizer):
        self.policy, self.params = policy, params
        self.normalizer, self.reward_normalizer = normalizer, reward_normalizer

    def start(self, num_tasks: int) -> ContextState:
        policy, shape = self.policy, (num_tasks, 1)
        return ContextState(
            *(torch.zeros(*shape, policy.latent) for _ in range(3)),
            seen=torch.zeros(*shape, policy.observation_dim),
            actions=torch.zeros(*shape, policy.action_dim),
            rewards=torch.zeros(shape, dtype=torch.float64),
            starts=torch.ones(shape, dtype=torch.bool),
            over=torch.zeros(shape, dtype=torch.bool),
        )

    @torch.no_grad()
    def act(self, state: ContextState, observations: np.ndarray, rng: np.random.Generator | None) -> Decision:
        state, seen = _trials(state, observations.shape[1]), torch.from_numpy(self.normalize(observations))
        state = self._learn(state, seen)
        if state.starts.any():
            total = 1.0 + state.precision
            drawn = sample(state.weighted / total, total.rsqrt(), rng)
            state = state._replace(latent=torch.where(state.starts.unsqueeze(-1), drawn, state.latent))
        squashed = torch.tanh(sample(*self.policy.act(self.params, state.latent, seen), rng))
        over = state.over.unsqueeze(-1)
        state = state._replace(
            seen=torch.where(over, state.seen, seen),
            actions=torch.where(over, state.actions, squashed),
            starts=state.starts & state.over,
        )
        return Decision((self.policy.bound * squashed).numpy(), seen.numpy(), state)

    def _learn(self, state: ContextState, seen: torch.Tensor) -> ContextState:
        """The factor of the last transition, where there was one in this episode, goes into the sums."""
        inside = ~(state.starts | state.over)
        if not inside.any():
            return state
        rewards = self.reward_normalizer(state.rewards.unsqueeze(-1).numpy())
        transitions = torch.cat([state.seen, state.actions, torch.from_numpy(rewards), seen], dim=-1)
        mean, variance = self.policy.encode(self.params, transitions)
        factor = inside.unsqueeze(-1) / variance
        return state._replace(precision=state.precision + factor, weighted=state.weighted + factor * mean)

    def normalize(self, observations: np.ndarray) -> np.ndarray:
        return self.normalizer(observations)

    def observe(self, state: ContextState, rewards: np.ndarray, ended: np.ndarray) -> ContextState:
        latest = torch.where(state.over, state.rewards, torch.from_numpy(rewards))
        return state._replace(rewards=latest, over=state.over | torch.from_numpy(ended))

    @torch.no_grad()
    def adapt(self, state: ContextState, rollout: Rollout) -> ContextState:
        """The next episode of each trial, after the last transition of this one, whose end the rollout knows."""
        ended = rollout.state._replace(over=torch.zeros_like(rollout.state.over))
        return self.next_episode(self._learn(ended, torch.from_numpy(rollout.last_observations)))

    def next_episode(self, state: ContextState) -> ContextState:
        return state._replace(starts=torch.ones_like(state.starts), over=torch.zeros_like(state.over))

    def onnx(self, graph: Graph, state: ContextState, noise: bool) -> str:
        """One step of a trial, with inputs "reward" (N, 1) of the step before and "start" (N, 1), one in the first step
        of an episode, in which the latent becomes the posterior's mean. An episode's last transition is not seen."""
        if noise:
            raise NotImplementedError("its latent is drawn as well as its actions; export the mean, without --noise")
        policy, params, size = self.policy, self.params, self.policy.latent
        seen = self.normalizer.onnx(graph, graph.input("observation", policy.observation_dim, np.float64))
        reward = self.reward_normalizer.onnx(graph, graph.input("reward", 1, np.float64))
        start, one = graph.input("start", 1), graph.constant(np.float32(1.0))
        inside = graph.op("Sub", one, start)
        last, before = graph.state("seen", policy.observation_dim), graph.state("action", policy.action_dim)
        mean, variance = policy.onnx_encode(graph, params, graph.op("Concat", last, before, reward, seen, axis=-1))
        factor = graph.op("Div", inside, variance)
        precision = graph.op("Add", graph.state("precision", size), factor)
        weighted = graph.op("Add", graph.state("weighted", size), graph.op("Mul", factor, mean))
        known = graph.op("Div", weighted, graph.op("Add", precision, one))
        kept = graph.op("Mul", inside, graph.state("latent", size))
        latent = graph.op("Add", graph.op("Mul", start, known), kept)
        action = policy.onnx_act(graph, params, latent, seen)
        squashed = graph.op("Div", action, graph.constant(np.float32(policy.bound)))
        for name, value, width in (
            ("seen", seen, policy.observation_dim), ("action", squashed, policy.action_dim),
            ("precision", precision, size), ("weighted", weighted, size), ("latent", latent, size),
        ):  # fmt: skip
            graph.next_state(name, value, width)
        return action


def _trials(state: ContextState, num_trials: int) -> ContextState:
    """A state with K trials in each task: of none so far, K alike."""
    have = state.over.shape[1]
    if have == num_trials:
        return state
    if have > 1:
        raise ValueError(f"got {num_trials} episodes in each task, expected {have}: each goes on with its own trial")
    return ContextState(*(x.repeat_interleave(num_trials, dim=1) for x in state))
