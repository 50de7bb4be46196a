"""What experience in a task is worth: measures of one adaptation curve, and curves put on a common axis.

A curve is what was measured in a task: `returns` (S + 1, M), the mean return of each of M tasks after s adaptation
steps, and `before` (S + 1,), the experience in the task before that, in episodes or in seconds. Between two
measurements a method has the policy of the earlier one: gradient methods learn nothing from the first episode of
twenty before they have seen the last. After its last measurement it keeps the last policy. So the curve is a
staircase:

    from metarl.evaluation.curve_metrics import at, area, first_reaching
    before, returns = np.array([0, 20, 40]), np.array([[10.0], [70.0], [100.0]])
    at(returns, before, [0, 19, 20, 1000])[:, 0]       # [10, 10, 70, 100]
    area(returns, before, 60)                          # [60.]: the average return of the first 60 episodes
    first_reaching(returns, before, 70.0)              # [20.]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def at(returns: np.ndarray, before: np.ndarray, experience: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns (..., M) after so much experience (...)."""
    step = np.searchsorted(before, experience, side="right") - 1
    if np.any(step < 0):
        raise ValueError(f"experience is {experience}; expected at least {before[0]}, that of the first measurement")
    return returns[step]


def area(returns: np.ndarray, before: np.ndarray, budget: float) -> np.ndarray:
    """Area (M,) under the staircase from no experience to `budget`, over the budget.

    With experience in episodes that is the average return of all episodes until then, those that adaptation learned
    from included.
    """
    if budget <= before[0]:
        raise ValueError(f"budget is {budget}; expected more than {before[0]}, the experience of the first measurement")
    width = np.diff(np.minimum(np.append(before, np.inf), budget))
    return width @ returns / (budget - before[0])


def first_reaching(returns: np.ndarray, before: np.ndarray, threshold: float) -> np.ndarray:
    """Experience (M,) after which the return is at least `threshold` for the first time; infinite if it never is."""
    reached = returns >= threshold
    return np.where(reached.any(0), np.asarray(before, np.float64)[reached.argmax(0)], np.inf)
