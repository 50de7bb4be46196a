"""An ONNX graph that grows node by node, as plain data: the package onnx is needed only where it becomes a file.

    graph = Graph()
    x = graph.input("observation", 17, np.float64)
    h = graph.state("memory", 64)                        # an input, and zeros in the first step
    ...
    graph.next_state("memory", h, 64)                    # the output that is that input in the next step
    graph.output("control", y, 6, np.float64)
    content = graph.serialize("a policy")                # what onnxruntime.InferenceSession takes

Every input and output is (robots, size), each robot on its own; values are known by their names. Operators are ONNX's
elementary ones, so nothing is traced, and the same weights are the same file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

OPSET, IR_VERSION = 17, 8
"""Of 2022: what robots run is older than what trains."""
NEXT = "next_"
"""Before the name of a state's input: the output that is that input in the next step."""


class Graph:
    """See the module.

    Attributes:
        inputs, outputs: size and type of each, by its name.
        constants: by name.
    """

    def __init__(self):
        self.inputs: dict[str, tuple[int, type]] = {}
        self.outputs: dict[str, tuple[int, type]] = {}
        self.constants: dict[str, np.ndarray] = {}
        self._nodes: list[tuple[str, tuple[str, ...], list[str], dict[str, Any]]] = []

    def input(self, name: str, size: int, dtype: type = np.float32) -> str:
        self.inputs[name] = size, dtype
        return name

    def output(self, name: str, value: str, size: int, dtype: type = np.float32) -> None:
        """Gives the value a name of its own, under which it comes out."""
        self._nodes.append(("Identity", (value,), [name], {}))
        self.outputs[name] = size, dtype

    def state(self, name: str, size: int) -> str:
        """The float32 input that carries a state of ``size`` numbers from the step before."""
        return self.input(name, size)

    def next_state(self, name: str, value: str, size: int) -> None:
        """What the state ``name`` is in the next step."""
        self.output(NEXT + name, value, size)

    def constant(self, value: Any) -> str:
        """A tensor, an array, a number or a list of them, in its own type."""
        name = f"constant_{len(self.constants)}"
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        self.constants[name] = np.ascontiguousarray(array).reshape(array.shape)
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.several(kind, 1, *inputs, **attributes)[0]

    def several(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """An operator with several results. An attribute may be an array."""
        names = [f"{kind.lower()}_{len(self._nodes)}" + f"_{part}" * (count > 1) for part in range(count)]
        self._nodes.append((kind, inputs, names, attributes))
        return names

    def split(self, value: str, parts: int, size: int) -> list[str]:
        """Parts of equal size along the last axis."""
        return self.several("Split", parts, value, self.constant([size] * parts), axis=-1)

    def linear(self, x: str, weight: torch.Tensor, bias: torch.Tensor) -> str:
        """x (N, in), weight (in, out), bias (out,) -> (N, out)."""
        return self.op("Add", self.op("MatMul", x, self.constant(weight)), self.constant(bias))

    def reshape(self, x: str, *shape: int) -> str:
        """0 keeps an axis."""
        return self.op("Reshape", x, self.constant(shape))

    def unsqueeze(self, x: str, axis: int) -> str:
        return self.op("Unsqueeze", x, self.constant([axis]))

    def squeeze(self, x: str, axis: int) -> str:
        return self.op("Squeeze", x, self.constant([axis]))

    def columns(self, x: str, first: int, end: int) -> str:
        """(N, size) -> (N, end - first)."""
        return self.op("Slice", x, *(self.constant([n]) for n in (first, end, 1)))

    def cast(self, x: str, dtype: type) -> str:
        return self.op("Cast", x, to=np.dtype(dtype))

    def clip(self, x: str, low: Any, high: Any) -> str:
        """By Max and Min: Clip has one bound for all columns. NaN comes out as NaN."""
        return self.op("Min", self.op("Max", x, self.constant(low)), self.constant(high))

    def serialize(self, name: str, metadata: dict[str, str] | None = None) -> bytes:
        """The checked ONNX file.

        Raises:
            onnx.checker.ValidationError: what was built is not a graph.
        """
        import onnx
        from onnx import helper, numpy_helper

        def attribute(value: Any) -> Any:
            if isinstance(value, np.dtype):
                return helper.np_dtype_to_tensor_dtype(value)
            return numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value

        def declared(values: dict[str, tuple[int, type]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(key, attribute(np.dtype(dtype)), ["robots", size])
                for key, (size, dtype) in values.items()
            ]

        nodes = [
            helper.make_node(kind, inputs, names, **{key: attribute(value) for key, value in attributes.items()})
            for kind, inputs, names, attributes in self._nodes
        ]
        constants = [numpy_helper.from_array(value, key) for key, value in self.constants.items()]
        graph = helper.make_graph(nodes, name, declared(self.inputs), declared(self.outputs), constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="metarl"
        )
        onnx.checker.check_model(model, full_check=True)
        for key, value in (metadata or {}).items():
            model.metadata_props.add(key=key, value=value)
        return model.SerializeToString()
