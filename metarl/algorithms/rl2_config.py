"""Settings of RL²; see `metarl.algorithms.rl2`."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from metarl.algorithms.trials_config import PPOTrialsConfig
from metarl.config.schema import Config
from metarl.config.section import Float, Int
from metarl.util.plugins import MEMORIES

_FORMER_OPTIONS = ("context", "layers", "heads")  # settings of their own once; a transformer's
_WORDS = {"gru": "", "none": " without memory", "one_step": " with a memory of one step"}


class RL2Config(PPOTrialsConfig):
    """RL²: a policy with a memory that is kept over a trial of several episodes, trained by PPO."""

    learner: ClassVar[str] = "metarl.algorithms.rl2:RL2"
    label: ClassVar[str] = "RL²"
    weights: ClassVar[tuple[str, ...]] = ("params.",)
    training_only: ClassVar[tuple[str, ...]] = ("adam.", "params.value.")
    on_device: ClassVar[bool] = True
    old_names: ClassVar[dict[str, str]] = {
        "clip": "clip_range", "value_weight": "value_loss_coef", "entropy": "entropy_coef",
        "max_gradient": "max_grad_norm", "normalize_advantages_by": "normalize_by",
    }  # fmt: skip

    name: Literal["rl2"] = Field(default="rl2", description="Which meta-learner this is.")
    hypernetwork: Int = Field(
        default=0, ge=0, le=1000,
        description="Latent of the memory that the policy's weights are made of; 0: the memory is an input instead.",
    )
    predict: Literal["nothing", "task", "next_observation", "fit"] = Field(
        default="nothing",
        description="What the memory also learns to predict; it is never an input. fit: what a memory that fits a"
        " model itself (alpaca) predicts with it.",
    )
    predict_weight: Float = Field(
        default=1.0, ge=0, le=1000, description="Weight of the squared error of that prediction."
    )

    @classmethod
    def renamed(cls, data: dict[str, Any]) -> dict[str, Any]:
        data = super().renamed(data)
        former = {name: data[name] for name in _FORMER_OPTIONS if name in data}
        if not former:
            return data
        data = {name: value for name, value in data.items() if name not in former}
        # every run folder of before has them written out, with and without a transformer
        options = data.get("memory_options", {})
        if data.get("memory", "transformer") != "transformer" or not isinstance(options, dict):
            return data
        return data | {"memory_options": options | former}

    def problems(self, config: Config) -> Iterator[tuple[str, str]]:
        found = list(super().problems(config))
        yield from found
        if not found and self.predict == "fit" and not MEMORIES.load(self.memory).fits:
            yield "algorithm.predict", f"got fit, expected another prediction: the memory {self.memory} fits no model"

    @property
    def any_memory(self) -> bool:
        return super().any_memory and self.predict != "fit"

    def shared_by_ranks(self, config: Config) -> bool:
        return True

    def variant(self, config: Config) -> str:
        return super().variant(config) + _WORDS.get(self.memory, f" ({self.memory})")
