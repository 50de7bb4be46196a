"""Measuring the runs of a study in test tasks that nothing else draws, and putting folds together.

    tasks = benchmark_tasks(space, "held_out", 40)
    comparison = compare(study, folder, configs, "held_out")     # as `metarl compare`'s, in these tasks

Benchmark tasks are of the held-out part of the ranges, or of extrapolation, drawn by a stream of their own: training,
validation, `metarl tune` and `metarl compare` never draw them. Reserved choices, such as a dead motor, are what they
are; of those the episodes are new.

Over folds a fault counts as one task: the return of a fold is averaged over its draws, and seed s of a method stands
for its runs of seed s in all folds, each tested on what it was never trained on. So intervals over tasks say what to
expect of a fault that nobody reserved.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from metarl.benchmark.study import Study
from metarl.config import Config
from metarl.envs import SPLITS, Tasks, TaskSpace
from metarl.evaluation.compare import compare_runs, default_threshold, measured_by
from metarl.evaluation.comparison import Comparison
from metarl.evaluation.result import Evaluation
from metarl.util.rng import stream


def benchmark_tasks(space: TaskSpace, split: str, count: int) -> Tasks:
    """`count` tasks of a split, the same in every benchmark of the space."""
    return space.sample(count, split, np.random.default_rng(stream(0, "benchmark_tasks", SPLITS.index(split))))


def compare(
    study: Study, folder: Path, folds: Sequence[Mapping[str, Config]], split: str, say: Callable[[str], None] | None
) -> Comparison:
    """The finished runs of each fold in `folder`, compared in the study's tasks of a split."""
    comparisons = [_compare_fold(study, folder, configs, split, say) for configs in folds]
    return comparisons[0] if len(folds) == 1 else over_folds(comparisons)


def over_folds(comparisons: Sequence[Comparison]) -> Comparison:
    """One comparison whose tasks are the folds, each of them measured by runs of its own."""
    first = comparisons[0]
    tasks = Tasks(first.tasks.space, np.stack([c.tasks.values[0] for c in comparisons]))
    known = np.ones(len(tasks), bool)
    measured = []
    for parts in zip(*(c.measured for c in comparisons), strict=True):
        of_seeds = zip(*(part.evaluations for part in parts), strict=True)
        evaluations = [_over_folds(each, tasks) for each in of_seeds]
        measured.append(replace(measured_by(parts[0].method, evaluations, known), folds=parts))
    return replace(
        first, tasks=tasks, known=known, measured=tuple(measured), threshold=default_threshold(measured)
    )  # fmt: skip


def _over_folds(folds: Sequence[Evaluation], tasks: Tasks) -> Evaluation:
    """One evaluation of F tasks: what was measured in a fold, averaged over its draws."""

    def averaged(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
        known = [array for array in arrays if array is not None]
        return np.stack([np.nanmean(array, axis=1) for array in known], axis=1) if len(known) == len(folds) else None

    returns, env_steps = averaged([e.returns for e in folds]), averaged([e.env_steps for e in folds])
    assert returns is not None and env_steps is not None
    return replace(
        folds[0],
        tasks=tasks,
        returns=returns,
        env_steps=env_steps,
        successes=averaged([e.successes for e in folds]),
        rates=averaged([e.rates for e in folds]),
        origin={},
    )


def _compare_fold(
    study: Study, folder: Path, configs: Mapping[str, Config], split: str, say: Callable[[str], None] | None
) -> Comparison:
    space = next(iter(configs.values())).env.load_family().space
    return compare_runs(
        [folder / name for name in configs],
        split,
        baseline=next((str(folder / name) for name in configs if name.startswith(f"{study.baseline}-")), None),
        frozen=benchmark_tasks(space, split, study.tasks),
        say=say,
        by="benchmark",
    )
