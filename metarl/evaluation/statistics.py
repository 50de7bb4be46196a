"""Statistics of returns: training runs that differ in their seed, all measured in the same tasks.

Scores are an array (R, M): R runs, M tasks. A single run is R = 1, one number for each of several seeds M = 1.

    from metarl.evaluation.statistics import cvar, estimate, mean, probability_of_improvement
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, 1)) + rng.normal(200.0, 20.0, size=(5, 40))
    estimate(mean, scores, rng=rng)                                   # Estimate(value=200.2, low=195.7, high=204.7)
    estimate(cvar, scores, rng=rng).value                             # the worst 5 % of all runs in all tasks
    estimate(probability_of_improvement, scores, scores - 5, rng=rng) # of a run of one method over one of the other
    str(estimate(mean, scores[:1], rng=rng))                          # 201 [194, 208]

A statistic is a function of one array per method, (B, R, M) each, that returns (B,) or (B, P); B numbers the bootstrap
samples. Mean, interquartile mean, performance profile and probability of improvement are those of Agarwal et al.,
"Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021, arXiv:2108.13264).

Intervals: Agarwal et al. train anew for each task, so that all R * M scores are independent, and resample the runs of
each task by itself, leaving the tasks as they are (`stratified=True`; what the package rliable computes). A
meta-learned policy is *one* run in all tasks: what the seed did to it shows in all of its M scores. So here whole runs
and whole tasks are resampled, each with replacement (the pigeonhole bootstrap of Owen 2007), and what is said holds
for other seeds and other tasks. Percentiles are widened for few units as in Hesterberg, "What Teachers Should Know
About the Bootstrap" (2015), section 5.3 (the plain percentile interval is too narrow by sqrt((n - 1) / n) and by the
normal in place of Student's t), with the degrees of freedom that Satterthwaite's formula finds in the jackknife
variances of runs and tasks. In simulation one run in 10 to 40 tasks is covered 94 to 97 times in 100, in five 91 to 96
times; 5 or 10 runs in 20 or 40 tasks (normal effects of seed and task of various sizes, mean and IQM) 90 to 98 times;
by intervals that take all scores for independent 14 to 32 times. Three runs are covered 74 to 78 times where the seed's
effect dominates, and no interval can do better than 75 that stays within what three runs returned: with a chance of
2 / 2^3 all three lie on one side of the truth. So two or three runs have no interval but their range, the lowest and
the highest run's.

Where the tasks are draws of a few and there are no others, resampling them all together would count the difference
between those few as chance. `groups` says which draws are of one task, or which tasks of one environment where
the environments are given; each is then resampled in itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import scipy.stats

RESAMPLES = 4999
FEW = 5
"""Fewer runs or tasks than this are labelled: an interval over them says little."""
ONLY_RANGE = 3
"""Two runs, or so many, have no interval: see above."""
WORST = 0.05
"""Share of the scores that `cvar` is the mean of."""
_CELLS = 2_000_000  # scores in memory at once

Statistic = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A statistic with the ends of its interval, or of the range of the runs where they are too few for an interval.

    Without ends nothing was repeated, and there is nothing to learn them from.
    """

    value: float
    low: float | None = None
    high: float | None = None
    of_runs: bool = False

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.of_runs or self.low is None or self.high is None else (self.low, self.high)

    @property
    def ends(self) -> tuple[float, float]:
        """Of the interval or the range; the value twice where there is neither."""
        return (self.value, self.value) if self.low is None or self.high is None else (self.low, self.high)

    @property
    def complement(self) -> Estimate:
        """Of a probability, that of the opposite."""
        low, high = (None if x is None else 1 - x for x in (self.high, self.low))
        return Estimate(1 - self.value, low, high, self.of_runs)

    def times(self, factor: float) -> Estimate:
        """In another unit; the factor is positive."""
        low, high = (None if x is None else factor * x for x in (self.low, self.high))
        return Estimate(factor * self.value, low, high, self.of_runs)

    def holds(self, value: float) -> bool:
        """Whether a value lies in the interval or the range."""
        return self.ends[0] <= value <= self.ends[1]

    def to_json(self) -> dict[str, float | list[float] | None]:
        document = {"value": self.value, "interval": self.interval and list(self.interval)}
        return document | ({"range_of_runs": list(self.ends)} if self.of_runs else {})

    def __str__(self) -> str:
        """`212 [190, 230]` with an interval, `212 (190..230)` with a range of runs, or the number alone."""
        value, low, high = map(format_number, (self.value, *self.ends))
        if self.low is None:
            return value
        return f"{value} ({low}..{high})" if self.of_runs else f"{value} [{low}, {high}]"


def mean(scores: np.ndarray) -> np.ndarray:
    """(B,) average of (B, R, M) scores."""
    return scores.mean((-2, -1))


def iqm(scores: np.ndarray) -> np.ndarray:
    """(B,) interquartile mean: of the middle half of all (B, R, M) scores, of all where they are fewer than four."""
    return scipy.stats.trim_mean(scores.reshape(len(scores), -1), 0.25, axis=-1)


def cvar(scores: np.ndarray, share: float = WORST) -> np.ndarray:
    """(B,) mean of the worst `share` of all (B, R, M) scores; one that is in it only in part counts in part."""
    ordered = np.sort(scores.reshape(len(scores), -1), axis=-1)
    count = share * ordered.shape[-1]
    weights = np.clip(count - np.arange(ordered.shape[-1]), 0.0, 1.0)
    return ordered @ weights / count


def performance_profile(thresholds: np.ndarray) -> Statistic:
    """The statistic that gives the (B, P) share of all scores above each of P thresholds."""
    return lambda scores: np.stack([(scores > threshold).mean((-2, -1)) for threshold in thresholds], axis=-1)


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(B,) chance that a run (B, R, M) returns more in a task than one of the `others` (B, R', M); ties count half."""
    difference = scores[:, :, None] - others[:, None]
    return ((difference > 0) + 0.5 * (difference == 0)).mean((1, 2, 3))


def mean_regret(scores: np.ndarray, oracle: np.ndarray) -> np.ndarray:
    """(B,) by how much the oracle's runs (B, R', M) are better on average."""
    return mean(oracle) - mean(scores)


def estimate(statistic: Statistic, *scores: np.ndarray, rng: np.random.Generator, **options: Any) -> Estimate:
    """The estimate of a statistic that is one number; options as those of `estimates`."""
    [one] = estimates(statistic, *scores, rng=rng, **options)
    return one


def estimates(
    statistic: Statistic,
    *scores: np.ndarray,
    rng: np.random.Generator,
    confidence: float = 0.95,
    groups: Sequence | np.ndarray | None = None,
    paired: bool = False,
    stratified: bool = False,
    resamples: int = RESAMPLES,
) -> list[Estimate]:
    """A statistic of P numbers, or of one, of one or more methods' scores, (R, M) each with the same M tasks.

    Of two or three runs of a method the range of the runs (of each with each, of two methods) is given instead of an
    interval.

    Args:
        rng: draws the bootstrap samples.
        groups: (M,) labels; tasks are resampled within their group. None: all are one group.
        paired: run r of all methods is of the same training, and they are resampled together.
        stratified: resample the runs of each task by itself and no tasks, for scores that are independent (Agarwal).
    """
    scores = tuple(checked(s) for s in scores)
    if len({s.shape[1] for s in scores}) > 1:
        raise ValueError(f"scores have {[s.shape[1] for s in scores]} tasks; expected the same tasks for all methods")
    values = np.atleast_1d(statistic(*(s[None] for s in scores))[0])
    resample = _Stratified(scores) if stratified else _Crossed(scores, groups, paired)
    if isinstance(resample, _Crossed) and any(2 <= len(s) <= ONLY_RANGE for s in scores):
        alone = np.stack([np.atleast_1d(value) for value in resample.runs_alone(statistic)])
        ends = zip(values, alone.min(0), alone.max(0), strict=True)
        return [Estimate(float(value), float(low), float(high), of_runs=True) for value, low, high in ends]
    if not resample.repeated:
        return [Estimate(float(value)) for value in values]
    levels = np.broadcast_to(resample.level(statistic, confidence), values.shape)
    batch = max(1, _CELLS // sum(s.size for s in scores))
    parts = [
        statistic(*resample.draw(min(batch, resamples - start), rng)) for start in range(0, resamples, batch)
    ]
    drawn = np.concatenate(parts).reshape(resamples, -1).T
    tails = (1 - levels) / 2
    ends = [np.quantile(column, [tail, 1 - tail]) for column, tail in zip(drawn, tails, strict=True)]
    return [Estimate(float(value), float(low), float(high)) for value, (low, high) in zip(values, ends, strict=True)]


def interval_method(tasks: str, *runs: int) -> str:
    """How `estimate` computes the intervals of methods with so many runs, in words; `tasks` says what is resampled."""
    units = ("whole runs and " if max(runs) > 1 else "") + tasks
    few = any(2 <= count <= ONLY_RANGE for count in runs)
    return f"percentile bootstrap over {units}, widened for few (Hesterberg 2015)" + few * (
        f"; of {ONLY_RANGE} runs or fewer (lowest..highest) of the runs"
    )


def few_note(count: int, unit: str) -> str | None:
    """What a reader must know of an interval over so few of a unit, "seed" or "task"."""
    if count == 1 and unit == "seed":
        return "one seed only: the interval speaks of the tasks, not of training"
    if count == 1:
        return f"one {unit} only: no interval"
    if unit == "seed" and count <= ONLY_RANGE:
        return f"only {count} seeds: the range of the runs instead of an interval"
    return f"only {count} {unit}s: the interval is unreliable" if count < FEW else None


def widened_confidence(confidence: float, freedom: float, narrow: float) -> float:
    """Level at which a percentile interval covers as often as `confidence` promises.

    Args:
        freedom: degrees of freedom of the variance that the interval is of.
        narrow: that variance by the one of the bootstrap samples, n / (n - 1) for n units.
    """
    t = scipy.stats.t.ppf(0.5 + confidence / 2, freedom)
    return float(1 - 2 * scipy.stats.norm.sf(t * np.sqrt(narrow)))


def members_of(groups: Sequence | np.ndarray | None, tasks: int) -> list[np.ndarray]:
    """The tasks of each group, all of them in one for None."""
    labels = np.zeros(tasks, int) if groups is None else np.unique(groups, return_inverse=True)[1]
    return [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]


def format_number(value: float) -> str:
    """Three significant digits, all digits before the point: -3.21, 21.2, 212, 4805."""
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


class _Crossed:
    """Whole runs of each method and whole tasks; the same tasks, and if paired the same runs, for all methods."""

    def __init__(self, scores: tuple[np.ndarray, ...], groups: Sequence | np.ndarray | None, paired: bool):
        self.scores = scores
        self.members = members_of(groups, scores[0].shape[1])
        self.spare_tasks = scores[0].shape[1] - len(self.members)  # degrees of freedom
        every = range(len(scores))
        self.sharing = [list(every)] if paired else [[i] for i in every]  # methods that have their runs in common

    @property
    def repeated(self) -> bool:
        return self.spare_tasks > 0 or any(len(s) > 1 for s in self.scores)

    def draw(self, count: int, rng: np.random.Generator) -> list[np.ndarray]:
        chosen = [ids[rng.integers(0, len(ids), (count, len(ids)))] for ids in self.members]
        tasks = np.concatenate(chosen, axis=1)[:, None, :]
        drawn: list[np.ndarray] = []
        for methods in self.sharing:
            runs = len(self.scores[methods[0]])
            rows = rng.integers(0, runs, (count, runs))[:, :, None]
            drawn += [self.scores[i][rows, tasks] for i in methods]
        return drawn

    def runs_alone(self, statistic: Statistic) -> list[np.ndarray]:
        """The statistic of each run, or of each combination of one run of each method."""
        rows = product(*(range(len(self.scores[methods[0]])) for methods in self.sharing))
        chosen = [[row[k] for k, methods in enumerate(self.sharing) for _ in methods] for row in rows]
        return [statistic(*(s[None, r : r + 1] for s, r in zip(self.scores, row, strict=True)))[0] for row in chosen]

    def level(self, statistic: Statistic, confidence: float) -> np.ndarray:
        """Level at which the percentiles of the bootstrap cover as often as `confidence` promises."""
        variances, freedoms, units = [], [], []
        for methods in self.sharing:
            runs = len(self.scores[methods[0]])
            if runs > 1:
                left_out = [self._without(statistic, r, methods, axis=0) for r in range(runs)]
                variances.append(_jackknife_variance(left_out))
                freedoms.append(runs - 1)
                units.append(runs)
        if self.spare_tasks:  # each about its own group: what groups differ in is no chance
            every = range(len(self.scores))
            tasks = self.scores[0].shape[1]
            by_group = [[self._without(statistic, m, every, axis=1) for m in ids] for ids in self.members]
            variances.append(_jackknife_variance(*by_group))
            freedoms.append(self.spare_tasks)
            units.append(tasks)
        if not variances:
            return np.array(confidence)
        parts = np.stack([np.atleast_1d(v) for v in variances])  # (components, P)
        freedom, unit = (np.array(x)[:, None] for x in (freedoms, units))
        total = parts.sum(0)
        with np.errstate(invalid="ignore"):
            degrees = total**2 / (parts**2 / freedom).sum(0)
            narrow = total / (parts * freedom / unit).sum(0)  # how far the bootstrap's own variance falls short
        levels = [widened_confidence(confidence, f, n) if np.isfinite(f) else confidence
                  for f, n in zip(degrees, narrow, strict=True)]  # fmt: skip
        return np.array(levels).reshape(np.shape(variances[0]))

    def _without(self, statistic: Statistic, unit: int, methods: Sequence[int], axis: int) -> np.ndarray:
        left = [np.delete(s, unit, axis) if i in methods else s for i, s in enumerate(self.scores)]
        return statistic(*(s[None] for s in left))[0]


class _Stratified:
    """The runs of each task by itself."""

    def __init__(self, scores: tuple[np.ndarray, ...]):
        self.scores = scores

    @property
    def repeated(self) -> bool:
        return any(len(s) > 1 for s in self.scores)

    def draw(self, count: int, rng: np.random.Generator) -> list[np.ndarray]:
        return [
            np.take_along_axis(s[None], rng.integers(0, len(s), (count, *s.shape)), axis=1) for s in self.scores
        ]

    def level(self, statistic: Statistic, confidence: float) -> float:
        return confidence


def _jackknife_variance(*left_out: Sequence[np.ndarray]) -> np.ndarray:
    """Variance of a statistic from its values with one unit left out each; of the units of each group, if several."""
    groups = [np.asarray(values, np.float64) for values in left_out if len(values) > 1]
    count = sum(map(len, left_out))
    parts = [len(v) / (len(v) - 1) * ((v - v.mean(0)) ** 2).sum(0) for v in groups]
    return np.sum(parts, axis=0) * ((count - 1) / count) ** 2


def checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"scores have shape {scores.shape}; expected (R, M): a row for each run, a column a task")
    if not np.isfinite(scores).all():
        run, task = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(f"score of run {run} in task {task} is {scores[run, task]}; expected finite numbers")
    return scores
