"""Weights of gated cells, in the shapes and the order of PyTorch's fused kernels."""

import numpy as np
import torch

from ..nn.initialization import glorot, orthogonal
from ..nn.params import Params


def init_gates(rng: np.random.Generator, input_dim: int, size: int, gates: int) -> Params:
    """Glorot-uniform weights of the input, an orthogonal matrix of the memory for each gate, zero biases."""
    recurrent = orthogonal(rng, size, gates)
    return {
        "w_input": glorot(rng, size, input_dim, blocks=gates),
        "w_memory": recurrent,
        "b_input": torch.zeros(gates * size),
        "b_memory": torch.zeros(gates * size),
    }


def gate_weights(params: Params) -> list[torch.Tensor]:
    """In the order of PyTorch's fused kernels, which are called as in training: cuDNN's have no gradient otherwise."""
    return [params[name] for name in ("w_input", "w_memory", "b_input", "b_memory")]
