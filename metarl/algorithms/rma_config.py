"""Settings of RMA and of distillation; see `metarl.algorithms.rma`."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from metarl.algorithms.trials_config import PPOTrialsConfig
from metarl.config.schema import Config, Conflict, SearchSpace
from metarl.config.section import Float, Int, Width


class RMAConfig(PPOTrialsConfig):
    """RMA: a teacher that is given the task's parameters, and a student that infers from experience what it was given.

    memory, memory_size and memory_options are the student's; lr, epochs and the settings of PPO the teacher's;
    minibatches, window, burn_in, max_grad_norm and anneal hold for both. With oracle there is the teacher alone.
    """

    learner: ClassVar[str] = "metarl.algorithms.rma:RMA"
    weights: ClassVar[tuple[str, ...]] = ("params.", "student.params.")
    training_only: ClassVar[tuple[str, ...]] = ("adam.", "params.value.", "student.adam.")
    old_names: ClassVar[dict[str, str]] = {"normalize_advantages_by": "normalize_by"}

    name: Literal["rma"] = Field(default="rma", description="Which meta-learner this is.")
    imitate: Literal["latent", "actions"] = Field(
        default="latent",
        description="What of the teacher the student learns: the latent of the task (RMA), or the actions, with a"
        " network of its own (distillation).",
    )
    latent: Width = Field(default=8, description="Size of the latent that the teacher makes of the task's parameters.")
    encoder: tuple[Width, ...] = Field(
        default=(64,), max_length=16, description="Width of each hidden layer of the encoder that makes it."
    )
    student_share: Float = Field(
        default=0.2, gt=0, lt=1, description="Share of the iterations, the last ones, in which the student learns."
    )
    student_lr: Float = Field(default=1e-3, gt=0, le=1000, description="The student's step size.")
    student_epochs: Int = Field(
        default=2, ge=1, le=1000, description="Passes of the student over the trials of an iteration."
    )

    def title(self, config: Config) -> str:
        return "teacher of RMA (oracle)" if self.oracle else self.variant(config)

    def variant(self, config: Config) -> str:
        label = {"latent": "RMA", "actions": "distillation"}[self.imitate]
        return label + ("" if self.memory == "gru" else f" ({self.memory})")

    def teacher_iterations(self, config: Config) -> int:
        """Iterations of the first phase; at least one is left for each phase."""
        if self.oracle:
            return config.iterations
        return min(max(1, config.iterations - round(self.student_share * config.iterations)), config.iterations - 1)

    @property
    def scheduled(self) -> bool:
        return True  # the phases are shares of the iterations

    def conflicts(self, config: Config) -> Iterator[Conflict]:
        yield from super().conflicts(config)
        if self.memory == "none" and self.imitate == "latent":
            expected = "another cell with imitate = latent: the teacher's policy is given the last action and reward"
            yield "algorithm.memory", self.memory, expected
        if config.iterations < 2 and not self.oracle:
            yield "iterations", config.iterations, "at least 2 with rma: one for the teacher, one for the student"

    def shared_by_ranks(self, config: Config) -> bool:
        return True

    def search_space(self, config: Config) -> SearchSpace:
        return super().search_space(config) | {
            "algorithm.latent": {"choice": [4, 8, 16]},
            "algorithm.student_share": {"uniform": [0.05, 0.5]},
            "algorithm.student_lr": {"log_uniform": [1e-4, 3e-3]},
            "algorithm.student_epochs": {"int": [1, 6]},
        }
