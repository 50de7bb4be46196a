"""ES-MAML's outer gradient against its closed form on quadratic tasks, in the very loop that trains robots."""

import functools

import numpy as np
import pytest
import torch

from metarl.algorithms import es_maml
from metarl.algorithms.es_maml_config import ESMAMLConfig
from metarl.algorithms.learners import make_env
from metarl.algorithms.sampling import collect
from metarl.config import Config, EnvConfig, EvaluationConfig, InnerConfig, PolicyConfig, WandbConfig
from metarl.envs.families.navigation import Navigation, _goal
from metarl.envs.task import TaskSpace
from metarl.evaluation.adaptation_curve import measure
from metarl.runs.run import open_run
from metarl.training.train import train

from .trained import with_env


class Bowl(Navigation):
    """One step to a hidden goal: r = -|action - goal|^2. The observation is zero, so a linear policy's bias acts."""

    name, horizon = "Bowl", 1
    space = TaskSpace(name, (_goal("x"), _goal("y")))

    def control_range(self, model):
        return np.full(2, -100.0), np.full(2, 100.0)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {"distance": -np.square(ctrl - values).sum(1)}


def bowl(steps=1, meta_batch=1000, lr=0.25, **settings):
    env = EnvConfig(family="Bowl", action_scale=100.0)
    env.share_family(Bowl())
    algorithm = ESMAMLConfig(shaping="none", **{"operator": "gradient", "sigma": 0.5, "inner_sigma": 0.3} | settings)
    return with_env(Config(
        env=env, algorithm=algorithm, policy=PolicyConfig(hidden=()), inner=InnerConfig(steps=steps, lr=lr),
        meta_batch=meta_batch, episodes=4, threads=1,
    ))  # fmt: skip


def estimates(learner, count):
    """(count, P) gradients that the outer loop estimates at one initialization."""
    start, found = learner.strategy.mean, []
    for i in range(count):
        with torch.no_grad():
            learner.strategy.genome.copy_(start)
        learner.iterate(learner.env, i)
        found.append(-learner.strategy.genome.grad.numpy())
    return np.array(found)


def gradient(learner, steps):
    """Of J by the bias, averaged over the goals, which are even around zero.

    f = -|b - goal|^2 is a quadratic of curvature a = 2, U is b + alpha G d with d = -a (b - goal) its gradient and
    G = sum g g' / J of J = 2 pairs in P = 2 dimensions, E G = 1 and E G^2 = (J + P + 1) / J. So the gradient of
    f(U(b)) is E (1 - alpha a G)^2 d = (1 - 2 alpha a + alpha^2 a^2 (J + P + 1) / J) d, at any sigma.
    """
    alpha, a, pairs, size = 0.25, 2.0, 2, 2
    factor = 1 - 2 * alpha * a + (alpha * a) ** 2 * (pairs + size + 1) / pairs if steps else 1.0
    return -factor * a * learner.params["b0"].numpy()


@pytest.mark.parametrize("steps", [0, 1])
def test_the_outer_gradient_is_that_of_the_smoothed_return_after_adaptation(steps):
    learner = bowl(steps)
    with torch.no_grad():  # the biases are the last of the genome
        learner.strategy.genome[-2:] = torch.tensor([1.0, -0.7])
    exact, found = gradient(learner, steps), estimates(learner, 8)
    assert list(learner.params) == ["w0", "b0"]
    error = found.std(0, ddof=1) / np.sqrt(len(found))
    assert (error < 0.05 * np.abs(exact).max()).all()
    assert (np.abs(found.mean(0)[-2:] - exact) < 4 * error[-2:]).all(), (found.mean(0)[-2:], exact, error[-2:])
    assert (np.abs(found.mean(0)[:-2]) < 4 * error[:-2]).all()  # nothing depends on the weights


def test_hill_climbing_climbs_in_each_task():
    learner = bowl(steps=5, meta_batch=50, lr=0.1, operator="hill_climbing", inner_sigma=0.2)
    learner.iterate(learner.env, 0)
    tasks = learner.env.space.sample(50, "train", np.random.default_rng(0))
    adapter = learner.adapter()
    env = learner.env
    env.set_tasks(tasks.repeat(4))
    state, centers = adapter.start(50), []
    for k in range(6):
        rollout = collect(env, adapter, state, 4, np.random.SeedSequence(k))
        centers.append(rollout.returns[:, 0])  # the present weights are the first candidate
        state = adapter.adapt(state, rollout)
    gains = np.diff(centers, axis=0)
    assert (gains >= -1e-6).all() and np.mean(centers[-1]) > 0.3 * np.mean(centers[0])
    still = np.abs(gains).max(1) == 0
    assert not still.any()


def test_both_of_a_pair_adapt_under_the_same_draws(monkeypatch):
    learner, calls = bowl(steps=1, meta_batch=3), []
    monkeypatch.setattr(es_maml, "collect", lambda *a, **k: calls.append((a, collect(*a, **k))) or calls[-1][1])
    learner.iterate(learner.env, 0)
    (plus, plus_rollout), (adapted, _), (minus, minus_rollout), _ = calls
    middle = 0.5 * (plus[2].params + minus[2].params)
    torch.testing.assert_close(middle, torch.zeros(3, 1) + middle[0], atol=1e-6, rtol=0)
    np.testing.assert_array_equal(plus_rollout.state.tried.noise, minus_rollout.state.tried.noise)
    assert not torch.equal(plus[2].params, minus[2].params)
    assert adapted[1].exploring is False and plus[1].exploring


def navigation(**settings):
    algorithm = ESMAMLConfig(**{"inner_sigma": 0.3, "lr": 0.05} | settings)
    return Config(
        env=EnvConfig(family="Navigation2D", horizon=30), algorithm=algorithm, policy=PolicyConfig(hidden=()),
        inner=InnerConfig(steps=2), meta_batch=20, episodes=8, iterations=40, threads=1,
        evaluation=EvaluationConfig(tasks=20, episodes=8, steps=2), wandb=WandbConfig(mode="disabled"),
    )  # fmt: skip


@pytest.mark.slow
def test_it_learns_to_adapt():
    config = navigation()
    learner = with_env(config)
    tasks = learner.env.space.sample(40, "train", np.random.default_rng(0))

    def returns():
        make = functools.partial(make_env, config)
        result = measure(learner.adapter(), make, tasks, steps=2, episodes=8, seed=0, deterministic=True)
        return np.nanmean(result.returns, axis=(1, 2))

    before = returns()
    for i in range(40):
        learner.iterate(learner.env, i)
    learned = returns()
    assert learned[2] > learned[0] + 3 and learned[2] > before[2] + 1.5, (before, learned)


@pytest.mark.slow
def test_resumes_to_the_same_bits_through_the_run_folder(tmp_path):
    still = navigation()
    straight = train(still.model_copy(update={"iterations": 3}), tmp_path / "straight")
    part = train(still.model_copy(update={"iterations": 2}), tmp_path / "again")
    train(still.model_copy(update={"iterations": 3}), part, resume=True)
    assert (part / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()
    saved = [open_run(run).checkpoint().tensors for run in (part, straight)]
    assert saved[0].keys() == saved[1].keys() and all(torch.equal(saved[0][k], saved[1][k]) for k in saved[0])


@pytest.mark.parametrize(("change", "text"), [
    ({"inner": {"lr": 0.2}}, "inner.lr: got 0.2, expected no such setting: es-maml tries weights, by operator = hill"),
    ({"inner": {"head_only": True}}, "inner.head_only: got True, expected no such setting"),
    ({"policy": {"init_std": 0.5}}, "policy.init_std: got 0.5, expected no such setting without"),
    ({"episodes": 1}, "episodes: got 1, expected at least 2 with es-maml: adaptation compares them"),
    ({"evaluation": {"episodes": 1}}, "evaluation.episodes: got 1, expected at least 2 with es-maml"),
])  # fmt: skip
def test_settings_that_nothing_reads_are_refused(change, text):
    config = {"env": {"family": "Navigation2D"}, "algorithm": {"name": "es-maml"}}
    with pytest.raises(ValueError, match=text.replace("(", r"\(")):
        Config.model_validate(config | change)
    Config.model_validate(config | {"algorithm": {"name": "es-maml", "operator": "gradient"}, "inner": {"lr": 0.2}})
    Config.model_validate(config | {"episodes": 2})
    Config.model_validate(config | {"episodes": 1, "inner": {"steps": 0}})
