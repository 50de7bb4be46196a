"""What people write in YAML, as pydantic models: every mistake at once, in words.

    class Motor(Entry):
        joint: Annotated[list[str], Named("joints")]
        rate: Positive = 50.0

    motor, mistakes = read_entry(Motor, {"joint": "hipp", "rat": 9}, Names(model, data))
    mistakes    # [("rat", "unknown key 'rat'; known keys: joint, rate (did you mean 'rate'?)"), ("joint", "got ...")]

A validator raises ValueError with what it expects, and a `mistake` of its own where that is not the whole text. The
context of a validation is `Names`: what the MJCF, the parameters and the control let a name mean.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import mujoco
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from metarl.util.text import close, nearest, one_line, show

from ..parameter import Parameter
from ..variation.elements import find

T = TypeVar("T", bound="Entry")
Mistake = tuple[str, str]  # (key, what is wrong with it)
MOVABLE = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
SECTION = "a section of `key: value` lines"
NOTHING = type("Nothing", (), {})()  # in place of a required key that is not there


class Names:
    """What names may mean in a robot file.

    Args:
        model: as the MJCF has it; None if it cannot be compiled: then no name of an element is wrong.
        data: the robot file.

    Attributes:
        actuators: index and name of the actuators that there will be; None until the control says so.
        parameters: those that are right by themselves, by name.
        used: names of the parameters that signals and targets read.
    """

    def __init__(self, model: mujoco.MjModel | None, data: dict[str, Any]):
        self.model = model
        self.actuators: dict[int, str] | None = None
        self.parameters: dict[str, Parameter] = {}
        self.used: set[str] = set()
        written = data.get("parameters")
        self._written = dict(enumerate(written if isinstance(written, dict) else ()))

    def of(self, kind: str) -> dict[int, str] | None:
        """Names of all elements of a kind by index; None if they are not known."""
        if kind == "bodies or sites":
            return None if self.model is None else {}
        if kind in ("parameters", "actuators"):
            return self._written if kind == "parameters" else self.actuators
        return None if self.model is None else elements(self.model, kind)

    def frames(self) -> dict[str, str] | None:
        """Bodies and sites by name, "body" or "site"; where both have it, the body is meant."""
        sites, bodies = self.of("sites"), self.of("bodies")
        if sites is None or bodies is None:
            return None
        return dict.fromkeys(bodies.values(), "body") | {n: "site" for n in sites.values() if n not in bodies.values()}


def elements(model: mujoco.MjModel, kind: str) -> dict[int, str]:
    """Names by index: "joints" (hinges and slides), "bodies", "sites", "sensors", "actuators", "keyframes", "cameras"."""
    count, get = {
        "joints": (model.njnt, model.joint), "bodies": (model.nbody, model.body), "sites": (model.nsite, model.site),
        "sensors": (model.nsensor, model.sensor), "actuators": (model.nu, model.actuator),
        "keyframes": (model.nkey, model.key), "cameras": (model.ncam, model.camera),
    }[kind]  # fmt: skip
    return {i: get(i).name for i in range(count) if kind != "joints" or int(model.jnt_type[i]) in MOVABLE}


class Expected:
    """In Annotated, after all else: what is said to be expected, whatever is wrong."""

    def __init__(self, text: str):
        self.text = text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(
            handler(source), custom_error_type="expected", custom_error_message=self.text
        )


class Choice:
    """In Annotated: one of these words."""

    def __init__(self, names: Iterable[str], renamed: Mapping[str, str] | None = None):
        self.names, self.renamed = list(names), renamed or {}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self.check, core_schema.literal_schema(self.names))

    def check(self, value: Any, handler: Callable[[Any], str]) -> str:
        value = self.renamed.get(value, value) if isinstance(value, str) else value
        if not isinstance(value, str) or value not in self.names:
            raise ValueError(one_of(value, self.names))
        return value


class Named:
    """In Annotated: a list of names, patterns or indices of elements that there are, or one element if not `many`.

    Of kind "bodies or sites" come ("body" or "site", name), of all others names.
    """

    def __init__(self, kind: str, many: bool = True):
        self.kind, self.many = kind, many

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        one = {"type": ["string", "integer"]}
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]} if self.many else one

    def check(self, value: Any, info: ValidationInfo) -> Any:
        names: Names = info.context
        frames = names.frames() if self.kind == "bodies or sites" else None
        known = dict(enumerate(frames)) if frames else names.of(self.kind)
        wanted = value if isinstance(value, list) and self.many else [value]
        if known is None and wanted and all(isinstance(name, str | int) for name in wanted):
            return wanted if self.many else wanted[0]
        found = dict.fromkeys(known[i] for name in wanted or [""] for i in self._find(name, known))
        if self.kind == "parameters":
            names.used.update(found)
        result = [(frames[name], name) for name in found] if frames else list(found)
        return result if self.many else result[0]

    def _find(self, name: Any, known: dict[int, str] | None) -> list[int]:
        known, expected = known or {}, f"names of {self.kind}" if self.many else f"one of the {self.kind}"
        if isinstance(name, int) and self.kind in ("bodies or sites", "parameters"):
            name = str(name)  # their order means nothing
        try:
            matches = find(name, known)
        except ValueError as error:
            raise ValueError(f"{expected}: {error}") from error
        if matches and (self.many or str(name) in known.values() or isinstance(name, int)):
            return matches
        there = [n for n in known.values() if n][:40]
        raise ValueError(expected + (nearest(str(name), there) or f" (the MJCF has no {self.kind})"))


class OneOf:
    """In Annotated: one of several entries, told apart by the word under a key."""

    def __init__(self, key: str, entries: Mapping[str, "type[Entry]"], default: str = "",
                 renamed: Mapping[str, str] | None = None):  # fmt: skip
        self.key, self.entries, self.default, self.renamed = key, entries, default, renamed or {}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        union = {word: handler.generate_schema(entry) for word, entry in self.entries.items()}
        schema = core_schema.tagged_union_schema(union, self.key)
        return core_schema.with_info_wrap_validator_function(self.select, schema)

    def select(self, value: Any, handler: Any, info: ValidationInfo) -> "Entry":
        if not isinstance(value, dict):
            raise ValueError(SECTION)
        word = value.get(self.key, self.default or NOTHING)
        word = self.renamed.get(word, word) if isinstance(word, str) else word
        if not isinstance(word, str) or word not in self.entries:
            raise mistakes([mistake(one_of(word, self.entries), self.key, got=word)])
        return self.entries[word].model_validate(value | {self.key: word}, context=info.context)


class Entry(BaseModel):
    """A section of the file. Unknown and missing keys are told beside all else that is wrong in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    renamed: ClassVar[dict[str, str]] = {}  # keys as they were called once

    @model_validator(mode="wrap")
    @classmethod
    def _tell_all(cls, data: Any, handler: ModelWrapValidatorHandler[T]) -> T:
        if not isinstance(data, dict):
            raise ValueError(SECTION)
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        data = {new if old in data and new not in data else key: value for key, value in data.items()
                for old, new in [(key, cls.renamed.get(key, key))]}  # fmt: skip
        known = f"; known keys: {', '.join(fields)}"
        found = [mistake(f"unknown key {show(key)}{known}{close(key, fields)}", key_name(key))
                 for key in data if key not in fields]  # fmt: skip
        given = {key: data.get(key, NOTHING) for key, f in fields.items() if key in data or f.is_required()}
        try:
            entry = handler(given)
        except ValidationError as error:
            found += within(error)
        else:
            if not found:
                return entry
        raise mistakes(found)


def read_entry(entry: type[T], data: Any, names: Names) -> tuple[T | None, list[Mistake]]:
    """The entry that data makes, and what is wrong with it: each key with its text."""
    try:
        return entry.model_validate(data, context=names), []
    except ValidationError as error:
        return None, [(".".join(map(str, e["loc"])), _text(e)) for e in error.errors(include_url=False)]


def _text(error: Any) -> str:
    if error["type"] == "problem":
        return error["msg"]
    got = "nothing" if error["input"] is NOTHING else show(error["input"])
    return f"got {got}, expected {error['msg'].removeprefix('Value error, ')}"


def mistake(text: str, *loc: str | int, got: Any = None) -> InitErrorDetails:
    """What is wrong at loc: the whole text, or what was expected where `got` is not None."""
    kind = "problem" if got is None else "expected"
    return InitErrorDetails(type=PydanticCustomError(kind, text), loc=loc, input=got)  # pyright: ignore


def within(error: ValueError, *loc: str | int) -> list[InitErrorDetails]:
    """What a validation of the part at loc has found."""
    if not isinstance(error, ValidationError):
        return [mistake(str(error), *loc)]
    return [
        InitErrorDetails(type=PydanticCustomError(e["type"], e["msg"]), loc=(*loc, *e["loc"]), input=e["input"])
        for e in error.errors(include_url=False)
    ]  # pyright: ignore


def mistakes(found: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data("robot", found)


def one_of(value: Any, names: Iterable[str]) -> str:
    """What is expected of a word; the nearest of many, all of few."""
    names = list(names)
    hint = close(value, names) if isinstance(value, str) else ""
    return f"another name{hint}" if hint and len(names) > 10 else f"one of {', '.join(names)}{hint}"


def key_name(key: Any) -> str:
    """A key as it can be printed."""
    plain = str(key)
    return one_line(plain if plain.isprintable() and plain else json.dumps(plain))[:60]


def sections(least: int = 0) -> BeforeValidator:
    """In Annotated, of a mapping of named entries."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(SECTION)
        if len(value) < least:
            raise mistakes([mistake(f"got none, expected at least {least}")])
        return {key_name(key): item for key, item in value.items()}

    return BeforeValidator(check)


def is_line(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= 500


def _line(value: Any) -> str:
    if not is_line(value):
        raise ValueError("one line of text")
    return value


def _not_huge(value: float) -> float:
    if abs(value) > 1e300:
        raise ValueError
    return value


def _as_tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, list) else (value,)


Number = Annotated[float, Field(strict=True, allow_inf_nan=False), AfterValidator(_not_huge), Expected("a number")]
Positive = Annotated[
    float, Field(strict=True, allow_inf_nan=False, gt=0), AfterValidator(_not_huge), Expected("a number above 0")
]
NotNegative = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=0), AfterValidator(_not_huge), Expected("a number of at least 0")
]
Share = Annotated[float, Field(gt=0, le=1), Expected("a number above 0 and of at most 1")]
Numbers = Annotated[Number | list[Number], Expected("a number, or a list of them"), AfterValidator(_as_tuple)]
Text = Annotated[str, BeforeValidator(_line), Field(min_length=1, max_length=500)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$"), Expected("a name of letters, digits and _")]
_AXES = re.compile(r"(?!.*(.).*\1)[xyz]{1,3}")


def _axes(value: Any) -> str:
    if not isinstance(value, str) or not _AXES.fullmatch(value):
        raise ValueError("axes such as x, xy or xyz")
    return value


Axes = Annotated[str, BeforeValidator(_axes), Field(pattern="^[xyz]{1,3}$")]
