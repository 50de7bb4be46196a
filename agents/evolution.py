"""The estimators of evolution strategies: a population around a point, and what its values say of the way up.

    noise = antithetic(rng, 40, 10, 108)                               # 10 perturbations in each of 40 tasks
    up = es_gradient(noise, shaped(values, "rank"), sigma=0.1)         # (40, 108)

They estimate the gradient of the objective smoothed by a Gaussian (Salimans et al. 2017, arXiv:1703.03864):

    grad E f(x + sigma g) = E f(x + sigma g) g / sigma,      g ~ N(0, I)

In opposite pairs, what f has in common at x + sigma g and x - sigma g cancels.
"""

import numpy as np


def antithetic(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """(..., N, P) standard normal numbers in pairs of opposites: row i and row i + N // 2. An odd one is zero."""
    *lead, count, size = shape
    half = rng.standard_normal((*lead, count // 2, size), np.float32)
    return np.concatenate([half, -half, np.zeros((*lead, count % 2, size), np.float32)], axis=-2)


def shaped(values: np.ndarray, how: str) -> np.ndarray:
    """(..., N) values as the estimators take them; those that are NaN, of diverged physics, count as the worst.

    Args:
        how: "rank", ranks evenly from -0.5 to 0.5, equal values alike (Salimans et al. 2017); "std", centered, in units
            of their own standard deviation (Mania et al. 2018); "none", as they are.
    """
    values = np.asarray(values, np.float64)
    lived = np.isfinite(values)
    worst = np.where(lived, values, np.inf).min(-1, keepdims=True)
    values = np.where(lived, values, np.where(np.isfinite(worst), worst, 0.0))  # none lived: all are alike
    if how == "none":
        return values
    if how == "rank":
        below = (values[..., None, :] < values[..., :, None]).sum(-1)
        equal = (values[..., None, :] == values[..., :, None]).sum(-1)
        return (below + 0.5 * (equal - 1)) / max(values.shape[-1] - 1, 1) - 0.5
    centered = values - values.mean(-1, keepdims=True)
    spread = centered.std(-1, keepdims=True)
    return np.divide(centered, spread, out=np.zeros_like(centered), where=spread > 1e-12)


def es_gradient(noise: np.ndarray, values: np.ndarray, sigma: float) -> np.ndarray:
    """(..., P) estimate of the gradient of the smoothed objective: 1/(N sigma) sum_i f(x + sigma g_i) g_i.

    Args:
        noise: (..., N, P) g, of `antithetic`. Where N is odd, the one at the centre does not count.
        values: (..., N) f.
    """
    paired = max(values.shape[-1] // 2 * 2, 1)
    return np.einsum("...n,...np->...p", values, noise) / (paired * sigma)
