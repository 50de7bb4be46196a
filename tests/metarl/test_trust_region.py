"""The trust-region step on quadratics whose answer is known."""

import pytest
import torch

from metarl.algorithms.trust_region import line_search, natural_step


def quadratic(dim=8):
    generator = torch.Generator().manual_seed(0)
    root, gradient = torch.randn((dim, dim + 1), generator=generator, dtype=torch.float64).split([dim, 1], dim=1)
    return root @ root.T + torch.eye(dim, dtype=torch.float64), gradient[:, 0]


def test_the_step_is_the_natural_gradient_at_the_edge_of_the_region():
    fisher, gradient = quadratic()
    step = natural_step(lambda v: fisher @ v, gradient, max_kl=0.01, cg_iterations=50)
    direction = -torch.linalg.solve(fisher, gradient)
    torch.testing.assert_close(step / step.norm(), direction / direction.norm(), rtol=1e-5, atol=1e-5)
    assert float(0.5 * step @ fisher @ step) == pytest.approx(0.01, rel=1e-5)


def test_no_gradient_no_step():
    fisher, gradient = quadratic()
    assert not natural_step(lambda v: fisher @ v, 0 * gradient, 0.01, 10).any()


def test_the_line_search_takes_the_first_fraction_that_fits():
    step = torch.ones(2)

    def evaluate(displacement):
        x = float(displacement[0])
        return (x - 0.3) ** 2, 0.02 * x**2  # loss before is 0.09, so x must be below 0.6; the KL allows up to 0.707

    fraction, loss, kl = line_search(evaluate, step, 0.09, max_kl=0.01, backtracks=10, ratio=0.8)
    assert fraction == pytest.approx(0.8**3) and loss == pytest.approx((0.8**3 - 0.3) ** 2)
    assert kl == pytest.approx(0.02 * 0.8**6)


@pytest.mark.parametrize("evaluate", [lambda d: (0.1, 0.0), lambda d: (-1.0, 1.0), lambda d: (float("nan"), 0.0)])
def test_nothing_is_accepted_that_does_not_help_or_leaves_the_region(evaluate):
    assert line_search(evaluate, torch.ones(2), 0.0, 0.01, 10, 0.8) == (0.0, 0.0, 0.0)
