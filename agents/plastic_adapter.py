"""The adapter of a plastic network: it adapts because its weights change at every step, and its state is the weights.

    adapter = PlasticAdapter(network, rules, action_scale, normalizer, reward_normalizer, seed)
    state = adapter.start(num_tasks=40)                   # trials in which nothing has been learned
    rollout = collect(env, adapter, state, 20, seed)      # the first episode of 20 trials in each task
    state = adapter.adapt(state, rollout)                 # the weights as the episode left them

The inputs are the observation and a one, and, with ``feedback``, the action and the reward of the step before.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from .adapter import Adapter, Decision
from .nn.params import Params
from .normalizer import Normalizer
from .plasticity import PlasticNetwork, Weights
from .rollout import Rollout


class PlasticState(NamedTuple):
    """What a PlasticAdapter knows in K trials in each of M tasks; before their first step its state is None.

    Attributes:
        weights: of each layer, (M, K, from, to).
        actions: (M, K, A) of the step before, from -1 to 1; zero at first.
        rewards: (M, K) of the step before, as the environment gave them; zero at first.
        over: (M, K) bool, the episode has ended, and nothing is learned until the next one.
    """

    weights: Weights
    actions: torch.Tensor
    rewards: np.ndarray
    over: np.ndarray


class PlasticAdapter(Adapter):
    """See the module.

    Args:
        network, rules: what was evolved; rules (K, 5, from, to) are of K genomes, one for each trial in a task.
        action_scale: (A,) what an output of one does, in the environment's action units.
        normalizer: of the observations.
        reward_normalizer: of the rewards that the network is given, of dimension 1; None: it is given none.
        seed: of the weights that trials start from; None: zeros.

    Attributes:
        generator: what draws them, of the seed.
    """

    shares_experience, kind = False, "plasticity"

    def __init__(
        self,
        network: PlasticNetwork,
        rules: Params,
        action_scale: np.ndarray,
        normalizer: Normalizer,
        reward_normalizer: Normalizer | None,
        seed: np.random.SeedSequence | None,
    ):
        self.network, self.rules = network, rules
        self.action_scale = np.asarray(action_scale, np.float32)
        self.normalizer, self.reward_normalizer, self.seed = normalizer, reward_normalizer, seed
        self.generator: Callable[[np.random.SeedSequence], np.random.Generator] = np.random.default_rng

    def start(self, num_tasks: int) -> None:
        return None

    def _born(self, shape: tuple[int, int]) -> PlasticState:
        """(M, K) trials at their start."""
        weights = self.network.weights(None if self.seed is None else self.generator(self.seed), shape)
        actions = torch.zeros(*shape, len(self.action_scale))
        return PlasticState(weights, actions, np.zeros(shape), np.zeros(shape, bool))

    @torch.no_grad()
    def act(self, state: PlasticState | None, observations: np.ndarray, rng: np.random.Generator | None) -> Decision:
        """Without noise: a plastic network is deterministic."""
        shape = observations.shape[:2]
        if state is None:
            state = self._born(shape)
        if state.over.shape != shape:
            have = state.over.shape[1]
            raise ValueError(f"got {shape[1]} episodes in each task, expected {have}: each goes on with its own trial")
        seen = self.normalize(observations)
        weights, outputs = self.network.step(self.rules, state.weights, self._inputs(state, seen))
        if state.over.any():
            over = torch.from_numpy(state.over)[..., None]
            weights = tuple(torch.where(over[..., None], w, new) for w, new in zip(state.weights, weights))
            outputs = torch.where(over, state.actions, outputs)
        return Decision(outputs.numpy() * self.action_scale, seen, state._replace(weights=weights, actions=outputs))

    def _inputs(self, state: PlasticState, seen: np.ndarray) -> torch.Tensor:
        parts = [torch.from_numpy(seen), torch.ones(*seen.shape[:2], 1)]
        if self.reward_normalizer is not None:
            rewards = torch.from_numpy(self.reward_normalizer(state.rewards[..., None]))
            parts += [state.actions, rewards]
        return torch.cat(parts, dim=-1)

    def normalize(self, observations: np.ndarray) -> np.ndarray:
        return self.normalizer(observations)

    def observe(self, state: PlasticState, rewards: np.ndarray, ended: np.ndarray) -> PlasticState:
        return state._replace(rewards=np.where(state.over, state.rewards, rewards), over=state.over | ended)

    def adapt(self, state: PlasticState | None, rollout: Rollout) -> PlasticState | None:
        """The next episode of each trial: the weights are what the rollout made of them."""
        return self.next_episode(rollout.state)

    def next_episode(self, state: PlasticState | None) -> PlasticState | None:
        return None if state is None else state._replace(over=np.zeros_like(state.over))

    def onnx(self, graph: Graph, state: PlasticState | None, noise: bool) -> str:
        """One step of a trial, with an input "reward" (N, 1) of the step before if the network is given it."""
        if noise:
            raise NotImplementedError("it is deterministic; export it without noise")
        born = self._born((1, 1))
        observation = graph.input("observation", len(self.normalizer.mean), np.float64)
        seen = self.normalizer.onnx(graph, observation)
        one = graph.op("Add", graph.op("Mul", graph.columns(seen, 0, 1), graph.constant(np.float32(0.0))),
                       graph.constant(np.float32(1.0)))  # fmt: skip
        parts = [seen, one]
        if self.reward_normalizer is not None:
            before = graph.state("action", len(self.action_scale))
            parts += [before, self.reward_normalizer.onnx(graph, graph.input("reward", 1, np.float64))]
        x = graph.op("Concat", *parts, axis=-1)
        action = self.network.onnx(graph, self.rules, tuple(w[0, 0] for w in born.weights), x)
        if self.reward_normalizer is not None:
            graph.next_state("action", action, len(self.action_scale))
        return graph.op("Mul", action, graph.constant(self.action_scale))
