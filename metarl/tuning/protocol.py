"""What every strategy is given: validation tasks, environment steps in training, episodes in a new task.

    tasks = validation_tasks(config, 20)              # never held out, never extrapolation
    config = fitted(config, chosen, base)             # as many iterations and adaptation steps as the budget buys
    score = measure(adapter, config, tasks)

Training: strategies differ in tasks, episodes and inner steps, hence in environment steps an iteration; each is
trained for as many iterations as come nearest to the environment steps of the config that the search began with.
Adaptation: one that takes K episodes a step takes as many steps as fit into evaluation.steps * evaluation.episodes of
that config. All are measured with the same seed, so in the same tasks from the same initial states.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from metarl.agents import Adapter
from metarl.algorithms.learners import make_env
from metarl.config import Config, changed
from metarl.envs import Tasks
from metarl.evaluation.adaptation_curve import measure as measure_adapter
from metarl.util.errors import UserError
from metarl.util.rng import stream

MAX_STEPS = 100  # of adaptation; the largest that a config may have
_VALIDATION = 0


class Score(NamedTuple):
    """What a strategy earned in the validation tasks.

    Attributes:
        value: mean over tasks of the return after adaptation.
        curve: the same after 0, 1, ... steps.
        env_steps: lived in the tasks, all steps together.
    """

    value: float
    curve: tuple[float, ...]
    env_steps: int


def validation_tasks(config: Config, count: int) -> Tasks:
    """Tasks of the validation split; of the training split where the config repeats runs of before it was there."""
    space = config.env.load_family().space
    split = "validation" if "validation" in space.splits else "train"
    return space.sample(count, split, np.random.default_rng(stream(config.seed, "tuning", _VALIDATION)))


def steps_per_iteration(config: Config) -> int:
    """Environment steps of an iteration in which no episode ends early."""
    env = config.env
    horizon = env.horizon or env.load_family().horizon
    return config.rounds * config.meta_batch * config.episodes * horizon


def fitted(config: Config, chosen: Mapping[str, Any], base: Config) -> Config:
    """The base's budget of environment steps in training and of episodes in a task, spent by another config."""
    values: dict[str, Any] = {}
    if steps_per_iteration(config):
        values["iterations"] = max(1, round(base.iterations * steps_per_iteration(base) / steps_per_iteration(config)))
    if config.algorithm.one_trial_per_episode:  # a step of adaptation is an episode of each trial
        return changed(config, values)
    budget, episodes = base.evaluation.steps * base.evaluation.episodes, config.evaluation.episodes
    if episodes > budget > 0:
        raise UserError(f"evaluation.episodes: got {episodes}, expected at most {budget}, which are all the episodes")
    most = min(MAX_STEPS, budget // episodes)
    values["evaluation.steps"] = min(config.evaluation.steps, most) if "evaluation.steps" in chosen else most
    return changed(config, values)


def measure(adapter: Adapter, config: Config, tasks: Tasks) -> Score:
    """The return after adaptation; UserError if the physics broke down in every episode."""
    settings = config.evaluation
    result = measure_adapter(
        adapter,
        lambda num_envs: make_env(config, num_envs),
        tasks,
        steps=settings.steps,
        episodes=settings.episodes,
        seed=config.seed,
        env=config.env,
        split="train",
    )
    if np.isnan(result.per_task[-1]).any():
        raise UserError("in a validation task the physics broke down in every episode after adaptation")
    curve = tuple(float(value) for value in np.nanmean(result.per_task, axis=1))
    return Score(curve[-1], curve, int(result.env_steps.sum()))
