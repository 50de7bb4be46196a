"""The ONNX graph of a policy: raw observations in, controls of the actuators out, all weights inside.

    model = feedforward(policy, params, normalizer, Scaling.of(low, high, action_scale=4.0))
    model.SerializeToString()                           # what onnxruntime.InferenceSession takes

Inputs and outputs have a leading axis of robots N, each of which is on its own:

    observation (N, O) float64      as the environment or the sensors give it
    control     (N, A) float64      mean action, mapped to the controls and clipped to their range
    noise       (N, A) float32      with `noise`: standard normal numbers, for sampled actions instead of mean ones

`metarl.export.onnx_memory` adds those of a policy with a memory. The graph is made of elementary operators, node by
node: it needs no tracing, and the same weights are the same file. Both ends are float64, as in MuJoCo: a position that
has grown large is normalized, and a control bounded, exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from metarl.agents import GaussianMLP, Normalizer, Params
from metarl.agents.normalizer import CLIP

OPSET, IR_VERSION = 17, 8
"""Of 2022: what robots run is older than what trains."""
ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu"}
_TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE}


class Scaling(NamedTuple):
    """From actions to controls: clip(action * gain + bias, low, high), (A,) float64 each."""

    gain: np.ndarray
    bias: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, low: np.ndarray, high: np.ndarray, action_scale: float) -> Scaling:
        """Actions in [-action_scale, action_scale] map linearly to [low, high], as in BatchEnv."""
        return cls(0.5 * (high - low) / action_scale, 0.5 * (high + low), low, high)

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        """(..., A) actions -> (..., A) controls."""
        return np.clip(np.asarray(actions, np.float64) * self.gain + self.bias, self.low, self.high)


def feedforward(
    policy: GaussianMLP, params: Params, normalizer: Normalizer, scaling: Scaling, *, noise: bool = False
) -> onnx.ModelProto:
    """The model of a policy without a memory; its weights have no task axis."""
    graph = Graph()
    seen = graph.normalized(graph.input("observation", policy.observation_dim, np.float64), normalizer)
    layers = [(params[f"w{i}"], params[f"b{i}"]) for i in range(len(policy.hidden) + 1)]
    mean = graph.perceptron(seen, layers, policy.activation)
    act(graph, mean, params["log_std"], policy, scaling, noise)
    return graph.model("metarl policy")


def act(graph: Graph, mean: str, log_std: torch.Tensor, policy, scaling: Scaling, noise: bool) -> str:
    """The output "control"; returns the action that it comes from, before it is clipped."""
    action = mean
    if noise:
        std = np.maximum(array(log_std), np.float32(np.log(policy.min_std)))
        draws = graph.input("noise", policy.action_dim, np.float32)
        action = graph.op("Add", mean, graph.op("Mul", draws, graph.constant(np.exp(std))))
    control = graph.op("Cast", action, to=TensorProto.DOUBLE)
    control = graph.op("Add", graph.op("Mul", control, graph.constant(scaling.gain)), graph.constant(scaling.bias))
    graph.output("control", graph.clipped(control, scaling.low, scaling.high), policy.action_dim, np.float64)
    return action


class Graph:
    """A graph that grows node by node; values are known by their names."""

    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def input(self, name: str, size: int, dtype: type) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, _TYPES[np.dtype(dtype)], ["robots", size]))
        return name

    def output(self, name: str, value: str, size: int, dtype: type) -> str:
        """Gives the value a name of its own, under which it comes out."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, _TYPES[np.dtype(dtype)], ["robots", size]))
        return value

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def split(self, value: str, parts: int, size: int) -> list[str]:
        """Parts of equal size along the last axis."""
        return self.several("Split", parts, value, self.constant(np.full(parts, size, np.int64)), axis=-1)

    def several(self, kind: str, count: int, *inputs: str, **attributes) -> list[str]:
        """An operator with several results."""
        names = [f"{kind.lower()}_{len(self.nodes)}_{part}" for part in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def linear(self, x: str, weight: torch.Tensor, bias: torch.Tensor) -> str:
        return self.op("Add", self.op("MatMul", x, self.constant(array(weight))), self.constant(array(bias)))

    def perceptron(self, x: str, layers: list[tuple[torch.Tensor, torch.Tensor]], activation: str) -> str:
        for i, (weight, bias) in enumerate(layers):
            x = self.linear(x, weight, bias)
            if i < len(layers) - 1:
                x = self.op(ACTIVATIONS[activation], x)
        return x

    def normalized(self, x: str, normalizer: Normalizer) -> str:
        """As `Normalizer.__call__`: in float64, then to the policy's float32."""
        if normalizer.enabled:
            x = self.op("Div", self.op("Sub", x, self.constant(normalizer.mean)), self.constant(normalizer.std))
            x = self.clipped(x, np.array(-CLIP), np.array(CLIP))
        return self.op("Cast", x, to=TensorProto.FLOAT)

    def clipped(self, x: str, low: np.ndarray, high: np.ndarray) -> str:
        """By Max and Min: Clip has one bound for all actuators. NaN comes out as NaN."""
        return self.op("Min", self.op("Max", x, self.constant(low)), self.constant(high))

    def model(self, name: str) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="metarl"
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()
