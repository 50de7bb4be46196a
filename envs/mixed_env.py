"""Tasks of several robots in one environment: a Batch a model, since one Batch has one model, behind one interface.

    class Ten(Mixture):
        def kinds(self, values): return values[:, 0]                          # (N,), which member each task is of
        def member(self, kind): return Sawyer(NAMES[int(kind)], self.space)   # a Family of the same space

    env = make(Ten(), num_envs=200)                       # which simulation is of which robot may change at each reset

Simulations are those of one `BatchEnv` a member, which grow as tasks need them; results are those of the members.
"""

from typing import Any

import mujoco
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

from metarl.util.rng import Seed

from .autoreset import Transition
from .batch_env import BatchEnv
from .family import Family
from .simulator import Physics
from .task_env import TaskVectorEnv


class Mixture(Family):
    """A family whose tasks are of several robots, with the same actions and the same size of observations."""

    batched = False

    def kinds(self, values: np.ndarray) -> np.ndarray:
        """A number for the robot of each task values (N, D), (N,)."""
        raise NotImplementedError

    def member(self, kind: float) -> Family:
        """The robot of that number, a family of the same space, without reset noise of its own and without delays."""
        raise NotImplementedError

    def build(self) -> mujoco.MjModel:
        return self.member(self.kinds(self.space.default().values)[0]).build()

    def make_env(self, num_envs: int, **settings: Any) -> "MixedEnv":
        return MixedEnv(self, num_envs, **settings)


class MixedEnv(TaskVectorEnv):
    """A Gymnasium VectorEnv of a Mixture with a task per simulation; arguments as for `BatchEnv`.

    Attributes:
        dt: seconds per environment step.
        parts: the environment of each member that has been needed, by its number. Its simulations are some of this
            environment's, in another order: see `place`.
    """

    family: Mixture

    def __init__(
        self,
        family: Mixture,
        num_envs: int = 1,
        *,
        horizon: int | None = None,
        action_scale: float = 1.0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        num_threads: int = 0,
        physics: Physics | None = None,
    ):
        super().__init__(family, num_envs, horizon, action_scale, autoreset_mode, num_threads)
        if physics is not None:
            raise ValueError(f"{family.name}: its tasks have several models, {physics} steps one; leave physics out")
        self._settings = {"action_scale": action_scale, "num_threads": num_threads}
        self.parts: dict[float, BatchEnv] = {}
        self._kinds = np.full(num_envs, np.nan)  # (N,) the part of each simulation, and its row there
        self._rows = np.zeros(num_envs, np.int64)
        part = self._grown(float(family.kinds(self._values[:1])[0]), 1)
        self.dt = part.dt
        bound, box = part.single_action_space.high, part.single_observation_space
        self._set_spaces(bound, box.low, box.high, box.shape[0])

    @property
    def model(self) -> mujoco.MjModel:
        """The model of simulation 0, of the default task before the first reset."""
        return self.model_of(0) if 0 in self._settled else self.family.build()

    def place(self, i: int) -> tuple[BatchEnv, int]:
        """The part that has simulation i, and its number there; ResetNeeded before its first episode."""
        if np.isnan(self._kinds[i]):
            raise ResetNeeded(f"simulation {i} has no model before its first episode; call reset() first")
        return self.parts[self._kinds[i]], int(self._rows[i])

    def state(self) -> np.ndarray:
        """Positions and behind them velocities of each simulation, (N, S); zeros at the end where others have more."""
        states = {kind: part.state() for kind, part in self.parts.items()}
        out = np.zeros((self.num_envs, max(state.shape[1] for state in states.values())))
        for kind, ids, rows in self._members(self._settled):
            out[ids, : states[kind].shape[1]] = states[kind][rows]
        return out

    def model_of(self, i: int, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """The model with simulation i's task in it, written into model, one that this returned before, if it fits."""
        part, row = self.place(i)
        sizes = ("nbody", "nq", "ngeom", "nmeshvert", "ntexdata")
        fits = model is not None and all(getattr(model, size) == getattr(part.model, size) for size in sizes)
        return part.model_of(row, model if fits else None)

    def data_of(self, i: int) -> mujoco.MjData:
        """Simulation i's state as an MjData; mj_forward with model_of(i) computes what derives from it."""
        part, row = self.place(i)
        return part.data_of(row)

    def _simulate(self, actions: np.ndarray, stepped: np.ndarray, restart: np.ndarray) -> Transition:
        n = self.num_envs
        observation = np.empty((n, self.single_observation_space.shape[0]))
        flags = {name: np.zeros(n, bool) for name in ("terminated", "diverged", "solved")}
        terms: dict[str, np.ndarray] = {}
        said = set()
        for kind, ids, rows in self._members(self._settled):
            part = self.parts[kind]
            there = np.zeros((part.num_envs, actions.shape[1]))
            there[rows] = actions[ids]
            moved = np.zeros(part.num_envs, bool)
            moved[rows] = stepped[ids]
            part._elapsed[rows] = self._elapsed[ids]
            now = part._simulate(there, part._everyone if moved.all() else moved, part._nobody)
            observation[ids] = now.observation[rows]
            for name, term in now.terms.items():
                terms.setdefault(name, np.zeros(n))[ids] = term[rows]
            for name, flag in flags.items():
                values = getattr(now, name)
                if values is not None:
                    flag[ids] = values[rows]
                    said.add(name)
        if restart is not self._nobody:
            again = np.flatnonzero(restart)
            self._restart(again)
            observation[again] = self._first(again)[again]
        return Transition(observation, terms, **{name: flags[name] for name in said})

    def _discard(self, ids: np.ndarray) -> None:
        for kind, _, rows in self._members(ids):
            self.parts[kind]._discard(rows)

    def _begin(self, ids: np.ndarray) -> None:
        self._values[ids] = self._next_values[ids]
        kinds = self.family.kinds(self._values[ids])
        moving = ids[kinds != self._kinds[ids]]
        self._kinds[moving] = np.nan
        for kind in np.unique(self.family.kinds(self._values[moving])).tolist():
            new = moving[self.family.kinds(self._values[moving]) == kind]
            taken = self._rows[self._kinds == kind]
            part = self._grown(kind, len(taken) + len(new))
            self._rows[new] = np.setdiff1d(np.arange(part.num_envs), taken)[: len(new)]
            self._kinds[new] = kind
        for kind, mine, rows in self._members(ids):
            part = self.parts[kind]
            part._next_values[rows] = self._values[mine]
            for i, row in zip(mine, rows, strict=True):
                part._rngs[row] = self._rngs[i]
            part._restart(rows)

    def _first(self, ids: np.ndarray) -> np.ndarray:
        out = np.zeros((self.num_envs, self.single_observation_space.shape[0]))
        for kind, mine, rows in self._members(ids):
            out[mine] = self.parts[kind]._first(rows)[rows]
        return out

    def _seeded(self, ids: np.ndarray, seed: Seed) -> None:
        """Parts are told at each start of an episode."""

    def close_extras(self, **kwargs: Any) -> None:
        for part in self.parts.values():
            part.close()

    @property
    def _settled(self) -> np.ndarray:
        """The simulations that have begun an episode."""
        return np.flatnonzero(~np.isnan(self._kinds))

    def _members(self, ids: np.ndarray) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """Simulations ids by part: its number, which they are, and their rows there, sorted."""
        found = []
        kinds = self._kinds[ids]
        for kind in np.unique(kinds).tolist():
            mine = ids[kinds == kind]
            order = np.argsort(self._rows[mine])
            found.append((kind, mine[order], self._rows[mine][order]))
        return found

    def _grown(self, kind: float, size: int) -> BatchEnv:
        """The part of that number with at least size simulations; those that it had go on where they are."""
        old = self.parts.get(kind)
        if old is not None and old.num_envs >= size:
            return old
        family = self.family.member(kind) if old is None else old.family
        part = BatchEnv(family, size, horizon=self.horizon, autoreset_mode=AutoresetMode.DISABLED, **self._settings)
        if old is not None:
            kept = np.arange(old.num_envs)
            part._values[kept], part._elapsed[kept] = old._values, old._elapsed
            part._apply_active(kept)
            part.batch.state[kept] = old.batch.state
            old.close()
        self.parts[kind] = part
        return part
