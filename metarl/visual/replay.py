"""The same task before and after adaptation, recorded from the same initial state.

    from metarl.visual.replay import extreme_tasks, record
    replay = record(adapter, lambda n: make_env(config, n), extreme_tasks(tasks), steps=1, episodes=20, seed=0)
    write_html(replay, "replay.html")        # metarl.visual.html: opens in any browser, needs no OpenGL here
    write_video(replay, "replay.mp4")        # metarl.visual.video: needs OpenGL, in a process of its own

A recording holds positions, not pictures: `poses` turns them into those of all bodies, with the model of each task.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from scipy.spatial.distance import cdist

from metarl.agents import Adapter
from metarl.algorithms.episode import episode
from metarl.algorithms.sampling import collect
from metarl.envs import BatchEnv, Tasks
from metarl.envs.actuators import robot_body
from metarl.evaluation.statistics import format_number
from metarl.util.rng import stream

ADAPTING, SHOWN, NOISE = 0, 1, 2  # the kinds of "replay" streams
MAX_FPS = 30
LINE, LINES = 34, 4  # characters in a line that names a task's parameters, and lines at most
COLUMNS = ("before adaptation", "after adaptation")
COLOURS = ((86, 110, 140), (213, 94, 0))  # of the columns: slate, vermilion; the colour-blind can tell them apart


@dataclass(frozen=True)
class Replay:
    """One episode before and one after adaptation in each of M tasks; column 0 is before, 1 after.

    Attributes:
        models: the model of each task.
        camera: name of the models' camera to look through.
        qpos: (2, M, T + 1, nq) positions, nq the largest of the models; those after an episode's end repeat its last.
        rewards: (2, M, T), zero after the end.
        lengths: (2, M) steps until the end.
        dt: seconds in a step.
        steps, episodes: adaptation steps, and episodes in each of them.
        deterministic: whether the episodes shown took mean actions.
        pooled: whether a step is a change of weights after its episodes, or an episode that is remembered.
        names: what the tasks are called; "task 1", "task 2" if not given.
    """

    tasks: Tasks
    models: tuple[mujoco.MjModel, ...]
    camera: str
    qpos: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    dt: float
    steps: int
    episodes: int
    deterministic: bool
    pooled: bool = True
    names: tuple[str, ...] = ()

    @property
    def follows(self) -> bool:
        """Whether the models' camera follows the robot, as it does where robots run far."""
        model = self.models[0]
        camera = mujoco.mj_name2id(model, int(mujoco.mjtObj.mjOBJ_CAMERA), self.camera)
        moving = (int(mujoco.mjtCamLight.mjCAMLIGHT_TRACK), int(mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM))
        return camera >= 0 and int(model.cam_mode[camera]) in moving

    @property
    def title(self) -> str:
        unit = "adaptation step" if self.pooled else "episode"
        return f"{self.tasks.space.family}: the same task before and after {self.steps} {unit}{_s(self.steps)}"

    @property
    def caption(self) -> str:
        """What is shown, in one line."""
        lived = self.steps * self.episodes
        actions = "mean actions, without exploration noise" if self.deterministic else "sampled actions"
        return (
            f"In between: {lived} episode{_s(lived)} of experience in the task."
            f" One episode each from the same initial state, {actions}."
        )

    @property
    def headings(self) -> list[tuple[str, tuple[int, int, int]]]:
        """What each column is called, and its colour."""
        return list(zip(COLUMNS, COLOURS, strict=True))

    def root(self, task: int) -> int:
        """The first body of the robot that joints move."""
        return robot_body(self.models[task])

    @property
    def frames(self) -> list[int]:
        """The steps to show: the first, the last, and between them no more than look smooth."""
        end = self.rewards.shape[2]
        return [*range(0, end, max(1, round(1 / (MAX_FPS * self.dt)))), end]

    def text(self, column: int, task: int, t: int, x: float) -> str:
        """What stands below an episode at step t, with the robot at x (m): its task, and how far it has come."""
        total = format_number(float(self.rewards[column, task, :t].sum()))
        where = f"{x:+.1f} m, " if self.follows else ""
        name = self.names[task] if self.names else f"task {task + 1}"
        about = f"{name}: {self.tasks.describe(task)}"
        parameters = textwrap.wrap(about, LINE, max_lines=LINES, placeholder=" ...")
        return "\n".join([*parameters, f"{where}return {total} in {t * self.dt:.1f} s"])

    def poses(self, column: int, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions (T + 1, nbody, 3) and rotation matrices (T + 1, nbody, 3, 3) of all bodies."""
        model = self.models[task]
        data = mujoco.MjData(model)
        frames = self.qpos[column, task]
        xpos = np.empty((len(frames), model.nbody, 3))
        xmat = np.empty((len(frames), model.nbody, 3, 3))
        for t, qpos in enumerate(frames):
            data.qpos[:] = qpos[: model.nq]
            mujoco.mj_kinematics(model, data)
            xpos[t], xmat[t] = data.xpos, data.xmat.reshape(-1, 3, 3)
        return xpos, xmat

    def cells(self) -> Iterator[tuple[int, int]]:
        """(column, task) of each episode."""
        return ((column, task) for task in range(len(self.tasks)) for column in range(2))


def record(
    adapter: Adapter,
    make_env: Callable[[int], BatchEnv],
    tasks: Tasks,
    *,
    steps: int,
    episodes: int,
    seed: int,
    deterministic: bool = True,
) -> Replay:
    """Adapt to the tasks, and record an episode of each before and after.

    Args:
        adapter: whoever was trained.
        make_env: from a number of simulations to an environment with autoreset disabled.
        tasks: M tasks.
        steps: adaptation steps between before and after.
        episodes: of experience for each step; one for an adapter that remembers.
        seed: of everything random here.
        deterministic: show mean actions. The experience to adapt from is always of sampled ones.
    """
    episodes = episodes if adapter.shares_experience else 1
    env = make_env(len(tasks) * episodes)
    env.set_tasks(tasks.repeat(episodes))
    before = after = adapter.start(len(tasks))
    for step in range(steps):
        after = adapter.adapt(after, collect(env, adapter, after, episodes, stream(seed, "replay", ADAPTING, step)))

    env = make_env(len(tasks))
    env.set_tasks(tasks)
    shown = [_episode(env, adapter, state, seed, deterministic) for state in (before, after)]
    states, rewards, lengths = (np.stack(parts) for parts in zip(*shown, strict=True))
    env.reset(seed=stream(seed, "replay", SHOWN))
    models = tuple(env.shown_model(i) for i in range(len(tasks)))
    end, nq = int(lengths.max()), max(model.nq for model in models)
    return Replay(
        tasks=tasks,
        models=models,
        camera=env.family.camera,
        qpos=states[:, :, : end + 1, :nq],
        rewards=rewards[:, :, :end],
        lengths=lengths,
        dt=env.dt,
        steps=steps,
        episodes=episodes,
        deterministic=deterministic,
        pooled=adapter.shares_experience,
    )


def _episode(
    env: BatchEnv, adapter: Adapter, state: Any, seed: int, deterministic: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States (M, T + 1, nq + ...), rewards (M, T) and lengths (M,) of one episode in each simulation; T the horizon."""
    noise = None if deterministic else np.random.default_rng(stream(seed, "replay", NOISE))
    observations, _ = env.reset(seed=stream(seed, "replay", SHOWN))
    frames, rewards = [env.state()], []
    lengths = np.zeros(env.num_envs, np.int64)
    for step in episode(env, adapter, state, 1, observations, noise):
        # a diverged simulation has been reset: what it shows is not where the robot was
        moved = (step.running & ~step.diverged)[:, 0]
        frames.append(np.where(moved[:, None], env.state(), frames[-1]))
        rewards.append(np.where(moved, step.rewards[:, 0], 0.0))
        lengths += step.running[:, 0]
    left = ((0, 0), (0, env.horizon - len(rewards)))
    return np.pad(np.stack(frames, axis=1), (*left, (0, 0)), "edge"), np.pad(np.stack(rewards, axis=1), left), lengths


def extreme_tasks(tasks: Tasks) -> Tasks:
    """The two tasks that differ most, each parameter in units of its spread among them; one if all are the same."""
    spread = np.ptp(tasks.values, axis=0)
    scaled = tasks.values / np.where(spread > 0, spread, 1.0)
    # for each parameter its extremes, so that the search stays small for any number of tasks
    candidates = np.unique(np.concatenate([scaled.argmin(0), scaled.argmax(0), np.arange(min(len(tasks), 200))]))
    distances = cdist(scaled[candidates], scaled[candidates])
    first, second = np.unravel_index(distances.argmax(), distances.shape)
    if distances[first, second] == 0.0:
        return tasks[0]
    pair = sorted((candidates[first], candidates[second]), key=lambda i: tuple(-tasks.values[i]))
    return tasks[np.array(pair)]


def _s(count: int) -> str:
    return "" if count == 1 else "s"
