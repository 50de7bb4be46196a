"""A result that docs/ quotes is of the run that the command beside it makes, whatever configs and defaults became."""

import json
import re
from pathlib import Path

import pytest

from metarl.config import flat, load_config
from metarl.config.schema import present_key, with_present_names
from metarl.util.plugins import MEMORIES

UNTOUCHED = ("evaluation.", "wandb.", "seed", "backend", "env.warp.")  # the last two: of ranks, and of another physics
RESULTS = Path(__file__).parents[2] / "docs" / "results"


def documented() -> list:
    found = []
    for file in sorted(RESULTS.rglob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        for entry in content if isinstance(content, list) else [content]:
            shipped = re.match(r"metarl train [^ .;]+( |;|$)", str(entry.get("command")))  # not a file of one's own
            if shipped and "config" in entry:
                found.append(pytest.param(entry["command"], entry["config"], id=f"{file.stem}: {entry['command']}"))
    return found


@pytest.mark.parametrize("command, config", documented())
def test_the_command_beside_a_result_is_the_run_that_was_measured(command, config):
    name, *changes = command.split(";")[0].removeprefix("metarl train ").split()
    changes = [change for change in changes if change != "seed=SEED"]
    now, ours = (
        {key: value for key, value in flat(each).items() if not key.startswith(UNTOUCHED)}
        for each in (load_config(name, changes).model_dump(mode="json"), with_present_names(config))
    )
    ours = {"env.physics": "mujoco"} | ours  # which there was alone
    ours.setdefault("algorithm.oracle", False)  # of `random`, which has it now
    if "algorithm.normalize_by" in now:
        ours.setdefault("algorithm.normalize_by", None)  # over all trials, as there was alone
    if now.get("algorithm.memory") == "transformer":
        defaults = {field.name: field.default for field in MEMORIES.load("transformer").options()}
        now = {f"algorithm.memory_options.{name}": value for name, value in defaults.items()} | now
    assert now == ours  # of a setting that is new, the result must say what it was in effect


def _with_present_names(words):
    """A command with the present name of each setting."""
    pairs = (word.partition("=") for word in words)
    return " ".join((present_key(key, "rl2") if equals else key) + equals + value for key, equals, value in pairs)


def test_the_page_on_the_comparison_gives_the_commands_that_are_tested():
    commands = json.loads((RESULTS / "comparison" / "commands.json").read_text(encoding="utf-8"))
    always = " env.splits=1 revision=1"  # which the page says once
    commands = [entry["command"].replace("seed=SEED threads=1", "").removesuffix(always) for entry in commands]
    tested = {_with_present_names(command.split()) for command in commands}
    page = (RESULTS / "comparison.md").read_text(encoding="utf-8")
    shown = re.findall(r"\| `(metarl train half_cheetah_mass/[^`]*)` \|", page)
    assert shown and set(shown) <= tested and always.strip() in page
