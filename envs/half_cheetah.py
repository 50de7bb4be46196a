"""HalfCheetah families: run one way or the other, at a speed, or with another mass.

    env = make("HalfCheetahDir", 800)                             # as ProMP: Gymnasium's robot, 0.05 s a step, H = 100
    env = make("HalfCheetahVel", 800, max_velocity=7.0)
    env = make("HalfCheetahDir", 800, variant="maml")             # as MAML 2017: 0.01 s a step, H = 200
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import gymnasium.envs.mujoco
import mujoco
import numpy as np
from mujoco.batch import Batch

from .batch_env import Family
from .task import Parameter, TaskSpace, did_you_mean

_MJCF = Path(gymnasium.envs.mujoco.__file__).parent / "assets" / "half_cheetah.xml"
CONTROL_COST = 0.05  # per squared unit of control, as in every published variant


def load_spec() -> mujoco.MjSpec:
    """The robot that the gymnasium package ships."""
    return mujoco.MjSpec.from_file(str(_MJCF))


def compile_spec(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compile without the warning about settotalmass, printed and written to MUJOCO_LOG.TXT at each load."""
    handler = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="compiler attribute 'settotalmass'")
            return spec.compile()
    finally:
        mujoco.set_mju_user_warning(handler)


class HalfCheetah(Family):
    """What all HalfCheetahs share: robot, observation and reset of Gymnasium's HalfCheetah-v5."""

    frame_skip = 5
    horizon = 200
    camera = "track"

    def build(self) -> mujoco.MjModel:
        return compile_spec(load_spec())

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        uniform, normal = np.empty_like(qpos), np.empty_like(qvel)
        for rng, u, z in zip(rngs, uniform, normal, strict=True):
            rng.random(out=u)
            rng.standard_normal(out=z)
        qpos += 0.2 * uniform - 0.1
        qvel += 0.1 * normal

    def observe(self, batch: Batch) -> np.ndarray:
        return np.concatenate([batch.bind("qpos")[:, 1:], batch.bind("qvel")], axis=1)

    def forward_velocity(self, batch: Batch, qpos_before: np.ndarray) -> np.ndarray:
        """Mean velocity of the root along x over the step in m/s, (N,)."""
        return (batch.bind("qpos")[:, 0] - qpos_before[:, 0]) / (batch.model.opt.timestep * self.frame_skip)


class HalfCheetahDir(HalfCheetah):
    """Run forward or backward: r = direction * vx - 0.05 * sum(a^2)."""

    name = "HalfCheetahDir"
    horizon = 100

    def __init__(self, variant: str = "gym"):
        if variant != "gym":
            raise ValueError(f"HalfCheetahDir: unknown variant {variant!r}" + did_you_mean(variant, ("gym",)))
        self.space = TaskSpace(self.name, (
            Parameter("direction", "1", "sign of the rewarded velocity along x", 1.0, "choice", choices=(-1.0, 1.0)),))

    def reward_terms(self, batch, qpos_before, ctrl, values):
        velocity = self.forward_velocity(batch, qpos_before)
        return {"forward": values[:, 0] * velocity, "control": -CONTROL_COST * np.square(ctrl).sum(axis=1)}
