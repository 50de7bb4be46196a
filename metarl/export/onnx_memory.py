"""The ONNX graph of a policy with a memory: one step of it, the state explicit.

    model = recurrent(policy, params, normalizer, reward_normalizer, scaling)

Beside the inputs and outputs of `metarl.export.onnx_graph` it has

    reward      (N, 1) float64      of the step before, in the environment's units; 0 in the first step of a trial
    start       (N, 1) float32      1 in the first step of each episode, else 0
    action      (N, A) float32      state: the action of the step before, in the policy's units, not clipped
    memory      (N, H) float32      state; an LSTM has "cell" as well, plastic connections "trace" (N, H * H),
                                    a transformer instead "window_0", ... (N, (C - 1) * 2 H) and "there" (N, C - 1)

State is zeros at the start of a trial; in each further step it is what next_action, next_memory, ... gave.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from metarl.agents import Normalizer, Params, RecurrentPolicy
from metarl.export.onnx_graph import ACTIVATIONS, Graph, Scaling, act, array

FAR = np.float32(1e30)  # taken from the score of a step that is not there, exp(-1e30) = 0
NEXT = "next_"
"""Before the name of a state's input: the output that is that input in the next step."""


def recurrent(
    policy: RecurrentPolicy,
    params: Params,
    normalizer: Normalizer,
    reward_normalizer: Normalizer,
    scaling: Scaling,
    *,
    noise: bool = False,
) -> onnx.ModelProto:
    """The model of a policy with a memory: one step of it."""
    graph = Graph()
    seen = graph.normalized(graph.input("observation", policy.observation_dim, np.float64), normalizer)
    reward = graph.normalized(graph.input("reward", 1, np.float64), reward_normalizer)
    start = graph.input("start", 1, np.float32)
    before = graph.input("action", policy.action_dim, np.float32)
    x = graph.op("Concat", seen, before, reward, start, axis=-1)
    memory = {name.removeprefix("memory."): value for name, value in params.items() if name.startswith("memory.")}
    y = CELLS[policy.cell](graph, x, memory, policy)
    layers = [(params[f"policy.w{i}"], params[f"policy.b{i}"]) for i in range(len(policy.hidden) + 1)]
    if policy.hypernetwork:
        mean = _generated(graph, x, y, layers, params, policy.activation)
    else:
        mean = graph.perceptron(graph.op("Concat", y, x, axis=-1), layers, policy.activation)
    action = act(graph, mean, params["log_std"], policy, scaling, noise)
    graph.output(NEXT + "action", action, policy.action_dim, np.float32)
    return graph.model("metarl policy with a memory")


def _generated(graph: Graph, x: str, y: str, layers: list, params: Params, activation: str) -> str:
    """The perceptron at x, with weights w + sum_k z_k W_k that the latent z makes of the memory's output y."""
    z = graph.op("Tanh", graph.linear(y, params["latent.w"], params["latent.b"]))
    row = graph.op("Unsqueeze", z, graph.constant(np.array([1])))  # (N, 1, K)
    for i, (weight, bias) in enumerate(layers):
        weights, biases = params[f"latent.policy.w{i}"], params[f"latent.policy.b{i}"]  # (K, in, out), (K, out)
        count, fan_in, fan_out = weights.shape
        each = graph.op("MatMul", x, graph.constant(array(weights.permute(1, 0, 2).reshape(fan_in, -1))))
        each = graph.op("Reshape", each, graph.constant(np.array([0, count, fan_out])))
        change = graph.op("Squeeze", graph.op("MatMul", row, each), graph.constant(np.array([1])))
        change = graph.op("Add", change, graph.op("MatMul", z, graph.constant(array(biases))))
        x = graph.op("Add", graph.linear(x, weight, bias), change)
        if i < len(layers) - 1:
            x = graph.op(ACTIVATIONS[activation], x)
    return x


# ---- memories: from the input x of a step to their output, with the inputs and outputs of their state


def _gru(graph: Graph, x: str, weights: Params, policy: RecurrentPolicy) -> str:
    """r, z = sigmoid(...);  n = tanh(W x + b + r (U h + c));  h' = (1 - z) n + z h."""
    size = policy.size
    h = graph.input("memory", size, np.float32)
    of_x = graph.split(graph.linear(x, weights["w_input"].T, weights["b_input"]), 3, size)
    of_h = graph.split(graph.linear(h, weights["w_memory"].T, weights["b_memory"]), 3, size)
    r, z = (graph.op("Sigmoid", graph.op("Add", of_x[i], of_h[i])) for i in range(2))
    n = graph.op("Tanh", graph.op("Add", of_x[2], graph.op("Mul", r, of_h[2])))
    h = graph.op("Add", n, graph.op("Mul", z, graph.op("Sub", h, n)))
    return graph.output(NEXT + "memory", h, size, np.float32)


def _lstm(graph: Graph, x: str, weights: Params, policy: RecurrentPolicy) -> str:
    """i, f, o = sigmoid(...);  g = tanh(...);  c' = f c + i g;  h' = o tanh(c')."""
    size = policy.size
    h, c = graph.input("memory", size, np.float32), graph.input("cell", size, np.float32)
    of_x = graph.linear(x, weights["w_input"].T, weights["b_input"])
    of_h = graph.linear(h, weights["w_memory"].T, weights["b_memory"])
    i, f, g, o = graph.split(graph.op("Add", of_x, of_h), 4, size)
    i, f, o = (graph.op("Sigmoid", gate) for gate in (i, f, o))
    c = graph.op("Add", graph.op("Mul", f, c), graph.op("Mul", i, graph.op("Tanh", g)))
    h = graph.op("Mul", o, graph.op("Tanh", c))
    graph.output(NEXT + "cell", c, size, np.float32)
    return graph.output(NEXT + "memory", h, size, np.float32)


def _none(graph: Graph, x: str, weights: Params, policy: RecurrentPolicy) -> str:
    return graph.op("Tanh", graph.linear(x, weights["w_input"].T, weights["b_input"]))


def _hebbian(graph: Graph, x: str, weights: Params, policy: RecurrentPolicy) -> str:
    """h' = tanh(U x + b + (w + alpha trace) h), and the trace moves towards h' h^T."""
    h, after, trace, pairs = _plastic(graph, x, weights, policy.size)
    eta = graph.constant(array(torch.sigmoid(weights["eta"])))
    trace = graph.op("Add", trace, graph.op("Mul", graph.op("Sub", graph.op("Mul", after, h), trace), eta))
    return _remember(graph, after, trace, pairs)


def _neuromodulated(graph: Graph, x: str, weights: Params, policy: RecurrentPolicy) -> str:
    """The same, and the trace grows by m h' h^T, with a signal m and a gain for each cell."""
    h, after, trace, pairs = _plastic(graph, x, weights, policy.size)
    activity = graph.op("Squeeze", after, graph.constant(np.array([2])))
    signal = graph.op("Tanh", graph.linear(activity, weights["w_signal"].T, weights["b_signal"]))
    signal = graph.op("Mul", signal, graph.constant(array(weights["gain"])))
    change = graph.op("Mul", graph.op("Unsqueeze", signal, graph.constant(np.array([2]))), after)
    trace = graph.op("Add", trace, graph.op("Mul", change, h))
    trace = graph.clipped(trace, np.array(-1.0, np.float32), np.array(1.0, np.float32))
    return _remember(graph, after, trace, pairs)


def _plastic(graph: Graph, x: str, weights: Params, size: int) -> tuple[str, str, str, int]:
    """Activities before (N, 1, H) and after (N, H, 1) the step, the traces (N, H, H), and H."""
    h = graph.input("memory", size, np.float32)
    trace = graph.input("trace", size * size, np.float32)
    trace = graph.op("Reshape", trace, graph.constant(np.array([0, size, size])))
    plastic = graph.op("Mul", trace, graph.constant(array(weights["alpha"])))
    plastic = graph.op("Add", plastic, graph.constant(array(weights["w_memory"])))
    drive = graph.op("Unsqueeze", graph.linear(x, weights["w_input"].T, weights["b"]), graph.constant(np.array([2])))
    column = graph.op("Unsqueeze", h, graph.constant(np.array([2])))
    after = graph.op("Tanh", graph.op("Add", drive, graph.op("MatMul", plastic, column)))
    return graph.op("Unsqueeze", h, graph.constant(np.array([1]))), after, trace, size


def _remember(graph: Graph, after: str, trace: str, size: int) -> str:
    trace = graph.op("Reshape", trace, graph.constant(np.array([0, size * size])))
    graph.output(NEXT + "trace", trace, size * size, np.float32)
    h = graph.op("Squeeze", after, graph.constant(np.array([2])))
    return graph.output(NEXT + "memory", h, size, np.float32)


def _transformer(graph: Graph, x: str, weights: Params, policy: RecurrentPolicy) -> str:
    """One step attends to itself and to the window of keys and values, as `metarl.agents.memory.transformer` does."""
    cell = policy.memory
    size, context, heads = cell.size, cell.context, cell.heads
    there = graph.input("there", context - 1, np.float32)
    shape = graph.op("Concat", graph.op("Shape", x, start=0, end=1), graph.constant(np.array([1])), axis=0)
    one = graph.op("ConstantOfShape", shape, value=numpy_helper.from_array(np.ones(1, np.float32)))
    present = graph.op("Concat", there, one, axis=-1)  # (N, C)
    absent = graph.op("Mul", graph.op("Sub", present, graph.constant(np.float32(1.0))), graph.constant(FAR))
    absent = graph.op("Reshape", absent, graph.constant(np.array([0, 1, 1, context])))
    x = graph.linear(x, weights["w_input"].T, weights["b_input"])
    for i in range(cell.layers):
        w = {name.removeprefix(f"{i}."): value for name, value in weights.items() if name.startswith(f"{i}.")}
        seen = _normalized(graph, x, w["gain_attention"], w["b_attention"])
        new = graph.op("MatMul", seen, graph.constant(array(w["w_key_value"].T)))
        window = graph.input(f"window_{i}", (context - 1) * 2 * size, np.float32)
        window = graph.op("Concat", window, new, axis=-1)  # (N, C * 2 H)
        kept = graph.op("Slice", window, *(graph.constant(np.array([n])) for n in (2 * size, context * 2 * size, 1)))
        graph.output(f"{NEXT}window_{i}", kept, (context - 1) * 2 * size, np.float32)
        # both as (N, heads, C, H / heads), a single query, and a bias for how long ago a step was
        by_head = graph.op("Reshape", window, graph.constant(np.array([0, context, 2 * heads, size // heads])))
        by_head = graph.op("Transpose", by_head, perm=[0, 2, 1, 3])
        halves = graph.constant(np.array([heads, heads]))
        key, value = graph.several("Split", 2, by_head, halves, axis=1)
        query = graph.op("MatMul", seen, graph.constant(array(w["w_query"].T / math.sqrt(size // heads))))
        query = graph.op("Reshape", query, graph.constant(np.array([0, heads, 1, size // heads])))
        score = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))  # (N, heads, 1, C)
        bias = graph.constant(array(w["distance"].flip(1).unsqueeze(1)))
        score = graph.op("Add", graph.op("Add", score, bias), absent)
        attended = graph.op("MatMul", graph.op("Softmax", score, axis=-1), value)
        attended = graph.op("Reshape", attended, graph.constant(np.array([0, size])))
        x = graph.op("Add", x, graph.op("MatMul", attended, graph.constant(array(w["w_attended"].T))))
        seen = _normalized(graph, x, w["gain_wide"], w["b_wide"])
        wide = _gelu(graph, graph.linear(seen, w["w_up"].T, w["b_up"]))
        x = graph.op("Add", x, graph.linear(wide, w["w_down"].T, w["b_down"]))
    kept = graph.op("Slice", present, *(graph.constant(np.array([n])) for n in (1, context, 1)))
    graph.output(NEXT + "there", kept, context - 1, np.float32)
    return _normalized(graph, x, weights["gain"], weights["b"])


def _normalized(graph: Graph, x: str, gain: torch.Tensor, bias: torch.Tensor) -> str:
    return graph.op("LayerNormalization", x, graph.constant(array(gain)), graph.constant(array(bias)), epsilon=1e-5)


def _gelu(graph: Graph, x: str) -> str:
    """x (1 + erf(x / sqrt(2))) / 2."""
    erf = graph.op("Erf", graph.op("Mul", x, graph.constant(np.float32(math.sqrt(0.5)))))
    half = graph.op("Mul", x, graph.constant(np.float32(0.5)))
    return graph.op("Mul", half, graph.op("Add", erf, graph.constant(np.float32(1.0))))


CELLS = {
    "gru": _gru, "lstm": _lstm, "hebbian": _hebbian, "neuromodulated": _neuromodulated,
    "transformer": _transformer, "none": _none,
}  # fmt: skip
