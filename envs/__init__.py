"""Robots and what varies about them.

    from metarl.envs import make

    env = make("HalfCheetahDir", num_envs=800)           # a Gymnasium VectorEnv, one task per simulation
    env.set_tasks(env.space.sample(40, "train", np.random.default_rng(0)).repeat(20))

Importing this package registers the families with Gymnasium; without importing it, name it in the id:

    gymnasium.make("metarl.envs:metarl/HalfCheetahDir-v0")
    gymnasium.make_vec("metarl.envs:metarl/HalfCheetahDir-v0", num_envs=8)
"""

import inspect
from typing import Any

import gymnasium

from metarl.util.optional import MissingExtra
from metarl.util.text import nearest

from .batch_env import BatchEnv
from .families.ant import AntDir, AntDir2D, AntGoal, AntVel
from .families.ant_crippled import AntCrippled
from .families.go1 import Go1Fault, Go1Velocity
from .families.half_cheetah import HalfCheetahDir, HalfCheetahMass, HalfCheetahVel
from .families.half_cheetah_dynamics import (
    HalfCheetahBody,
    HalfCheetahDisabledJoint,
    HalfCheetahPier,
    HalfCheetahSlopes,
)
from .families.humanoid import HumanoidDir
from .families.leap_hand import LeapSpin
from .families.navigation import Navigation2D, Navigation2DSparse, Navigation2DWind
from .families.panda import PandaReach
from .families.pusher import PusherGoal
from .families.rand_params import HopperRandParams, Walker2dRandParams
from .families.reacher import ReacherGoal
from .families.swimmer import SwimmerVel
from .families.walker2d import Walker2dDir, Walker2dVel
from .family import Family
from .metaworld.env import MetaWorld, MetaWorldEnv, MetaWorldML1, MetaWorldML10, MetaWorldML45
from .oracle import OracleEnv
from .own_robot.robot import OwnRobot
from .parameter import Parameter
from .single_env import SingleEnv
from .task import SPLITS, Tasks, TaskSpace
from .trial import TrialEnv, TrialVectorEnv
from .variation.quantities import QUANTITIES
from .variation.write import Write

__all__ = [
    "FAMILIES", "QUANTITIES", "SPLITS", "BatchEnv", "Family", "MetaWorldEnv", "MissingExtra", "OracleEnv", "OwnRobot",
    "Parameter", "SingleEnv", "TaskSpace", "Tasks", "TrialEnv", "TrialVectorEnv", "Write", "family_class", "make",
    "make_family", "register", "vector_env",
]

FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (
        Navigation2D, Navigation2DSparse, Navigation2DWind, HalfCheetahDir, HalfCheetahVel, HalfCheetahMass,
        HalfCheetahBody, HalfCheetahDisabledJoint, HalfCheetahSlopes, HalfCheetahPier, AntDir, AntDir2D, AntVel,
        AntGoal, AntCrippled, HopperRandParams, Walker2dRandParams, Walker2dDir, Walker2dVel, SwimmerVel, HumanoidDir,
        ReacherGoal, PusherGoal,
        Go1Velocity, Go1Fault, PandaReach, LeapSpin, MetaWorldML1, MetaWorldML10, MetaWorldML45,
    )
}


def family_class(name: str) -> type[Family]:
    """The class of the family called name; "OwnRobot" is a person's own, which is not in FAMILIES: it needs a file."""
    if name == OwnRobot.__name__:
        return OwnRobot
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}" + nearest(name, FAMILIES))
    return FAMILIES[name]


def make_family(name: str, **options: Any) -> Family:
    """The family called name, with its options."""
    family = family_class(name)
    known = inspect.signature(family).parameters
    for option in options:
        if option not in known:
            settings = [*known, "horizon", "action_scale", "autoreset_mode", "num_threads"]
            raise TypeError(f"{name} has no option {option!r}" + nearest(option, settings))
    return family(**options)


def vector_env(family: str | Family) -> type[BatchEnv] | type[MetaWorldEnv]:
    """The class that steps a family: BatchEnv, unless it cannot run in mujoco.batch.Batch."""
    kind = FAMILIES.get(family) if isinstance(family, str) else type(family)
    return MetaWorldEnv if kind is not None and issubclass(kind, MetaWorld) else BatchEnv


def make(family: str | Family, num_envs: int, **kwargs: Any) -> BatchEnv | MetaWorldEnv:
    """The simulations of a family; kwargs are the settings of BatchEnv and the options of the family."""
    return vector_env(family)(family, num_envs, **kwargs)


def register() -> None:
    """Register every family with Gymnasium as metarl/<name>-v0, for make and make_vec; again is harmless."""
    for name in (*FAMILIES, OwnRobot.__name__):
        env_id = f"metarl/{name}-v0"
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="metarl.envs.single_env:SingleEnv",
                vector_entry_point=f"{__name__}:{vector_env(name).__name__}",
                kwargs={"family": name},
            )


register()
