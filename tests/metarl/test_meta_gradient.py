"""Meta-gradients against central finite differences, on a bandit whose expectations are exact sums.

Contexts s, two action dimensions of three choices each, one reward table per task: an enumeration of all (s, a),
weighted by p(s) pi_old(a | s), replaces sampling, so the value after any number of inner steps is a closed expression
of the initial logits. The learners' own loss, inner loop and chunking are used; the value is computed apart, in NumPy.
"""

import dataclasses
import itertools
import math
from typing import NamedTuple

import gymnasium
import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent
from torch.nn.utils import parameters_to_vector

from metarl.agents import InnerLoop, Samples
from metarl.agents.inner_loop import per_task
from metarl.algorithms import meta_gradient
from metarl.algorithms.base import Spec
from metarl.algorithms.maml import MAML
from metarl.algorithms.maml_config import MAMLConfig
from metarl.algorithms.meta_gradient import Round
from metarl.algorithms.promp import ProMP
from metarl.algorithms.promp_config import ProMPConfig
from metarl.config import Config, EnvConfig, InnerConfig, PolicyConfig
from metarl.envs import make_family

TASKS, CONTEXTS, DIMS, CHOICES, LR = 3, 2, 2, 3, 0.7
CONTEXT_PROBS = np.array([0.3, 0.7])
REWARDS = np.random.default_rng(0).normal(size=(TASKS, CONTEXTS, CHOICES, CHOICES))
ROWS = list(itertools.product(range(CONTEXTS), range(CHOICES), range(CHOICES)))


class Table(NamedTuple):
    logits: torch.Tensor  # (M, N, D, C)


class TabularPolicy:
    """Independent softmax over each action dimension in each context."""

    head = frozenset(("logits",))

    def __call__(self, params, observations):
        return Table(torch.einsum("mns,msdc->mndc", observations, params["logits"]))

    def distribution(self, statistics):
        return Independent(Categorical(logits=statistics.logits, validate_args=False), 1, validate_args=False)


def enumerate_rounds(learner, theta, stale=False):
    """Rounds 0..K as the learner would collect them with infinitely many episodes."""
    contexts = torch.eye(CONTEXTS, dtype=torch.float64)[[row[0] for row in ROWS]].expand(TASKS, -1, -1)
    actions = torch.tensor([row[1:] for row in ROWS], dtype=torch.float64).expand(TASKS, -1, -1)
    advantages = torch.from_numpy(np.stack([[REWARDS[m][row] for row in ROWS] for m in range(TASKS)]))
    params, rounds = per_task({"logits": theta}, TASKS), []
    first = None
    for k in range(learner.config.inner.steps + 1):
        table = TabularPolicy()(params, contexts)
        old = TabularPolicy().distribution(table).log_prob(actions)
        weights = old.exp() * torch.tensor([CONTEXT_PROBS[row[0]] for row in ROWS])
        first = old if first is None else first
        samples = Samples(contexts, actions, first if stale else old, advantages, weights)
        rounds.append(Round(samples, table))
        if k < learner.config.inner.steps:
            with torch.no_grad():
                honest = InnerLoop(TabularPolicy())
                params, _ = honest.adapt(params, {"logits": LR}, samples._replace(log_probs=old))
    return rounds


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def value(theta: np.ndarray, steps: int) -> float:
    """Mean over tasks of the exact value after ``steps`` exact policy-gradient steps."""
    total = 0.0
    for rewards in REWARDS:
        logits = theta.copy()
        for _ in range(steps):
            p = softmax(logits)  # (S, D, C)
            joint = p[:, 0, :, None] * p[:, 1, None, :]
            mean = (joint * rewards).sum((1, 2))
            q0, q1 = (p[:, 1, None, :] * rewards).sum(2), (p[:, 0, :, None] * rewards).sum(1)
            gradient = np.stack([p[:, 0] * (q0 - mean[:, None]), p[:, 1] * (q1 - mean[:, None])], axis=1)
            logits = logits + LR * CONTEXT_PROBS[:, None, None] * gradient
        p = softmax(logits)
        total += (CONTEXT_PROBS * (p[:, 0, :, None] * p[:, 1, None, :] * rewards).sum((1, 2))).sum()
    return total / TASKS


def finite_differences(theta: np.ndarray, steps: int, eps: float = 1e-5) -> np.ndarray:
    gradient = np.zeros(theta.size)
    for i in range(theta.size):
        shift = np.zeros(theta.size)
        shift[i] = eps
        shift = shift.reshape(theta.shape)
        gradient[i] = (value(theta + shift, steps) - value(theta - shift, steps)) / (2 * eps)
    return gradient


def spec(horizon):
    """Three observations, two actions; nothing else of an environment is needed."""
    boxes = (gymnasium.spaces.Box(-1.0, 1.0, (size,)) for size in (3, 2))
    return Spec(*boxes, make_family("HalfCheetahDir").space, horizon, 0.05)


THETA = np.random.default_rng(1).normal(size=(CONTEXTS, DIMS, CHOICES))


def learner(kind, steps, inner_loop=None, **inner):
    algorithm = {"promp": ProMPConfig(name="promp", inner_kl_coef=0.0), "maml": MAMLConfig(name="maml-trpo")}[kind]
    config = Config(env=EnvConfig(family="HalfCheetahDir"), algorithm=algorithm, inner=InnerConfig(steps=steps, lr=LR))
    it = {"promp": ProMP, "maml": MAML}[kind](config, spec(horizon=1))
    it.inner = dataclasses.replace(it.inner, inner_loop=inner_loop or InnerLoop(TabularPolicy(), **inner))
    it.meta = {"params.logits": torch.tensor(THETA, requires_grad=True)}
    return it


def meta_gradient_of(it, rounds) -> np.ndarray:
    """Ascent direction of the objective, as the learner's own code computes it."""
    return -it.meta_gradient(rounds)[0]["params.logits"].numpy().ravel()


def error(kind, steps, inner_loop=None, stale=False, policy=None, **inner) -> float:
    it = learner(kind, steps, inner_loop, **inner)
    if policy is not None:
        it.inner.inner_loop.policy = policy
    got = meta_gradient_of(it, enumerate_rounds(it, it.meta["params.logits"].detach(), stale))
    want = finite_differences(THETA, steps)
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


@pytest.mark.parametrize("kind", ["promp", "maml"])
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_equals_finite_differences(kind, steps):
    assert error(kind, steps) < 1e-6


class LogProbSurrogate(InnerLoop):
    """The usual wrong one: -log pi * A, right once, wrong when differentiated twice."""

    def loss(self, statistics, samples):
        pi = self.policy.distribution(statistics)
        return -(samples.weights * pi.log_prob(samples.actions) * samples.advantages).sum(-1)


class MeanOverActions(TabularPolicy):
    """learn2learn's slip: the log-probability averaged over action dimensions."""

    def distribution(self, statistics):
        pi = super().distribution(statistics)
        log_prob = pi.log_prob
        pi.log_prob = lambda actions: log_prob(actions) / DIMS
        return pi


@pytest.mark.parametrize("kind", ["promp", "maml"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_classic_wrong_variants_fail(kind, steps):
    assert error(kind, steps, LogProbSurrogate(TabularPolicy())) > 1e-3
    assert error(kind, steps, first_order=True) > 1e-3
    assert error(kind, steps, stale=True) > 1e-3
    assert error(kind, steps, policy=MeanOverActions()) > 1e-3


# ---- the Gaussian policy: step sizes, penalty, curvature, chunks


class GaussianLearner:
    """A learner over random samples of a small policy in float64."""

    def __new__(cls, kind, steps=2, tasks=3, rows=12, **inner):
        algorithm = {
            "promp": ProMPConfig(inner_kl_coef=0.1),
            "maml": MAMLConfig(name="maml-trpo", curvature_fraction=1.0),
        }
        config = Config(
            env=EnvConfig(family="HalfCheetahDir"), algorithm=algorithm[kind], episodes=rows // 3, meta_batch=tasks,
            inner=InnerConfig(steps=steps, lr=0.3, learn_lr=steps > 0, **inner), policy=PolicyConfig(hidden=(4,)),
        )
        it = {"promp": ProMP, "maml": MAML}[kind](config, spec(horizon=3))
        rng = np.random.default_rng(0)
        params = {n: v.double() for n, v in it.policy.init(rng).items()}
        it.meta = {f"params.{n}": v.requires_grad_() for n, v in params.items()}
        for name, value in params.items():
            sizes = torch.full((steps, *value.shape), 0.3, dtype=value.dtype)
            it.meta[f"step_sizes.{name}"] = sizes.requires_grad_()
        generator = torch.Generator().manual_seed(0)

        def normal(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        state, it.rounds = per_task({n: v.detach() for n, v in params.items()}, tasks), []
        for _ in range(steps + 1):
            samples = Samples(
                normal(tasks, rows, 3), normal(tasks, rows, 2), normal(tasks, rows), normal(tasks, rows),
                torch.full((tasks, rows), 1 / rows, dtype=torch.float64),
            )
            with torch.no_grad():
                statistics = it.policy(state, samples.observations)
                samples = samples._replace(log_probs=it.policy.distribution(statistics).log_prob(samples.actions))
                it.rounds.append(Round(samples, statistics))
                state, _ = it.inner.inner_loop.adapt(state, dict.fromkeys(params, 0.3), samples)
        return it


def at(it, vector) -> dict:
    parts = vector.split([v.numel() for v in it.meta.values()])
    return {n: p.view_as(v) for p, (n, v) in zip(parts, it.meta.items())}


def objective(it, vector):
    """The learner's loss at meta-parameters ``vector``, mean over tasks, with its penalty."""
    return it.loss(at(it, vector), it.rounds) / it.rounds[0].samples.num_tasks


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["promp", "maml"])
@pytest.mark.parametrize("chunk", [1, 96, 10**9])
def test_gaussian_meta_gradient_reaches_weights_and_step_sizes(kind, chunk, monkeypatch):
    monkeypatch.setattr(meta_gradient, "CHUNK_NUMBERS", chunk)
    it = GaussianLearner(kind)
    centre = parameters_to_vector(it.meta.values()).detach()
    got = parameters_to_vector(it.meta_gradient(it.rounds)[0].values())
    eps, want = 1e-6, torch.zeros_like(centre)
    for i in range(len(centre)):
        shift = torch.zeros_like(centre)
        shift[i] = eps
        want[i] = (objective(it, centre + shift) - objective(it, centre - shift)).detach() / (2 * eps)
    assert (got - want).norm() / want.norm() < 1e-6
    assert all(part.abs().max() > 0 for part in at(it, got).values())


def test_the_first_likelihood_ratio_is_one_and_the_kl_zero():
    it = GaussianLearner("maml")
    for statistics, r in zip(it.outputs(it.meta, it.rounds), it.rounds, strict=True):
        ratio = torch.exp(it.policy.distribution(statistics).log_prob(r.samples.actions) - r.samples.log_probs)
        assert (ratio - 1).abs().max() < 1e-12
        assert it.kl(r, statistics).abs().max() < 1e-12


@pytest.mark.parametrize("inner", [{}, {"head_only": True}, {"first_order": True}])
def test_gauss_newton_is_the_hessian_of_the_kl(inner):
    """Exact at the expansion point; checked by differentiating the KL twice."""
    it = GaussianLearner("maml", steps=1, **inner)
    centre = parameters_to_vector(it.meta.values()).detach()

    def kl(vector):
        return it.surrogate_and_kl(at(it, vector), it.rounds)[1] / 3

    vector = torch.randn(len(centre), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    products = [it.curvature(part) for part in it.chunks([it.thin(r) for r in it.rounds])]
    got = sum(product(vector) for product in products) / 3
    hessian = torch.autograd.functional.hessian(kl, centre)
    torch.testing.assert_close(got, hessian @ vector, rtol=1e-8, atol=1e-10)


def test_thinning_keeps_whole_episodes_and_weights_add_up():
    it = GaussianLearner("maml", rows=12)  # 3 steps of 4 episodes
    it.config = it.config.model_copy(update={"algorithm": MAMLConfig(name="maml-trpo", curvature_fraction=0.5)})
    thin = it.thin(it.rounds[0])
    assert thin.samples.weights.shape == (3, 6)
    torch.testing.assert_close(thin.samples.weights.sum(1), torch.ones(3, dtype=torch.float64))
    by_episode = it.rounds[0].samples.observations.unflatten(1, (3, 4))
    torch.testing.assert_close(thin.samples.observations.unflatten(1, (3, 2)), by_episode[:, :, :2])


def test_a_task_of_which_nothing_is_left_has_no_weight_in_the_curvature():
    it = GaussianLearner("maml", rows=12)
    it.config = it.config.model_copy(update={"algorithm": MAMLConfig(name="maml-trpo", curvature_fraction=0.25)})
    weights = it.rounds[0].samples.weights.clone().unflatten(1, (3, 4))
    weights[1, :, 0] = 0  # the only episode that is kept of task 1 diverged
    samples = it.rounds[0].samples._replace(weights=weights.flatten(1, 2))
    assert it.thin(it.rounds[0]._replace(samples=samples)).samples.weights.sum(1).tolist() == pytest.approx([1, 0, 1])


@pytest.mark.parametrize("kind", ["promp", "maml"])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(kind):
    it = GaussianLearner(kind)
    before = parameters_to_vector(it.meta.values()).detach().clone()
    it.rounds[-1].samples.advantages[0, 0] = math.nan
    with pytest.raises(FloatingPointError, match="meta-gradient of params.w0 is not finite"):
        it.meta_gradient(it.rounds)
    assert (parameters_to_vector(it.meta.values()) == before).all()
