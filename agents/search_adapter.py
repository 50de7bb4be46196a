"""Adaptation by trying: each episode in a task is lived by weights of its own, drawn around the present ones.

    search = Search("hill_climbing", sigma=0.1)
    adapter = SearchAdapter(policy, params, normalizer, search)
    rollout = collect(env, adapter, adapter.start(40), 10, seed)      # 10 candidates in each of 40 tasks
    state = adapter.adapt(state, rollout)                              # what their returns say

No gradient of the policy is taken, so it may be deterministic, linear, anything with weights. Without a noise source
the present weights act, in all episodes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from .adapter import Adapter, Decision
from .evolution import antithetic, es_gradient, shaped
from .nn.params import Params, flatten, unflatten
from .normalizer import Normalizer
from .policy import GaussianMLP, onnx_sample, sample
from .rollout import Rollout


@dataclass(frozen=True)
class Search:
    """How returns become new weights.

    Attributes:
        operator: "gradient", a step along the estimated gradient of the smoothed return (ES-MAML, algorithm 2);
            "hill_climbing", the best of the candidates, of which the first is the present point (batch hill climbing).
        sigma: standard deviation of the candidates around the present weights.
        lr: length of a gradient step.
        shaping: of the returns in a task before a gradient step, as `evolution.shaped` has it.
    """

    operator: str = "gradient"
    sigma: float = 0.1
    lr: float = 0.05
    shaping: str = "std"

    def draw(self, rng: np.random.Generator, num_tasks: int, count: int, size: int) -> np.ndarray:
        """(M, K, P) standard normal perturbations: for a gradient in opposite pairs, for hill climbing zero first."""
        if self.operator == "gradient":
            return antithetic(rng, num_tasks, count, size)
        noise = rng.standard_normal((num_tasks, count, size), np.float32)
        noise[:, 0] = 0.0
        return noise

    def step(self, params: np.ndarray, noise: np.ndarray, returns: np.ndarray) -> np.ndarray:
        """(M, P) weights after the (M, K) returns of params + sigma * noise, (M, K, P)."""
        if self.operator == "gradient":
            return params + self.lr * es_gradient(noise, shaped(returns, self.shaping), self.sigma)
        lived = np.where(np.isfinite(returns), returns, -np.inf)
        best = lived.argmax(1)  # the first of equals: it stays where nothing is better
        return params + self.sigma * noise[np.arange(len(noise)), best]


class Candidates(NamedTuple):
    """What is tried in K episodes in each of M tasks: noise (M, K, P), and the weights (M * K, P) that it makes."""

    noise: np.ndarray
    params: torch.Tensor


class Searching(NamedTuple):
    """What a SearchAdapter knows in M tasks.

    Attributes:
        params: (M, P) the present weights.
        tried: in the present episodes; None before their first step.
    """

    params: torch.Tensor
    tried: Candidates | None = None


class SearchAdapter(Adapter):
    """See the module.

    Args:
        policy: of `GaussianMLP`.
        params: where every task starts, without a task axis. Without "log_std" the policy is deterministic.
        normalizer: of the observations.
        search: how it adapts.
        exploring: false: a noise source is for actions only, and the present weights live in all episodes.
    """

    kind, fewest_episodes = "search", 2

    def __init__(
        self, policy: GaussianMLP, params: Params, normalizer: Normalizer, search: Search, exploring: bool = True
    ):
        self.policy, self.params, self.normalizer = policy, params, normalizer
        self.search, self.exploring = search, exploring

    def start(self, num_tasks: int) -> Searching:
        return Searching(flatten(self.params).expand(num_tasks, -1))

    @torch.no_grad()
    def act(self, state: Searching, observations: np.ndarray, rng: np.random.Generator | None) -> Decision:
        seen, (tasks, count) = self.normalize(observations), observations.shape[:2]
        if rng is None or not self.exploring:
            return Decision(self._actions(state.params, seen, rng), seen, state)
        tried = state.tried or self._draw(state.params, count, rng)
        if tried.noise.shape[:2] != (tasks, count):
            have = tried.noise.shape[1]
            raise ValueError(f"got {count} episodes in each task, expected {have}: each has a candidate of its own")
        actions = self._actions(tried.params, seen.reshape(tasks * count, 1, -1), rng)
        return Decision(actions.reshape(tasks, count, -1), seen, state._replace(tried=tried))

    def _draw(self, params: torch.Tensor, count: int, rng: np.random.Generator) -> Candidates:
        noise = self.search.draw(rng, len(params), count, params.shape[1])
        candidates = torch.from_numpy(noise).mul(self.search.sigma).add_(params.unsqueeze(1))
        return Candidates(noise, candidates.flatten(0, 1))

    def _actions(self, params: torch.Tensor, seen: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """(N, K, A) actions of weights (N, P) at (N, K, O)."""
        weights = unflatten(params, self.params)
        stochastic = "log_std" in weights
        x = torch.from_numpy(seen)
        if not stochastic:
            return self.policy.mean(weights, x).numpy()
        return sample(*self.policy(weights, x), rng).numpy()

    def adapt(self, state: Searching, rollout: Rollout) -> Searching:
        """By the returns of the candidates that lived the rollout; mean actions have tried nothing."""
        tried = rollout.state.tried
        if tried is None:
            return self.next_episode(state)
        after = self.search.step(state.params.numpy(), tried.noise, rollout.returns)
        return Searching(torch.from_numpy(after.astype(np.float32)))

    def next_episode(self, state: Searching) -> Searching:
        """With candidates to be drawn anew."""
        return Searching(state.params)

    def normalize(self, observations: np.ndarray) -> np.ndarray:
        return self.normalizer(observations)

    def onnx(self, graph: Graph, state: Searching, noise: bool) -> str:
        """The present weights."""
        params = unflatten(state.params[0], self.params)
        if noise and "log_std" not in params:
            raise NotImplementedError("it is deterministic; export it without noise")
        seen = self.normalizer.onnx(graph, graph.input("observation", self.policy.observation_dim, np.float64))
        mean = self.policy.onnx(graph, params, seen)
        return onnx_sample(graph, mean, self.policy.std(params)) if noise else mean
