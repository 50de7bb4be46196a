"""Settings of Reptile; see `metarl.algorithms.reptile`."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from metarl.config.schema import AlgorithmConfig, Config, Conflict, SearchSpace
from metarl.config.section import Float


class ReptileConfig(AlgorithmConfig):
    """Reptile: the weights move toward the average of those that the inner learner made of them in each task."""

    learner: ClassVar[str] = "metarl.algorithms.reptile:Reptile"
    label: ClassVar[str] = "Reptile"
    inner_loop: ClassVar[Literal["adapted"]] = "adapted"
    weights: ClassVar[tuple[str, ...]] = ("params.", "average.")
    training_only: ClassVar[tuple[str, ...]] = ("velocity.",)

    name: Literal["reptile"] = Field(default="reptile", description="Which meta-learner this is.")
    lr: Float = Field(default=1.0, gt=0, le=1000, description="Step toward that average; 1: all the way.")
    anneal: bool = Field(default=False, description="Let lr fall linearly, to zero after the last of the iterations.")
    momentum: Float = Field(default=0.0, ge=0, lt=1, description="Share of the previous step that goes on.")
    average: Float = Field(
        default=0.0, ge=0, lt=1,
        description="Share of the past in the moving average of weights that is tested; 0: the newest.",
    )

    def shared_by_ranks(self, config: Config) -> bool:
        return not config.inner.sb3.algorithm  # its streams are named by the task's number in this process

    def variant(self, config: Config) -> str:
        return f"{super().variant(config)} over {config.inner.sb3.algorithm or 'policy gradient'}"

    def rounds(self, config: Config) -> int:
        return config.inner.steps

    def conflicts(self, config: Config) -> Iterator[Conflict]:
        if config.inner.steps == 0:
            yield "inner.steps", 0, "at least 1 with reptile: it learns from what adaptation does"

    def search_space(self, config: Config) -> SearchSpace:
        return {
            "algorithm.lr": {"uniform": [0.2, 1.0]},
            "algorithm.momentum": {"choice": [0.0, 0.5, 0.9]},
            "algorithm.average": {"choice": [0.0, 0.9]},
        }
