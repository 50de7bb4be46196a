"""What one environment of Meta-World is beyond the Sawyer arm that all 50 share: its model, its reset, its reward.

    class Reach(Definition):
        mjcf = "sawyer_reach_v3"

        def begin(self, start: Start) -> None: ...        # puts the object in its place, notes start and goal
        def objects(self, scene): ...                     # what is observed beside the hand: (N, 7) or (N, 14)
        def reward(self, scene, action): ...              # (N,)
        def solved(self, scene): ...                      # (N,) bool

Definitions have no state: what an episode has to remember is in `Start.remember` and read from the Scene.
"""

from collections.abc import Mapping

import mujoco
import numpy as np

from ...arrays import Array, namespace
from .scene import GOAL, NOTE, START, Scene

_POSITION = int(mujoco.mjtStage.mjSTAGE_POS)


def single(*numbers: float) -> tuple[float, ...]:
    """Numbers rounded to float32, as Meta-World has some of its positions."""
    return tuple(float(np.float32(x)) for x in numbers)


class Start(Scene):
    """Simulations ids (n,) at the start of an episode, the hand in its place; derived fields are one step behind.

    Attributes:
        place: (n, 3) or (n, 6), the position of the task: of the object or fixture, and of the goal.
    """

    ids: np.ndarray

    def __init__(self, sim, ids: np.ndarray, place: np.ndarray):
        super().__init__(sim, ids)
        self.place = place

    @property
    def first(self) -> np.ndarray:
        return self.place[:, :3]

    @property
    def second(self) -> np.ndarray:
        return self.place[:, 3:]

    def at_height(self, place: np.ndarray, height: np.ndarray | float) -> np.ndarray:
        """Places (n, 3) with another z."""
        return np.column_stack([place[:, :2], np.broadcast_to(height, len(place))])

    def put(self, at: slice, position: np.ndarray | tuple[float, ...] | float, still: slice | None = None) -> None:
        """Write positions qpos[at], stop qvel[still], and compute where things are."""
        self.sim.bind("qpos")[self.ids, at] = position
        if still is not None:
            self.sim.bind("qvel")[self.ids, still] = 0.0
        self.forward()

    def put_free(self, position: np.ndarray) -> None:
        """Put the object, whose free joint comes after the arm's nine joints, at (n, 3)."""
        self.put(slice(9, 12), position, slice(9, 15))

    def forward(self) -> None:
        """Compute where things are."""
        self.sim.forward(self.ids, _POSITION)

    def step(self, nstep: int) -> None:
        self.sim.step(self.ids, nstep=nstep)

    def remember(self, start: np.ndarray | None = None, goal: np.ndarray | None = None, note: np.ndarray | None = None):
        """Note where the object began, where it shall go, and up to nine numbers (n, k)."""
        memory = self.sim.bind("userdata")
        for at, values in ((START, start), (GOAL, goal)):
            if values is not None:
                memory[self.ids, at] = values
        if note is not None:
            memory[self.ids, NOTE.start : NOTE.start + note.shape[1]] = note


class Definition:
    """See the module.

    Attributes:
        mjcf: the file of its model.
        hand: where the hand begins (m).
        low, high: box that the hand's target stays in (m).
        goal_mark: the site that shows the goal in pictures.
    """

    mjcf: str
    hand: tuple[float, ...] = (0.0, 0.6, 0.2)
    low: tuple[float, ...] = (-0.5, 0.4, 0.05)
    high: tuple[float, ...] = (0.5, 1.0, 0.5)
    goal_mark: str = "goal"

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> Mapping[str, np.ndarray]:
        """Positions (n, 3) of bodies that tasks at place (n, 3 or 6) move."""
        return {}

    def begin(self, start: Start) -> None:
        raise NotImplementedError

    def after(self, scene: Scene) -> None:
        """Called after each step."""

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        """Parts (N, k) of what is observed beside the hand: position and quaternion, of one thing or of two."""
        raise NotImplementedError

    def reward(self, scene: Scene, action: Array) -> Array:
        raise NotImplementedError

    def solved(self, scene: Scene) -> Array:
        raise NotImplementedError


def offset(points: Array, x: float, y: float, z: float) -> Array:
    """Points (N, 3) moved by (x, y, z)."""
    xp = namespace(points)
    return xp.stack([points[:, 0] + x, points[:, 1] + y, points[:, 2] + z], axis=1)


def zeros(points: Array, k: int) -> Array:
    """(N, k), beside points (N, 3)."""
    xp = namespace(points)
    return xp.zeros((points.shape[0], k), dtype=points.dtype)
