"""Humanoid in a given direction of the plane: Gymnasium's Humanoid-v5.

    env = make("HumanoidDir", 200)                          # 270 observations, 0.015 s a step, H = 200
    env = make("HumanoidDir", 200, contact_forces=True)     # 348 observations and a cost of contacts, as Humanoid-v5

Contact forces are left out by default, as in envs/families/ant.py: without them the robot is Humanoid-v5 with
include_cfrc_ext_in_observation=False and contact_cost_weight=0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..arrays import Array, flag, namespace, squares
from ..observation import Observed, of_bodies, positions, velocities
from ..simulator import Simulator
from ..task import TaskSpace
from .goal import along, heading
from .gymnasium_robot import GymnasiumRobot, contact_forces, contact_names, uniform, weighted_sum

HEALTHY_HEIGHT = (1.0, 2.0)  # m, of the torso
FORWARD_REWARD = 1.25  # per m/s
SURVIVE_REWARD = 5.0
CONTROL_COST = 0.1  # per squared unit of control
CONTACT_COST, LARGEST_CONTACT_COST = 5e-7, 10.0  # per squared N or N m; at most, a step
RESET_NOISE = 0.01  # m, rad, m/s and rad/s
_FREE_JOINT = 6  # degrees of freedom, which have no actuator
_INERTIA = (
    *((f"inertia {axes}", "kg m^2") for axes in ("xx", "yy", "zz", "xy", "xz", "yz")),
    *((f"first moment {axis}", "kg m") for axis in "xyz"),
    ("mass", "kg"),
)
_VELOCITY = (
    *((f"angular velocity {axis}", "rad/s") for axis in "xyz"),
    *((f"velocity {axis}", "m/s") for axis in "xyz"),
)


class HumanoidState(NamedTuple):
    """What observation and reward need beside positions and velocities, one stage behind the state."""

    centre: Array  # (N, 2), centre of mass in m
    contact: Array | None  # (N, 14, 6), contact forces


class Humanoid(GymnasiumRobot):
    """What all Humanoids share: r = what the task rewards + 5 while healthy - 0.1 * sum(a^2) [- cost of contacts].

    An episode ends where the torso leaves 1 to 2 m of height. contact_forces: observe them and charge for them.
    """

    mjcf = "humanoid.xml"
    frame_skip = 5

    def __init__(self, contact_forces: bool = False):
        self.contact_forces = self.persistent = bool(contact_forces)

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos += uniform(rngs, qpos.shape[1], RESET_NOISE)
        qvel += uniform(rngs, qvel.shape[1], RESET_NOISE)

    def before(self, sim: Simulator) -> Array:
        """Centre of mass (N, 2), as in HumanoidState."""
        return self._centre(sim)

    def derive(self, sim: Simulator) -> HumanoidState:
        contact = contact_forces(sim) if self.contact_forces else None
        return HumanoidState(self._centre(sim), contact)

    def observe(self, sim: Simulator, derived: HumanoidState) -> Array:
        qpos = sim.bind("qpos")
        xp = namespace(qpos)
        of_bodies = [sim.bind("cinert"), sim.bind("cvel")] + [derived.contact] * self.contact_forces
        inertia, velocity, *contact = (xp.reshape(field[:, 1:, :], (sim.nsim, -1)) for field in of_bodies)
        torque = sim.bind("qfrc_actuator")[:, _FREE_JOINT:]
        return xp.concat([qpos[:, 2:], sim.bind("qvel"), inertia, velocity, torque, *contact], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model = self.build()
        joints = [model.joint(int(model.dof_jntid[dof])).name for dof in range(_FREE_JOINT, model.nv)]
        torques = (
            Observed(f"{joint} actuator torque", "N m", f"joint {joint}", f"qfrc_actuator[{dof}]")
            for dof, joint in enumerate(joints, _FREE_JOINT)
        )
        return (
            *positions(model, skip=2),
            *velocities(model),
            *of_bodies(model, "cinert", _INERTIA, "cinert[{}, {}]"),
            *of_bodies(model, "cvel", _VELOCITY, "cvel[{}, {}]"),
            *torques,
            *(contact_names(model) if self.contact_forces else ()),
        )

    def terminated(self, sim: Simulator, values: Array) -> Array:
        return ~self.healthy(sim)

    @staticmethod
    def healthy(sim: Simulator) -> Array:
        """(N,) bool, whether the robot is healthy (not fallen)."""
        height = sim.bind("qpos")[:, 2]
        return (height > HEALTHY_HEIGHT[0]) & (height < HEALTHY_HEIGHT[1])

    def costs(self, derived: HumanoidState, ctrl: Array) -> dict[str, Array]:
        """The terms of control and of contact, if contacts cost."""
        terms = {"control": -CONTROL_COST * squares(ctrl)}
        if derived.contact is not None:
            xp = namespace(ctrl)
            contact = squares(xp.reshape(derived.contact, (ctrl.shape[0], -1)))
            terms["contact"] = -xp.minimum(CONTACT_COST * contact, LARGEST_CONTACT_COST)
        return terms

    @staticmethod
    def _centre(sim: Simulator) -> Array:
        mass = sim.model.body_mass
        return (weighted_sum(mass, sim.bind("xipos")) / float(mass.sum()))[:, :2]


class HumanoidDir(Humanoid):
    """Run in a direction of the plane: r = 1.25 * (vx cos heading + vy sin heading) + 5 - 0.1 * sum(a^2)."""

    name = "HumanoidDir"
    space = TaskSpace(name, (heading(),))

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        velocity = (derived.centre - qpos_before) / self.seconds(sim)
        return {
            "forward": FORWARD_REWARD * along(velocity, values[:, 0]),
            "survive": SURVIVE_REWARD * flag(self.healthy(sim), values),
            **self.costs(derived, ctrl),
        }
