"""Whether learners on the device learn what they learn in NumPy: the learning curves of docs/guides/gpu.md.

    python docs/results/gpu_curves.py docs/results/gpu_curves.json

Each learner trains with several seeds on a point that must find a goal, with `env.physics: mujoco` and with MuJoCo
Warp's CPU device. The mean return of each round of episodes, over seeds, in NumPy, in the first and the last iteration;
and how much higher the last is on the device, with the half width of its 99 % interval.
"""

import json
import sys
from pathlib import Path

import numpy as np

from metarl import load_config, make_learner, training_env
from metarl.algorithms.base import Spec

SMALL = ("threads=1", "meta_batch=6", "episodes=6", "env.horizon=20")
CONFIGS = ("navigation/promp", "navigation/maml")
WARP = ("env.physics=warp", "env.warp.device=cpu")
SEEDS, ITERATIONS, STUDENT = 6, 4, 4.03  # t of 5 degrees of freedom, 99 %


def curve(config: str, iterations: int, *settings: str) -> np.ndarray:
    """Mean return of each round of episodes, (iterations, rounds)."""
    loaded = load_config(config, settings)
    env = training_env(loaded)
    learner = make_learner(loaded, Spec.of(env))
    metrics = [learner.iterate(env, i) for i in range(iterations)]
    return np.array([[found[f"return_{k}"] for k in range(loaded.rounds)] for found in metrics])


def compared(config: str) -> dict[str, list[float]]:
    """The returns of the first and the last iteration."""
    runs = np.array([
        [curve(config, ITERATIONS, *SMALL, f"seed={seed}", *physics)[[0, -1]] for physics in ((), WARP)]
        for seed in range(SEEDS)
    ])  # (seeds, physics, first and last, rounds)  # fmt: skip
    first, last = runs[:, 0].mean(axis=0)
    difference = runs[:, 1, 1] - runs[:, 0, 1]
    error = STUDENT * difference.std(axis=0, ddof=1) / SEEDS**0.5
    numbers = {"first": first, "last": last, "device_minus_numpy": difference.mean(axis=0), "interval": error}
    return {name: value.round(6).tolist() for name, value in numbers.items()}


if __name__ == "__main__":
    found = {config: compared(config) for config in CONFIGS}
    settings = {"seeds": SEEDS, "iterations": ITERATIONS, "settings": [*SMALL, *WARP]}
    Path(sys.argv[1]).write_text(json.dumps(settings | {"returns": found}, indent=1) + "\n", encoding="utf-8")
