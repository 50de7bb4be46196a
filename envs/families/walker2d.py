"""Walker2d families: walk forward or backward, or at a given speed.

    env = make("Walker2dDir", 200)                          # Gymnasium's Walker2d-v5: 0.008 s a step, H = 200
    env = make("Walker2dVel", 200, frame_skip=8)            # 0.016 s a step, as ProMP

`Walker2d` is the robot without a task, bit for bit Gymnasium's Walker2d-v5: the base of further families.
"""


from ..arrays import Array
from ..simulator import Simulator
from ..task import TaskSpace
from .goal import checked_positive, forward_or_backward, velocity
from .upright import Upright

HEALTHY_HEIGHT = (0.8, 2.0)  # m, of the torso
HEALTHY_ANGLE = 1.0  # rad, of the torso from upright


class Walker2d(Upright):
    """What all Walker2ds share: r = what the task rewards + 1 while healthy - 0.001 * sum(a^2).

    An episode ends where the torso leaves 0.8 to 2 m of height or leans by more than 1 rad. frame_skip: physics steps
    of 0.002 s a step.
    """

    mjcf = "walker2d_v5.xml"

    def __init__(self, frame_skip: int = 4):
        if isinstance(frame_skip, bool) or not isinstance(frame_skip, int) or frame_skip < 1:
            raise ValueError(f"{self.name}: frame_skip must be a positive integer, got {frame_skip!r}")
        self.frame_skip = frame_skip

    @staticmethod
    def healthy(sim: Simulator) -> Array:
        height, angle = sim.bind("qpos")[:, 1], sim.bind("qpos")[:, 2]
        upright = (height > HEALTHY_HEIGHT[0]) & (height < HEALTHY_HEIGHT[1])
        return upright & (angle > -HEALTHY_ANGLE) & (angle < HEALTHY_ANGLE)


class Walker2dDir(Walker2d):
    """Walk forward or backward: r = direction * vx + 1 - 0.001 * sum(a^2)."""

    name = "Walker2dDir"
    space = TaskSpace(name, (forward_or_backward(),))

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        forward = values[:, 0] * self.forward_velocity(sim, qpos_before)
        return {"forward": forward, **self.survive_and_control(sim, ctrl)}


class Walker2dVel(Walker2d):
    """Walk at a target velocity: r = -|vx - velocity| + 15 - 0.001 * sum(a^2); velocity U[0, 10] m/s, as ProMP.

    max_velocity in m/s is the end of the training range. Extrapolation tasks are up to half as fast again.
    """

    name = "Walker2dVel"
    survive = 15.0  # more than any target velocity, so that falling never pays

    def __init__(self, frame_skip: int = 4, max_velocity: float = 10.0):
        super().__init__(frame_skip)
        self.space = TaskSpace(self.name, (velocity(checked_positive(self.name, "max_velocity", max_velocity)),))

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        miss = abs(self.forward_velocity(sim, qpos_before) - values[:, 0])
        return {"speed": -miss, **self.survive_and_control(sim, ctrl, self.survive)}
