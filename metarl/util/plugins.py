"""Parts by name, from the entry points of installed packages and from what is added by hand.

    MEMORIES = Registry("metarl.memories", "memory")
    MEMORIES.names()                     # ("gru", "lstm", ...)
    MEMORIES.load("gru")                 # the class; imported now
    MEMORIES.add("mine", "package.module:Class")
"""

import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from metarl.util.text import nearest


@cache
def _installed(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


class Registry:
    """Parts of one kind.

    Args:
        group: of entry points.
        kind: what they are, for messages.
    """

    def __init__(self, group: str, kind: str):
        self.group, self.kind = group, kind
        self._added: dict[str, str | type] = {}

    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*_installed(self.group), *self._added}))

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def add(self, name: str, target: str | type) -> None:
        self._added[name] = target

    def origin(self, name: str) -> str:
        """The distribution that brings it; the target of one added by hand."""
        if name in self._added:
            return str(self._added[name])
        distribution = _installed(self.group)[name].dist
        return distribution.name if distribution else ""

    def load(self, name: str) -> Any:
        """The part itself.

        Raises:
            ValueError: there is none of this name.
        """
        if name not in self:
            hint = nearest(name, self.names())
            raise ValueError(f"got the {self.kind} {name!r}, expected one that is installed{hint}")
        target = self._added.get(name)
        if target is None:
            return _installed(self.group)[name].load()
        if isinstance(target, type):
            return target
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute)
