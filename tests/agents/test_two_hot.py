"""Values as a distribution over bins, by hand and against hat functions."""

import numpy as np
import pytest
import torch

from metarl.agents.critics import Critics
from metarl.agents.two_hot import TwoHot

LINEAR = TwoHot(5, 4.0, even=True)  # bins at -4, -2, 0, 2, 4
SYMLOG = TwoHot(5, float(np.expm1(2.0)))  # at symexp of -2, -1, 0, 1, 2


def test_the_bins_are_even_in_their_scale():
    assert LINEAR.values.tolist() == [-4.0, -2.0, 0.0, 2.0, 4.0]
    e = float(np.e)
    assert SYMLOG.values.tolist() == pytest.approx([1 - e**2, 1 - e, 0.0, e - 1, e**2 - 1])


def test_a_target_is_divided_between_its_two_bins_by_hand():
    got = LINEAR.encode(torch.tensor([0.0, 0.5, -3.9, 4.0, 99.0, -1e9]))
    expected = [
        [0, 0, 1, 0, 0], [0, 0, 0.75, 0.25, 0], [0.95, 0.05, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0],
    ]  # fmt: skip
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float32), atol=1e-6, rtol=0)
    # in x, not in symlog x, of which 2 has a share of 0.099 and log(3) - 1 = 0.0986 would be
    low, high = np.e - 1, np.e**2 - 1
    share = (2.0 - low) / (high - low)
    assert SYMLOG.encode(torch.tensor(2.0)).tolist() == pytest.approx([0, 0, 0, 1 - share, share])


@pytest.mark.parametrize("coding", [LINEAR, SYMLOG, TwoHot(2, 1.0), TwoHot(101, 10_000.0), TwoHot(100, 50.0)])
def test_what_is_encoded_has_the_mean_of_the_target(coding):
    bins, rng = coding.values.double().numpy(), np.random.default_rng(0)
    targets = np.concatenate([rng.uniform(bins[0], bins[-1], 500), rng.normal(size=50).clip(bins[0], bins[-1]), bins])
    weights = coding.encode(torch.from_numpy(targets.astype(np.float32))).double().numpy()
    hats = np.stack([np.interp(targets, bins, row) for row in np.eye(len(bins))], axis=-1)
    np.testing.assert_allclose(weights, hats, atol=1e-4)
    assert ((weights > 0).sum(-1) <= 2).all() and (weights >= 0).all()
    np.testing.assert_allclose(weights @ bins, targets, rtol=1e-5, atol=1e-5)
    # so the best answer to targets that differ is their mean: what a Bellman target of a random step needs
    answer = torch.from_numpy(weights.mean(0)).log().float()
    assert coding.mean(answer).item() == pytest.approx(targets.mean(), rel=1e-4, abs=1e-3 * bins[-1] / len(bins))


def test_the_loss_and_its_gradient_by_hand():
    logits = torch.tensor([[0.0, 1.0, 2.0, 0.0, -1.0], [3.0, 0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    loss = LINEAR.loss(logits, torch.tensor([0.5, 0.5]))
    # -0.75 log p(0) - 0.25 log p(2)
    sums = [1 + np.e + np.e**2 + 1 + np.exp(-1), np.exp(3) + 4]
    assert loss.tolist() == pytest.approx([np.log(sums[0]) - 0.75 * 2, np.log(sums[1])])
    loss.sum().backward()
    wanted = np.array([0, 0, 0.75, 0.25, 0])
    for row, total, raw in zip(logits.grad, sums, logits.detach().double().numpy()):
        np.testing.assert_allclose(row, np.exp(raw) / total - wanted, atol=1e-6)


def test_the_gradient_is_as_large_for_large_targets():
    """What a squared error lacks: there it is a thousand times as large."""
    coding = TwoHot(101, 10_000.0)
    for value in (3.0, 3000.0):
        logits = torch.zeros(101, requires_grad=True)
        coding.loss(logits, torch.tensor(value)).backward()
        assert 0.6 < logits.grad.norm() < 1.0


@pytest.mark.parametrize("even", [False, True])
def test_critics_of_bins_begin_at_zero_and_learn_a_mean(even):
    critics = Critics(3, 2, 2, None, 0, hidden=(16,), coding=TwoHot(31, 100.0, even))
    params = critics.init(np.random.default_rng(0))
    xs, actions = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).split([3, 2], dim=1)
    nothing = torch.zeros(40, 0)

    def outputs():
        return critics.outputs(params, critics.see(params, nothing, xs), actions)

    assert outputs().shape == (2, 40, 31)
    assert critics.decoded(outputs()).abs().max() < 1e-4
    for value in params.values():
        value.requires_grad_(True)
    optimizer = torch.optim.Adam(params.values(), lr=0.03)
    for _ in range(200):
        optimizer.zero_grad()
        (0.5 * sum(critics.coding.loss(outputs(), torch.tensor(target)).mean() for target in (-3.0, 20.0))).backward()
        optimizer.step()
    got = critics.values(params, critics.see(params, nothing, xs), actions).detach()
    torch.testing.assert_close(got, torch.full((2, 40), 8.5), atol=1.0, rtol=0)  # symexp of the mean symlog is 1.3
