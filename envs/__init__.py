"""Robots and what varies about them.

    from metarl.envs import make

    env = make("HalfCheetahDir", num_envs=800)           # a Gymnasium VectorEnv, one task per simulation
    env.set_tasks(env.space.sample(40, "train", np.random.default_rng(0)).repeat(20))

Importing this package registers the families with Gymnasium; without importing it, name it in the id:

    gymnasium.make("metarl.envs:metarl/HalfCheetahDir-v0")
    gymnasium.make_vec("metarl.envs:metarl/HalfCheetahDir-v0", num_envs=8)

What it offers is imported when it is asked for: names of families, tasks and parameters need neither MuJoCo nor
Gymnasium.
"""

import importlib
from typing import TYPE_CHECKING, Any

from metarl.util.optional import MissingExtra

from .registry import FAMILIES, family_class, make, make_family, register

if TYPE_CHECKING:
    from .batch_env import BatchEnv
    from .family import Family
    from .mixed_env import MixedEnv, Mixture
    from .oracle import OracleEnv
    from .own_robot.robot import OwnRobot
    from .parameter import Parameter
    from .simulator import Simulator
    from .single_env import SingleEnv
    from .task import SPLITS, Tasks, TaskSpace
    from .task_env import TaskVectorEnv
    from .trial import TrialEnv, TrialVectorEnv
    from .variation.quantities import QUANTITIES
    from .variation.write import Write

__all__ = [
    "FAMILIES", "QUANTITIES", "SPLITS", "BatchEnv", "Family", "MissingExtra", "MixedEnv", "Mixture", "OracleEnv",
    "OwnRobot", "Parameter", "Simulator", "SingleEnv", "TaskSpace", "TaskVectorEnv", "Tasks", "TrialEnv",
    "TrialVectorEnv", "Write", "family_class", "make", "make_family", "register",
]
_HOMES = {
    "batch_env": ["BatchEnv"], "family": ["Family"], "mixed_env": ["MixedEnv", "Mixture"], "oracle": ["OracleEnv"],
    "own_robot.robot": ["OwnRobot"], "parameter": ["Parameter"], "simulator": ["Simulator"],
    "single_env": ["SingleEnv"], "task": ["SPLITS", "Tasks", "TaskSpace"], "task_env": ["TaskVectorEnv"],
    "trial": ["TrialEnv", "TrialVectorEnv"], "variation.quantities": ["QUANTITIES"], "variation.write": ["Write"],
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return __all__
