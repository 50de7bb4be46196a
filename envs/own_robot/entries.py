"""What people write in YAML, as pydantic models: every mistake at once, in words.

    class Motor(Entry):
        joint: Annotated[list[str], Named("joints")] = option(..., "What it turns.")
        rate: Positive = option(50.0, "Hz")

    motor, mistakes = read_entry(Motor, {"joint": "hipp", "rat": 9}, Names(model, data))
    mistakes    # [("rat", "unknown key "rat"; known keys: joint, rate (did you mean 'rate'?)"), ("joint", "got ...")]

A validator raises ValueError with what it expects, or `mistaken` where that is not the whole text. The context of a
validation is `Names`: what the MJCF, the parameters and the control let a name mean.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import mujoco
import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from metarl.util.text import close, nearest, one_line, show

from ..variation.elements import find

T = TypeVar("T", bound="Entry")
Mistake = tuple[str, str]  # (key, what is wrong with it)
MOVABLE = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
NOTHING = type("Nothing", (), {})()  # in place of a key that is not there
_SECTION = "a section of `key: value` lines"
_WITHOUT_ORDER = ("bodies or sites", "geoms or bodies", "parameters", "commands", "parameters or commands")
_OWN = ("problem", "expected", "value_error")  # types of errors whose text is one of ours


class Names:
    """What names may mean in a robot file; None where it is not known, and then no name is wrong.

    Args:
        model: as the MJCF has it; None if it cannot be compiled.
        data: the robot file.

    Attributes:
        actuators: name of each actuator that there will be, by index; the control says so.
        kept: those of the MJCF's among them; None for all.
        used: names of the parameters that signals and targets read.
    """

    def __init__(self, model: mujoco.MjModel | None, data: dict[str, Any]):
        self.model, self.used = model, set[str]()
        self.actuators: dict[int, str] | None = None
        self.kept: list[str] | None = None
        written = data.get("parameters")
        self.parameters = dict(enumerate(written)) if isinstance(written, dict) else None
        told = data.get("commands")
        values = told.get("values") if isinstance(told, dict) else {}
        self.commands = dict(enumerate(map(str, values))) if isinstance(values, dict) else None
        sites, bodies = (elements(model, kind).values() if model else () for kind in ("sites", "bodies"))
        # where both have a name, the body is meant
        self.frames = dict.fromkeys(sites, "site") | dict.fromkeys(bodies, "body")
        geoms = elements(model, "geoms").values() if model else ()
        self.touching = dict.fromkeys(geoms, "geom") | dict.fromkeys(bodies, "body")

    def of(self, kind: str) -> dict[int, str] | None:
        """Names of all elements of a kind by index."""
        if kind in ("parameters", "actuators", "commands"):
            return getattr(self, kind)
        if kind == "parameters or commands":
            both = (self.parameters, self.commands)
            return None if None in both else dict(enumerate(name for known in both for name in (known or {}).values()))
        if kind == "actuators of the MJCF":  # not those that the control adds
            return elements(self.model, "actuators") if self.model else None
        if kind == "actuators with an activation" and self.model:
            there = {i: self.model.actuator(int(i)).name for i in np.flatnonzero(self.model.actuator_actnum)}
            return {int(i): name for i, name in there.items() if self.kept is None or name in self.kept}
        if kind == "sensors" and self.model:
            return {i: name for i, name in elements(self.model, kind).items() if name not in self.gone()}
        if kind in ("bodies or sites", "geoms or bodies"):
            return dict(enumerate(self.frames if kind == "bodies or sites" else self.touching)) or None
        return elements(self.model, kind) if self.model else None

    def gone(self) -> list[str]:
        """Sensors of the MJCF whose actuators the control replaces, none of the same name."""
        model, actuators = self.model, (self.actuators or {}).values()
        if model is None or self.kept is None:
            return []
        of_actuators = np.flatnonzero(model.sensor_objtype == int(mujoco.mjtObj.mjOBJ_ACTUATOR))
        return [model.sensor(int(i)).name for i in of_actuators
                if model.actuator(int(model.sensor_objid[i])).name not in actuators]  # fmt: skip


def elements(model: mujoco.MjModel, kind: str) -> dict[int, str]:
    """Names by index; of "joints" (hinges and slides), "bodies", "sites", "sensors", "actuators" and so on."""
    count, get = {
        "joints": (model.njnt, model.joint), "bodies": (model.nbody, model.body), "sites": (model.nsite, model.site),
        "sensors": (model.nsensor, model.sensor), "actuators": (model.nactuator, model.actuator),
        "keyframes": (model.nkey, model.key), "cameras": (model.ncam, model.camera), "geoms": (model.ngeom, model.geom),
    }[kind]  # fmt: skip
    return {i: get(i).name for i in range(count) if kind != "joints" or int(model.jnt_type[i]) in MOVABLE}


class Expected:
    """In Annotated, after all else: what is said to be expected, whatever is wrong."""

    def __init__(self, text: str):
        self.text = text

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        return core_schema.custom_error_schema(
            handler(source), custom_error_type="expected", custom_error_message=self.text
        )


class Choice:
    """In Annotated: one of these words."""

    def __init__(self, names: Iterable[str], renamed: Mapping[str, str] | None = None):
        self.names, self.renamed = list(names), renamed or {}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        words = core_schema.literal_schema(self.names)
        return core_schema.no_info_wrap_validator_function(lambda value, _: self.check(value), words)

    def check(self, value: Any) -> str:
        value = self.renamed.get(value, value) if isinstance(value, str) else value
        if not isinstance(value, str) or value not in self.names:
            hint = close(value, self.names) if isinstance(value, str) else ""
            few = f"one of {', '.join(self.names)}{hint}"
            raise ValueError(f"another name{hint}" if hint and len(self.names) > 10 else few)
        return value


class OneOf(Choice):
    """In Annotated: one of several entries, told apart by the word under a key."""

    def __init__(self, key: str, entries: Mapping[str, Any], default: Any = NOTHING, renamed: dict | None = None):
        super().__init__(entries, renamed)
        self.key, self.entries, self.default = key, entries, default

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        union = {word: handler.generate_schema(entry) for word, entry in self.entries.items()}
        schema = core_schema.tagged_union_schema(union, self.key)
        return core_schema.with_info_wrap_validator_function(self.select, schema)

    def select(self, value: Any, handler: Any, info: Any) -> "Entry":
        if not isinstance(value, dict):
            raise ValueError(_SECTION)
        given = value.get(self.key, self.default)
        try:
            word = self.check(given)
        except ValueError as error:
            raise mistaken(str(error), self.key, got=given) from error
        return self.entries[word].model_validate(value | {self.key: word}, context=info.context)


class Named:
    """In Annotated: a list of names, patterns or indices of elements that there are, or one element if not `many`.

    At least one, unless `none` may be named.

    Of kinds "bodies or sites" and "geoms or bodies" come ("body" or "site" or "geom", name), of all others names.
    """

    def __init__(self, kind: str, many: bool = True, none: bool = False):
        self.kind, self.many, self.none = kind, many, none

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        one = {"type": ["string", "integer"]}
        several = {"type": "array", "items": one} | ({} if self.none else {"minItems": 1})
        return {"anyOf": [one, several]} if self.many else one

    def check(self, value: Any, info: Any) -> Any:
        names: Names = info.context
        known = names.of(self.kind)
        wanted = value if isinstance(value, list) and self.many else [value]
        if known is None and wanted and all(isinstance(name, str | int) for name in wanted):
            return wanted if self.many else wanted[0]
        gone = names.gone() if self.kind == "sensors" else []
        wanted = wanted or ([] if self.none else [""])
        found = dict.fromkeys((known or {})[i] for name in wanted for i in self._find(name, known or {}, gone))
        if self.kind.startswith("parameters"):
            names.used.update(name for name in found if name in (names.parameters or {}).values())
        frames = {"bodies or sites": names.frames, "geoms or bodies": names.touching}.get(self.kind)
        result = [(frames[name], name) if frames else name for name in found]
        return result if self.many else result[0]

    def _find(self, name: Any, known: dict[int, str], gone: list[str]) -> list[int]:
        expected = f"names of {self.kind}" if self.many else f"one of the {self.kind}"
        if isinstance(name, int) and self.kind in _WITHOUT_ORDER:
            name = str(name)  # their order means nothing
        try:
            matches = find(name, known)
        except ValueError as error:
            raise ValueError(f"{expected}: {error}") from error
        if matches and (self.many or str(name) in known.values() or isinstance(name, int)):
            return matches
        if name in gone:
            raise ValueError(f"{expected}: {name!r} is of an actuator that control replaces")
        there = [n for n in known.values() if n][:40]
        raise ValueError(expected + (nearest(str(name), there) or f" (the MJCF has no {self.kind})"))


class Entry(BaseModel):
    """A section of the file. Unknown and missing keys are told beside all else that is wrong in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    renamed: ClassVar[dict[str, str]] = {}  # keys as they were called once

    @model_validator(mode="wrap")
    @classmethod
    def _tell_all(cls, data: Any, handler: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError(_SECTION)
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        both = {old: new for old, new in cls.renamed.items() if old in data and new in data}
        found = [_error(f"got it beside {new}, its name of today", old) for old, new in both.items()]
        data = {cls.renamed.get(key, key): value for key, value in data.items() if key not in both}
        known = f"; known keys: {', '.join(fields)}"
        found += [_error(f"unknown key {show(key)}{known}{close(key, fields)}", key_name(key))
                  for key in data if key not in fields]  # fmt: skip
        given = {key: data.get(key, NOTHING) for key, f in fields.items() if key in data or f.is_required()}
        try:
            entry = handler(given)
        except ValidationError as error:
            for e in error.errors(include_url=False):
                type_ = PydanticCustomError(e["type"] if e["type"] in _OWN else "expected", _words(e))  # pyright: ignore
                loc = tuple(part for part in e["loc"] if part != "[key]")
                found.append(InitErrorDetails(type=type_, loc=loc, input=e["input"]))
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        return entry


def _words(error: Any) -> str:
    """What was expected, or the whole text of a problem."""
    if error["type"] in _OWN:
        return error["msg"].removeprefix("Value error, ")
    if error["type"] == "too_short":
        return f"at least {error['ctx']['min_length']}"
    return {"dict_type": _SECTION, "list_type": "a list"}.get(error["type"]) or str(error["msg"])


def read_entry(entry: type[T], data: Any, names: Names) -> tuple[T | None, list[Mistake]]:
    """The entry that data makes, and what is wrong with it: each key with its text."""
    try:
        return entry.model_validate(data, context=names), []
    except ValidationError as error:
        return None, [(".".join(map(str, e["loc"])), _text(e)) for e in error.errors(include_url=False)]


def _text(error: Any) -> str:
    got = "nothing" if error["input"] is NOTHING else show(error["input"])
    return error["msg"] if error["type"] == "problem" else f"got {got}, expected {_words(error)}"


def _error(text: str, *loc: str | int, got: Any = None) -> InitErrorDetails:
    kind = "problem" if got is None else "expected"
    return InitErrorDetails(type=PydanticCustomError(kind, text), loc=loc, input=got)  # pyright: ignore


def mistaken(text: str, *loc: str | int, got: Any = None) -> ValidationError:
    """What is wrong at loc of an entry: the whole text, or what was expected where `got` is not None."""
    return ValidationError.from_exception_data("entry", [_error(text, *loc, got=got)])


def key_name(key: Any) -> str:
    """A key as it can be printed."""
    plain = str(key)
    return one_line(plain if plain.isprintable() and plain else json.dumps(plain))[:60]


def option(default: Any, description: str, **more: Any) -> Any:
    """A key with what it means; `...` as the default of one that must be there, "*" stands for all names."""
    if default is NOTHING:
        return Field(default_factory=lambda: NOTHING, description=description, validate_default=True, **more)
    return Field(default, description=description, **{"validate_default": default == "*"} | more)


def is_line(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= 500


def _check(holds: Callable[[Any], bool], before: bool = False) -> Any:
    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError
        return value

    return BeforeValidator(check) if before else AfterValidator(check)


def as_tuple(value: Any) -> tuple:
    """One value or a list of them, groups included."""
    values = value if isinstance(value, list) else [value]
    return tuple(as_tuple(item) if isinstance(item, list) else item for item in values)


_NOT_HUGE = _check(lambda value: abs(value) <= 1e300)
_FINITE = Field(strict=True, allow_inf_nan=False)
Number = Annotated[float, _FINITE, _NOT_HUGE, Expected("a number")]
Positive = Annotated[float, Field(gt=0), _FINITE, _NOT_HUGE, Expected("a number above 0")]
NotNegative = Annotated[float, Field(ge=0), _FINITE, _NOT_HUGE, Expected("a number of at least 0")]
Share = Annotated[float, Field(gt=0, le=1), Expected("a number above 0 and of at most 1")]
Numbers = Annotated[Number | list[Number], Expected("a number, or a list of them"), AfterValidator(as_tuple)]
Text = Annotated[str, Field(min_length=1, max_length=500), _check(is_line, True), Expected("one line of text")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$"), Expected("a name of letters, digits and _")]
Axes = Annotated[str, Field(pattern="^[xyz]{1,3}$"), _check(lambda value: len(set(value)) == len(value)),
                 Expected("axes such as x, xy or xyz")]  # fmt: skip
