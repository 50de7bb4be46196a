"""OwnRobot: a person's own robot, from one YAML file beside its MJCF, with no Python.

    env = BatchEnv(OwnRobot("robots/cart"), num_envs=200)         # robots/cart/robot.yaml names cart.xml
    env.set_tasks(env.space.sample(10, "train", np.random.default_rng(0)).repeat(20))

The file says what is observed, what is paid, when an episode ends, how the robot is controlled, and what varies about
it (docs/own_robot.md). It becomes a `Family` like any other: batched, with splits, and with all quantities of
`metarl.envs.variation.quantities`. In a config: `env: {robot: robots/cart}`.
"""

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco.batch import Batch

from ..families.gymnasium_robot import uniform
from ..family import Family
from ..observation import Observed
from .mjcf import load
from .schema import read_robot
from .signals import TASK, Signal, field_of

_OF_THE_STATE = ("qpos", "qvel", "time", "ctrl", "numeric_data")  # needs no stage of the physics to be known


class OwnRobot(Family):
    """The robot of a YAML file.

    Args:
        robot: the file, or a folder with a robot.yaml.
        sha256: digest that its files must have; any if None.
    """

    def __init__(self, robot: str, sha256: str | None = None):
        self.robot = read_robot(robot)
        if sha256 not in (None, self.robot.digest):
            raise ValueError(
                f"{robot}: its files have changed: got digest {self.robot.digest[:16]}..., expected {sha256[:16]}...;"
                " restore them, or start a new run"
            )
        self.name, self.space, self.horizon = self.robot.name, self.robot.space, self.robot.horizon
        self.frame_skip, self.keyframe = self.robot.frame_skip, self.robot.keyframe
        self.state_limit, self.camera = self.robot.state_limit, self.robot.camera
        terms = [*self.robot.reward.values(), *self.robot.termination.values()]
        signals = [*self.robot.observation, *(term.signal for term in terms)]
        self._fields = {signal.field for signal in signals}
        if not self._fields <= set(_OF_THE_STATE):
            self.reset_stage = int(mujoco.mjtStage.mjSTAGE_ACC)
        self._observation = _joined(self.robot.observation)
        model = self.build()
        self._told = TASK in {model.numeric(i).name for i in range(model.nnumeric)}

    def build(self) -> mujoco.MjModel:
        return load(self.robot.content)

    def control_range(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.robot.control_range
        return low.copy(), high.copy()

    def write(self, batch: Batch, ids: np.ndarray, values: np.ndarray) -> None:
        super().write(batch, ids, values)
        if self._told:
            first = batch.model.numeric(TASK).adr[0]
            batch.expand("numeric_data")[ids, first : first + self.space.dim] = values

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        for state, noise in ((qpos, self.robot.position_noise), (qvel, self.robot.velocity_noise)):
            noisy = np.flatnonzero(noise)
            if len(noisy):
                state[:, noisy] += uniform(rngs, len(noisy), 1.0) * noise[noisy]

    def before(self, batch: Batch) -> np.ndarray:
        """The controls (N, A) of the step before."""
        return batch.bind("ctrl").copy()

    def advance(self, batch: Batch, ctrl: np.ndarray, ids: np.ndarray | None) -> None:
        for field in self._fields:  # bound after the first step, a derived one would be zero there
            field_of(batch, field)
        super().advance(batch, ctrl, ids)

    def observe(self, batch: Batch, derived: None) -> np.ndarray:
        return np.concatenate([signal.read(batch) for signal in self._observation], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        return tuple(name for signal in self.robot.observation for name in signal.names)

    def reward_terms(self, batch, derived, ctrl_before, ctrl, values):
        return {name: term.value(batch, ctrl_before, values) for name, term in self.robot.reward.items()}

    def terminated(self, batch: Batch, values: np.ndarray) -> np.ndarray | None:
        ended = [term.ended(batch) for term in self.robot.termination.values()]
        return np.logical_or.reduce(ended) if ended else None


def _joined(signals: Sequence[Signal]) -> list[Signal]:
    """The same numbers in as few reads as they take: neighbours that copy columns of one field become one."""
    joined: list[Signal] = []
    for signal in signals:
        last = joined[-1] if joined else None
        if last and last.compute is None and signal.compute is None and last.field == signal.field:
            columns = np.concatenate([last.columns, signal.columns])
            joined[-1] = Signal(signal.field, columns, last.names + signal.names)
        else:
            joined.append(signal)
    return joined
