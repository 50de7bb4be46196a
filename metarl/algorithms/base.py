"""What an outer loop is: the contract between a learner and all that trains, evaluates, saves and exports it.

    spec = Spec.of(env)                              # sizes, task space, horizon: all that a learner is made of
    learner = make_learner(config, spec)             # metarl.algorithms.learners
    metrics = learner.iterate(env, iteration=0)      # {"return_0": -3.5, "env_steps": 80000, "diverged": 0, ...}
    adapter = learner.adapter()                      # acts in a batch of tasks, and adapts to what happened
    learner.load_state_dict(learner.state_dict())    # the same learner, bit for bit

A learner of your own is a class with these four methods, and an `AlgorithmConfig` that names it
(docs/guides/add_an_algorithm.md).
`metarl.testing.check_learner` says in words where one breaks this contract.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch

from metarl.agents import Adapter
from metarl.config import Config
from metarl.envs import BatchEnv, TaskSpace


@dataclass(frozen=True)
class Spec:
    """What a learner must know of its environment before there is one.

    Attributes:
        observation_space, action_space: of one simulation, (O,) and (A,).
        task_space: what varies.
        horizon: steps in an episode.
        dt: seconds in a step.
        device: where its observations are, and so the weights of a learner that can: "cpu", "cuda:0". Of a run, "cpu":
            its weights load anywhere.
    """

    observation_space: gymnasium.spaces.Box
    action_space: gymnasium.spaces.Box
    task_space: TaskSpace
    horizon: int
    dt: float
    device: str = "cpu"

    @classmethod
    def of(cls, env: BatchEnv) -> "Spec":
        spaces = env.single_observation_space, env.single_action_space
        return cls(*spaces, env.space, env.horizon, env.dt, env.device)

    @property
    def observation_dim(self) -> int:
        return self.observation_space.shape[0]

    @property
    def action_dim(self) -> int:
        return self.action_space.shape[0]

    def to_json(self) -> dict[str, Any]:
        """Plain data, from which `from_json` makes it without any physics."""
        return {
            "observation_space": _box_to_json(self.observation_space),
            "action_space": _box_to_json(self.action_space),
            "task_space": self.task_space.to_json(),
            "horizon": self.horizon,
            "dt": self.dt,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Spec":
        """What `to_json` wrote; KeyError, TypeError or ValueError if it is something else."""
        return cls(
            _box_from_json(data["observation_space"]),
            _box_from_json(data["action_space"]),
            TaskSpace.from_json(data["task_space"]),
            int(data["horizon"]),
            float(data["dt"]),
        )


class Learner(Protocol):
    """An outer loop. All its randomness follows from `config.seed` and the number of the iteration.

    `__init__(config, spec)` draws the weights. The learner may keep what it likes between iterations, as long as
    `state_dict` holds it: a run that is stopped and resumed must end with the same bits.

    One that learns from what was collected long ago keeps that in an attribute `experience`,
    a `metarl.agents.replay.Replay`, with a segment for each iteration. It is no part of `state_dict`: a run saves each
    segment once.
    """

    def __init__(self, config: Config, spec: Spec): ...

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """Collect experience in training tasks and learn from it.

        Args:
            env: ``config.meta_batch * config.episodes`` simulations, autoreset disabled; tasks are set here. It speaks
                NumPy; if the config's class says `on_device`, and the physics is on one, tensors there.
            iteration: counted from 0.

        Returns:
            Metrics, among them "env_steps" lived in this iteration, "diverged" episodes, and "return_<k>", the mean
            return after k adaptation steps; names that begin with "seconds" are times.
        """
        ...

    def adapter(self) -> Adapter:
        """What was learned so far, as a value: further iterations do not change it."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything a bit-identical resume needs, as flat tensors on the processor; copies."""
        ...

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore `state_dict`; ValueError names a tensor that is missing, unexpected or of another shape."""
        ...


def _box_to_json(box: gymnasium.spaces.Box) -> dict[str, Any]:
    return {"low": _finite(box.low), "high": _finite(box.high), "dtype": box.dtype.name}


def _box_from_json(data: dict[str, Any]) -> gymnasium.spaces.Box:
    low, high = (
        np.array([bound if x is None else x for x in data[end]], data["dtype"])
        for end, bound in (("low", -np.inf), ("high", np.inf))
    )
    return gymnasium.spaces.Box(low, high, dtype=np.dtype(data["dtype"]).type)


def _finite(values: np.ndarray) -> list[float | None]:
    return [float(x) if np.isfinite(x) else None for x in values]
