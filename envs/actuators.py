"""The actuators of a model: which of them each control belongs to, and the robot that they drive.

One may have several controls (`<pid input="pos vel">`), or none.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import mujoco
import numpy as np


def controls(model: mujoco.MjModel) -> list[tuple[int, str]]:
    """Index of the actuator and name of each control, (nu,): the actuator's name, and which of its controls it is."""
    found = []
    for i in range(model.nactuator):
        count, name = int(model.actuator_ctrlnum[i]), model.actuator(i).name
        found += [(i, name if count == 1 else f"{name} {k}") for k in range(count)]
    return found


def outputs(model: mujoco.MjModel, actuator: int) -> np.ndarray:
    """Indices of what an actuator has in actuator_force, actuator_velocity and actuator_length."""
    first = int(model.actuator_outadr[actuator])
    return np.arange(first, first + int(model.actuator_outnum[actuator]))


def fix_muscle_forces(model: mujoco.MjModel) -> None:
    """Write the peak forces of muscles into the model, where MuJoCo computes them from what they accelerate.

    A muscle without a `force` has scale / acc0, so that a heavier body would have stronger muscles. The forces stay
    what they are, to the last bit.
    """
    for types, parameters, kind in (
        (model.actuator_gaintype, model.actuator_gainprm, mujoco.mjtGain.mjGAIN_MUSCLE),
        (model.actuator_biastype, model.actuator_biasprm, mujoco.mjtBias.mjBIAS_MUSCLE),
    ):
        for i in np.flatnonzero((types == int(kind)) & (parameters[:, 2] < 0)):
            acceleration = float(model.actuator_acc0[outputs(model, int(i))[0]])  # of a unit force, at qpos0
            parameters[i, 2] = parameters[i, 3] / max(mujoco.mjMINVAL, acceleration)


def robot_body(model: mujoco.MjModel, driven: Iterable[int] | None = None) -> int:
    """The first body of the kinematic tree that most actuators drive: the robot, not a cube beside it.

    Args:
        driven: the bodies that are driven, one for each actuator; by default as the model's actuators do.
    """
    trees = [int(model.body_treeid[body]) for body in (_driven_bodies(model) if driven is None else driven)]
    counts = Counter(tree for tree in trees if tree >= 0)
    tree = counts.most_common(1)[0][0] if counts else 0
    return int(np.flatnonzero(model.body_treeid == tree)[0])


def _driven_bodies(model: mujoco.MjModel) -> Iterator[int]:
    kinds, joints, sites = mujoco.mjtTrn, model.jnt_bodyid, model.site_bodyid
    for kind, (target, reference) in zip(model.actuator_trntype, model.actuator_trnid, strict=True):
        if kind == int(kinds.mjTRN_TENDON):
            yield from _tendon_bodies(model, target)
        elif kind == int(kinds.mjTRN_BODY):
            yield int(target)
        elif kind <= int(kinds.mjTRN_JOINTINPARENT) or (kind == int(kinds.mjTRN_SO3) and reference < 0):
            yield int(joints[target])
        elif kind <= int(kinds.mjTRN_SO3):
            yield int(sites[target])


def _tendon_bodies(model: mujoco.MjModel, tendon: int) -> Iterator[int]:
    bodies = {int(mujoco.mjtWrap.mjWRAP_JOINT): model.jnt_bodyid, int(mujoco.mjtWrap.mjWRAP_SITE): model.site_bodyid}
    for wrap in range(model.tendon_adr[tendon], model.tendon_adr[tendon] + model.tendon_num[tendon]):
        of = bodies.get(int(model.wrap_type[wrap]))
        if of is not None:
            yield int(of[model.wrap_objid[wrap]])
