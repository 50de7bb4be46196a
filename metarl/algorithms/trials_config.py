"""Settings of learners over trials: of all with a memory, and of PPO, which `rl2` and `rma` share."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from metarl.config.schema import AlgorithmConfig, Config, Conflict, SearchSpace
from metarl.config.section import Float, Int, Name, Width
from metarl.util.plugins import MEMORIES
from metarl.util.text import nearest, show


class TrialsConfig(AlgorithmConfig):
    """A policy whose experience is trials of several episodes, and a memory that is kept over them."""

    inner_loop: ClassVar[Literal["none"]] = "none"
    one_trial_per_episode: ClassVar[bool] = True

    memory: Name = Field(
        default="gru", description="Memory cell, as `metarl list memories` shows them; none: of the observation alone."
    )
    memory_size: Width = Field(default=128, description="Units of the memory.")
    memory_options: dict[str, Any] = Field(default={}, description="Options of the memory cell, by its own names.")
    trial_episodes: Int = Field(
        default=2, ge=1, le=1000, description="Episodes of a trial, over which the memory is kept."
    )
    across_episodes: bool = Field(
        default=True, description="Returns go on to the end of the trial; false: to the end of the episode."
    )

    @field_validator("memory", mode="after")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in MEMORIES:
            expected = f"a memory cell{nearest(value, MEMORIES.names())}"
            raise PydanticCustomError("memory", "Input should be {expected}", {"expected": expected})
        return value

    def rounds(self, config: Config) -> int:
        return self.trial_episodes

    def adaptation_steps(self, config: Config) -> int:
        """Episodes of a trial after its first."""
        return self.trial_episodes - 1

    def problems(self, config: Config) -> Iterator[tuple[str, str]]:
        try:
            found = MEMORIES.load(self.memory).problems(self.memory_size, self.memory_options)
        except ValueError as error:  # it cannot be imported
            yield "algorithm.memory", str(error)
            return
        for name, got, expected in found:
            yield f"algorithm.memory_options.{name}", f"got {show(got)}, expected {expected}"

    @property
    def any_memory(self) -> bool:
        """Whether another memory fits the other settings as well."""
        return not self.memory_options

    def search_space(self, config: Config) -> SearchSpace:
        searched = ("gru", "lstm")  # of others, such as none, the memory is what the config is about
        return {"algorithm.memory": {"choice": [*searched]}} if self.any_memory and self.memory in searched else {}


class PPOTrialsConfig(TrialsConfig):
    """The same, trained by PPO; see `metarl.algorithms.rl2`."""

    lr: Float = Field(default=1e-3, gt=0, le=1000, description="Adam's step size.")
    anneal: bool = Field(default=True, description="Let lr fall linearly, to zero after the last of the iterations.")
    epochs: Int = Field(default=2, ge=1, le=1000, description="Passes over the trials of an iteration.")
    minibatches: Int = Field(
        default=20, ge=1, le=100_000, description="Adam steps in a pass, on as many parts of the trials."
    )
    clip_range: Float = Field(
        default=0.1, gt=0, le=100, description="Likelihood ratios are clipped to [1 - clip_range, 1 + clip_range]."
    )
    target_kl: Float = Field(
        default=0.0, ge=0, le=1_000_000,
        description="The passes end where a minibatch's mean KL from the collecting policy exceeds this; 0: never.",
    )
    normalize_by: Name | None = Field(
        default=None,
        description="A category of the task, such as environment: advantages are normalized within each of its values,"
        " and each has a value function in units of its own; null: over all trials.",
    )
    value_loss_coef: Float = Field(default=0.5, ge=0, le=1000, description="Weight of the value's squared error.")
    entropy_coef: Float = Field(default=0.01, ge=0, le=1000, description="Weight of the actions' entropy, in nats.")
    anneal_entropy: bool = Field(
        default=False, description="Let the entropy's weight fall linearly, to zero, as lr does."
    )
    max_grad_norm: Float = Field(default=1.0, gt=0, le=1_000_000, description="Clip the gradient to this global norm.")
    window: Int = Field(
        default=100, ge=0, le=1_000_000,
        description="Steps that gradients run back through the memory; 0: the whole trial.",
    )
    burn_in: Int = Field(
        default=0, ge=0, le=1_000_000, description="Steps before a window that warm the memory up without gradients."
    )

    def conflicts(self, config: Config) -> Iterator[Conflict]:
        if self.burn_in and not self.window:
            yield "algorithm.burn_in", self.burn_in, "0 with algorithm.window = 0: nothing stands before it"

    def search_space(self, config: Config) -> SearchSpace:
        return super().search_space(config) | {
            "algorithm.lr": {"log_uniform": [1e-4, 3e-3]},
            "algorithm.epochs": {"int": [1, 6]},
            "algorithm.minibatches": {"choice": [5, 10, 20]},
            "algorithm.window": {"choice": [20, 50, 100]},
            "discount": {"uniform": [0.95, 0.995]},
            "gae_lambda": {"uniform": [0.85, 1.0]},
        }
