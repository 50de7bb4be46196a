"""The space of learning strategies: which settings of a config may vary, and in what ranges.

    inner.lr: {log_uniform: [0.01, 1.0]}
    inner.steps: {int: [1, 3]}
    inner.head_only: {choice: [true, false]}
    inner.sb3: {choice: [{algorithm: PPO, settings: {}}, {algorithm: SAC, settings: {}}]}
    inner.sb3.settings.n_epochs: {int: [1, 10], when: {inner.sb3.algorithm: [PPO]}}

As a file, YAML of that form; in Python:

    space = read_space(Path("space.yaml"), config)
    space = default_space(config, trained=True)
    space.choose(config, suggest)      # {"inner.lr": 0.03, ...}: suggest(dimension) is asked for each that applies

Keys are those of a config. A dimension with `when` is only there while the config, with what was chosen above it, has
one of the listed values. The environment, the seed and what a strategy is measured on are no strategy: their keys
are refused, and so is `iterations`, because all strategies get the same number of environment steps.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metarl.config import Config, changed
from metarl.config.load import read_mapping
from metarl.config.schema import present_key
from metarl.tuning.defaults import adaptation, training
from metarl.util.errors import UserError
from metarl.util.safe_yaml import write_yaml
from metarl.util.text import show

KINDS = ("uniform", "log_uniform", "int", "log_int", "choice")
NO_STRATEGY = (
    "env.", "seed", "threads", "iterations", "evaluation.tasks", "evaluation.split", "evaluation.every",
    "backend", "checkpoint_every", "keep_checkpoints", "wandb.", "inner.sb3.processes",
)  # fmt: skip
AT_ADAPTATION = (
    "inner.lr", "inner.head_only", "inner.sb3.settings.", "discount", "gae_lambda", "bootstrap_at_horizon",
    "evaluation.steps", "evaluation.episodes",
)  # fmt: skip
"""What the weights of a finished run do not depend on."""


@dataclass(frozen=True)
class Dimension:
    """One setting that varies.

    Attributes:
        key: of the config, such as "inner.lr".
        kind: one of KINDS.
        values: the lowest and the highest, both possible; or the choices.
        when: other key to the values of it with which this dimension is there.
    """

    key: str
    kind: str
    values: tuple[Any, ...]
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def applies(self, config: Config) -> bool:
        return all(value_of(config, key) in allowed for key, allowed in self.when.items())

    def holds(self, value: Any) -> bool:
        """Whether the search could choose this value."""
        if self.kind == "choice":
            return value in self.values
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.values[0] <= value <= self.values[1] and ("int" not in self.kind or value == int(value))

    def including(self, value: Any) -> "Dimension":
        """As wide as it takes to hold this value too; itself where its kind has no such value."""
        if value is None or self.holds(value):
            return self
        if self.kind == "choice":
            return replace(self, values=(*self.values, value))
        if not isinstance(value, int | float) or ("log" in self.kind and value <= 0):
            return self
        return replace(self, values=(min(value, self.values[0]), max(value, self.values[1])))

    def to_plain(self) -> dict[str, Any]:
        when = {"when": {key: list(allowed) for key, allowed in self.when.items()}} if self.when else {}
        return {self.kind: list(self.values)} | when


@dataclass(frozen=True)
class Space:
    """All dimensions, in the order in which they are chosen."""

    dimensions: tuple[Dimension, ...]

    def choose(self, config: Config, suggest: Callable[[Dimension], Any]) -> dict[str, Any]:
        """A value for each dimension that applies; UserError if the config does not take them together."""
        chosen: dict[str, Any] = {}
        now = config
        for dimension in self.dimensions:
            if dimension.applies(now):
                chosen[dimension.key] = suggest(dimension)
                if any(dimension.key in other.when or _above(dimension.key, other) for other in self.dimensions):
                    now = changed(config, chosen)
        return chosen

    def present(self, config: Config) -> dict[str, Any] | None:
        """What the config itself would be chosen by; None if it lies outside the space."""
        try:
            chosen = self.choose(config, lambda dimension: value_of(config, dimension.key))
        except UserError:
            return None
        held = {d.key: d.holds(chosen[d.key]) for d in self.dimensions if d.key in chosen}
        return chosen if all(held.values()) else None

    def to_yaml(self) -> str:
        return write_yaml({d.key: d.to_plain() for d in self.dimensions})


def read_space(path: Path, config: Config, trained: bool = True) -> Space:
    """The space in a YAML file, checked against the config; trained: whether each strategy is trained anew."""
    data = read_mapping(path, "a search space")
    faults: list[str] = []
    dimensions = []
    for key, text in data.items():
        try:
            dimensions.append(_dimension(str(key), text, trained, config))
        except UserError as error:
            faults.append(f"{path}: {error}")
    if not data:
        faults.append(f"{path}: got no settings, expected at least one")
    if not faults:
        faults += [f"{path}: {fault}" for fault in _problems(dimensions, config)]
    if faults:
        raise UserError("\n".join(faults))
    return Space(tuple(dimensions))


def default_space(config: Config, trained: bool = True) -> Space:
    """A sensible space that the config lies in; trained: whether each strategy is trained anew."""
    lines = training(config) if trained else adaptation(config)
    if not lines:
        what = f"{config.algorithm.name} has no settings that adaptation alone depends on"
        raise UserError(f"tune: {what}; give a config instead of a run, or a space by --space")
    dimensions = (_dimension(key, text, trained, config) for key, text in lines.items())
    return Space(tuple(d.including(value_of(config, d.key)) if d.applies(config) else d for d in dimensions))


def value_of(config: Config, key: str) -> Any:
    """The value of a dotted key, None if the config has no such key."""
    value: Any = config
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _dimension(key: str, text: Any, trained: bool, config: Config) -> Dimension:
    """From `{kind: values, when: ...}`."""
    key = present_key(key, config.algorithm.name)
    if not isinstance(text, dict):
        raise UserError(f"{key}: got {show(text)}, expected such as {{uniform: [0.1, 0.9]}} or {{choice: [a, b]}}")
    kinds = [name for name in text if name != "when"]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        raise UserError(f"{key}: got {show(kinds)}, expected one of {', '.join(KINDS)}")
    if key.startswith(NO_STRATEGY) and key != "env.action_scale":
        raise UserError(f"{key}: cannot be searched: every trial must be evaluated with the same value")
    if not trained and not key.startswith(AT_ADAPTATION):
        allowed = ", ".join(name + ("*" if name.endswith(".") else "") for name in AT_ADAPTATION)
        raise UserError(f"{key}: got a range, expected one of {allowed}: the run's weights depend on it")
    kind, values = kinds[0], text[kinds[0]]
    if not isinstance(values, list) or not values:
        raise UserError(f"{key}: got {show(values)}, expected a list of values")
    if kind != "choice":
        _check_range(key, kind, values)
    when = text.get("when", {})
    if not isinstance(when, dict):
        raise UserError(f"{key}: when: got {show(when)}, expected {{key: [values]}}")
    conditions = {
        present_key(str(k), config.algorithm.name): tuple(v) if isinstance(v, list) else (v,) for k, v in when.items()
    }
    return Dimension(key, kind, tuple(values), conditions)


def _check_range(key: str, kind: str, values: list) -> None:
    number = int if "int" in kind else (int, float)
    good = len(values) == 2 and all(isinstance(v, number) and not isinstance(v, bool) for v in values)
    if not good or not values[0] < values[1] or (kind.startswith("log") and values[0] <= 0):
        what = "two whole numbers" if "int" in kind else "two numbers"
        above = ", both above 0" if kind.startswith("log") else ""
        raise UserError(f"{key}: got {show(values)}, expected {what}, the lower first{above}")


def _problems(dimensions: list[Dimension], config: Config) -> Iterator[str]:
    """What the config does not take: each dimension is tried at its ends, the others as they stand."""
    for dimension in dimensions:
        needed = {key: allowed[0] for key, allowed in dimension.when.items()}
        for other in dimensions:
            # an algorithm that the condition names brings its section along
            sections = [value for value in other.values if isinstance(value, dict)]
            matching = [value for value in sections if needed.items() & _leaves(other.key, value).items()]
            if matching:
                needed = {other.key: matching[0]} | {k: v for k, v in needed.items() if not k.startswith(other.key)}
        for value in dimension.values:
            try:
                changed(config, needed | {dimension.key: value})
            except UserError as error:
                yield from str(error).splitlines()
                break


def _leaves(prefix: str, section: dict) -> dict[str, Any]:
    return {f"{prefix}.{key}": value for key, value in section.items() if not isinstance(value, dict | list)}


def _above(key: str, dimension: Dimension) -> bool:
    """Whether the condition of a dimension looks at a part of what stands under a key."""
    return any(other.startswith(f"{key}.") for other in dimension.when)

