"""Actuation delay and hold; observation noise, bias, delay and dropout.

    Parameter("delay", "steps", "", 0, "choice", choices=(0, 1, 2), writes=Write("action_delay"))
    Parameter("noise", "1", "", 0.0, "uniform", 0.0, 0.1, writes=Write("observation_noise", (0, 1, 2)))

An environment has a `SensorActuatorModel` if a parameter of its family is of this kind. Rewards are of the true state
and of the controls that reach the motors; only observations are changed. Entries are first biased, then noisy, then
late, then dropped: with one draw for all, a dropped observation repeats the last one, and the first of an episode
always arrives. What several say of one entry adds up, delays as biases do. Controls are first held for a period,
counted from the start of the episode, and then delayed; until the first arrives, those of the state that the episode
begins with hold.

It computes, and draws, where the environment has its observations: with NumPy, or on a device, which is never asked
for a number.
"""

from collections.abc import Sequence

import numpy as np

from metarl.util.arrays import zeros
from metarl.util.rng import keys, normals, uniforms, words

from .arrays import Array, constant, copied, index, namespace, whole
from .parameter import Parameter
from .task import TaskSpace
from .variation.write import Write

_PURPOSE = 0x6368616E6E656C  # of the random streams, apart from those of the resets
_DROPOUT = 1 << 32  # a parameter may write both, and what arrives must be as noisy as what does not
_COMMANDS = ("action_delay", "control_period")


class SensorActuatorModel:
    """Latency and noise of N simulations.

    Args:
        space: task space whose parameters write quantities of kind "command" or "sensor".
        observations: (N, O), an array of the library, device and type that all others are of.
        actions: A.
        fixed: quantities of kind "sensor" that are the same in all tasks: (quantity, value, entries).
    """

    def __init__(
        self,
        space: TaskSpace,
        observations: Array,
        actions: int,
        fixed: Sequence[tuple[str, float, Sequence[int]]] = (),
    ):
        num_envs, self._size = observations.shape
        none = np.zeros(num_envs, np.uint64)
        self._key, self._draws = words(none, observations), words(none.copy(), observations)
        self._rows, self._entries = (index(np.arange(size), observations) for size in observations.shape)
        self._columns: dict[str, list[tuple[int, Array]]] = {}
        for column, p in enumerate(space.parameters):
            for write in p.writes:
                if write.quantity_row.kind in ("command", "sensor"):
                    entries = _entries(p, write, self._size)
                    self._columns.setdefault(write.quantity, []).append((column, index(entries, observations)))
        for column, (quantity, _, entries) in enumerate(fixed, space.dim):  # as of further parameters
            self._columns.setdefault(quantity, []).append((column, index(np.array(entries, int), observations)))
        self._fixed = constant(np.array([value for _, value, _ in fixed]), observations)
        longest = max((_most_steps(p) for p in space.parameters for w in p.writes if w.quantity == "action_delay"),
                      default=0)  # fmt: skip
        self._history = zeros((num_envs, longest + 1, actions), observations)  # controls by elapsed step modulo length
        self._held = zeros((num_envs, actions), observations)
        most = np.zeros(self._size, int)  # steps that each entry may be late
        for p in space.parameters:
            for write in p.writes:
                if write.quantity == "observation_delay":
                    most[_entries(p, write, self._size)] += _most_steps(p)
        for quantity, value, entries in fixed:
            if quantity == "observation_delay":
                most[list(entries)] += int(value)
        slots = int(most.max(initial=0)) + 1
        self._seen = zeros((num_envs, slots if slots > 1 else 0, self._size), observations)  # by draw modulo its length

    @staticmethod
    def needed(space: TaskSpace) -> bool:
        return any(w.quantity_row.kind in ("command", "sensor") for p in space.parameters for w in p.writes)

    def seed(self, ids: np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        """New random streams for simulations ids, beside their generators."""
        self._key[ids], self._draws[ids] = words(keys(generators, _PURPOSE), self._key), 0

    def start(self, ids: np.ndarray, ctrl: Array) -> None:
        """Simulations ids (n,) begin an episode, with controls (n, A) in force."""
        self._history[ids], self._held[ids] = ctrl[:, None], ctrl

    def command(self, ctrl: Array, elapsed: np.ndarray, values: Array) -> Array:
        """The controls (N, A) that reach the motors in step elapsed (N,) of each episode; ctrl is what is sent."""
        now, xp, slots = index(elapsed, self._rows), namespace(ctrl), self._history.shape[1]
        for column, _ in self._columns.get("control_period", ()):
            ctrl = xp.where((now % values[:, column] == 0)[:, None], ctrl, self._held)
        self._held = ctrl
        self._history[self._rows, now % slots] = ctrl
        for column, _ in self._columns.get("action_delay", ()):
            ctrl = self._history[self._rows, (now - whole(values[:, column])) % slots]
        return ctrl

    def observe(self, observation: Array, values: Array, ids: Array, last: Array | None) -> Array:
        """What arrives of observations (n, O) of simulations ids (n,) after last (n, O), None at the start."""
        key, draw, xp = self._key[ids], self._draws[ids], namespace(observation)
        self._draws[ids] += 1
        values = xp.concat([values[ids], xp.broadcast_to(self._fixed, (len(ids), len(self._fixed)))], axis=1)
        observation = copied(observation)
        for column, entries in self._columns.get("observation_bias", ()):
            observation[:, entries] += values[:, column, None]
        for column, entries in self._columns.get("observation_noise", ()):
            noise = normals(key + (1 + column), draw, self._size)
            observation[:, entries] += values[:, column, None] * noise[:, entries]
        if self._seen.shape[1]:
            observation = self._late(observation, values, ids, draw, last is None)
        if last is not None:
            for column, entries in self._columns.get("observation_dropout", ()):
                lost = uniforms(key + (1 + column + _DROPOUT), draw, 1) < values[:, column, None]
                observation[:, entries] = xp.where(lost, last[:, entries], observation[:, entries])
        return observation

    def _late(self, observation: Array, values: Array, ids: Array, draw: Array, first: bool) -> Array:
        """Observations (n, O) with entries that are some steps old; at the start of an episode as old as can be."""
        slots = self._seen.shape[1]
        now = whole(draw % slots)
        if first:
            self._seen[ids] = observation[:, None]
        self._seen[ids, now] = observation
        steps = zeros(observation.shape, observation)
        for column, entries in self._columns.get("observation_delay", ()):
            steps[:, entries] += values[:, column, None]
        old = (now[:, None] - whole(steps)) % slots
        return self._seen[ids[:, None], old, self._entries]

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
        self._draws[~stepped & ~restart] += 1
        return observation

    def state(self) -> dict[str, Array]:
        """Everything that a later step depends on, copied."""
        return {name: copied(getattr(self, f"_{name}")) for name in ("history", "held", "seen", "key", "draws")}

    def restore(self, state: dict[str, Array]) -> None:
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


def _most_steps(parameter: Parameter) -> int:
    return int(max((*parameter.choices, *parameter.extrapolation)))
