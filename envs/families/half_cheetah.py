"""HalfCheetah families: run one way or the other, at a given speed, or with another mass.

    env = make("HalfCheetahDir", 800)                             # Gymnasium's robot, 0.05 s a step, H = 100, as ProMP
    env = make("HalfCheetahVel", 800, max_velocity=7.0)           # [0, 7] m/s, as RoML
    env = make("HalfCheetahDir", 800, variant="maml")             # MAML 2017: 0.01 s a step, H = 200
    env = make("HalfCheetahDir", 800, variant="varibad")          # VariBAD, RoML: the torso is observed
    env = make("HalfCheetahMass", 800)                            # body mass times 0.5 to 2

Rewards are velocities, so returns of the two variants differ by far: in 100 steps the robot has 5 s or 1 s to run.
The MJCF is the one that the gymnasium package ships. docs/reference/environments.md has the definitions and where they
deviate from the code they come from.
"""

from collections.abc import Sequence

import mujoco
import numpy as np

from metarl.util.text import nearest

from ..arrays import Array, full, namespace, squares
from ..observation import Observed, of_point, positions, velocities
from ..parameter import Parameter
from ..simulator import Simulator
from ..task import TaskSpace
from ..variation.write import Write
from .goal import checked_positive, forward_or_backward, velocity
from .gymnasium_robot import ASSETS, GymnasiumRobot
from .planar_com import PlanarCom

VARIANTS = ("gym", "maml", "varibad")
CONTROL_COST = 0.05  # per squared unit of control, in every published variant
TOTAL_MASS = 14.0  # kg, the MJCF's settotalmass


def load_spec() -> mujoco.MjSpec:
    """The MJCF that gymnasium ships."""
    spec = mujoco.MjSpec.from_file(str(ASSETS / "half_cheetah.xml"))
    # MuJoCo prints a warning and writes MUJOCO_LOG.TXT for this attribute; compile_spec does what it asks for
    spec.compiler.settotalmass = -1
    return spec


def compile_spec(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """The model of a spec from load_spec, bit for bit what Gymnasium compiles."""
    model = spec.compile()
    mujoco.mj_setTotalmass(model, TOTAL_MASS)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


class HalfCheetah(GymnasiumRobot):
    """What all HalfCheetahs share.

    variant "gym": Gymnasium's HalfCheetah-v5: 5 physics steps a step, 17 observations (positions but x, velocities),
    reset noise U(-0.1, 0.1) and 0.1 N(0, 1); the velocity is the mean one of the root over the step.
    variant "maml": rllab's, as in MAML: 1 physics step, 20 observations (and the centre of mass), reset noise
    0.01 N(0, 1) and 0.1 N(0, 1); the velocity is that of the centre of mass, at the new state.
    variant "varibad": VariBAD's and RoML's, which is "gym" with 20 observations (and the position of the torso).
    """

    frame_skip = 5
    reset_stage = int(mujoco.mjtStage.mjSTAGE_NONE)

    def __init__(self, variant: str = "gym"):
        if variant not in VARIANTS:
            raise ValueError(f"{self.name}: unknown variant {variant!r}" + nearest(variant, VARIANTS))
        self.variant = variant
        if variant != "gym":
            self.horizon = 200
        if variant == "maml":
            self.frame_skip = 1
            self._com = PlanarCom(self.build(), "torso")

    def build(self) -> mujoco.MjModel:
        return compile_spec(load_spec())

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        position, velocity = np.empty_like(qpos), np.empty_like(qvel)
        draw_position = np.random.Generator.standard_normal if self.variant == "maml" else np.random.Generator.random
        for rng, p, v in zip(rngs, position, velocity, strict=True):
            draw_position(rng, out=p)
            rng.standard_normal(out=v)
        qpos += 0.01 * position if self.variant == "maml" else 0.2 * position - 0.1
        qvel += 0.1 * velocity

    def derive(self, sim: Simulator) -> tuple[Array, Array] | None:
        """Centre of mass and its velocity, (N, 3) each, in variant "maml"."""
        return self._com(sim.bind("qpos"), sim.bind("qvel")) if self.variant == "maml" else None

    def observe(self, sim: Simulator, derived: tuple[Array, Array] | None) -> Array:
        qpos, more = sim.bind("qpos"), [] if derived is None else [derived[0]]
        xp = namespace(qpos)
        if self.variant == "varibad":
            x, y, z = sim.model.body("torso").pos.tolist()
            more = [xp.stack([x + qpos[:, 0], full(qpos, y), z + qpos[:, 1]], axis=1)]
        return xp.concat([qpos[:, 1:], sim.bind("qvel"), *more], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model = self.build()
        torso = model.body("torso").id
        centre = [Observed(f"centre of mass {axis}", "m", "body torso", f"subtree_com[{torso}, {i}]")
                  for i, axis in enumerate("xyz")]  # fmt: skip
        more = {"gym": (), "maml": centre, "varibad": of_point(model, "torso")}[self.variant]
        return (*positions(model, skip=1), *velocities(model), *more)

    def forward_velocity(self, sim: Simulator, derived, qpos_before: Array) -> Array:
        """Velocity along x in m/s, (N,)."""
        if derived is not None:
            return derived[1][:, 0]
        return (sim.bind("qpos")[:, 0] - qpos_before[:, 0]) / self.seconds(sim)

    @staticmethod
    def control_cost(ctrl: Array) -> Array:
        return -CONTROL_COST * squares(ctrl)


class HalfCheetahDir(HalfCheetah):
    """Run forward or backward: r = direction * vx - 0.05 * sum(a^2)."""

    name = "HalfCheetahDir"
    horizon = 100
    space = TaskSpace(name, (forward_or_backward(),))

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        forward = values[:, 0] * self.forward_velocity(sim, derived, qpos_before)
        return {"forward": forward, "control": self.control_cost(ctrl)}


class HalfCheetahVel(HalfCheetah):
    """Run at a target velocity: r = -|vx - velocity| - 0.05 * sum(a^2).

    max_velocity in m/s is the end of the training range, which begins at 0; by default 3, and 2 in variant "maml".
    Extrapolation tasks are up to half as fast again.
    """

    name = "HalfCheetahVel"

    def __init__(self, variant: str = "gym", max_velocity: float | None = None):
        super().__init__(variant)
        top = {"maml": 2.0}.get(variant, 3.0) if max_velocity is None else max_velocity
        self.space = TaskSpace(self.name, (velocity(checked_positive(self.name, "max_velocity", top)),))

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        miss = abs(self.forward_velocity(sim, derived, qpos_before) - values[:, 0])
        return {"speed": -miss, "control": self.control_cost(ctrl)}


class HalfCheetahMass(HalfCheetah):
    """Run forward with another mass: r = vx - 0.05 * sum(a^2) + height of the root above its rest (m).

    mass_scale multiplies the mass and inertia of every body and the radius of its geoms. 20 observations: those of
    Gymnasium's HalfCheetah and the position of the torso. published=True: inertias stay as they are, as in RoML's code.
    """

    name = "HalfCheetahMass"

    def __init__(self, published: bool = False):
        super().__init__("varibad")
        self.published = bool(published)
        self.space = TaskSpace(self.name, (
            Parameter("mass_scale", "1", "factor on body masses, inertias and geom radii", 1.0, "log_uniform", 0.5, 2.0,
                      extrapolation=((2.0**-1.5, 0.5), (2.0, 2.0**1.5)), writes=(self.scaled_mass(), Write("radius"))),
        ))  # fmt: skip

    def scaled_mass(self) -> Write:
        return Write("mass_only" if self.published else "mass")

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {
            "forward": self.forward_velocity(sim, derived, qpos_before),
            "control": self.control_cost(ctrl),
            "height": namespace(ctrl).asarray(sim.bind("qpos")[:, 1], copy=True),
        }
