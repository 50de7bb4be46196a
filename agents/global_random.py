"""Global random generators, for libraries that know no others: seeded for a while, then put back as they were.

    with global_generators(np.random.SeedSequence(0)):
        model.train()           # draws from random, numpy.random and torch
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def global_generators(seed: np.random.SeedSequence) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's global generators, and restore their states at the end."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            words = seed.generate_state(4)
            random.seed(int(words[0]))
            np.random.seed(words[1:2])  # noqa: NPY002
            torch.manual_seed(int(words[2:].view(np.uint64)[0] >> np.uint64(1)))
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
