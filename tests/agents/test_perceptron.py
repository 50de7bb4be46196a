"""Perceptrons by hand."""

import numpy as np
import pytest
import torch

from metarl.agents.nn import perceptron
from metarl.util.onnx_graph import Graph

PARAMS = {
    "f.w0": torch.tensor([[1.0, -1.0], [2.0, 0.0]]), "f.b0": torch.tensor([0.0, 1.0]),
    "f.w1": torch.tensor([[3.0], [5.0]]), "f.b1": torch.tensor([-1.0]), "other.w2": torch.ones(1, 1),
}  # fmt: skip


def test_layers_by_hand():
    x = torch.tensor([[1.0, 1.0], [2.0, -2.0]])
    # (3, 0) and (-2, -1), then relu
    assert perceptron.run(PARAMS, x, "relu", "f.").tolist() == [[8.0], [-1.0]]
    # behind the first layer: of what it puts out
    assert perceptron.run(PARAMS, x, "relu", "f.", first=1).tolist() == [[7.0], [5.0]]
    assert perceptron.run(PARAMS, x, "relu", "f.", affine=lambda x, w, b: x @ w - b).tolist() == [[10.0], [1.0]]


def test_a_graph_does_the_same():
    onnxruntime = pytest.importorskip("onnxruntime")
    graph = Graph()
    graph.output("y", perceptron.onnx(graph, PARAMS, graph.input("x", 2), "tanh", "f."), 1)
    x = np.random.default_rng(0).standard_normal((4, 2), np.float32)
    got = onnxruntime.InferenceSession(graph.serialize("f"), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    np.testing.assert_allclose(got, perceptron.run(PARAMS, torch.from_numpy(x), "tanh", "f."), atol=1e-6)
