"""Memories: the same numbers step by step and along a sequence, cleared exactly where they should be."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from metarl.agents import Memory, RecurrentPolicy, make_memory, option
from metarl.util.onnx_graph import Graph
from metarl.util.plugins import MEMORIES

INPUTS, SIZE, STEPS, ROWS = 3, 8, 13, 4
NAMES = MEMORIES.names()


def build(name, dtype=torch.float64, seed=0):
    small = {"transformer": {"context": 6}, "window": {"context": 12}, "alpaca": {"features": 3, "units": 4}}
    options = small.get(name, {})  # contexts are shorter than the sequences
    memory = make_memory(name, INPUTS, SIZE, options)
    params = memory.init(np.random.default_rng(seed))
    rng = np.random.default_rng(seed + 1)
    noise = {k: torch.from_numpy(rng.standard_normal(v.shape) * 0.1) for k, v in params.items()}
    params = {k: (v + noise[k]).to(dtype).requires_grad_() for k, v in params.items()}  # no bias is zero
    xs = torch.from_numpy(rng.standard_normal((STEPS, ROWS, INPUTS))).to(dtype)
    return memory, params, xs


def by_steps(memory, params, xs, resets=None):
    """The plain loop: one row at a time, a new start where the memory is cleared."""
    rows = []
    for n in range(xs.shape[1]):
        state, ys = memory.start(1, xs.dtype), []
        for t in range(len(xs)):
            if resets is not None and resets[t, n]:
                state = memory.start(1, xs.dtype)
            state, y = memory.step(params, state, xs[t, n : n + 1])
            ys.append(y)
        rows.append((state, torch.cat(ys)))
    states = tuple(torch.cat(parts) for parts in zip(*(state for state, _ in rows)))
    return states, torch.stack([ys for _, ys in rows], dim=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_is_its_steps_with_resets_inside(name):
    memory, params, xs = build(name)
    resets = torch.zeros(STEPS, ROWS, dtype=torch.bool)
    resets[0, 0] = resets[5, 1] = resets[5, 2] = resets[6, 2] = resets[STEPS - 1, 3] = True
    for given in (None, resets):
        state, ys = memory.sequence(params, memory.start(ROWS, xs.dtype), xs, given)
        expected_state, expected = by_steps(memory, params, xs, given)
        torch.testing.assert_close(ys, expected, rtol=0, atol=1e-12)
        for got, want in zip(state, expected_state, strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
            assert got.shape[0] == ROWS


@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_may_be_cut_anywhere(name):
    memory, params, xs = build(name)
    whole_state, whole = memory.sequence(params, memory.start(ROWS, xs.dtype), xs)
    for cut in (1, 6, STEPS - 1):
        state, first = memory.sequence(params, memory.start(ROWS, xs.dtype), xs[:cut])
        state, second = memory.sequence(params, state, xs[cut:])
        torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=1e-12)
        for got, want in zip(state, whole_state, strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_past_of_the_same_row_matters(name):
    """What was before a reset, other rows and the future change nothing; the past does, but for no memory."""
    memory, params, xs = build(name)
    resets = torch.zeros(STEPS, ROWS, dtype=torch.bool)
    resets[5, 1] = True

    def outputs(changed):
        return memory.sequence(params, memory.start(ROWS, xs.dtype), changed, resets)[1]

    before, changed = outputs(xs), xs.clone()
    changed[4, 1] += 1.0
    difference = (outputs(changed) - before).abs().amax(-1)
    assert difference[4, 1] > 0
    assert difference.sum() == difference[4, 1]
    changed[4, 0] += 1.0
    later = (outputs(changed) - before).abs().amax(-1)[5:, 0]
    assert (later > 0).all() if name not in ("none", "one_step") else (later == 0).all()


def test_a_transformer_attends_to_its_window_and_no_further():
    memory = make_memory("transformer", INPUTS, SIZE, {"context": 4, "layers": 1})
    _, params, xs = build("transformer")
    params = params | {"0.distance": params["0.distance"][:, :4]}
    changed = xs.clone()
    changed[2] += 1.0
    before, after = (memory.run(params, memory.start(ROWS, xs.dtype), x)[1] for x in (xs, changed))
    difference = (after - before).abs().amax(-1).amax(-1)
    assert (difference[2:6] > 0).all() and not difference[:2].any() and not difference[6:].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_gradients_through_a_sequence(name):
    memory, params, xs = build(name)
    xs = xs[:5, :2]
    resets = torch.zeros(5, 2, dtype=torch.bool)
    resets[3, 1] = True

    def outputs(*weights):
        named = dict(zip(params, weights))
        return memory.sequence(named, memory.start(2, xs.dtype), xs, resets)[1]

    some = name == "transformer"  # it has too many weights for one at a time
    assert torch.autograd.gradcheck(outputs, tuple(params.values()), atol=1e-7, fast_mode=some)


@pytest.mark.parametrize("name", NAMES)
def test_initial_weights_come_from_the_generator(name):
    first, again, other = (make_memory(name, INPUTS, SIZE).init(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all(torch.equal(first[k], again[k]) and first[k].dtype == torch.float32 for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


# ---- found by name, with options of their own


@pytest.mark.parametrize(
    ("name", "options", "lines"),
    [
        ("transformer", {"head": 2}, ["head: got 2, expected no such option (did you mean 'heads'?)"]),
        ("transformer", {"heads": 3}, ["heads: got 3, expected a divisor of 8"]),
        ("transformer", {"heads": 0}, ["heads: got 0, expected 1 to 1000"]),
        (
            "transformer",
            {"heads": "two", "layers": True, "context": 0},
            ["heads: got 'two', expected a whole number", "layers: got True, expected a whole number",
             "context: got 0, expected 1 to 10000"],
        ),
        ("gru", {"heads": 2}, ["heads: got 2, expected no such option; gru has none"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_options_is_said_all_at_once(name, options, lines):
    with pytest.raises(ValueError) as caught:
        make_memory(name, INPUTS, SIZE, options)
    assert str(caught.value).splitlines() == lines


def test_a_transformer_begins_with_plain_layer_norms_and_no_offsets():
    params = make_memory("transformer", INPUTS, SIZE).init(np.random.default_rng(0))
    for name, value in params.items():
        if name.rpartition(".")[2].startswith(("gain", "b_", "b", "distance")):
            expected = torch.ones_like(value) if "gain" in name else torch.zeros_like(value)
            assert torch.equal(value, expected), name
    assert sum("gain" in name for name in params) == 2 * sum("w_up" in name for name in params) + 1


def test_an_unknown_memory_is_said_with_the_nearest():
    with pytest.raises(ValueError, match="'transformers'.*did you mean 'transformer'"):
        make_memory("transformers", INPUTS, SIZE)


@dataclass(frozen=True)
class Leaky(Memory):
    """A mean over time that forgets."""

    name = "leaky"
    rate: float = option(0.5, "Share of the past that stays.", low=0, high=1)

    def init(self, rng):
        return {"w": torch.from_numpy(rng.standard_normal((self.size, self.input_dim)).astype(np.float32))}

    def start(self, batch, dtype=torch.float32):
        return (torch.zeros(batch, self.size, dtype=dtype),)

    def run(self, params, state, xs):
        (h,), ys = state, []
        for x in xs:
            h = self.rate * h + x @ params["w"].T
            ys.append(h)
        return (h,), torch.stack(ys)


def test_a_memory_of_one_s_own_is_found_and_takes_its_options(monkeypatch):
    assert "leaky" not in MEMORIES
    load = type(MEMORIES).load
    monkeypatch.setattr(type(MEMORIES), "load", lambda self, name: Leaky if name == "leaky" else load(self, name))
    assert [(field.name, field.default, field.metadata["help"]) for field in Leaky.options()] == [
        ("rate", 0.5, "Share of the past that stays.")
    ]
    memory = RecurrentPolicy(1, 1, cell="leaky", size=1, memory_options={"rate": 0.25}).memory
    assert memory == Leaky(4, 1, rate=0.25)
    memory = make_memory("leaky", 1, 1, {"rate": 0.25})
    xs = torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1, 1)
    state, ys = memory.sequence({"w": torch.ones(1, 1)}, memory.start(1), xs)
    assert ys.flatten().tolist() == [1.0, 2.25, 4.5625]
    with pytest.raises(ValueError, match="^rate: got 2, expected 0 to 1$"):
        Leaky(1, 1, rate=2)
    with pytest.raises(NotImplementedError, match="the memory leaky has no ONNX graph"):
        memory.onnx(Graph(), {}, "x")


def test_no_more_is_predicted_than_there_is_to_observe():
    sizes = [make_memory("alpaca", 6, SIZE, {"observed": n}, observed=3).known for n in (0, 2, 3, 50)]
    assert sizes == [3, 2, 3, 3]
