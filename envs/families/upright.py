"""Robots that hop or walk upright in a plane, what Hopper and Walker2d share.

    class Hopper(Upright):
        mjcf = "hopper.xml"

        @staticmethod
        def healthy(batch): ...                             # who is on his feet
"""

from collections.abc import Sequence

import numpy as np
from mujoco.batch import Batch

from ..observation import Observed, positions, velocities
from .gymnasium_robot import GymnasiumRobot, uniform

CONTROL_COST = 1e-3  # per squared unit of control
RESET_NOISE = 5e-3  # m, rad, m/s and rad/s
VELOCITY_LIMIT = 10.0  # m/s and rad/s, to which observed velocities are clipped


class Upright(GymnasiumRobot):
    """r = what the task rewards, here the forward velocity, + 1 while healthy - 0.001 * sum(a^2).

    An episode ends when the robot is not healthy any more. It observes all but how far it has come.
    """

    frame_skip = 4

    @staticmethod
    def healthy(batch: Batch) -> np.ndarray:
        """(N,) bool, who is on his feet."""
        raise NotImplementedError

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

    def forward_velocity(self, batch: Batch, qpos_before: np.ndarray) -> np.ndarray:
        """Mean velocity along x in m/s of the torso over the step, (N,)."""
        return (batch.bind("qpos")[:, 0] - qpos_before[:, 0]) / self.seconds(batch)

    def survive_and_control(self, batch: Batch, ctrl: np.ndarray, survive: float = 1.0) -> dict[str, np.ndarray]:
        """The terms that do not depend on the task."""
        return {"survive": self.healthy(batch) * survive, "control": -CONTROL_COST * np.square(ctrl).sum(axis=1)}

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"forward": self.forward_velocity(batch, qpos_before), **self.survive_and_control(batch, ctrl)}
