"""Weights at the start of training."""

import math

import numpy as np
import torch


def glorot(rng: np.random.Generator, rows: int, columns: int, *, scale: float = 1.0, blocks: int = 1) -> torch.Tensor:
    """Glorot-uniform weights (Glorot and Bengio 2010) times ``scale``: (blocks * rows, columns), each block alike."""
    bound = scale * math.sqrt(6.0 / (rows + columns))
    return torch.from_numpy(rng.uniform(-bound, bound, (blocks * rows, columns)).astype(np.float32))


def orthogonal(rng: np.random.Generator, size: int, blocks: int = 1) -> torch.Tensor:
    """Orthogonal matrices one below the other: (blocks * size, size)."""
    parts = [np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(blocks)]
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))
