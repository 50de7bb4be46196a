"""Whether a policy still does what its card says: a few new episodes against the interval that the old ones predict.

    found, expected = try_again(Entry.read("zoo/half_cheetah_dir"))
    expected.holds(found)                        # True 999 times in 1,000

Card and trial are of one policy, so M tasks of the card and n new ones are draws of the same kind. With the mean
returns of tasks spread by s (each over K episodes), and single episodes within a task by e, the mean over n new tasks
of k episodes each differs from the card's by chance with the variance

    s² (1/n + 1/M) + e² (1/k - 1/K) / n

and lies within Student's t of M - 1 degrees of freedom: the usual prediction interval, with one more term for fewer
episodes. Where all tasks that there are were drawn several times (`draws`), s is the spread of draws of one task, and
each of the n is held against the draws of its own.
"""

import numpy as np
import scipy.stats

from metarl.envs import Tasks
from metarl.evaluation.evaluate import measure_run
from metarl.evaluation.result import Evaluation, draws
from metarl.evaluation.statistics import Estimate
from metarl.util.rng import stream
from metarl.zoo.entry import SPLIT, Entry

CONFIDENCE = 0.999
EPISODES = 2  # in a task, of a policy that learns nothing from the other episodes
NEW = 3  # the "evaluation" streams of the tasks tried again


def try_again(entry: Entry, count: int = 5) -> tuple[float, Estimate]:
    """The mean return after all adaptation in `count` new held-out tasks, and what the card's evaluation predicts."""
    evaluation, run = entry.evaluation, entry.run
    rng = np.random.default_rng(stream(evaluation.seed, "evaluation", NEW))
    tasks = run.load_family().space.sample(count, SPLIT, rng)
    episodes = evaluation.episodes if evaluation.pooled else min(EPISODES, evaluation.episodes)
    new = measure_run(run, SPLIT, evaluation.steps, episodes, seed=evaluation.seed + 1, frozen=tasks)
    return float(np.nanmean(new.per_task[-1])), predicted(evaluation, tasks, episodes)


def predicted(evaluation: Evaluation, tasks: Tasks, episodes: int, confidence: float = CONFIDENCE) -> Estimate:
    """The mean return after all adaptation in other tasks, with its prediction interval.

    Args:
        evaluation: of at least two tasks, or draws of each task that there is.
        tasks: n held-out tasks of the same family.
        episodes: k, in each of them.
    """
    scores, count = evaluation.per_task[-1], len(tasks)
    labels = draws(evaluation.tasks)
    known = np.isfinite(scores)
    groups = np.array(labels if labels is not None else [""] * len(scores))[known]
    chosen = tasks.digests if labels is not None else [""] * count
    scores = scores[known]
    means, spread, fixed = {}, 0.0, 0.0
    for group in np.unique(groups):
        members = scores[groups == group]
        means[str(group)] = members.mean()
        spread += ((members - members.mean()) ** 2).sum()
        fixed += (sum(name == group for name in chosen) / count) ** 2 / len(members)
    freedom = len(scores) - len(means)
    single = float(np.nanmean(np.nanvar(evaluation.returns[-1], axis=1, ddof=1))) if evaluation.episodes > 1 else 0.0
    fewer = single * (1 / episodes - 1 / evaluation.episodes) / count
    variance = spread / freedom * (1 / count + fixed) + fewer
    half = float(scipy.stats.t.ppf(0.5 + confidence / 2, freedom) * np.sqrt(variance))
    value = float(np.mean([means[str(name)] for name in chosen]))
    return Estimate(value, value - half, value + half)
