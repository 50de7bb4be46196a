"""Processes that train algorithms of Stable-Baselines3 in several tasks at once.

    spread = Processes(2, "PPO", {"n_epochs": 4}, (observation_space, action_space))
    adapter = SB3Adapter(model, params, normalizer, seed, spread=spread)

Each task's training depends on its own experience, weights and seed only, so the result is that of training in one task
after the other, to the bit. The processes start with the first call and end with the object, or with this process.
Tensors travel as arrays: PyTorch would send a file descriptor for each.
"""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from metarl.agents.sb3.adapter import Learned, Lesson, learn
from metarl.agents.sb3.model import build
from metarl.util.workers import Workers


class Processes:
    """What an SB3Adapter takes for `spread`.

    Args:
        count: of processes.
        algorithm, settings: by SB3's names.
        spaces: of observations and of actions, of one simulation.
    """

    def __init__(self, count: int, algorithm: str, settings: dict[str, Any], spaces: tuple[Any, Any]):
        self.count = count
        self._arguments = algorithm, settings, *spaces
        self._workers: Workers | None = None

    def __call__(self, lessons: list[Lesson]) -> list[Learned]:
        """What is learned in each task."""
        if self._workers is None:
            factory = "metarl.algorithms.sb3_processes:Trainer"
            self._workers = Workers(factory, {}, self.count, self.count, "an SB3 algorithm".format)
            self._workers.call("build", *self._arguments)
        shares = [(_arrays(lessons[number :: self.count]),) for number in range(min(self.count, len(lessons)))]
        learned: list[Any] = [None] * len(lessons)
        for number, answer in enumerate(self._workers.call_each("learn", shares)):
            if isinstance(answer, str):
                raise FloatingPointError(answer)
            learned[number :: self.count] = _tensors(answer)
        return learned

    def close(self) -> None:
        """End the processes; the next call starts others."""
        if self._workers is not None:
            self._workers.close()
        self._workers = None


class Trainer:
    """Lives in a process and learns lessons; made by `metarl.util.workers.Workers`."""

    model: BaseAlgorithm  # from `build` on

    def __init__(self, arrays: dict[str, np.ndarray], current: np.ndarray):
        """A worker is made with arrays; lessons need none."""

    def build(self, algorithm: str, settings: dict[str, Any], observation_space: Any, action_space: Any) -> None:
        # the weights that this draws are never used
        self.model = build(algorithm, settings, observation_space, action_space, np.random.SeedSequence(0))

    def learn(self, lessons: list[Lesson]) -> list[Learned] | str:
        """What is learned, as arrays; or why the weights cannot be used."""
        try:
            return _arrays([learn(self.model, _tensors(lesson)) for lesson in lessons])
        except FloatingPointError as error:
            return str(error)


def _arrays(value: Any) -> Any:
    """The same value with arrays for its tensors."""
    return _with(value, torch.Tensor, lambda tensor: tensor.detach().cpu().numpy())


def _tensors(value: Any) -> Any:
    """The same value with tensors for its arrays; rollouts keep theirs."""
    return _with(value, np.ndarray, torch.from_numpy)


def _with(value: Any, kind: type, change: Any) -> Any:
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        return {key: _with(item, kind, change) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_with(item, kind, change) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(_with(item, kind, change) for item in value)
    return value
