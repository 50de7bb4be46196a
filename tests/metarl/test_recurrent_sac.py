"""Recurrent SAC: its losses by hand, its update against a loop over single steps, and that memory pays."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from metarl.agents import RecurrentAdapter
from metarl.agents.nn.params import part
from metarl.agents.squashed_policy import LOG_STD
from metarl.algorithms import off_policy
from metarl.algorithms.off_policy_config import DEVIATIONS
from metarl.algorithms.recurrent_sac_config import RecurrentSACConfig
from metarl.algorithms.soft_actor_critic import actor_loss, critic_loss, critic_targets, temperature_loss
from metarl.config import Config, EnvConfig, PolicyConfig
from metarl.envs import BatchEnv
from metarl.util.errors import UserError
from metarl.util.torch_runtime import ONE_BY_ONE

from .test_rl2 import Goal, Vault
from .trained import with_env

pytestmark = pytest.mark.usefixtures("one_thread")


def config(**changes):
    algorithm = {key: changes.pop(key) for key in list(changes) if key in RecurrentSACConfig.model_fields}
    small = {"memory_size": 6, "trial_episodes": 3, "critic_hidden": [5], "batch_rows": 6, "window": 5, "burn_in": 7}
    settings = {
        "env": EnvConfig(family="Navigation2D", horizon=12, action_scale=2.0),
        "policy": PolicyConfig(hidden=(8,), normalize_observations=True),
        "algorithm": RecurrentSACConfig(**small | {"update_ratio": 0.05} | algorithm),
        "meta_batch": 4,
        "episodes": 3,
        "threads": 1,
        "bootstrap_at_horizon": True,
    }
    return Config(**settings | changes)


def learner_on(family, **changes):
    settings = config(**changes)
    env = BatchEnv(family, settings.meta_batch * settings.episodes, autoreset_mode=AutoresetMode.DISABLED)
    return with_env(settings, env)


def ragged(**changes):
    """A learner with trials of unequal lengths, some episodes of which ended in a terminal state."""
    learner = learner_on(Goal(), **changes)
    for i in range(2):
        learner.iterate(learner.env, i)
    if learner.critics.coding:  # its last layer has hardly left zero
        with torch.no_grad():
            learner.params["critic.w1"].normal_(generator=torch.Generator().manual_seed(0))
            learner.target["w1"].normal_(generator=torch.Generator().manual_seed(1))
    return learner


# ---- the losses


def test_the_losses_on_six_numbers_by_hand():
    """Two critics, three steps: the first goes on, the second ends, the third is padding."""
    rewards, follows, weights = torch.tensor([1.0, 2.0, 9.0]), torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 1, 0])
    log_probs, temperature = torch.tensor([-1.0, 2.0, 5.0]), torch.tensor(0.5)
    following = torch.tensor([[4.0, 7.0, 9.0], [3.0, 8.0, 9.0]])
    targets = critic_targets(rewards, follows, following, log_probs, temperature, 0.9)
    # 1 + 0.9 (3 + 0.5) and 2
    assert targets[:2].tolist() == pytest.approx([4.15, 2.0])
    values = torch.tensor([[4.0, 1.0, 77.0], [5.15, 2.0, 77.0]])
    # (0.15^2 + 1^2 + 1^2 + 0) / 2
    assert critic_loss(values, targets, weights).item() == pytest.approx(1.01125)
    # (0.5 * -1 - 4) + (0.5 * 2 - 1)
    assert actor_loss(values, log_probs, temperature, weights).item() == pytest.approx(-4.5)
    log_temperature = torch.tensor(0.5).log().requires_grad_(True)
    loss = temperature_loss(log_temperature, log_probs, -0.25, weights)
    # -log 0.5 ((-1 - 0.25) + (2 - 0.25))
    assert loss.item() == pytest.approx(0.5 * np.log(2))
    loss.backward()
    assert log_temperature.grad.item() == pytest.approx(-0.5)  # entropy -0.5 in the mean is below -0.25: alpha rises


class Looped:
    """The same update once more: each row on its own, step by step, without padding."""

    def __init__(self, learner, batch, chosen):
        self.learner, self.batch, self.chosen = learner, batch, chosen
        self.actor, self.critic = part(learner.params, "actor."), part(learner.params, "critic.")
        self.sums = {"critic": 0.0, "actor": 0.0, "temperature": 0.0}
        for r in range(batch.inputs.shape[1]):
            self.row(r)

    def remembered(self, memory, params, r, place):
        """The memory's output at a place of the row, from nothing remembered."""
        state = memory.start(1)
        for x in self.batch.inputs[: place + 1, r : r + 1]:
            state, y = memory.step(part(params, "memory."), state, x)
        return y

    def outputs(self, params, r, place, action):
        """(N, K)"""
        critics = self.learner.critics
        y = self.remembered(critics.memory, params, r, place)
        return critics.outputs(params, critics.see(params, y, self.batch.inputs[place, r : r + 1]), action)[:, 0]

    def q(self, params, r, place, action):
        """(N,)"""
        outputs, coding = self.outputs(params, r, place, action), self.learner.critics.coding
        return outputs[:, 0] if coding is None else (outputs.softmax(-1) * coding.values).sum(-1)

    def error(self, r, place, action, target):
        outputs, coding = self.outputs(self.critic, r, place, action), self.learner.critics.coding
        if coding is None:
            return 0.5 * (outputs[:, 0] - target).square().mean()
        bins, target = coding.values.numpy(), target.item()
        hats = [max(0.0, float(np.interp(target, bins, row))) for row in np.eye(len(bins))]
        return -(torch.tensor(hats) * outputs.log_softmax(-1)).sum(-1).mean()

    def pi(self, r, place, noise):
        policy = self.learner.policy
        y = self.remembered(policy.memory, self.actor, r, place)
        mean, std = policy.act(self.actor, y, self.batch.inputs[place, r : r + 1])
        action = torch.tanh(mean + std * noise)
        normal = torch.distributions.Normal(mean, std).log_prob(mean + std * noise)
        return action, (normal - (1 - action.square()).log()).sum()

    def row(self, r):
        learner, batch, alpha = self.learner, self.batch, self.learner.params["log_temperature"].exp()
        for k in range(int(batch.weights[:, r].sum())):
            place = int(batch.first[0, r]) + k
            target = batch.rewards[k, r]
            if batch.follows[k, r]:
                action, log_prob = self.pi(r, place + 1, batch.noise[k + 1, r])
                following = self.q(learner.target, r, place + 1, action)[self.chosen].min()
                target = target + learner.config.discount * (following - alpha * log_prob)
            self.sums["critic"] += self.error(r, place, batch.actions[k, r : r + 1], target.detach())
            action, log_prob = self.pi(r, place, batch.noise[k, r])
            value = self.q(self.critic, r, place, action)[self.chosen].min()
            self.sums["actor"] += alpha.detach() * log_prob - value
            entropy = learner.settings.target_entropy * learner.spec.action_dim
            self.sums["temperature"] -= alpha.log() * (log_prob.detach() + entropy)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [
    {}, {"across_episodes": False, "critics": 3},
    {"critics": 3, "critic_bins": 7, "critic_limit": 3.0}, {"critic_bins": 4, "critic_spacing": "linear"},
    {"window": 0, "burn_in": 100, "memory": "lstm"},
    {"memory": "transformer", "memory_size": 8, "memory_options": {"heads": 2, "context": 5, "layers": 1}},
])  # fmt: skip
def test_the_update_is_a_loop_over_single_steps_without_padding(changes):
    learner = ragged(**changes)
    rng = np.random.default_rng(0)
    batch, chosen = learner.draw(rng), learner.drawn_critics(rng)
    assert 0 < batch.weights.mean() < 1 and not batch.follows.all() and len(chosen) == 2
    loop, total = Looped(learner, batch, chosen), batch.weights.sum()
    loss, measured = learner.loss(learner.params, batch, chosen)
    torch.testing.assert_close(loss, sum(loop.sums.values()), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(measured["critic_loss"], loop.sums["critic"], rtol=1e-4, atol=1e-4)
    gradients = torch.autograd.grad(loss / total, list(learner.params.values()))
    for name, gradient in zip(learner.params, gradients):  # each part is moved by its own loss, and by no other
        kind = name.split(".")[0].removeprefix("log_")
        own = torch.autograd.grad(loop.sums[kind] / total, learner.params[name], retain_graph=True)[0]
        torch.testing.assert_close(gradient, own, rtol=1e-3, atol=1e-5, msg=name)


def test_the_target_critics_follow_and_nothing_else_moves_them():
    learner = ragged(target_rate=0.25)
    before = {name: value.clone() for name, value in learner.target.items()}
    learner.step(learner.draw(np.random.default_rng(0)), [0, 1], ONE_BY_ONE)
    for name, value in learner.target.items():
        expected = 0.75 * before[name] + 0.25 * learner.params[f"critic.{name}"].detach()
        torch.testing.assert_close(value, expected)
        assert not value.requires_grad


# ---- what is replayed is what happened


class Recording(RecurrentAdapter):
    """Keeps what the policy was given at each step, (N, X), and whether the step was one of an episode."""

    def __init__(self, adapter):
        super().__init__(adapter.policy, adapter.params, adapter.normalizer, adapter.reward_normalizer)
        self.given, self.taken = [], []

    def act(self, state, observations, rng):
        decision = super().act(state, observations, rng)
        whole = type(state)(tuple(x.expand(*observations.shape[:2], *x.shape[2:]) for x in state.memory),
                            *(x.expand(*observations.shape[:2], *x.shape[2:]) for x in state[1:]))  # fmt: skip
        self.given.append(self._input(whole, self.normalize(observations))[0])
        self.taken.append(~whole.over.flatten())
        return decision


def test_an_update_is_given_what_the_policy_was_given(monkeypatch):
    learner = learner_on(Goal(), window=0, burn_in=100, batch_rows=200)
    learner.iterate(learner.env, 0)
    acting = Recording(learner.adapter())
    monkeypatch.setattr(learner, "adapter", lambda: acting)
    normalizers = learner.normalizer, learner.reward_normalizer
    learner.experience.clear()
    learner.collect(learner.env, 1)
    learner.normalizer, learner.reward_normalizer = normalizers
    given, taken = torch.stack(acting.given), torch.stack(acting.taken)
    batch = learner.draw(np.random.default_rng(0))
    drawn = learner.experience._draw(np.random.default_rng(0), 200, 12)[0]
    for r, n in enumerate(drawn % given.shape[1]):
        lived = given[:, n][taken[:, n]]
        length = int(batch.first[0, r] + batch.weights[:, r].sum())  # up to the end of the episode that is learned from
        torch.testing.assert_close(batch.inputs[:length, r], lived[:length], rtol=1e-6, atol=1e-6)


def test_a_trial_in_which_physics_diverged_is_never_drawn():
    learner = learner_on(Goal())
    step, reset, episodes = learner.env.step, learner.env.reset, []

    def diverging(actions):
        *rest, info = step(actions)
        return *rest, info | {"diverged": (np.arange(len(actions)) < 6) & (len(episodes) == 2)}

    learner.env.step = diverging
    learner.env.reset = lambda **keywords: (episodes.append(1), reset(**keywords))[1]
    assert learner.collect(learner.env, 0)["diverged"] == 6  # in the second of three episodes
    lengths = learner.experience.segment(0).lengths
    assert not lengths[:6].any() and lengths[6:].all()


# ---- that memory pays


def trained(memory, iterations=20, **changes):
    """Mean returns of the last five iterations in the first and the second episode: 1 at most, 0 by chance."""
    settings = {"memory_size": 16, "critic_hidden": [32], "batch_rows": 32, "window": 3, "burn_in": 6, "lr": 1e-2}
    learner = learner_on(
        Vault(), memory=memory, trial_episodes=2, across_episodes=False, update_ratio=0.1, target_rate=0.05,
        policy=PolicyConfig(hidden=(16,), normalize_observations=True, activation="relu"), meta_batch=32, episodes=1,
        discount=0.9, bootstrap_at_horizon=False, **settings | changes,
    )  # fmt: skip
    rows = [learner.iterate(learner.env, i) for i in range(iterations)]
    return [np.mean([row[f"return_{e}"] for row in rows[-5:]]) for e in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["gru", "lstm", "none"])
def test_what_one_episode_taught_pays_in_the_next_for_whoever_remembers(memory):
    first, second = trained(memory)
    assert abs(first) < 0.3
    assert second > 0.7 if memory != "none" else abs(second) < 0.3


@pytest.mark.slow
def test_critics_of_bins_teach_it_as_well():
    first, second = trained("gru", 30, critic_bins=11, critic_limit=4.0, lr=0.02)
    assert abs(first) < 0.3 and second > 0.7


@pytest.mark.parametrize(("policy", "message"), [
    ({"init_std": 10}, "policy.init_std: got 10.0, expected 0.0067 to 7.4 with recurrent-sac, whose deviation is kept"),
    ({"init_std": 0.005}, "policy.init_std: got 0.005, expected 0.0067 to 7.4"),
    ({"min_std": 0.1}, "policy.min_std: got 0.1, expected no such setting with recurrent-sac: it is 0.0067"),
])  # fmt: skip
def test_a_deviation_that_could_not_be_learned_is_refused(policy, message):
    with pytest.raises(ValueError, match=message):
        config(policy=PolicyConfig(**policy))
    assert np.log(DEVIATIONS) == pytest.approx(LOG_STD)


def test_a_replay_store_too_large_for_the_memory_is_a_setting_to_change(monkeypatch):
    def too_large(*sizes):
        raise MemoryError("Unable to allocate 63.6 GiB")

    monkeypatch.setattr(off_policy, "Replay", too_large)
    with pytest.raises(UserError, match="algorithm.replay_steps: got 1000000, expected fewer: Unable to allocate"):
        learner_on(Goal())


@pytest.mark.parametrize(("settings", "message"), [
    ({"critics_in_minimum": 3}, "algorithm.critics_in_minimum: got 3, expected at most algorithm.critics = 2"),
    ({"memory": "grue"}, "a memory cell"),
    ({"critic_bins": 1}, "algorithm.critic_bins: got 1, expected 0 or at least 2: a value is between two bins"),
])  # fmt: skip
def test_settings_that_contradict_each_other(settings, message):
    with pytest.raises(ValueError, match=message):
        config(**settings)
