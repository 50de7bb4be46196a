"""P(better): the chance that a run of one method returns more in a task than a run of another, with an interval.

    from metarl.evaluation.better import p_better
    p_better(scores, others)                  # (R, M), (R', M): Estimate(value=0.955, low=0.71, high=0.99)

The value is Mann-Whitney's statistic of the runs in each task, averaged over tasks; ties count half.

The interval is a score interval, as Mee (1990, JASA 85) and Newcombe (2006, Statistics in Medicine 25, method 5) take
for one Mann-Whitney statistic: it holds every chance p from which the value is no further than t standard deviations
*under p*. The deviation of a chance shrinks towards 0 and 1, but is zero only there, so the interval stays within
[0, 1] and never has width zero, also where all runs of one method return more than all of the other in all tasks.

The scores are clustered: what the seed did to a run shows in all of its tasks, and what a task does to a method shows
in all of its runs (clustered Mann-Whitney statistics: Obuchowski 1997, Biometrics 53). So the deviation under p is that
of differences of scores with normal effects of run, of task, and of both together,

    score - other = mu + run[r] - run'[r'] + task[m] + rest[r, m] - rest'[r', m],     p = Phi(mu / sd of all effects),

which two differences share more or less of: the covariance of "> 0" for two of them is that of a bivariate normal with
the shared part of the variance as its correlation. Only these shares are taken from the scores (analysis of variance),
and their uncertainty into t (Satterthwaite). `docs/results/coverage.py` simulates how often the interval holds the true
chance, for normal and other effects: docs/reference/evaluation.md has the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import scipy.stats

from metarl.evaluation.statistics import Estimate, checked, members_of

_GRID = np.linspace(-5.0, 5.0, 801)  # mu in units of the deviation of all effects
_CHANCES = scipy.stats.norm.cdf(_GRID)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


def p_better(
    scores: np.ndarray,
    others: np.ndarray,
    *,
    groups: Sequence | np.ndarray | None = None,
    paired: bool = False,
    confidence: float = 0.95,
) -> Estimate:
    """The chance that a run of scores (R, M) returns more in a task than one of others (R', M), with its interval.

    Args:
        groups: (M,) labels, where the tasks are draws of a few and there are no others (`statistics.estimate`).
        paired: run r of both is of the same training (R = R'): each is compared with itself only.

    Returns:
        Without an interval where there is one run of each in one task.
    """
    scores, others = checked(scores), checked(others)
    members = members_of(groups, scores.shape[1])
    differences = (scores - others)[:, None] if paired else scores[:, None] - others[None]
    value = float(((differences > 0) + 0.5 * (differences == 0)).mean())
    methods = [scores - others] if paired else [scores, others]
    sizes = [*map(len, methods), scores.shape[1]]
    freedoms = np.array([*(len(x) - 1 for x in methods), scores.shape[1] - len(members)])
    if not freedoms.any():
        return Estimate(value)
    variances, of_means = _components(methods, differences.mean((0, 1)), members)
    if not variances.any():  # nothing varies: as if all that can be chance were of the runs, or else of the tasks
        variances[: len(methods)] = freedoms[:-1]
        variances[len(methods)] = not freedoms[:-1].any()
    t = scipy.stats.t.ppf(0.5 + confidence / 2, _freedom(of_means / sizes, freedoms))
    return Estimate(value, *_accepted(value, t * np.sqrt(_variance(variances / variances.sum(), sizes))))


def _components(
    methods: Sequence[np.ndarray], of_tasks: np.ndarray, members: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Analysis of variance of one or two methods' scores (R, M).

    Args:
        of_tasks: (M,) the difference of the methods in each task.

    Returns:
        Variances of the effects, in the order of `_variance`'s shares; and of the means of runs and of tasks.
    """
    runs, rests, of_runs = zip(*(_run_effects(scores, members) for scores in methods), strict=True)
    of_task = _variance_within(of_tasks[None], members)[0] if len(members) < len(of_tasks) else 0.0
    task = max(0.0, of_task - sum(rest / len(scores) for rest, scores in zip(rests, methods, strict=True)))
    return np.array([*runs, task, *rests]), np.array([*of_runs, of_task])


def _run_effects(scores: np.ndarray, members: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Variances of scores (R, M): of the runs' effects, of what is left, and of the runs' means."""
    runs, tasks = scores.shape
    if runs == 1:
        return 0.0, 0.0, 0.0
    spare = tasks - len(members)
    rest = _variance_within(scores - scores.mean(0), members).sum() / (runs - 1) if spare else 0.0
    of_means = float(scores.mean(1).var(ddof=1))
    return max(0.0, of_means - rest / tasks), float(rest), of_means


def _variance_within(values: np.ndarray, members: Sequence[np.ndarray]) -> np.ndarray:
    """(R,) variance of values (R, M) about the mean of their group of columns."""
    squares = sum(((values[:, ids] - values[:, ids].mean(1, keepdims=True)) ** 2).sum(1) for ids in members)
    return squares / (values.shape[1] - len(members))


def _freedom(parts: np.ndarray, freedoms: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of a sum of estimated variances; those of the fewest units if all are zero."""
    repeated = freedoms > 0
    parts, freedoms = parts[repeated], freedoms[repeated]
    return float(parts.sum() ** 2 / (parts**2 / freedoms).sum()) if parts.sum() > 0 else float(freedoms.min())


def _variance(shares: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Variance of the value for each chance of the grid.

    Args:
        shares: of the variance of a difference: effects of the runs of one or two methods, of the task, and of what is
            left of each method's runs in a task; their sum is 1.
        sizes: runs of one or two methods, and tasks.
    """
    methods = len(sizes) - 1
    total = np.zeros_like(_GRID)
    for shared in product((False, True), repeat=len(sizes)):  # by two of the differences that are averaged
        correlation = shares[: methods + 1] @ shared
        correlation += shares[methods + 1 :] @ shared[:methods] if shared[-1] else 0.0
        chance = np.prod([1 / size if same else 1 - 1 / size for same, size in zip(shared, sizes, strict=True)])
        total += chance * _covariance(float(correlation))
    return total


def _covariance(correlation: float) -> np.ndarray:
    """Of "> 0" for two normal variables of variance one, for each mean of the grid (Plackett's integral, by angle)."""
    top = np.arcsin(min(1.0, correlation))
    angles = 0.5 * top * (_NODES + 1)
    return 0.5 * top / (2 * np.pi) * np.exp(-(_GRID[:, None] ** 2) / (1 + np.sin(angles))) @ _WEIGHTS


def _accepted(value: float, reach: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest chance from which the value is within reach, by linear interpolation."""
    beyond = np.abs(value - _CHANCES) - reach
    inside = np.flatnonzero(beyond <= 0)
    if not len(inside):  # of the value 0 or 1 far out on the grid, or far more units than the grid resolves
        inside = np.array([np.argmin(beyond)])
    first, last = inside[0], inside[-1]

    def crossing(i: int, j: int) -> float:
        share = beyond[i] / (beyond[i] - beyond[j]) if beyond[i] > beyond[j] else 1.0
        return float(_CHANCES[i] + np.clip(share, 0.0, 1.0) * (_CHANCES[j] - _CHANCES[i]))

    low = crossing(first - 1, first) if first > 0 else 0.0
    high = crossing(last + 1, last) if last < len(_GRID) - 1 else 1.0
    return min(low, value), max(high, value)
