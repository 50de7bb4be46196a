"""Physics alone: what an environment's simulations were told to do, once more without anything around it.

    initial, controls = record(env, lambda: collect(env, adapter, state, episodes, seed))
    seconds = replay(env, initial, controls)
    ratio, speed = steps_vs_physics(env, rounds=5, seconds=0.15)
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from metarl.envs import BatchEnv
from metarl.util.rng import stream


def record(env: BatchEnv, act: Callable[[], object]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The integration state before the first step of what ``act`` does, and the controls of each step."""
    family, initial, controls = env.family, [], []
    advance = type(family).advance.__get__(family)

    def recording(batch, ctrl, ids):
        if not controls:
            initial.append(batch.state.copy())
        controls.append(ctrl.copy())
        advance(batch, ctrl, ids)

    family.advance = recording
    try:
        act()
    finally:
        del family.advance
    return initial[0], controls


def replay(env: BatchEnv, initial: np.ndarray, controls: list[np.ndarray]) -> float:
    """Seconds that the physics alone takes from the same states under the same controls."""
    batch, ctrl, substeps = env.batch, env.batch.bind("ctrl"), env.family.frame_skip
    batch.state[:] = initial
    start = time.perf_counter()
    for control in controls:
        ctrl[:] = control
        batch.step(nstep=substeps)
    return time.perf_counter() - start


def steps_vs_physics(env: BatchEnv, rounds: int, seconds: float) -> tuple[float, float]:
    """Time of open-loop physics over that of the environment's steps, and those steps a second: medians of rounds.

    Under random actions in training tasks, without resets; each round takes about seconds for either.
    """
    rng = np.random.default_rng(stream(0, "bench"))
    env.set_tasks(env.space.sample(env.num_envs, "train", rng))
    ratios, speeds, steps = [], [], 3
    for i in range(rounds + 1):
        env.reset(seed=stream(0, "bench", i))
        actions = rng.uniform(-1, 1, (steps, env.num_envs, env.model.nu))

        def walk(actions=actions):
            for action in actions:
                env.step(action)

        start = time.perf_counter()
        initial, controls = record(env, walk)
        closed = time.perf_counter() - start
        opened = replay(env, initial, controls)
        if i:
            ratios.append(opened / closed)
            speeds.append(env.num_envs * steps / closed)
        else:  # the first round warms up, and shows how many steps fit
            steps = int(np.clip(steps * seconds / closed, steps, 500))
    return statistics.median(ratios), statistics.median(speeds)
