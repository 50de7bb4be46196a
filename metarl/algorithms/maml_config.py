"""Settings of MAML-TRPO; see `metarl.algorithms.maml`."""

from typing import ClassVar, Literal

from pydantic import Field

from metarl.algorithms.meta_gradient_config import MetaGradientConfig
from metarl.config.schema import Config, SearchSpace
from metarl.config.section import Float, Int


class MAMLConfig(MetaGradientConfig):
    """MAML with a trust-region outer update."""

    learner: ClassVar[str] = "metarl.algorithms.maml:MAML"
    label: ClassVar[str] = "MAML-TRPO"

    name: Literal["maml-trpo"] = Field(default="maml-trpo", description="Which meta-learner this is.")
    max_kl: Float = Field(default=0.01, gt=0, le=100, description="Trust region: mean KL of an outer step, in nats.")
    cg_iterations: Int = Field(default=10, ge=1, le=1000, description="Conjugate-gradient iterations.")
    damping: Float = Field(default=1e-5, ge=0, le=1000, description="Added to the diagonal of the curvature.")
    backtracks: Int = Field(default=15, ge=1, le=1000, description="Step lengths that the line search tries.")
    backtrack_ratio: Float = Field(default=0.8, gt=0, lt=1, description="Factor from one step length to the next.")
    curvature_fraction: Float = Field(
        default=0.1, gt=0, le=1, description="Share of the episodes that curvature products are computed from."
    )

    def search_space(self, config: Config) -> SearchSpace:
        return {"algorithm.max_kl": {"log_uniform": [0.002, 0.05]}}
