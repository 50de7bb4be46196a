"""The adapter: the one thing that every method hands out.

It acts in a batch of tasks, sees what happened and may change itself. Evaluation, replays, export and the robot loop
know adapters and nothing else, so all methods are compared on one axis: experience in the new task. Its state is a
value.

    state = adapter.start(num_tasks=40)
    rollout = collect(env, adapter, state, ...)         # calls adapter.act and adapter.observe at each step
    state = adapter.adapt(state, rollout)               # one adaptation step in every task
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from .inner_loop import InnerLoop, Samples, per_task
from .normalizer import Normalizer
from .policy import Params
from .rollout import Rollout


class Decision(NamedTuple):
    """What an adapter does in M tasks with K episodes each.

    Attributes:
        actions: (M, K, A) float32, in the environment's action units.
        log_probs: (M, K) float32, their log-densities.
        observations: (M, K, O) float32, as the policy saw them.
        state: the adapter's state after acting; the same one, unless it has a memory.
    """

    actions: np.ndarray
    log_probs: np.ndarray
    observations: np.ndarray
    state: Any


class Adapter(Protocol):
    """What evaluation needs of a trained method.

    Attributes:
        pooled: whether the K episodes in a task are one experience to adapt from; if not, each belongs to a life of its
            own, and a step of adaptation is worth one episode.
    """

    pooled: bool = True

    def start(self, num_tasks: int) -> Any:
        """The state before any experience, for ``num_tasks`` tasks."""

    def act(self, state: Any, observations: np.ndarray, rng: np.random.Generator | None) -> Decision:
        """Choose actions for (M, K, O) raw observations; without a noise source, the mean actions."""

    def observe(self, state: Any, rewards: np.ndarray, ended: np.ndarray) -> Any:
        """The state after the (M, K) rewards of the actions just taken, and whether the episodes ended with them."""
        return state

    def adapt(self, state: Any, rollout: Rollout) -> Any:
        """The state after one adaptation step on fresh experience."""

    def next_episode(self, state: Any) -> Any:
        """The state at the start of an episode that follows another one, with no step of adaptation in between."""
        return state


class Adapted(NamedTuple):
    """The state of a GradientAdapter: weights, each with a leading task axis, and the steps taken so far."""

    params: Params
    steps: int


class GradientAdapter(Adapter):
    """Adapts by gradient steps from a meta-learned initialization (MAML, ProMP and their relatives).

    Args:
        inner_loop: the adaptation rule and its policy.
        params: the initialization, without a task axis.
        step_sizes: of each inner step, see :meth:`InnerLoop.adapt`; the last ones also for every further step.
        normalizer: of the observations.
        prepare: turns a rollout into samples with advantages.
    """

    def __init__(
        self,
        inner_loop: InnerLoop,
        params: Params,
        step_sizes: Sequence[Params],
        normalizer: Normalizer,
        prepare: Callable[[Rollout], Samples],
    ):
        self.inner_loop = inner_loop
        self.params = params
        self.step_sizes = step_sizes
        self.normalizer = normalizer
        self.prepare = prepare

    def start(self, num_tasks: int) -> Adapted:
        return Adapted(per_task(self.params, num_tasks), 0)

    @torch.no_grad()
    def act(self, state, observations, rng):
        seen = self.normalizer(observations)
        policy = self.inner_loop.policy
        mean, std = statistics = policy(state.params, torch.from_numpy(seen))
        if rng is None:
            actions = mean
        else:
            actions = mean + std * torch.from_numpy(rng.standard_normal(tuple(mean.shape), np.float32))
        log_probs = policy.distribution(statistics).log_prob(actions)
        return Decision(actions.numpy(), log_probs.numpy(), seen, state)

    def adapt(self, state, rollout):
        return self.step(state, self.prepare(rollout))[0]

    @torch.no_grad()
    def step(self, state: Adapted, samples: Samples) -> tuple[Adapted, tuple[torch.Tensor, ...]]:
        """One inner step on prepared samples; and the policy's output before it, as :meth:`InnerLoop.adapt`."""
        sizes = self.step_sizes[min(state.steps, len(self.step_sizes) - 1)]
        params, statistics = self.inner_loop.adapt(state.params, sizes, samples)
        return Adapted(params, state.steps + 1), statistics
