"""HalfCheetahs whose body or ground differs from task to task, all rewarded for running forward.

    env = make("HalfCheetahBody", 200)                    # mass, damping and the length of the head, as RoML
    env = make("HalfCheetahDisabledJoint", 200)           # one motor is dead; the back thigh's only in test tasks
    env = make("HalfCheetahSlopes", 200)                  # hills; basin, hill, gentle and steep only in test tasks
    env = make("HalfCheetahPier", 200)                    # eight floating blocks, each damped in its own way

The last three are those of Nagabandi, Clavera et al., "Learning to adapt in dynamic, real-world environments through
meta-reinforcement learning" (2019). docs/reference/environments.md has the definitions and where they deviate from the
code they come from.
"""

from collections.abc import Sequence

import mujoco
import numpy as np

from ..arrays import Array, namespace
from ..observation import Observed, positions, velocities
from ..parameter import Parameter
from ..simulator import Simulator
from ..task import TaskSpace
from ..variation.write import Write
from .half_cheetah import HalfCheetah, HalfCheetahMass, compile_spec, load_spec

JOINTS = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
_BLOCK_DAMPING = 5.0  # N s/m, by default
_ROBOT = 9  # positions, and velocities, of the robot itself


def _doubling(name: str, description: str, writes) -> Parameter:
    """A factor 2^U(-1, 1), and 2^[-1.5, -1] and 2^[1, 1.5] beyond."""
    return Parameter(name, "1", description, 1.0, "log_uniform", 0.5, 2.0, writes=writes,
                     extrapolation=((2.0**-1.5, 0.5), (2.0, 2.0**1.5)))


class HalfCheetahBody(HalfCheetahMass):
    """Run forward with another mass, joint damping and length of the head; else as HalfCheetahMass.

    The mass and inertia of the torso follow the length of the head. published=True: they do not, as in RoML's code, so
    that the length changes nothing unless the robot falls on its head; nor do inertias follow masses.
    """

    name = "HalfCheetahBody"

    def __init__(self, published: bool = False):
        super().__init__(published)
        length = "half_length" if published else "geom_length"
        mass = "factor on body masses, inertias and geom radii"
        self.space = TaskSpace(self.name, (
            _doubling("mass_scale", mass, (self.scaled_mass(), Write("radius"))),
            _doubling("damping_scale", "factor on the damping of every joint", Write("damping")),
            _doubling("head_scale", "factor on the length of the head", Write(length, "head")),
        ))


class _RunForward(HalfCheetah):
    """r = vx - 0.05 * sum(a^2), 17 observations of the robot itself, as Gymnasium's."""

    def __init__(self):
        super().__init__("gym")

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        super().reset_state(rngs, qpos[:, :_ROBOT], qvel[:, :_ROBOT])

    def observe(self, sim: Simulator, derived: None) -> Array:
        qpos = sim.bind("qpos")
        return namespace(qpos).concat([qpos[:, 1:_ROBOT], sim.bind("qvel")[:, :_ROBOT]], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model = self.build()
        return (*positions(model)[1:_ROBOT], *velocities(model)[:_ROBOT])

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        velocity = self.forward_velocity(sim, derived, qpos_before)
        return {"forward": velocity, "control": self.control_cost(ctrl)}


class HalfCheetahDisabledJoint(_RunForward):
    """Run forward with one dead motor, or none: r = vx - 0.05 * sum(a^2). One joint is kept for testing.

    `fold` says which, 0 to 5, by default the back thigh: over all folds every joint is a fault never seen. From `onset`
    on, a step, the motor is dead; before it the robot is intact.
    """

    name = "HalfCheetahDisabledJoint"

    def __init__(self, onset: int = 0, fold: int = 0):
        super().__init__()
        if isinstance(onset, bool) or not isinstance(onset, int) or onset < 0:
            raise ValueError(f"{self.name}: onset must be a step from 0 on, got {onset!r}")
        names = ", ".join(f"{i} {joint}" for i, joint in enumerate(JOINTS))
        self.space = TaskSpace(self.name, (
            Parameter("disabled_joint", "1", f"whose motor is dead: -1 none, {names}", -1.0, "choice",
                      choices=(-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0), onset=onset or None,
                      writes=Write("strength", JOINTS, "pick")),
        )).fold("disabled_joint", [(i,) for i in range(len(JOINTS))], fold)


class HalfCheetahSlopes(_RunForward):
    """Run forward over hills: r = vx - 0.05 * sum(a^2). The terrain is not observed.

    Terrain 0 is flat, 1 to 64 are six slopes up or down from 1 m on, 0.2 to 1 m high in all, the first two upwards.
    Kept for testing: 65 basin, 66 hill, 67 gentle and 68 steep.
    """

    name = "HalfCheetahSlopes"
    drawn = 64
    reserved = ("basin", "hill", "gentle", "steep")
    space = TaskSpace(name, (
        Parameter("terrain", "index", "0 flat, 1 to 64 slopes, 65 basin, 66 hill, 67 gentle, 68 steep", 0.0, "choice",
                  choices=tuple(map(float, range(69))), held_out=(65.0, 66.0, 67.0, 68.0),
                  writes=Write("terrain", "floor")),
    ))
    _half_length, _half_width = 100.0, 1.0  # m
    _lowest, _highest = -2.0, 6.0  # m, against the start
    _columns = 1001  # of 0.2 m each

    def build(self) -> mujoco.MjModel:
        spec, profiles = load_spec(), self.profiles()
        size = [self._half_length, self._half_width, self._highest - self._lowest, 0.1]
        for i in range(len(profiles)):
            spec.add_hfield(name=f"terrain_{i}", size=size, nrow=2, ncol=self._columns,
                            userdata=np.linspace(0, 1, 2 * self._columns))
        floor = spec.geom("floor")
        floor.type, floor.hfieldname, floor.pos = mujoco.mjtGeom.mjGEOM_HFIELD, "terrain_0", [0, 0, self._lowest]
        model = compile_spec(spec)
        # written here because the compiler would stretch each profile to the whole height
        heights = (profiles - self._lowest) / (self._highest - self._lowest)
        model.hfield_data[:] = np.repeat(heights[:, None], 2, axis=1).ravel()
        return model

    @classmethod
    def profiles(cls) -> np.ndarray:
        """Height in m of every terrain at x from -100 to 100 m, (69, columns)."""
        rng = np.random.Generator(np.random.PCG64(2019))
        x = np.linspace(-cls._half_length, cls._half_length, cls._columns)
        rows = [np.zeros_like(x)]
        for _ in range(cls.drawn):
            height, steepness = 0.2 + 0.8 * rng.random(), 0.2 + 0.4 * rng.random(6)
            up = np.array([True, True, *(rng.random(4) < 0.5)])
            rows.append(_slopes(x, np.where(up, steepness, -steepness), 2.0, height))
        for steps, height in (([-1, 1], 0.55), ([1, -1], 0.6), ([1] * 6, 1.0), ([1] * 6, 4.0)):
            rows.append(_slopes(x, steps, 3.0, height))
        return np.array(rows)


def _slopes(x: np.ndarray, steps: Sequence[float] | np.ndarray, width: float, height: float) -> np.ndarray:
    """Heights at x of slopes from x = 1 m on, each width m long, rising in proportion to steps, height m in all."""
    knots = np.concatenate([[0.0], np.cumsum(steps)])
    return np.interp(x, 1 + width * np.arange(len(knots)), knots * height / np.ptp(knots))


class HalfCheetahPier(_RunForward):
    """Run forward over eight floating blocks: r = vx - 0.05 * sum(a^2). Each has its own damping, U[0, 10] N s/m.

    As published, the 14 kg are those of robot and blocks together.
    """

    name = "HalfCheetahPier"
    _blocks = ((-8.0, 5.999), *((x, 1.999) for x in (0.0, 4.0, 8.0, 12.0, 16.0, 20.0)), (42.0, 19.999))  # m, m
    space = TaskSpace(name, tuple(
        Parameter(f"damping_{i}", "N s/m", f"damping of block {i}", _BLOCK_DAMPING, "uniform", 0.0, 10.0,
                  extrapolation=((10.0, 15.0),), writes=Write("damping", f"block_{i}", "set"))
        for i in range(8)
    ))

    def build(self) -> mujoco.MjModel:
        spec = load_spec()
        floor = spec.geom("floor")
        floor.contype = floor.conaffinity = 0
        floor.pos = [0, 0, -0.3]
        for i, (x, half_length) in enumerate(self._blocks):
            block = spec.worldbody.add_body(name=f"block_{i}", pos=[x, 0, -0.05])
            block.add_joint(name=f"block_{i}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 0, 1], range=[-0.15, 0.15],
                            limited=True, stiffness=150, damping=_BLOCK_DAMPING)
            block.add_geom(name=f"block_{i}", type=mujoco.mjtGeom.mjGEOM_BOX, size=[half_length, 0.99, 0.05], mass=10,
                           conaffinity=1, rgba=[0.64, 0.6 - 0.06 * i, 0.4 - 0.05 * i, 1])
        return compile_spec(spec)
