"""What is written once for arrays of NumPy and of any library that follows the Array API standard, such as PyTorch.

    xp = namespace(x)                                     # xp.where, xp.concat, ...; of NumPy's arrays, NumPy itself
    constant(model.qpos0, beside=x)                       # NumPy's numbers, as x is
    as_numpy(x)
"""

from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device

Array: TypeAlias = Any  # numpy.ndarray, torch.Tensor, ...


def namespace(x: Array) -> Any:
    """The functions of the standard for the library of x; those of NumPy, which follows it, are NumPy's own."""
    return np if type(x) is np.ndarray else array_namespace(x)


def constant(values: np.ndarray, beside: Array) -> Array:
    """Numbers of a model or a table, as an array of the library, type and device of another."""
    if type(beside) is np.ndarray:
        return values
    return namespace(beside).asarray(values, dtype=beside.dtype, device=device(beside))


def index(places: np.ndarray, beside: Array) -> Array:
    """Whole numbers to index with, as an array of the library and on the device of another."""
    return places if type(beside) is np.ndarray else namespace(beside).asarray(places, device=device(beside))


def some(mask: Array) -> bool:
    """Whether any is true. On a GPU, where to ask is to wait for all that it has to do, always True."""
    return str(device(mask)) != "cpu" or bool(mask.any())


def zeros(shape: tuple[int, ...], beside: Array, dtype: str | None = None) -> Array:
    """Zeros, of the library and on the device of another array, and of its type unless one is named ("float32")."""
    xp = namespace(beside)
    return xp.zeros(shape, dtype=beside.dtype if dtype is None else getattr(xp, dtype), device=device(beside))


def copied(x: Array) -> Array:
    """A new array of the same numbers."""
    return namespace(x).asarray(x, copy=True)


def whole(x: Array) -> Array:
    """Whole numbers as int64, to index with."""
    xp = namespace(x)
    return xp.asarray(x, dtype=xp.int64)


def as_numpy(x: Array) -> Array:
    """An array of any library as NumPy's, numbers in float64; None stays."""
    if x is None or type(x) is np.ndarray:
        return x
    x = np.asarray(x.cpu() if hasattr(x, "cpu") else x)
    return x.astype(np.float64) if x.dtype.kind == "f" else x
