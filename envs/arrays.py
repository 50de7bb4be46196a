"""What families compute with arrays of any library that follows the Array API standard: NumPy's, PyTorch's, ...

    xp = namespace(x)                                     # xp.concat, xp.exp, ...; and what the standard lacks:
    squares(x), norm(x), clip(x, -1.0, 1.0), flag(x > 0, x), constant(model.qpos0, x)
"""

from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device

Array: TypeAlias = Any  # numpy.ndarray, torch.Tensor, ...


def namespace(x: Array) -> Any:
    """The functions of the standard for the library of x; those of NumPy, which follows it, are NumPy's own."""
    return np if type(x) is np.ndarray else array_namespace(x)


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


def constant(values: np.ndarray, beside: Array) -> Array:
    """Numbers of a model or a table, as an array of the library, type and device of another."""
    if type(beside) is np.ndarray:
        return values
    return namespace(beside).asarray(values, dtype=beside.dtype, device=device(beside))


def as_numpy(x: Array) -> Array:
    """An array of any library as NumPy's, numbers in float64; None stays."""
    if x is None or type(x) is np.ndarray:
        return x
    x = np.asarray(x.cpu() if hasattr(x, "cpu") else x)
    return x.astype(np.float64) if x.dtype.kind == "f" else x
