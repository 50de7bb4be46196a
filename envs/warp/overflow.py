"""What happens where a world needs more room than it was given: Warp drops contacts, and metarl ends the run.

MuJoCo Warp allocates room for `nconmax` contacts a world and `njmax` rows of constraints. What does not fit is left out
of the physics, without a word unless `Data.overflow` is read.
"""

import math

import mujoco_warp as mjw

from metarl.util.errors import UserError

_KINDS = mjw.OverflowType
HARMLESS = int(_KINDS.ITERATIONS | _KINDS.LS_ITERATIONS)
"""The solver took as many iterations as it may, as on the CPU."""
_CONTACTS = int(_KINDS.BROADPHASE | _KINDS.NARROWPHASE | _KINDS.CCD)
_ROWS = int(_KINDS.NEFC | _KINDS.NJMAX_NNZ)


def overflow(family: str, data: mjw.Data, flags: int) -> UserError:
    """The error for what has overflown, by the flags of all worlds together.

    What was needed is known of the last physics step only: the number named is a quarter more, and at least twice what
    there was.
    """
    found = []
    if flags & _CONTACTS:
        needed = max(int(data.nacon.numpy()[0]), int(data.ncollision.numpy()[0])) / data.nworld
        found.append(("env.warp.nconmax", data.naconmax // data.nworld, needed, "contacts"))
    if flags & _ROWS:
        found.append(("env.warp.njmax", data.njmax, int(data.nefc.numpy().max()), "rows of constraints"))
    lines = [
        f"{key}: got {got}, expected {_enough(got, needed)}: {family} has more {what}, and MuJoCo Warp would drop them"
        for key, got, needed, what in found
    ]
    if not lines:
        lines = [f"{family}: a buffer of MuJoCo Warp overflowed: {_KINDS(flags)!r}; use env.physics mujoco"]
    return UserError("\n".join(lines))


def _enough(got: int, needed: float) -> int:
    return 8 * math.ceil(max(1.25 * needed, 2 * got) / 8)
