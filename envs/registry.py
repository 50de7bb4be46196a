"""Families by name: those that metarl ships and those that others add, through the entry points `metarl.families`.

    family = make_family("HalfCheetahVel", max_velocity=7)
    env = make("HalfCheetahDir", num_envs=800)           # a Gymnasium VectorEnv, one task per simulation
    gymnasium.make("metarl/HalfCheetahDir-v0")           # see metarl.envs.gymnasium_ids

A family is imported when it is asked for; names are known without.
"""

import importlib
import inspect
from typing import Any

from gymnasium.vector import AutoresetMode

from metarl.util.plugins import FAMILIES
from metarl.util.text import nearest

from .family import Family
from .single_env import SingleEnv
from .task_env import TaskVectorEnv


def make_family(name: str, **options: Any) -> Family:
    """The family called name, with its options.

    Raises:
        ValueError: there is none of that name, or an option has a value that it does not take.
        TypeError: it has no such option.
    """
    family = FAMILIES.load(name)
    known = inspect.signature(family).parameters
    for option in options:
        if option not in known:
            settings = [*known, "horizon", "action_scale", "autoreset_mode", "num_threads"]
            raise TypeError(f"{name} has no option {option!r}" + nearest(option, settings))
    return family(**options)


def env_class(family: Family | type[Family]) -> type[TaskVectorEnv]:
    """What steps the simulations of a family: `BatchEnv`, unless the family says otherwise."""
    module, _, name = family.env_class.partition(":")
    return getattr(importlib.import_module(module), name)


def make(
    family: str | Family,
    num_envs: int = 1,
    *,
    horizon: int | None = None,
    action_scale: float = 1.0,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    num_threads: int = 0,
    step_finished: bool = False,
    **family_options: Any,
) -> TaskVectorEnv:
    """The simulations of a family, given itself or by its name and options; settings as for `BatchEnv`."""
    if isinstance(family, str):
        family = make_family(family, **family_options)
    elif family_options:
        raise TypeError(f"options {sorted(family_options)} belong to the family: pass them to its constructor")
    return env_class(family)(
        family,
        num_envs,
        horizon=horizon,
        action_scale=action_scale,
        autoreset_mode=autoreset_mode,
        num_threads=num_threads,
        **({"step_finished": True} if step_finished else {}),
    )


def make_single(
    family: str | Family, *, render_mode: str | None = None, width: int = 480, height: int = 480, **settings: Any
) -> SingleEnv:
    """One simulation as a `gymnasium.Env`; settings as for `make`."""
    env = make(family, 1, autoreset_mode=AutoresetMode.DISABLED, **settings)
    return SingleEnv(env, render_mode=render_mode, width=width, height=height)
