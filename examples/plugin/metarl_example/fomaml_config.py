"""Settings of first-order MAML. This file imports no PyTorch: `metarl --help` and reading configs do without."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from metarl.algorithms.meta_gradient_config import MetaGradientConfig
from metarl.config.schema import Config, Conflict, SearchSpace
from metarl.config.section import Float, Int


class FOMAMLConfig(MetaGradientConfig):
    """First-order MAML: the gradient after adaptation, taken at the adapted weights, moves the initialization."""

    learner: ClassVar[str] = "metarl_example.fomaml:FOMAML"
    label: ClassVar[str] = "FOMAML"

    name: Literal["fomaml"] = Field(default="fomaml", description="Which meta-learner this is.")
    lr: Float = Field(default=1e-3, gt=0, le=10, description="Adam's step size in the outer update.")
    epochs: Int = Field(default=1, ge=1, le=100, description="Adam steps in an iteration, on the same episodes.")

    def conflicts(self, config: Config) -> Iterator[Conflict]:
        if config.inner.steps == 0:
            yield "inner.steps", 0, "at least 1 with fomaml: there is no gradient after adaptation without any"

    def search_space(self, config: Config) -> SearchSpace:
        return {"algorithm.lr": {"log_uniform": [2e-4, 5e-3]}, "algorithm.epochs": {"int": [1, 5]}}
