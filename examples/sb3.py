"""Stable-Baselines3 on robots that differ: PPO, and RecurrentPPO over trials of two episodes.

    python examples/sb3.py                           # about half an hour on a laptop

PPO learns one policy for all masses of a HalfCheetah (domain randomisation). RecurrentPPO keeps its memory over a
trial, two episodes of one mass, so it can find out the mass in the first and use it in the second (RL²).
"""

import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

from metarl import TrialVectorEnv, VectorEnvAdapter, make

FAMILY = "HalfCheetahMass"


class NewTasks(BaseCallback):
    """Another mass in each simulation, from its next episode on."""

    def __init__(self, env, rng: np.random.Generator):
        super().__init__()
        self.env, self.rng = env, rng

    def _on_rollout_start(self):
        self.env.set_tasks(self.env.space.sample(self.env.num_envs, "train", self.rng))

    def _on_step(self):
        return True


def main(robots: int = 20, horizon: int = 200, steps: int = 2_000_000) -> dict[str, float]:
    """Train both for so many steps; returns the mean return of an episode on held-out masses."""
    torch.set_num_threads(1)  # small networks: threads would wait for each other
    rng, returns = np.random.default_rng(0), {}

    env = make(FAMILY, robots, horizon=horizon, autoreset_mode="SameStep")
    vec_env = VecMonitor(VectorEnvAdapter(env))
    model = PPO("MlpPolicy", vec_env, n_steps=horizon, batch_size=robots * horizon // 4, device="cpu")
    model.learn(steps, callback=NewTasks(env, rng))
    env.set_tasks(env.space.sample(robots, "held_out", rng))
    returns["PPO"] = evaluate_policy(model, vec_env, n_eval_episodes=robots)[0]

    trials = TrialVectorEnv(make(FAMILY, robots, horizon=horizon, autoreset_mode="Disabled"), episodes=2)
    vec_env = VecMonitor(VectorEnvAdapter(trials))  # it draws a task for each trial
    model = RecurrentPPO("MlpLstmPolicy", vec_env, n_steps=2 * horizon, batch_size=robots * horizon // 4, device="cpu")
    model.learn(steps)
    returns["RecurrentPPO"] = evaluate_policy(model, vec_env, n_eval_episodes=robots)[0] / 2  # of two episodes
    print(returns)
    return returns


if __name__ == "__main__":
    main()
