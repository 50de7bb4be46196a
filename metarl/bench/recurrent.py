"""RL² against the physics it needs, and against the recurrent PPO that there is already.

A training iteration of configs/half_cheetah_mass/rl2.yaml (trials of 2 x 200 steps, a GRU of 128 units), updates
included, beside two others on the same threads within the same minutes: `mujoco.batch.Batch.step` alone, which replays
the controls of an episode of it; and sb3-contrib's RecurrentPPO, a library's own loop over single steps, on the same
task as a Gymnasium trial, with as many units and passes over its data and otherwise its defaults.

    result = run(rounds=3)
    result["rl2_vs_physics"]             # 1 would be learning that costs nothing
    result["rl2_vs_recurrent_ppo"]
"""

import statistics
import time
from typing import cast

from metarl.agents.global_random import global_generators
from metarl.algorithms.base import Learner, Spec
from metarl.algorithms.learners import make_learner, training_env
from metarl.algorithms.rl2_config import RL2Config
from metarl.algorithms.sampling import collect
from metarl.bench.physics import record, replay
from metarl.config import Config, load_config
from metarl.envs import BatchEnv, SingleEnv, TrialEnv
from metarl.util.rng import stream

CONFIG = "half_cheetah_mass/rl2"
STEPS = 800  # that RecurrentPPO collects before an update


def run(rounds: int, config: Config | None = None, steps: int = STEPS) -> dict[str, float]:
    """Medians of ``rounds`` iterations, each after physics alone; see the module."""
    config = config or load_config(CONFIG)
    env = training_env(config)
    learner = make_learner(config, Spec.of(env))
    trained, shares = [], []
    for i in range(rounds + 1):
        alone = _physics(config, learner, env)
        start = time.perf_counter()
        metrics = learner.iterate(env, i)
        speed = metrics["env_steps"] / (time.perf_counter() - start)
        if i:  # the first warms up
            trained.append(speed)
            shares.append(speed / alone)
    ours, theirs = statistics.median(trained), recurrent_ppo(config, steps)
    return {
        "rl2_steps_per_second": ours,
        "rl2_vs_physics": statistics.median(shares),
        "recurrent_ppo_steps_per_second": theirs,
        "rl2_vs_recurrent_ppo": ours / theirs,
    }


def _physics(config: Config, learner: Learner, env: BatchEnv) -> float:
    """Environment steps per second of physics alone, through an episode."""
    adapter, seed = learner.adapter(), stream(0, "bench", 0)
    state = adapter.start(config.meta_batch)
    recording = record(env, lambda: collect(env, adapter, state, config.episodes, seed))
    return env.num_envs * len(recording.steps) / replay(env, recording)


def recurrent_ppo(config: Config, steps: int) -> float:
    """Environment steps per second of sb3-contrib's RecurrentPPO, over a round of steps and the update after it."""
    from sb3_contrib import RecurrentPPO

    settings = cast(RL2Config, config.algorithm)
    starts: list[float] = []

    def watch(local: dict, _: dict) -> bool:
        if local["n_steps"] == 0:  # the first step of a round
            starts.append(time.perf_counter())
        return len(starts) < 2

    env = TrialEnv(SingleEnv(config.env.family, horizon=config.env.horizon), settings.trial_episodes)
    with global_generators(stream(0, "bench", 1)):
        model = RecurrentPPO(
            "MlpLstmPolicy",
            env,
            n_steps=steps,
            n_epochs=settings.epochs,
            policy_kwargs={"lstm_hidden_size": settings.memory_size},
            device="cpu",
        )
        model.learn(2 * steps, callback=watch)
    return steps / (starts[1] - starts[0])
