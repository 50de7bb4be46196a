"""One seed, many independent streams, none of them with a state to save.

Every random draw of a run comes from a stream named by its purpose and position, so a resumed run needs no generator
state, and evaluating can never disturb training:

    rng = np.random.default_rng(stream(seed, "tasks", iteration))

Streams of different seeds, purposes or positions are independent (numpy's SeedSequence); seed and seed + 1 share none.
"""

import numpy as np

PURPOSES = (
    "init", "tasks", "rollouts", "evaluation_tasks", "evaluation", "replay", "bench", "minibatches", "export", "tuning",
    "watch", "check",
)  # fmt: skip


def stream(seed: int, purpose: str, *position: int) -> np.random.SeedSequence:
    """The seed of one stream, e.g. ``stream(0, "rollouts", iteration, inner_step)``."""
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), *position))
