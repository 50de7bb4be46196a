"""Values that are learned by classification: a distribution over bins, whose mean is the value (two-hot).

    coding = TwoHot(bins=101, limit=10_000.0)
    coding.encode(targets)                               # (...) -> (..., K): all weight on the two bins around a target
    coding.loss(logits, targets)                         # (..., K) and (...) -> (...), cross-entropy in nats
    coding.mean(logits)                                  # (..., K) -> (...)

The size of a squared error, and so of its gradient, is that of the returns, which differ from task to task; that of a
cross-entropy is not. AMAGO-2 (Grigsby et al. 2024, arXiv:2411.11188) trains critics of many tasks like this, and
Farebrother et al. (2024, arXiv:2403.03950) find that it bears larger networks and noisier targets.

The bins are those of DreamerV3 (Hafner et al. 2023, arXiv:2301.04104): even in symlog x = sign(x) log(1 + |x|), fine
around zero and coarse far from it, or even in x itself. A target between two bins is divided such that its mean stays,
in x and not in symlog x: a value is an expectation over what may follow, and the mean of logarithms is not the
logarithm of the mean. (HL-Gauss, which Farebrother et al. prefer, spreads a target over more bins than two; where bins
are uneven that moves the mean.)
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class TwoHot:
    """See the module.

    Attributes:
        bins: K, at least two; an odd number has one at zero.
        limit: of the outermost bins, which a target beyond them counts as.
        even: whether bins are evenly spaced in x, not in symlog x.
    """

    bins: int
    limit: float
    even: bool = False

    @cached_property
    def values(self) -> torch.Tensor:
        """(K,) of the bins, rising."""
        if self.even:
            return torch.linspace(-self.limit, self.limit, self.bins)
        symlog = torch.linspace(-math.log1p(self.limit), math.log1p(self.limit), self.bins, dtype=torch.float64)
        return (symlog.sign() * symlog.abs().expm1()).float()

    def encode(self, targets: torch.Tensor) -> torch.Tensor:
        """(..., K) weights of the bins, which add to one and have the mean of the target."""
        targets = targets.clamp(self.values[0], self.values[-1]).unsqueeze(-1)
        above = torch.searchsorted(self.values, targets).clamp(min=1)
        low, high = self.values[above - 1], self.values[above]
        share = (targets - low) / (high - low)
        weights = targets.new_zeros(*targets.shape[:-1], self.bins)
        return weights.scatter(-1, above - 1, 1 - share).scatter(-1, above, share)

    def mean(self, logits: torch.Tensor) -> torch.Tensor:
        """(...) of the distributions with logits (..., K)."""
        return logits.softmax(-1) @ self.values

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(...) cross-entropy of logits (..., K) at targets (...), which broadcast."""
        return -(self.encode(targets) * logits.log_softmax(-1)).sum(-1)
