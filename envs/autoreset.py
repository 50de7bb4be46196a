"""What happens to simulations whose episode has ended, in each of Gymnasium's autoreset modes; for every stepping code.

    stepped, restarted = who_steps(mode, ended)          # masks (N,) of this step
    info |= final_info(observation, of, ended)           # SAME_STEP: what the episodes that ended now left behind

NEXT_STEP: a finished simulation is reset by the next call of step, whose action it ignores. SAME_STEP: it is reset in
the step that ends it. DISABLED: it rests until it is reset: it is not stepped, its observation stays the last one, its
reward is zero and nothing ends again.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode


def who_steps(mode: AutoresetMode, ended: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (N,) of the simulations that are stepped now, and of those that are reset instead.

    Args:
        ended: (N,) bool, the episode has ended before, and there was no reset since.
    """
    nobody = np.zeros(len(ended), bool)
    if mode is AutoresetMode.SAME_STEP:
        return ~nobody, nobody
    return ~ended, ended if mode is AutoresetMode.NEXT_STEP else nobody


def final_info(
    observation: np.ndarray, info: Callable[[np.ndarray], dict[str, Any]], ended: np.ndarray
) -> dict[str, Any]:
    """final_obs and final_info of the episodes that ended in this step, as Gymnasium's SyncVectorEnv gives them.

    Args:
        observation: (N, O) after the step.
        info: from a mask (N,) to the vector info of those simulations.
    """
    last = np.full(len(ended), None, object)
    for i in np.flatnonzero(ended):
        last[i] = observation[i].copy()
    return {"final_obs": last, "_final_obs": ended, "final_info": info(ended), "_final_info": ended}
