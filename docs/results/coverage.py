"""How often the interval of P(better) holds the true chance: the table in docs/reference/evaluation.md
and coverage.json.

    python docs/results/coverage.py 2000 > docs/results/coverage.json      # samples of each cell; some 20 minutes

Two methods with 3, 5 or 10 runs each in 20 tasks. A score is the sum of effects of its run, of its task (the difference
between the methods there) and of both together; their shares of the variance and their distributions make the cases.
`covered` is the share of samples whose interval holds the true chance, `zero_width` of those whose interval has no
width. For comparison the same of two usual ways: clustered placements (DeLong; Obuchowski 1997) on the logit scale,
which Perme and Manevski (2018, Statistical Methods in Medical Research) advise, and the percentile bootstrap over whole
runs and tasks that `metarl compare` took before.
"""

import json
import sys

import numpy as np
import scipy.special
import scipy.stats

from metarl.evaluation.better import p_better
from metarl.evaluation.statistics import estimate, probability_of_improvement

TASKS = 20
RUNS = (3, 5, 10)
CHANCES = (0.5, 0.75, 0.9, 0.955, 0.99)
SHARES = {  # of run of either method, of task, of the rest of either method
    "runs": (0.45, 0.45, 0.02, 0.04, 0.04),
    "one method's runs": (0.8, 0.02, 0.1, 0.04, 0.04),
    "mixed": (0.25, 0.25, 0.2, 0.15, 0.15),
    "tasks": (0.05, 0.05, 0.6, 0.15, 0.15),
    "rest": (0.02, 0.02, 0.06, 0.45, 0.45),
    "mixed, skewed": (0.25, 0.25, 0.2, 0.15, 0.15),
    "mixed, some runs fail": (0.25, 0.25, 0.2, 0.15, 0.15),
    "mixed, same checkpoints": (0.5, 0.0, 0.3, 0.2, 0.0),
}


def draw(case: str, count: int, runs: int, tasks: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores (count, R, M) of two methods that differ only by chance."""

    def effects(*shape: int) -> np.ndarray:
        return rng.exponential(size=(count, *shape)) - 1 if "skewed" in case else rng.normal(size=(count, *shape))

    def of_runs() -> np.ndarray:
        failed = rng.random((count, runs, 1)) < 0.2 if "fail" in case else 0.0
        return effects(runs, 1) - 4 * failed

    one, other, task, rest, others_rest = np.sqrt(SHARES[case])
    scores = one * of_runs() + task * effects(1, tasks) + rest * effects(runs, tasks)
    return scores, other * of_runs() + others_rest * effects(runs, tasks)


def logit(scores: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """The interval of clustered placements on the logit scale."""
    wins = (scores[:, None] > others[None]) + 0.5 * (scores[:, None] == others[None])
    value = wins.mean()
    parts = [np.var(wins.mean(rest), ddof=1) / wins.shape[axis] for axis, rest in enumerate(((1, 2), (0, 2), (0, 1)))]
    if value in (0.0, 1.0):
        return value, value
    reach = scipy.stats.norm.ppf(0.975) * np.sqrt(sum(parts)) / (value * (1 - value))
    return tuple(scipy.special.expit(scipy.special.logit(value) + sign * reach) for sign in (-1, 1))


def bootstrap(scores: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    return estimate(probability_of_improvement, scores, others, rng=rng, resamples=499).ends


def cell(case: str, runs: int, chance: float, samples: int, interval=p_better) -> dict:
    """One cell of the table."""
    paired = "same checkpoints" in case
    ours, theirs = draw(case, 1_000_000, 1, 1, np.random.default_rng(7))
    better = -np.quantile(ours - theirs, 1 - chance)
    hits, widths, below = [], [], []
    for scores, others in zip(*draw(case, samples, runs, TASKS, np.random.default_rng([runs, round(1000 * chance)]))):
        got = interval(scores + better, others, **({"paired": True} if paired else {}))
        low, high = got if isinstance(got, tuple) else got.ends
        hits.append(low <= chance <= high)
        below.append(chance > high)
        widths.append(high - low)
    return {
        "case": case, "runs": runs, "chance": chance, "covered": float(np.mean(hits)), "below": float(np.mean(below)),
        "width": round(float(np.mean(widths)), 3), "zero_width": float(np.mean(np.array(widths) == 0)),
    }  # fmt: skip


def main(samples: int) -> dict:
    cells = [cell(case, runs, chance, samples) for case in SHARES for runs in RUNS for chance in CHANCES]
    others = {
        name: [cell("mixed", runs, chance, count, interval) for runs in counts for chance in CHANCES]
        for name, interval, counts, count in (
            ("logit", logit, RUNS, samples),
            ("percentile bootstrap", bootstrap, RUNS[1:], max(1, samples // 5)),
        )
    }
    return {"samples": samples, "tasks": TASKS, "confidence": 0.95, "p_better": cells, "others": others}


if __name__ == "__main__":
    json.dump(main(int(sys.argv[1])), sys.stdout, indent=1)
    print()
