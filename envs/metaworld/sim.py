"""Meta-World simulations of one process, stepped one after the other; the only module that imports metaworld.

    arrays = {name: np.zeros((8, *shape), kind) for name, (shape, kind) in metaworld_env.FIELDS.items()}
    simulations = Simulations(arrays)
    arrays["task"][:] = ml1("reach-v3").goals["held_out"][0, :8]
    arrays["todo"][:] = metaworld_env.RESET
    simulations.run()
    arrays["observation"]                                  # (8, 39)

An environment of Meta-World compiles a model of 17 MB; here all simulations of an environment share one, and the few
numbers that a task writes into it (positions of bodies and sites) are put in place before each step. Everything else
is Meta-World's own code, unchanged but for the welds that move the hand (MuJoCo 4 has 12 numbers for a weld where the
published code writes 11) and for one camera that is turned upright.
"""

import copy

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from ..divergence import BAD_STATE, quiet
from .env import CAMERA, STEP
from .tasks import environment_of

STATE = 35  # the most qpos and qvel of any environment
_WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
_FOR_EVER = 2**62  # steps; the horizon is counted by who commands


class Simulations:
    """n simulations.

    Args:
        arrays: (n, ...) of each of `metaworld_env.FIELDS`.
        current: (1,), where to note the number of the simulation in progress.
    """

    def __init__(self, arrays: dict[str, np.ndarray], current: np.ndarray | None = None):
        self._arrays = arrays
        self._current = np.zeros(1, np.int64) if current is None else current
        self._simulations: dict[int, Simulation] = {}
        self._robots: dict[str, Robot] = {}

    def run(self) -> None:
        """Do what todo says, in every simulation."""
        with quiet():
            for i in np.flatnonzero(self._arrays["todo"]).tolist():
                self._current[0] = i
                self._one(i)

    def state(self) -> np.ndarray:
        """qpos and behind it qvel of each simulation, (n, STATE), zeros at the end."""
        out = np.zeros((len(self._arrays["todo"]), STATE))
        for i, row in enumerate(out):
            data = self._simulations[i].env.data
            both = np.concatenate([data.qpos, data.qvel])
            row[: len(both)] = both
        return out

    def model(self, i: int) -> mujoco.MjModel:
        """A copy of the model of simulation i, with its task in it."""
        return self._simulations[i].model()

    def data(self, i: int) -> dict[str, np.ndarray]:
        """The parts of simulation i's MjData that everything else follows from."""
        data = self._simulations[i].env.data
        return {name: getattr(data, name).copy() for name in ("qpos", "qvel", "ctrl", "mocap_pos", "mocap_quat")}

    def _one(self, i: int) -> None:
        arrays = self._arrays
        if arrays["todo"][i] == STEP:
            result = self._simulations[i].step(arrays["action"][i])
        else:
            name, _, position = environment_of(arrays["task"][i])
            if i not in self._simulations or self._simulations[i].robot.name != name:
                if name not in self._robots:
                    self._robots[name] = Robot(name)
                self._simulations[i] = Simulation(self._robots[name])
            result = self._simulations[i].reset(position.copy()), 0.0, False, False
        arrays["observation"][i], arrays["reward"][i], arrays["success"][i], arrays["diverged"][i] = result


class Robot:
    """An environment's class, and the one model that its simulations share."""

    def __init__(self, name: str):
        self.name = name
        shared: list[mujoco.MjModel] = []

        class Environment(ALL_V3_ENVIRONMENTS[name]):
            def _initialize_simulation(self):
                if not shared:
                    shared.append(super()._initialize_simulation()[0])
                    upright = shared[0].camera(CAMERA).quat  # a view; the camera hangs upside down
                    mujoco.mju_mulQuat(upright, upright.copy(), np.array([0.0, 0.0, 0.0, 1.0]))
                return shared[0], mujoco.MjData(shared[0])

            def reset_mocap_welds(self):
                welds = self.model.eq_type == mujoco.mjtEq.mjEQ_WELD
                self.model.eq_data[welds, : len(_WELD)] = _WELD

        self.make = Environment
        self.make()
        self.model = shared[0]
        self._positions = self.positions()
        self._loaded: Simulation | None = None

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """What a task writes into the model: positions of bodies and of sites."""
        return self.model.body_pos.copy(), self.model.site_pos.copy()

    def load(self, simulation: "Simulation | None") -> None:
        """Put the positions of a simulation into the model; those of the file for None."""
        if simulation is None or simulation is not self._loaded:
            self.model.body_pos[:], self.model.site_pos[:] = simulation.positions if simulation else self._positions
            self._loaded = simulation


class Simulation:
    """One environment of Meta-World with the data of its own in the model of its robot."""

    def __init__(self, robot: Robot):
        self.robot = robot
        robot.load(None)
        self.env = robot.make()
        self.env.max_path_length = _FOR_EVER
        self.env._set_task_called = self.env._freeze_rand_vec = self.env._partially_observable = True
        self.positions = robot.positions()
        self._last = np.empty(0)  # last good observation

    def reset(self, position: np.ndarray) -> np.ndarray:
        """Start an episode of the task with this position (3,) or (6,); the observation (39,)."""
        self.robot.load(None)
        self.env._last_rand_vec = position
        self._last, _ = self.env.reset()
        self.positions = self.robot.positions()
        self.robot.load(self)
        return self._last

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """Observation (39,), reward, whether solved now, whether the physics broke down; action (4,) in [-1, 1]."""
        self.robot.load(self)
        try:
            observation, reward, _, _, info = self.env.step(action)
        except ValueError:  # SciPy refuses the rotation of an object whose state is no longer finite
            if not self._broken:
                raise
        if self._broken or not (np.isfinite(observation).all() and np.isfinite(reward)):
            return self._last, 0.0, False, True
        self._last = observation
        return observation, float(reward), bool(info["success"]), False

    @property
    def _broken(self) -> bool:
        """Whether MuJoCo has given up on the state since the last reset."""
        return bool(self.env.data.warning.number[BAD_STATE].any())

    def model(self) -> mujoco.MjModel:
        """A copy of the model with the task in it."""
        self.robot.load(self)
        return copy.copy(self.robot.model)
