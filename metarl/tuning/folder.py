"""The folder of a search: what is decided before the first strategy is tried, and what is checked when it goes on.

    begun = decide("half_cheetah_mass/promp", [], None, "tpe", 40)      # UserError before anything is written
    write_start(folder, begun, trials=30)
    search = open_search(folder)

`base.yaml`, `space.yaml` and `search.json` are written once. Opened again, the validation tasks must be those that the
config gives, and a run whose weights are used must be as it was.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metarl.config import Config, changed, load_config, to_yaml
from metarl.runs import run as runs
from metarl.runs import versions
from metarl.tuning.protocol import validation_tasks
from metarl.tuning.space import Space, default_space, read_space
from metarl.util.errors import UserError
from metarl.util.files import partial_of, read_json, replace

FORMAT = 2  # 1: without a journal
RUNGS = 3  # of halving
WRITTEN_BEFORE = {"lock", "base.yaml", "space.yaml"}
"""search.json is written last: a folder of only these, or in part, is one whose start was cut short."""


@dataclass(frozen=True)
class Search:
    """A search's folder and what was decided when it began.

    Attributes:
        base: the config, with the iterations that each strategy is trained for.
        full: the config as it was given.
        source: the run whose weights are used; None if strategies bring their own.
        trained: whether strategies are trained.
        validation: (M, D) tasks.
        rungs: how often a strategy is measured, each time with three times the budget.
    """

    folder: Path
    base: Config
    full: Config
    space: Space
    search: str
    source: Path | None
    trained: bool
    validation: np.ndarray
    rungs: int


def decide(
    source: str | Path | None,
    overrides: Sequence[str],
    space: Path | None,
    search: str,
    iterations: int | None,
    rungs: int | None = None,
) -> dict[str, Any]:
    """Everything that a search goes by; UserError before anything is written."""
    from metarl.tuning.study import SEARCHES

    if source is None:
        raise UserError("tune: got no config, expected a YAML file, a name from `metarl list configs`, or a run folder")
    if search not in SEARCHES:
        raise UserError(f"--search: got {search!r}, expected one of {', '.join(SEARCHES)}")
    if rungs is not None and rungs < 1:
        raise UserError(f"rungs: got {rungs}, expected 1 or more")
    run = runs.open_run(Path(source)) if Path(source).is_dir() else None
    if run is not None and (overrides or iterations):
        raise UserError("tune: got settings for a run, expected none: its weights are there; give a config instead")
    full = run.config if run else load_config(source, overrides)
    trained = run is None and full.algorithm.trained
    if iterations and not trained:
        raise UserError(f"--iterations: got {iterations}, expected none: {full.algorithm.name} is not trained")
    chosen = read_space(space, full, trained) if space else default_space(full, trained or run is None)
    validation = validation_tasks(full, full.evaluation.tasks)
    return {
        "full": full, "run": run, "trained": trained, "search": search, "space": chosen, "validation": validation,
        "iterations": iterations or full.iterations, "rungs": (rungs or RUNGS) if search == "halving" else 1,
    }  # fmt: skip


def write_start(folder: Path, begun: dict[str, Any], trials: int) -> None:
    """Make an empty folder that of a search."""
    names = {entry.name for entry in folder.iterdir()} - WRITTEN_BEFORE
    if not {partial_of(name) for name in names} <= {"base.yaml", "space.yaml", "search.json"}:
        advice = "add --resume to go on with a search, or choose another --run"
        raise UserError(f"folder {folder} is not empty; {advice}")
    run, validation = begun["run"], begun["validation"]
    document = {
        "format": FORMAT,
        "search": begun["search"],
        "trials": trials,
        "trained": begun["trained"],
        "iterations": begun["iterations"],
        "rungs": begun["rungs"],
        "source": str(run.path.resolve()) if run else None,
        "source_checkpoint": run.checkpoint().meta["sha256"] if run else None,
        "validation": {"digests": list(validation.digests), **validation.to_json()},
        "versions": versions.describe(runs.threads(begun["full"])),
    }
    replace(folder / "base.yaml", to_yaml(begun["full"]).encode())
    replace(folder / "space.yaml", begun["space"].to_yaml().encode())
    replace(folder / "search.json", (json.dumps(document, indent=1) + "\n").encode())  # last: it makes a search of it


def open_search(folder: Path) -> Search:
    """The search in a folder, as it was decided; UserError if what it builds on has changed."""
    try:
        document = read_json(folder / "search.json", dict)
        if document["format"] not in (1, FORMAT):
            raise UserError(f"{folder}: got a search of format {document['format']!r}, expected 1 or {FORMAT}")
        full = load_config(folder / "base.yaml")
        trained, source = bool(document["trained"]), document["source"]
        source = Path(source) if source else None
        validation = validation_tasks(full, full.evaluation.tasks)
        if document["validation"]["digests"] != list(validation.digests):
            raise UserError(f"{folder}/search.json: its validation tasks are not those of base.yaml; restore a copy")
        if source and runs.open_run(source).checkpoint().meta["sha256"] != document["source_checkpoint"]:
            raise UserError(f"{source} was trained on since the search began; start a new search")
        base = changed(full, {"iterations": int(document["iterations"])})
        space = read_space(folder / "space.yaml", full, trained or source is None)
        kind = document["search"]
        rungs = int(document.get("rungs") or (RUNGS if kind == "halving" else 1))  # of before: not written
        return Search(folder, base, full, space, kind, source, trained, validation.values, rungs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: not the folder of a search ({type(error).__name__}: {error})") from error
