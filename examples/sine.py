"""MAML on sine waves: the smallest problem on which meta-learning can be seen to work.

    python examples/sine.py                          # under a minute

A task is y = A sin(w x + b), seen at 10 points, and one gradient step must lead to the rest. The inner loop is that of
the robots' policies, with another loss. docs/results/sine.py compares four methods with published numbers.
"""

import math

import numpy as np
import torch

from metarl.agents import GaussianMLP, InnerLoop, Samples
from metarl.agents.inner_loop import per_task

NETWORK = GaussianMLP(1, 1, (40, 40), "relu")
TASKS, POINTS, STEP = 25, 10, 0.01


class Regression(InnerLoop):  # x and y are what a robot observes and does
    def loss(self, statistics, samples: Samples) -> torch.Tensor:
        return (samples.weights * (statistics.mean - samples.actions).square().sum(-1)).sum(-1)


def waves(rng: np.random.Generator):
    """A function from x (M, N, 1) to y (M, N, 1), another wave for each of the M tasks."""
    drawn = torch.from_numpy(rng.uniform([0.1, 0.8, 0.0], [5.0, 1.2, math.pi], (TASKS, 3))).float()
    a, w, b = drawn[:, None].split(1, dim=-1)
    return lambda x: a * torch.sin(w * x + b)


def points(rng: np.random.Generator, wave) -> Samples:
    x, one = torch.from_numpy(rng.uniform(-5, 5, (TASKS, POINTS, 1))).float(), torch.ones(TASKS, POINTS)
    return Samples(x, wave(x), log_probs=one, advantages=one, weights=one / POINTS)


def main(iterations: int = 2000, seed: int = 0) -> list[tuple[float, float]]:
    """Mean squared error before and after the step, of each iteration (Finn et al. 2017, algorithm 2)."""
    rng, loop, errors = np.random.default_rng(seed), Regression(NETWORK), []
    params = {name: value.requires_grad_() for name, value in NETWORK.init(rng).items()}
    optimizer = torch.optim.Adam(params.values(), lr=1e-3)
    for _ in range(iterations):
        wave, before = waves(rng), per_task(params, TASKS)
        after = loop.adapt(before, dict.fromkeys(params, STEP), points(rng, wave))[0]
        queries = points(rng, wave)
        wrong = [loop.loss(NETWORK(weights, queries.observations), queries).mean() for weights in (before, after)]
        optimizer.zero_grad()
        wrong[1].backward()  # through the step
        optimizer.step()
        errors.append([error.item() for error in wrong])
    print("error before and after one step:", np.mean(errors[-200:], axis=0).round(2))
    return errors


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
