"""Doors: parts by name, which metarl or any installed distribution offers as entry points, or a plugin module adds.

    FAMILIES = Registry("metarl.families", "family")
    FAMILIES.names()                              # ("AntDir", ..., "Shuttle"); imports none of them
    FAMILIES.load("Shuttle")                      # imports "shuttle.family:Shuttle" and returns the class

A distribution offers a part in its pyproject.toml, as metarl does its own:

    [project.entry-points."metarl.families"]
    Shuttle = "shuttle.family:Shuttle"

What is not installed is added by a module that `--plugin MODULE` imports, here and in every worker process:

    from metarl.util.plugins import register

    register("metarl.families", "Shuttle", "shuttle.family:Shuttle")      # or the class itself
"""

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeVar, cast

from .errors import UserError
from .text import close, first_line

T = TypeVar("T")
OWN = "metarl"  # the package whose parts have no other origin

PLUGINS: list[str] = []
"""The modules that load_plugin has imported, in their order: worker processes import them too."""

_added: dict[str, dict[str, "_Part"]] = {}  # group -> name -> what register added
_watchers: dict[str, Callable[[str], None]] = {}  # group -> what is told the names that are added
_loading: list[str] = []  # the plugin that is being imported


class PartError(UserError, ValueError):
    """A part that cannot be imported, or that two distributions offer."""


@dataclass(frozen=True)
class _Part:
    """Where a part is from: "module:Class", what offers it, and the object itself where it is there already."""

    target: str
    origin: str | None
    found: Any = None


class Registry(Mapping[str, T]):
    """The parts of one group of entry points, and those that were added; loaded when they are asked for.

    Args:
        group: of the entry points, "metarl.families".
        kind: what a part is called in messages, "family".
        added: called with the name of each part that register adds later on.
    """

    def __init__(self, group: str, kind: str, added: Callable[[str], None] | None = None):
        self.group, self.kind = group, kind
        if added is not None:
            _watchers[group] = added

    def names(self) -> tuple[str, ...]:
        """Every name, metarl's own first; nothing is imported.

        Raises:
            ValueError: the installed metadata of metarl is older than its code.
        """
        return (*_installed(self.group), *(n for n in _added.get(self.group, {}) if n not in _installed(self.group)))

    def load(self, name: str) -> T:
        """The part of a name, imported if it was not.

        Raises:
            ValueError: there is none of that name.
            PartError: it cannot be imported, or two distributions offer it.
        """
        part = self._part(name)
        if part.found is not None:
            return part.found
        try:
            return find(part.target)
        except Exception as error:  # whatever the module of a stranger raises
            text = f"{type(error).__name__}: {first_line(error)}"
            of = "" if part.origin is None else f" of {part.origin}"
            problem = f"{self.kind} {name!r}{of} cannot be imported from {part.target!r}: {text}"
            raise PartError(f"{problem}; mend or uninstall it") from error

    def importable(self) -> dict[str, T]:
        """The parts by name, without those that `load` refuses."""
        found = {}
        for name in self.names():
            with contextlib.suppress(PartError):
                found[name] = self.load(name)
        return found

    def add(self, name: str, target: str | type) -> None:
        """Add a part: "module:Class" or the class. The same again is harmless.

        Raises:
            ValueError: the name is taken by another part.
        """
        register(self.group, name, target)

    def origin(self, name: str) -> str | None:
        """The distribution, with its version, or the plugin module that a part is from; None for metarl's own."""
        return self._part(name).origin

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise KeyError(name)
        return self.load(name)

    def __contains__(self, name: object) -> bool:
        return name in _installed(self.group) or name in _added.get(self.group, {})

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def _part(self, name: str) -> _Part:
        if name not in self:
            names = self.names()
            raise ValueError(f"got {self.kind} {name!r}, expected one of {', '.join(names)}" + close(name, names))
        added = _added.get(self.group, {}).get(name)
        if added is not None:
            return added
        parts = _installed(self.group)[name]
        part, *others = parts
        if others:
            offers = " and ".join(f"{part.origin or OWN} ({part.target})" for part in parts)
            raise PartError(f"{self.kind} {name!r} is offered by {offers}: uninstall one of them")
        return part


def register(group: str, name: str, target: str | type) -> None:
    """Add a part to a group: "module:Class" or the class, from now on and in this process. See `Registry.add`."""
    path = target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"
    taken = [part.target for part in (*_installed(group).get(name, ()), *_some(_added.get(group, {}).get(name)))]
    if any(other != path for other in taken):
        raise ValueError(f"{group}: the name {name!r} is taken by {taken[0]}, got {path}; choose another")
    origin = _loading[-1] if _loading else path.partition(":")[0]
    _added.setdefault(group, {})[name] = _Part(path, origin, None if isinstance(target, str) else target)
    if group in _watchers:
        _watchers[group](name)


def load_plugin(module: str) -> None:
    """Import a module, of the working directory or of sys.path, which registers its parts.

    Raises:
        ValueError: it cannot be imported.
    """
    folder = os.getcwd()
    known = folder in sys.path
    sys.path.insert(0, folder)
    _loading.append(module)
    try:
        importlib.import_module(module)
    except Exception as error:
        text = f"{type(error).__name__}: {first_line(error)}"
        hint = "; give the name of a module, as in `import`" if module.endswith(".py") or os.sep in module else ""
        raise ValueError(f"plugin {module!r} cannot be imported: {text}{hint}") from error
    finally:
        _loading.pop()
        sys.path.remove(folder)
    if not known:
        sys.path.append(folder)  # for what it imports later, behind everything else
    if module not in PLUGINS:
        PLUGINS.append(module)


@functools.cache
def _installed(group: str) -> dict[str, tuple[_Part, ...]]:
    """What the installed distributions offer in a group, by name; metarl's own first, in the order of their names."""
    found: dict[str, list[_Part]] = {}
    points = _entry_points().select(group=group)
    rows = [(p.value.partition(".")[0] != OWN, p.name, p.dist.name if p.dist else "", p) for p in points]
    for foreign, name, distribution, point in sorted(rows, key=lambda row: row[:3]):
        origin = f"{distribution} {point.dist.version}" if foreign and point.dist else None
        parts = found.setdefault(name, [])
        if all(part.target != point.value for part in parts):  # one code may be installed under two names
            parts.append(_Part(point.value, origin))
    if all(foreign for foreign, *_ in rows):
        raise ValueError(
            f"the installed metadata of {OWN} does not have the entry points {group}, it is older than the code:"
            " reinstall it, for a checkout with `pip install -e .` in its folder"
        )
    return {name: tuple(parts) for name, parts in found.items()}


@functools.cache
def _entry_points() -> metadata.EntryPoints:
    return cast(metadata.EntryPoints, metadata.entry_points())  # before 3.12 another class with `select`


def find(target: str) -> Any:
    """What "module:name" says, imported."""
    module, _, names = target.partition(":")
    return functools.reduce(getattr, names.split("."), importlib.import_module(module))


def _some(part: _Part | None) -> tuple[_Part, ...]:
    return () if part is None else (part,)


ALGORITHMS: Registry[Any] = Registry("metarl.algorithms", "algorithm")
"""From a name to the `metarl.config.schema.AlgorithmConfig` of that algorithm."""
MEMORIES: Registry[Any] = Registry("metarl.memories", "memory")
"""From a name to the `metarl.agents.Memory`. Families are in `metarl.envs.registry`."""
