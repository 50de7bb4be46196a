"""What a policy sees of a signal of a robot from YAML: with noise, late, limited, scaled, and the last ones together.

    observation:
      - {signal: joint_position_from_home, noise: 0.01, history: 3}
      - {signal: joint_velocity, clip: [-20, 20], scale: 0.05, delay: 1}

In this order: noise, delay, dropout, clip, scale, history. What varies from task to task is a parameter that writes
`observation_noise` and its like; its `elements` are names of what is observed, patterns, signals, or indices.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from metarl.util.text import nearest

from ..observation import Observed
from ..parameter import Parameter
from ..sensing import Sensing, stacked
from ..variation.elements import find
from .entries import Expected, Mistake, NotNegative, Number, option
from .signals import Signal, SignalEntry

_MOST = 1000  # steps of a delay or a history


def _ordered(value: list[float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError
    return value[0], value[1]


_Limits = Annotated[list[Number], Field(min_length=2, max_length=2), AfterValidator(_ordered), Expected("[low, high]")]
_Steps = Annotated[int, Field(ge=0, le=_MOST), Expected(f"a whole number of steps from 0 to {_MOST}")]
_Length = Annotated[int, Field(ge=1, le=_MOST), Expected(f"a whole number of steps from 1 to {_MOST}")]
_Chance = Annotated[float, Field(ge=0, lt=1), Expected("a number of at least 0 and below 1")]


class ObservedPart(SignalEntry):
    """What an observation has besides its signal."""

    noise: NotNegative = option(0.0, "Standard deviation of normal noise, in the unit of the signal.")
    delay: _Steps = option(0, "Environment steps before it arrives.")
    dropout: _Chance = option(0.0, "Probability that it stays at what was last observed.")
    clip: _Limits = option((-math.inf, math.inf), "Limits [low, high], in the unit of the signal.")
    scale: Number = option(1.0, "Factor, after the limits.")
    history: _Length = option(1, "How many steps are observed, the oldest first; at the start all are the first.")


def sensing_of(entries: Sequence[ObservedPart], signals: Sequence[Signal]) -> Sensing | None:
    """What becomes of the observed signals, in order; None if the policy sees them as they are."""
    plain = {"signal", *(name for entry in entries for name in entry.kind.options)}
    if not any(entry.model_fields_set - plain for entry in entries):
        return None
    sizes = [len(signal.names) for signal in signals]
    firsts = np.cumsum([0, *sizes])
    fixed = [(f"observation_{key}", float(value), tuple(range(firsts[i], firsts[i + 1])))
             for i, entry in enumerate(entries) for key in ("noise", "delay", "dropout")
             if (value := getattr(entry, key))]  # fmt: skip
    low, high, scale = (np.repeat(list(values), sizes) for values in zip(
        *((*entry.clip, entry.scale) for entry in entries), strict=True))  # fmt: skip
    lags, columns = stacked([(size, entry.history) for size, entry in zip(sizes, entries, strict=True)])
    return Sensing(tuple(fixed), low, high, scale, lags, columns)


def names_of(sensing: Sensing, names: Sequence[Observed]) -> tuple[Observed, ...]:
    """What each of the numbers is that a policy sees, from those of the signals."""
    return tuple(_name(sensing, names[column], column, lag)
                 for column, lag in zip(sensing.columns, sensing.lags, strict=True))  # fmt: skip


def _name(sensing: Sensing, seen: Observed, column: int, lag: int) -> Observed:
    low, high, scale = sensing.low[column], sensing.high[column], sensing.scale[column]
    source, unit, name = seen.source, seen.unit, seen.name
    if np.isfinite(low):
        source = f"clip({source}, {low:.17g}, {high:.17g})"
    if scale != 1:
        source, unit = f"{scale:.17g} * ({source})", f"{unit} / {1 / scale:.4g}" if scale else "0"
    if lag:
        source, name = f"past({source}, {lag})", f"{name}, {lag} steps ago"
    return Observed(name, unit, seen.element, source)


def resolve(parameters: list[Parameter], entries: Sequence[Any], signals: Sequence[Signal],
            found: list[Mistake]) -> list[Parameter]:  # fmt: skip
    """The parameters with indices of the observation in place of names of what is observed."""
    names = [name.name for signal in signals for name in signal.names]
    words = [entry.signal for entry, signal in zip(entries, signals, strict=True) for _ in signal.names]
    resolved = []
    for parameter in parameters:
        writes = []
        for write in parameter.writes:
            if write.quantity_row.kind == "sensor" and any(isinstance(name, str) for name in write.elements):
                indices: list[int] = []
                for name in write.elements:
                    some = [i for i, word in enumerate(words) if word == name] or _named(name, names)
                    if not some:
                        hint = nearest(str(name), [*dict.fromkeys(words), *names])
                        expected = f"expected a signal, a name or an index of the observation{hint}"
                        found.append((f"parameters.{parameter.name}.writes", f"got {name!r}, {expected}"))
                    indices += [i for i in some if i not in indices]
                write = replace(write, elements=tuple(indices))
            writes.append(write)
        resolved.append(replace(parameter, writes=tuple(writes)))
    return resolved


def _named(name: Any, names: Sequence[str]) -> list[int]:
    try:
        return find(name, dict(enumerate(names)))
    except ValueError:
        return []
