"""Weights of gated cells, in the shapes and the order of PyTorch's fused kernels."""

import math

import numpy as np
import torch

from ..policy import Params


def init_gates(rng: np.random.Generator, input_dim: int, size: int, gates: int) -> Params:
    """Glorot-uniform weights of the input, an orthogonal matrix of the memory for each gate, zero biases."""
    bound = math.sqrt(6.0 / (input_dim + size))
    recurrent = [np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(gates)]
    return {
        "w_input": torch.from_numpy(rng.uniform(-bound, bound, (gates * size, input_dim)).astype(np.float32)),
        "w_memory": torch.from_numpy(np.concatenate(recurrent).astype(np.float32)),
        "b_input": torch.zeros(gates * size),
        "b_memory": torch.zeros(gates * size),
    }


def gate_weights(params: Params) -> list[torch.Tensor]:
    """In the order of PyTorch's fused kernels."""
    return [params[name] for name in ("w_input", "w_memory", "b_input", "b_memory")]
