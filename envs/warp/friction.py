"""Friction of nearly nothing: with a pyramidal friction cone, MuJoCo Warp's float32 physics breaks down there.

Measured with half-cheetahs under random actions: of 3,600 environment steps none diverged at a friction of 0.004, 2 at
0.0028, 153 at 0.0012 and 928 at 0; with elliptic cones none at any friction. So it is refused, with a margin.
"""

from collections.abc import Mapping

import mujoco
import numpy as np

from metarl.util.errors import UserError

from ..arrays import Array, as_numpy

LEAST = 0.01


def require_friction(family: str, model: mujoco.MjModel, fields: Mapping[str, Array]) -> None:
    """Raise UserError if in some world the sliding friction of a contact may be less than LEAST.

    Of two touching geoms the larger friction counts, or that of the geom with the higher priority.
    """
    if int(model.opt.cone) != int(mujoco.mjtCone.mjCONE_PYRAMIDAL):
        return
    found = []
    geom, pair = (_slippery(fields, *of) for of in (("geom_friction", 1), ("pair_friction", 2)))
    if geom is not None:
        decides = model.geom_priority > model.geom_priority.min()
        worlds = (geom.sum(axis=1) > 1) | geom[:, decides].any(axis=1)
        found += [("geom", i) for i in np.flatnonzero(geom[worlds].any(axis=0))]
    if pair is not None:
        found += [("pair", i) for i in np.flatnonzero(pair.any(axis=0))]
    if found:
        kind, i = found[0]
        name = getattr(model, kind)(int(i)).name or i
        raise UserError(
            f"{family}: the friction of {kind} {name!r} would be less than {LEAST}, where MuJoCo Warp's float32"
            " diverges; narrow its range, give the model cone='elliptic', or use env.physics mujoco"
        )


def _slippery(fields: Mapping[str, Array], name: str, columns: int) -> np.ndarray | None:
    """Which elements have less than LEAST in which worlds, (N, elements); None if none has: one bit to read."""
    slippery = fields[name][:, :, :columns] < LEAST if name in fields else None
    return None if slippery is None or not slippery.any() else as_numpy(slippery).any(axis=2)
