"""Actuation delay and hold; observation noise, bias, delay and dropout.

    Parameter("delay", "steps", "", 0, "choice", choices=(0, 1, 2), writes=Write("action_delay"))
    Parameter("noise", "1", "", 0.0, "uniform", 0.0, 0.1, writes=Write("observation_noise", (0, 1, 2)))

A `BatchEnv` has a `SensorActuatorModel` if a parameter of its family is of this kind. Rewards are of the true state and
of the controls that reach the motors; only observations are changed. Entries are first biased, then noisy, then late,
then dropped: with one draw for all, a dropped observation repeats the last one, and the first of an episode always
arrives. Controls are first held for a period, counted from the start of the episode, and then delayed; until the first
arrives, those of the state that the episode begins with hold.
"""

from collections.abc import Sequence

import numpy as np

from metarl.util.rng import keys, normals, uniforms

from .parameter import Parameter
from .task import TaskSpace
from .variation.write import Write

_PURPOSE = 0x6368616E6E656C  # of the random streams, apart from those of the resets
_DROPOUT = np.uint64(1 << 32)  # a parameter may write both, and what arrives must be as noisy as what does not
_COMMANDS = ("action_delay", "control_period")


class SensorActuatorModel:
    """Latency and noise of N simulations.

    Args:
        space: task space whose parameters write quantities of kind "command" or "sensor".
        observation_size: O.
        actions: A.
        num_envs: N.
        fixed: quantities of kind "sensor" that are the same in all tasks: (quantity, value, entries).
    """

    def __init__(
        self,
        space: TaskSpace,
        observation_size: int,
        actions: int,
        num_envs: int,
        fixed: Sequence[tuple[str, float, Sequence[int]]] = (),
    ):
        self._columns: dict[str, list[tuple[int, np.ndarray]]] = {}
        for column, p in enumerate(space.parameters):
            for write in p.writes:
                if write.quantity_row.kind in ("command", "sensor"):
                    entries = _entries(p, write, observation_size)
                    self._columns.setdefault(write.quantity, []).append((column, entries))
        for column, (quantity, _, entries) in enumerate(fixed, space.dim):  # as of further parameters
            self._columns.setdefault(quantity, []).append((column, np.array(entries, int)))
        self._fixed = np.array([value for _, value, _ in fixed])
        longest = _most_steps(space, "action_delay")
        self._history = np.zeros((num_envs, longest + 1, actions))  # controls by elapsed step modulo its length
        self._held = np.zeros((num_envs, actions))
        late = [value for quantity, value, _ in fixed if quantity == "observation_delay"]
        slots = int(max([_most_steps(space, "observation_delay"), *late])) + 1
        self._seen = np.zeros((num_envs, slots if slots > 1 else 0, observation_size))  # by draw modulo its length
        self._size = observation_size
        self._key = np.zeros(num_envs, np.uint64)
        self._draws = np.zeros(num_envs, np.uint64)

    @staticmethod
    def needed(space: TaskSpace) -> bool:
        return any(w.quantity_row.kind in ("command", "sensor") for p in space.parameters for w in p.writes)

    def seed(self, ids: np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        """New random streams for simulations ids, beside their generators."""
        self._key[ids], self._draws[ids] = keys(generators, _PURPOSE), 0

    def start(self, ids: np.ndarray, ctrl: np.ndarray) -> None:
        """Simulations ids (n,) begin an episode, with controls (n, A) in force."""
        self._history[ids], self._held[ids] = ctrl[:, None], ctrl

    def command(self, ctrl: np.ndarray, elapsed: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The controls (N, A) that reach the motors in step elapsed (N,) of each episode; ctrl is what is sent."""
        everyone = np.arange(len(ctrl))
        for column, _ in self._columns.get("control_period", ()):
            ctrl = np.where((elapsed % values[:, column] == 0)[:, None], ctrl, self._held)
        self._held = ctrl
        slots = self._history.shape[1]
        self._history[everyone, elapsed % slots] = ctrl
        for column, _ in self._columns.get("action_delay", ()):
            ctrl = self._history[everyone, (elapsed - values[:, column].astype(int)) % slots]
        return ctrl

    def observe(
        self, observation: np.ndarray, values: np.ndarray, ids: np.ndarray, last: np.ndarray | None
    ) -> np.ndarray:
        """What arrives of observations (n, O) of simulations ids (n,) after last (n, O), None at the start."""
        key, draw = self._key[ids], self._draws[ids]
        self._draws[ids] += np.uint64(1)
        values = np.concatenate([values[ids], np.tile(self._fixed, (len(ids), 1))], axis=1)
        observation = observation.copy()
        for column, entries in self._columns.get("observation_bias", ()):
            observation[:, entries] += values[:, column, None]
        for column, entries in self._columns.get("observation_noise", ()):
            noise = normals(key + np.uint64(1 + column), draw, self._size)
            observation[:, entries] += values[:, column, None] * noise[:, entries]
        if self._seen.shape[1]:
            observation = self._late(observation, values, ids, draw, last is None)
        if last is not None:
            for column, entries in self._columns.get("observation_dropout", ()):
                lost = uniforms(key + np.uint64(1 + column) + _DROPOUT, draw, 1)[:, 0] < values[:, column]
                rows = np.flatnonzero(lost)[:, None]
                observation[rows, entries] = last[rows, entries]
        return observation

    def _late(self, observation: np.ndarray, values: np.ndarray, ids: np.ndarray, draw: np.ndarray, first: bool):
        """Observations (n, O) with entries that are some steps old; at the start of an episode as old as can be."""
        slots = self._seen.shape[1]
        now = (draw % np.uint64(slots)).astype(int)
        if first:
            self._seen[ids] = observation[:, None]
        self._seen[ids, now] = observation
        for column, entries in self._columns.get("observation_delay", ()):
            old = (now - values[:, column].astype(int)) % slots
            observation[:, entries] = self._seen[ids, old][:, entries]
        return observation

    def step(
        self,
        observation: np.ndarray,
        values: np.ndarray,
        stepped: np.ndarray,
        restart: np.ndarray,
        last: np.ndarray | None,
    ) -> np.ndarray:
        """The observations (N, O) that arrive after a step of the simulations in one mask and the start of others."""
        for mask, before in ((stepped, last), (restart, None)):
            ids = np.flatnonzero(mask)
            observation[ids] = self.observe(observation[ids], values, ids, None if before is None else before[ids])
        # of those that are over nothing arrives; their later noise must not depend on when an episode ended
        self._draws[~stepped & ~restart] += np.uint64(1)
        return observation

    def state(self) -> dict[str, np.ndarray]:
        """Everything that a later step depends on, copied."""
        return {name: getattr(self, f"_{name}").copy() for name in ("history", "held", "seen", "key", "draws")}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from what state() returned."""
        for name, array in state.items():
            getattr(self, f"_{name}")[:] = array


def _entries(parameter: Parameter, write: Write, observation_size: int) -> np.ndarray:
    """Indices of the entries of the observation that a write names; all if none."""
    if write.quantity in _COMMANDS:
        if write.elements:
            raise ValueError(f"parameter {parameter.name}: {write.quantity} is of all controls; name no elements")
        _check_steps(parameter, write, 0 if write.quantity == "action_delay" else 1)
        return np.arange(0)
    if write.quantity == "observation_delay":
        _check_steps(parameter, write, 0)
    entries = write.elements or range(observation_size)
    if not all(isinstance(i, int) and 0 <= i < observation_size for i in entries):
        raise ValueError(
            f"parameter {parameter.name}: {write.quantity} needs indices of the {observation_size} entries of the"
            f" observation, got {write.elements}"
        )
    if write.quantity != "observation_bias" and parameter.lowest < 0:
        raise ValueError(f"parameter {parameter.name}: {write.quantity} must not be negative")
    return np.array(entries, int)


def _check_steps(parameter: Parameter, write: Write, least: int) -> None:
    steps = [*parameter.choices, *parameter.extrapolation]
    if parameter.continuous or not all(s >= least and s == int(s) for s in steps):
        raise ValueError(f"parameter {parameter.name}: {write.quantity} needs a choice of whole steps from {least} on")


def _most_steps(space: TaskSpace, quantity: str) -> int:
    found = [p for p in space.parameters for w in p.writes if w.quantity == quantity]
    return max((int(max((*p.choices, *p.extrapolation))) for p in found), default=0)
