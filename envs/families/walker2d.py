"""Walker2d families: walk forward or backward, or at a given speed.

    env = make("Walker2dDir", 200)                          # Gymnasium's Walker2d-v5: 0.008 s a step, H = 200
    env = make("Walker2dVel", 200, frame_skip=8)            # 0.016 s a step, as ProMP

`Walker2d` is the robot without a task, bit for bit Gymnasium's Walker2d-v5: the base of further families.
"""

from collections.abc import Sequence

import numpy as np
from mujoco.batch import Batch

from ..observation import Observed, positions, velocities
from ..task import TaskSpace
from .goal import checked_velocity, forward_or_backward, velocity
from .gymnasium_robot import GymnasiumRobot, uniform

HEALTHY_HEIGHT = (0.8, 2.0)  # m, of the torso
HEALTHY_ANGLE = 1.0  # rad, of the torso from upright
CONTROL_COST = 1e-3  # per squared unit of control
RESET_NOISE = 5e-3  # m, rad, m/s and rad/s
VELOCITY_LIMIT = 10.0  # m/s and rad/s, to which observed velocities are clipped


class Walker2d(GymnasiumRobot):
    """What all Walker2ds share: r = what the task rewards + 1 while healthy - 0.001 * sum(a^2).

    An episode ends where the torso leaves 0.8 to 2 m of height or leans by more than 1 rad. frame_skip: physics steps
    of 0.002 s a step.
    """

    mjcf = "walker2d_v5.xml"

    def __init__(self, frame_skip: int = 4):
        if isinstance(frame_skip, bool) or not isinstance(frame_skip, int) or frame_skip < 1:
            raise ValueError(f"{self.name}: frame_skip must be a positive integer, got {frame_skip!r}")
        self.frame_skip = frame_skip

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
        height, angle = batch.bind("qpos")[:, 1], batch.bind("qpos")[:, 2]
        upright = (height > HEALTHY_HEIGHT[0]) & (height < HEALTHY_HEIGHT[1])
        return upright & (angle > -HEALTHY_ANGLE) & (angle < HEALTHY_ANGLE)

    def forward_velocity(self, batch: Batch, qpos_before: np.ndarray) -> np.ndarray:
        """Mean velocity along x in m/s of the torso over the step, (N,)."""
        return (batch.bind("qpos")[:, 0] - qpos_before[:, 0]) / self.seconds(batch)

    def survive_and_control(self, batch: Batch, ctrl: np.ndarray, survive: float = 1.0) -> dict[str, np.ndarray]:
        """The terms that do not depend on the task."""
        return {"survive": self.healthy(batch) * survive, "control": -CONTROL_COST * np.square(ctrl).sum(axis=1)}

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"forward": self.forward_velocity(batch, qpos_before), **self.survive_and_control(batch, ctrl)}


class Walker2dDir(Walker2d):
    """Walk forward or backward: r = direction * vx + 1 - 0.001 * sum(a^2)."""

    name = "Walker2dDir"
    space = TaskSpace(name, (forward_or_backward(),))

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        forward = values[:, 0] * self.forward_velocity(batch, qpos_before)
        return {"forward": forward, **self.survive_and_control(batch, ctrl)}


class Walker2dVel(Walker2d):
    """Walk at a target velocity: r = -|vx - velocity| + 15 - 0.001 * sum(a^2); velocity U[0, 10] m/s, as ProMP.

    max_velocity in m/s is the end of the training range. Extrapolation tasks are up to half as fast again.
    """

    name = "Walker2dVel"
    survive = 15.0  # more than any target velocity, so that falling never pays

    def __init__(self, frame_skip: int = 4, max_velocity: float = 10.0):
        super().__init__(frame_skip)
        self.space = TaskSpace(self.name, (velocity(checked_velocity(self.name, "max_velocity", max_velocity)),))

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        miss = np.abs(self.forward_velocity(batch, qpos_before) - values[:, 0])
        return {"speed": -miss, **self.survive_and_control(batch, ctrl, self.survive)}
