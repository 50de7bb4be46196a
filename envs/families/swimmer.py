"""Swimmer at a given speed: three links in a viscous fluid, Gymnasium's Swimmer-v5.

    env = make("SwimmerVel", 200)                           # 0.04 s a step, H = 200
    env = make("SwimmerVel", 200, published="promp")        # rewards missing the target, as ProMP's code does
"""

from collections.abc import Sequence

import numpy as np

from metarl.util.text import nearest

from ..arrays import Array, namespace, squares
from ..observation import Observed, positions, velocities
from ..simulator import Simulator
from ..task import TaskSpace
from .goal import velocity
from .gymnasium_robot import GymnasiumRobot, uniform

CONTROL_COST = 1e-4  # per squared unit of control
RESET_NOISE = 0.1  # m, rad, m/s and rad/s


class Swimmer(GymnasiumRobot):
    """What all Swimmers share: r = what the task rewards - 0.0001 * sum(a^2). Episodes never end by themselves."""

    mjcf = "swimmer.xml"
    frame_skip = 4

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos += uniform(rngs, qpos.shape[1], RESET_NOISE)
        qvel += uniform(rngs, qvel.shape[1], RESET_NOISE)

    def observe(self, sim: Simulator, derived: None) -> Array:
        qpos = sim.bind("qpos")
        return namespace(qpos).concat([qpos[:, 2:], sim.bind("qvel")], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model = self.build()
        return (*positions(model, skip=2), *velocities(model))

    def forward_velocity(self, sim: Simulator, qpos_before: Array) -> Array:
        """Mean velocity along x in m/s of the front tip over the step, (N,)."""
        return (sim.bind("qpos")[:, 0] - qpos_before[:, 0]) / self.seconds(sim)


class SwimmerVel(Swimmer):
    """Swim at a target velocity: r = -|vx - velocity| - 0.0001 * sum(a^2); velocity U[0.1, 0.2] m/s.

    published="promp": r = +|vx - velocity| - ..., the sign in ProMP's code, which pays for missing the target.
    """

    name = "SwimmerVel"
    space = TaskSpace(name, (velocity(0.2, low=0.1),))

    def __init__(self, published: str | None = None):
        if published not in (None, "promp"):
            raise ValueError(f"{self.name}: no published form {published!r}" + nearest(published, ["promp"]))
        self.published = published

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        miss = abs(self.forward_velocity(sim, qpos_before) - values[:, 0])
        return {
            "speed": miss if self.published == "promp" else -miss,
            "control": -CONTROL_COST * squares(ctrl),
        }
