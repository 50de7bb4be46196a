"""Physics alone: what an environment's simulations were told to do, once more without anything around it.

    recorder = Recorder(env)
    collect(recorder, adapter, state, episodes, seed)
    seconds = recorder.replay()
    ratio, speed = steps_vs_physics(env, rounds=5, seconds=0.15)
"""

import statistics
import time
from typing import Any

import numpy as np
from gymnasium.vector import VectorWrapper

from metarl.envs import BatchEnv
from metarl.util.rng import stream


class Recorder(VectorWrapper):
    """The environment `env`, all of whose simulations are reset at once, and what its physics did since the last reset.

    Attributes:
        initial: the integration state that the episodes began with, a copy.
        controls: (N, U) of each step since.
    """

    def __init__(self, env: BatchEnv):
        super().__init__(env)
        self.initial, self.controls = env.batch.state.copy(), []

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # not there yet
            raise AttributeError(name)
        return getattr(self.env, name)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        result = self.env.reset(**kwargs)
        self.initial, self.controls = self.env.batch.state.copy(), []
        return result

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        result = self.env.step(actions)
        self.controls.append(self.env.batch.bind("ctrl").copy())
        return result

    def replay(self) -> float:
        """Seconds that the physics alone takes from the same states under the same controls; the next is a reset."""
        batch, ctrl, substeps = self.env.batch, self.env.batch.bind("ctrl"), self.env.family.frame_skip
        batch.state[:] = self.initial
        start = time.perf_counter()
        for control in self.controls:
            ctrl[:] = control
            batch.step(nstep=substeps)
        return time.perf_counter() - start


def steps_vs_physics(env: BatchEnv, rounds: int, seconds: float) -> tuple[float, float]:
    """Time of open-loop physics over that of the environment's steps, and those steps a second: medians of rounds.

    Under random actions in training tasks, without resets; each round takes about seconds for either.
    """
    rng = np.random.default_rng(stream(0, "bench"))
    env.set_tasks(env.space.sample(env.num_envs, "train", rng))
    ratios, speeds, steps, recorder = [], [], 3, Recorder(env)
    for i in range(rounds + 1):
        recorder.reset(seed=stream(0, "bench", i))
        actions = rng.uniform(-1, 1, (steps, env.num_envs, env.model.nu))
        start = time.perf_counter()
        for action in actions:
            recorder.step(action)
        closed = time.perf_counter() - start
        opened = recorder.replay()
        if i:
            ratios.append(opened / closed)
            speeds.append(env.num_envs * steps / closed)
        else:  # the first round warms up, and shows how many steps fit
            steps = int(np.clip(steps * seconds / closed, steps, 500))
    return statistics.median(ratios), statistics.median(speeds)
