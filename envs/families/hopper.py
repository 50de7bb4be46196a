"""Hopper: the robot, bit for bit Gymnasium's Hopper-v5, as the base of families that vary its body.

    class HopperMass(Hopper):
        name = "HopperMass"
        space = TaskSpace(name, (Parameter("mass_scale", "1", "factor on all masses", 1.0, "uniform", 0.5, 2.0),))

Its reward is that of hopping forward; see `envs/parameter.py` for what a parameter may write.
"""

from collections.abc import Sequence

import numpy as np
from mujoco.batch import Batch

from ..observation import Observed, positions, velocities
from .gymnasium_robot import GymnasiumRobot, uniform

HEALTHY_HEIGHT = 0.7  # m, of the torso at least
HEALTHY_ANGLE = 0.2  # rad, of the torso from upright
HEALTHY_STATE = 100.0  # m, rad, m/s and rad/s: of all but the first two positions
CONTROL_COST = 1e-3  # per squared unit of control
RESET_NOISE = 5e-3  # m, rad, m/s and rad/s
VELOCITY_LIMIT = 10.0  # m/s and rad/s, to which observed velocities are clipped


class Hopper(GymnasiumRobot):
    """Hop forward: r = vx + 1 while healthy - 0.001 * sum(a^2), 0.008 s a step.

    An episode ends where the torso is lower than 0.7 m, leans by more than 0.2 rad, or anything is beyond 100.
    """

    mjcf = "hopper.xml"
    frame_skip = 4

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos += uniform(rngs, qpos.shape[1], RESET_NOISE)
        qvel += uniform(rngs, qvel.shape[1], RESET_NOISE)

    def observe(self, batch: Batch, derived: None) -> np.ndarray:
        velocity = np.clip(batch.bind("qvel"), -VELOCITY_LIMIT, VELOCITY_LIMIT)
        return np.concatenate([batch.bind("qpos")[:, 1:], velocity], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model = self.build()
        return (*positions(model, skip=1), *velocities(model, VELOCITY_LIMIT))

    def terminated(self, batch: Batch, values: np.ndarray) -> np.ndarray:
        return ~self.healthy(batch)

    @staticmethod
    def healthy(batch: Batch) -> np.ndarray:
        qpos, qvel = batch.bind("qpos"), batch.bind("qvel")
        within = (np.abs(qpos[:, 2:]) < HEALTHY_STATE).all(axis=1) & (np.abs(qvel) < HEALTHY_STATE).all(axis=1)
        return within & (qpos[:, 1] > HEALTHY_HEIGHT) & (np.abs(qpos[:, 2]) < HEALTHY_ANGLE)

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {
            "forward": (batch.bind("qpos")[:, 0] - qpos_before[:, 0]) / self.seconds(batch),
            "survive": self.healthy(batch) * 1.0,
            "control": -CONTROL_COST * np.square(ctrl).sum(axis=1),
        }
