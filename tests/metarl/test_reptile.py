"""Reptile's outer step by hand, its adaptations task by task, and the baselines that learn nothing beforehand."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from metarl.agents import Rollout
from metarl.algorithms import reptile
from metarl.algorithms.baselines_config import RandomConfig, ScratchConfig
from metarl.algorithms.learners import make_env, make_learner
from metarl.algorithms.reptile_config import ReptileConfig
from metarl.config import Config, EnvConfig, EvaluationConfig, InnerConfig, PolicyConfig, SB3Config, WandbConfig
from metarl.evaluation.adaptation_curve import measure
from metarl.training.train import train
from metarl.util.errors import UserError

from .trained import resumed, with_env

SB3 = {
    "PPO": {"n_epochs": 2, "batch_size": 25, "policy_kwargs": {"net_arch": [6]}},
    "SAC": {"train_freq": 5, "batch_size": 8, "learning_starts": 0, "policy_kwargs": {"net_arch": [6]}},
}


def config(inner=None, **changes):
    """A small run; `inner`: null for gradient steps, or an algorithm of SB3."""
    algorithm = changes.pop("algorithm", ReptileConfig(lr=0.5, momentum=0.3, average=0.9))
    steps = changes.pop("steps", 2)
    if inner:
        changes["inner"] = InnerConfig(steps=steps, sb3=SB3Config(algorithm=inner, settings=SB3[inner]))
        changes["policy"] = PolicyConfig(normalize_observations=algorithm.name != "scratch")
    else:
        if algorithm.name != "random":
            changes["inner"] = InnerConfig(steps=steps)
        changes.setdefault("policy", PolicyConfig(hidden=(8,), normalize_observations=algorithm.name != "scratch"))
    env = changes.pop("env", EnvConfig(family="Navigation2D", horizon=10, action_scale=2.0))
    return Config(**{"env": env, "algorithm": algorithm, "meta_batch": 3, "episodes": 5, "threads": 1} | changes)


def toy(iterations=100, **settings):
    """A learner with two weights, without an inner learner."""
    learner = make_learner(config(algorithm=ReptileConfig(**settings), iterations=iterations))
    learner.params = {"w": torch.tensor([1.0, 2.0], dtype=torch.float64), "b": torch.tensor(3.0, dtype=torch.float64)}
    learner.velocity = {name: torch.zeros_like(value) for name, value in learner.params.items()}
    learner.average = dict(learner.params)
    return learner


def adapted(*rows, b):
    return {"w": torch.tensor(rows, dtype=torch.float64), "b": torch.tensor(b, dtype=torch.float64)}


def test_the_outer_step_by_hand():
    learner = toy(lr=0.5)
    moved = learner.step(adapted([2.0, 2.0], [4.0, 0.0], b=[3.0, 5.0]), 0)  # averages (3, 1) and 4
    torch.testing.assert_close(learner.params["w"], torch.tensor([2.0, 1.5], dtype=torch.float64))
    assert learner.params["b"] == 3.5
    assert moved == pytest.approx(np.sqrt(1.0 + 0.25 + 0.25))


def test_a_whole_step_is_the_average_of_the_adapted():
    learner = toy()
    learner.step(adapted([2.0, 2.0], [4.0, 0.0], b=[3.0, 5.0]), 0)
    torch.testing.assert_close(learner.params["w"], torch.tensor([3.0, 1.0], dtype=torch.float64))


def test_momentum_by_hand():
    learner = toy(lr=0.5, momentum=0.5)
    learner.step({"w": learner.params["w"][None] + 4.0, "b": learner.params["b"][None]}, 0)  # v = 4: 1 -> 3
    learner.step({"w": learner.params["w"][None] + 1.0, "b": learner.params["b"][None]}, 1)  # v = 3: 3 -> 4.5
    torch.testing.assert_close(learner.params["w"], torch.tensor([4.5, 5.5], dtype=torch.float64))


def test_at_first_nothing_moves_and_the_average_is_of_the_initial_weights():
    learner = make_learner(config())
    assert all(not value.any() for value in learner.velocity.values())
    assert all(torch.equal(value, learner.params[name]) for name, value in learner.average.items())


def test_the_step_size_falls_to_zero_over_the_iterations():
    learner, lengths = toy(iterations=4, lr=2.0, anneal=True), []
    for i in range(4):
        before = learner.params["b"].clone()
        learner.step({"w": learner.params["w"][None], "b": before[None] + 1.0}, i)
        lengths.append(float(learner.params["b"] - before))
    assert lengths == pytest.approx([2.0, 1.5, 1.0, 0.5])


def test_the_average_is_a_mean_at_first_and_forgets_later():
    learner, seen = toy(average=0.6), []
    for i, value in enumerate([4.0, 8.0, 0.0, 10.0]):
        learner.step({"w": learner.params["w"][None], "b": torch.tensor([value], dtype=torch.float64)}, i)
        seen.append(float(learner.average["b"]))
    # means of 4; 4, 8; then 0.6 of the past (2/3 would be the mean of three)
    assert seen == pytest.approx([4.0, 6.0, 0.6 * 6.0, 0.6 * 3.6 + 0.4 * 10.0])


def test_on_quadratics_it_goes_where_theory_says():
    """Task i: f_i = a_i (x - c_i)^2 / 2. k gradient steps leave r_i = (1 - alpha a_i)^k of the distance, so Reptile
    is gradient descent on sum_i (1 - r_i) (x - c_i)^2 / 2, with each iterate known."""
    a, c, alpha, k, epsilon = np.array([0.5, 2.0, 1.0]), np.array([1.0, -2.0, 4.0]), 0.3, 4, 0.7
    weight = 1 - (1 - alpha * a) ** k
    goal, rate = (weight * c).sum() / weight.sum(), epsilon * weight.mean()
    learner = toy(lr=epsilon)
    for i in range(25):
        x = np.full(3, float(learner.params["b"]))
        for _ in range(k):
            x = x - alpha * a * (x - c)
        learner.step({"w": learner.params["w"][None], "b": torch.tensor(x)}, i)
        assert float(learner.params["b"]) == pytest.approx(goal + (3.0 - goal) * (1 - rate) ** (i + 1), abs=1e-12)
    assert float(learner.params["b"]) == pytest.approx(goal, abs=1e-3)


def part(rollout, m):
    """The rollout of one task."""
    whole = ("raw_moments", "state")
    return Rollout(**{f.name: getattr(rollout, f.name) if f.name in whole else getattr(rollout, f.name)[m : m + 1]
                      for f in fields(rollout)})  # fmt: skip


@pytest.mark.parametrize("inner", [None, "PPO"])
def test_all_tasks_at_once_is_task_by_task(inner, monkeypatch):
    learner, rollouts = with_env(config(inner, algorithm=ReptileConfig(lr=1.0))), []
    collect = reptile.collect
    monkeypatch.setattr(reptile, "collect", lambda *a, **k: rollouts.append(collect(*a, **k)) or rollouts[-1])
    seed = reptile.stream(learner.config.seed, "minibatches", 0)
    adapter = learner.inner.adapter(learner.params, learner.normalizer, seed)
    before, metrics = dict(learner.params), learner.iterate(learner.env, 0)
    assert metrics["env_steps"] == sum(rollout.num_steps for rollout in rollouts) <= 2 * 3 * 5 * 10
    assert [metrics["return_0"], metrics["return_1"]] == [rollout.returns.mean() for rollout in rollouts]
    results = []
    for m in range(1 if inner else 3):  # SB3's draws are those of a task's place: the first has the same alone
        state = adapter.start(1)
        for rollout in rollouts:
            state = adapter.adapt(state, part(rollout, m))
        results.append(state.params)
    if inner:
        both = adapter.adapt(adapter.adapt(adapter.start(3), rollouts[0]), rollouts[1]).params
        for name, value in results[0].items():
            assert torch.equal(both[name][:1], value)
        results = [both]
    for name in before:
        mean = torch.cat([result[name] for result in results]).mean(0)
        torch.testing.assert_close(learner.params[name], mean, rtol=1e-5, atol=1e-6)
        assert not torch.equal(mean, before[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("inner", [None, "PPO", "SAC"])
def test_resumes_to_the_same_bits(inner):
    unbroken, _, saved = resumed(config(inner))
    want = unbroken.state_dict()
    assert all(not torch.equal(saved[name], want[name]) for name in saved if name.startswith("params."))
    with pytest.raises(ValueError, match="the weights belong to another configuration"):
        make_learner(config(None if inner else "PPO")).load_state_dict(saved)


@pytest.mark.slow
@pytest.mark.parametrize("inner", [None, "PPO"])
def test_the_adapter_is_a_snapshot_of_what_is_tested(inner):
    for average in (0.0, 0.9):
        learner = with_env(config(inner, algorithm=ReptileConfig(average=average)))
        for i in range(3):
            learner.iterate(learner.env, i)
        expected = learner.average if average else learner.params
        adapter = learner.adapter()
        assert all(torch.equal(adapter.params[name], value) for name, value in expected.items())
        same = all(torch.equal(learner.average[name], value) for name, value in learner.params.items())
        assert same == (not average)
        kept = {name: value.clone() for name, value in adapter.params.items()}
        learner.iterate(learner.env, 3)
        assert all(torch.equal(adapter.params[name], value) for name, value in kept.items())


@pytest.mark.slow
def test_it_learns_to_navigate():
    """What k inner steps reach rises: the weights come nearer to those of each task."""
    env = EnvConfig(family="Navigation2D", horizon=15, action_scale=2.0)
    learner = with_env(
        config(env=env, steps=3, meta_batch=10, episodes=10, algorithm=ReptileConfig(momentum=0.5))
    )
    history = [learner.iterate(learner.env, i)["return_2"] for i in range(30)]
    assert np.mean(history[-5:]) > np.mean(history[:5]) + 0.5


@pytest.mark.parametrize("inner", [None, "PPO"])
def test_from_scratch_costs_nothing_before_the_task_and_learns_in_it(inner):
    learner = with_env(config(inner, algorithm=ScratchConfig(), policy=PolicyConfig(hidden=(8,))))
    before = learner.state_dict()
    assert learner.iterate(learner.env, 0) == {"env_steps": 0, "diverged": 0}
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    state = learner.adapter().start(2)
    env = make_env(learner.config, 10)
    env.set_tasks(env.space.sample(2, "held_out", np.random.default_rng(0)).repeat(5))
    rollout = reptile.collect(env, learner.adapter(), state, 5, np.random.SeedSequence(0))
    after = learner.adapter().adapt(state, rollout)
    assert any(not torch.equal(after.params[name], value) for name, value in state.params.items())
    other = make_learner(learner.config.model_copy(update={"seed": 1}))
    assert any(not torch.equal(other.state_dict()[name], value) for name, value in before.items())
    other.load_state_dict(before)
    assert all(torch.equal(other.state_dict()[name], value) for name, value in before.items())


def test_random_is_even_and_never_changes():
    learner = with_env(config(algorithm=RandomConfig()))
    adapter = learner.adapter()
    observations = np.zeros((2, 5000, 2))
    decision = adapter.act(adapter.start(2), observations, np.random.default_rng(0))
    assert decision.actions.shape == (2, 5000, 2) and decision.actions.dtype == np.float32
    counts = np.histogram(decision.actions, bins=4, range=(-2, 2))[0]
    assert counts.sum() == 20_000 and (abs(counts - 5000) < 300).all()
    assert (adapter.act(None, observations, None).actions == 0).all()
    env = learner.env
    tasks = env.space.sample(4, "held_out", np.random.default_rng(0))
    result = measure(adapter, lambda n: make_env(learner.config, n), tasks, steps=2, episodes=30, seed=0)
    np.testing.assert_allclose(result.per_task[1:], result.per_task[:1].repeat(2, 0), atol=2.5)


@pytest.mark.slow
@pytest.mark.parametrize(("inner", "algorithm"), [("PPO", ReptileConfig(anneal=True)), (None, ScratchConfig()),
                                                  (None, RandomConfig())])  # fmt: skip
def test_a_run_from_end_to_end(inner, algorithm, tmp_path):
    changes = {
        "iterations": 2,
        "evaluation": EvaluationConfig(tasks=2, episodes=3, steps=1),
        "wandb": WandbConfig(mode="disabled"),
    }
    run = train(config(inner, algorithm=algorithm, **changes), tmp_path / "run")
    assert len(list((run / "evaluations").glob("*.json"))) == 1
    again = config(inner, algorithm=algorithm, **changes | {"iterations": 3})
    if algorithm.name == "reptile":  # its step size falls over as many iterations as there are
        with pytest.raises(UserError, match="iterations: got 3, expected 2"):
            train(again, run, resume=True)
    else:
        train(again, run, resume=True)


@pytest.mark.sb3
@pytest.mark.slow
@pytest.mark.parametrize("inner", ["PPO", "SAC"])
def test_processes_learn_the_same_to_the_bit(inner):
    def trained(processes):
        settings = SB3Config(algorithm=inner, settings=SB3[inner], processes=processes)
        learner = with_env(config(inner).model_copy(update={"inner": InnerConfig(steps=2, sb3=settings)}))
        metrics = [learner.iterate(learner.env, iteration) for iteration in range(2)]
        return learner, [{k: v for k, v in m.items() if "seconds" not in k} for m in metrics]

    (alone, metrics), (spread, same) = trained(0), trained(2)
    assert alone.adapter().spread is None and spread.adapter().spread.count == 2
    assert len(set(spread.adapter().spread._workers.pids)) == 2
    assert metrics == same
    for name, value in alone.state_dict().items():
        assert torch.equal(value, spread.state_dict()[name]), name


@pytest.mark.sb3
@pytest.mark.slow
def test_weights_that_are_not_finite_are_reported_from_a_process_too():
    huge = {"learning_rate": 1e38, "max_grad_norm": 1e9, "vf_coef": 1e6}
    settings = SB3Config(algorithm="A2C", settings=huge, processes=1)
    learner = with_env(config("PPO").model_copy(update={"inner": InnerConfig(steps=2, sb3=settings)}))
    with pytest.raises(FloatingPointError, match="is not finite after training in a task; lower learning_rate"):
        learner.iterate(learner.env, 0)


def test_processes_are_for_sb3_only():
    with pytest.raises(ValueError, match="inner.sb3.processes: got 2, expected 0 without inner.sb3.algorithm"):
        config().model_validate(config().model_dump() | {"inner": {"sb3": {"processes": 2}}})
