"""The parameters of a robot from YAML: what varies, over which range, in which split, and what it writes.

    parameters:
      payload: {unit: kg, default: 0, low: 0, high: 2, extrapolation: [[2, 3]],
                writes: {quantity: payload, elements: torso, at: [0, 0, 0.1]}}
      speed: {unit: m/s, default: 0.5, low: 0, high: 1}            # a goal: a reward term has it as its target

The keys are the attributes of `metarl.envs.Parameter` and `metarl.envs.Write`, and what those refuse is refused here in
their words. A range without a distribution is uniform, choices without one are a choice.
"""

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any

import mujoco
import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo, WrapValidator, field_validator, model_validator

from metarl.util.text import nearest

from ..latency_noise import SensorActuatorModel
from ..parameter import DISTRIBUTIONS, Parameter
from ..schedule import Schedule
from ..task import TaskSpace
from ..variation.quantities import QUANTITIES
from ..variation.write import Write
from ..writer import Unwritable, Writer
from .entries import (
    NOTHING,
    Choice,
    Entry,
    Expected,
    Mistake,
    Names,
    Number,
    Numbers,
    Text,
    Word,
    as_tuple,
    mistaken,
    option,
)

_Element = str | Annotated[int, Field(strict=True)]
_Elements = Annotated[
    _Element | list[_Element | Annotated[list[_Element], Field(min_length=1)]],
    Expected("names, patterns or indices of elements, or groups of them for mode pick"),
    AfterValidator(as_tuple),
]


class WriteEntry(Entry):
    """What a parameter changes in the robot."""

    quantity: Annotated[str, Choice(QUANTITIES)] = option(..., "What varies: see docs/reference/what_can_vary.md.")
    elements: _Elements = option((), "Bodies, geoms, joints, actuators: names, patterns, indices; groups to pick from.")
    mode: Annotated[str, Choice(("scale", "add", "set", "pick"))] = option("", "By default the quantity's.")
    axis: Annotated[str, Choice("xyz")] = option("", "Of a quantity that is a vector.")
    at: Numbers = option((0.0, 0.0, 0.0), "Place of a payload in the frame of the body, m.")
    factor: Number = option(0.0, "Of mode pick: what the picked element is scaled by.")

    @model_validator(mode="after")
    def _possible(self) -> "WriteEntry":
        self.write()
        return self

    def write(self) -> Write:
        try:
            return Write(**dict(self))
        except ValueError as error:
            raise mistaken(str(error)) from error


def _one_or_several(value: Any, handler: Any, info: ValidationInfo[Names]) -> list[WriteEntry]:
    if isinstance(value, dict):
        return [WriteEntry.model_validate(value, context=info.context)]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("a mapping such as {quantity: mass, elements: [torso]}, or a list of them")
    return handler(value)


_Writes = Annotated[
    list[WriteEntry], WrapValidator(_one_or_several, json_schema_input_type=WriteEntry | list[WriteEntry])
]


_NAME_OR_NUMBER = {"type": ["number", "string"]}
_NAMED: dict[str, Any] = {
    "json_schema_extra": {"anyOf": [_NAME_OR_NUMBER, {"type": "array", "items": _NAME_OR_NUMBER}]}
}


class ParameterEntry(Entry):
    """One number that varies between tasks."""

    unit: Text = option("1", "Unit of the number; 1 for a ratio.")
    description: Text = option("", "One line for people.")
    default: Number = option(..., "Value of the unmodified robot: 1 for a scale, 0 for an addition, none of a pick.",
                             json_schema_extra={"type": ["number", "string"]})  # fmt: skip
    choices: Numbers = option((), "Values of a choice, all equally likely; of a pick also names, none: -1.", **_NAMED)
    held_out: Numbers = option((), "Choices that only tests have.", **_NAMED)
    distribution: Annotated[str, Choice(DISTRIBUTIONS)] = option("", "By default uniform, or choice with choices.")
    low: Number = option(None, "Least value in training.")
    high: Number = option(None, "Greatest value in training.")
    mean: Number = option(None, "Of a normal, before it is cut off at low and high.")
    std: Number = option(None, "Of a normal, likewise.")
    extrapolation: Annotated[
        Number | list[Number | list[Number]],
        Expected("intervals [[low, high], ...] outside of low to high, or choices"),
        AfterValidator(as_tuple),
    ] = option((), "Intervals [[low, high], ...] outside the range, or further choices.")
    onset: Annotated[
        Annotated[int, Field(ge=0, le=10**9)] | Word,
        Expected("the step from which it is active, or the name of a parameter"),
    ] = option(None, "Environment step from which it is active, or the parameter that holds it.")
    writes: _Writes = option([], "What it changes in the robot; nothing for a goal.")

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, data: Any) -> Any:
        """Choices that have names instead of numbers: none is -1, the others are picked, 0 the first of them."""
        choices = data.get("choices") if isinstance(data, dict) else None
        if not isinstance(choices, list) or not all(isinstance(name, str) for name in choices):
            return data
        known: dict[Any, float] = {}
        for name in choices:
            known.setdefault(name, -1.0 if name == "none" else float(len(known) - ("none" in known)))
        data = data | {"choices": [*known.values()]}
        for key in {"default", "held_out", "extrapolation"} & data.keys():
            values = data[key] if isinstance(data[key], list) else [data[key]]
            odd = [value for value in values if not isinstance(value, str) or value not in known]
            if odd:
                raise mistaken(f"one of the choices{nearest(str(odd[0]), [*known])}", key,
                               got=NOTHING if odd[0] is None else odd[0])  # fmt: skip
            numbers = [known[value] for value in values]
            data[key] = numbers if isinstance(data[key], list) else numbers[0]
        picked = [name for name in known if name != "none"]
        writes = data.get("writes")
        if isinstance(writes, dict) and writes.get("mode") == "pick" and "elements" not in writes:
            data["writes"] = writes | {"elements": picked}
        told = ", ".join(f"{i}: {name}" for i, name in enumerate(picked))
        written = data.get("description")
        return data | {"description": f"{written} ({told})" if isinstance(written, str) and written else told}

    @field_validator("extrapolation")
    @classmethod
    def _of_its_kind(cls, value: tuple, info: ValidationInfo[Names]) -> tuple:
        if info.data.get("distribution") != "choice" and not info.data.get("choices"):
            value = value if isinstance(value[:1] and value[0], tuple) else (value,)
            flat = all(isinstance(pair, tuple) and not any(isinstance(end, tuple) for end in pair) for pair in value)
            if not flat or not all(len(pair) == 2 and pair[0] < pair[1] for pair in value):
                raise ValueError("intervals [[low, high], ...] outside of low to high")
        elif any(isinstance(item, tuple) for item in value):
            raise ValueError("a number, or a list of them")
        return value

    @model_validator(mode="after")
    def _possible(self) -> "ParameterEntry":
        self.parameter("")
        return self

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name."""
        values: dict[str, Any] = {key: value for key, value in dict(self).items() if value is not None}
        values["description"] = self.description or name.replace("_", " ")
        values["distribution"] = self.distribution or ("choice" if self.choices else "uniform")
        try:
            values["writes"] = tuple(entry.write() for entry in self.writes)
            return Parameter(name, **values)
        except (ValueError, TypeError) as error:
            raise mistaken(str(error).removeprefix(f"parameter {name}: ")) from error


def check_writes(parameters: Sequence[Parameter], model: mujoco.MjModel, found: list[Mistake]) -> None:
    """Report parameters that the model cannot take."""
    try:
        if parameters:
            Writer(TaskSpace("robot", tuple(parameters)), model)
    except Unwritable as error:
        found += [(f"parameters.{name}.writes", t.removeprefix(f"parameter {name}: ")) for name, t in error.problems]


def moved_inertias(parameters: Sequence[Parameter], model: mujoco.MjModel) -> list[int]:
    """Bodies whose centre of mass or axes of inertia some parameter moves; of those that the model can take."""
    moved: set[int] = set()
    for parameter in parameters:
        with contextlib.suppress(Unwritable):  # it is reported later, of the final model
            moved.update(Writer(TaskSpace("robot", (parameter,)), model).moved_inertias)
    return sorted(moved)


def check_use(parameters: Sequence[Parameter], used: set[str], found: list[Mistake]) -> None:
    """Report parameters that nothing reads, and onsets that are none."""
    read = used | {p.onset for p in parameters}
    for p in parameters:
        others = [other.name for other in parameters if other is not p]
        if isinstance(p.onset, str) and p.onset not in others:
            found.append((f"parameters.{p.name}.onset", f"got {p.onset!r}, expected a step or a parameter (choices:"
                          f" {', '.join(others) or 'none'})"))  # fmt: skip
        if not p.writes and p.name not in read:
            found.append((f"parameters.{p.name}", "nothing uses it: let it write a quantity, or be the target of a"
                          " reward term"))  # fmt: skip


def check_space(space: TaskSpace, observations: int, actions: int, found: list[Mistake]) -> None:
    """Report what only all parameters together, or the size of the observation, show to be wrong."""
    try:
        Schedule(space)
        if SensorActuatorModel.needed(space):
            SensorActuatorModel(space, np.zeros((1, observations)), actions)
        for split in space.splits:
            space.sample(1, split, np.random.default_rng(0))
    except ValueError as error:
        found.append(("parameters", str(error)))
