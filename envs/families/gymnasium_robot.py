"""What the robots share that the gymnasium package ships: the MJCF, the start of an episode, noise, contact forces.

    class Walker2d(GymnasiumRobot):
        mjcf, frame_skip = "walker2d_v5.xml", 4

A robot is Gymnasium's v5 environment bit for bit: observations, the parts of the reward, and termination, from the
same states under the same controls. To that end an episode begins with mj_forward, as Gymnasium's do, and velocities
that Gymnasium takes from derived positions (xpos, one stage behind the state after a step) are taken from those.
"""

from collections.abc import Sequence
from pathlib import Path

import gymnasium.envs.mujoco
import mujoco
import numpy as np

from ..arrays import Array, constant, namespace
from ..family import Family
from ..observation import Observed, of_bodies
from ..simulator import Simulator

ASSETS = Path(gymnasium.envs.mujoco.__file__).parent / "assets"
_WRENCH = (*((f"torque {axis}", "N m") for axis in "xyz"), *((f"force {axis}", "N") for axis in "xyz"))


class GymnasiumRobot(Family):
    """A robot whose MJCF the gymnasium package ships.

    Attributes:
        mjcf: file name of the MJCF.
    """

    mjcf: str
    licence = "MIT, OpenAI and Farama Foundation; the package gymnasium"
    horizon = 200
    reset_stage = int(mujoco.mjtStage.mjSTAGE_ACC)
    camera = "track"

    def spec(self) -> mujoco.MjSpec:
        """The MJCF, to be added to by a subclass: what has no mass and touches nothing leaves the physics alone."""
        return mujoco.MjSpec.from_file(str(ASSETS / self.mjcf))

    def build(self) -> mujoco.MjModel:
        return self.spec().compile()

    def seconds(self, sim: Simulator) -> float:
        """Seconds of one environment step."""
        return sim.model.opt.timestep * self.frame_skip


def uniform(rngs: Sequence[np.random.Generator], size: int, bound: float) -> np.ndarray:
    """Numbers (n, size) from U(-bound, bound), a generator a row."""
    unit = np.empty((len(rngs), size))
    for rng, row in zip(rngs, unit, strict=True):
        rng.random(out=row)
    return bound * (2 * unit - 1)


def normal(rngs: Sequence[np.random.Generator], size: int, deviation: float) -> np.ndarray:
    """Numbers (n, size) from N(0, deviation^2), a generator a row."""
    unit = np.empty((len(rngs), size))
    for rng, row in zip(rngs, unit, strict=True):
        rng.standard_normal(out=row)
    return deviation * unit


def weighted_sum(weights: np.ndarray, vectors: Array) -> Array:
    """Sum over b of weights (B,) times vectors (N, B, 3), (N, 3).

    By einsum where there is one, as Gymnasium has it: it may fuse multiplication and addition, which changes bits.
    """
    xp, weights = namespace(vectors), constant(weights, vectors)
    if hasattr(xp, "einsum"):
        return xp.einsum("b,nbj->nj", weights, vectors)
    return xp.sum(weights[None, :, None] * vectors, axis=1)


def contact_forces(sim: Simulator) -> Array:
    """Force and torque that contacts exert on each body, cfrc_ext (N, nbody, 6).

    MuJoCo computes it only for sensors, under RK4 for another stage than Gymnasium, which calls mj_rnePostConstraint
    after the step. So is done here, one simulation that touches anything after the other: its family must be
    persistent. A simulator that computes it in each step says so by a method of this name.
    """
    own = getattr(sim, "contact_forces", None)
    if own is not None:
        return own()
    data, forces = mujoco.MjData(sim.model), np.zeros((sim.nsim, sim.model.nbody, 6))
    for i in np.flatnonzero(np.asarray(sim.bind("ncon"))).tolist():
        sim.get_data(i, data)
        mujoco.mj_rnePostConstraint(sim.model, data)
        forces[i] = data.cfrc_ext
    return constant(forces, sim.bind("qpos"))


def contact_names(model: mujoco.MjModel, limit: float | None = None) -> tuple[Observed, ...]:
    """The entries of contact forces of every body but the world, clipped to [-limit, limit] if there is one."""
    source = "cfrc_ext[{}, {}]" if limit is None else f"clip(cfrc_ext[{{}}, {{}}], -{limit:g}, {limit:g})"
    return of_bodies(model, "contact", _WRENCH, source)
