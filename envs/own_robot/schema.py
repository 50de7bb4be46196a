"""What a robot file may say, as pydantic models, and the same as a JSON schema for editors.

    told, mistakes = read_entry(RobotFile, read_yaml(path, "the description of a robot"), Names(model, data))
    told.observation[0].build(built)                  # a Signal
    robot_json_schema()                               # a dict: keys with their meaning, unit and range

`docs/reference/robot_yaml.md` has the keys in words. Names are checked against what the MJCF has and what
the file adds to it.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WrapValidator

from .commands import CommandsEntry
from .control import CONTROLS, Control, with_actuators
from .entries import Entry, Expected, Named, OneOf, Positive, Text, Word, option
from .observing import ObservedPart
from .parameters import ParameterEntry
from .pushes import PushEntry
from .ranges import printable
from .reward_terms import RewardPart, SuccessPart, TerminationPart
from .signal_table import entries
from .signals import RENAMED
from .start import Start

_Horizon = Annotated[int, Field(ge=1, le=1_000_000), Expected("a whole number from 1 to 1000000")]
_Identifier = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$"), Expected("a name of letters, digits and _")]
_Signal = Annotated[ObservedPart, OneOf("signal", entries("observation", ObservedPart), renamed=RENAMED)]
_Reward = Annotated[RewardPart, OneOf("signal", entries("reward", RewardPart), renamed=RENAMED)]
_Condition = Annotated[SuccessPart, OneOf("signal", entries("success", SuccessPart), renamed=RENAMED)]
_Bound = Annotated[TerminationPart, OneOf("signal", entries("termination", TerminationPart), renamed=RENAMED)]


class RobotFile(Entry):
    """A robot of one's own: an MJCF file, what is observed and rewarded, and what varies."""

    name: Word = option(..., "Letters, digits and _; part of the digests of the tasks.")
    mjcf: Text = option(..., "The MJCF file, in the folder of this file or below, or of an extra: metaworld/FILE.")
    description: Text = option("", "One line for people.")
    horizon: _Horizon = option(200, "Environment steps of an episode.")
    state_limit: Positive = option(1e4, "Positions and velocities (rad, m, rad/s, m/s) beyond it are divergence.")
    camera: Annotated[str, Named("cameras", many=False)] = option("", "Of the MJCF, for pictures; else one is added.")
    control: Annotated[Control, OneOf("kind", CONTROLS, "model"), WrapValidator(with_actuators)] = Field(
        default_factory=dict, validate_default=True, description="Actuators, their rate, and what actions mean."
    )
    start: Start = Field(default_factory=Start, description="Where episodes start.")
    parameters: Annotated[dict[_Identifier, ParameterEntry], Field(min_length=1), BeforeValidator(printable)] = option(
        ..., "What varies between tasks, by name.", json_schema_extra={"additionalProperties": False}
    )
    commands: CommandsEntry = option(None, "What the robot is told, drawn anew in the course of an episode.")
    pushes: Annotated[dict[_Identifier, PushEntry], BeforeValidator(printable)] = option(
        {}, "What pushes it, by name.", json_schema_extra={"additionalProperties": False}
    )
    observation: Annotated[list[_Signal], Field(min_length=1)] = option(..., "What the policy sees: signals, in order.")
    reward: Annotated[dict[str, _Reward], Field(min_length=1), BeforeValidator(printable)] = option(
        ..., "Terms of the reward, by name: weight * shape(signal - target) in each environment step."
    )
    termination: Annotated[dict[str, _Bound], BeforeValidator(printable)] = option(
        {}, "Bounds, by name: any number of the signal outside of them ends the episode."
    )
    success: Annotated[dict[str, _Condition], BeforeValidator(printable)] = option(
        {}, "Conditions, by name: an episode is a success if all of them hold in one of its steps."
    )


def robot_json_schema() -> dict[str, Any]:
    """The JSON schema of robot files. What only the MJCF can tell, such as its names, it does not check."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RobotFile.model_json_schema()}
