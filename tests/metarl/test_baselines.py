"""The references that adaptation is compared to: one config each, at equal budgets; the oracles."""

import numpy as np
import pytest
import torch

from metarl.algorithms.baselines import RandomAdapter
from metarl.algorithms.learners import make_env, make_learner, training_env
from metarl.config import Config, EnvConfig, changed, config_names, load_config
from metarl.evaluation.adaptation_curve import measure
from metarl.runs.checkpoint import save
from metarl.runs.run import open_run, start
from metarl.tuning.protocol import steps_per_iteration
from metarl.util.plugins import ALGORITHMS

METHODS = ("promp", "maml", "reptile_ppo", "rl2")
TRAINED = ("domain_randomised", "pretrained", "oracle")
UNTRAINED = ("random", "scratch_ppo")
SMALL = {"env.horizon": 4, "meta_batch": 3, "episodes": 2, "threads": 1}


@pytest.mark.parametrize("robot", ["half_cheetah_mass", "half_cheetah_disabled_joint"])
def test_every_method_has_a_config_and_the_same_budget(robot):
    configs = {name: load_config(f"{robot}/{name}") for name in (*METHODS, *TRAINED, *UNTRAINED)}
    assert len({config.env.family for config in configs.values()}) == 1
    budgets = {name: steps_per_iteration(config) * config.iterations for name, config in configs.items()}
    if robot == "half_cheetah_mass":
        budgets["rl2"] *= 300 / 750  # its published run is longer
    assert {budgets[name] for name in (*METHODS, *TRAINED)} == {12_000_000}
    assert {budgets[name] for name in UNTRAINED} == {0}


def test_random_actions_are_even_between_the_bounds():
    low, high = np.array([-1.0, 2.0], np.float32), np.array([3.0, 2.5], np.float32)
    adapter, observations = RandomAdapter(low, high), np.full((3, 4000, 5), 7.0)
    decision = adapter.act(adapter.start(3), observations, np.random.default_rng(0))
    drawn = np.random.default_rng(0).random((3, 4000, 2), np.float32)
    np.testing.assert_allclose(decision.actions, low + (high - low) * drawn, rtol=1e-6)
    np.testing.assert_array_equal(decision.observations, observations)
    middle = adapter.act(None, observations, None).actions
    np.testing.assert_array_equal(middle, np.broadcast_to([1.0, 2.25], (3, 4000, 2)))


@pytest.mark.parametrize("name", ["scratch", "random"])
def test_baselines_learn_nothing_before_the_task_and_it_costs_nothing(name):
    config = Config(env=EnvConfig(family="Navigation2D", horizon=4), algorithm=ALGORITHMS.load(name)(), threads=1)
    learner = make_learner(config)
    before = learner.state_dict()
    assert learner.iterate(training_env(config), 0) == {"env_steps": 0, "diverged": 0}
    after = learner.state_dict()
    assert before and all(torch.equal(after[key], value) for key, value in before.items())
    adapter, observations = learner.adapter(), np.zeros((2, 3, 2))
    state = adapter.start(2)
    actions = adapter.act(state, observations, None).actions
    assert actions.shape == (2, 3, 2)
    np.testing.assert_array_equal(adapter.normalize(np.full((1, 1, 2), 50.0)), 50.0)  # there is nothing to scale by
    again = make_learner(config.model_copy(update={"seed": 1}))
    again.load_state_dict(before)
    other = again.adapter()
    np.testing.assert_array_equal(other.act(other.start(2), observations, None).actions, actions)


LEARNERS = {
    "promp": {"algorithm.oracle": True},
    "domain_randomised": {"algorithm.oracle": True},
    "maml": {"algorithm.oracle": True},
    "reptile_ppo": {"algorithm.oracle": True, "inner.sb3.settings.n_epochs": 1},
    "scratch_ppo": {"algorithm.oracle": True, "inner.sb3.settings.n_epochs": 1},
    "oracle": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_a_policy_that_is_told_the_task_acts_on_it(name):
    config = changed(load_config(f"half_cheetah_mass/{name}"), SMALL | LEARNERS[name])
    learner = make_learner(config)
    learner.iterate(training_env(learner.config), 0)
    adapter = learner.adapter()
    told = learner.spec.observation_dim
    assert told == make_env(changed(config, {"algorithm.oracle": False}), 1).single_observation_space.shape[0] + 1
    observations = np.zeros((2, 1, told))
    observations[1, 0, -1] = 1.0  # the heaviest robot, all else alike
    light, heavy = adapter.act(adapter.start(2), observations, None).actions
    assert np.abs(light - heavy).max() > 1e-4
    tasks = learner.spec.task_space.sample(2, "held_out", np.random.default_rng(0))
    result = measure(adapter, lambda n: make_env(config, n), tasks, steps=1, episodes=2, seed=0)
    assert np.isfinite(result.returns).all()


def test_it_is_told_the_parameters_in_force():
    env = make_env(changed(load_config("half_cheetah_disabled_joint/oracle"), SMALL), 7)
    env.set_tasks(env.space.tasks(disabled_joint=[-1, 1, 2, 3, 4, 5, 0]))
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observation[:, -6:], np.eye(7, 6))  # the back thigh is held out
    before = make_env(changed(load_config("half_cheetah_disabled_joint/oracle"), SMALL | {"revision": 1}), 1)
    assert before.single_observation_space.shape == (17 + 1,)


def test_both_budgets_are_in_the_files(tmp_path):
    """Environment steps of training and of adaptation, each where it is spent."""
    from metarl.evaluation.evaluate import evaluate_run

    changes = SMALL | {"iterations": 3, "evaluation.tasks": 2, "evaluation.episodes": 2, "evaluation.steps": 1}
    config = changed(load_config("half_cheetah_disabled_joint/promp"), changes)
    run = start(config, tmp_path / "run")
    learner = make_learner(config)
    save(run.checkpoints, learner.state_dict(), {"iteration": 3, "env_steps": 3 * steps_per_iteration(config)})
    run.lock.release()
    result = evaluate_run(open_run(tmp_path / "run"))
    assert result.origin["training_env_steps"] == 3 * 2 * 3 * 2 * 4  # iterations, rounds, tasks, episodes, horizon
    assert result.env_steps.tolist() == [[8, 8], [8, 8]]  # rounds, tasks; episodes times horizon


REFERENCES = {"rl2_no_memory": "rl2", "rl2_oracle": "rl2", "oracle": "promp"}


@pytest.mark.parametrize("name", [name for name in config_names() if name.partition("/")[2] in REFERENCES])
def test_a_reference_has_as_many_weights_as_what_it_is_a_reference_for(name):
    folder, _, reference = name.partition("/")
    counts = [
        sum(value.numel() for value in make_learner(load_config(of)).adapter().params.values())
        for of in (name, f"{folder}/{REFERENCES[reference]}")
    ]
    assert counts[0] == pytest.approx(counts[1], rel=0.006)


@pytest.mark.parametrize("sb3", [None, "PPO", "SAC"])
def test_from_scratch_every_task_has_weights_of_its_own(sb3):
    config = changed(load_config("navigation/promp"), {
        "algorithm": {"name": "scratch"}, "inner": {"sb3": {"algorithm": sb3}}, "policy": {}, "gae_lambda": 1.0,
    })  # fmt: skip
    learner = make_learner(config)
    adapter, again, other = (
        make_learner(c).adapter() for c in (config, config, changed(config, {"seed": 1}))
    )
    params, same, others = (a.start(3).params for a in (adapter, again, other))
    for name, value in params.items():
        assert torch.equal(value, same[name])  # whoever starts them
        if value.std() > 0 and value.dim() == 3:  # no bias
            assert not torch.equal(value[0], value[1]) and not torch.equal(value[0], others[name][0])
            assert torch.allclose(value[0].std(), value[1].std(), rtol=0.5)
    saved = make_learner(changed(config, {"seed": 1})).state_dict()
    learner.load_state_dict(saved)
    assert all(torch.equal(value, others[name]) for name, value in learner.adapter().start(3).params.items())
    old = make_learner(changed(config, {"revision": 1})).adapter().start(3).params
    assert all(torch.equal(value[0], value[2]) for value in old.values())
