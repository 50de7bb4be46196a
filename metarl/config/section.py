"""What a group of settings is: frozen, with a range and a meaning for each, unknown keys forbidden, old names valid.

    class Noise(Section):
        scale: Float = Field(default=0.1, ge=0, le=1, description="Standard deviation of the noise.")
        old_names = {"sigma": "scale"}          # still valid in configs and run folders

`Int` and `Float` take no `true`; `Name` is one line of text.
"""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


def _not_a_bool(value: Any) -> Any:
    # pydantic takes `true` for the number 1; in a config it is a slip
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "Input should be a number")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("one_line", "Input should be one line of printable characters")
    return value


Int = Annotated[int, BeforeValidator(_not_a_bool)]
Float = Annotated[float, BeforeValidator(_not_a_bool)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Width = Annotated[Int, Field(ge=1, le=16384)]


class Section(BaseModel):
    """A group of settings: frozen, unknown keys forbidden, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)
    old_names: ClassVar[dict[str, str]] = {}
    """Former names of settings, each with the present one."""

    @classmethod
    def renamed(cls, data: dict[str, Any]) -> dict[str, Any]:
        """`data` with present names for former ones; the value under a former name wins, it was written later."""
        former = {new: data[old] for old, new in cls.old_names.items() if old in data}
        return {key: value for key, value in data.items() if key not in cls.old_names} | former if former else data

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, data: Any) -> Any:
        return cls.renamed(data) if isinstance(data, dict) else data
