"""The texts of `metarl list`: families with what varies in them, configs, algorithms, memories, settings, schemas.

    from metarl import catalog

    print(catalog.LISTS["families"]())
"""

import inspect
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from metarl.config import config_names, find_config, read_config
from metarl.config import settings as config_settings
from metarl.config.schema import json_schema
from metarl.envs.parameter import MOST_SHOWN
from metarl.envs.registry import FAMILIES
from metarl.util.plugins import ALGORITHMS, MEMORIES, PartError, Registry


def families() -> str:
    """Every task family: its doc, its options, and the range of each parameter that varies."""
    lines, importable = ["Families (env.family):"], FAMILIES.importable()
    for name in FAMILIES.names():
        lines += ["", f"  {name}: {_about(FAMILIES, name)}"]
        if (family := importable.get(name)) is None:
            continue
        options = inspect.signature(family).parameters.values()
        if options:
            lines.append("    options: " + ", ".join(f"{o.name}={o.default!r}" for o in options))
        if family.extra:
            state = "installed" if family.extra.installed() else f"missing: {family.extra.command}"
            lines.append(f"    extra: {family.extra.name} ({state})")
        space = family().space
        lines += [f"    {line}" for line in _splits(space)]
        rows = [(p.name, p.unit, p.in_training, p.in_extrapolation, p.description) for p in space.parameters]
        lines += _table([("parameter", "unit", "training", "extrapolation", "meaning"), *rows], "    ")
    lines += ["", "  A robot of your own: env: {robot: PATH} in a config, see docs/guides/own_robot.md"]
    return "\n".join(lines)


def configs() -> str:
    """Every shipped config: its name, and what it trains."""
    rows = []
    for name in config_names():
        config = read_config(find_config(name))
        first = find_config(name).read_text().partition("\n")[0]
        rows.append((name, config.env.family, config.algorithm.name, first.removeprefix("#").strip()))
    return "\n".join(["Configs (metarl train NAME):", "", *_table(rows, "  ")])


def algorithms() -> str:
    """Every outer loop."""
    return _parts("Algorithms (algorithm.name):", ALGORITHMS)


def memories() -> str:
    """Every memory cell."""
    return _parts("Memories (algorithm.memory of rl2):", MEMORIES)


def settings() -> str:
    """Every setting with its type and range, default and meaning."""
    header = ("setting", "type and range", "default", "meaning")
    return "\n".join(_table([header, *config_settings()], ""))


def schema() -> str:
    """The JSON schemas of a config and of a robot's file, with which editors complete and check them."""
    from metarl.envs.own_robot.schema import robot_json_schema  # it imports MuJoCo

    return json.dumps({"config": json_schema(), "robot": robot_json_schema()}, indent=1)


LISTS = {
    "families": families, "configs": configs, "algorithms": algorithms, "memories": memories, "settings": settings,
    "schema": schema,
}  # fmt: skip
ALONE = ("settings", "schema")
"""Lists that are shown only when they are asked for."""


def _parts(title: str, registry: Registry) -> str:
    rows = [(name, _about(registry, name)) for name in registry.names()]
    return "\n".join([title, "", *_table(rows, "  ")])


def _about(registry: Registry, name: str) -> str:
    """What a part is and where it is from, or why it cannot be imported."""
    try:
        origin = registry.origin(name)
        return _summary(registry.load(name)) + (f" [{origin}]" if origin else "")
    except PartError as error:
        return f"cannot be imported: {error}"


def _summary(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _splits(space: Any) -> Iterator[str]:
    """What validation and held-out tasks are, and how far from training."""
    if space.exhaustive:
        yield "every task is trained on: held_out and validation mean new episodes"
        return
    apart = space.apart()
    if apart is not None:
        yield f"held out: a fifth of the ranges, in whole cells; median distance to training {apart:.1%} of a range"
    for p in space.parameters:
        if p.held_out and len(p.held_out) <= MOST_SHOWN:
            yield f"held out: {p.name} {', '.join(f'{c:g}' for c in p.held_out)}"
    if space.validates_on_training:
        yield "validation: the training tasks, in new episodes"


def _table(rows: Iterable[Sequence[str]], indent: str) -> list[str]:
    """Rows as lines with aligned columns."""
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [f"{indent}{line}".rstrip() for line in padded]
