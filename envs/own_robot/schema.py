"""What a robot file may say, as pydantic models, and the same as a JSON schema for editors.

    robot, mistakes = read_entry(RobotFile, read_yaml(path, "the description of a robot"), Names(model, data))
    robot.observation[0].build(built)                 # a Signal
    robot_json_schema()                               # a dict: keys with their meaning, unit and range

`docs/own_robot.md` has the keys in words. Names are checked against what the MJCF has and the file adds to it.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, WrapValidator

from .control import CONTROLS, Control, Start, with_actuators
from .entries import Entry, Expected, Named, OneOf, Positive, Text, Word, sections
from .parameters import ParameterEntry, all_parameters
from .reward_terms import RewardPart, TerminationPart
from .signals import RENAMED, SignalEntry, entries


def _at_least_one(value: Any) -> list:
    if not isinstance(value, list) or not value:
        raise ValueError("a list of signals, such as [{signal: joint_position}]")
    return value


_Horizon = Annotated[int, Field(ge=1, le=1_000_000), Expected("a whole number from 1 to 1000000")]
_SIGNAL = Annotated[SignalEntry, OneOf("signal", entries("observation"), renamed=RENAMED)]
_REWARD = Annotated[RewardPart, OneOf("signal", entries("reward", RewardPart), renamed=RENAMED)]
_BOUND = Annotated[TerminationPart, OneOf("signal", entries("termination", TerminationPart), renamed=RENAMED)]


class RobotFile(Entry):
    """A robot of one's own: an MJCF file, what is observed and rewarded, and what varies."""

    name: Word = Field(description="Letters, digits and _; part of the digests of the tasks.")
    mjcf: Text = Field(description="The MJCF file, in the folder of this file or below it.")
    description: Text = Field("", description="One line for people.")
    horizon: _Horizon = Field(200, description="Environment steps of an episode.")
    state_limit: Positive = Field(
        1e4, description="Positions and velocities (rad, m, rad/s, m/s) beyond it are divergence."
    )
    camera: Annotated[str, Named("cameras", many=False)] = Field(
        "", description="Camera of the MJCF for pictures; by default one is added."
    )
    control: Annotated[Control, OneOf("kind", CONTROLS, "model"), WrapValidator(with_actuators)] = Field(
        default_factory=dict, validate_default=True, description="Actuators, their rate, and what actions mean."
    )
    start: Start = Field(default_factory=Start, description="Where episodes start.")
    parameters: Annotated[
        tuple[Any, ...],  # of Parameter
        PlainValidator(
            all_parameters, json_schema_input_type=Annotated[dict[str, ParameterEntry], Field(min_length=1)]
        ),
        sections(1),
    ] = Field(description="What varies between tasks, by name.")
    observation: Annotated[list[_SIGNAL], Field(min_length=1), BeforeValidator(_at_least_one)] = Field(
        description="What the policy sees: signals, in order."
    )
    reward: Annotated[dict[str, _REWARD], Field(min_length=1), sections(1)] = Field(
        description="Terms of the reward, by name: weight * shape(signal - target), per environment step."
    )
    termination: Annotated[dict[str, _BOUND], sections()] = Field(
        default_factory=dict, description="Bounds, by name: a number outside ends the episode."
    )


def robot_json_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of robot files. What only the MJCF can tell, such as names, it does not check."""
    schema = RobotFile.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
