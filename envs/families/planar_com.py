"""Centre of mass of a planar robot and its velocity, from positions and velocities alone.

    com = PlanarCom(model, "torso")
    position, velocity = com(qpos, qvel)                  # (N, 3), (N, 3) world frame, at the state given

MuJoCo would compute both in a further position and velocity stage at the state after the step, which costs up to two
thirds of the step itself. In the x-z plane they are a short sum over bodies:
body k at angle t_k (its own and its ancestors' joint angles about y) contributes R(t_k) c_k, where c_k is the
mass-weighted offset of its own centre of mass and of its children's origins:

    c_k = (m_k ipos_k + sum_{j child of k} M_j pos_j) / M_root          m mass of a body, M mass of its subtree
    com = root + sum_k R(t_k) c_k
    d com / dt = d root / dt + sum_k (d t_k / dt) R'(t_k) c_k
"""

import mujoco
import numpy as np

from ..arrays import Array, full, namespace


class PlanarCom:
    """Centre of mass of the subtree of body root, which has the slides x and z and then hinges about y only."""

    def __init__(self, model: mujoco.MjModel, root: str):
        first = model.body(root).id
        bodies = range(first, model.nbody)
        hinge, slide = int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)
        kinds = [slide, slide, *[hinge] * (model.njnt - 2)]
        axes = np.array([[1, 0, 0], [0, 0, 1], *[[0, 1, 0]] * (model.njnt - 2)])
        if not (
            list(model.jnt_type) == kinds
            and list(model.jnt_bodyid) == [first, first, *bodies]
            and np.array_equal(model.jnt_axis, axes)
            and not model.jnt_pos.any()
            and (model.body_quat[first:] == [1, 0, 0, 0]).all()
            and not model.body_pos[first + 1 :, 1].any()
        ):
            raise ValueError(f"{root}: expected slides along x and z, then a hinge about y at the origin of each body")
        subtree = model.body_subtreemass
        moment = model.body_mass[:, None] * model.body_ipos
        for child in range(first + 1, model.nbody):
            moment[model.body_parentid[child]] += subtree[child] * model.body_pos[child]
        self._rest = model.body_pos[first].tolist()
        self._offset = (moment[first:] / subtree[first]).tolist()  # (B, 3), c_k
        self._parent = [int(model.body_parentid[b]) - first for b in bodies]  # of body 0: outside the tree

    def __call__(self, qpos: Array, qvel: Array) -> tuple[Array, Array]:
        """Position and velocity (N, 3) at qpos (N, nq), qvel (N, nv)."""
        xp, angle, rate = namespace(qpos), [qpos[:, 2]], [qvel[:, 2]]  # (N,) of each body
        for body, parent in enumerate(self._parent[1:], 1):
            angle.append(qpos[:, 2 + body] + angle[parent])
            rate.append(qvel[:, 2 + body] + rate[parent])
        angles = xp.stack(angle)  # (B, N)
        sine, cosine = xp.sin(angles), xp.cos(angles)
        x, z = self._rest[0] + qpos[:, 0], self._rest[2] + qpos[:, 1]
        vx, vz = qvel[:, 0], qvel[:, 1]
        # summed body by body: with a matrix product the rounding would depend on N
        for k, (cx, _, cz) in enumerate(self._offset):
            dx = cosine[k, :] * cx + sine[k, :] * cz  # R(t_k) c_k, about y
            dz = cosine[k, :] * cz - sine[k, :] * cx
            x, z = x + dx, z + dz
            vx, vz = vx + rate[k] * dz, vz - rate[k] * dx
        y = full(qpos, self._rest[1] + sum(offset[1] for offset in self._offset))
        return xp.stack([x, y, z], axis=1), xp.stack([vx, xp.zeros_like(vx), vz], axis=1)
