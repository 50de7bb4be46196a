"""What Meta-World's definitions see of N simulations, and what they remember of the start of an episode.

    scene.tcp, scene.body("obj"), scene.site("goal")      # (N, 3) m each
    scene.object                                          # (N, 3), the object's position in the observation
    scene.start, scene.goal, scene.note                   # (N, 3), (N, 3), (N, 9), noted by `begin` of the definition

The memory lives in MuJoCo's `userdata`, which is part of a simulation's state: it goes wherever the state goes.
"""

import functools

import numpy as np

from ...arrays import Array, clip, full, namespace, norm
from ...simulator import Simulator

SEEN = 18  # numbers that are observed of one state
NOW, BEFORE = slice(0, SEEN), slice(SEEN, 2 * SEEN)
TCP, START, GOAL, NOTE, FORMER = slice(36, 39), slice(39, 42), slice(42, 45), slice(45, 54), slice(54, 57)
MEMORY = 57
# bounds (m) that Meta-World clips the hand's position to, in what is observed
HAND_LOW, HAND_HIGH = (-0.525, 0.348, -0.0525), (0.525, 1.025, 0.7)


class Scene:
    """Simulations of one environment; derived fields are as the last call left them.

    Args:
        sim: the simulations.
        ids: those of interest (n,), in NumPy; all if None.
    """

    def __init__(self, sim: Simulator, ids: np.ndarray | None = None):
        self.sim, self.ids = sim, ids

    def of(self, field: str) -> Array:
        """A field of MjData, (N, ...)."""
        array = self.sim.bind(field)
        return array if self.ids is None else array[self.ids]

    def body(self, name: str) -> Array:
        return self.of("xpos")[:, self.sim.model.body(name).id, :]

    def body_quat(self, name: str) -> Array:
        return self.of("xquat")[:, self.sim.model.body(name).id, :]

    def body_rotation(self, name: str) -> Array:
        return quaternion(self.of("xmat")[:, self.sim.model.body(name).id, :])

    def geom(self, name: str) -> Array:
        return self.of("geom_xpos")[:, self.sim.model.geom(name).id, :]

    def geom_rotation(self, name: str) -> Array:
        return quaternion(self.of("geom_xmat")[:, self.sim.model.geom(name).id, :])

    def site(self, name: str) -> Array:
        return self.of("site_xpos")[:, self.sim.model.site(name).id, :]

    def site_rotation(self, name: str) -> Array:
        return quaternion(self.of("site_xmat")[:, self.sim.model.site(name).id, :])

    def joint(self, name: str) -> Array:
        """Its position (N,)."""
        return self.of("qpos")[:, int(self.sim.model.joint(name).qposadr[0])]

    @functools.cached_property
    def memory(self) -> Array:
        return self.of("userdata")

    @functools.cached_property
    def seen(self) -> Array:
        """What the observation says of the present state, (N, 18), unclipped."""
        return self.memory[:, NOW]

    @functools.cached_property
    def hand(self) -> Array:
        """(N, 3) as observed."""
        hand = self.seen[:, :3]
        xp = namespace(hand)
        return xp.stack([clip(hand[:, i], HAND_LOW[i], HAND_HIGH[i]) for i in range(3)], axis=1)

    @property
    def opening(self) -> Array:
        """Of the gripper, (N,), from 0 to 1."""
        return self.seen[:, 3]

    @property
    def object(self) -> Array:
        return self.seen[:, 4:7]

    @property
    def second(self) -> Array:
        """(N, 3), the second object's position in the observation."""
        return self.seen[:, 11:14]

    def upright(self, quaternion: tuple[float, ...], most: float) -> Array:
        """1 where the object's quaternion is this one, less the more it differs, 0 from most on; (N,)."""
        xp = namespace(self.seen)
        squares = sum((self.seen[:, 7 + i] - quaternion[i]) ** 2 for i in range(4))
        share = 1.0 - xp.sqrt(squares) / most
        return xp.where(share > 0, share, full(share, 0.0))

    @functools.cached_property
    def tcp(self) -> Array:
        """Centre between the fingers' ends."""
        return (self.site("rightEndEffector") + self.site("leftEndEffector")) / 2.0

    @functools.cached_property
    def left_pad(self) -> Array:
        return self.body("leftpad")

    @functools.cached_property
    def right_pad(self) -> Array:
        return self.body("rightpad")

    @property
    def start_tcp(self) -> Array:
        """tcp after the hand's way to where episodes begin."""
        return self.memory[:, TCP]

    @property
    def start(self) -> Array:
        """Where the object began."""
        return self.memory[:, START]

    @property
    def goal(self) -> Array:
        return self.memory[:, GOAL]

    @property
    def note(self) -> Array:
        """Nine more numbers of the definition."""
        return self.memory[:, NOTE]

    @property
    def former(self) -> Array:
        """Three numbers of version 1 of the reward."""
        return self.memory[:, FORMER]


def quaternion(matrix: Array) -> Array:
    """Rotation matrices (N, 9), row by row, as quaternions (N, 4) x, y, z, w, with SciPy's choice of sign.

    The largest of x, y, z, w is computed first, from the diagonal, and is positive.
    """
    xp = namespace(matrix)
    m = [[matrix[:, 3 * i + j] for j in range(3)] for i in range(3)]
    trace = m[0][0] + m[1][1] + m[2][2]
    candidates = []
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        parts = {i: 1 - trace + 2 * m[i][i], j: m[j][i] + m[i][j], k: m[k][i] + m[i][k], 3: m[k][j] - m[j][k]}
        candidates.append(xp.stack([parts[n] for n in range(4)], axis=1))
    candidates.append(xp.stack([m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1], 1 + trace], axis=1))
    largest = xp.argmax(xp.stack([m[0][0], m[1][1], m[2][2], trace], axis=1), axis=1)
    chosen = candidates[3]
    for i in range(3):
        chosen = xp.where((largest == i)[:, None], candidates[i], chosen)
    return chosen / norm(chosen)[:, None]
