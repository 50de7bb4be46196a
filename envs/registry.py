"""Families by name: those that metarl ships and those that others add, through the entry points `metarl.families`.

    family = make_family("HalfCheetahVel", max_velocity=7)
    env = make("HalfCheetahDir", num_envs=800)           # a Gymnasium VectorEnv, one task per simulation
    gymnasium.make("metarl/HalfCheetahDir-v0")           # registered by importing metarl.envs

A family is imported when it is asked for; names are known without.
"""

import inspect
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode

from metarl.util.plugins import FAMILIES
from metarl.util.text import nearest

from .batch_env import BatchEnv
from .family import Family
from .single_env import SingleEnv


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


def make(
    family: str | Family,
    num_envs: int = 1,
    *,
    horizon: int | None = None,
    action_scale: float = 1.0,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    num_threads: int = 0,
    **family_options: Any,
) -> BatchEnv:
    """The simulations of a family, given itself or by its name and options; settings as for `BatchEnv`."""
    if isinstance(family, str):
        family = make_family(family, **family_options)
    elif family_options:
        raise TypeError(f"options {sorted(family_options)} belong to the family: pass them to its constructor")
    return family.make_env(
        num_envs,
        horizon=horizon,
        action_scale=action_scale,
        autoreset_mode=autoreset_mode,
        num_threads=num_threads,
    )


def make_single(
    family: str | Family, *, render_mode: str | None = None, width: int = 480, height: int = 480, **settings: Any
) -> SingleEnv:
    """One simulation as a `gymnasium.Env`; settings as for `make`."""
    env = make(family, 1, autoreset_mode=AutoresetMode.DISABLED, **settings)
    return SingleEnv(env, render_mode=render_mode, width=width, height=height)


def register() -> None:
    """Register every family with Gymnasium as metarl/<name>-v0, for make and make_vec; again is harmless."""
    for name in FAMILIES.names():
        env_id = f"metarl/{name}-v0"
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point=f"{__name__}:make_single",
                vector_entry_point=f"{__name__}:make",
                kwargs={"family": name},
            )
