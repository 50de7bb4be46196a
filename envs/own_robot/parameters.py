"""The parameters of a robot from YAML: what varies, over which range, in which split, and what it writes.

    parameters:
      payload: {unit: kg, default: 0, low: 0, high: 2, extrapolation: [[2, 3]],
                writes: {quantity: payload, elements: torso, at: [0, 0, 0.1]}}
      speed: {unit: m/s, default: 0.5, low: 0, high: 1}            # a goal: a reward term has it as its target

The keys are the attributes of `metarl.envs.Parameter` and `metarl.envs.Write`, and what those refuse is refused here in
their words. A range without a distribution is uniform, choices without one are a choice.
"""

from typing import Annotated, Any

import mujoco
import numpy as np
from pydantic import (
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from ..parameter import DISTRIBUTIONS, Parameter
from ..task import SPLITS, TaskSpace
from ..variation.latency_noise import Channel
from ..variation.quantities import QUANTITIES
from ..variation.schedule import Onsets
from ..variation.write import Unwritable, Write, Writer
from .entries import (
    Choice,
    Entry,
    Expected,
    Mistake,
    Names,
    Number,
    Numbers,
    Text,
    Word,
    key_name,
    mistake,
    mistakes,
    within,
)

_NUMBERS, _PAIRS = TypeAdapter(Numbers), TypeAdapter(list[tuple[Number, Number]])
_ELEMENT: dict[str, Any] = {"type": ["string", "integer"]}
_ELEMENTS = {"type": "array", "items": {"anyOf": [_ELEMENT, {"type": "array", "items": _ELEMENT, "minItems": 1}]}}
_NUMBER: dict[str, Any] = {"type": "number"}
_INTERVAL = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}


def _elements(value: Any, grouped: bool = False) -> tuple:
    """Names and indices of elements, and groups of them for mode pick."""
    values = value if isinstance(value, list) and (value or not grouped) else [value]
    for item in values:
        if isinstance(item, bool) or not isinstance(item, int | str | list) or (grouped and isinstance(item, list)):
            raise ValueError("names, patterns or indices of elements, or groups of them for mode pick")
    return tuple(_elements(item, grouped=True) if isinstance(item, list) else item for item in values)


class WriteEntry(Entry):
    """What a parameter changes in the robot."""

    quantity: Annotated[str, Choice(QUANTITIES)] = Field(description="What varies; docs/environments.md has the table.")
    elements: Annotated[tuple, PlainValidator(_elements), WithJsonSchema({"anyOf": [_ELEMENT, _ELEMENTS]})] = Field(
        (), description="Bodies, geoms, joints or actuators: names, patterns or indices; groups of them for mode pick."
    )
    mode: Annotated[str, Choice(("scale", "add", "set", "pick"))] = Field("", description="By default the quantity's.")
    axis: Annotated[str, Choice("xyz")] = Field("", description="Of a quantity that is a vector.")
    at: Numbers = Field((0.0, 0.0, 0.0), description="Place of a payload in the frame of the body, m.")
    factor: Number = Field(0.0, description="Of mode pick: what the chosen element is scaled by.")

    @model_validator(mode="after")
    def _possible(self) -> "WriteEntry":
        self.write()
        return self

    def write(self) -> Write:
        return _refused_in_its_words("", Write, **dict(self))


def _writes(value: Any, info: ValidationInfo) -> tuple[Write, ...]:
    several = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in several):
        raise ValueError("a mapping such as {quantity: mass, elements: [torso]}, or a list of them")
    found, wrong = [], []
    for i, item in enumerate(several):
        try:
            found.append(WriteEntry.model_validate(item, context=info.context).write())
        except ValidationError as error:
            wrong += within(error, *[i] * (len(several) > 1))
    if wrong:
        raise mistakes(wrong)
    return tuple(found)


def _beyond(value: Any, info: ValidationInfo) -> tuple:
    if info.data.get("distribution") == "choice" or info.data.get("distribution") is None and info.data.get("choices"):
        return _NUMBERS.validate_python(value)
    try:
        pairs = _PAIRS.validate_python([tuple(pair) for pair in (value if isinstance(value[0], list) else [value])])
    except (ValueError, TypeError, IndexError, KeyError):
        pairs = []
    if not pairs or not all(low < high for low, high in pairs):
        raise ValueError("intervals [[low, high], ...] outside of low to high")
    return tuple(pairs)


class ParameterEntry(Entry):
    """One number that varies between tasks."""

    unit: Text = Field("1", description="Unit of the number; 1 for a ratio.")
    description: Text = Field("", description="One line for people.")
    default: Number = Field(description="Value of the unmodified robot: 1 for a scale, 0 for an addition.")
    choices: Numbers = Field((), description="Values of a choice, all equally likely.")
    held_out: Numbers = Field((), description="Choices that only tests have.")
    distribution: Annotated[str, Choice(DISTRIBUTIONS)] = Field(
        None, description="uniform, or choice where there are choices, by default."
    )
    low: Number = Field(None, description="Least value in training.")
    high: Number = Field(None, description="Greatest value in training.")
    mean: Number = Field(None, description="Of a normal, before it is cut off at low and high.")
    std: Number = Field(None, description="Of a normal, likewise.")
    extrapolation: Annotated[
        tuple,
        PlainValidator(_beyond),
        WithJsonSchema({"anyOf": [_NUMBER, {"type": "array", "items": {"anyOf": [_NUMBER, _INTERVAL]}}]}),
    ] = Field((), description="Intervals [[low, high], ...] outside the range, or further choices.")
    onset: Annotated[
        Annotated[int, Field(ge=0, le=10**9)] | Word,
        Expected("the step from which it is active, or the name of a parameter"),
    ] = Field(None, description="Environment step from which it is active, or the parameter that holds it.")
    writes: Annotated[
        tuple[Write, ...],
        PlainValidator(_writes, json_schema_input_type=WriteEntry | list[WriteEntry]),
    ] = Field((), description="What it changes in the robot; nothing for a goal.")

    def parameter(self, name: str) -> Parameter:
        values = {key: value for key, value in dict(self).items() if value is not None}
        usual = {"distribution": "choice" if "choices" in self.model_fields_set else "uniform"}
        values["description"] = self.description or name.replace("_", " ")
        return _refused_in_its_words(f"parameter {name}: ", Parameter, name=name, **(usual | values))


def _refused_in_its_words(prefix: str, make: Any, **values: Any) -> Any:
    try:
        return make(**values)
    except (ValueError, TypeError) as error:
        raise mistakes([mistake(str(error).removeprefix(prefix))]) from error


def all_parameters(value: dict[str, Any], info: ValidationInfo) -> tuple[Parameter, ...]:
    """Those of a file; what is right by itself stands in the context even if others are not."""
    names: Names = info.context
    wrong = []
    for name, item in value.items():
        if not name.isidentifier() or not name.isascii():
            wrong.append(mistake(f"got the name {name!r}, expected letters, digits and _", key_name(name)))
            continue
        try:
            entry = ParameterEntry.model_validate(item, context=names)
            names.parameters[name] = entry.parameter(name)
        except ValidationError as error:
            wrong += within(error, name)
    if wrong:
        raise mistakes(wrong)
    return tuple(names.parameters.values())


def check_writes(parameters: tuple[Parameter, ...], model: mujoco.MjModel, found: list[Mistake]) -> None:
    """Report parameters that the model cannot take."""
    try:
        if parameters:
            Writer(TaskSpace("robot", parameters), model)
    except Unwritable as error:
        found += [
            (f"parameters.{name}.writes", text.removeprefix(f"parameter {name}: ")) for name, text in error.problems
        ]


def check_use(parameters: tuple[Parameter, ...], used: set[str], found: list[Mistake]) -> None:
    """Report parameters that nothing reads, and onsets that are none."""
    names = [p.name for p in parameters]
    read = used | {p.onset for p in parameters}
    for p in parameters:
        others = [name for name in names if name != p.name]
        if isinstance(p.onset, str) and p.onset not in others:
            found.append((f"parameters.{p.name}.onset", f"got {p.onset!r}, expected a step or a parameter (choices:"
                          f" {', '.join(others) or 'none'})"))  # fmt: skip
        if not p.writes and p.name not in read:
            found.append((f"parameters.{p.name}", "nothing uses it: let it write a quantity, or be the target of a"
                          " reward term"))  # fmt: skip


def check_space(space: TaskSpace, observations: int, actions: int, found: list[Mistake]) -> None:
    """Report what only all parameters together, or the size of the observation, show to be wrong."""
    try:
        Onsets(space)
        if Channel.needed(space):
            Channel(space, observations, np.zeros(actions), 1)
        for split in SPLITS[: 3 if any(p.extrapolation for p in space.parameters) else 2]:
            space.sample(1, split, np.random.default_rng(0))
    except ValueError as error:
        found.append(("parameters", str(error)))
