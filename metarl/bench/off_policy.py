"""Updates of recurrent SAC, and how much of one is anything but matrix products.

The work is that of configs/half_cheetah_mass/recurrent_sac.yaml on one thread, with a store of one iteration. The
products of an update, those of the gradient among them, are recorded with their arguments and done once more alone, in
turn with whole updates.

    result = run(rounds=5)
    result["sac_updates_per_second"], result["sac_overhead_share"]       # a share of 0 would be products alone
"""

import statistics
import time
from typing import Any, cast

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_learner, training_env
from metarl.algorithms.recurrent_sac import RecurrentSAC
from metarl.config import Config, load_config
from metarl.util.rng import stream
from metarl.util.torch_runtime import ONE_BY_ONE, torch_threads

CONFIG = "half_cheetah_mass/recurrent_sac"
UPDATES = 10  # in a round
PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm)


class Products(TorchDispatchMode):
    """Records the matrix products that are done while it is entered, as `calls`."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func.overloadpacket in PRODUCTS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))

    @torch.no_grad()
    def repeat(self) -> float:
        """Seconds that they take alone."""
        start = time.perf_counter()
        for func, args, kwargs in self.calls:
            func(*args, **kwargs)
        return time.perf_counter() - start


@torch_threads(1)
def run(rounds: int, config: Config | None = None, updates: int = UPDATES) -> dict[str, float]:
    """Medians of ``rounds``; see the module."""
    config = config or load_config(CONFIG)
    env = training_env(config)
    learner = cast(RecurrentSAC, make_learner(config, Spec.of(env)))
    learner.collect(env, 0)
    env.close()
    rng = np.random.default_rng(stream(0, "bench"))
    whole, alone = [], []
    for i in range(rounds + 1):
        with Products() as products:
            update(learner, rng)
        start = time.perf_counter()
        for _ in range(updates):
            update(learner, rng)
        seconds = (time.perf_counter() - start) / updates
        repeated = statistics.median(products.repeat() for _ in range(updates))
        if i:  # the first warms up
            whole.append(seconds)
            alone.append(repeated / seconds)
    return {
        "sac_updates_per_second": 1 / statistics.median(whole),
        "sac_overhead_share": max(0.0, 1 - statistics.median(alone)),
    }


def update(learner: RecurrentSAC, rng: np.random.Generator) -> None:
    learner.step(learner.draw(rng), learner.drawn_critics(rng), ONE_BY_ONE)
