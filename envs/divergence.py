"""Physics that breaks down: MuJoCo resets such a simulation silently, in the middle of a step.

    with without_lines():
        batch.step(nstep=5)
    diverged = batch.warning[:, BAD_STATE, 1].any(axis=1)
"""

import contextlib
import logging
from collections.abc import Iterator

import mujoco

BAD_STATE = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)
"""The warnings that come with MuJoCo's silent reset; consecutive in the enumeration."""


@contextlib.contextmanager
def without_lines() -> Iterator[None]:
    """No lines of MuJoCo's own on stderr and in MUJOCO_LOG.TXT; divergence is reported in info["diverged"]."""
    handler = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_on_warning)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(handler)


def _on_warning(message: str) -> None:
    if not message.startswith("Nan, Inf or huge value"):
        logging.getLogger(__name__).warning(message)
