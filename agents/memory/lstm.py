"""Long short-term memory."""

import torch

from .base import Memory
from .gates import gate_weights, init_gates


class LSTM(Memory):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), by PyTorch's fused kernels. State: (N, H) twice."""

    def init(self, rng):
        params = init_gates(rng, self.input_dim, self.size, 4)
        params["b_input"][self.size : 2 * self.size] = 1.0  # remember at first (Jozefowicz et al. 2015)
        return params

    def start(self, batch, dtype=torch.float32):
        return torch.zeros(batch, self.size, dtype=dtype), torch.zeros(batch, self.size, dtype=dtype)

    def step(self, params, state, x):
        h, c = torch.lstm_cell(x, list(state), *gate_weights(params))
        return (h, c), h

    def run(self, params, state, xs):
        initial = [x.unsqueeze(0) for x in state]
        ys, h, c = torch.lstm(xs, initial, gate_weights(params), True, 1, 0.0, False, False, False)
        return (h[0], c[0]), ys
