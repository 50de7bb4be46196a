"""Evolved plasticity: a generation genome by genome, CMA-ES against the library's own loop, resuming."""

import numpy as np
import pytest
import torch

from metarl.algorithms import plasticity
from metarl.algorithms.evolution import CMA, EvolutionStrategy
from metarl.algorithms.plasticity import trial_returns
from metarl.algorithms.plasticity_config import PlasticityConfig
from metarl.algorithms.sampling import collect
from metarl.config import Config, EnvConfig, EvaluationConfig, PolicyConfig, WandbConfig
from metarl.runs.run import open_run
from metarl.training.train import train
from metarl.util import optional

from .trained import with_env


def config(**settings):
    changes = {name: settings.pop(name) for name in ("meta_batch", "episodes", "iterations") if name in settings}
    return Config(
        env=EnvConfig(family="Navigation2D", horizon=10), algorithm=PlasticityConfig(**settings),
        policy=PolicyConfig(hidden=(5,)), threads=1, evaluation=EvaluationConfig(tasks=5, episodes=2, steps=1),
        wandb=WandbConfig(mode="disabled"), **{"meta_batch": 3, "episodes": 6, "iterations": 3} | changes,
    )  # fmt: skip


# ---- strategies


def test_adam_takes_the_estimated_gradient():
    """The first step of Adam is lr along the sign of the gradient."""
    strategy = EvolutionStrategy(torch.tensor([1.0, 2.0]), sigma=0.1, lr=0.03, shaping="none")
    points = strategy.ask(np.random.default_rng(0), 400)
    assert (points - [1.0, 2.0]).std() == pytest.approx(0.1, rel=0.1)
    strategy.tell(points, points @ np.array([5.0, -0.5]))
    np.testing.assert_allclose(-strategy.genome.grad, [5.0, -0.5], atol=0.6)
    np.testing.assert_allclose(strategy.mean, [1.03, 1.97], atol=1e-5)


@pytest.mark.parametrize("objective", [
    lambda x: (np.logspace(0, 3, 8) * x**2).sum(1),
    lambda x: x.sum(1),  # long evolution paths: early generations stall, which depends on their number
])  # fmt: skip
def test_cma_as_a_value_is_the_library_s_own_loop(objective):
    cma = pytest.importorskip("cma")
    theirs = cma.CMAEvolutionStrategy(
        np.ones(8), 0.5, {"popsize": 12, "verbose": -9, "verb_log": 0, "seed": np.nan, "randn": lambda *s: np.zeros(s)}
    )
    theirs.sm.lazy_update_gap = 0
    ours, values = CMA(torch.ones(8), 0.5, 12), []
    for generation in range(60):
        if generation % 10 == 5:  # as a resume has it
            ours, state = CMA(torch.zeros(8), 9.0, 12), ours.state_dict()
            ours.load_state_dict(state)
        points = ours.ask(np.random.default_rng(generation), 12)
        values.append(objective(points.astype(np.float64)))
        theirs.ask()
        theirs.tell(list(points.astype(np.float64)), list(values[-1]))
        ours.tell(points, -values[-1])
        np.testing.assert_allclose(ours.arrays["mean"], theirs.mean, rtol=1e-10)
        assert ours.sigma == pytest.approx(theirs.sigma, rel=1e-10)
        np.testing.assert_allclose(ours.arrays["covariance"], theirs.sm.C, rtol=1e-9)
    assert values[-1].min() < 0.1 * values[0].min()


def test_what_cma_asks_for_has_its_covariance():
    strategy = CMA(torch.zeros(3), 0.5, 8)
    root = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.5, -0.3, 3.0]])
    strategy.arrays["covariance"] = root @ root.T
    points = strategy.ask(np.random.default_rng(0), 200_000)
    np.testing.assert_allclose(np.cov(points.T), 0.25 * root @ root.T, atol=0.02)


def test_cma_draws_from_no_global_generator():
    pytest.importorskip("cma")
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    strategy = CMA(torch.ones(3), 0.5, 6)
    for generation in range(3):
        points = strategy.ask(np.random.default_rng(generation), 6)
        strategy.tell(points, points.sum(1))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# ---- a generation


@pytest.mark.parametrize("strategy", ["es", "cma"])
def test_a_generation_is_what_each_genome_earns_alone(strategy, monkeypatch):
    learner, told = with_env(config(strategy=strategy, start="zero")), []
    normalizers = learner.normalizer, learner.reward_normalizer
    monkeypatch.setattr(learner.strategy, "tell", lambda points, values: told.append((points, values)))
    metrics = learner.iterate(learner.env, 0)
    ((genomes, values),) = told
    assert genomes.shape == (6, len(learner.strategy.mean)) and values.shape == (6,)
    assert metrics["env_steps"] <= 2 * 3 * 6 * 10
    learner.normalizer, learner.reward_normalizer = normalizers
    total = []
    for k in range(6):  # the others in the batch live by another genome
        alone = learner._adapter(torch.from_numpy(genomes[k]), None)
        state, rollouts = alone.start(3), []
        for e in range(2):
            seed = plasticity.stream(learner.config.seed, "rollouts", 0, e)
            rollouts.append(collect(learner.env, alone, state, 6, seed))
            state = alone.adapt(state, rollouts[-1])
        total.append([rollout.returns[:, k] for rollout in rollouts])
    np.testing.assert_allclose(values, np.sum(total, axis=1).mean(1), rtol=1e-4)
    np.testing.assert_allclose(metrics["return_1"], np.mean([of[1] for of in total]), rtol=1e-4)


def test_what_was_seen_and_earned_is_normalized_by_from_the_next_generation_on():
    made = config(normalize_weights=False)
    learner = with_env(made.model_copy(update={"policy": PolicyConfig(hidden=(5,), normalize_observations=True)}))
    for generation in (1, 2):
        metrics = learner.iterate(learner.env, generation)
        assert 0 < metrics["env_steps"] <= 2 * 3 * 6 * 10
    assert learner.normalizer.count == learner.reward_normalizer.count > metrics["env_steps"]
    assert learner.reward_normalizer.mean[0] < 0 < learner.reward_normalizer.std[0]


def test_an_annealed_step_size_falls_linearly(monkeypatch):
    learner, sizes = with_env(config(anneal=True, lr=0.3)), []
    monkeypatch.setattr(learner.strategy, "set_lr", sizes.append)
    for generation in range(3):
        learner.iterate(learner.env, generation)
    assert sizes == pytest.approx([0.3, 0.2, 0.1])


def test_a_trial_that_diverged_has_no_return():
    learner = with_env(config())
    rollout = collect(learner.env, learner.adapter(), learner.adapter().start(3), 6, np.random.SeedSequence(0))
    returns = trial_returns([rollout, rollout])
    np.testing.assert_allclose(returns, 2 * rollout.returns)
    rollout.diverged[1, 2] = True
    assert np.isnan(trial_returns([rollout, rollout])[1, 2])


def test_every_life_starts_from_other_weights(monkeypatch):
    learner, born = with_env(config()), []
    monkeypatch.setattr(
        plasticity, "collect", lambda *a, **k: born.append(a[1]._born((3, 6)).weights[0]) or collect(*a, **k)
    )
    learner.iterate(learner.env, 0)
    learner.iterate(learner.env, 1)
    assert torch.equal(born[0], born[1]) and not torch.equal(born[0], born[2])  # two episodes of one trial; another


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"anneal": False}, {"strategy": "cma", "share": "layer"}])
def test_resumes_to_the_same_bits_through_the_run_folder(settings, tmp_path):
    whole = train(config(**settings), tmp_path / "whole")
    part = train(config(**settings, iterations=2), tmp_path / "part")
    train(config(**settings), part, resume=True)
    assert (part / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    saved = [open_run(run).checkpoint().tensors for run in (part, whole)]
    assert saved[0].keys() == saved[1].keys() and all(torch.equal(saved[0][k], saved[1][k]) for k in saved[0])


@pytest.mark.parametrize(("change", "text"), [
    ({"algorithm": {"name": "plasticity", "strategy": "cma"}, "episodes": 3}, "episodes: got 3, expected at least 4"),
    ({"algorithm": {"name": "plasticity", "strategy": "cma", "anneal": True}}, "algorithm.anneal: got true, expected"),
    ({"policy": {"activation": "relu"}}, "policy.activation: got relu, expected no such setting"),
    ({"inner": {"steps": 3}}, "inner.steps: got 3, expected no such setting: plasticity has no inner loop"),
])  # fmt: skip
def test_settings_that_nothing_reads_are_refused(change, text):
    base = {"env": {"family": "Navigation2D"}, "algorithm": {"name": "plasticity"}}
    with pytest.raises(ValueError, match=text):
        Config.model_validate(base | change)


def test_without_the_library_cma_is_one_line(monkeypatch):
    chosen = config(strategy="cma")
    assert list(chosen.algorithm.problems(chosen)) == []
    monkeypatch.setattr(optional.Extra, "installed", lambda self: False)
    ((key, text),) = chosen.algorithm.problems(chosen)
    assert key == "algorithm.strategy"
    assert "needs the package cma, which is not installed: pip install '.[evolution]'" in text
    assert list(config().algorithm.problems(config())) == []
