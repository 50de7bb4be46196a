"""What ProMP and MAML maximize, and what an iteration of them does, against the formulas of the papers task by task."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn.utils import parameters_to_vector

from metarl.agents import Normalizer
from metarl.algorithms import maml, meta_gradient
from metarl.algorithms.maml_config import MAMLConfig
from metarl.algorithms.promp_config import ProMPConfig
from metarl.algorithms.trust_region import natural_step
from metarl.config import Config, EnvConfig, InnerConfig, PolicyConfig
from metarl.util.rng import stream

from .test_meta_gradient import GaussianLearner, at
from .trained import with_env

pytestmark = pytest.mark.usefixtures("one_thread")


# ---- the objective, written down a second time


def network(params, observations):
    """The policy of one task, by torch's own distributions."""
    x = torch.tanh(observations @ params["w0"] + params["b0"]) @ params["w1"] + params["b1"]
    return Independent(Normal(x, params["log_std"].exp().expand_as(x)), 1)


def by_the_paper(it, vector, clip=None):
    """(surrogate of the adapted policies, KL of each round's policies from those that collected it), means over tasks.

    theta_{k+1} = theta_k + alpha_k * gradient of sum_n w_n pi(a_n) / pi_old(a_n) A_n, by torch.autograd.
    """
    meta, tasks = at(it, vector), len(it.rounds[0].samples.weights)
    names = [name.removeprefix("params.") for name in meta if name.startswith("params.")]
    surrogate, kls = 0.0, np.zeros(len(it.rounds))
    for m in range(tasks):
        params = {name: meta[f"params.{name}"].detach().requires_grad_() for name in names}
        for k, r in enumerate(it.rounds):
            observations, actions, log_probs, advantages, weights = (x[m] for x in r.samples)
            pi = network(params, observations)
            old = Independent(Normal(r.statistics.mean[m], r.statistics.std[m].expand_as(r.statistics.mean[m])), 1)
            kls[k] += (weights * kl_divergence(old, pi)).sum().item() / tasks
            ratio = (pi.log_prob(actions) - log_probs).exp()
            if k < len(it.rounds) - 1:
                gradients = torch.autograd.grad((weights * ratio * advantages).sum(), list(params.values()))
                sizes = [meta[f"step_sizes.{name}"][k] for name in names]
                params = {
                    name: (p + a * g).detach().requires_grad_()
                    for (name, p), a, g in zip(params.items(), sizes, gradients, strict=True)
                }
            elif clip is None:
                surrogate += (weights * ratio * advantages).sum().item() / tasks
            else:
                clipped = ratio.clamp(1 - clip, 1 + clip)
                terms = torch.where(ratio * advantages < clipped * advantages, ratio, clipped) * advantages
                surrogate += (weights * terms).sum().item() / tasks
    return surrogate, kls


def displaced(it, scale):
    centre = parameters_to_vector(it.meta.values()).detach()
    return centre + scale * torch.randn(len(centre), generator=torch.Generator().manual_seed(5), dtype=centre.dtype)


def mean_loss(it, vector):
    return it.loss(at(it, vector), it.rounds).item() / len(it.rounds[0].samples.weights)


@pytest.mark.parametrize("steps", [1, 2])
def test_promp_maximizes_the_clipped_surrogate_less_the_mean_kl_of_the_earlier_rounds(steps):
    """Equation 13: eta = 0.1, eps = 0.3; the last round has no penalty, and each KL is of its own round."""
    it = GaussianLearner("promp", steps)
    vector = displaced(it, 0.2)
    surrogate, kls = by_the_paper(it, vector, clip=0.3)
    unclipped, _ = by_the_paper(it, vector)
    assert abs(surrogate - unclipped) > 0.01 and kls.min() > 0.01 and np.ptp(kls) > 1e-3  # each part matters
    assert mean_loss(it, vector) == pytest.approx(0.1 * kls[:-1].mean() - surrogate, rel=1e-9)


def test_promp_without_inner_steps_has_no_penalty():
    it = GaussianLearner("promp", 0)
    vector = displaced(it, 0.2)
    assert mean_loss(it, vector) == pytest.approx(-by_the_paper(it, vector, clip=0.3)[0], rel=1e-9)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_maml_maximizes_the_surrogate_and_measures_the_kl_of_the_adapted_policies(steps):
    it = GaussianLearner("maml", steps)
    vector = displaced(it, 0.2)
    surrogate, kls = by_the_paper(it, vector)
    assert mean_loss(it, vector) == pytest.approx(-surrogate, rel=1e-9)
    assert it.evaluate(at(it, vector), it.rounds) == pytest.approx((-surrogate, kls[-1]), rel=1e-9)


@pytest.mark.parametrize("chunk", [1, 96, 10**9])
def test_the_value_of_the_objective_is_the_mean_over_all_tasks_whatever_the_chunks(chunk, monkeypatch):
    monkeypatch.setattr(meta_gradient, "CHUNK_NUMBERS", chunk)
    promp, other = GaussianLearner("promp"), GaussianLearner("maml")
    assert len(list(promp.chunks(promp.rounds))) == {1: 3, 96: 2, 10**9: 1}[chunk]  # 3 tasks of 12 rows of 4 units
    vector = displaced(promp, 0.2)
    for it in (promp, other):
        it.meta = {name: value.clone().requires_grad_() for name, value in at(it, vector).items()}
        assert it.meta_gradient(it.rounds)[1] == pytest.approx(mean_loss(it, vector), rel=1e-12)
    assert other.evaluate(other.meta, other.rounds)[0] == pytest.approx(mean_loss(other, vector), rel=1e-12)


# ---- an iteration


def learner(algorithm, steps=1, **changes):
    settings = {
        "env": EnvConfig(family="Navigation2D", horizon=15, action_scale=2.0),
        "policy": PolicyConfig(hidden=(8,), normalize_observations=True),
        "inner": InnerConfig(steps=steps, lr=0.3),
        "algorithm": algorithm, "meta_batch": 4, "episodes": 5, "threads": 1,
    }  # fmt: skip
    return with_env(Config(**settings | changes))


def kept(it, name):
    """What a method of a learner returned, as a list that fills."""
    method, values = getattr(it, name), []

    def keeping(*args):
        values.append(method(*args))
        return values[-1]

    setattr(it, name, keeping)
    return values


def test_promp_takes_its_adam_steps_along_the_meta_gradient():
    it = learner(ProMPConfig(epochs=3, lr=0.02))
    copies = [value.detach().clone().requires_grad_() for value in it.meta.values()]
    adam, gradients = torch.optim.Adam(copies, lr=0.02), kept(it, "meta_gradient")
    metrics = it.iterate(it.env, 0)
    assert len(gradients) == 3
    for gradient, _ in gradients:
        for copy, g in zip(copies, gradient.values(), strict=True):
            copy.grad = g
        adam.step()
    for copy, value in zip(copies, it.meta.values(), strict=True):
        assert torch.equal(copy, value)
    losses = [loss for _, loss in gradients]
    assert (metrics["objective_before"], metrics["objective"]) == (-losses[0], -losses[-1])
    assert metrics["objective"] > metrics["objective_before"]


def test_maml_moves_as_far_as_the_line_search_says_and_no_further():
    """A region so wide that the whole step leaves it: the KL of the new weights is the one that was accepted."""
    it = learner(MAMLConfig(max_kl=0.5, cg_iterations=5, backtrack_ratio=0.7))
    before, [rounds] = parameters_to_vector(it.meta.values()).detach().clone(), [kept(it, "inner_loops")]
    metrics = it.iterate(it.env, 0)
    assert 0 < metrics["step_fraction"] < 1
    rounds = rounds[0][0]
    loss, kl = it.evaluate(it.meta, rounds)
    assert metrics["objective"] == pytest.approx(-loss, abs=1e-6) and metrics["kl"] == pytest.approx(kl, rel=1e-4)
    assert 0.05 < kl <= 0.5 and metrics["objective"] > metrics["objective_before"]
    after = parameters_to_vector(it.meta.values()).detach()
    it.meta = {name: value.detach() for name, value in it.displaced(before - after).items()}
    assert metrics["objective_before"] == pytest.approx(-it.evaluate(it.meta, rounds)[0], abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, math.nan])
def test_maml_stays_where_no_step_is_accepted(scale, monkeypatch):
    it = learner(MAMLConfig(cg_iterations=2))
    monkeypatch.setattr(maml, "natural_step", lambda *settings: scale * natural_step(*settings))
    monkeypatch.setattr(maml, "line_search", lambda evaluate, step, before, *_: (0.0, before, 0.0))
    before = {name: value.detach().clone() for name, value in it.meta.items()}
    metrics = it.iterate(it.env, 0)
    assert all(torch.equal(value, before[name]) for name, value in it.meta.items())
    assert metrics["objective"] == metrics["objective_before"] and metrics["step_fraction"] == 0


def test_the_curvature_is_damped_and_a_mean_over_tasks(monkeypatch):
    """One task many times over has the curvature of one; damping adds its multiple of the identity."""
    products = {}

    def asked(product, gradient, *_):
        vector = torch.ones_like(gradient)
        products[damping] = product(vector)
        return torch.zeros_like(gradient)

    monkeypatch.setattr(maml, "natural_step", asked)
    for damping in (0.0, 2.0):
        it = learner(MAMLConfig(damping=damping, curvature_fraction=1.0))
        rounds = kept(it, "inner_loops")
        it.iterate(it.env, 0)
    centre = parameters_to_vector(it.meta.values()).detach()

    def kl(vector):
        return it.surrogate_and_kl(at(it, vector), rounds[0][0])[1] / 4

    hessian = torch.autograd.functional.hessian(kl, centre)
    torch.testing.assert_close(products[0.0], hessian @ torch.ones_like(centre), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(products[2.0] - products[0.0], 2 * torch.ones_like(centre), rtol=1e-4, atol=1e-4)


def sums(moments):
    """Count, sum and sum of squares, of count, mean and summed squared deviations."""
    count, mean, m2 = moments
    return np.stack([count, count * mean, m2 + count * mean**2])


@pytest.mark.parametrize("algorithm", [ProMPConfig(epochs=1), MAMLConfig(cg_iterations=1)])
def test_the_normalizer_stands_still_while_an_iteration_collects_and_then_moves(algorithm, monkeypatch):
    it = learner(algorithm, steps=2)
    it.normalizer, seen = Normalizer(10.0, np.array([1.0, 2.0]), np.array([40.0, 90.0])), []
    before, collect = it.normalizer, meta_gradient.collect

    def collecting(env, adapter, state, episodes, seed):
        rollout = collect(env, adapter, state, episodes, seed)
        seen.append((adapter.normalizer, seed, rollout))
        return rollout

    monkeypatch.setattr(meta_gradient, "collect", collecting)
    metrics = it.iterate(it.env, 3)
    assert [normalizer for normalizer, _, _ in seen] == [before] * 3
    assert [seed.spawn_key for _, seed, _ in seen] == [stream(0, "rollouts", 3, k).spawn_key for k in range(3)]
    count, total, squares = sum(sums(rollout.raw_moments) for _, _, rollout in seen)
    # by definition, of 10 numbers with that mean and variance and the new ones
    mean = (10 * before.mean + total) / (10 + count)
    np.testing.assert_allclose(it.normalizer.mean, mean)
    variance = (40.0 + 10 * 1.0, 90.0 + 10 * 4.0) + squares
    np.testing.assert_allclose(it.normalizer.m2, variance - (10 + count) * mean**2)
    assert metrics["env_steps"] == count[0] == sum(rollout.num_steps for _, _, rollout in seen)
    for k, (_, _, rollout) in enumerate(seen):
        assert metrics[f"return_{k}"] == pytest.approx(np.where(rollout.valid, rollout.rewards, 0).sum(1).mean())
    # round k + 1 is collected with what an inner step made of round k
    assert metrics["std"] == pytest.approx(math.exp(float(it.meta["params.log_std"].detach().mean())), abs=0.02)


def test_diverged_episodes_of_all_rounds_are_counted_and_no_return(monkeypatch):
    it = learner(ProMPConfig(epochs=1))
    collect = meta_gradient.collect

    def breaking(*args):
        rollout = collect(*args)
        rollout.diverged[:, :2] = True
        rollout.valid[:, :, :2] = False
        return rollout

    monkeypatch.setattr(meta_gradient, "collect", breaking)
    metrics = it.iterate(it.env, 0)
    assert metrics["diverged"] == 4 * 2 * 2 and np.isfinite(metrics["return_1"])
