"""Evolution strategies: searching for a vector of numbers, a genome, by the values of a population around it.

    strategy = EvolutionStrategy(mean, sigma=0.1, lr=0.02)        # or CMA(mean, sigma, population)
    points = strategy.ask(rng, population)                         # (N, P), a genome each
    strategy.tell(points, values)                                  # (N,), higher is better
    strategy.mean                                                  # (P,)

The first climbs the objective smoothed by a Gaussian, J(x) = E f(x + sigma g), by the estimate of its gradient from
pairs of opposite points (Salimans et al. 2017, arXiv:1703.03864), with Adam. CMA is the library's `cma` (Hansen 2016,
arXiv:1604.00772): it also learns the shape of the Gaussian, which pays for genomes of up to some hundred numbers.
"""

from typing import Any

import numpy as np
import torch

from metarl.agents.evolution import antithetic, es_gradient, shaped
from metarl.algorithms.state import adam_state, load_adam_state


class EvolutionStrategy:
    """Adam along the estimated gradient of the smoothed objective.

    Args:
        mean: (P,) genome at the start.
        sigma: standard deviation of the population.
        lr: Adam's step size.
        shaping: of the values, see `shaped`.
    """

    def __init__(self, mean: torch.Tensor, sigma: float, lr: float, shaping: str = "rank"):
        self.genome = mean.detach().clone().requires_grad_(True)
        self.sigma, self.shaping = sigma, shaping
        self.optimizer = torch.optim.Adam([self.genome], lr=lr)

    @property
    def mean(self) -> torch.Tensor:
        return self.genome.detach().clone()

    def set_lr(self, lr: float) -> None:
        self.optimizer.param_groups[0]["lr"] = lr

    def ask(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.mean.numpy() + np.float32(self.sigma) * antithetic(rng, count, len(self.genome))

    def tell(self, points: np.ndarray, values: np.ndarray) -> None:
        noise = (points - self.mean.numpy()) / self.sigma
        gradient = es_gradient(noise, shaped(values, self.shaping), self.sigma)
        self.genome.grad = torch.from_numpy(-gradient.astype(np.float32))  # Adam descends
        self.optimizer.step()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"params.genome": self.mean, **adam_state(self.optimizer, {"genome": self.genome})}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            self.genome.copy_(state["params.genome"])
        load_adam_state(self.optimizer, {"genome": self.genome}, state)


class CMA:
    """CMA-ES of the library `cma`, as a value: between two generations it is nothing but the arrays of `state_dict`.

    Args:
        mean: (P,) genome at the start.
        sigma: step size at the start.
        population: N, the same in each generation, at least 4.
    """

    def __init__(self, mean: torch.Tensor, sigma: float, population: int):
        size, self.population = len(mean), population
        self.arrays = {
            "mean": mean.double().numpy().copy(), "sigma": np.array(sigma, np.float64),
            "covariance": np.diag(np.exp(1e-4 / size * np.arange(size))),  # not quite equal, as cma has it
            "path": np.zeros(size), "sigma_path": np.zeros(size), "generation": np.array(0, np.int64),
        }  # fmt: skip

    @property
    def mean(self) -> torch.Tensor:
        return torch.from_numpy(self.arrays["mean"].astype(np.float32))

    @property
    def sigma(self) -> float:
        return float(self.arrays["sigma"])

    def ask(self, rng: np.random.Generator, count: int) -> np.ndarray:
        values, vectors = np.linalg.eigh(self.arrays["covariance"])
        noise = rng.standard_normal((count, len(values))) * np.sqrt(np.maximum(values, 0.0))
        return (self.arrays["mean"] + self.sigma * noise @ vectors.T).astype(np.float32)

    def tell(self, points: np.ndarray, values: np.ndarray) -> None:
        search = self._library()
        search.tell(list(points.astype(np.float64)), list(-shaped(values, "none")))  # cma minimizes
        generation = self.arrays["generation"] + 1
        found = (search.mean, search.sigma, search.sm.C, search.pc, search.adapt_sigma.ps, generation)
        self.arrays = {name: np.array(value) for name, value in zip(self.arrays, found, strict=True)}

    def _library(self) -> Any:
        """cma's own optimizer in this generation."""
        import cma

        arrays = self.arrays
        search: Any = cma.CMAEvolutionStrategy(arrays["mean"], self.sigma, {
            "popsize": self.population, "verbose": -9, "verb_log": 0, "seed": np.nan,
            "randn": lambda *shape: np.zeros(shape),
        })  # fmt: skip
        search.ask()  # what it asks for is not used, but it must have asked before it is told
        generation = int(arrays["generation"])
        search.countiter, search.mean_old = generation, search.mean
        search.pc, search.adapt_sigma.initialize(search).ps = arrays["path"].copy(), arrays["sigma_path"].copy()
        search.sm.C = arrays["covariance"].copy()
        search.sm.count_tell, search.sm.last_update = generation, generation - 1
        search.sm.update_now(-1)
        return search

    def state_dict(self) -> dict[str, torch.Tensor]:
        state = {f"cma.{name}": torch.from_numpy(value.copy()) for name, value in self.arrays.items() if name != "mean"}
        return {"params.genome": torch.from_numpy(self.arrays["mean"].copy()), **state}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        names = {name: "params.genome" if name == "mean" else f"cma.{name}" for name in self.arrays}
        self.arrays = {name: state[key].numpy().copy() for name, key in names.items()}
