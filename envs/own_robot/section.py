"""What people wrote in YAML, checked key by key, all faults told in one go.

    faults = []
    robot = Section(read_yaml(path, "the description of a robot"), "", faults)
    horizon = robot.get("horizon", whole(1, 1_000_000), 200)
    control = robot.section("control")
    rate = control.get("rate", number(above=0), 50.0)
    control.finish()                        # what was not asked for is a fault, too
    faults       # [("control.rate", "got -1, expected a number above 0"), ...]

A check is a function of the value that returns what it stands for, or raises ValueError with what was expected.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from metarl.util.text import nearest, one_line, show

_MISSING = object()
Check = Callable[[Any], Any]


class Section:
    """A mapping of a file, read key by key.

    Args:
        data: what stands there; anything but a mapping is a fault.
        key: its full key, "" for the file.
        faults: where (key, text) of each fault goes.
    """

    def __init__(self, data: Any, key: str, faults: list[tuple[str, str]]):
        self.key, self.faults = key, faults
        self._asked: list[str] = []
        self.ok = isinstance(data, dict)
        if not self.ok:
            self.fault("", f"got {show(data)}, expected a section of `key: value` lines")
        self.data: dict[str, Any] = data if self.ok else {}

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def full(self, name: str) -> str:
        return f"{self.key}.{name}".strip(".")

    def fault(self, name: str, text: str) -> None:
        self.faults.append((self.full(name), text))
        self.ok = False

    def get(self, name: str, check: Check, default: Any = _MISSING) -> Any:
        """The value of a key as check gives it back; None after a fault."""
        self._asked.append(name)
        value = self.data.get(name, _MISSING)
        if value is _MISSING:
            if default is _MISSING:
                self.fault(name, f"got nothing, expected {_expectation(check)}")
                return None
            return default
        try:
            return check(value)
        except ValueError as error:
            self.fault(name, f"got {show(value)}, expected {error}")
            return None

    def section(self, name: str) -> "Section":
        """The mapping under a key, empty if there is none."""
        self._asked.append(name)
        return Section(self.data.get(name, {}), self.full(name), self.faults)

    def sections(self, name: str, least: int = 0) -> "list[tuple[str, Section]]":
        """The named mappings under a key."""
        inner = self.section(name)
        if inner.ok and len(inner.data) < least:
            inner.fault("", f"got none, expected at least {least}")
        return [(str(key), Section(value, inner.full(key_name(key)), self.faults)) for key, value in inner.data.items()]

    def allow(self, names: Iterable[str]) -> None:
        """Keys whose values are not looked at, after a fault that leaves open what they should be."""
        self._asked += names

    def finish(self) -> bool:
        """Report keys that nothing asked for; whether there was no fault."""
        for name in self.data:
            if name not in self._asked:
                self.fault(key_name(name), f"got {show(self.data[name])}, expected no such key"
                           + nearest(name, self._asked))  # fmt: skip
        return self.ok


def _expectation(check: Check) -> str:
    try:
        check(None)
    except ValueError as error:
        return str(error)
    return "a value"


def number(low: float = -math.inf, high: float = math.inf, above: float = -math.inf) -> Check:
    limits = [f"of at least {low:g}"] * (low > -math.inf) + [f"above {above:g}"] * (above > -math.inf)
    limits += [f"of at most {high:g}"] * (high < math.inf)
    expected = " ".join(["a number", " and ".join(limits)]).strip()

    def check(value):
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if not plain or abs(value) > 1e300 or not (low <= value <= high and value > above):
            raise ValueError(expected)
        return float(value)

    return check


def whole(low: int, high: int) -> Check:
    def check(value):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 500:
        raise ValueError("one line of text")
    return value


def word(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z]\w{0,63}", value, re.ASCII):
        raise ValueError("a name of letters, digits and _")
    return value


def choice(names: Iterable[str]) -> Check:
    names = list(names)

    def check(value):
        if not isinstance(value, str) or value not in names:
            hint = close(value, names)
            raise ValueError(f"another name{hint}" if hint and len(names) > 10 else f"one of {', '.join(names)}{hint}")
        return value

    return check


def named(kind: str, known: Iterable[str], many: bool = True) -> Check:
    """Names or patterns of elements that there are, as a list of names."""
    known = [name for name in known if name]

    def check(value):
        wanted = value if isinstance(value, list) and many else [value]
        found: list[str] = []
        for name in wanted:
            matches = [n for n in known if n == name]
            if isinstance(name, str) and many and not matches:
                matches = [n for n in known if fnmatchcase(n, name)]
            if not matches:
                there = nearest(str(name), known[:40]) if known else f" (the MJCF names no {kind})"
                raise ValueError(f"{'names of' if many else 'one of the'} {kind}{there}")
            found += [n for n in matches if n not in found]
        if not found:
            raise ValueError(f"names of {kind}" + nearest("", known[:40]))
        return found if many else found[0]

    return check


def listed(check: Check, least: int = 0) -> Check:
    """A list of values, or one value by itself, as a tuple."""

    def check_all(value):
        values = value if isinstance(value, list) else [value]
        if value is None or len(values) < least:
            raise ValueError(f"a list of at least {least} of: {_expectation(check)}" if least else _expectation(check))
        return tuple(check(item) for item in values)

    return check_all


def close(name: Any, known: Iterable[str]) -> str:
    """' (did you mean ...?)' for a near match, else nothing."""
    hint = nearest(str(name), known)
    return hint if "did you mean" in hint else ""


def key_name(key: Any) -> str:
    """A key as it can be printed."""
    plain = str(key)
    return one_line(plain if plain.isprintable() and plain else json.dumps(plain))[:60]
