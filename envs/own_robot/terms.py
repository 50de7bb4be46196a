"""Observation, reward and termination of a robot from YAML: which signals, with which options.

    terms = reward(section, Names(model, actuators, parameters))
    senses = {sense for term in terms.values() for sense in term.senses}       # what the compiler must add ...
    terms["forward"].term(model, {"control_range": (low, high)}, space)        # ... before this

The options of the signals stand in `metarl.envs.own_robot.signals.SIGNALS`, the shapes in `SHAPES` of
`metarl.envs.own_robot.reward_terms`.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np

from ..parameter import Parameter
from ..task import TaskSpace
from .reward_terms import SHAPES, WITH_TOLERANCE, RewardTerm, Target, TerminationTerm
from .section import Check, Section, choice, listed, named, number
from .signals import MOVABLE, SIGNALS, Sense, Signal


class Names:
    """What the options of signals may name, and which parameters they did.

    Args:
        model: as the MJCF has it.
        actuators: names of the actuators that there will be.
        parameters: those of the task.
        unsure: names of parameters that have faults of their own.
    """

    def __init__(
        self, model: mujoco.MjModel, actuators: list[str], parameters: dict[str, Parameter], unsure: set[str]
    ):
        self.joints = [model.joint(j).name for j in range(model.njnt) if int(model.jnt_type[j]) in MOVABLE]
        self.bodies = [model.body(b).name for b in range(model.nbody)]
        self.sites = [model.site(s).name for s in range(model.nsite)]
        self.sensors = [model.sensor(s).name for s in range(model.nsensor)]
        self.actuators, self.parameters, self.unsure = actuators, parameters, unsure
        self.used: set[str] = set()

    def check(self, option: str) -> Check:
        """What the value of an option of a signal must be."""
        checks = {
            "joints": named("joints", self.joints),
            "sensors": named("sensors", self.sensors),
            "actuators": named("actuators", self.actuators),
            "of": self._frames(many=True), "from": self._frames(many=False), "to": self._frames(many=False),
            "axes": _axes, "frame": choice(("world", "body")), "period": number(above=0),
            "parameters": self._parameters,
        }  # fmt: skip
        return checks[option]

    def default(self, option: str) -> Any:
        """What "all" stands for."""
        return [name for name in getattr(self, option) if name]

    def _frames(self, many: bool) -> Check:
        check = named("bodies or sites", [*self.bodies, *self.sites], many)

        def frames(value):
            found = check(value)
            kinds = [("body" if name in self.bodies else "site", name) for name in (found if many else [found])]
            return kinds if many else kinds[0]

        return frames

    def _parameters(self, value):
        known = list(self.parameters)
        if isinstance(value, str) and value in self.unsure:
            return []
        sure = [name for name in value if name not in self.unsure] if isinstance(value, list) else value
        names = named("parameters", known)(sure)
        self.used.update(names)
        return [(known.index(name), self.parameters[name]) for name in names]

    def number_or_parameter(self, value: Any) -> float | str:
        """A number, or the name of a parameter that stands for one."""
        if isinstance(value, str) and value in self.unsure:
            return 0.0
        if isinstance(value, str):
            if value not in self.parameters:
                named("parameters", self.parameters, many=False)(value)
            self.used.add(value)
            return value
        try:
            return number()(value)
        except ValueError:
            raise ValueError("a number or the name of a parameter, or a list of one for each number") from None


def _axes(value: Any) -> str:
    if not isinstance(value, str) or not value or len(set(value)) != len(value) or not set(value) <= set("xyz"):
        raise ValueError("axes such as x, xy or xyz")
    return value


@dataclass(frozen=True)
class Wanted:
    """A signal with its options, checked; what it needs and, with the final model, itself."""

    kind: str
    options: dict[str, Any]

    @property
    def senses(self) -> list[Sense]:
        return SIGNALS[self.kind].senses(self.options)

    def signal(self, model: mujoco.MjModel, extra: dict[str, Any]) -> Signal:
        return SIGNALS[self.kind].build(self.options | extra, model)


@dataclass(frozen=True)
class WantedReward(Wanted):
    """The reward term `name`, likewise."""

    name: str = ""
    shape: str = "linear"
    weight: float = 1.0
    target: tuple[float | str, ...] = (0.0,)
    tolerance: float = 1.0

    def term(
        self, model: mujoco.MjModel, extra: dict[str, Any], space: TaskSpace, faults: list[tuple[str, str]]
    ) -> RewardTerm:
        signal = self.signal(model, extra)
        targets = self.target * len(signal.names) if len(self.target) == 1 else self.target
        if len(targets) != len(signal.names):
            text = f"got {len(targets)} values, expected 1 or {len(signal.names)}"
            faults.append((f"reward.{self.name}.target", text))
        numbers = np.array([0.0 if isinstance(t, str) else t for t in targets])
        columns = tuple((i, space.names.index(t)) for i, t in enumerate(targets) if isinstance(t, str))
        changes = SIGNALS[self.kind].reward_only
        return RewardTerm(signal, self.shape, self.weight, Target(numbers, columns), self.tolerance, changes)


@dataclass(frozen=True)
class WantedTermination(Wanted):
    """A bound that ends an episode, likewise."""

    below: float = field(default=-math.inf)
    above: float = field(default=math.inf)

    def term(self, model: mujoco.MjModel, extra: dict[str, Any]) -> TerminationTerm:
        return TerminationTerm(self.signal(model, extra), self.below, self.above)


def observation(top: Section, names: Names) -> list[Wanted]:
    """The signals of the observation, in order."""
    entries = top.get("observation", _list_of_signals) or []
    found = []
    kinds = [name for name, kind in SIGNALS.items() if not kind.reward_only and name != "one"]
    for i, entry in enumerate(entries):
        section = Section(entry, f"observation.{i}", top.faults)
        wanted = _wanted(section, names, kinds)
        if section.finish() and wanted:
            found.append(Wanted(*wanted))
    return found


def reward(top: Section, names: Names) -> dict[str, WantedReward]:
    """The terms of the reward, by name."""
    found = {}
    for name, section in top.sections("reward", least=1):
        wanted = _wanted(section, names, SIGNALS)
        shape = section.get("shape", choice(SHAPES), "linear")
        weight = section.get("weight", number())
        target = section.get("target", listed(names.number_or_parameter, least=1), (0.0,))
        tolerance = 1.0
        if shape in WITH_TOLERANCE:
            tolerance = section.get("tolerance", number(above=0))
        if section.finish() and wanted:
            found[name] = WantedReward(*wanted, name, shape, weight, target, tolerance)
    return found


def termination(top: Section, names: Names) -> dict[str, WantedTermination]:
    """What ends an episode, by name."""
    found = {}
    kinds = [name for name, kind in SIGNALS.items() if not kind.reward_only]
    for name, section in top.sections("termination"):
        wanted = _wanted(section, names, kinds)
        below = section.get("below", number(), -math.inf)
        above = section.get("above", number(), math.inf)
        if "below" not in section and "above" not in section:
            section.fault("", "got no bound, expected below, above or both")
        if section.finish() and wanted:
            found[name] = WantedTermination(*wanted, below, above)
    return found


def _list_of_signals(value: Any) -> list:
    if not isinstance(value, list) or not value:
        raise ValueError("a list of signals, such as [{signal: joint_position}]")
    return value


def _wanted(section: Section, names: Names, kinds) -> tuple[str, dict[str, Any]] | None:
    """Kind and options of the signal that a section names."""
    kind = section.get("signal", choice(kinds))
    if kind is None:
        for options in (kind.options for kind in SIGNALS.values()):  # their own faults would be noise
            section.allow(option.partition("=")[0] for option in options)
        return None
    options = {}
    for option in SIGNALS[kind].options:
        name, _, default = option.partition("=")
        if default == "all":
            options[name] = section.get(name, names.check(name), names.default(name))
            if not options[name] and name not in section:
                section.fault(name, f"got none, expected names of {name}: the MJCF has none")
        elif default:
            options[name] = section.get(name, names.check(name), default)
        else:
            options[name] = section.get(name, names.check(name))
    return kind, options
