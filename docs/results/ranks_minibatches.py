"""How evenly the minibatches of half_cheetah_mass/rl2 are spread over ranks: 100 tasks of a trial, five to a minibatch.

    python docs/results/ranks_minibatches.py > docs/results/ranks_minibatches.json

Mean, over the minibatches of 200 passes, of the trials that the rank with most of them has; five divided by the ranks
would be perfect, and no rank can have less than one.
"""

import json

import numpy as np

from metarl.algorithms.trials import dealt
from metarl.util.ranks import Ranks

TRIALS, PARTS, PASSES = 100, 20, 200


def largest_share(ranks: int, revision: int) -> float:
    rng, largest = np.random.default_rng(0), []
    shares = [Ranks(rank, ranks).share(TRIALS) for rank in range(ranks)]
    for _ in range(PASSES):
        for part in dealt(rng, TRIALS, PARTS, revision):
            largest.append(max(((part >= own.start) & (part < own.stop)).sum() for own in shares))
    return round(float(np.mean(largest)), 2)


if __name__ == "__main__":
    found = {
        f"{ranks} ranks": {f"revision {n}": largest_share(ranks, n) for n in (2, 3)}
        | {"evenly": round(TRIALS / PARTS / ranks, 2)}
        for ranks in (2, 4, 8)
    }
    print(json.dumps(found, indent=1))
