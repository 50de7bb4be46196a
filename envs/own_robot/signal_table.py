"""All signals of robots from YAML, their entries in a robot file, and the table of docs/reference/robot_yaml.md."""

from typing import Any, Literal

from pydantic import Field, create_model

from . import contact_signals, motion_signals, signals
from .signals import Kind, SignalEntry

SIGNALS: dict[str, Kind] = {**signals.SIGNALS, **motion_signals.SIGNALS, **contact_signals.SIGNALS}
OPTIONS: dict[str, tuple[Any, Any]] = {**signals.OPTIONS, **motion_signals.OPTIONS, **contact_signals.OPTIONS}


def entries(where: str, base: type[SignalEntry] = SignalEntry, prefix: str = "") -> dict[str, Any]:
    """The classes of the entries of a section of the file, by the word under `signal`, made from `base`."""
    found = {}
    for name, kind in SIGNALS.items():
        if where in kind.where or kind.where == "all three":
            fields: dict[str, Any] = {option: OPTIONS[option] for option in kind.options}
            fields["signal"] = Literal[name], Field(description=f"{kind.meaning} [{kind.unit}]")
            found[name] = create_model(f"{prefix or where}_{name}", __base__=base, **fields)
            found[name].kind = kind
    return found


def table() -> str:
    """The signals, as the Markdown table of docs/reference/robot_yaml.md."""
    rows = ["| signal | options | numbers | unit | meaning | in |", "|---|---|---|---|---|---|"]
    for name, kind in SIGNALS.items():
        fields = {OPTIONS[key][1].alias or key: OPTIONS[key][1].default for key in kind.options}
        options = [f"{key}={'all' if default == '*' else default}" if isinstance(default, str | float) else key
                   for key, default in fields.items()]  # fmt: skip
        shown = ", ".join(f"`{option}`" for option in options) or "-"
        rows.append(f"| `{name}` | {shown} | {kind.numbers} | {kind.unit} | {kind.meaning} | {kind.where} |")
    return "\n".join(rows)
