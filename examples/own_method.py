"""A method of one's own in one file: hill climbing on the return after adaptation, without a meta-gradient.

    python examples/own_method.py       # a minute on a laptop; `metarl --plugin own_method` knows it, too

Each iteration adds noise to the initial weights, adapts them in new tasks as MAML does, and keeps the noise if the
return after adaptation is the highest so far. `examples/plugin` is a package to install.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

import metarl
from metarl.algorithms.meta_gradient import MetaGradientLearner
from metarl.algorithms.meta_gradient_config import MetaGradientConfig
from metarl.util.rng import stream


class HillClimbConfig(MetaGradientConfig):
    learner: ClassVar[str] = "own_method:HillClimb"
    name: Literal["hill-climb"] = "hill-climb"
    noise: float = Field(default=0.05, gt=0, description="Standard deviation of the noise on each weight.")


class HillClimb(MetaGradientLearner):
    best = float("-inf")  # return after adaptation

    def iterate(self, env, iteration):
        rng = np.random.default_rng(stream(self.config.seed, "algorithm", iteration))
        kept = [value.data.clone() for value in self.meta.values()]
        for value in self.meta.values():
            value.data += self.config.algorithm.noise * torch.from_numpy(rng.standard_normal(value.shape)).float()
        _, metrics = self.inner_loops(env, iteration)
        after = metrics[f"return_{self.config.inner.steps}"]
        for value, old in zip(self.meta.values(), kept, strict=True):
            value.data = value.data if after > self.best else old
        self.best = max(after, self.best)
        return metrics

    def state_dict(self):
        return super().state_dict() | {"best": torch.tensor(self.best, dtype=torch.float64)}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.best = float(state["best"])


def main(folder="runs/own_method", **settings):
    settings = {"env": {"family": "Navigation2D"}, "inner": {"lr": 0.3}, "iterations": 100} | settings
    config = metarl.Config(algorithm={"name": "hill-climb"}, wandb={"mode": "disabled"}, **settings)
    return metarl.evaluate(metarl.train(config, folder), "held_out")


metarl.register("metarl.algorithms", "hill-climb", "own_method:HillClimbConfig")
if __name__ == "__main__":
    print(main().sentence)
