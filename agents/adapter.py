"""The adapter: the one thing that every method hands out.

It acts in a batch of tasks, sees what happened and may change itself. Evaluation, replays, export and the robot loop
know adapters and nothing else, so all methods are compared on one axis: experience in the new task. Its state is a
value.

    state = adapter.start(num_tasks=40)
    rollout = collect(env, adapter, state, ...)         # calls adapter.act and adapter.observe at each step
    state = adapter.adapt(state, rollout)               # one adaptation step in every task
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from metarl.util.arrays import Array, namespace
from metarl.util.onnx_graph import Graph

from .rollout import Rollout


class Decision(NamedTuple):
    """What an adapter does in M tasks with K episodes each, in arrays of the library of the observations.

    Attributes:
        actions: (M, K, A) float32, in the environment's action units.
        observations: (M, K, O) float32, as the policy saw them: `Adapter.normalize` of what it was given.
        state: the adapter's state after acting; the same one, unless it has a memory.
    """

    actions: Array
    observations: Array
    state: Any


class Adapter(ABC):
    """What evaluation needs of a trained method: `start`, `act` and `adapt`, and the rest where it does otherwise.

    A state is a value: no method changes the one that it is given.

    Attributes:
        shares_experience: whether the K episodes in a task are one experience to adapt from; if not, each belongs to a
            trial of its own, and a step of adaptation is worth one episode.
        fewest_episodes: in each task that a step of adaptation can be made of.
        kind: how it adapts, a word for the description of an exported policy.
    """

    shares_experience: bool = True
    fewest_episodes: int = 1
    kind: str = "gradient"

    @abstractmethod
    def start(self, num_tasks: int) -> Any:
        """The state before any experience, for ``num_tasks`` tasks."""

    @abstractmethod
    def act(self, state: Any, observations: Array, rng: np.random.Generator | None) -> Decision:
        """Choose actions for (M, K, O) raw observations; without a noise source, the mean actions.

        Observations are NumPy's; of an algorithm that learns on a device (`AlgorithmConfig.on_device`) tensors as well.
        """

    @abstractmethod
    def adapt(self, state: Any, rollout: Rollout) -> Any:
        """The state after one adaptation step on fresh experience."""

    def observe(self, state: Any, rewards: Array, ended: Array) -> Any:
        """The state after the (M, K) rewards of the actions just taken, and whether the episodes ended with them."""
        return state

    def next_episode(self, state: Any) -> Any:
        """The state at the start of an episode that follows another one, with no step of adaptation in between."""
        return state

    def normalize(self, observations: Array) -> Array:
        """(..., O) raw observations as the policy sees them, float32."""
        xp = namespace(observations)
        return xp.astype(observations, xp.float32)

    def onnx(self, graph: Graph, state: Any, noise: bool) -> str:
        """Write the policy of one task into a graph: from an input "observation" (N, O) float64 to actions (N, A).

        Args:
            graph: the environment's part, from actions to controls, is added behind.
            state: for one task. One that changes as the policy acts starts anew, with inputs of zeros.
            noise: sample the actions, with an input "noise" (N, A) of standard normal numbers; mean actions otherwise.

        Raises:
            NotImplementedError: there is no policy that can be exported.
        """
        raise NotImplementedError(f"{type(self).__name__} has no policy that can be exported")
