"""Settings of ProMP; see `metarl.algorithms.promp`."""

from typing import ClassVar, Literal

from pydantic import Field

from metarl.algorithms.meta_gradient_config import MetaGradientConfig
from metarl.config.schema import Config, SearchSpace
from metarl.config.section import Float, Int


class ProMPConfig(MetaGradientConfig):
    """Proximal meta-policy search: a clipped surrogate, Adam, and a KL penalty on the inner steps."""

    learner: ClassVar[str] = "metarl.algorithms.promp:ProMP"
    label: ClassVar[str] = "ProMP"
    old_names: ClassVar[dict[str, str]] = {"clip": "clip_range", "inner_kl": "inner_kl_coef"}

    name: Literal["promp"] = Field(default="promp", description="Which meta-learner this is.")
    lr: Float = Field(default=1e-3, gt=0, le=1000, description="Adam's step size in the outer update.")
    anneal: bool = Field(default=False, description="Let lr fall linearly, to zero after the last of the iterations.")
    epochs: Int = Field(default=5, ge=1, le=1000, description="Adam steps in an iteration, on the same episodes.")
    clip_range: Float = Field(
        default=0.3, gt=0, le=100, description="Likelihood ratios are clipped to [1 - clip_range, 1 + clip_range]."
    )
    inner_kl_coef: Float = Field(
        default=5e-4, ge=0, le=1_000_000, description="Weight of the KL penalty on the inner steps (ProMP, eq. 10)."
    )

    def search_space(self, config: Config) -> SearchSpace:
        return {
            "algorithm.lr": {"log_uniform": [2e-4, 5e-3]},
            "algorithm.epochs": {"int": [1, 10]},
            "algorithm.clip_range": {"uniform": [0.1, 0.5]},
        }
