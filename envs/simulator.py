"""What steps the simulations of a family: `mujoco.batch.Batch` as it is, MuJoCo Warp, or what else has these methods.

    qpos = sim.bind("qpos")                               # (N, nq), live: what is written is the state of the next call
    sim.step(ids, nstep=5)

The arrays are of any library that follows the Array API standard (`metarl.envs.arrays`): a family does not know which.
What the model holds, and ids, are NumPy's.
"""

from typing import Protocol

import mujoco
import numpy as np

from .arrays import Array


class Simulator(Protocol):
    """N simulations of one model. ids (n,) choose some of them, None means all."""

    model: mujoco.MjModel

    @property
    def nsim(self) -> int:
        """N."""
        ...

    def bind(self, name: str) -> Array:
        """A field of MjData, (N, ...): live; derived ones are refreshed by every call and not to be written."""
        ...

    def expand(self, name: str) -> Array:
        """A field of MjModel with values of its own in each simulation, (N, ...); options as "opt.<name>"."""
        ...

    def step(self, ids: np.ndarray | None = None, nstep: int = 1, stage: int = 0) -> None:
        """nstep physics steps, and at the new state what is computed up to a stage."""
        ...

    def reset(self, ids: np.ndarray | None = None, keyframe: int = -1, stage: int = 0) -> None:
        """To a keyframe, -1 for qpos0, computed up to a stage."""
        ...

    def forward(self, ids: np.ndarray | None = None, stage: int = 0) -> None:
        """Compute what derives from the state, up to a stage."""
        ...

    def set_const(self, ids: np.ndarray | None = None) -> None:
        """Recompute the constants that follow from written model fields."""
        ...

    def get_data(self, sim: int, data: mujoco.MjData | None = None) -> mujoco.MjData:
        """One simulation as an MjData."""
        ...


class Physics(Protocol):
    """What makes the simulator of an environment, such as `metarl.envs.warp.Warp`."""

    def __call__(self, family: str, model: mujoco.MjModel, nsim: int) -> Simulator:
        """nsim simulations of a model; family is whose it is, for messages."""
        ...
