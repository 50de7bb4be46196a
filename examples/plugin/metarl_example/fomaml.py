"""First-order MAML (Finn, Abbeel and Levine 2017; arXiv:1703.03400, section 5.2) with an Adam outer step.

Algorithm 3 of the paper, batched over tasks: sample tasks, collect episodes, adapt, collect episodes of the adapted
policies, and move the initialization against the gradient of their loss. The derivative of the adaptation itself is
left out: the gradient at the adapted weights theta' stands for the one at theta.
"""

import time

import torch

from metarl.agents import Params
from metarl.algorithms.base import Spec
from metarl.algorithms.meta_gradient import MetaGradientLearner, Round
from metarl.algorithms.state import adam_state, load_adam_state
from metarl.config import Config
from metarl.envs import BatchEnv


class FOMAML(MetaGradientLearner):
    """See the module; settings are those of `FOMAMLConfig`."""

    def __init__(self, config: Config, spec: Spec):
        super().__init__(config, spec)
        self.inner.inner_loop.first_order = True
        self.optimizer = torch.optim.Adam(self.meta.values(), lr=config.algorithm.lr)

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """One iteration of algorithm 3; returns its metrics."""
        rounds, metrics = self.inner_loops(env, iteration)  # lines 3-8
        start = time.perf_counter()
        for _ in range(self.config.algorithm.epochs):  # line 10
            gradients, loss = self.meta_gradient(rounds)
            for name, value in self.meta.items():
                value.grad = gradients[name]
            self.optimizer.step()
            metrics["objective"] = -loss
        metrics["seconds_update"] = time.perf_counter() - start
        return metrics

    def loss(self, meta: Params, rounds: list[Round]) -> torch.Tensor:
        """Negative return of the adapted policies by likelihood ratios, summed over tasks."""
        samples, statistics = rounds[-1].samples, self.outputs(meta, rounds)[-1]
        ratio = torch.exp(self.policy.distribution(statistics).log_prob(samples.actions) - samples.log_probs)
        return -(samples.weights * ratio * samples.advantages).sum()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return super().state_dict() | adam_state(self.optimizer, self.meta)

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        super().load_state_dict(state)
        load_adam_state(self.optimizer, self.meta, state)
