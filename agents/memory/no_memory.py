"""No memory: the feed-forward reference."""

import math

import numpy as np
import torch

from .base import Memory


class NoMemory(Memory):
    """A tanh layer in the place of a memory: the reference that cannot adapt. State: nothing."""

    def init(self, rng):
        bound = math.sqrt(6.0 / (self.input_dim + self.size))
        weight = rng.uniform(-bound, bound, (self.size, self.input_dim)).astype(np.float32)
        return {"w_input": torch.from_numpy(weight), "b_input": torch.zeros(self.size)}

    def start(self, batch, dtype=torch.float32):
        return ()

    def run(self, params, state, xs):
        return (), torch.tanh(torch.nn.functional.linear(xs, params["w_input"], params["b_input"]))
