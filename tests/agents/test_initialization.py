"""Weights at the start of training: their bounds, which of them are small, and offsets of zero."""

import numpy as np
import pytest
import torch

from metarl.agents import make_memory
from metarl.agents.nn import perceptron
from metarl.agents.nn.initialization import glorot, orthogonal
from metarl.agents.nn.params import flatten, unflatten
from metarl.agents.teacher_student import Encoder, StudentPolicy


def generator():
    return np.random.default_rng(0)


def test_glorot_weights_are_even_up_to_their_bound():
    weights = glorot(generator(), 40, 60, scale=0.5, blocks=3)
    assert weights.shape == (120, 60) and weights.dtype == torch.float32
    bound = 0.5 * np.sqrt(6 / 100)
    assert 0.99 * bound < float(weights.abs().max()) <= bound
    assert float(weights.std()) == pytest.approx(bound / np.sqrt(3), rel=0.02)


def test_orthogonal_blocks_turn_and_do_not_stretch():
    first, second = orthogonal(generator(), 8, blocks=2).split(8)
    for block in (first, second):
        torch.testing.assert_close(block @ block.T, torch.eye(8), atol=1e-6, rtol=0)
    assert not torch.allclose(first, second)


def test_the_last_layer_alone_of_a_perceptron_is_scaled():
    plain, small = perceptron.init(generator(), (5, 7, 3)), perceptron.init(generator(), (5, 7, 3), scale=0.01)
    assert [value.shape for value in small.values()] == [(5, 7), (7,), (7, 3), (3,)]
    assert torch.equal(small["w0"], plain["w0"])
    torch.testing.assert_close(small["w1"], 0.01 * plain["w1"])
    assert not any(small[name].any() for name in ("b0", "b1"))


@pytest.mark.parametrize("name", ["alpaca", "window", "transformer"])
def test_offsets_are_zero_at_first(name):
    params = make_memory(name, 6, 8).init(generator())
    offsets = [key for key in params if key.rpartition(".")[2].startswith("b")]
    assert offsets and not any(params[key].any() for key in offsets)


def test_a_teacher_s_and_a_student_s_latents_have_no_offset_at_first():
    encoder = Encoder(3, 2).init(generator())
    student = StudentPolicy(2, 1, hidden=(4,), size=2, cell="gru", memory_size=5, memory_options={}).init(generator())
    assert not any(value.any() for key, value in encoder.items() if key.rpartition(".")[2].startswith("b"))
    assert not student["memory.b"].any() and student["memory.w"].any()


def test_weights_as_one_vector_and_back():
    params = {"w": torch.arange(12.0).reshape(2, 3, 2), "b": torch.tensor([[7.0, 8.0], [9.0, 10.0]])}  # of two tasks
    vector = flatten(params, lead=1)
    assert vector.tolist() == [[0, 1, 2, 3, 4, 5, 7, 8], [6, 7, 8, 9, 10, 11, 9, 10]]
    assert flatten(params).tolist() == [*map(float, range(12)), 7, 8, 9, 10]
    back = unflatten(vector, {"w": torch.zeros(3, 2), "b": torch.zeros(2)})
    assert back.keys() == params.keys() and all(torch.equal(value, params[name]) for name, value in back.items())
