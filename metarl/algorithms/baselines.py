"""What meta-learning has to beat: baselines that are not trained on any task before the one they are measured in.

`scratch` gives the inner learner freshly drawn weights in each new task; `random` draws actions evenly and learns
nothing. Both cost no environment steps before evaluation, and the same ones as every method within it. The baselines
that do train beforehand are settings of other learners: see `configs/half_cheetah_mass/`.
"""

from typing import Any

import numpy as np
import torch

from metarl.agents import Adapter, Decision, Normalizer, Params
from metarl.agents.nn.params import part
from metarl.algorithms.base import Spec
from metarl.algorithms.inner_learners import make_inner
from metarl.algorithms.state import check_state
from metarl.config import Config
from metarl.envs import BatchEnv
from metarl.util.rng import stream


class Scratch:
    """The inner learner alone. Of the tasks that an adapter starts together, each has a draw of weights of its own."""

    def __init__(self, config: Config, spec: Spec):
        self.config, self.spec = config, spec
        self.inner = make_inner(config, spec)
        init = stream(config.seed, "init")
        if config.revision == 1:  # one draw for all tasks
            self.start = {f"params.{name}": value for name, value in self.inner.draw(init).items()}
        else:
            self.start = {"draws": torch.from_numpy(init.generate_state(4).astype(np.int64))}

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """Nothing: there is nothing to learn before the task."""
        return {"env_steps": 0, "diverged": 0}

    def adapter(self) -> Adapter:
        seed, start = stream(self.config.seed, "minibatches"), self.state_dict()

        def fresh(num_tasks: int) -> Params:
            seeds = [np.random.SeedSequence(start["draws"].tolist(), spawn_key=(m,)) for m in range(num_tasks)]
            each = [self.inner.draw(seed) for seed in seeds]
            return {name: torch.stack([params[name] for params in each]) for name in each[0]}

        params = fresh if "draws" in start else part(start, "params.")
        return self.inner.adapter(params, Normalizer.identity(self.spec.observation_dim, False), seed)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.start.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        check_state(self.start, state)
        self.start = {name: state[name].clone() for name in self.start}


class Random(Scratch):
    """Actions drawn evenly from the action space."""

    def adapter(self) -> Adapter:
        space = self.spec.action_space
        return RandomAdapter(space.low, space.high)


class RandomAdapter(Adapter):
    """Acts evenly between (A,) low and high; nothing changes it."""

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self.low, self.high = low, high

    def start(self, num_tasks: int) -> None:
        return None

    def act(self, state: Any, observations: np.ndarray, rng: np.random.Generator | None) -> Decision:
        shape = (*observations.shape[:2], len(self.low))
        share = np.full(shape, 0.5, np.float32) if rng is None else rng.random(shape, np.float32)
        return Decision(self.low + (self.high - self.low) * share, self.normalize(observations), state)

    def adapt(self, state: Any, rollout: Any) -> None:
        return None
