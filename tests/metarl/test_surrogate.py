"""The clipped surrogate against its formula, and where the formula would overflow."""

import pytest
import torch

from metarl.algorithms.surrogate import clipped_surrogate, likelihood_ratio


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.1, 2.0, 2.2, 2.0), (1.5, 2.0, 2.4, 0.0), (0.5, 2.0, 1.0, 2.0),
        (1.1, -2.0, -2.2, -2.0), (0.5, -2.0, -1.6, 0.0), (15.0, -2.0, -30.0, -2.0), (25.0, -2.0, -40.0, 0.0),
    ],
)  # fmt: skip
def test_the_surrogate_and_its_slope(ratio, advantage, value, slope):
    change = torch.tensor(ratio, dtype=torch.float64).log().requires_grad_()
    result = clipped_surrogate(likelihood_ratio(change), torch.tensor(advantage, dtype=torch.float64), 0.2)
    result.backward()
    assert result.item() == pytest.approx(value)
    assert change.grad.item() == pytest.approx(slope * ratio)  # d/d log r = r d/dr


def test_ratios_beyond_float32_have_no_gradient():
    change = torch.tensor([500.0, -500.0, 500.0], requires_grad=True)
    clipped_surrogate(likelihood_ratio(change), torch.tensor([-1.0, -1.0, 1.0]), 0.2).sum().backward()
    assert change.grad.tolist() == [0.0, 0.0, 0.0]
