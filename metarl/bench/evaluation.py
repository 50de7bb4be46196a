"""Evaluation against its physics: how long it takes to measure a gradient method, over bare physics of the same steps.

    run()["evaluation_vs_physics"]        # 1 would be policies, rewards and adaptation that cost nothing

200 held-out tasks of HalfCheetahMass, 5 rounds of 5 episodes in each, an adaptation step behind each but the last, and
64 x 64 policies that are another one in each task. After each round its controls are replayed by physics alone, on the
same threads; the evaluation's clock stands still meanwhile.
"""

import time

import numpy as np

from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_env, make_learner
from metarl.algorithms.promp_config import ProMPConfig
from metarl.bench.physics import Recorder
from metarl.config import Config, EnvConfig
from metarl.evaluation.adaptation_curve import evaluate
from metarl.runs.run import threads
from metarl.util.rng import stream
from metarl.util.torch_runtime import torch_threads

TASKS, ROUNDS, EPISODES = 200, 5, 5


def run(tasks: int = TASKS, config: Config | None = None) -> dict[str, float]:
    """Seconds of one evaluation and of its physics, and their ratio; a short one before warms up."""
    config = config or Config(env=EnvConfig(family="HalfCheetahMass", action_scale=10), algorithm=ProMPConfig())
    with torch_threads(threads(config)):
        _seconds(config, 2)
        evaluation, physics = _seconds(config, tasks)
    return {
        "evaluation_vs_physics": evaluation / physics,
        "evaluation_seconds": evaluation,
        "evaluation_physics_seconds": physics,
    }


def _seconds(config: Config, count: int) -> tuple[float, float]:
    """Of an evaluation in so many tasks, and of its physics, which is replayed after each round."""
    env = Recorder(make_env(config, count * EPISODES))
    adapter = make_learner(config, Spec.of(env)).adapter()
    tasks = env.space.sample(count, "held_out", np.random.default_rng(stream(0, "bench")))
    physics: list[float] = []
    start = time.perf_counter()
    evaluate(
        adapter, lambda num_envs: env, tasks, steps=ROUNDS - 1, episodes=EPISODES, seed=0,
        progress=lambda done, total: physics.append(env.replay()),
    )  # fmt: skip
    return time.perf_counter() - start - sum(physics), sum(physics)
