"""Changes in mid-episode: which parameters are active at which step.

    space = TaskSpace("Fault", (
        Parameter("motor", "1", "which motor dies", -1, "choice", choices=(-1, 0, 1), writes=..., onset="step"),
        Parameter("step", "steps", "when", 50, "choice", choices=tuple(range(20, 80))),
    ))
    schedule = Schedule(space)
    schedule.active(values, schedule.begun(values, elapsed))    # (n, 2): before its step, motor is at its default

An onset of t means: steps 0 to t - 1 of an episode happen at the default, step t and all later ones at the task's
value.
"""

from collections.abc import Callable

import numpy as np

from metarl.util.text import nearest

from .parameter import Parameter
from .task import TaskSpace


class Schedule:
    """The onsets of a task space; false if no parameter has one."""

    def __init__(self, space: TaskSpace):
        self._late = [(column, self._step_of(space, p)) for column, p in enumerate(space.parameters)
                      if p.onset is not None]  # fmt: skip
        self._defaults = space.default().values[0]

    def __bool__(self) -> bool:
        return bool(self._late)

    def due(self, values: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
        """Which simulations, of tasks values (N, D), come to an onset with the step after elapsed (N,) others."""
        return np.logical_or.reduce([elapsed == np.ceil(step(values)) for _, step in self._late])

    def begun(self, values: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
        """Which parameters are active in the step after elapsed (n,) others, (n, D) bool."""
        begun = np.ones(values.shape, bool)
        for column, step in self._late:
            begun[:, column] = elapsed >= step(values)
        return begun

    def active(self, values: np.ndarray, begun: np.ndarray) -> np.ndarray:
        """The values (n, D) that hold where those `begun` (n, D) are active, a new array."""
        return np.where(begun, values, self._defaults)

    @staticmethod
    def _step_of(space: TaskSpace, parameter: Parameter) -> Callable[[np.ndarray], np.ndarray | int]:
        """The function from values (n, D) to the steps (n,) or the step at which a parameter becomes active."""
        onset = parameter.onset
        if isinstance(onset, int):
            return lambda values: onset
        if onset not in space.names:
            raise ValueError(
                f"parameter {parameter.name}: its onset {onset!r} is no parameter" + nearest(str(onset), space.names)
            )
        column = space.names.index(onset)
        if space.parameters[column].onset is not None:
            raise ValueError(f"parameter {parameter.name}: its onset {onset!r} has an onset itself")
        return lambda values: values[:, column]
