"""Memories that learn as nervous systems do: connections that change while the network lives.

Beside its fixed weight w each connection has a trace that grows where the cells on both sides are active together, and
a coefficient alpha that says how much of the trace counts (Miconi et al. 2018, eqs. 1-2). Weights, coefficients and the
rate of change are what training learns; the trace is the memory, and is empty at the start of every trial:

    h_t = tanh(U x_t + b + (w + alpha * trace_t) h_{t-1})
    trace_{t+1} = (1 - eta) trace_t + eta h_t h_{t-1}^T                         Hebbian
    trace_{t+1} = clip(trace_t + m_t h_t h_{t-1}^T, -1, 1)                      NeuromodulatedHebbian

In the second the network itself decides when to learn: m_t is a signal that it puts out, as dopamine is, with a gain
for each cell (backpropamine, Miconi et al. 2019, eqs. 1-3). Gradients run through the traces.

    memory = Hebbian(input_dim=28, size=64)
    state, ys = memory.sequence(params, memory.start(100), xs)      # state: h (100, 64), trace (100, 64, 64)
"""

import math

import numpy as np
import torch

from ..policy import Params
from .base import Memory

ALPHA = 0.01  # scale of the coefficients at the start
RATE = 0.1  # of change of the Hebbian trace, at the start


class Hebbian(Memory):
    """Differentiable plasticity (Miconi et al. 2018). State: activities (N, H) and traces (N, H, H)."""

    @property
    def footprint(self) -> int:
        return 4 * self.size**2

    def init(self, rng):
        bound = math.sqrt(6.0 / (self.input_dim + self.size))
        weight = rng.uniform(-bound, bound, (self.size, self.input_dim))
        recurrent = np.linalg.qr(rng.standard_normal((self.size, self.size)))[0]
        alpha = ALPHA * rng.standard_normal((self.size, self.size))
        arrays = {"w_input": weight, "w_memory": recurrent, "alpha": alpha, "b": np.zeros(self.size)}
        params = {name: torch.from_numpy(x.astype(np.float32)) for name, x in arrays.items()}
        return params | self.init_rule(rng)

    def start(self, batch, dtype=torch.float32):
        return torch.zeros(batch, self.size, dtype=dtype), torch.zeros(batch, self.size, self.size, dtype=dtype)

    def run(self, params, state, xs):
        h, trace = state
        drive = torch.nn.functional.linear(xs, params["w_input"], params["b"])
        ys = []
        for x in drive:
            weights = torch.addcmul(params["w_memory"], params["alpha"], trace)  # (N, to H, from H)
            before = h
            h = torch.tanh(torch.baddbmm(x.unsqueeze(-1), weights, before.unsqueeze(-1))).squeeze(-1)
            trace = self.learn(params, trace, before, h)
            ys.append(h)
        return (h, trace), torch.stack(ys)

    def init_rule(self, rng: np.random.Generator) -> Params:
        """Weights of the learning rule at the start of training."""
        return {"eta": torch.tensor([math.log(RATE / (1 - RATE))])}  # as a logit, so that it stays between 0 and 1

    def learn(self, params: Params, trace: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """(N, H, H) traces after activities ``before`` (N, H) led to ``after`` (N, H)."""
        eta = torch.sigmoid(params["eta"])
        return torch.lerp(trace, after.unsqueeze(2) * before.unsqueeze(1), eta)


class NeuromodulatedHebbian(Hebbian):
    """Backpropamine (Miconi et al. 2019, simple neuromodulation). State as for Hebbian."""

    def init_rule(self, rng):
        weight = rng.standard_normal((1, self.size)) / math.sqrt(self.size)
        return {
            "w_signal": torch.from_numpy(weight.astype(np.float32)),
            "b_signal": torch.zeros(1),
            "gain": torch.full((self.size,), RATE),
        }

    def learn(self, params, trace, before, after):
        signal = torch.tanh(torch.nn.functional.linear(after, params["w_signal"], params["b_signal"]))  # (N, 1)
        change = (signal * params["gain"] * after).unsqueeze(2) * before.unsqueeze(1)
        return (trace + change).clamp(-1.0, 1.0)
