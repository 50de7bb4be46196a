"""The runs of a study: one folder each, side by side in one folder.

    seeds = parse_seeds("0-4")                                     # [0, 1, 2, 3, 4]
    plan(Path("runs/study"), with_seeds(config, seeds))            # runs/study/seed_0, ..., each ready to be resumed
    waiting = [run for run in runs_in(Path("runs/study")) if not run.finished]

A run is begun when it is planned: its folder holds its config and a copy of the robot, and training it is resuming it.
So what was planned cannot be forgotten, and a run can be trained by anybody who sees the folder: `metarl train
--resume`, another machine, a job. `metarl compare runs/study/*` finds runs only: what belongs to the study as a whole
(logs, jobs) is in its hidden folder `.jobs`.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from metarl.config import Config, changed, load_config
from metarl.runs import run as runs
from metarl.training.tracking import from_environment
from metarl.util.errors import UserError

MOST_SEEDS = 10_000
HIDDEN = ".jobs"


def parse_seeds(text: str) -> list[int]:
    """The seeds that "0-4", "0,3,7" or "0-2,7" names, in that order.

    Raises:
        UserError: one line.
    """
    problem = f"--seeds: got {text!r}, expected"
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        if match is None:
            raise UserError(f"{problem} whole numbers and ranges of them, such as 0-4 or 0,3,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UserError(f"{problem} ranges that begin with the smaller number, such as {last}-{first}")
        if last - first >= MOST_SEEDS:
            raise UserError(f"{problem} at most {MOST_SEEDS} seeds")
        seeds += range(first, last + 1)
    if len({*seeds}) < len(seeds):
        raise UserError(f"{problem} each seed once")
    return seeds


def with_seeds(config: Config, seeds: Iterable[int], prefix: str = "") -> dict[str, Config]:
    """The config with each seed, by the name of the run's folder; with one thread, unless it says how many."""
    threads = config.threads or 1
    return {f"{prefix}seed_{seed}": changed(config, {"seed": seed, "threads": threads}) for seed in seeds}


def plan(folder: Path, configs: Mapping[str, Config]) -> list[runs.Run]:
    """A run for each config in the folder of that name: begun, or there already with that config.

    Raises:
        UserError: a folder holds something else; a run there differs in what alters training.
    """
    prepared, problems = [], []
    for name, config in configs.items():
        wandb = from_environment(config.wandb)
        wandb = wandb.model_copy(update={"group": wandb.group or group_name(folder)})
        try:
            prepared.append(runs.prepare(config.model_copy(update={"wandb": wandb}), folder / name))
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return prepared


def group_name(folder: Path) -> str:
    """W&B's group of the runs in a folder."""
    return re.sub(r"[^\w.-]", "_", folder.resolve().name) or "runs"


def runs_in(folder: Path, overrides: Sequence[str] = ()) -> list[runs.Run]:
    """The runs in a folder, in the order of their numbers; with other settings, if they do not alter training."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from error
    paths = [folder / name for name in sorted(names, key=_by_number) if is_run(folder / name)]
    if overrides:
        plan(folder, {path.name: load_config(path / "config.yaml", overrides) for path in paths})
    return [runs.open_run(path) for path in paths]


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run."""
    return os.path.lexists(path / "config.yaml")


def holds_runs(folder: Path) -> bool:
    """Whether a folder is one of several runs, and not itself a run."""
    return not is_run(folder) and folder.is_dir() and any(is_run(path) for path in folder.iterdir())


def hidden(folder: Path) -> Path:
    """Where what belongs to all runs of a folder is kept."""
    path = folder / HIDDEN
    path.mkdir(parents=True, exist_ok=True)
    return path


def _by_number(name: str) -> list[tuple[int, str]]:
    """seed_2 before seed_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
