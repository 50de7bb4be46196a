"""The minimal gated unit (Zhou et al. 2016; arXiv:1603.09420): a GRU with one gate.

    f  = sigmoid(W_f x + U_f h + b_f)
    h' = (1 - f) h + f tanh(W_h x + U_h (f h) + b_h)
"""

import math

import numpy as np
import torch

from metarl.agents import Memory


class MinimalGatedUnit(Memory):
    """Minimal gated unit (Zhou et al. 2016). State: (N, H)."""

    name = "mgu"

    def init(self, rng):
        bound = math.sqrt(6.0 / (self.input_dim + self.size))
        params = {}
        for gate in ("f", "h"):
            weight = rng.uniform(-bound, bound, (self.size, self.input_dim))
            recurrent = np.linalg.qr(rng.standard_normal((self.size, self.size)))[0]
            params[f"w_{gate}"] = torch.from_numpy(weight.astype(np.float32))
            params[f"u_{gate}"] = torch.from_numpy(recurrent.astype(np.float32))
            params[f"b_{gate}"] = torch.zeros(self.size)
        return params

    def start(self, batch, dtype=torch.float32):
        return (torch.zeros(batch, self.size, dtype=dtype),)

    def run(self, params, state, xs):
        (h,), ys = state, []
        of_f = torch.nn.functional.linear(xs, params["w_f"], params["b_f"])
        of_h = torch.nn.functional.linear(xs, params["w_h"], params["b_h"])
        for a, b in zip(of_f, of_h):
            f = torch.sigmoid(a + h @ params["u_f"].T)
            h = h + f * (torch.tanh(b + (f * h) @ params["u_h"].T) - h)
            ys.append(h)
        return (h,), torch.stack(ys)

    def onnx(self, graph, params, x):
        h = graph.state("memory", self.size)
        a = graph.linear(x, params["w_f"].T, params["b_f"])
        b = graph.linear(x, params["w_h"].T, params["b_h"])
        f = graph.op("Sigmoid", graph.op("Add", a, graph.op("MatMul", h, graph.constant(params["u_f"].T))))
        of_h = graph.op("MatMul", graph.op("Mul", f, h), graph.constant(params["u_h"].T))
        new = graph.op("Tanh", graph.op("Add", b, of_h))
        h = graph.op("Add", h, graph.op("Mul", f, graph.op("Sub", new, h)))
        graph.next_state("memory", h, self.size)
        return h
