"""Settings of ES-MAML; see `metarl.algorithms.es_maml`."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from metarl.config.schema import AlgorithmConfig, Config, Conflict, SearchSpace
from metarl.config.section import Float

Shaping = Literal["rank", "std", "none"]


class ESMAMLConfig(AlgorithmConfig):
    """ES-MAML: evolution strategies over initializations, which adapt by trying weights around them."""

    learner: ClassVar[str] = "metarl.algorithms.es_maml:ESMAML"
    label: ClassVar[str] = "ES-MAML"
    inner_loop: ClassVar[Literal["none"]] = "none"  # none of those with gradients of the policy: `operator` is its own
    weights: ClassVar[tuple[str, ...]] = ("params.",)

    name: Literal["es-maml"] = Field(default="es-maml", description="Which meta-learner this is.")
    operator: Literal["gradient", "hill_climbing"] = Field(
        default="hill_climbing",
        description="Adaptation: a step of inner.lr along the estimated gradient, or the best of the weights tried.",
    )
    inner_sigma: Float = Field(
        default=0.1, gt=0, le=100, description="Standard deviation of the weights that adaptation tries."
    )
    sigma: Float = Field(
        default=0.1, gt=0, le=100, description="Standard deviation of the initializations that the outer loop tries."
    )
    lr: Float = Field(default=0.02, gt=0, le=1000, description="Adam's step size in the outer update.")
    anneal: bool = Field(default=False, description="Let lr fall linearly, to zero after the last of the iterations.")
    shaping: Shaping = Field(
        default="rank", description="Of returns before a gradient is estimated: ranks, standard deviations, or none."
    )
    action_noise: bool = Field(
        default=False, description="Sample the actions too, of a deviation that is searched with the weights."
    )

    def variant(self, config: Config) -> str:
        return super().variant(config) + (" (hill climbing)" if self.operator == "hill_climbing" else "")

    def rounds(self, config: Config) -> int:
        """Each task is adapted to twice, from two opposite initializations."""
        return 2 * (config.inner.steps + 1)

    def inner_conflicts(self, config: Config) -> Iterator[Conflict]:
        read = {"steps", "lr"} if self.operator == "gradient" else {"steps"}
        for key, value in config.inner.model_dump(mode="json", exclude_defaults=True, exclude=read).items():
            yield f"inner.{key}", value, f"no such setting: {self.name} tries weights, by operator = {self.operator}"

    def conflicts(self, config: Config) -> Iterator[Conflict]:
        if config.inner.steps and config.episodes < 2:
            yield "episodes", config.episodes, "at least 2 with es-maml: adaptation compares them"
        if config.evaluation.steps and config.evaluation.episodes < 2:
            expected = "at least 2 with es-maml: adaptation compares them"
            yield "evaluation.episodes", config.evaluation.episodes, expected
        if not self.action_noise:
            for key in ("init_std", "min_std"):
                if key in config.policy.model_dump(exclude_defaults=True):
                    yield f"policy.{key}", getattr(config.policy, key), "no such setting without algorithm.action_noise"

    def shared_by_ranks(self, config: Config) -> bool:
        return True

    def search_space(self, config: Config) -> SearchSpace:
        return {
            "algorithm.operator": {"choice": ["gradient", "hill_climbing"]},
            "algorithm.inner_sigma": {"log_uniform": [0.03, 1.0]},
            "algorithm.sigma": {"log_uniform": [0.02, 0.3]},
            "algorithm.lr": {"log_uniform": [0.003, 0.1]},
            "inner.lr": {"log_uniform": [0.01, 1.0], "when": {"algorithm.operator": ["gradient"]}},
        }
