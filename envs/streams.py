"""Random streams of simulations: one each, independent of the others and of how many there are.

    streams(0, range(800), 800)[3].bit_generator.seed_seq        # SeedSequence(0, spawn_key=(3,))

Never seed + i, as Gymnasium's vector environments and SB3 have it: there seeds 0 and 1 share all streams but one.
"""

from collections.abc import Iterable, Sequence

import numpy as np

Seed = int | np.random.SeedSequence | Sequence[int | None] | None


def streams(seed: Seed, ids: Iterable[int], num_envs: int) -> list[np.random.Generator]:
    """A generator for each simulation in ids.

    Args:
        seed: an int or a SeedSequence gives simulation i the stream SeedSequence(seed, spawn_key=(i,)); a sequence of
            num_envs seeds gives each simulation the stream of the only simulation of an environment with its seed;
            None takes entropy from the operating system.
    """
    if isinstance(seed, np.random.SeedSequence):
        children = [np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, int(i))) for i in ids]
    elif seed is None or isinstance(seed, int | np.integer):
        entropy = np.random.SeedSequence(None if seed is None else int(seed)).entropy
        children = [np.random.SeedSequence(entropy, spawn_key=(int(i),)) for i in ids]
    elif len(seed) == num_envs:
        children = [np.random.SeedSequence(seed[i], spawn_key=(0,)) for i in ids]
    else:
        raise ValueError(f"a sequence of seeds needs one per simulation, {num_envs}, got {len(seed)}")
    return [np.random.Generator(np.random.PCG64(child)) for child in children]
