"""Evaluating a run: which checkpoint, which tasks, measured how, and where the result is kept.

    from metarl.evaluation import evaluate_run
    result = evaluate_run("runs/first")                          # validation tasks, the config's steps and episodes
    result = evaluate_run("runs/first", "held_out")              # the test set, for results; see Run.looked
    result = evaluate_run("runs/first", "my_tasks.json", steps=5, episodes=10)
    result.curve[1].mean, result.path      # return after one step; runs/first/evaluations/...json

A result is named after its tasks, its checkpoint and a key of all that it depends on, so that it can only ever be
replaced by itself. `metarl.evaluation.adaptation_curve` measures; this module finds, checks and files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metarl.algorithms.learners import make_env
from metarl.algorithms.restore import load_adapter
from metarl.envs import SPLITS, Tasks, TaskSpace
from metarl.evaluation.adaptation_curve import measure
from metarl.evaluation.fingerprint import definition
from metarl.evaluation.result import Evaluation
from metarl.runs import versions
from metarl.runs.average import averaged
from metarl.runs.checkpoint import Checkpoint
from metarl.runs.run import Run, open_run, threads
from metarl.util.errors import UserError
from metarl.util.files import read_json
from metarl.util.text import first_line, nearest
from metarl.util.torch_runtime import torch_threads


def evaluate_run(
    run: Run | str | Path,
    tasks: str | None = None,
    steps: int | None = None,
    episodes: int | None = None,
    *,
    seed: int | None = None,
    deterministic: bool = False,
    average: int = 1,
    by: str = "evaluate",
) -> Evaluation:
    """Evaluate the newest intact checkpoint of a run, and keep the result in its folder.

    Args:
        run: a run folder.
        tasks: a split, the config's evaluation.split if None, or a JSON file
            {"family": ..., "tasks": [{parameter: value}, ...]}.
        steps, episodes, seed: the config's if None.
        deterministic: mean actions.
        average: how many of the newest checkpoints, whose weights are averaged.
        by: what looks at these tasks, for the run's looks.jsonl.

    Raises:
        UserError: no such run, checkpoint or tasks, or the run folder cannot be written.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    evaluation = measure_run(run, tasks, steps, episodes, seed=seed, deterministic=deterministic, average=average)
    return _keep(run, evaluation, by)


def evaluation_of(
    run: Run,
    split: str,
    tasks: Tasks,
    steps: int | None = None,
    episodes: int | None = None,
    *,
    deterministic: bool = False,
    progress: Callable[[int, int], None] | None = None,
    by: str = "compare",
) -> Evaluation:
    """The evaluation of a run in given tasks: the one in its folder, or measured now and kept there.

    One that was made of another definition of the environment is measured again.
    """
    steps = run.config.evaluation.steps if steps is None else steps
    episodes = run.config.evaluation.episodes if episodes is None else episodes
    name = _file_name(split, _about(run.checkpoint()), tasks, steps, episodes, run.config.seed, deterministic)
    path = run.path / "evaluations" / name
    if os.path.lexists(path):
        kept = Evaluation.load(path)
        same = (kept.tasks, kept.steps, kept.episodes) == (tasks, steps, episodes)
        if same and kept.origin.get("definition", {}).get("digest") == definition(run.config.env)["digest"]:
            _looked(run, kept, by)
            return kept
    measured = measure_run(run, split, steps, episodes, deterministic=deterministic, frozen=tasks, progress=progress)
    return _keep(run, measured, by)


def measure_run(
    run: Run,
    tasks: str | None = None,
    steps: int | None = None,
    episodes: int | None = None,
    *,
    seed: int | None = None,
    deterministic: bool = False,
    average: int = 1,
    frozen: Tasks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """As `evaluate_run`, but nothing is written; of `frozen` tasks `tasks` says what they are."""
    config, tasks = run.config, run.config.evaluation.split if tasks is None else tasks
    space = run.load_family().space  # what is wrong is told with the run's name, and before anything is measured
    chosen = named_tasks(run, tasks) if frozen is None else frozen
    disjoint, reason = _disjoint(space, chosen, tasks)
    saved = averaged(run.checkpoints, average, config.algorithm.weights)
    with torch_threads(threads(config)):
        return measure(
            load_adapter(run, saved),
            lambda num_envs: make_env(config, num_envs),
            chosen,
            steps=config.evaluation.steps if steps is None else steps,
            episodes=config.evaluation.episodes if episodes is None else episodes,
            seed=config.seed if seed is None else seed,
            deterministic=deterministic,
            env=config.env,
            split=tasks,
            disjoint=disjoint,
            disjoint_reason=reason,
            origin=_origin(run, saved, chosen),
            progress=progress,
        )


def named_tasks(run: Run, name: str) -> Tasks:
    """The run's frozen tasks of a split, or those of a file."""
    if name not in SPLITS and not os.path.isfile(name):
        raise UserError(f"tasks {name!r}: neither a split nor a file{nearest(name, SPLITS)}")
    return run.tasks(name) if name in SPLITS else tasks_from_file(Path(name), run)


def tasks_from_file(path: Path, run: Run) -> Tasks:
    """The tasks, at least one, of a JSON file for a run's family."""
    try:
        tasks = Tasks.from_json(read_json(path, dict, links=True), run.load_family().space)
    except (ValueError, OverflowError, FileNotFoundError) as error:
        raise UserError(f"{path}: {first_line(error)}") from error
    if not len(tasks):
        raise UserError(f"{path}: got no tasks, expected at least one")
    return tasks


def _disjoint(space: TaskSpace, tasks: Tasks, source: str) -> tuple[bool, str]:
    """Whether none of the tasks can have been trained on, and the reason in words."""
    if space.exhaustive:
        return False, "the family has no other tasks than those trained on; the episodes are new"
    if source == "validation" and space.validates_on_training:
        return False, "the family has too few tasks to keep some for validation; the episodes are new"
    trained = int((space.split_of(tasks) == "train").sum())
    if source in ("held_out", "extrapolation", "validation") and trained:
        raise UserError(f"tasks {source!r}: {trained} of {len(tasks)} are training tasks; restore the run's task set")
    if trained:
        return False, f"{trained} of {len(tasks)} belong to the training split"
    return True, "none belongs to the training split"


def _origin(run: Run, saved: Checkpoint, tasks: Tasks) -> dict[str, Any]:
    return {
        "run": run.id,
        "checkpoint": _about(saved),
        "training_env_steps": saved.meta.get("env_steps"),
        "tasks_sha256": tasks_digest(tasks),
        "definition": definition(run.config.env),
        "versions": versions.describe(threads(run.config)),
    }


def _about(saved: Checkpoint) -> dict[str, Any]:
    about = {"iteration": saved.iteration, "sha256": saved.meta["sha256"]}
    return about | {"averaged": saved.meta["averaged"]} if "averaged" in saved.meta else about


def tasks_digest(tasks: Tasks) -> str:
    """SHA-256 of the tasks' own digests, in their order."""
    return hashlib.sha256("\n".join(tasks.digests).encode()).hexdigest()


def _looked(run: Run, evaluation: Evaluation, by: str) -> None:
    run.looked(by, evaluation.split, evaluation.origin["tasks_sha256"], evaluation.origin["checkpoint"]["iteration"])


def _keep(run: Run, evaluation: Evaluation, by: str) -> Evaluation:
    e = evaluation
    name = _file_name(e.split, e.origin["checkpoint"], e.tasks, e.steps, e.episodes, e.seed, e.deterministic)
    try:
        kept = evaluation.save(run.path / "evaluations" / name)
        _looked(run, kept, by)
        return kept
    except OSError as error:
        advice = "make room, or copy the run to a folder of yours"
        raise UserError(f"{run.path}/evaluations cannot be written: {error.strerror}; {advice}") from error


def _file_name(
    split: str, checkpoint: dict[str, Any], tasks: Tasks, steps: int, episodes: int, seed: int, deterministic: bool
) -> str:
    """`held_out-40-1a2b3c4d.json`: tasks, iteration, and a key of all that the numbers depend on."""
    depends_on = [checkpoint["sha256"], tasks_digest(tasks), steps, episodes, seed, deterministic]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:8]
    return f"{label(split)}-{checkpoint['iteration']}-{key}.json"


def label(tasks: str) -> str:
    """A split, or of a file of tasks `file-NAME`: what files about these tasks are called."""
    return tasks if tasks in SPLITS else "file-" + re.sub(r"[^\w-]+", "_", Path(tasks).stem)[:40]
