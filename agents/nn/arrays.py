"""Between what an environment gives, arrays of NumPy or tensors of a device, and what a policy computes with, tensors.

    actions = given_as(policy(params, tensor(observations, params["w0"])), observations)

On the processor no number is copied; tensors that are on the device of the policy stay there.
"""

import numpy as np
import torch

from metarl.util.arrays import Array, some

__all__ = ["given_as", "some", "tensor"]


def tensor(x: Array, beside: torch.Tensor | None = None) -> torch.Tensor:
    """An array as a tensor, on the device of another one or where it is."""
    x = torch.from_numpy(x) if isinstance(x, np.ndarray) else x
    return x if beside is None else x.to(beside.device)


def given_as(x: torch.Tensor, like: Array) -> Array:
    """A tensor as an array of the library of another one, on that one's device."""
    return x.cpu().numpy() if isinstance(like, np.ndarray) else x.to(like.device)
