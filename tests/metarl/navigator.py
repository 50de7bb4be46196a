"""Stand-ins for a trained method, simple enough that a test can work out by hand what they must score."""

import numpy as np
from gymnasium.vector import AutoresetMode

from metarl.agents import Adapter, Decision
from metarl.envs import make

SPEED = 0.1  # m a step, the most that the environment allows


def make_env(num_envs, family="Navigation2D", horizon=25):
    return make(family, num_envs, horizon=horizon, autoreset_mode=AutoresetMode.DISABLED, num_threads=1)


class Navigator(Adapter):
    """Wanders on a curve at first; then works out from positions and distances where each goal is, and goes there.

    The state is the goal of each task, (M, 2), NaN while unknown. `confuse` gives each task its neighbour's experience.
    """

    def __init__(self, confuse=False):
        self.confuse = confuse

    def start(self, num_tasks):
        return np.full((num_tasks, 2), np.nan)

    def act(self, state, observations, rng):
        angle = 8.0 * np.linalg.norm(observations, axis=-1)
        wander = 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        if rng is not None:
            wander = wander + 0.3 * rng.standard_normal(wander.shape)
        towards = np.clip((state[:, None] - observations) / SPEED, -1.0, 1.0)
        actions = np.where(np.isnan(state[:, None]), wander, towards).astype(np.float32)
        return Decision(actions, observations.astype(np.float32), state)

    def adapt(self, state, rollout):
        goals = np.empty_like(state)
        for m in range(len(state)):
            # |p - g|^2 = |p|^2 - 2 p.g + |g|^2 is linear in (g, |g|^2); the reward at t is of the position at t + 1
            known = rollout.valid[m, 1:]
            positions = rollout.observations[m, 1:][known].astype(float)
            distances = -rollout.rewards[m, :-1][known]
            left = np.column_stack([-2 * positions, np.ones(len(positions))])
            right = distances**2 - (positions**2).sum(-1)
            # a straight walk to a known goal tells less than what it is based on
            goals[m] = np.linalg.lstsq(left, right, rcond=None)[0][:2] if np.isnan(state[m]).any() else state[m]
        return np.roll(goals, 1, axis=0) if self.confuse else goals


def walk(goal, steps):
    """Return of going straight to a known goal, action by action."""
    position, total = np.zeros(2), 0.0
    for _ in range(steps):
        position = position + np.clip(goal - position, -SPEED, SPEED)
        total -= np.hypot(*(position - goal))
        if (np.abs(position - goal) < 0.01).all():
            break
    return total
