"""The ONNX graph of a policy with a memory: one step of it, the state explicit.

    model = recurrent(policy, params, normaliser, reward_normaliser, scaling)

Beside the inputs and outputs of `metarl.export.onnx_graph` it has

    reward      (N, 1) float64      of the step before, in the environment's units; 0 in the first step of a trial
    start       (N, 1) float32      1 in the first step of each episode, else 0
    action      (N, A) float32      state: the action of the step before, in the policy's units, not clipped
    memory      (N, H) float32      state; an LSTM has "cell" as well

State is zeros at the start of a trial; in each further step it is what next_action, next_memory, ... gave.
"""

from __future__ import annotations

import numpy as np
import onnx

from metarl.agents import Normaliser, Params, RecurrentPolicy
from metarl.errors import UserError, nearest
from metarl.export.onnx_graph import Graph, Scaling, act

NEXT = "next_"
"""Before the name of a state's input: the output that is that input in the next step."""


def recurrent(
    policy: RecurrentPolicy,
    params: Params,
    normaliser: Normaliser,
    reward_normaliser: Normaliser,
    scaling: Scaling,
    *,
    noise: bool = False,
) -> onnx.ModelProto:
    """The model of a policy with a memory: one step of it."""
    if policy.cell not in _CELLS:
        raise UserError(
            f"export: got policy.cell {policy.cell!r}, expected one with a graph{nearest(policy.cell, _CELLS)}"
        )
    graph = Graph()
    seen = graph.normalised(graph.input("observation", policy.observation_dim, np.float64), normaliser)
    reward = graph.normalised(graph.input("reward", 1, np.float64), reward_normaliser)
    start = graph.input("start", 1, np.float32)
    before = graph.input("action", policy.action_dim, np.float32)
    x = graph.op("Concat", seen, before, reward, start, axis=-1)
    memory = {name.removeprefix("memory."): value for name, value in params.items() if name.startswith("memory.")}
    y = _CELLS[policy.cell](graph, x, memory, policy.size)
    layers = [(params[f"policy.w{i}"], params[f"policy.b{i}"]) for i in range(len(policy.hidden) + 1)]
    mean = graph.perceptron(graph.op("Concat", y, x, axis=-1), layers, policy.activation)
    action = act(graph, mean, params["log_std"], policy, scaling, noise)
    graph.output(NEXT + "action", action, policy.action_dim, np.float32)
    return graph.model("metarl policy with a memory")


# ---- memories: from the input x of a step to their output, with the inputs and outputs of their state


def _gru(graph: Graph, x: str, weights: Params, size: int) -> str:
    """r, z = sigmoid(...);  n = tanh(W x + b + r (U h + c));  h' = (1 - z) n + z h."""
    h = graph.input("memory", size, np.float32)
    of_x = graph.split(graph.linear(x, weights["w_input"].T, weights["b_input"]), 3, size)
    of_h = graph.split(graph.linear(h, weights["w_memory"].T, weights["b_memory"]), 3, size)
    r, z = (graph.op("Sigmoid", graph.op("Add", of_x[i], of_h[i])) for i in range(2))
    n = graph.op("Tanh", graph.op("Add", of_x[2], graph.op("Mul", r, of_h[2])))
    h = graph.op("Add", n, graph.op("Mul", z, graph.op("Sub", h, n)))
    return graph.output(NEXT + "memory", h, size, np.float32)


def _lstm(graph: Graph, x: str, weights: Params, size: int) -> str:
    """i, f, o = sigmoid(...);  g = tanh(...);  c' = f c + i g;  h' = o tanh(c')."""
    h, c = graph.input("memory", size, np.float32), graph.input("cell", size, np.float32)
    of_x = graph.linear(x, weights["w_input"].T, weights["b_input"])
    of_h = graph.linear(h, weights["w_memory"].T, weights["b_memory"])
    i, f, g, o = graph.split(graph.op("Add", of_x, of_h), 4, size)
    i, f, o = (graph.op("Sigmoid", gate) for gate in (i, f, o))
    c = graph.op("Add", graph.op("Mul", f, c), graph.op("Mul", i, graph.op("Tanh", g)))
    h = graph.op("Mul", o, graph.op("Tanh", c))
    graph.output(NEXT + "cell", c, size, np.float32)
    return graph.output(NEXT + "memory", h, size, np.float32)


def _none(graph: Graph, x: str, weights: Params, size: int) -> str:
    return graph.op("Tanh", graph.linear(x, weights["w_input"].T, weights["b_input"]))


_CELLS = {"gru": _gru, "lstm": _lstm, "none": _none}
