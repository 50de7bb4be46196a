"""Comparing methods: all of them in the same frozen tasks, over seeds and tasks, with what their experience costs.

    from metarl.evaluation import compare_runs
    from metarl.evaluation.tables import print_comparison
    comparison = compare_runs(["runs/promp0", "runs/promp1", "runs/rl2_0"], "held_out")
    print_comparison(comparison)

Runs that differ only in their seed are one method (`metarl.evaluation.methods`). The tasks are drawn of the split by
seed 0, whatever the runs' own seeds, so that they are the same ones in every comparison of the environment; a run that
has not been evaluated in them is evaluated now, and the result is kept in its folder. Everything is computed from those
files, which hold the return of each episode (`metarl.evaluation.comparison`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from metarl.envs import SPLITS, Tasks
from metarl.evaluation.comparison import Comparison, Measured
from metarl.evaluation.evaluate import evaluation_of, named_tasks
from metarl.evaluation.fingerprint import definition
from metarl.evaluation.methods import Method, find, group, open_runs
from metarl.evaluation.result import Evaluation
from metarl.runs.run import Run
from metarl.util.errors import UserError
from metarl.util.rng import stream

SHARE_OF_THE_WAY = 0.9
"""The threshold, unless given: so far from the worst method before adaptation to the best one after it."""


def compare_runs(
    paths: Sequence[str | Path],
    tasks: str = "held_out",
    *,
    baseline: str | None = None,
    oracle: str | None = None,
    threshold: float | None = None,
    steps: int | None = None,
    episodes: int | None = None,
    deterministic: bool = False,
    say: Callable[[str], None] | None = None,
    by: str = "compare",
    frozen: Tasks | None = None,
) -> Comparison:
    """Compare the runs, evaluating those that were not yet evaluated in these tasks.

    Args:
        paths: run folders of one environment.
        tasks: a split, or a JSON file of tasks.
        baseline, oracle: a method's name or one of its run folders; the first method, and the first
            that observes the true task parameters, if None.
        threshold: return that is to be reached; see `SHARE_OF_THE_WAY`.
        steps, episodes: of each method's own config if None.
        deterministic: mean actions.
        say: gets a line for each run that is evaluated.
        by: what looks at these tasks, for the runs' looks.jsonl.
        frozen: other tasks of the split `tasks` than every comparison takes.
    """
    if threshold is not None and not np.isfinite(threshold):
        raise UserError(f"--threshold: got {threshold:g}, expected a finite return")
    runs = open_runs(paths)
    methods = group(runs)
    chosen = {name: find(methods, value, f"--{name}") if value else None
              for name, value in (("baseline", baseline), ("oracle", oracle))}  # fmt: skip
    frozen = frozen_tasks(runs, tasks) if frozen is None else frozen
    results = [[] for _ in methods]
    for method, evaluations in zip(methods, results, strict=True):
        for run in method.runs:
            if say:
                say(f"{run.path} ({method.name}, seed {run.config.seed}): {tasks} tasks")
            k = method.config.evaluation.episodes if episodes is None else episodes
            evaluations.append(evaluation_of(run, tasks, frozen, steps, k, deterministic=deterministic, by=by))
    known = np.logical_and.reduce([np.isfinite(e.per_task).all(0) for evaluations in results for e in evaluations])
    if not known.any():
        raise UserError(f"{tasks}: in every task the physics diverged in all episodes of a method; nothing to compare")
    measured = tuple(measured_by(m, evaluations, known) for m, evaluations in zip(methods, results, strict=True))
    oracles = [method.name for method in methods if method.oracle]
    return Comparison(
        tasks=frozen,
        split=tasks,
        known=known,
        measured=measured,
        baseline=(chosen["baseline"] or methods[0]).name,
        oracle=chosen["oracle"].name if chosen["oracle"] else oracles[0] if oracles else None,
        threshold=default_threshold(measured) if threshold is None else threshold,
        definition=definition(runs[0].config.env),
    )


def frozen_tasks(runs: Sequence[Run], name: str) -> Tasks:
    """The tasks of a split that every comparison of the runs' environment takes, or those of a file."""
    if name not in SPLITS:
        return named_tasks(runs[0], name)
    env = runs[0].config.env
    count = max(run.config.evaluation.tasks for run in runs)
    rng = np.random.default_rng(stream(0, "evaluation_tasks", SPLITS.index(name)))
    try:
        return env.load_family().space.sample(count, name, rng)
    except ValueError as error:
        raise UserError(f"--tasks: {error}") from error


def default_threshold(measured: Sequence[Measured]) -> float:
    """SHARE_OF_THE_WAY from the lowest mean return before adaptation to the highest after all of it."""
    worst = min(float(m.returns[:, 0].mean()) for m in measured)
    best = max(float(m.final.mean()) for m in measured)
    return worst + SHARE_OF_THE_WAY * (best - worst)


def measured_by(method: Method, evaluations: Sequence[Evaluation], known: np.ndarray) -> Measured:
    """A method by the evaluations of its runs, in the tasks (M,) that are `known`."""
    return Measured(
        method=method,
        evaluations=tuple(evaluations),
        returns=np.stack([e.per_task[:, known] for e in evaluations]),
        episodes=evaluations[0].episodes_before,
        seconds=np.mean([e.env_steps_before.mean(1) * e.dt for e in evaluations], axis=0),
    )
