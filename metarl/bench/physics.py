"""Physics alone: what an environment's simulations were told to do, once more without anything around it.

    initial, controls = record(env, lambda: collect(env, adapter, state, episodes, seed))
    seconds = replay(env, initial, controls)
"""

import time
from collections.abc import Callable

import numpy as np

from metarl.envs import BatchEnv


def record(env: BatchEnv, act: Callable[[], object]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The integration state before the first step of what ``act`` does, and the controls of each step."""
    family, initial, controls = env.family, [], []
    advance = type(family).advance.__get__(family)

    def recording(batch, ctrl, ids):
        if not controls:
            initial.append(batch.state.copy())
        controls.append(ctrl.copy())
        advance(batch, ctrl, ids)

    family.advance = recording
    try:
        act()
    finally:
        del family.advance
    return initial[0], controls


def replay(env: BatchEnv, initial: np.ndarray, controls: list[np.ndarray]) -> float:
    """Seconds that the physics alone takes from the same states under the same controls."""
    batch, ctrl, substeps = env.batch, env.batch.bind("ctrl"), env.family.frame_skip
    batch.state[:] = initial
    start = time.perf_counter()
    for control in controls:
        ctrl[:] = control
        batch.step(nstep=substeps)
    return time.perf_counter() - start
