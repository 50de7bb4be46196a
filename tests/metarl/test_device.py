"""Learners on the device of the physics, tried on Warp's CPU device: the code is that of a GPU.

On a GPU a tensor that is read by the processor is waited for, and one that was made on the processor is an error. The
first is shown here, by forbidding it; the second in test_second_device.py, here and of tests/agents.
"""

import numpy as np
import pytest
import torch

from metarl import load_config, make_learner, training_env
from metarl.algorithms import sampling
from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_env
from metarl.envs import FAMILIES, Parameter, TaskSpace, Write
from metarl.envs.families.navigation import Navigation2D
from metarl.envs.families.servo_robot import ROBOTS
from metarl.envs.sensing import Sensing, stacked
from metarl.envs.warp import GPU
from metarl.evaluation import measure
from metarl.testing import check_learner
from metarl.util import plugins
from metarl.util.plugins import MEMORIES
from metarl.util.rng import stream

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(600),
    pytest.mark.skipif(not GPU.installed(), reason=f"needs the extra gpu: {GPU.command}"),
]  # fmt: skip
SMALL = ("threads=1", "meta_batch=3", "episodes=2", "env.horizon=8", "env.physics=warp", "env.warp.device=cpu")
needs_robots = pytest.mark.skipif(not ROBOTS.installed(), reason=f"needs the extra robots: {ROBOTS.command}")
RL2 = ("algorithm.window=5", "algorithm.minibatches=2", "algorithm.memory_size=8")
LEARNERS = [
    ("navigation/promp", ()), ("navigation/maml", ()), ("navigation/promp", ("algorithm.oracle=true",)),
    *(("navigation_sparse/rl2", (*RL2, f"algorithm.memory={memory}")) for memory in MEMORIES.names()),
    ("navigation_sparse/rl2", (*RL2, "algorithm.predict=task", "algorithm.burn_in=2", "bootstrap_at_horizon=true")),
    ("navigation_sparse/rl2", (*RL2, "algorithm.memory=alpaca", "algorithm.predict=fit")),
    ("navigation/promp", ("env.family=Hazy",)), ("navigation_sparse/rl2", (*RL2, "env.family=Hazy")),
    pytest.param("go1/rl2", (*RL2, "env.horizon=40"), marks=[pytest.mark.whole, needs_robots]),
    pytest.param("own_robot/go1", (*RL2, "env.horizon=30"), marks=[pytest.mark.whole, needs_robots]),
]  # fmt: skip
every_learner = pytest.mark.parametrize(("name", "settings"), LEARNERS)


class Hazy(Navigation2D):
    """Navigation2D behind all noise, delays and holds that there are."""

    name = "Hazy"
    space = TaskSpace("Hazy", (
        *Navigation2D.space.parameters,
        Parameter("wait", "steps", "", 0, "choice", choices=(0, 1, 2), writes=Write("action_delay")),
        Parameter("hold", "steps", "", 1, "choice", choices=(1, 2), writes=Write("control_period")),
        Parameter("noise", "m", "", 0.0, "uniform", 0.0, 0.1, writes=Write("observation_noise")),
        Parameter("bias", "m", "", 0.0, "uniform", -0.1, 0.1, writes=Write("observation_bias", (1,)), onset=3),
        Parameter("lag", "steps", "", 0, "choice", choices=(0, 2), writes=Write("observation_delay", (0,))),
        Parameter("loss", "1", "", 0.0, "uniform", 0.0, 0.6, writes=Write("observation_dropout")),
    ))  # fmt: skip
    sensing = Sensing((("observation_noise", 0.05, (0,)),), np.full(2, -0.3), np.full(2, 0.4), np.array([2.0, 1.0]),
                      *stacked([(2, 3)]))  # fmt: skip

    def goal(self, values):
        return values[:, :2]

    def terminated(self, sim, values):
        return super().terminated(sim, values[:, :2])


@pytest.fixture(autouse=True)
def _with_a_hazy_family(monkeypatch):
    monkeypatch.setattr(plugins, "_added", {})
    FAMILIES.add("Hazy", Hazy)


def made(name, *settings):
    told = {setting.partition("=")[0] for setting in settings}
    config = load_config(name, [*(s for s in SMALL if s.partition("=")[0] not in told), *settings])
    env = training_env(config)
    return config, env, make_learner(config, Spec.of(env))


@every_learner
def test_it_learns_what_it_would_from_numpys_arrays(name, settings):
    config, env, learner = made(name, *settings)
    assert env.unwrapped.__class__.__name__ == "TensorEnv" and learner.spec.device == "cpu"
    arrays = make_env(config, env.num_envs)
    assert arrays.unwrapped.__class__.__name__ == "BatchEnv"
    other = make_learner(config, Spec.of(arrays))
    for iteration in range(2):
        found, expected = learner.iterate(env, iteration), other.iterate(arrays, iteration)
        for metric, value in expected.items():
            assert metric.startswith("seconds") or found[metric] == pytest.approx(value, rel=1e-2, abs=1e-3), metric
    for tensor, value in other.state_dict().items():
        np.testing.assert_allclose(learner.state_dict()[tensor], value, rtol=0.02, atol=2e-3, err_msg=tensor)


@pytest.mark.parametrize(("name", "settings"), [LEARNERS[0], LEARNERS[1], LEARNERS[-6]])
def test_it_keeps_the_contract_and_resumes_bit_for_bit(name, settings):
    check_learner(load_config(name, [*SMALL, *settings]))


class Left(AssertionError):
    """A rollout has left the device."""


@pytest.fixture
def within_steps(monkeypatch):
    """While an episode goes on no tensor may be read by the processor, but for a few bits; yields how many were."""
    counted = {"steps": 0, "bits": 0}

    def forbidden(*_, **__):
        raise Left

    def few(name):
        kept = getattr(torch.Tensor, name)

        def read(self, *arguments):
            if self.numel() > 3:
                raise Left
            counted["bits"] += self.numel()
            return kept(self, *arguments)

        return read

    def guarded(*arguments):
        steps = kept_episode(*arguments)
        while True:
            with monkeypatch.context() as inside:
                for name in ("numpy", "cpu", "__array__", "__dlpack__"):
                    inside.setattr(torch.Tensor, name, forbidden)
                for name in ("tolist", "item", "__bool__", "__int__", "__float__"):
                    inside.setattr(torch.Tensor, name, few(name))
                step = next(steps, None)
            if step is None:
                return
            counted["steps"] += 1
            for x in (step.observations, step.rewards, step.running, step.decision.actions, step.decision.observations):
                assert isinstance(x, torch.Tensor)
            yield step

    kept_episode = sampling.episode
    monkeypatch.setattr(sampling, "episode", guarded)
    return counted


@every_learner
def test_no_rollout_leaves_the_device_within_a_step(name, settings, within_steps):
    config, env, learner = made(name, *settings)
    learner.iterate(env, 0)
    steps = within_steps["steps"]
    assert steps == config.rounds * env.horizon
    # ended, diverged, unsound; is anyone running; and what only a processor asks for free: is anyone over, or there,
    # pushed, or told something else
    assert within_steps["bits"] <= 9 * steps


def test_what_is_forbidden_there_is_noticed(within_steps, monkeypatch):
    _, env, learner = made("navigation/promp")
    kept = env.family.observe
    monkeypatch.setattr(env.family, "observe", lambda *state: kept(*state) + float(kept(*state).cpu().sum() * 0))
    with pytest.raises(Left):
        learner.iterate(env, 0)


def test_a_run_evaluates_in_either_physics_as_it_trained():
    config, env, learner = made("navigation_sparse/rl2", *RL2)
    learner.iterate(env, 0)
    batch = load_config("navigation_sparse/rl2", [*SMALL[:4], *RL2])
    returns = []
    for settings in (config, batch):
        evaluated = make_learner(settings)
        evaluated.load_state_dict(learner.state_dict())
        tasks = env.space.sample(3, "held_out", np.random.default_rng(0))
        for adapter in (learner.adapter(), evaluated.adapter()):
            found = measure(adapter, lambda n, of=settings: make_env(of, n), tasks, steps=1, episodes=2, seed=0)
            returns.append(found.returns)
    for other in returns[1:]:
        np.testing.assert_allclose(other, returns[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["Navigation2D", "Hazy"])
def test_a_rollout_of_tensors_is_numpys(family):
    config, env, learner = made("navigation/promp", f"env.family={family}")
    arrays, adapter = make_env(config, env.num_envs), learner.adapter()
    tasks = env.space.sample(3, "train", np.random.default_rng(0)).repeat(2)
    found, expected = (
        (each.set_tasks(tasks), sampling.collect(each, adapter, adapter.start(3), 2, stream(0, "rollouts")))[1]
        for each in (env, arrays)
    )
    for field in ("observations", "raw_moments", "actions", "rewards", "terminated", "truncated", "valid", "diverged",
                  "last_observations", "steps", "returns"):  # fmt: skip
        np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=1e-4, atol=1e-4)
    assert found.rewards.dtype == torch.float64 and found.observations.dtype == torch.float32
    assert np.isnan(found.successes).all()
