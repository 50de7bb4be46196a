"""Robots and what varies about them.

    from metarl.envs import make
    env = make("HalfCheetahDir", num_envs=800)           # a gymnasium VectorEnv, one task per simulation
    env.set_tasks(env.space.sample(800, "train", np.random.default_rng(0)))
"""

from typing import Any

from .batch_env import BatchEnv, Family
from .half_cheetah import HalfCheetahDir
from .navigation import Navigation2D
from .task import SPLITS, Parameter, Tasks, TaskSpace, did_you_mean

FAMILIES: dict[str, type[Family]] = {f.name: f for f in (Navigation2D, HalfCheetahDir)}

__all__ = ["BatchEnv", "FAMILIES", "Family", "Parameter", "SPLITS", "TaskSpace", "Tasks", "make", "make_family", "register"]


def make_family(name: str, **options: Any) -> Family:
    """The family called name, with its options."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}" + did_you_mean(name, FAMILIES))
    return FAMILIES[name](**options)


def make(family: str, num_envs: int, **kwargs: Any) -> BatchEnv:
    """A BatchEnv of a family: settings of BatchEnv and options of the family, by name."""
    return BatchEnv(family, num_envs, **kwargs)


def register() -> None:
    """Nothing yet."""
