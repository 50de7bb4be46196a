"""Words for messages: the nearest match of a name that was not found, and values as one printable line.

    from metarl.util.text import nearest, one_line, show

    nearest("HalfCheetaDir", ["HalfCheetahDir"])      # " (did you mean 'HalfCheetahDir'?)"
    nearest("x", ["gru", "lstm"])                     # " (choose from 'gru', 'lstm')"
"""

import difflib
import json
from collections.abc import Iterable
from typing import Any


def nearest(name: str, choices: Iterable[str]) -> str:
    """" (did you mean 'y'?)" when one of `choices` looks like `name`, else " (choose from 'y', 'z')"."""
    choices = list(dict.fromkeys(choices))
    if not choices:
        return ""
    return close(name, choices) or " (choose from " + ", ".join(f"'{choice}'" for choice in choices) + ")"


def close(name: str, choices: Iterable[str]) -> str:
    """" (did you mean 'y'?)" when one of `choices` looks like `name`, else ""."""
    folded: dict[str, str] = {}
    for choice in choices:
        folded.setdefault(choice.casefold(), choice)
    match = difflib.get_close_matches(str(name).casefold(), folded, n=1)
    return f" (did you mean '{folded[match[0]]}'?)" if match else ""


def show(value: Any) -> str:
    """A value as it stands in YAML or JSON, cut at 60 characters."""
    return cut(json.dumps(value, default=str, skipkeys=True))


def one_line(text: object, length: int = 300) -> str:
    """A text as one printable line of at most `length` characters; of an exception without a text, its type."""
    words = str(text).split() or ([type(text).__name__] if isinstance(text, BaseException) else [])
    return cut("".join(c if c.isprintable() else "?" for c in " ".join(words)), length)


def first_line(text: object, length: int = 200) -> str:
    """The first line of a text, printable and cut; of an exception without a text, its type."""
    return one_line((str(text).splitlines() or [type(text).__name__])[0], length)


def printable(text: str) -> str:
    """The text with what a terminal would obey rather than show written out: "\\x1b" for an escape."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def cut(text: str, length: int = 60) -> str:
    """At most `length` characters, the last three of them dots where something is left out."""
    return text if len(text) <= length else text[: length - 3] + "..."
