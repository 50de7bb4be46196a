"""Evaluation against its physics: how long it takes to measure a gradient method, over bare physics of the same steps.

    run()["evaluation_vs_physics"]        # 1 would be policies, rewards and adaptation that cost nothing

200 held-out tasks of HalfCheetahMass, 5 rounds of 5 episodes in each, an adaptation step behind each but the last, and
64 x 64 policies that are another one in each task. After each round its controls are replayed by physics alone, on the
same threads; the evaluation's clock stands still meanwhile.
"""

import time

import numpy as np

from metarl.algorithms.learners import make_env, make_learner
from metarl.algorithms.promp_config import ProMPConfig
from metarl.bench.physics import Recording, replay
from metarl.config import Config, EnvConfig
from metarl.evaluation.adaptation_curve import measure
from metarl.runs.run import threads
from metarl.util.rng import stream
from metarl.util.torch_runtime import torch_threads

TASKS, ROUNDS, EPISODES = 200, 5, 5


def run(tasks: int = TASKS, config: Config | None = None) -> dict[str, float]:
    """Seconds of one evaluation and of its physics, and their ratio; a short one before warms up."""
    config = config or Config(env=EnvConfig(family="HalfCheetahMass", action_scale=10), algorithm=ProMPConfig())
    with torch_threads(threads(config)):
        _Pair(config, 2).run()
        pair = _Pair(config, tasks)
        pair.run()
    return {
        "evaluation_vs_physics": pair.evaluation / pair.physics,
        "evaluation_seconds": pair.evaluation,
        "evaluation_physics_seconds": pair.physics,
    }


class _Pair:
    """One evaluation, its steps recorded and replayed round by round; the seconds of both."""

    def __init__(self, config: Config, tasks: int):
        self.adapter = make_learner(config).adapter()
        self.env = make_env(config, tasks * EPISODES)
        self.tasks = self.env.space.sample(tasks, "held_out", np.random.default_rng(stream(0, "bench")))
        self.evaluation = self.physics = 0.0
        self.recording = Recording()

    def run(self) -> None:
        with self.recording.of(self.env):
            self._start = time.perf_counter()
            measure(
                self.adapter, lambda num_envs: self.env, self.tasks, steps=ROUNDS - 1, episodes=EPISODES, seed=0,
                progress=self._after_round,
            )  # fmt: skip
            self.evaluation += time.perf_counter() - self._start

    def _after_round(self, done: int, total: int) -> None:
        self.evaluation += time.perf_counter() - self._start
        self.physics += replay(self.env, self.recording)  # the next round begins with a reset
        self.recording.steps.clear()
        self._start = time.perf_counter()
