"""Meta-World's ML1, ML10 and ML45 as families.

    env = make("MetaWorldML1", num_envs=40, env_name="push-v3")              # needs pip install '.[metaworld]'
    env.set_tasks(env.space.sample(2, "train", np.random.default_rng(0)).repeat(20))
    observation, _ = env.reset(seed=0)                                       # (40, 39), the goal's three numbers 0
    observation, reward, terminated, truncated, info = env.step(actions)     # actions (40, 4)
    info["success"]                                                          # (40,): solved at any step so far

Every episode lasts its whole horizon, solved or not, and info["success"] is there for each: an average over simulations
at the end of the episodes counts every one that was started. (Meta-World's own evaluation ends an episode that succeeds
and stops at a number of finished ones, so it counts more of the fast, which are the successful.)

Nothing is random but the task: Meta-World starts each episode of a task in the same state.
"""

import numpy as np

from ..family import Family
from ..mixed_env import Mixture
from .sawyer import CAMERA, METAWORLD, Sawyer, checked_version
from .tasks import GoalSpace, ml1, ml10, ml45, name_of


class MetaWorldML1(Sawyer):
    """One environment of Meta-World, a hidden goal; 50 goals to train on, 50 others to test."""

    name = "MetaWorldML1"

    def __init__(self, env_name: str = "reach-v3", goal_seed: int = 0, reward_version: int = 2):
        super().__init__(env_name, ml1(env_name, goal_seed), reward_version)


class _Benchmark(Mixture):
    """Several environments of Meta-World."""

    space: GoalSpace
    actuated = False
    licence = Sawyer.licence
    extra = METAWORLD
    frame_skip = Sawyer.frame_skip
    horizon = Sawyer.horizon
    camera = CAMERA

    def __init__(self, space: GoalSpace, reward_version: int):
        self.space, self._version = space, checked_version(reward_version)

    def kinds(self, values: np.ndarray) -> np.ndarray:
        return values[:, 0]

    def member(self, kind: float) -> Family:
        return Sawyer(name_of(kind), self.space, self._version)


class MetaWorldML10(_Benchmark):
    """Ten environments of Meta-World with 50 hidden goals each to train on, five others to test."""

    name = "MetaWorldML10"

    def __init__(self, goal_seed: int = 0, reward_version: int = 2):
        super().__init__(ml10(goal_seed), reward_version)


class MetaWorldML45(_Benchmark):
    """Forty-five environments of Meta-World with 50 hidden goals each to train on, five others to test."""

    name = "MetaWorldML45"

    def __init__(self, goal_seed: int = 0, reward_version: int = 2):
        super().__init__(ml45(goal_seed), reward_version)
