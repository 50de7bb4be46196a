"""The independent answer: one MjModel and one MjData per simulation, stepped in a Python loop."""

import sys
import warnings
from pathlib import Path

import gymnasium.envs.mujoco
import mujoco
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))  # `warp_parity` is importable

NAMES = ("Navigation2D", "HalfCheetahDir", "HalfCheetahVel", "HalfCheetahMass")
VARIANTS = [(name, {}) for name in NAMES] + [(name, {"variant": "maml"}) for name in NAMES[1:3]]
GOALS = (
    "Navigation2DSparse", "Navigation2DWind", "AntDir", "AntDir2D", "AntVel", "AntGoal", "Walker2dDir", "Walker2dVel",
    "SwimmerVel", "HumanoidDir", "ReacherGoal", "PusherGoal", "QuadrotorWind",
)
DYNAMICS = (
    "HalfCheetahBody", "HalfCheetahDisabledJoint", "HalfCheetahSlopes", "HalfCheetahPier", "AntCrippled",
    "HopperRandParams", "Walker2dRandParams",
)
EVERY = [
    *VARIANTS, *((name, {}) for name in (*GOALS, *DYNAMICS)), ("AntGoal", {"contact_forces": True}),
    ("ReacherGoal", {"goal_visible": True}), ("PusherGoal", {"goal_visible": True}),
    ("HumanoidDir", {"contact_forces": True}),
]


def described(variant: tuple[str, dict]) -> str:
    """Name of a test for a variant."""
    return "-".join([variant[0], *(value if isinstance(value, str) else key for key, value in variant[1].items())])


def stock_cheetah() -> mujoco.MjModel:
    """Gymnasium's HalfCheetah, compiled as Gymnasium does."""
    path = Path(gymnasium.envs.mujoco.__file__).parent / "assets" / "half_cheetah.xml"
    handler = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mujoco.MjModel.from_xml_path(str(path))
    mujoco.set_mju_user_warning(handler)
    return model


class PlainSimulation:
    """One simulation of one task, written out from the published definitions without any code of metarl."""

    def __init__(self, name: str, task: np.ndarray, variant: str = "gym"):
        self.name, self.task, self.maml = name, task, variant == "maml"
        if name == "Navigation2D":
            return
        self.model = stock_cheetah()
        self.frame_skip = 1 if self.maml else 5
        if name == "HalfCheetahMass":
            scale = task[0]
            self.model.body_mass[:] = self.model.body_mass * scale
            self.model.body_inertia[:] = self.model.body_inertia * scale
            self.model.geom_size[1:, 0] = self.model.geom_size[1:, 0] * scale
            mujoco.mj_setConst(self.model, mujoco.MjData(self.model))
        self.data = mujoco.MjData(self.model)
        self.scratch = mujoco.MjData(self.model)

    def reset(self, rng: np.random.Generator) -> None:
        if self.name == "Navigation2D":
            self.position = np.zeros(2)
            return
        mujoco.mj_resetData(self.model, self.data)
        if self.maml:
            self.data.qpos[:] = self.model.qpos0 + 0.01 * rng.standard_normal(9)
        else:
            self.data.qpos[:] = self.model.qpos0 + (0.2 * rng.random(9) - 0.1)
        self.data.qvel[:] = 0.1 * rng.standard_normal(9)

    def centre(self) -> tuple[np.ndarray, np.ndarray]:
        """MuJoCo's centre of mass of the torso's subtree and its velocity, at the present state."""
        self.scratch.qpos[:], self.scratch.qvel[:] = self.data.qpos, self.data.qvel
        mujoco.mj_forward(self.model, self.scratch)
        mujoco.mj_subtreeVel(self.model, self.scratch)
        return self.scratch.subtree_com[1].copy(), self.scratch.subtree_linvel[1].copy()

    def state(self) -> np.ndarray:
        if self.name == "Navigation2D":
            return np.concatenate([self.position, np.zeros(2)])
        return np.concatenate([self.data.qpos, self.data.qvel])

    def observation(self) -> np.ndarray:
        if self.name == "Navigation2D":
            return self.position.copy()
        parts = [self.data.qpos[1:], self.data.qvel]
        if self.maml:
            parts.append(self.centre()[0])
        if self.name == "HalfCheetahMass":
            mujoco.mj_kinematics(self.model, self.data)
            parts.append(self.data.body("torso").xpos)
        return np.concatenate(parts)

    def step(self, action: np.ndarray) -> tuple[float, bool]:
        """Reward and terminated after an action in the actuator range, clipped to it."""
        if self.name == "Navigation2D":
            self.position = self.position + np.clip(action, -0.1, 0.1)
            dx, dy = self.position - self.task
            return -np.sqrt(dx * dx + dy * dy), bool(abs(dx) < 0.01 and abs(dy) < 0.01)
        control = np.clip(action, -1.0, 1.0)
        before = self.data.qpos[0]
        self.data.ctrl[:] = control
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        velocity = self.centre()[1][0] if self.maml else (self.data.qpos[0] - before) / (0.01 * self.frame_skip)
        cost = -0.05 * sum(c * c for c in control)
        if self.name == "HalfCheetahDir":
            return self.task[0] * velocity + cost, False
        if self.name == "HalfCheetahVel":
            return -abs(velocity - self.task[0]) + cost, False
        return velocity + cost + self.data.qpos[1], False


@pytest.fixture(params=VARIANTS, ids=described)
def family(request) -> tuple[str, dict]:
    """(name, options) of each family that PlainSimulation writes out, in each variant."""
    return request.param


@pytest.fixture(params=EVERY, ids=described)
def every_family(request) -> tuple[str, dict]:
    """(name, options) of each family in each variant."""
    return request.param


@pytest.fixture
def plain_simulation() -> type[PlainSimulation]:
    return PlainSimulation


@pytest.fixture
def stock_model() -> mujoco.MjModel:
    return stock_cheetah()
