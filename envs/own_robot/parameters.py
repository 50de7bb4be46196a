"""The parameters of a robot from YAML: what varies, over which range, in which split, and what it writes.

    parameters:
      payload: {unit: kg, default: 0, low: 0, high: 2, extrapolation: [[2, 3]],
                writes: {quantity: payload, elements: torso, at: [0, 0, 0.1]}}
      speed: {unit: m/s, default: 0.5, low: 0, high: 1}            # a goal: a reward term has it as its target

The keys are the attributes of `metarl.envs.Parameter` and `metarl.envs.Write`, and what those refuse is refused here in
their words. A range without a distribution is uniform, choices without one are a choice.
"""

from typing import Any

import mujoco
import numpy as np

from ..latency_noise import SensorActuatorModel
from ..parameter import DISTRIBUTIONS, Parameter
from ..schedule import Schedule
from ..task import SPLITS, TaskSpace
from ..variation.quantities import QUANTITIES
from ..variation.write import Write
from ..writer import Writer
from .section import Section, choice, listed, number, text, whole, word

_KEYS = ("unit", "description", "default", "distribution", "low", "high", "mean", "std", "choices", "extrapolation",
         "held_out", "writes", "onset")  # fmt: skip


def parameters(robot: Section) -> dict[str, Parameter]:
    """Those of a file that are right by themselves, by name."""
    found = {}
    for name, section in robot.sections("parameters", least=1):
        if not name.isidentifier() or not name.isascii():
            section.fault("", f"got the name {name!r}, expected letters, digits and _")
        parameter = _parameter(name, section)
        if parameter is not None:
            found[name] = parameter
    return found


def _parameter(name: str, section: Section) -> Parameter | None:
    numbers = listed(number())
    settings: dict[str, Any] = {
        "unit": section.get("unit", text, "1"),
        "description": section.get("description", text, name.replace("_", " ")),
        "default": section.get("default", number()),
        "distribution": section.get("distribution", choice(DISTRIBUTIONS), _usual(section)),
        "choices": section.get("choices", numbers, ()),
        "held_out": section.get("held_out", numbers, ()),
        "onset": section.get("onset", _onset, None),
        "writes": section.get("writes", listed(_mapping), ()),
    }
    for key in ("low", "high", "mean", "std"):
        if key in section:
            settings[key] = section.get(key, number())
    beyond = numbers if settings["distribution"] == "choice" else _intervals
    settings["extrapolation"] = section.get("extrapolation", beyond, ())
    before = len(section.faults)
    several = len(settings["writes"] or ()) > 1
    writes = [
        _write(Section(write, section.full(f"writes.{i}" if several else "writes"), section.faults))
        for i, write in enumerate(settings["writes"] or ())
    ]
    if not section.finish() or len(section.faults) > before:
        return None
    try:
        return Parameter(name, **{**settings, "writes": tuple(writes)})
    except (ValueError, TypeError) as error:
        section.fault("", str(error).removeprefix(f"parameter {name}: "))
        return None


def _usual(section: Section) -> str:
    return "choice" if "choices" in section else "uniform"


def _onset(value: Any) -> int | str:
    try:
        return word(value) if isinstance(value, str) else whole(0, 10**9)(value)
    except ValueError:
        raise ValueError("the step from which it is in force, or the name of a parameter") from None


def _mapping(value: Any) -> dict:
    if not isinstance(value, dict):
        raise ValueError("a mapping such as {quantity: mass, elements: [torso]}, or a list of them")
    return value


def _intervals(value: Any) -> tuple[tuple[float, float], ...]:
    check = number()
    try:
        pairs = value if isinstance(value[0], list) else [value]
        checked = tuple((check(low), check(high)) for low, high in pairs)
    except (ValueError, TypeError, IndexError, KeyError):
        checked = ()
    if not checked or not all(low < high for low, high in checked):
        raise ValueError("intervals [[low, high], ...] outside of low to high")
    return checked


def _element(value: Any) -> Any:
    """The name or index of an element, or a group of them for mode pick."""
    if isinstance(value, list) and value:
        return tuple(_element(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("names, patterns or indices of elements, or groups of them for mode pick")
    return value


def _write(section: Section) -> Write | None:
    settings = {
        "quantity": section.get("quantity", choice(QUANTITIES)),
        "elements": section.get("elements", listed(_element), ()),
        "mode": section.get("mode", choice(("scale", "add", "set", "pick")), ""),
        "axis": section.get("axis", choice("xyz"), ""),
        "at": section.get("at", listed(number()), (0.0, 0.0, 0.0)),
        "factor": section.get("factor", number(), 0.0),
    }
    if not section.finish():
        return None
    try:
        return Write(**settings)
    except (ValueError, TypeError) as error:
        section.fault("", str(error))
        return None


def check_against(
    model: mujoco.MjModel, robot: str, found: dict[str, Parameter], used: set[str], faults: list[tuple[str, str]]
) -> None:
    """Report parameters that the model cannot take, or that nothing reads."""
    onsets = {p.onset for p in found.values()}
    for name, parameter in found.items():
        if isinstance(parameter.onset, str) and parameter.onset not in found:
            choices = ", ".join(n for n in found if n != name) or "none"
            faults.append((f"parameters.{name}.onset", f"got {parameter.onset!r}, expected a step or a parameter"
                           f" (choices: {choices})"))  # fmt: skip
        if not parameter.writes and name not in used and name not in onsets:
            faults.append((f"parameters.{name}", "nothing uses it: let it write a quantity, or be the target of a"
                           " reward term"))  # fmt: skip
        try:
            Writer(TaskSpace(robot, (parameter,)), model)
        except (ValueError, IndexError) as error:
            faults.append((f"parameters.{name}.writes", str(error).removeprefix(f"parameter {name}: ")))


def check_space(space: TaskSpace, observations: int, actions: int, faults: list[tuple[str, str]]) -> None:
    """Report what only all parameters together, or the size of the observation, show to be wrong."""
    try:
        Schedule(space)
        if SensorActuatorModel.needed(space):
            SensorActuatorModel(space, observations, np.zeros(actions), 1)
        for split in SPLITS[: 3 if any(p.extrapolation for p in space.parameters) else 2]:
            space.sample(1, split, np.random.default_rng(0))
    except ValueError as error:
        faults.append(("parameters", str(error)))
