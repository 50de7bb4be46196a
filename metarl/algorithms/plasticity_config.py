"""Settings of evolved plasticity; see `metarl.algorithms.plasticity`."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from metarl.algorithms.es_maml_config import Shaping
from metarl.config.schema import AlgorithmConfig, Config, Conflict, SearchSpace
from metarl.config.section import Float, Int
from metarl.util.optional import Extra, MissingExtra

CMA_EXTRA = Extra("evolution", "cma")


class PlasticityConfig(AlgorithmConfig):
    """Evolved plasticity: evolution finds rules by which weights, new in every trial, change while the robot acts."""

    learner: ClassVar[str] = "metarl.algorithms.plasticity:Plasticity"
    label: ClassVar[str] = "evolved plasticity"
    inner_loop: ClassVar[Literal["none"]] = "none"
    one_trial_per_episode: ClassVar[bool] = True
    weights: ClassVar[tuple[str, ...]] = ("params.",)
    training_only: ClassVar[tuple[str, ...]] = ("adam.", "cma.")

    name: Literal["plasticity"] = Field(default="plasticity", description="Which meta-learner this is.")
    share: Literal["connection", "neuron", "layer"] = Field(
        default="connection",
        description="What has a rule of its own: a connection, all connections to a neuron, or all of a layer.",
    )
    start: Literal["random", "zero"] = Field(default="random", description="The weights at the start of a trial.")
    normalize_weights: bool = Field(
        default=True, description="Divide the weights of each layer by the largest of them after each step."
    )
    feedback: bool = Field(
        default=True, description="The network is also given its action and the reward of the step before."
    )
    trial_episodes: Int = Field(
        default=2, ge=1, le=1000, description="Episodes of a trial, over which the weights are kept."
    )
    strategy: Literal["es", "cma"] = Field(
        default="es", description="es: Adam along an estimated gradient; cma: CMA-ES, for up to some hundred numbers."
    )
    init_scale: Float = Field(default=0.1, gt=0, le=100, description="Standard deviation of the rules at the start.")
    sigma: Float = Field(
        default=0.1, gt=0, le=100, description="Standard deviation of the population (cma: at the start)."
    )
    lr: Float = Field(default=0.05, gt=0, le=1000, description="Adam's step size, of es.")
    anneal: bool = Field(default=False, description="Let lr fall linearly, to zero after the last of the iterations.")
    shaping: Shaping = Field(
        default="rank", description="Of returns before a gradient is estimated: ranks, standard deviations, or none."
    )

    def variant(self, config: Config) -> str:
        return super().variant(config) + (" (CMA-ES)" if self.strategy == "cma" else "")

    def rounds(self, config: Config) -> int:
        return self.trial_episodes

    def adaptation_steps(self, config: Config) -> int:
        """Episodes of a trial after its first."""
        return self.trial_episodes - 1

    def conflicts(self, config: Config) -> Iterator[Conflict]:
        least = 4 if self.strategy == "cma" else 2
        if config.episodes < least:
            yield "episodes", config.episodes, f"at least {least} with plasticity: as many genomes live in each task"
        for key in ("init_std", "min_std", "activation"):
            if key in config.policy.model_dump(exclude_defaults=True):
                yield f"policy.{key}", getattr(config.policy, key), f"no such setting: {self.name} has tanh cells alone"
        if self.strategy == "cma" and self.anneal:
            yield "algorithm.anneal", "true", "false with strategy = cma: it has no lr"

    def problems(self, config: Config) -> Iterator[tuple[str, str]]:
        if self.strategy == "cma":
            try:
                CMA_EXTRA.require("algorithm.strategy = cma")
            except MissingExtra as error:
                yield "algorithm.strategy", str(error)

    def shared_by_ranks(self, config: Config) -> bool:
        return True

    def search_space(self, config: Config) -> SearchSpace:
        return {
            "algorithm.share": {"choice": ["connection", "neuron"]},
            "algorithm.normalize_weights": {"choice": [True, False]},
            "algorithm.init_scale": {"log_uniform": [0.01, 0.5]},
            "algorithm.sigma": {"log_uniform": [0.02, 0.3]},
            "algorithm.lr": {"log_uniform": [0.005, 0.2], "when": {"algorithm.strategy": ["es"]}},
        }
