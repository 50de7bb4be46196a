"""Divergence of the physics: how MuJoCo tells of it, and how it is kept from talking.

    with quiet():
        batch.step()
    batch.warning[:, BAD_STATE, 1].any(axis=1)            # (N,) which simulations MuJoCo has reset, silently
    beyond((qpos, 1e4), (qvel, 1e4))                      # (N,) which of them are not finite or too large
"""

import contextlib
import logging
from collections.abc import Iterator

import mujoco
import numpy as np

# the warnings that come with MuJoCo's silent reset; consecutive in the enumeration
BAD_STATE = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep MuJoCo's lines about divergence from stderr and MUJOCO_LOG.TXT; other warnings are logged."""
    handler = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_on_warning)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(handler)


def beyond(*bounded: tuple[np.ndarray, float]) -> np.ndarray | None:
    """Which simulations have a number beyond its bound, (N,) bool, None for nobody; of arrays (N, k) and bounds."""
    found = None
    for array, bound in bounded:
        if not np.abs(array).max() <= bound:  # NaN is not
            bad = ~(np.abs(array).max(axis=1) <= bound)
            found = bad if found is None else found | bad
    return found


def _on_warning(message: str) -> None:
    if not message.startswith("Nan, Inf or huge value"):
        logging.getLogger(__name__).warning(message)
