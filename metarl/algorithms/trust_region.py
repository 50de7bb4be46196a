"""A trust-region step (Schulman et al. 2015, appendix C): conjugate gradient, then a backtracking line search.

    step = natural_step(curvature_product, gradient, max_kl=0.01)     # points downhill, as long as the region allows
    fraction, loss, kl = line_search(evaluate, step, loss_before, max_kl=0.01)
"""

from collections.abc import Callable

import torch


def natural_step(
    curvature_product: Callable[[torch.Tensor], torch.Tensor],
    gradient: torch.Tensor,
    max_kl: float,
    cg_iterations: int,
) -> torch.Tensor:
    """The step -c F^-1 g whose quadratic KL, 1/2 step^T F step, is ``max_kl``.

    Args:
        curvature_product: v (P,) -> F v (P,), damping included.
        gradient: (P,) of the loss to be lowered.

    Returns:
        (P,) step; zero where the gradient is.
    """
    if not gradient.any():
        return torch.zeros_like(gradient)
    direction = conjugate_gradient(curvature_product, gradient, cg_iterations)
    squared_length = direction @ curvature_product(direction)
    return -torch.sqrt(2 * max_kl / squared_length) * direction


def conjugate_gradient(
    product: Callable[[torch.Tensor], torch.Tensor], target: torch.Tensor, iterations: int, tolerance: float = 1e-10
) -> torch.Tensor:
    """Solve ``product(x) = target`` (P,) for a positive definite matrix (Nocedal and Wright 2006, algorithm 5.2).

    Starts from zero. (sb3-contrib's solver starts from noise of PyTorch's global generator, so no run would repeat.)
    """
    x = torch.zeros_like(target)
    residual = target.clone()
    direction, squared_norm = residual, residual @ residual
    for _ in range(iterations):
        image = product(direction)
        step = squared_norm / (direction @ image)
        x = x + step * direction
        residual = residual - step * image
        previous, squared_norm = squared_norm, residual @ residual
        if squared_norm < tolerance:
            break
        direction = residual + squared_norm / previous * direction
    return x


def line_search(
    evaluate: Callable[[torch.Tensor], tuple[float, float]],
    step: torch.Tensor,
    loss_before: float,
    max_kl: float,
    backtracks: int,
    ratio: float,
) -> tuple[float, float, float]:
    """The first of the shrinking fractions of ``step`` that lowers the loss within the trust region.

    Args:
        evaluate: displacement (P,) -> (loss, mean KL from the policies that collected the data).

    Returns:
        (fraction, loss, KL) of the accepted step; (0, loss_before, 0) if none is.
    """
    fraction = 1.0
    for _ in range(backtracks):
        loss, kl = evaluate(fraction * step)
        if loss < loss_before and kl <= max_kl:
            return fraction, loss, kl
        fraction *= ratio
    return 0.0, loss_before, 0.0
