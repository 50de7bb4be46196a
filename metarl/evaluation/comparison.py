"""What a comparison of methods says, computed from the evaluations of their runs in the same tasks.

    from metarl.evaluation import compare_runs
    comparison = compare_runs(["runs/promp0", "runs/promp1", "runs/rl2_0"])
    row = comparison["ProMP"]
    row.curve[1].mean, row.curve[1].episodes       # Estimate(value=428.1, low=401.3, high=452.8), 20
    row.improvement                                # chance to do better than the baseline; None for itself
    comparison.to_json()                           # everything, with the returns that it was computed from

Nothing here is measured: each number is a statistic (`metarl.evaluation.statistics`) of a measure of the
adaptation curves (`metarl.evaluation.curve_metrics`), and is computed when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from metarl.envs import Tasks
from metarl.evaluation.better import p_better
from metarl.evaluation.curve_metrics import area, first_reaching
from metarl.evaluation.evaluate import tasks_digest
from metarl.evaluation.methods import Method, differences
from metarl.evaluation.result import Evaluation, resampled, tasks_in_words
from metarl.evaluation.statistics import (
    Estimate,
    cvar,
    estimates,
    few_note,
    interval_method,
    iqm,
    mean,
    mean_regret,
)
from metarl.runs import versions
from metarl.runs.run import Run
from metarl.util.machine import available_threads
from metarl.util.plain import plain
from metarl.util.rng import stream

FORMAT = "metarl-comparison-1"
COMPARING = 2  # the kind of "evaluation" streams that draws bootstrap samples here


@dataclass(frozen=True)
class Point:
    """What a method returns after `episodes` or `seconds` of experience in a task, over seeds and tasks."""

    episodes: int
    seconds: float
    mean: Estimate
    iqm: Estimate
    cvar: Estimate
    success: float | None


@dataclass(frozen=True)
class Measured:
    """A method with the evaluations of its runs, R of them, in the M tasks that every method has returns in.

    Attributes:
        returns: (R, S + 1, M) mean return of each run in each task after s adaptation steps.
        episodes: (S + 1,) episodes of experience before.
        seconds: (S + 1,) the same as simulated time, averaged over runs and tasks.
        folds: where the tasks are folds, the method in each of them, by runs of its own.
    """

    method: Method
    evaluations: tuple[Evaluation, ...]
    returns: np.ndarray
    episodes: np.ndarray
    seconds: np.ndarray
    folds: tuple[Measured, ...] = ()

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def final(self) -> np.ndarray:
        """(R, M) after all of its adaptation steps."""
        return self.returns[:, -1]

    @property
    def all_episodes(self) -> int:
        """In a trial, with those of the last measurement."""
        evaluation = self.evaluations[0]
        return int(self.episodes[-1]) + evaluation.episodes // evaluation.trials

    @property
    def runs(self) -> list[Run]:
        """All of them, those of the folds one after another."""
        return [run for part in self.folds or [self] for run in part.method.runs]

    @property
    def training_steps(self) -> float:
        """Environment steps of meta-training, average of the runs."""
        return float(np.mean([run.checkpoint().meta["env_steps"] for run in self.runs]))

    @property
    def training_minutes(self) -> tuple[float, float]:
        """Wall time of meta-training of the quickest run and of the slowest."""
        minutes = [run.minutes for run in self.runs]
        return min(minutes), max(minutes)

    @property
    def adaptation_steps(self) -> float:
        """Environment steps in a task before the last measurement, average of runs and tasks."""
        return float(np.mean([e.env_steps_before[-1].mean() for e in self.evaluations]))

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """Which run, trained for how many minutes, and which of its checkpoints each evaluation is of."""
        return [
            {"folder": run.path.name, "id": run.id, "seed": run.config.seed, "minutes": run.minutes, **e.origin}
            for part in self.folds or [self]
            for run, e in zip(part.method.runs, part.evaluations, strict=True)
        ]

    @property
    def unfinished(self) -> list[str]:
        """`promp0 (40 of 100 iterations)`, of each run whose checkpoint is not that of the end of its training."""
        pairs = [(run, e.origin["checkpoint"]["iteration"]) for part in self.folds or [self]
                 for run, e in zip(part.method.runs, part.evaluations, strict=True)]  # fmt: skip
        return [f"{run.path.name} ({done} of {run.config.iterations} iterations)"
                for run, done in pairs if run.config.algorithm.trained and done < run.config.iterations]

    @property
    def weights(self) -> list[str]:
        """Digest of each run's checkpoint."""
        return [e.origin["checkpoint"]["sha256"] for part in self.folds or [self] for e in part.evaluations]

    def paired(self, other: Measured) -> bool:
        """Whether the runs of both are the same weights in turn, adapted in different ways."""
        return self.weights == other.weights

    def per_run(self, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """(R, M) a measure of the curve (S + 1, M) of each run."""
        return np.stack([measure(curve) for curve in self.returns])


@dataclass(frozen=True)
class Row:
    """All that the tables say of a method; see docs/reference/evaluation.md for each."""

    name: str
    seeds: tuple[int, ...]
    curve: tuple[Point, ...]
    gain: Estimate  # from before adaptation to its end, paired
    area: Estimate
    reached: Estimate
    episodes_to_threshold: float
    seconds_to_threshold: float
    improvement: Estimate | None
    regret: Estimate | None
    training_steps: float
    adaptation_steps: float
    note: str | None


@dataclass(frozen=True)
class Comparison:
    """Methods measured in the same tasks.

    Attributes:
        tasks: all M of them; `known` are those in which every method has a return.
        baseline, oracle: names of methods; None without one.
        threshold: the return that is to be reached.
    """

    tasks: Tasks
    split: str
    known: np.ndarray
    measured: tuple[Measured, ...]
    baseline: str
    oracle: str | None
    threshold: float
    confidence: float = 0.95
    definition: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def method(self, name: str) -> Measured:
        return next(m for m in self.measured if m.name == name)

    @property
    def methods(self) -> list[Method]:
        return [m.method for m in self.measured]

    @property
    def budget(self) -> int:
        """Episodes of experience that areas are taken over: the most that any method has."""
        return max(m.all_episodes for m in self.measured)

    @property
    def deterministic(self) -> bool:
        """Whether mean actions were taken."""
        return self.measured[0].evaluations[0].deterministic

    @property
    def groups(self) -> list[str] | None:
        """Of the tasks, those within which intervals resample; see `metarl.evaluation.result.resampled`."""
        every = resampled(self.tasks)[0]
        return None if every is None else [every[int(i)] for i in np.flatnonzero(self.known)]

    @property
    def interval_method(self) -> str:
        return interval_method(resampled(self.tasks)[1], *(len(m.returns) for m in self.measured))

    @property
    def trained_on(self) -> str | None:
        """Why tasks are not disjoint from those of training; None where they are."""
        return next((e.disjoint_reason for m in self.measured for e in m.evaluations if not e.disjoint), None)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Names of methods that share their checkpoints."""
        return [(a.name, b.name) for a, b in combinations(self.measured, 2) if a.paired(b)]

    @property
    def title(self) -> str:
        """`Walker2dRandParams: 40 held-out tasks`."""
        return f"{self.tasks.space.family}: {tasks_in_words(self.tasks, self.split)}"

    def estimate(
        self, position: tuple[int, ...], statistic: Callable, *scores: np.ndarray, paired: bool = False
    ) -> Estimate:
        """Of one number; see `estimates`."""
        [one] = self.estimates(position, statistic, *scores, paired=paired)
        return one

    def estimates(
        self, position: tuple[int, ...], statistic: Callable, *scores: np.ndarray, paired: bool = False
    ) -> list[Estimate]:
        """With random draws that belong to the `position` in the tables."""
        rng = np.random.default_rng(stream(0, "evaluation", COMPARING, *position))
        options = {"rng": rng, "confidence": self.confidence, "groups": self.groups, "paired": paired}
        return estimates(statistic, *scores, **options)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        return tuple(self._row(i, m) for i, m in enumerate(self.measured))

    @cached_property
    def improvements(self) -> list[list[Estimate | None]]:
        """[i][j]: the chance that a run of method i returns more in a task than one of j, after all adaptation.

        Of methods that share their checkpoints: than the run of j of the same weights.
        """
        matrix: list[list[Estimate | None]] = [[None] * len(self.measured) for _ in self.measured]
        for i, a in enumerate(self.measured):
            for j, b in enumerate(self.measured[:i]):
                options = {"groups": self.groups, "paired": a.paired(b), "confidence": self.confidence}
                chance = p_better(a.final, b.final, **options)
                matrix[i][j], matrix[j][i] = chance, chance.complement
        return matrix

    def _row(self, i: int, m: Measured) -> Row:
        reached = m.per_run(lambda curve: first_reaching(curve, m.episodes, self.threshold))
        seconds = m.per_run(lambda curve: first_reaching(curve, m.seconds, self.threshold))
        names = [other.name for other in self.measured]
        oracle = None if self.oracle in (None, m.name) else self.method(self.oracle)
        return Row(
            name=m.name,
            seeds=tuple(run.config.seed for run in m.method.runs),
            curve=tuple(self._point(i, m, s) for s in range(len(m.episodes))),
            gain=self.estimate((0, i, 3), mean, m.final - m.returns[:, 0]),
            area=self.estimate((0, i, 0), mean, m.per_run(lambda curve: area(curve, m.episodes, self.budget))),
            reached=self.estimate((0, i, 1), mean, np.isfinite(reached).astype(float)),
            episodes_to_threshold=_median(reached),
            seconds_to_threshold=_median(seconds),
            improvement=None if m.name == self.baseline else self.improvements[i][names.index(self.baseline)],
            regret=oracle and self.estimate((0, i, 2), mean_regret, m.final, oracle.final, paired=m.paired(oracle)),
            training_steps=m.training_steps,
            adaptation_steps=m.adaptation_steps,
            note=few_note(len(m.returns), "seed"),
        )

    def _point(self, i: int, m: Measured, s: int) -> Point:
        scores = m.returns[:, s]
        successes = [e.successes[s].mean() for e in m.evaluations if e.successes is not None]
        return Point(
            episodes=int(m.episodes[s]),
            seconds=float(m.seconds[s]),
            **{
                name: self.estimate((2, i, s, k), statistic, scores)
                for k, (name, statistic) in enumerate({"mean": mean, "iqm": iqm, "cvar": cvar}.items())
            },
            success=float(np.mean(successes)) if len(successes) == len(m.evaluations) else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data; infinite times are None."""
        return plain({
            "format": FORMAT,
            "environment": self.definition,
            "split": self.split,
            "deterministic": self.deterministic,
            "tasks": self.tasks,
            "tasks_sha256": tasks_digest(self.tasks),
            "task_digests": self.tasks.digests,
            "tasks_left_out": [self.tasks.digests[i] for i in np.flatnonzero(~self.known)],
            "threshold": self.threshold,
            "budget_episodes": self.budget,
            "baseline": self.baseline,
            "oracle": self.oracle,
            "confidence": self.confidence,
            "interval_method": self.interval_method,
            "disjoint": self.trained_on is None,
            "disjoint_reason": self.trained_on,
            "methods": [
                vars(row) | {"returns": m.returns, "runs": m.provenance}
                for row, m in zip(self.rows, self.measured, strict=True)
            ],
            "improvement": self.improvements,
            "differences": differences(self.methods),
            "versions": versions.describe(available_threads()),
        })


def _median(times: np.ndarray) -> float:
    """Of all runs in all tasks; that by which half of them have arrived, infinite if fewer ever do."""
    ordered = np.sort(times, axis=None)
    return float(ordered[(len(ordered) - 1) // 2])
