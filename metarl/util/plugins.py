"""Parts by name: what metarl ships and what others add come through the same doors, the entry points of distributions.

    FAMILIES.names()                      # ('AntCrippled', 'AntDir', ...): nothing is imported for that
    FAMILIES.load("AntDir")               # imports metarl.envs.families.ant, and gives the class

A distribution adds a part in its pyproject.toml:

    [project.entry-points."metarl.algorithms"]
    fomaml = "my_package.fomaml_config:FOMAMLConfig"

and a module that is not installed by the same words, for `--plugin MODULE`:

    from metarl.util.plugins import register

    register("metarl.algorithms", "fomaml", "my_package.fomaml_config:FOMAMLConfig")

Reading a config imports nothing of its author's: it may only name what is installed, or what the user named himself.
"""

import importlib
import importlib.metadata
import os
import sys
from functools import cached_property
from typing import Any

from metarl.util.text import first_line, nearest

PLUGINS: list[str] = []
"""Modules that `load_plugin` has imported; worker processes import them as well."""


class Registry:
    """The parts of one group of entry points.

    Args:
        group: of the entry points, such as "metarl.families".
        kind: what a part is, in messages.
    """

    def __init__(self, group: str, kind: str):
        self.group, self.kind = group, kind
        self._added: dict[str, Any] = {}
        self._added_by: dict[str, str] = {}
        self._loaded: dict[str, Any] = {}

    @cached_property
    def _installed(self) -> dict[str, importlib.metadata.EntryPoint]:
        found: dict[str, importlib.metadata.EntryPoint] = {}
        for point in importlib.metadata.entry_points(group=self.group):
            other = found.get(point.name)
            if other is not None and other.value != point.value:
                raise ValueError(
                    f"{self.kind} {point.name!r} comes from two distributions, {_distribution(other)} and"
                    f" {_distribution(point)}; uninstall one of them"
                )
            found[point.name] = point
        return found

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({*self._installed, *self._added}, key=lambda name: (name.casefold(), name)))

    def __contains__(self, name: object) -> bool:
        return name in self._added or name in self._installed

    def __iter__(self):
        return iter(self.names())

    def load(self, name: str) -> Any:
        """The part of that name.

        Raises:
            ValueError: in one line, there is none of that name, or it cannot be imported.
        """
        if name in self._loaded:
            return self._loaded[name]
        if name not in self:
            raise ValueError(f"got {self.kind} {name!r}, expected one that is installed{nearest(name, self.names())}")
        target = self._added[name] if name in self._added else self._installed[name].value
        try:
            part = _imported(target) if isinstance(target, str) else target
        except Exception as error:  # somebody else's module may fail in any way
            raise ValueError(
                f"{self.kind} {name!r} of {self.origin(name) or 'metarl'} cannot be imported from {target}:"
                f" {type(error).__name__}: {first_line(error)}"
            ) from error
        self._loaded[name] = part
        return part

    def add(self, name: str, target: Any) -> None:
        """A part that is not installed: an object, or "module:object", which is imported when it is asked for.

        Raises:
            ValueError: another part has that name.
        """
        same = self._added.get(name) == target or (name in self._installed and self._installed[name].value == target)
        if name in self and not same:
            raise ValueError(f"{self.kind} {name!r} is there already, of {self.origin(name) or 'metarl'}; rename yours")
        if name not in self:
            self._added[name] = target
            self._added_by[name] = PLUGINS[-1] if PLUGINS else "this process"

    def origin(self, name: str) -> str | None:
        """Where a part comes from: distribution and version, or the plugin's module; None if metarl ships it."""
        if name in self._added:
            return self._added_by[name]
        point = self._installed[name]
        return None if point.value.startswith("metarl.") else _distribution(point)


ALGORITHMS = Registry("metarl.algorithms", "algorithm")
"""From a name to the `metarl.config.schema.AlgorithmConfig` of that algorithm."""
FAMILIES = Registry("metarl.families", "family")
"""From a name to the `metarl.envs.Family`."""
MEMORIES = Registry("metarl.memories", "memory")
"""From a name to the `metarl.agents.Memory`."""
REGISTRIES = {registry.group: registry for registry in (ALGORITHMS, FAMILIES, MEMORIES)}


def register(group: str, name: str, target: Any) -> None:
    """Add a part to a group, as an entry point of an installed distribution would; again is harmless.

    Args:
        group: "metarl.algorithms", "metarl.families" or "metarl.memories".
        target: the object, or "module:object".
    """
    if group not in REGISTRIES:
        raise ValueError(f"got group {group!r}, expected one of {', '.join(REGISTRIES)}{nearest(group, REGISTRIES)}")
    REGISTRIES[group].add(name, target)


def load_plugin(module: str) -> None:
    """Import a module of the working folder or of the path, which registers its parts.

    Raises:
        ValueError: in one line, it cannot be imported.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    if module in PLUGINS:
        return
    PLUGINS.append(module)
    try:
        importlib.import_module(module)
    except Exception as error:  # somebody else's module may fail in any way
        PLUGINS.remove(module)
        raise ValueError(f"got {module!r}, expected a module that can be imported: {first_line(error)}") from error


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    part = importlib.import_module(module)
    for attribute in filter(None, name.split(".")):
        part = getattr(part, attribute)
    return part


def _distribution(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
