"""What the settings of gradient-based meta-learners share; see `metarl.algorithms.meta_gradient`."""

from typing import ClassVar

from metarl.config.schema import AlgorithmConfig, Config


class MetaGradientConfig(AlgorithmConfig):
    """An outer loop that differentiates through inner gradient steps."""

    weights: ClassVar[tuple[str, ...]] = ("meta.",)
    on_device: ClassVar[bool] = True

    def title(self, config: Config) -> str:
        if self.oracle and not config.inner.steps and not config.evaluation.steps:
            return "oracle"
        return super().title(config)

    def shared_by_ranks(self, config: Config) -> bool:
        return True

    def variant(self, config: Config) -> str:
        """Without inner steps it is no meta-learning: one policy for all tasks, as it is or fine-tuned in a new one."""
        if config.inner.steps:
            return super().variant(config)
        return "fine-tuned" if config.evaluation.steps else "domain-randomized"
