"""Settings of the baselines that are not trained; see `metarl.algorithms.baselines`."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from metarl.config.schema import AlgorithmConfig, Config, Conflict


class Untrained(AlgorithmConfig):
    """A baseline that learns nothing before the new task."""

    trained: ClassVar[bool] = False
    weights: ClassVar[tuple[str, ...]] = ("params.",)

    def rounds(self, config: Config) -> int:
        return 0


class ScratchConfig(Untrained):
    """Baseline: the inner learner from freshly drawn weights; nothing is learned before the new task."""

    learner: ClassVar[str] = "metarl.algorithms.baselines:Scratch"
    inner_loop: ClassVar[Literal["adapted"]] = "adapted"

    name: Literal["scratch"] = Field(default="scratch", description="Which meta-learner this is.")

    def conflicts(self, config: Config) -> Iterator[Conflict]:
        if config.policy.normalize_observations and config.revision > 1:
            expected = "false with scratch: nothing was seen before the task to normalize by"
            yield "policy.normalize_observations", "true", expected

    def variant(self, config: Config) -> str:
        return f"{config.inner.sb3.algorithm or 'policy gradient'} from scratch"


class RandomConfig(Untrained):
    """Baseline: actions drawn evenly, and nothing learned at all."""

    learner: ClassVar[str] = "metarl.algorithms.baselines:Random"
    label: ClassVar[str] = "random actions"
    adapts: ClassVar[bool] = False
    inner_loop: ClassVar[Literal["none"]] = "none"

    name: Literal["random"] = Field(default="random", description="Which meta-learner this is.")

    def inner_conflicts(self, config: Config) -> Iterator[Conflict]:
        """Any gradient steps are taken and not read, so that a method's config with another name is its baseline."""
        if config.inner.sb3.algorithm:
            yield "inner.sb3.algorithm", config.inner.sb3.algorithm, f"null: {self.name} has no inner loop"
