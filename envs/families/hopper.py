"""Hopper: the robot, bit for bit Gymnasium's Hopper-v5, as the base of families that vary its body.

    class HopperMass(Hopper):
        name = "HopperMass"
        space = TaskSpace(name, (
            Parameter("mass_scale", "1", "factor on all masses", 1.0, "uniform", 0.5, 2.0, writes=Write("mass")),
        ))

Its reward is that of hopping forward; `QUANTITIES` of metarl.envs.variation.quantities are what a parameter may write.
"""


from ..arrays import Array, namespace
from ..simulator import Simulator
from .upright import Upright

HEALTHY_HEIGHT = 0.7  # m, of the torso at least
HEALTHY_ANGLE = 0.2  # rad, of the torso from upright
HEALTHY_STATE = 100.0  # m, rad, m/s and rad/s: of all but the first two positions


class Hopper(Upright):
    """Hop forward: r = vx + 1 while healthy - 0.001 * sum(a^2), 0.008 s a step.

    An episode ends where the torso is lower than 0.7 m, leans by more than 0.2 rad, or anything is beyond 100.
    """

    mjcf = "hopper.xml"

    @staticmethod
    def healthy(sim: Simulator) -> Array:
        qpos, qvel = sim.bind("qpos"), sim.bind("qvel")
        every = namespace(qpos).all
        within = every(abs(qpos[:, 2:]) < HEALTHY_STATE, axis=1) & every(abs(qvel) < HEALTHY_STATE, axis=1)
        return within & (qpos[:, 1] > HEALTHY_HEIGHT) & (abs(qpos[:, 2]) < HEALTHY_ANGLE)
