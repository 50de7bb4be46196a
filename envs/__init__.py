"""Robots and what varies about them.

    from metarl.envs import make

    env = make("HalfCheetahDir", num_envs=800)           # a Gymnasium VectorEnv, one task per simulation
    env.set_tasks(env.space.sample(40, "train", np.random.default_rng(0)).repeat(20))

Families are found by name, those that metarl ships and those that other packages add (`metarl.envs.registry`).
Gymnasium knows them too:

    gymnasium.make("metarl/HalfCheetahDir-v0")
    gymnasium.make_vec("metarl/HalfCheetahDir-v0", num_envs=8)

What stands here is imported when it is used: tasks and parameters need neither MuJoCo nor Gymnasium.
"""

import importlib
import sys

_PUBLIC = {
    "batch_env": ("BatchEnv",),
    "family": ("Family",),
    "metaworld.env": ("MetaWorldEnv",),
    "oracle": ("OracleEnv",),
    "own_robot.robot": ("OwnRobot",),
    "parameter": ("Parameter",),
    "registry": ("env_class", "make", "make_family", "make_single"),
    "single_env": ("SingleEnv",),
    "task": ("SPLITS", "Tasks", "TaskSpace"),
    "trial": ("TrialEnv", "TrialVectorEnv"),
    "variation.quantities": ("QUANTITIES",),
    "variation.write": ("Write",),
}
_MODULES = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = sorted(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *globals()]


if "gymnasium" in sys.modules:  # families that were added since it was imported
    importlib.import_module(f"{__name__}.gymnasium_ids").register()
