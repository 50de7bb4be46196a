"""What families compute with arrays of any library that follows the Array API standard: NumPy's, PyTorch's, ...

    xp = namespace(x)                                     # xp.concat, xp.exp, ...; and what the standard lacks:
    squares(x), norm(x), clip(x, -1.0, 1.0), flag(x > 0, x), constant(model.qpos0, x)
"""

import numpy as np
from array_api_compat import device

from metarl.util.arrays import Array, as_numpy, constant, copied, index, namespace, some, whole

__all__ = [
    "Array", "as_numpy", "clip", "columns", "constant", "copied", "flag", "full", "index", "namespace", "norm", "some",
    "squares", "whole",
]  # fmt: skip


def columns(x: Array) -> tuple[Array, ...]:
    """The columns (N,) of x (N, k)."""
    return tuple(x[:, i] for i in range(x.shape[1]))


def squares(x: Array) -> Array:
    """Sum of squares of each row, (N,), of x (N, k)."""
    xp = namespace(x)
    return xp.sum(xp.square(x), axis=1)


def norm(vectors: Array) -> Array:
    """Length of vectors (N, 3), (N,); in NumPy in the bits of np.linalg.norm of each."""
    xp = namespace(vectors)
    return xp.sqrt(xp.vecdot(vectors, vectors))


def clip(x: Array, low: float, high: float) -> Array:
    """x limited to [low, high]; NaN stays. Of NumPy, faster than its own."""
    xp = namespace(x)
    return xp.minimum(xp.maximum(x, low), high)


def flag(mask: Array, like: Array) -> Array:
    """1.0 where mask is true and 0.0 elsewhere, of the type of another array."""
    return mask * 1.0 if type(mask) is np.ndarray else namespace(mask).astype(mask, like.dtype)


def full(like: Array, value: float) -> Array:
    """(N,) of one number, beside an array (N, ...)."""
    if type(like) is np.ndarray:
        return np.full(len(like), value)
    return namespace(like).full(like.shape[0], value, dtype=like.dtype, device=device(like))
