"""The learners on real environments: they learn, repeat themselves, resume, and keep the test tasks out."""

import itertools
import json
import time
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch

from metarl.agents.baseline import fit_unscaled, fit_values
from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_env, make_learner, training_env
from metarl.algorithms.maml_config import MAMLConfig
from metarl.algorithms.promp_config import ProMPConfig
from metarl.algorithms.restore import restore, spec_of
from metarl.algorithms.sampling import collect
from metarl.config import Config, EnvConfig, InnerConfig, PolicyConfig
from metarl.util.errors import UserError
from metarl.util.ranks import Ranks
from metarl.util.rng import stream

from .trained import equal, resumed, with_env

pytestmark = pytest.mark.usefixtures("one_thread")

ALGORITHMS = {"promp": ProMPConfig(epochs=2), "maml-trpo": MAMLConfig(name="maml-trpo", cg_iterations=3)}


def config(kind="promp", steps=1, **changes):
    settings = {
        "env": EnvConfig(family="Navigation2D", horizon=15, action_scale=2.0),
        "policy": PolicyConfig(hidden=(8,), normalize_observations=True),
        "inner": InnerConfig(steps=steps, learn_lr=True),
        "algorithm": ALGORITHMS[kind],
        "meta_batch": 4,
        "episodes": 5,
        "threads": 1,
    }
    return Config(**settings | changes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALGORITHMS)
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_resumes_to_the_same_bits(kind, steps):
    _, metrics, _ = resumed(config(kind, steps, inner=InnerConfig(steps=steps, learn_lr=steps > 0)))
    assert {f"return_{k}" for k in range(steps + 1)} <= metrics[0].keys()


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_state_restores_weights_normalizer_and_optimizer(kind):
    learner = with_env(config(kind))
    learner.iterate(learner.env, 0)
    saved = learner.state_dict()
    assert all(value.any() for value in saved.values())  # nothing is as it was made
    other = with_env(learner.config)
    assert not equal(other.state_dict(), saved)
    other.load_state_dict(saved)
    assert equal(other.state_dict(), saved)
    for part in ("count", "mean", "m2"):
        np.testing.assert_array_equal(getattr(other.normalizer, part), getattr(learner.normalizer, part))
    assert other.normalizer.enabled
    before = {name: value.clone() for name, value in saved.items()}
    learner.iterate(learner.env, 1)
    assert equal(saved, before)  # a copy
    other.iterate(other.env, 1)
    assert equal(other.state_dict(), learner.state_dict())


def test_tensors_of_before_are_read_by_their_former_names(tmp_path):
    learner = with_env(config())
    learner.iterate(learner.env, 0)
    former = {name.replace("normalizer", "normaliser"): value for name, value in learner.state_dict().items()}
    other = with_env(learner.config)
    restore(other, SimpleNamespace(tensors=former, meta={}, path=tmp_path))
    assert equal(other.state_dict(), learner.state_dict())
    run = SimpleNamespace(path=tmp_path, spec=lambda: None)
    assert spec_of(run) is None
    run.spec = lambda: learner.spec.to_json()
    assert spec_of(run).to_json() == learner.spec.to_json()
    run.spec = lambda: {"horizon": 3}
    with pytest.raises(UserError, match=r"spec\.json: not what metarl wrote .*; restore a copy, or remove it"):
        spec_of(run)


def test_a_spec_reads_back_what_it_wrote():
    boxes = [gymnasium.spaces.Box(np.array(low), np.array([0.5, 2.0, np.inf]), dtype=kind) for low, kind in
             (([-np.inf, -1.0, 0.0], np.float64), ([-0.5, -2.0, -1.0], np.float32))]  # fmt: skip
    spec = Spec(*boxes, make_env(config(), 1).space, 15, 0.05)
    document = json.loads(json.dumps(spec.to_json(), allow_nan=False))
    again = Spec.from_json(document)
    assert again.observation_space == boxes[0] and again.action_space == boxes[1]
    assert (again.horizon, again.dt, again.observation_dim, again.action_dim) == (15, 0.05, 3, 3)
    assert again.task_space.to_json() == spec.task_space.to_json()
    assert document["observation_space"]["low"] == [None, -1.0, 0.0]


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_everything_that_should_learn_moves(kind):
    learner = with_env(config(kind))
    before = {name: value.detach().clone() for name, value in learner.meta.items()}
    learner.iterate(learner.env, 0)
    for name, value in learner.meta.items():
        assert not torch.equal(value, before[name]), name
    assert learner.normalizer.count > 0


def test_the_state_of_another_configuration_is_refused():
    learner = with_env(config())
    other = make_learner(config(policy=PolicyConfig(hidden=(9,), normalize_observations=True)))
    with pytest.raises(ValueError, match=r"params\.b0: got \(9,\) .* expected \(8,\)"):
        learner.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match=r"step_sizes\.b0: got nothing"):
        learner.load_state_dict(make_learner(config(inner=InnerConfig())).state_dict())


def test_training_never_draws_a_held_out_task():
    learner = with_env(config())
    space, drawn = learner.spec.task_space, []
    for iteration in range(20):
        rng = np.random.default_rng(stream(learner.config.seed, "tasks", iteration))
        drawn.append(space.sample(4, "train", rng))
    learner.iterate(learner.env, 0)
    assert learner.env.tasks == drawn[0].repeat(5)  # this is how iterate draws them
    held_out = space.sample(200, "held_out", np.random.default_rng(0))
    for tasks in drawn:
        space.assert_disjoint(tasks, held_out)
        assert (space.split_of(tasks) == "train").all()


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_an_adapter_is_a_snapshot(kind):
    """Training on, and adapting, leave it as it was; it carries its normalizer."""
    learner = with_env(config(kind))
    learner.iterate(learner.env, 0)
    adapter, observations = learner.adapter(), np.full((2, 3, 2), 0.1)
    state = adapter.start(2)
    before = adapter.act(state, observations, None).actions
    saved = learner.state_dict()
    env = make_env(learner.config, 2 * 5)
    env.set_tasks(env.space.sample(2, "train", np.random.default_rng(0)).repeat(5))
    adapter.adapt(state, collect(env, adapter, state, 5, stream(0, "evaluation", 0)))
    assert equal(saved, learner.state_dict())
    learner.iterate(learner.env, 1)
    assert (adapter.act(adapter.start(2), observations, None).actions == before).all()
    assert not np.allclose(learner.adapter().act(state, observations, None).actions, before)


@pytest.mark.slow
def test_promp_learns_to_navigate():
    """Forty small iterations: the return after adapting rises, and adapting pays."""
    learner = with_env(
        config(meta_batch=10, episodes=10, algorithm=ProMPConfig(lr=5e-3), env=EnvConfig(
            family="Navigation2D", horizon=20, action_scale=2.0))
    )
    history = [learner.iterate(learner.env, i) for i in range(40)]
    first, last = history[:5], history[-5:]

    def mean(rows, key):
        return np.mean([row[key] for row in rows])

    assert mean(last, "return_1") > mean(first, "return_1") + 0.5
    assert mean(last, "return_1") > mean(last, "return_0") + 0.5


def test_an_annealed_step_size_falls_linearly():
    algorithm = ProMPConfig(lr=0.02, anneal=True, epochs=1)
    learner = with_env(config(algorithm=algorithm, iterations=4))
    sizes = []
    for iteration in range(4):
        before = learner.meta["params.b0"].detach().clone()
        learner.optimizer.state.clear()  # the first step of Adam is as long as its step size
        learner.iterate(learner.env, iteration)
        sizes.append(float((learner.meta["params.b0"].detach() - before).abs().max()))
    assert sizes == pytest.approx([0.02, 0.015, 0.01, 0.005], rel=1e-3)


@pytest.mark.parametrize(("rank", "tasks"), [(0, 2), (1, 3)])
def test_a_rank_has_the_simulations_of_its_tasks(monkeypatch, rank, tasks):
    monkeypatch.setattr("metarl.util.ranks._current", Ranks(rank, 2))
    env = training_env(config(meta_batch=5, episodes=3))
    assert env.num_envs == 3 * tasks
    assert (env.unwrapped.first, env.unwrapped.whole) == (6 * rank, 15)
    env.close()


@pytest.mark.parametrize("kind", ["promp", "rl2", "reptile", "rma", "es-maml", "plasticity"])
def test_sampling_and_update_share_the_time_of_an_iteration(kind, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))  # a second for each look at the clock
    settings = {"env": {"family": "Navigation2D", "horizon": 5}, "algorithm": {"name": kind}, "meta_batch": 2,
                "episodes": 4, "iterations": 2}  # fmt: skip
    made = Config.model_validate(settings)
    env = training_env(made)
    learner = make_learner(made, Spec.of(env))
    for iteration in range(2):  # rma's teacher, and its student
        start = time.perf_counter()
        metrics = learner.iterate(env, iteration)
        whole = time.perf_counter() - start
        parts = metrics["seconds_sampling"], metrics["seconds_update"]
        assert min(parts) >= 1 and 0.3 * whole < sum(parts) < whole
    env.close()


@pytest.mark.parametrize(("revision", "baseline"), [(1, fit_unscaled), (2, fit_values)])
def test_runs_of_before_keep_their_baseline(revision, baseline):
    learner = with_env(config(revision=revision))
    assert learner.inner.baseline is baseline
