"""A result that docs/ quotes is of the run that the command beside it makes, whatever configs and defaults became."""

import json
import re
from pathlib import Path

import pytest

from metarl.config import flat, load_config
from metarl.config.schema import present_key, with_present_names
from metarl.evaluation.statistics import Estimate
from metarl.util.plugins import MEMORIES

UNTOUCHED = ("evaluation.", "wandb.", "seed", "backend", "env.warp.")  # the last two: of ranks, and of another physics
RESULTS = Path(__file__).parents[2] / "docs" / "results"
README_COLUMNS = "half_cheetah_mass-held_out", "half_cheetah_mass-extrapolation", "navigation_sparse-held_out"
README_ROWS = {
    "domain-randomized": "no_memory", "RL²": "rl2", "RMA": "rma", "ProMP": "promp", "told the task": "oracle",
}  # fmt: skip


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


def of_the_benchmark(name: str) -> dict:
    """What a method of a study, such as half_cheetah_mass-held_out, returned in its first and in its last episode."""
    document = json.loads((RESULTS / "benchmark" / f"{name}.json").read_text(encoding="utf-8"))
    return {
        method["study"]: [_estimate(method["curve"][i]["mean"]) for i in (0, -1)] for method in document["methods"]
    }  # fmt: skip


def _estimate(mean: dict) -> Estimate:
    runs = mean.get("range_of_runs")
    return Estimate(mean["value"], *(runs or mean["interval"]), of_runs=bool(runs))


@pytest.mark.parametrize("file", sorted((RESULTS / "benchmark").glob("*-held_out.json")), ids=lambda file: file.stem)
def test_the_page_on_the_benchmark_has_the_numbers_of_its_results(file):
    study = file.stem.removesuffix("-held_out")
    page = (RESULTS / "benchmark.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \| ([^|]*) \| [^|]* \| ([^|]*) \|", page, re.M))
    for table in RESULTS.glob(f"benchmark/{study}-*.json"):
        if table.stem != f"{study}-search":
            assert {(method, *map(str, ends)) for method, ends in of_the_benchmark(table.stem).items()} <= rows


def test_the_readme_has_the_numbers_of_the_benchmark():
    readme = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
    columns = [of_the_benchmark(name) for name in README_COLUMNS]
    for row, method in README_ROWS.items():
        [cells] = re.findall(rf"^\| {row} \| (.*) \|$", readme, re.M)
        for cell, column in zip(cells.split(" | "), columns, strict=True):
            values = [estimate.value for estimate in column[method]] if method in column else []
            words = cell.split(" → ") if values else []
            digits = [len(word.partition(".")[2]) for word in words]
            assert words == [f"{x:.{n}f}" for x, n in zip(values, digits, strict=False)] and (words or cell == "-")
