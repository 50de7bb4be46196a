"""Settings of PEARL; see `metarl.algorithms.pearl`."""

from typing import ClassVar, Literal

from pydantic import Field

from metarl.algorithms.off_policy_config import OffPolicyConfig
from metarl.config.schema import Config, SearchSpace
from metarl.config.section import Float, Int, Width


class PEARLConfig(OffPolicyConfig):
    """PEARL: an encoder infers the task from experience, and each episode acts by a latent drawn from the posterior."""

    learner: ClassVar[str] = "metarl.algorithms.pearl:PEARL"
    label: ClassVar[str] = "PEARL"
    weights: ClassVar[tuple[str, ...]] = ("params.actor.", "params.encoder.")

    name: Literal["pearl"] = Field(default="pearl", description="Which meta-learner this is.")
    latent: Width = Field(default=5, description="Numbers of the latent that stands for a task.")
    encoder_hidden: tuple[Width, ...] = Field(
        default=(64, 64), max_length=16, description="Width of each hidden layer of the encoder."
    )
    kl_weight: Float = Field(
        default=0.1, ge=0, le=1000, description="Weight of the posterior's divergence from the prior, in nats."
    )
    batch_tasks: Int = Field(default=16, ge=1, le=100_000, description="Tasks in an update.")
    batch_steps: Int = Field(default=128, ge=1, le=100_000, description="Steps of each task in an update.")
    context_steps: Int = Field(
        default=100, ge=1, le=100_000, description="Steps of a task that an update infers it from, at most."
    )

    def search_space(self, config: Config) -> SearchSpace:
        return super().search_space(config) | {
            "algorithm.latent": {"choice": [3, 5, 10]},
            "algorithm.kl_weight": {"log_uniform": [0.01, 1.0]},
            "algorithm.context_steps": {"choice": [50, 100, 200]},
        }
