"""Ant families: run forward or backward, in any direction, at a given speed, or to a hidden place.

    env = make("AntDir", 200)                               # 27 observations, 0.05 s a step, H = 200
    env = make("AntDir", 200, contact_forces=True)          # 105 observations and a cost of contacts, as Ant-v5
    env = make("AntDir", 200, published="varibad")          # what VariBAD's code of that name rewards
    env = make("AntGoal", 200)                              # the goal is hidden, the position is observed

Contact forces are left out by default: the authors of PEARL and VariBAD do not observe them in AntDir, everybody who
ran these environments on mujoco-py 2 had zeros in their place, and they are computed on one core only. With
contact_forces=True the robot is Gymnasium's Ant-v5 bit for bit, without them it is Ant-v5 with
include_cfrc_ext_in_observation=False and contact_cost_weight=0. docs/reference/environments.md has the definitions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np

from metarl.util.text import nearest

from ..arrays import Array, clip, flag, namespace, squares
from ..observation import Observed, positions, velocities
from ..simulator import Simulator
from ..task import TaskSpace
from .goal import along, checked_positive, disc, disc_position, forward_or_backward, heading, velocity
from .gymnasium_robot import GymnasiumRobot, contact_forces, contact_names, normal, uniform

HEALTHY_HEIGHT = (0.2, 1.0)  # m, of the torso
RESET_NOISE = 0.1
CONTROL_COST = 0.5  # per squared unit of control
CONTACT_COST = 5e-4  # per squared N or N m
CONTACT_LIMIT = 1.0  # N or N m, to which contact forces are clipped
_TORSO = 1  # body id


class AntState(NamedTuple):
    """What observation and reward need beside positions and velocities."""

    position: Array  # (N, 2), of the torso, one stage behind the state, as Gymnasium's velocities have it
    contact: Array | None  # (N, 14, 6), contact forces clipped to CONTACT_LIMIT


class Ant(GymnasiumRobot):
    """What all Ants share: r = what the task rewards + 1 while healthy - 0.5 * sum(a^2) [- cost of contacts].

    An episode ends where the torso leaves 0.2 to 1 m of height. contact_forces: observe them and charge for them.
    """

    mjcf = "ant.xml"
    frame_skip = 5
    hidden_positions = 2  # not observed, of qpos

    def __init__(self, contact_forces: bool = False):
        self.contact_forces = self.persistent = bool(contact_forces)

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos += uniform(rngs, qpos.shape[1], RESET_NOISE)
        qvel += normal(rngs, qvel.shape[1], RESET_NOISE)

    def before(self, sim: Simulator) -> Array:
        """Position of the torso (N, 2), as in AntState."""
        xpos = sim.bind("xpos")
        return namespace(xpos).asarray(xpos[:, _TORSO, :2], copy=True)

    def derive(self, sim: Simulator) -> AntState:
        contact = None
        if self.contact_forces:
            contact = clip(contact_forces(sim), -CONTACT_LIMIT, CONTACT_LIMIT)
        return AntState(self.before(sim), contact)

    def observe(self, sim: Simulator, derived: AntState) -> Array:
        qpos, qvel = sim.bind("qpos"), sim.bind("qvel")
        xp = namespace(qpos)
        contact = [] if derived.contact is None else [xp.reshape(derived.contact[:, 1:, :], (sim.nsim, -1))]
        return xp.concat([qpos[:, self.hidden_positions :], qvel, *contact], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model = self.build()
        contact = contact_names(model, CONTACT_LIMIT) if self.contact_forces else ()
        return (*positions(model, self.hidden_positions), *velocities(model), *contact)

    def terminated(self, sim: Simulator, values: Array) -> Array:
        return ~self.healthy(sim)

    @staticmethod
    def healthy(sim: Simulator) -> Array:
        """(N,) bool, whether the robot is healthy (not fallen)."""
        height = sim.bind("qpos")[:, 2]
        return (height >= HEALTHY_HEIGHT[0]) & (height <= HEALTHY_HEIGHT[1])

    def survive(self, sim: Simulator, reward: float = 1.0) -> Array:
        """The term for being healthy, (N,)."""
        return reward * flag(self.healthy(sim), sim.bind("qpos"))

    def torso_velocity(self, sim: Simulator, derived: AntState, position_before: Array) -> Array:
        """Mean velocity (N, 2) m/s of the torso over the step."""
        return (derived.position - position_before) / self.seconds(sim)

    @staticmethod
    def costs(derived: AntState, ctrl: Array, weight: float = CONTROL_COST) -> dict[str, Array]:
        """The terms of control and of contact, if contacts cost."""
        terms = {"control": -weight * squares(ctrl)}
        if derived.contact is not None:
            contact = namespace(ctrl).reshape(derived.contact, (ctrl.shape[0], -1))
            terms["contact"] = -CONTACT_COST * squares(contact)
        return terms


class AntDir(Ant):
    """Run forward or backward: r = direction * vx + 1 - 0.5 * sum(a^2).

    published="varibad": the direction, -1 or 1, is an angle in radians, as in VariBAD's code and that of those who
    copied it: the two tasks are 115 degrees apart, and both reward running along +x.
    """

    name = "AntDir"
    space = TaskSpace(name, (forward_or_backward(),))

    def __init__(self, contact_forces: bool = False, published: str | None = None):
        super().__init__(contact_forces)
        if published not in (None, "varibad"):
            raise ValueError(f"{self.name}: no published form {published!r}" + nearest(published, ["varibad"]))
        self.published = published

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        v, direction = self.torso_velocity(sim, derived, qpos_before), values[:, 0]
        forward = along(v, direction) if self.published == "varibad" else direction * v[:, 0]
        return {"forward": forward, "survive": self.survive(sim), **self.costs(derived, ctrl)}


class AntDir2D(Ant):
    """Run in a direction of the plane: r = (vx cos heading + vy sin heading) + 1 - 0.5 * sum(a^2)."""

    name = "AntDir2D"
    space = TaskSpace(name, (heading(),))

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        v = self.torso_velocity(sim, derived, qpos_before)
        forward = along(v, values[:, 0])
        return {"forward": forward, "survive": self.survive(sim), **self.costs(derived, ctrl)}


class AntVel(Ant):
    """Run at a target velocity: r = -|vx - velocity| + 1.05 - 0.005 * sum(a^2), as MAML's; velocity U[0, 3] m/s.

    max_velocity in m/s is the end of the training range. Extrapolation tasks are up to half as fast again.
    """

    name = "AntVel"
    control_cost = 0.005
    survive_reward = 1.05  # 1 that lifts the reward above zero and 0.05 for being healthy

    def __init__(self, contact_forces: bool = False, max_velocity: float = 3.0):
        super().__init__(contact_forces)
        self.space = TaskSpace(self.name, (velocity(checked_positive(self.name, "max_velocity", max_velocity)),))

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        speed = self.torso_velocity(sim, derived, qpos_before)[:, 0]
        return {
            "speed": -abs(speed - values[:, 0]),
            "survive": self.survive(sim, self.survive_reward),
            **self.costs(derived, ctrl, self.control_cost),
        }


class AntGoal(Ant):
    """Run to a hidden place: r = -(|dx| + |dy|) - 0.1 * sum(a^2); the goal is uniform over a disc of 3 m.

    The position is observed, and an episode never ends by itself.
    """

    name = "AntGoal"
    camera = "arena"
    hidden_positions = 0
    control_cost = 0.1
    space = TaskSpace(name, disc(3.0, beyond=4.5))

    def spec(self) -> mujoco.MjSpec:
        spec = super().spec()
        x, y = disc_position(self.space.default().values)[0]
        spec.worldbody.add_site(name="goal", type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=[x, y, 0.01],
                                size=[0.2, 0.005, 0], rgba=[0.1, 0.7, 0.2, 0.8])
        spec.worldbody.add_camera(name="arena", pos=[0, -7, 6], xyaxes=[1, 0, 0, 0, 0.65, 0.76])
        return spec

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        # only the picture needs it: the reward is computed from the values
        sim.expand("site_pos")[ids, 0, :2] = disc_position(values)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        offset = abs(derived.position - disc_position(values))
        return {"goal": -namespace(offset).sum(offset, axis=1), **self.costs(derived, ctrl, self.control_cost)}

    def terminated(self, sim: Simulator, values: Array) -> None:
        return None
