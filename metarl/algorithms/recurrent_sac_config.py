"""Settings of recurrent soft actor-critic; see `metarl.algorithms.recurrent_sac`."""

from typing import ClassVar, Literal

from pydantic import Field

from metarl.algorithms.off_policy_config import OffPolicyConfig
from metarl.algorithms.trials_config import TrialsConfig
from metarl.config.schema import Config, SearchSpace
from metarl.config.section import Int


class RecurrentSACConfig(OffPolicyConfig, TrialsConfig):
    """Recurrent SAC: an actor and critics with memories of their own, trained off-policy on a store of whole trials."""

    learner: ClassVar[str] = "metarl.algorithms.recurrent_sac:RecurrentSAC"
    label: ClassVar[str] = "recurrent SAC"

    name: Literal["recurrent-sac"] = Field(default="recurrent-sac", description="Which meta-learner this is.")
    batch_rows: Int = Field(default=64, ge=1, le=100_000, description="Windows of steps in an update.")
    window: Int = Field(
        default=32, ge=0, le=1_000_000, description="Steps of an episode that a row learns from; 0: all of an episode."
    )
    burn_in: Int = Field(
        default=32, ge=0, le=1_000_000,
        description="Steps of the trial before a window that its memories are run along, from nothing remembered;"
        " gradients run back through them.",
    )  # fmt: skip

    def variant(self, config: Config) -> str:
        return self.label + ("" if self.memory == "gru" else f" ({self.memory})")

    def search_space(self, config: Config) -> SearchSpace:
        return super().search_space(config) | {"algorithm.window": {"choice": [16, 32, 64]}}
