"""Memories by name: those that come with metarl, and those of installed packages.

    memory = make_memory("transformer", input_dim=28, size=64, options={"heads": 2})
    MEMORIES.names()                                 # ("gru", "hebbian", ...)

A package adds one by an entry point of the group `metarl.memories`, "module:Class", whose class is a
:class:`metarl.agents.Memory`.
"""

from collections.abc import Mapping
from typing import Any

from metarl.util.plugins import MEMORIES

from .base import Memory


def make_memory(
    name: str, input_dim: int, size: int, options: Mapping[str, Any] | None = None, observed: int = 0
) -> Memory:
    """The memory ``name`` with inputs of ``input_dim``, the first ``observed`` of which are observations, and ``size``
    units.

    Raises:
        ValueError: there is no such memory, or it does not take these options; a line for each problem.
    """
    kind, options = MEMORIES.load(name), dict(options or {})
    kind.check(size, options)
    if observed and "observed" in (field.name for field in kind.options()):
        options["observed"] = min(options.get("observed") or observed, observed)
    return kind(input_dim, size, **options)
