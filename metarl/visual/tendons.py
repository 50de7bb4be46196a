"""Where a model's tendons run, in space: through their sites, and around the geoms that they wrap.

    tendons = Tendons(model)
    for qpos in frames:
        points = tendons.at(qpos)               # (S, 2, 3), ends of S straight pieces
    tendons.colours, tendons.thickness          # (S, 2, 3) from 0 to 1, m
"""

import mujoco
import numpy as np

_PULLEY = -2  # in wrap_obj, where a tendon is cut in two
_HIDDEN_GROUPS = 3  # MuJoCo's viewers leave out groups from 3 on


class Tendons:
    """Those of a model that can be seen; a fixed tendon, a sum of joints, has no place.

    Attributes:
        colours: of each end of each piece, (S, 2, 3).
        thickness: m, of all.
    """

    def __init__(self, model: mujoco.MjModel):
        self._model, self._data = model, mujoco.MjData(model)
        self._most = {}  # pieces of each tendon: an object that is wrapped adds a point
        for tendon in np.flatnonzero((model.tendon_group < _HIDDEN_GROUPS) & (model.tendon_rgba[:, 3] > 0)):
            first, count = int(model.tendon_adr[tendon]), int(model.tendon_num[tendon])
            kinds = model.wrap_type[first : first + count]
            if kinds[0] != int(mujoco.mjtWrap.mjWRAP_JOINT):
                wrapped = np.isin(kinds, [int(mujoco.mjtWrap.mjWRAP_SPHERE), int(mujoco.mjtWrap.mjWRAP_CYLINDER)])
                self._most[int(tendon)] = count + int(wrapped.sum())
        shown = [*self._most]
        colours = np.repeat(model.tendon_rgba[shown, :3], [*self._most.values()], axis=0)
        self.colours = np.repeat(colours[:, None], 2, axis=1)
        self.thickness = 2 * float(model.tendon_width[shown].mean()) if shown else 0.0

    def __len__(self) -> int:
        return len(self.colours)

    def at(self, qpos: np.ndarray) -> np.ndarray:
        """Ends of all pieces (S, 2, 3), m; those that are not needed have no length."""
        model, data = self._model, self._data
        data.qpos[:] = qpos[: model.nq]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_tendon(model, data)
        places, objects = data.wrap_xpos.reshape(-1, 3), data.wrap_obj.reshape(-1)
        pieces = []
        for tendon, most in self._most.items():
            along = np.arange(data.ten_wrapnum[tendon]) + data.ten_wrapadr[tendon]
            starts = [i for i in along[:-1] if _PULLEY not in (objects[i], objects[i + 1])]
            ends = [(places[i], places[i + 1]) for i in starts]
            pieces += ends + [(places[along[0]],) * 2] * (most - len(ends))
        return np.array(pieces).reshape(-1, 2, 3)
