"""Robots that hop or walk upright in a plane, what Hopper and Walker2d share.

    class Hopper(Upright):
        mjcf = "hopper.xml"

        @staticmethod
        def healthy(sim): ...                             # (N,) bool, not fallen
"""

from collections.abc import Sequence

import numpy as np

from ..arrays import Array, clip, flag, namespace, squares
from ..observation import Observed, positions, velocities
from ..simulator import Simulator
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
    def healthy(sim: Simulator) -> Array:
        """(N,) bool, whether the robot is healthy (not fallen)."""
        raise NotImplementedError

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos += uniform(rngs, qpos.shape[1], RESET_NOISE)
        qvel += uniform(rngs, qvel.shape[1], RESET_NOISE)

    def observe(self, sim: Simulator, derived: None) -> Array:
        velocity = clip(sim.bind("qvel"), -VELOCITY_LIMIT, VELOCITY_LIMIT)
        return namespace(velocity).concat([sim.bind("qpos")[:, 1:], velocity], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model = self.build()
        return (*positions(model, skip=1), *velocities(model, VELOCITY_LIMIT))

    def terminated(self, sim: Simulator, values: Array) -> Array:
        return ~self.healthy(sim)

    def forward_velocity(self, sim: Simulator, qpos_before: Array) -> Array:
        """Mean velocity along x in m/s of the torso over the step, (N,)."""
        return (sim.bind("qpos")[:, 0] - qpos_before[:, 0]) / self.seconds(sim)

    def survive_and_control(self, sim: Simulator, ctrl: Array, survive: float = 1.0) -> dict[str, Array]:
        """The terms that do not depend on the task."""
        return {"survive": survive * flag(self.healthy(sim), ctrl), "control": -CONTROL_COST * squares(ctrl)}

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {"forward": self.forward_velocity(sim, qpos_before), **self.survive_and_control(sim, ctrl)}
