"""Numbers and ranges of numbers as people write them in YAML: `0.3`, or `[0.2, 0.4]` for a uniform draw."""

from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from ..arrays import Array, constant
from .entries import Expected, Number, key_name


def _ordered(value: Any) -> tuple[float, float]:
    low, high = value if isinstance(value, list) else (value, value)
    if low > high:
        raise ValueError
    return low, high


def _positive(value: Any) -> tuple[float, float]:
    if _ordered(value)[0] <= 0:
        raise ValueError
    return _ordered(value)


def _not_negative(value: Any) -> tuple[float, float]:
    if _ordered(value)[0] < 0:
        raise ValueError
    return _ordered(value)


_OneOrTwo = Number | Annotated[list[Number], Field(min_length=2, max_length=2)]
Range = Annotated[_OneOrTwo, AfterValidator(_ordered), Expected("a number, or a range [low, high]")]
Seconds = Annotated[_OneOrTwo, AfterValidator(_positive), Expected("s above 0, or a range [low, high] of them")]
Onset = Annotated[_OneOrTwo, AfterValidator(_not_negative), Expected("s of at least 0, or a range [low, high] of them")]


def printable(value: Any) -> Any:
    """A mapping with keys that can be printed."""
    return {key_name(key): item for key, item in value.items()} if isinstance(value, dict) else value


def within(ranges: np.ndarray, draws: Array) -> Array:
    """Numbers (n, k) of ranges (k, 2) at draws (n, k) in [0, 1); exact where a range is one number."""
    low, high = (constant(bound, draws) for bound in ranges.T)
    return low + (high - low) * draws
