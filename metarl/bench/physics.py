"""Physics alone: what an environment's simulations were told to do, once more without anything around it.

    recording = record(env, lambda: collect(env, adapter, state, episodes, seed))
    seconds = replay(env, recording)
    ratio, speed = steps_vs_physics(env, rounds=5, seconds=0.15)
"""

import contextlib
import copy
import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from metarl.envs import BatchEnv, MixedEnv
from metarl.envs.divergence import quiet
from metarl.util.rng import stream


@contextlib.contextmanager
def watched(env: BatchEnv, around: Callable[[Callable[[], None], np.ndarray, np.ndarray | None], None]):
    """Call around(step, ctrl, ids) for each step of the physics of an environment; step() does it.

    On a copy of its family: other environments may share the family itself.
    """
    family, env.family = env.family, copy.copy(env.family)

    def advance(sim, ctrl, ids):
        around(functools.partial(family.advance, sim, ctrl, ids), ctrl, ids)

    env.family.advance = advance
    try:
        yield
    finally:
        env.family = family


@dataclass
class Recording:
    """The integration state before the first step, and the controls (N, A) and simulations of each step."""

    initial: np.ndarray | None = None
    steps: list[tuple[np.ndarray, np.ndarray | None]] = field(default_factory=list)

    def of(self, env: BatchEnv):
        """Record, as a context, what env does."""

        def around(step, ctrl, ids):
            if not self.steps:
                self.initial = env.batch.state.copy()
            self.steps.append((ctrl.copy(), ids))
            step()

        return watched(env, around)


def record(env: BatchEnv, act: Callable[[], object]) -> Recording:
    """What the physics is asked to do while ``act`` does what it does."""
    recording = Recording()
    with recording.of(env):
        act()
    return recording


def replay(env: BatchEnv, recording: Recording) -> float:
    """Seconds that the physics alone takes from the same states under the same controls."""
    batch, family = env.batch, env.family
    batch.state[:] = recording.initial
    with quiet():
        start = time.perf_counter()
        for control, ids in recording.steps:
            family.command(batch, control, ids)
            batch.step(ids, nstep=family.frame_skip)
        return time.perf_counter() - start


def parts_of(env: BatchEnv | MixedEnv) -> list[BatchEnv]:
    """What an environment of several models is made of; one of one model is its own part."""
    return list(env.parts.values()) if isinstance(env, MixedEnv) else [env]


def steps_vs_physics(env: BatchEnv | MixedEnv, rounds: int, seconds: float) -> tuple[float, float]:
    """Time of open-loop physics over that of the environment's steps, and those steps a second: medians of rounds.

    Under random actions in training tasks, without resets: the family should be endless. Each round takes about seconds
    for either.
    """
    rng = np.random.default_rng(stream(0, "bench"))
    env.set_tasks(env.space.sample(env.num_envs, "train", rng))
    ratios, speeds, steps = [], [], 3
    for i in range(rounds + 1):
        env.reset(seed=stream(0, "bench", i))
        actions = rng.uniform(-1, 1, (steps, env.num_envs, len(env.single_action_space.low)))

        def walk(actions=actions):
            for action in actions:
                env.step(action)

        parts = parts_of(env)
        recordings = [Recording() for _ in parts]
        with contextlib.ExitStack() as stack:
            for part, recording in zip(parts, recordings, strict=True):
                stack.enter_context(recording.of(part))
            start = time.perf_counter()
            walk()
            closed = time.perf_counter() - start
        opened = sum(replay(part, recording) for part, recording in zip(parts, recordings, strict=True))
        if i:
            ratios.append(opened / closed)
            speeds.append(env.num_envs * steps / closed)
        else:  # the first round warms up, and shows how many steps fit
            steps = int(np.clip(steps * seconds / closed, steps, 500))
    return statistics.median(ratios), statistics.median(speeds)
