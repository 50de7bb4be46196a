"""Warp's memory as PyTorch tensors that take NumPy's arrays when they are written.

    qpos = live(wp.to_torch(data.qpos))
    qpos[ids] = np.zeros((2, 9))                          # what a reset writes is NumPy's
    qpos[:, 2]                                            # what is computed of it is a plain tensor
"""

from typing import Any

import numpy as np
import torch


class Live(torch.Tensor):
    """See the module."""

    __torch_function__ = getattr(torch._C, "_disabled_torch_function_impl")  # noqa: B009

    def __setitem__(self, at: Any, values: Any) -> None:
        if not isinstance(values, torch.Tensor):
            values = torch.as_tensor(np.ascontiguousarray(values))
        super().__setitem__(at, torch.as_tensor(values, dtype=self.dtype, device=self.device))


def live(tensor: torch.Tensor) -> Live:
    """The same memory as `Live`."""
    return tensor.as_subclass(Live)
