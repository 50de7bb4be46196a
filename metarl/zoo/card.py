"""The card of an entry: what the policy does, by its evaluation; how it was made; whose robot it is.

    text = card(Entry.read("zoo/half_cheetah_dir"), Path("zoo/half_cheetah_dir"))
    write_card(entry, folder)                    # README.md and adaptation.png

All of it is computed from the entry's files: a card that was edited differs from what the program writes.
"""

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarl.evaluation.result import Evaluation
from metarl.evaluation.statistics import estimate, mean
from metarl.evaluation.tables import curve_table
from metarl.runs.run import sessions
from metarl.runs.versions import PACKAGES
from metarl.util.files import read_json, replace
from metarl.util.rng import stream
from metarl.zoo.entry import Entry
from metarl.zoo.figure import save_adaptation

PARTS = 5
"""Of an episode, of which the card gives the reward."""
WITHIN = 2  # the "evaluation" streams of bootstrap samples of rewards within an episode


def write_card(entry: Entry, folder: Path) -> None:
    """Write the card and its figure into the entry; `folder` is how the card's commands call it."""
    save_adaptation(entry.evaluation, entry.run.path / "adaptation.png")
    replace(entry.run.path / "README.md", card(entry, folder).encode())


def card(entry: Entry, folder: Path) -> str:
    """The text of README.md."""
    place, config, evaluation = "/".join(folder.absolute().parts[-2:]), entry.run.config, entry.evaluation
    family = entry.run.load_family()
    what = (inspect.getdoc(type(family)) or "").partition("\n")[0]
    commands = ("watch", "evaluate", "visualise", "export") if family.actuated else ("evaluate", "visualise")
    needs = f" It needs the extra `{family.extra.name}`." if family.extra else ""
    parts = [
        f"# {folder.absolute().name}",
        f"{config.algorithm.title(config)} on {config.env.family}: {what}{needs}",
        *_unfinished(entry),
        "\n".join(f"    metarl {command} {place}" for command in commands),
        "## How it adapts",
        evaluation.sentence,
        markdown_table(*curve_table(evaluation)),
        evaluation.caption.replace("\n", " "),
        *_within(evaluation),
        "![Adaptation curve](adaptation.png)",
        "## What varies",
        _varies(entry),
        "## How it was made",
        markdown_table(("", ""), _origin(entry, place, family)),
    ]
    return "\n\n".join(parts) + "\n"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _unfinished(entry: Entry) -> list[str]:
    done, planned = entry.about["iteration"], entry.run.config.iterations
    if done >= planned:
        return []
    return [f"**Training was stopped** after {done} of {planned} iterations: this is not the best that the method can."]


def _within(evaluation: Evaluation) -> list[str]:
    """What a memory makes of the seconds of an episode: reward per second, mean over tasks with its interval."""
    if evaluation.pooled or evaluation.rates is None or evaluation.rates.shape[2] % PARTS:
        return []
    rates = evaluation.rates.reshape(*evaluation.rates.shape[:2], PARTS, -1).mean(-1)
    horizon = evaluation.env.horizon or evaluation.env.load_family().horizon
    seconds = horizon * evaluation.dt
    rows = []
    for part in range(PARTS):
        cells = [f"{part * seconds / PARTS:.3g} to {(part + 1) * seconds / PARTS:.3g} s"]
        for episode in range(len(rates)):
            scores = rates[episode, :, part]
            rng = np.random.default_rng(stream(evaluation.seed, "evaluation", WITHIN, episode, part))
            known = np.isfinite(scores)
            cells.append(str(estimate(mean, scores[None, known], rng=rng, groups=evaluation.groups(known))))
        rows.append(cells)
    heads = ["time in the episode", *(f"episode {i + 1}, reward/s" for i in range(len(rates)))]
    return ["Within an episode, whose first part holds the start itself:", markdown_table(heads, rows)]


def _varies(entry: Entry) -> str:
    parameters = entry.run.task_space.parameters
    rows = [(p.name, p.unit, p.in_training, p.in_extrapolation, p.description) for p in parameters]
    return markdown_table(("parameter", "unit", "in training", "extrapolation", "meaning"), rows)


def _origin(entry: Entry, place: str, family: Any) -> list[tuple[str, str]]:
    config, about, session = entry.run.config, entry.about, sessions(entry.run.path)[-1]
    versions = ", ".join(f"{name} {session.get(name)}" for name in ("python", "metarl", *PACKAGES))
    left_out = ", ".join(f"`{name}*`" for name in about["left_out"]) or "nothing"
    half = "; weights of 16 bits" * about["half"]
    done, planned = about["iteration"], config.iterations
    return [
        ("seed", f"{config.seed}; one training run, so no interval here speaks of other seeds"),
        ("budget", f"{about['env_steps']:,} environment steps, {done} of {planned} iterations"),
        ("wall time", f"{about['wall_seconds'] / 60:.0f} min, threads: {session.get('threads')}, {session.get('cpu')}"),
        ("command", f"`metarl train {place}/config.yaml`" + f", stopped after {done} iterations" * (done < planned)),
        ("commit", _commits(entry)),
        ("versions", versions),
        ("held-out tasks", f"evaluations before this one: {about['looks']}"),
        ("checkpoint", f"without {left_out}, which only training needs: it cannot be resumed{half}"),
        ("policy.onnx", _onnx(entry)),
        ("licence of the robot", family.licence or "not stated by the family: ask its owner"),
    ]


def _commits(entry: Entry) -> str:
    """Of each session that trained, each once."""
    states = [session.get("git") for session in sessions(entry.run.path)]
    words = [f"{git['commit']}" + ", with uncommitted changes" * bool(git.get("dirty")) if git else "not recorded"
             for git in states]  # fmt: skip
    return "; then ".join(dict.fromkeys(words))


def _onnx(entry: Entry) -> str:
    if entry.about["no_onnx"]:
        return f"none: {entry.about['no_onnx']}"
    document = read_json(entry.run.path / "policy.json", dict)
    task, how = document["task"], document["adaptation"]
    if task is None:
        return "with its memory: it adapts as it acts"
    values = ", ".join(f"{name} {value:g}" for name, value in task.items())
    steps = f"{how['steps']} steps of {how['episodes']} episodes"
    return f"adapted to {values} in {steps}; `metarl export` adapts to others"
