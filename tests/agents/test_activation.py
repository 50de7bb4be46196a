"""The fast tanh against PyTorch's: values, and derivatives of every kind that the methods take."""

import pytest
import torch

from metarl.agents.nn.activation import ACTIVATIONS

tanh = ACTIVATIONS["tanh"]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-7), (torch.float64, 5e-16)])
def test_values(dtype, tolerance):
    x = torch.cat([torch.linspace(-30, 30, 10_001, dtype=dtype), torch.tensor([0.0, -0.0, 1e-30, 1e30, -1e30])])
    assert (tanh(x) - torch.tanh(x)).abs().max() <= tolerance
    assert torch.isnan(tanh(torch.tensor(torch.nan))) and tanh(torch.tensor([torch.inf])) == 1.0
    before = x.clone()
    tanh(x)
    assert torch.equal(x, before)


@pytest.mark.slow
def test_derivatives_of_first_second_and_third_order():
    x = torch.linspace(-2, 2, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tanh, x) and torch.autograd.gradgradcheck(tanh, x)
    third = [torch.func.grad(torch.func.grad(torch.func.grad(f))) for f in (tanh, torch.tanh)]
    ours, theirs = (torch.func.vmap(f)(x.detach()) for f in third)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_forward_over_reverse_and_in_a_batch():
    x, tangent = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def slope(f):
        return torch.func.jvp(torch.func.grad(lambda v: (f(v) ** 2).sum()), (x,), (tangent,))

    for ours, theirs in zip(slope(tanh), slope(torch.tanh), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.func.vmap(tanh)(x), torch.tanh(x), rtol=1e-12, atol=1e-12)
