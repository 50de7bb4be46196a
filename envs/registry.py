"""Families by name: shipped ones, those of installed distributions, and those that a plugin adds.

    FAMILIES.names()                                      # imports no family, no MuJoCo and no Gymnasium
    env = make("HalfCheetahDir", num_envs=800)            # a Gymnasium VectorEnv, one task per simulation
    FAMILIES.add("Shuttle", Shuttle)                      # in this process; from a distribution: metarl.util.plugins

Every family is registered with Gymnasium as metarl/<name>-v0, now or once that is imported.
"""

import importlib.abc
import importlib.util
import inspect
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from metarl.util.plugins import Registry, find
from metarl.util.text import nearest

if TYPE_CHECKING:  # names are listed without MuJoCo
    from .family import Family
    from .task_env import TaskVectorEnv

OWN_ROBOT = "OwnRobot"
"""The family of a robot.yaml. It is not among FAMILIES, for it needs a file."""
SETTINGS = ("horizon", "action_scale", "autoreset_mode", "num_threads", "physics")
"""What an environment of any family can be told; all else is an option of the family."""


def family_class(name: str) -> "type[Family]":
    """The class of the family called name, or OwnRobot.

    Raises:
        ValueError: there is none of that name, or it cannot be imported.
    """
    return find("metarl.envs.own_robot.robot:OwnRobot") if name == OWN_ROBOT else FAMILIES.load(name)


def make_family(name: str, **options: Any) -> "Family":
    """The family called name, with its options.

    Raises:
        ValueError: there is no such family, or an option has no such value.
        TypeError: it has no such option.
    """
    family = family_class(name)
    known = inspect.signature(family).parameters
    for option in options:
        if option not in known:
            raise TypeError(f"{name} has no option {option!r}" + nearest(option, [*known, *SETTINGS]))
    return family(**options)


def make(family: "str | Family", num_envs: int, **settings: Any) -> "TaskVectorEnv":
    """num_envs simulations of a family, given as it is or by name.

    Args:
        settings: those of SETTINGS, as for BatchEnv; with a name also the options of the family.

    Raises:
        ValueError, TypeError: as make_family and BatchEnv do.
    """
    mode = settings.pop("render_mode", None)  # which gymnasium.make_vec hands on
    if mode is not None:
        raise ValueError(f"got render_mode {mode!r}, expected None: many simulations make no pictures; use"
                         " gymnasium.make, or vectorization_mode='sync'")  # fmt: skip
    options = {name: settings.pop(name) for name in list(settings) if name not in SETTINGS}
    if isinstance(family, str):
        family = make_family(family, **options)
    elif options:
        raise TypeError(f"options {sorted(options)} belong to the family: pass them to its constructor")
    return cast("TaskVectorEnv", family.make_env(num_envs, **settings))


def register(*names: str) -> None:
    """Register families with Gymnasium, all if none is named; again is harmless."""
    import gymnasium  # takes longer than everything else here, and lists of names do without

    for name in names or (*FAMILIES.names(), OWN_ROBOT):
        env_id = f"metarl/{name}-v0"
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="metarl.envs.single_env:SingleEnv",
                vector_entry_point="metarl.envs.registry:make",
                kwargs={"family": name},
            )


class _AfterGymnasium(importlib.abc.MetaPathFinder):
    """Registers the families as soon as somebody imports Gymnasium, for whom metarl.envs has been imported before."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def then_register(module: ModuleType) -> None:
                execute(module)
                register()

            spec.loader.exec_module = then_register
        return spec


def _added(name: str) -> None:
    if "gymnasium" in sys.modules:
        register(name)


FAMILIES: "Registry[type[Family]]" = Registry("metarl.families", "family", added=_added)

if "gymnasium" in sys.modules:
    register()
else:
    sys.meta_path.insert(0, _AfterGymnasium())
