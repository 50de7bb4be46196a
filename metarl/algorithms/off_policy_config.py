"""Settings that off-policy learners share: `recurrent-sac` and `pearl`; see `metarl.algorithms.off_policy`."""

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from metarl.config.schema import AlgorithmConfig, Config, Conflict, SearchSpace
from metarl.config.section import Float, Int, Width

DEVIATIONS = math.exp(-5), math.exp(2)
"""Between which a squashed policy keeps its own: `metarl.agents.squashed_policy.LOG_STD`, without loading PyTorch."""


class OffPolicyConfig(AlgorithmConfig):
    """Soft actor-critic on a store of whole trials."""

    inner_loop: ClassVar[Literal["none"]] = "none"
    one_trial_per_episode: ClassVar[bool] = True
    weights: ClassVar[tuple[str, ...]] = ("params.actor.",)
    training_only: ClassVar[tuple[str, ...]] = ("adam.", "target.", "params.critic.", "params.log_temperature")

    trial_episodes: Int = Field(default=2, ge=1, le=1000, description="Episodes of a trial.")
    replay_steps: Int = Field(
        default=1_000_000, ge=1, le=10**9, description="Steps that the replay store holds, of the last iterations."
    )
    update_ratio: Float = Field(
        default=0.02, gt=0, le=1000, description="Updates for each environment step that was collected."
    )
    lr: Float = Field(default=3e-4, gt=0, le=1000, description="Adam's step size, of actor, critics and temperature.")
    max_grad_norm: Float = Field(
        default=10.0, gt=0, le=1_000_000, description="Clip the gradients of actor and critics to this norm, each."
    )
    critics: Int = Field(default=2, ge=1, le=1000, description="Critics in the ensemble.")
    critics_in_minimum: Int = Field(
        default=2, ge=1, le=1000, description="Of how many critics, drawn for each update, the least value counts."
    )
    critic_hidden: tuple[Width, ...] = Field(
        default=(256, 256), min_length=1, max_length=16, description="Width of each hidden layer of a critic."
    )
    critic_bins: Int = Field(
        default=0, ge=0, le=10_000,
        description="Bins over which a critic learns its value as a distribution (two-hot); 0: as a number, by squared"
        " error.",
    )  # fmt: skip
    critic_limit: Float = Field(
        default=10_000.0, gt=0, le=1e9,
        description="Value of the outermost bins, in units of the rewards' running deviation.",
    )  # fmt: skip
    critic_spacing: Literal["symlog", "linear"] = Field(
        default="symlog", description="In which scale the bins are evenly spaced; symlog: fine around zero."
    )
    target_rate: Float = Field(
        default=0.005, gt=0, le=1, description="By how much the target critics follow the critics in an update."
    )
    target_entropy: Float = Field(
        default=-1.0, ge=-1000, le=1000,
        description="Entropy that the temperature is tuned to, in nats for each number of a squashed action.",
    )  # fmt: skip
    initial_temperature: Float = Field(
        default=0.1, gt=0, le=1000, description="Weight of the entropy at the start, in units of the rewards."
    )

    def rounds(self, config: Config) -> int:
        return self.trial_episodes

    def adaptation_steps(self, config: Config) -> int:
        """Episodes of a trial after its first."""
        return self.trial_episodes - 1

    def conflicts(self, config: Config) -> Iterator[Conflict]:
        yield from super().conflicts(config)
        if self.critics_in_minimum > self.critics:
            yield "algorithm.critics_in_minimum", self.critics_in_minimum, f"at most algorithm.critics = {self.critics}"
        least, most = DEVIATIONS
        if not least < config.policy.init_std < most:
            expected = f"{least:.2g} to {most:.2g} with {self.name}, whose deviation is kept within them"
            yield "policy.init_std", config.policy.init_std, expected
        if "min_std" in config.policy.model_dump(exclude_defaults=True):
            yield "policy.min_std", config.policy.min_std, f"no such setting with {self.name}: it is {least:.2g}"
        if self.critic_bins == 1:
            yield "algorithm.critic_bins", 1, "0 or at least 2: a value is between two bins"

    def search_space(self, config: Config) -> SearchSpace:
        return super().search_space(config) | {
            "algorithm.lr": {"log_uniform": [1e-4, 1e-3]},
            "algorithm.update_ratio": {"choice": [0.01, 0.02, 0.05]},
            "algorithm.critic_bins": {"choice": [0, 101]},
            "algorithm.target_rate": {"log_uniform": [0.002, 0.05]},
            "algorithm.target_entropy": {"uniform": [-2.0, 0.0]},
            "discount": {"uniform": [0.95, 0.995]},
        }
