"""A Sawyer arm at a table in one environment of Meta-World, as a family for `BatchEnv`.

    env = BatchEnv(Sawyer("push-v3", ml1("push-v3")), num_envs=800)
    observation, reward, terminated, truncated, info = env.step(actions)     # actions (800, 4)

An action moves a mocap body that a weld pulls the hand along with, 0.01 m per unit and axis, and closes the gripper.
What is where, and what is rewarded, is the environment's `Definition`; in all of them an episode begins with 250
physics steps in which the hand goes to its place. They depend on the task alone, so they are simulated once for each
task and then remembered.

Equal to metaworld 3.0.0 with the same task and actions, but for the welds: MuJoCo 4 has 12 numbers for a weld where
Meta-World writes 11.
"""

from typing import Any

import mujoco
import numpy as np

from metarl.util.optional import Extra

from ..arrays import Array, clip, namespace, norm
from ..family import Family
from ..simulator import Simulator
from .definitions import definition
from .definitions.definition import Start
from .definitions.scene import BEFORE, FORMER, GOAL, HAND_HIGH, HAND_LOW, MEMORY, NOW, SEEN, TCP, Scene
from .tasks import ENVIRONMENTS, GoalSpace
from .version1 import VERSION_1

METAWORLD = Extra("metaworld", "metaworld")
CAMERA = "corner2"
_STEP = 0.01  # m that the hand's target moves for an action of 1
_FULL_OPENING = 0.1  # m between the claws
_POINTING = (1.0, 0.0, 1.0, 0.0)  # quaternion of the hand, downwards
_OPEN = (-1.0, 1.0)  # controls of the fingers
_HAND_STEPS = 50  # environment steps that the hand has to go to its place
_WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
_STATE = ("time", "qpos", "qvel", "qacc_warmstart", "ctrl", "mocap_pos", "mocap_quat", "userdata")
_STARTS = 10_000  # tasks whose first states are remembered, 2 kB each


class Sawyer(Family):
    """One environment, its tasks from a space that may have others.

    Args:
        env_name: one of the 50, "push-v3".
        space: of the tasks.
        reward_version: 2, from 0 to 10 a step, or 1, the first published; each has its own idea of solved.
    """

    actuated = False
    licence = "MIT, Meta-World Team; the package metaworld"
    extra = METAWORLD
    frame_skip = 5
    horizon = 500
    camera = CAMERA
    step_stage = int(mujoco.mjtStage.mjSTAGE_POS)

    def __init__(self, env_name: str, space: GoalSpace, reward_version: int = 2):
        self.name, self.space = space.family, space
        self.env_name = env_name
        self.definition = definition(env_name)
        self._former = VERSION_1[env_name] if checked_version(reward_version) == 1 else None
        self._place = slice(1, 1 + len(ENVIRONMENTS[env_name].low))
        self._starts: dict[bytes, list[np.ndarray]] = {}

    def build(self) -> mujoco.MjModel:
        folder = METAWORLD.folder(self.name) / "assets" / "sawyer_xyz"
        spec = mujoco.MjSpec.from_file(str(folder / f"{self.definition.mjcf}.xml"))
        spec.nuserdata = MEMORY
        model = spec.compile()
        welds = [i for i in range(model.neq) if int(model.eq_type[i]) == int(mujoco.mjtEq.mjEQ_WELD)]
        model.eq_data[welds, : len(_WELD)] = _WELD
        for name, position in self.definition.fixtures(model, self.space.default().values[:, self._place]).items():
            model.body(name).pos = position[0]
        upright = model.camera(CAMERA).quat  # a view; the camera hangs upside down
        mujoco.mju_mulQuat(upright, upright.copy(), np.array([0.0, 0.0, 0.0, 1.0]))
        return model

    def control_range(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """Motion of the hand in x, y, z, and closing of the gripper."""
        return np.full(4, -1.0), np.full(4, 1.0)

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        body_pos = sim.expand("body_pos")
        for name, position in self.definition.fixtures(sim.model, values[:, self._place]).items():
            body_pos[ids, sim.model.body(name).id] = position

    def forget_starts(self) -> None:
        """Forget the first states of tasks, so that they are simulated again; the results are the same."""
        self._starts.clear()

    def begin(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        keys = [row.tobytes() for row in values]
        new = {key: i for i, key in enumerate(keys) if key not in self._starts}
        if new:
            if len(self._starts) + len(new) > _STARTS:
                self._starts.clear()
                new = {key: i for i, key in enumerate(keys)}
            rows = np.sort(np.fromiter(new.values(), int))
            self._simulate_start(sim, ids[rows], values[rows])
            parts = [sim.bind(name)[ids[rows]] for name in _STATE]
            for n, row in enumerate(rows):
                self._starts[keys[row]] = [part[n].copy() for part in parts]
        for field, name in enumerate(_STATE):
            sim.bind(name)[ids] = [self._starts[key][field] for key in keys]
        mark = mujoco.mj_name2id(sim.model, mujoco.mjtObj.mjOBJ_SITE, self.definition.goal_mark)
        if mark >= 0 and sim.model.site_bodyid[mark] == 0:  # in the world's frame; for pictures only
            sim.expand("site_pos")[ids, mark] = sim.bind("userdata")[ids, GOAL]

    def _simulate_start(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        sim.bind("mocap_pos")[ids] = self.definition.hand
        sim.bind("mocap_quat")[ids] = _POINTING
        sim.bind("ctrl")[ids] = _OPEN
        self._bind(sim)
        for _ in range(_HAND_STEPS):  # not in one call, during which nobody sees Ctrl-C
            sim.step(ids, nstep=self.frame_skip)
        memory, start = sim.bind("userdata"), Start(sim, ids, values[:, self._place])
        memory[ids, TCP] = start.tcp
        self.definition.begin(start)
        if self._former is not None:
            noted = self._former.begin(Scene(sim, ids))
            memory[ids, FORMER.start : FORMER.start + noted.shape[1]] = noted
        memory[ids, NOW] = memory[ids, BEFORE] = self._look(Scene(sim, ids))

    def command(self, sim: Simulator, ctrl: Array, ids: np.ndarray | None) -> None:
        target, fingers = sim.bind("mocap_pos"), sim.bind("ctrl")
        xp, low, high = namespace(ctrl), self.definition.low, self.definition.high
        moved = xp.stack(
            [clip(target[:, 0, i] + ctrl[:, i] * _STEP, low[i], high[i]) for i in range(3)], axis=1
        )[:, None, :]
        if ids is not None:
            stepped = np.zeros(sim.nsim, bool)
            stepped[ids] = True
            moved = xp.where(xp.asarray(stepped)[:, None, None], moved, target)
        target[...] = moved
        fingers[...] = xp.stack([ctrl[:, 3], -ctrl[:, 3]], axis=1)

    def advance(self, sim: Simulator, ctrl: Array, ids: np.ndarray | None) -> None:
        self._bind(sim)
        super().advance(sim, ctrl, ids)
        scene, memory = Scene(sim), sim.bind("userdata")
        now = self._look(scene)
        if ids is None:
            memory[:, BEFORE] = memory[:, NOW]
            memory[:, NOW] = now
        else:
            memory[ids, BEFORE] = memory[ids, NOW]
            memory[ids, NOW] = now[ids]
        self.definition.after(scene)

    def before(self, sim: Simulator) -> None:
        """Nothing: rewards depend on the present state, and on what its episode began with."""

    def derive(self, sim: Simulator) -> Scene:
        return Scene(sim)

    def observe(self, sim: Simulator, derived: Scene) -> Array:
        memory = sim.bind("userdata")
        xp = namespace(memory)
        parts = []
        for at in (NOW, BEFORE):
            seen = memory[:, at]
            hand = [clip(seen[:, i], HAND_LOW[i], HAND_HIGH[i])[:, None] for i in range(3)]
            parts += [*hand, seen[:, 3:]]
        return xp.concat([*parts, xp.zeros_like(memory[:, :3])], axis=1)  # the goal is hidden

    def reward_terms(
        self, sim: Simulator, derived: Scene, qpos_before: Any, ctrl: Array, values: Array
    ) -> dict[str, Array]:
        rewarded = self._former or self.definition
        return {"metaworld": rewarded.reward(derived, ctrl)}

    def solved(self, sim: Simulator, derived: Scene, values: Array) -> Array:
        return self._former.solved(derived, self.definition) if self._former else self.definition.solved(derived)

    def _look(self, scene: Scene) -> Array:
        """What is observed of the present state, (N, 18): hand, gripper's opening, one or two objects."""
        hand, objects = scene.body("hand"), self.definition.objects(scene)
        xp = namespace(hand)
        opening = clip(norm(scene.body("rightclaw") - scene.body("leftclaw")) / _FULL_OPENING, 0.0, 1.0)
        parts = [hand, opening[:, None], *objects]
        missing = SEEN - sum(part.shape[1] for part in parts)
        if missing:
            parts.append(xp.zeros((hand.shape[0], missing), dtype=hand.dtype))
        return xp.concat(parts, axis=1)

    def _bind(self, sim: Simulator) -> None:
        """Ask for all that definitions read: a field that is first asked for after a step is zero there."""
        for name in ("xpos", "xquat", "xmat", "geom_xpos", "geom_xmat", "site_xpos", "site_xmat"):
            sim.bind(name)


def checked_version(version: int) -> int:
    """ValueError for a version of the reward that there is not."""
    if version not in (1, 2):
        raise ValueError(f"reward_version must be 1 or 2, got {version!r}")
    return version
