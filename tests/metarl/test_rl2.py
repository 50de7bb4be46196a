"""RL²: what is replayed is what happened, results do not depend on how trials are laid out, and memory pays."""

import mujoco
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from metarl.agents import Normalizer, RecurrentAdapter, RecurrentPolicy
from metarl.algorithms import sampling
from metarl.algorithms.learners import make_env
from metarl.algorithms.rl2_config import RL2Config
from metarl.algorithms.sampling import collect
from metarl.algorithms.sequence_gradient import mean_gradient, muted, rows
from metarl.algorithms.trials import Windows, pack, trial_advantages
from metarl.config import Config, EnvConfig, PolicyConfig, load_config
from metarl.envs import BatchEnv, Family, Parameter, TaskSpace, make
from metarl.training.train import train
from metarl.util.errors import UserError
from metarl.util.plugins import MEMORIES
from metarl.util.rng import stream
from metarl.util.torch_runtime import side_by_side, torch_threads

from .trained import resumed, with_env

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = MEMORIES.names()


def config(env=None, **changes):
    """Episodes of Navigation2D end early where the goal is reached, so that trials are of unequal length."""
    algorithm = {key: changes.pop(key) for key in list(changes) if key in RL2Config.model_fields}
    settings = {
        "env": env or EnvConfig(family="Navigation2D", horizon=12, action_scale=2.0),
        "policy": PolicyConfig(hidden=(8,), normalize_observations=True),
        "algorithm": RL2Config(**{"memory_size": 8, "trial_episodes": 3, "epochs": 2, "minibatches": 3} | algorithm),
        "meta_batch": 4,
        "episodes": 3,
        "threads": 1,
    }
    return Config(**settings | changes)


class Goal(Family):
    """A point on a line is paid for standing in a small region, and the episode ends where it is paid."""

    name, horizon = "Goal", 12
    space = TaskSpace(name, (Parameter("goal", "m", "where it is paid", 0.1, "uniform", -0.5, 0.5),))

    def build(self):
        return mujoco.MjModel.from_xml_string(
            '<mujoco><worldbody><body><joint name="x" type="slide"/><geom size="0.1"/></body></worldbody>'
            '<actuator><position joint="x" ctrllimited="true" ctrlrange="-1 1"/></actuator></mujoco>'
        )

    def advance(self, batch, ctrl, ids):
        moved = slice(None) if ids is None else ids
        batch.bind("qpos")[moved] += 0.2 * ctrl[moved]

    def observe(self, batch, derived):
        return batch.bind("qpos").copy()

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"there": 1.0 * self.terminated(batch, values)}

    def terminated(self, batch, values):
        return np.abs(batch.bind("qpos")[:, 0] - values[:, 0]) < 0.2


def learner_on(family, **changes):
    settings = config(**changes)
    env = BatchEnv(family, settings.meta_batch * settings.episodes, autoreset_mode=AutoresetMode.DISABLED)
    return with_env(settings, env)


def ragged(**changes):
    """A learner with trials of unequal lengths, as it has learned a little."""
    learner = learner_on(Goal(), **changes)
    learner.iterate(learner.env, 0)
    return learner


# ---- what is replayed is what happened


class Recording(RecurrentAdapter):
    """Keeps the log-probability of each of its actions, (M, K) a step, and whether the step was one of an episode."""

    def __init__(self, adapter):
        super().__init__(adapter.policy, adapter.params, adapter.normalizer, adapter.reward_normalizer)
        self.log_probs, self.taken = [], []

    def act(self, state, observations, rng):
        decision, mean = super().act(state, observations, rng), super().act(state, observations, None)
        std = self.params["log_std"].exp()
        pi = torch.distributions.Normal(torch.from_numpy(mean.actions), std)
        self.log_probs.append(pi.log_prob(torch.from_numpy(decision.actions)).sum(-1))
        self.taken.append(~state.over.expand(observations.shape[:2]))
        return decision


@pytest.mark.slow
@pytest.mark.parametrize("window, burn_in", [(0, 0), (7, 0), (7, 3), (5, 9)])
@pytest.mark.parametrize("name", NAMES)
def test_replayed_log_probs_are_those_of_the_acting_policy(name, window, burn_in, monkeypatch):
    learner = ragged(memory=name, window=window, burn_in=burn_in)
    acting = Recording(learner.adapter())
    monkeypatch.setattr(learner, "adapter", lambda: acting)
    trials, bootstrap, _ = learner.collect_trials(learner.env, 1)
    lengths = trials.valid.sum(1)
    assert len(set(lengths)) > 1 and trials.ends.sum() == 3 * len(lengths)
    batch = learner.prepare(trials, bootstrap)
    count = batch.weights.shape[1] // len(lengths)
    assert count == (1 if not window else -(-lengths.max() // window))
    stored = torch.zeros(count * len(batch.weights), len(lengths))
    log_probs, taken = (torch.stack(rows).flatten(1) for rows in (acting.log_probs, acting.taken))
    for n, length in enumerate(lengths):
        stored[:length, n] = log_probs[taken[:, n], n]
    stored = torch.cat(stored.split(len(batch.weights)), dim=1)
    lived = batch.weights > 0
    assert lived.sum() == lengths.sum()
    torch.testing.assert_close(batch.log_probs[lived], stored[lived], rtol=0, atol=1e-6)

    _, measured = learner.loss(learner.params, batch)  # and the first ratios are one
    assert float(measured["kl"]) == pytest.approx(0.0, abs=1e-6) and float(measured["clipped"]) == 0


def test_the_inputs_are_what_the_robot_knew():
    learner = ragged()
    trials, _, _ = learner.collect_trials(learner.env, 1)
    inputs = trials.inputs.numpy()
    starts, rewards = inputs[..., -1], inputs[..., -2]
    for n, length in enumerate(trials.valid.sum(1)):
        begins = np.concatenate([[True], trials.ends[n, : length - 1]])
        np.testing.assert_array_equal(starts[:length, n], begins)
        np.testing.assert_array_equal(trials.episodes[n, :length], np.cumsum(begins) - 1)
        np.testing.assert_array_equal(inputs[1:length, n, 1:2], trials.actions[: length - 1, n])
        assert inputs[0, n, 1] == 0
    # the reward that ended an episode is known in the next
    begins = (starts == 1) & (np.arange(len(starts))[:, None] > 0)
    paid = np.pad(trials.rewards.T, ((1, 0), (0, 0)))[:-1] > 0
    assert paid[begins].any() and not paid[begins].all()
    assert rewards[begins & paid].min() > rewards[begins & ~paid].max() + 0.1


def test_a_trial_in_which_physics_diverged_is_left_out():
    class Exploding(Goal):
        def observe(self, batch, derived):
            x = batch.bind("qpos").copy()
            return np.where(x > 0.6, np.nan, x)

    learner = learner_on(Exploding())
    trials, bootstrap, metrics = learner.collect_trials(learner.env, 0)
    gone = ~trials.valid.any(1)
    assert metrics["diverged"] > 0 and 0 < gone.sum() < len(gone)
    batch = learner.prepare(trials, bootstrap)
    assert not batch.weights[:, gone].any() and not batch.inputs[:, gone].any()
    assert all(np.isfinite(value) for value in learner.iterate(learner.env, 0).values())


# ---- a hypernetwork, and predictions


def test_a_hypernetwork_makes_the_weights_of_each_row():
    policy = RecurrentPolicy(2, 3, size=8, hidden=(5, 4), hypernetwork=6)
    plain = policy.init(np.random.default_rng(0))
    xs, rng = torch.randn(7, 2, policy.input_dim, generator=torch.Generator().manual_seed(0)), np.random.default_rng(1)
    ys = torch.from_numpy(rng.standard_normal((7, 2, 8)).astype(np.float32))
    alike = policy(plain, ys, xs).mean  # at the start, whatever is remembered
    assert torch.equal(alike, policy(plain, ys.flip(0), xs).mean) and alike.any()

    params = {k: v + torch.from_numpy(rng.standard_normal(v.shape).astype(np.float32)) for k, v in plain.items()}
    out = policy(params, ys, xs)
    assert torch.equal(out.mean, policy.act(params, ys, xs)[0])
    for t, n in np.ndindex(7, 2):
        z = torch.tanh(ys[t, n] @ params["latent.w"] + params["latent.b"])
        for head, got in (("policy", out.mean[t, n]), ("value", out.values[t, n])):
            x = xs[t, n]
            for i in range(3):
                w, b = (
                    params[f"{head}.{k}{i}"] + torch.tensordot(z, params[f"latent.{head}.{k}{i}"], 1) for k in "wb"
                )
                x = x @ w + b
                x = torch.tanh(x) if i < 2 else x
            torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-4)


def test_predictions_are_of_what_is_hidden():
    learner = ragged(predict="task")
    trials, bootstrap, _ = learner.collect_trials(learner.env, 1)
    batch = learner.prepare(trials, bootstrap)
    np.testing.assert_allclose(batch.hidden[3, :, 0].numpy(), 2 * learner.env.tasks.values[:, 0], atol=1e-6)
    assert torch.equal(batch.has_hidden, batch.weights)

    learner = ragged(predict="next_observation")
    trials, bootstrap, _ = learner.collect_trials(learner.env, 1)
    batch = learner.prepare(trials, bootstrap)
    for n, length in enumerate(trials.valid.sum(1)):
        known = np.flatnonzero(~trials.ends[n, :length])
        assert batch.has_hidden[:, n].nonzero()[:, 0].tolist() == list(known)
        np.testing.assert_array_equal(batch.hidden[known, n], batch.inputs[known + 1, n, :1])


def test_a_memory_that_fits_learns_from_its_own_errors():
    """Half the squared error of the fit, over the steps that were lived; only the features and the prior feel it."""
    learner = ragged(memory="alpaca", predict="fit", memory_options={"features": 3}, window=0)
    batch = learner.prepare(*learner.collect_trials(learner.env, 1)[:2])
    _, measured = learner.loss(learner.params, batch)
    memory = {k.removeprefix("memory."): v for k, v in learner.params.items() if k.startswith("memory.")}
    errors = learner.policy.memory.fit(memory, batch.memory, batch.inputs)[2]
    lived = batch.weights > 0
    assert not lived.all() and errors[lived].sum() > 0
    assert measured["prediction_loss"].item() == pytest.approx(0.5 * errors[lived].sum().item(), rel=1e-5)
    one, other = (
        learner_on(Goal(), memory="alpaca", predict=predict, memory_options={"features": 3}).gradient(
            batch._replace(advantages=0 * batch.advantages, memory=batch.memory)
        )[0]
        for predict in ("fit", "nothing")
    )
    moved = {name for name in one if not torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-7)}
    parts = ("w_hidden", "b_hidden", "w_feature", "b_feature", "prior_mean", "prior_root")
    assert moved == {f"memory.{name}" for name in parts}


@pytest.mark.slow
@pytest.mark.parametrize("predict", ["task", "next_observation"])
def test_predictions_get_better_and_alone_move_no_action(predict):
    learner = learner_on(Vault(), meta_batch=16, episodes=1, predict=predict, lr=1e-2, predict_weight=10.0)
    losses = [learner.iterate(learner.env, i)["prediction_loss"] for i in range(15)]
    assert losses[-1] < 0.8 * losses[0]
    batch = learner.prepare(*learner.collect_trials(learner.env, 15)[:2])
    gradients, measured = learner.gradient(batch._replace(advantages=0 * batch.advantages, has_hidden=batch.weights))
    assert measured["prediction_loss"] > 0 and gradients["prediction.w0"].any() and gradients["memory.w_input"].any()
    assert not any(value.any() for name, value in gradients.items() if name.startswith("policy."))


@pytest.mark.parametrize(("anneal", "weights"), [(True, (0.1, 0.4, 0.2)), (False, (0.4, 0.4, 0.4))])
def test_the_weight_of_the_entropy_falls_over_the_iterations(anneal, weights):
    learner = learner_on(Goal(), entropy_coef=0.4, anneal_entropy=anneal, iterations=4)
    batch = learner.prepare(*learner.collect_trials(learner.env, 0)[:2])
    for iteration, weight in zip((3, 0, 2), weights, strict=True):
        learner.update(batch, iteration)
        gradients, _ = learner.gradient(batch._replace(advantages=0 * batch.advantages))
        np.testing.assert_allclose(gradients["log_std"], -weight, rtol=1e-5)


# ---- returns


def six_steps(**options):
    """Two trials of two episodes: of 2 and 3 steps, and of 1 and 1; all rewards 1, all values 0."""
    valid = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)
    learner = learner_on(Goal())
    rollouts = learner.collect_trials(learner.env, 0)[0]
    trials = rollouts._replace(
        rewards=valid * 1.0,
        episodes=np.array([[0, 0, 1, 1, 1], [0, 1, 0, 0, 0]]),
        ends=np.array([[0, 1, 0, 0, 1], [1, 1, 0, 0, 0]], bool),
        terminated=np.array([[0, 1, 0, 0, 0], [0, 1, 0, 0, 0]], bool),
        valid=valid,
    )
    return trial_advantages(trials, np.zeros((2, 5)), 0.5, 1.0, **options)


def test_returns_by_hand():
    """Discount 1/2: 1, 1.5, 1.75, 1.875, 1.9375 going back; an episode's end stops it only if so wanted."""
    np.testing.assert_allclose(six_steps(), [[1.9375, 1.875, 1.75, 1.5, 1], [1.5, 1, 0, 0, 0]])
    within = six_steps(across_episodes=False)
    np.testing.assert_allclose(within, [[1.5, 1, 1.75, 1.5, 1], [1, 1, 0, 0, 0]])
    behind = np.array([[10.0, 20.0], [30.0, 40.0]])  # nothing follows a terminal state, a time limit is followed
    np.testing.assert_allclose(
        six_steps(across_episodes=False, bootstrap=behind), [[1.5, 1, 4.25, 6.5, 11], [16, 1, 0, 0, 0]]
    )
    np.testing.assert_allclose(six_steps(bootstrap=behind)[0], [1.9375 + 10 / 16, 1.875 + 10 / 8, 4.25, 6.5, 11])
    np.testing.assert_allclose(six_steps(bootstrap=behind)[1], [1.5, 1, 0, 0, 0])


def test_the_value_behind_an_episode_is_of_the_memory_at_its_end():
    """As the value of one more step along the sequence of the trial."""
    learner = ragged(bootstrap_at_horizon=True, trial_episodes=1)
    trials, behind, _ = learner.collect_trials(learner.env, 1)
    assert behind.shape == (12, 1)
    adapter = learner.adapter()
    env = learner.env
    rollout = collect(env, adapter, adapter.start(4), 3, stream(0, "rollouts", 1, 0))
    lengths = rollout.valid.sum(1)
    for m, k in [(0, 0), (1, 2), (3, 1)]:
        length, n = lengths[m, k], 3 * m + k
        again = pack([rollout], learner.policy, learner.reward_normalizer, env.tasks)
        reward = learner.reward_normalizer(again.rewards[n, length - 1 : length])
        last = learner.policy.inputs(
            torch.from_numpy(rollout.last_observations[m, k]), again.actions[length - 1, n],
            torch.from_numpy(reward)[0], torch.zeros(()),
        )
        xs = torch.cat([again.inputs[:length, n], last[None]])[:, None]
        _, ys = learner.policy.recall(learner.params, learner.policy.memory.start(1), xs)
        want = learner.policy(learner.params, ys, xs).values[-1, 0, 0].detach()
        assert adapter.values(rollout.state, rollout.last_observations)[m, k, 0] == pytest.approx(float(want), abs=1e-5)


# ---- what is learned from, step by step


@pytest.mark.parametrize("bootstrapped", [False, True])
@pytest.mark.parametrize("across", [False, True])
def test_advantages_and_targets_are_those_of_each_trial_in_units_of_reward(bootstrapped, across):
    """A_t = sum_l (gamma lambda)^l delta_{t+l} to the end of the trial or of the episode, V in units of reward."""
    learner = ragged(across_episodes=across, bootstrap_at_horizon=bootstrapped, discount=0.9, gae_lambda=0.8)
    assert learner.return_normalizers[0].std > 0.1 and abs(learner.return_normalizers[0].mean) > 0.1
    scale, policy = learner.return_normalizers[0], learner.policy
    trials, behind, _ = learner.collect_trials(learner.env, 1)
    lengths = trials.valid.sum(1)
    everything = [], []
    for n, length in enumerate(lengths):
        _, ys = policy.recall(learner.params, policy.memory.start(1), trials.inputs[:length, n : n + 1])
        values = policy(learner.params, ys, trials.inputs[:length, n : n + 1]).values[:, 0, 0].detach().numpy()
        values = scale.mean[0] + scale.std[0] * values.astype(float)
        rewards, ends = trials.rewards[n, :length], trials.ends[n, :length]
        deltas, follows = np.empty(length), np.empty(length, bool)
        for t in range(length):
            follows[t] = t + 1 < length and (across or not ends[t])
            then = values[t + 1] if follows[t] else 0.0
            if bootstrapped and not follows[t] and not trials.terminated[n, t]:
                then = behind[n, trials.episodes[n, t]]
            deltas[t] = rewards[t] + 0.9 * then - values[t]
        advantages = np.zeros(length)
        for t in range(length):
            for u in range(t, length):
                advantages[t] += (0.9 * 0.8) ** (u - t) * deltas[u]
                if not follows[u]:
                    break
        everything[0].append(advantages)
        everything[1].append(values + advantages)
    batch = learner.prepare(trials, behind)
    advantages, targets = map(np.concatenate, everything)
    count = scale.count + len(targets)
    mean = (scale.count * scale.mean[0] + targets.sum()) / count
    squares = scale.m2[0] + scale.count * scale.mean[0] ** 2 + (targets**2).sum()
    std = np.sqrt(squares / count - mean**2)
    assert learner.return_normalizers[0].mean[0] == pytest.approx(mean, rel=1e-6)
    assert learner.return_normalizers[0].std[0] == pytest.approx(std, rel=1e-5)
    for n, (advantage, target) in enumerate(zip(*everything)):
        want = (advantage - advantages.mean()) / advantages.std()
        np.testing.assert_allclose(batch.advantages[: len(want), n], want, atol=1e-4)
        np.testing.assert_allclose(batch.targets[: len(want), n], (target - mean) / std, atol=1e-4)


def test_values_behind_a_time_limit_are_in_units_of_reward(monkeypatch):
    learner = ragged(bootstrap_at_horizon=True, trial_episodes=2)
    scale, rollouts, collect = learner.return_normalizers[0], [], sampling.collect
    assert abs(scale.mean[0]) > 0.1 and abs(scale.std[0] - 1) > 0.05
    monkeypatch.setattr(sampling, "collect", lambda *a, **k: rollouts.append(collect(*a, **k)) or rollouts[-1])
    adapter = learner.adapter()
    _, behind, _ = learner.collect_trials(learner.env, 1)
    assert behind.shape == (12, 2)
    for e, rollout in enumerate(rollouts):
        values = adapter.values(rollout.state, rollout.last_observations).astype(float)
        np.testing.assert_allclose(behind[:, e], (scale.mean[0] + scale.std[0] * values).reshape(-1), rtol=1e-6)


def test_the_normalizers_stand_still_while_an_iteration_collects_and_then_move(monkeypatch):
    learner = ragged(trial_episodes=2)
    seen, collect = [], sampling.collect

    def collecting(env, adapter, state, episodes, seed, on_step=None):
        rollout = collect(env, adapter, state, episodes, seed, on_step=on_step)
        seen.append((adapter.normalizer, adapter.reward_normalizer, seed, rollout))
        return rollout

    monkeypatch.setattr(sampling, "collect", collecting)
    before = learner.normalizer, learner.reward_normalizer
    trials, _, metrics = learner.collect_trials(learner.env, 5)
    assert [row[:2] for row in seen] == [before] * 2
    assert [row[2].spawn_key for row in seen] == [stream(0, "rollouts", 5, e).spawn_key for e in range(2)]
    rollouts = [row[3] for row in seen]

    def moved(old, count, total, squares):
        """Mean and m2 of what there was and what is new."""
        mean = (old.count * old.mean + total) / (old.count + count)
        return mean, old.m2 + old.count * old.mean**2 + squares - (old.count + count) * mean**2

    count, mean, m2 = (np.stack([rollout.raw_moments[i] for rollout in rollouts]) for i in range(3))
    squares = (m2 + count * mean**2).sum(0)
    of_observations = moved(before[0], count.sum(0), (count * mean).sum(0), squares)
    rewards = np.concatenate([rollout.rewards[rollout.valid] for rollout in rollouts])
    of_rewards = moved(before[1], len(rewards), rewards.sum(), (rewards**2).sum())
    for normalizer, (mean, m2) in zip((learner.normalizer, learner.reward_normalizer), (of_observations, of_rewards)):
        np.testing.assert_allclose(normalizer.mean, mean)
        np.testing.assert_allclose(normalizer.m2, m2)
    assert metrics["env_steps"] == len(rewards) == trials.valid.sum()
    assert metrics["std"] == pytest.approx(float(learner.params["log_std"].detach().exp().mean()))
    for e, rollout in enumerate(rollouts):
        assert metrics[f"return_{e}"] == pytest.approx(np.where(rollout.valid, rollout.rewards, 0).sum(1).mean())
    # what the policy was given of rewards is in the old units
    given = trials.inputs[1, :, -2].numpy()
    np.testing.assert_allclose(given, before[1](trials.rewards[:, :1])[:, 0], rtol=1e-6)


@pytest.mark.parametrize("name", ["gru", "hebbian"])
def test_burn_in_warms_the_memory_and_no_gradient_runs_through_it(name):
    """The gradient is that of windows whose memory was warmed up beforehand."""
    learner = ragged(memory=name, window=5, burn_in=3)
    batch = as_double(learner.prepare(*learner.collect_trials(learner.env, 1)[:2]))
    double(learner)
    with torch.no_grad():
        warm, _ = learner.policy.recall(learner.params, batch.memory, batch.inputs[:3], batch.resets[:3])
    without = batch._replace(memory=warm, inputs=batch.inputs[3:], resets=batch.resets[3:])
    got, measured = learner.gradient(batch)
    want, again = learner.gradient(without)
    assert measured == pytest.approx(again, abs=1e-12)
    for key, value in want.items():
        torch.testing.assert_close(got[key], value, rtol=0, atol=1e-13)
    cold = without._replace(memory=tuple(torch.zeros_like(x) for x in warm))
    assert (learner.gradient(cold)[0]["memory.w_input"] - want["memory.w_input"]).abs().max() > 1e-6
    # while it would run through the same steps if they were part of the window
    params = learner.params
    through, _ = learner.policy.recall(params, batch.memory, batch.inputs[:3], batch.resets[:3])
    loss, _ = learner.loss(params, without._replace(memory=through))
    (other,) = torch.autograd.grad(loss / batch.weights.sum(), [params["memory.w_input"]])
    assert (other - got["memory.w_input"]).abs().max() > 1e-6


def test_the_loss_is_that_of_the_module():
    """Each term apart, over the steps that were taken: surrogate, value, entropy, and what is measured."""
    learner = ragged(clip_range=0.05, value_loss_coef=0.7, entropy_coef=0.3)
    batch = as_double(learner.prepare(*learner.collect_trials(learner.env, 1)[:2]))
    params = double(learner)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in params.values():
            value.add_(0.05 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
    loss, measured = learner.loss(params, batch)
    _, ys = learner.policy.recall(params, batch.memory, batch.inputs, batch.resets)
    mean, std, values = learner.policy(params, ys, batch.inputs)
    want = {"surrogate": 0.0, "value": 0.0, "kl": 0.0, "clipped": 0}
    for t, n in batch.weights.nonzero().tolist():
        pi = torch.distributions.Normal(mean[t, n], std)
        ratio = (pi.log_prob(batch.actions[t, n]).sum() - batch.log_probs[t, n]).exp().item()
        advantage = float(batch.advantages[t, n])
        want["surrogate"] += min(ratio * advantage, min(max(ratio, 0.95), 1.05) * advantage)
        want["value"] += 0.5 * (values[t, n] - batch.targets[t, n]).item() ** 2
        want["kl"] += ratio - 1 - np.log(ratio)
        want["clipped"] += abs(ratio - 1) > 0.05
    steps = float(batch.weights.sum())
    assert 0 < want["clipped"] < steps
    entropy = steps * std.log().sum().item()
    assert loss.item() == pytest.approx(0.7 * want["value"] - want["surrogate"] - 0.3 * entropy, rel=1e-9)
    assert float(measured["value_loss"]) == pytest.approx(want["value"], rel=1e-9)
    assert float(measured["kl"]) == pytest.approx(want["kl"], rel=1e-7)
    assert int(measured["clipped"]) == want["clipped"]
    gradients, means = learner.gradient(batch)
    assert means["kl"] == pytest.approx(want["kl"] / steps, rel=1e-7)
    (slope,) = torch.autograd.grad(loss / steps, [params["log_std"]])
    torch.testing.assert_close(gradients["log_std"], slope)


@pytest.mark.parametrize(("anneal", "left"), [(False, 1.0), (True, 0.25)])
def test_an_update_is_adam_on_clipped_gradients_of_each_minibatch_until_the_policy_has_gone_too_far(anneal, left):
    learner = learner_on(Goal(), lr=0.01, anneal=anneal, iterations=4, max_grad_norm=0.05, epochs=2, minibatches=3)
    batch = learner.prepare(*learner.collect_trials(learner.env, 0)[:2])
    copies = {name: value.detach().clone().requires_grad_() for name, value in learner.params.items()}
    adam, taken, gradient = torch.optim.Adam(copies.values(), lr=0.01 * left, fused=True), [], learner.gradient

    def keeping(part, *args, **options):
        found = gradient(part, *args, **options)
        taken.append(({name: g.clone() for name, g in found[0].items()}, dict(found[1])))
        return found

    learner.gradient = keeping
    metrics = learner.update(batch, 3)
    assert len(taken) == 6
    for gradients, _ in taken:
        norm = float(sum(g.square().sum() for g in gradients.values())) ** 0.5
        assert norm > 0.05
        for name, copy in copies.items():
            copy.grad = gradients[name] * (0.05 / (norm + 1e-6))
        adam.step()
    for name, copy in copies.items():
        torch.testing.assert_close(learner.params[name], copy, rtol=1e-5, atol=1e-6)
    for name in ("kl", "value_loss"):
        assert metrics[name] == pytest.approx(np.mean([measured[name] for _, measured in taken]))

    learner.config.algorithm.__dict__["target_kl"] = 1e-9  # beyond which no step is taken
    before, taken[:] = {name: value.detach().clone() for name, value in learner.params.items()}, []
    learner.update(batch, 3)
    assert len(taken) == 1 and all(torch.equal(value, before[name]) for name, value in learner.params.items())


# ---- what does not matter


def double(learner):
    """The learner's loss and batch in double precision."""
    params = {k: v.detach().double().requires_grad_() for k, v in learner.params.items()}
    learner.params = params
    return params


def as_double(batch):
    return type(batch)(
        tuple(x.double() for x in batch.memory),
        *(x.double() if x.is_floating_point() else x for x in batch[1:]),
    )


@pytest.mark.slow
@pytest.mark.parametrize("window, burn_in", [(0, 0), (7, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_do_not_depend_on_padding_order_or_split(name, window, burn_in):
    learner = ragged(memory=name, window=window, burn_in=burn_in)
    batch = as_double(learner.prepare(*learner.collect_trials(learner.env, 1)[:2]))
    double(learner)
    whole, measured = learner.gradient(batch)

    order = torch.from_numpy(np.random.default_rng(0).permutation(batch.weights.shape[1]))
    garbage = torch.where(batch.weights[..., None] > 0, batch.inputs[burn_in:], 3.0)
    changed = batch._replace(inputs=torch.cat([batch.inputs[:burn_in], garbage]))
    more = batch._replace(**{
        field: torch.cat([x, torch.ones_like(x[:4]) * (field not in ("weights", "resets"))])
        for field, x in batch._asdict().items() if field not in ("memory", "categories")
    })
    some = next(n for n in (8, 7, 5) if batch.weights.shape[1] % n)  # rows at a time, and a rest
    some *= learner.policy.memory.footprint * len(batch.weights)
    for name, other, at_once in (
        ("order", rows(batch, order), 10**9), ("split", batch, 1), ("chunks", batch, some),
        ("padding", changed, 10**9), ("more", more, 10**9),
    ):
        if name == "padding" and window:
            continue  # there the padding of one window is the burn-in of the next, which nothing is learned from
        with torch_threads(3 if name == "split" else 1), side_by_side() as work:
            gradients, again = learner.gradient(other, work, at_once)
        for key, value in whole.items():
            torch.testing.assert_close(gradients[key], value, rtol=0, atol=1e-12)
        assert again == pytest.approx(measured, abs=1e-12)


def test_rows_that_are_muted_count_for_nothing():
    learner = ragged(window=7, burn_in=3, predict="task")
    batch = learner.prepare(*learner.collect_trials(learner.env, 1)[:2])
    none = muted(rows(batch, slice(1)))
    assert [value.shape for value in none[1:]] == [value[:, :1].shape for value in batch[1:]]
    gradients, measured = learner.gradient(none)
    assert not any(value.any() for value in gradients.values()) and set(measured.values()) == {0.0}


def test_a_burn_in_longer_than_the_trial_is_cut_to_it():
    learner = ragged(window=7, burn_in=10_000)
    trials, bootstrap, _ = learner.collect_trials(learner.env, 1)
    assert len(learner.prepare(trials, bootstrap).inputs) == len(trials.inputs) + 7


@pytest.mark.parametrize(("name", "rule"), [("hebbian", "memory.eta"), ("neuromodulated", "memory.w_signal")])
def test_windows_of_one_step_leave_the_rule_of_a_plastic_memory_as_it_is(name, rule):
    learner = ragged(memory=name, window=1)
    batch = learner.prepare(*learner.collect_trials(learner.env, 1)[:2])
    gradient, _ = learner.gradient(batch)
    assert not gradient[rule].any() and gradient["policy.b0"].any()


def test_minibatches_are_all_trials_once_with_all_their_windows():
    learner = ragged(window=7)
    batch = learner.prepare(*learner.collect_trials(learner.env, 1)[:2])
    count = batch.weights.shape[1] // 12
    assert count > 1
    tagged = batch._replace(weights=torch.arange(12 * count).expand(len(batch.weights), -1))
    found = list(learner.minibatches(tagged, 0, 0))
    parts = [part.weights[0] for part, _ in found]
    assert [steps for _, steps in found] == [float(part.weights.sum()) for part, _ in found]
    assert len(parts) == 3
    assert sorted(torch.cat(parts).tolist()) == list(range(12 * count))
    for part in parts:
        trials = part % 12
        assert sorted(trials.tolist()) == sorted(trials.unique().tolist() * count)


@pytest.mark.parametrize("target_kl, steps", [(0.0, 6), (1e-12, 1), (1e6, 6)])
def test_the_passes_end_where_the_policy_has_gone_too_far(target_kl, steps):
    learner = ragged(target_kl=target_kl)  # after an iteration
    taken = {int(state["step"]) for state in learner.optimizer.state.values()}
    assert taken == {steps}  # at the first minibatch the policy is still the one that collected


def test_advantages_are_normalized_over_the_steps_that_were_taken():
    learner = ragged()
    batch = learner.prepare(*learner.collect_trials(learner.env, 1)[:2])
    lived = batch.weights > 0
    assert not lived.all() and not batch.advantages[~lived].any()
    advantages = batch.advantages[lived].double()
    assert float(advantages.mean()) == pytest.approx(0, abs=1e-6)
    assert float(advantages.std(correction=0)) == pytest.approx(1, abs=1e-6)


def by_joint(**changes):
    """A learner that normalizes by the joint that is dead."""
    env = EnvConfig(family="HalfCheetahDisabledJoint", horizon=4)
    return with_env(config(env, meta_batch=6, episodes=2, normalize_by="disabled_joint", revision=3, **changes))


def test_advantages_are_normalized_within_each_joint_that_is_dead():
    learner = by_joint()
    trials, behind, _ = learner.collect_trials(learner.env, 0)
    joints = trials.tasks.argmax(1)
    assert 1 < len(set(joints.tolist())) < 6  # some together, and joints of training that no trial has
    advantages = learner.prepare(trials, behind).advantages.double().numpy()  # (W, R), one window a trial
    for joint in set(joints.tolist()):
        alike = advantages[:, joints == joint]
        assert alike.mean() == pytest.approx(0, abs=1e-6) and alike.std() == pytest.approx(1, abs=1e-6)


def test_each_joint_that_is_dead_has_a_value_in_units_of_its_own(monkeypatch):
    learner, rollouts, collect = by_joint(bootstrap_at_horizon=True), [], sampling.collect
    learner.iterate(learner.env, 0)
    before, adapter, policy = [*learner.return_normalizers], learner.adapter(), learner.policy
    monkeypatch.setattr(sampling, "collect", lambda *a, **k: rollouts.append(collect(*a, **k)) or rollouts[-1])
    trials, behind, _ = learner.collect_trials(learner.env, 1)
    joints, count = trials.tasks.argmax(1), trials.tasks.shape[1]
    assert trials.tasks.sum(1).tolist() == [1] * 12 and len(before) == count
    assert len({scale.std[0] for scale in before}) > 2

    def in_reward(values):  # (N, V), the one of the trial's joint
        return [before[j].mean[0] + before[j].std[0] * float(row[j]) for row, j in zip(values, joints, strict=True)]

    for e, rollout in enumerate(rollouts):
        values = adapter.values(rollout.state, rollout.last_observations).reshape(12, count)
        np.testing.assert_allclose(behind[:, e], in_reward(values), rtol=1e-6)
    _, ys = policy.recall(learner.params, policy.memory.start(12), trials.inputs)
    values = np.array([in_reward(row) for row in policy(learner.params, ys, trials.inputs).values.detach().numpy()]).T
    discounts = learner.config.discount, learner.config.gae_lambda
    targets = values + trial_advantages(trials, values, *discounts, bootstrap=behind)
    batch = learner.prepare(trials, behind)
    for j, scale in enumerate(before):
        alike = targets[joints == j]
        total = scale.count + alike.size
        mean = (scale.count * scale.mean[0] + alike.sum()) / max(total, 1)
        squares = scale.m2[0] + scale.count * scale.mean[0] ** 2 + (alike**2).sum()
        now = learner.return_normalizers[j]
        assert now.count == total
        if total:  # joints of training that no trial has had stay as they are
            assert now.mean[0] == pytest.approx(mean, rel=1e-6)
            assert now.std[0] == pytest.approx(np.sqrt(squares / total - mean**2), rel=1e-5)
        np.testing.assert_allclose(batch.targets.numpy().T[joints == j], (alike - now.mean[0]) / now.std[0], atol=1e-4)
    assert batch.categories[0].tolist() == joints.tolist()

    gradients, _ = learner.gradient(batch)
    lived = gradients["value.b1"] != 0
    assert lived.tolist() == [j in joints for j in range(count)] and 1 < lived.sum() < count


@pytest.mark.parametrize(("family", "by", "message"), [
    ("HalfCheetahDisabledJoint", "disabled_joints", r"expected a category of the task \(did you mean 'disabled_joint'"),
    ("HalfCheetahMass", "mass_scale", r"expected null: the task has no category"),
])
def test_advantages_are_normalized_by_a_category(family, by, message, tmp_path):
    wrong = config(EnvConfig(family=family, horizon=4), normalize_by=by)
    with pytest.raises(UserError, match="algorithm.normalize_by: got .*, " + message):
        train(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("hypernetwork", [0, 3])
@pytest.mark.parametrize("made", [ragged, by_joint])
def test_values_stay_what_they_are_when_their_scale_moves(made, hypernetwork):
    learner = made(hypernetwork=hypernetwork)
    with torch.no_grad():
        for value in learner.params.values():
            value.add_(0.1)
    trials, bootstrap, _ = learner.collect_trials(learner.env, 1)
    _, ys = learner.policy.recall(learner.params, learner.policy.memory.start(12), trials.inputs)

    def values():
        values = learner.policy(learner.params, ys, trials.inputs).values.detach().transpose(0, 1).numpy()
        return learner.returns(values, learner.categories(trials))

    before, i = values(), learner.categories(trials)[0]
    scale = learner.return_normalizers[i]
    learner._rescale_values(i, np.array([[1000.0], [5.0], [65000.0]]))  # count, mean, squared deviations
    assert not np.allclose(learner.return_normalizers[i].std, scale.std)
    np.testing.assert_allclose(values(), before, atol=1e-4)


# ---- memory is kept over a trial and no longer


def adapter_of(name="gru", observation_dim=2, action_dim=2):
    policy = RecurrentPolicy(observation_dim, action_dim, name, 8, (8,))
    params = policy.init(np.random.default_rng(0))
    params = {k: v + 0.1 for k, v in params.items()}
    return RecurrentAdapter(policy, params, Normalizer.identity(observation_dim), Normalizer.identity(1))


def navigation(num_envs):
    return make("Navigation2D", num_envs, horizon=6, autoreset_mode=AutoresetMode.DISABLED, num_threads=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_stands_still_after_the_end_of_an_episode(name):
    """A trial whose episode is over goes into the next as it was, whatever the environment went on to show."""
    adapter, observations = adapter_of(name), np.full((1, 2, 2), 0.3)
    state = adapter.act(adapter.start(1), observations, None).state
    state = adapter.observe(state, np.array([[1.0, 2.0]]), np.array([[True, False]]))
    later = adapter.act(state, observations + 5, None).state
    later = adapter.observe(later, np.array([[7.0, 8.0]]), np.array([[False, True]]))
    parts = zip((*state.memory, state.actions, state.rewards), (*later.memory, later.actions, later.rewards))
    for before, after in parts:
        assert torch.equal(before[:, 0], after[:, 0])
        assert not torch.equal(before[:, 1], after[:, 1])
    assert later.over.all()


def test_a_trial_begins_with_nothing_and_an_episode_with_what_was_before():
    adapter, env = adapter_of(), navigation(4)
    env.set_tasks(env.space.sample(2, "train", np.random.default_rng(0)).repeat(2))
    fresh = adapter.start(2)
    rollout = collect(env, adapter, fresh, 2, stream(0, "rollouts", 0))
    later = adapter.adapt(fresh, rollout)
    assert (fresh.starts == 1).all() and (later.starts == 1).all() and (rollout.state.starts == 0).all()
    assert rollout.state.over.all() and not later.over.any()
    for kept, lived in zip((*later.memory, later.actions, later.rewards), (*rollout.state.memory, *rollout.state[1:3])):
        assert torch.equal(kept, lived) and kept.any()
    np.testing.assert_array_equal(later.rewards.numpy(), rollout.rewards[:, -1])
    for x in (*fresh.memory, fresh.actions, fresh.rewards, *adapter.start(2).memory):
        assert not x.any()  # and nothing wrote into it


def test_lives_are_not_mixed():
    adapter, observations = adapter_of(), np.full((2, 3, 2), 0.3)
    observations[1, 2] = 0.9
    first = adapter.act(adapter.start(2), observations, None)
    second = adapter.act(first.state, np.full((2, 3, 2), 0.3), None).actions
    alike = np.ones((2, 3), bool)
    alike[1, 2] = False
    assert (second[alike] == second[0, 0]).all() and not (second[1, 2] == second[0, 0]).any()
    with pytest.raises(ValueError, match="got 2 episodes in each task, expected 3"):
        adapter.act(first.state, observations[:, :2], None)


class Vault(Family):
    """Pays for turning a wheel the right way in the first of three steps, and which way that is nobody sees.

    What the first episode of a trial paid is forgotten three steps later by whoever does not remember.
    """

    name, horizon = "Vault", 3
    space = TaskSpace(name, (Parameter("sign", "1", "which way pays", 1.0, "choice", choices=(-1.0, 1.0)),))
    build = Goal.build

    def advance(self, batch, ctrl, ids):
        batch.bind("qpos")[slice(None) if ids is None else ids] += 1.0  # a clock

    def observe(self, batch, derived):
        return batch.bind("qpos").copy()

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"right": np.where(qpos_before[:, 0] < 0.5, values[:, 0] * np.clip(ctrl[:, 0], -1, 1), 0.0)}


class Signed(Vault):
    """Pays the hidden sign times the action in every step: the first step tells whoever sees its reward."""

    name, horizon = "Signed", 10

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"right": values[:, 0] * np.clip(ctrl[:, 0], -1, 1)}


def trained(iterations=30, tasks=None, family=None, **changes):
    """Mean metrics of the last iterations, of 1 at most and 0 by chance in each episode; `tasks` for them all."""
    changes |= {"meta_batch": 32, "episodes": 1, "memory_size": 16, "lr": 1e-2, "epochs": 4, "minibatches": 2}
    learner = learner_on(family or Vault(), **changes)
    if tasks is not None:
        set_tasks = learner.env.set_tasks
        learner.env.set_tasks = lambda _: set_tasks(tasks)
    rows = [learner.iterate(learner.env, i) for i in range(iterations)]
    return {key: np.mean([row[key] for row in rows[-5:]]) for key in rows[0]}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_one_episode_taught_pays_in_the_next_for_whoever_remembers(name):
    small = {"layers": 1, "heads": 2, "context": 8}
    slow = {"iterations": 50} if name in ("transformer", "lstm") else {}
    slow |= {"memory_options": small} if name == "transformer" else {}
    last = trained(memory=name, trial_episodes=2, **slow)
    assert abs(last["return_0"]) < 0.25
    assert last["return_1"] > 0.7 if name not in ("none", "one_step") else abs(last["return_1"]) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize(("name", "low", "high"), [("none", -0.8, 0.8), ("one_step", 7.0, 9.5), ("gru", 7.0, 9.5)])
def test_what_the_last_step_tells_pays_for_whoever_sees_it(name, low, high):
    """Of ten steps the first is a guess: 9 is the most on average, and what cannot adapt earns 0."""
    last = trained(memory=name, family=Signed(), trial_episodes=1, iterations=40, window=10)
    assert low < last["return_0"] < high


@pytest.mark.parametrize("name", ["none", "one_step"])
def test_no_memory_is_given_zeros_for_the_last_action_and_reward(name):
    policy = RecurrentPolicy(2, 3, cell=name, size=4)
    x = torch.ones(5, 2), torch.full((5, 3), 2.0), torch.full((5,), 3.0), torch.ones(5)
    before = [2.0, 2.0, 2.0, 3.0] if name == "one_step" else [0.0] * 4
    assert policy.inputs(*x).tolist() == [[1.0, 1.0, *before, 1.0]] * 5
    params = policy.init(np.random.default_rng(0))
    adapter = RecurrentAdapter(policy, params, Normalizer.identity(2, False), Normalizer.identity(1, False))
    state = adapter.act(adapter.start(1), np.zeros((1, 2, 2)), np.random.default_rng(0)).state  # two actions
    state = adapter.observe(state, np.array([[1.0, -1.0]]), np.zeros((1, 2), bool))
    one, other = adapter.act(state, np.zeros((1, 2, 2)), None).actions[0]
    assert (one == other).all() == (name == "none")


@pytest.mark.slow
def test_nothing_is_carried_from_one_trial_to_the_next():
    """The same task stays in each simulation for good, so that a memory that were not cleared would pay."""
    tasks = Vault.space.tasks(sign=[1.0, -1.0] * 16)
    assert abs(trained(tasks=tasks, trial_episodes=1)["return_0"]) < 0.1


# ---- as a learner


@pytest.mark.slow
@pytest.mark.parametrize("changes", [
    {}, {"window": 7, "burn_in": 2, "anneal": True, "bootstrap_at_horizon": True},
    {"memory": "lstm", "hypernetwork": 3, "predict": "task"},
    {"env": EnvConfig(family="HalfCheetahDisabledJoint", horizon=4), "normalize_by": "disabled_joint"},
])
def test_resumes_to_the_same_bits(changes):
    _, metrics, _ = resumed(config(iterations=3, **changes))
    assert {"return_0", "return_1", "return_2"} <= metrics[0].keys()


def test_a_state_restores_weights_optimizer_and_all_three_normalizers():
    learner = ragged()
    saved = learner.state_dict()
    other = learner_on(Goal())
    other.load_state_dict(saved)
    again = other.state_dict()
    assert again.keys() == saved.keys() and all(torch.equal(again[name], value) for name, value in saved.items())
    for got, want in zip(other.normalizers().values(), learner.normalizers().values(), strict=True):
        assert got.count == want.count > 0
        np.testing.assert_array_equal(got.m2, want.m2)
    for each in (learner, other):
        each.iterate(each.env, 1)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in learner.state_dict().items())


def test_windows_of_trials_by_hand():
    """Seven steps in windows of three, each with two steps before it; padding before the first step and at the end."""
    windows, x = Windows(7, 3, 2), torch.tensor([[10 * t + n for n in (1, 2)] for t in range(1, 8)])
    assert windows.count == 3
    padded = windows.padded(x)
    assert padded[:, 0].tolist() == [0, 0, 11, 21, 31, 41, 51, 61, 71, 0, 0]
    assert windows.resets(2).int()[:, 1].tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert windows.rows(padded).T.tolist() == [
        [11, 21, 31], [12, 22, 32], [41, 51, 61], [42, 52, 62], [71, 0, 0], [72, 0, 0],
    ]  # fmt: skip
    assert windows.rows(padded, 2).T.tolist() == [
        [0, 0, 11, 21, 31], [0, 0, 12, 22, 32], [21, 31, 41, 51, 61], [22, 32, 42, 52, 62], [51, 61, 71, 0, 0],
        [52, 62, 72, 0, 0],
    ]  # fmt: skip


def test_everything_moves_and_the_adapter_is_a_snapshot():
    learner = with_env(config())
    before = {name: value.detach().clone() for name, value in learner.params.items()}
    adapter = learner.adapter()
    observations = np.full((2, 3, 2), 0.1)
    actions = adapter.act(adapter.start(2), observations, None).actions
    learner.iterate(learner.env, 0)
    for name, value in learner.params.items():
        assert not torch.equal(value, before[name]), name
    assert min(learner.normalizer.count, learner.reward_normalizer.count, learner.return_normalizers[0].count) > 0
    assert (adapter.act(adapter.start(2), observations, None).actions == actions).all()


def test_a_gradient_that_is_not_finite_stops_before_the_weights():
    learner = with_env(config())
    batch = learner.prepare(*learner.collect_trials(learner.env, 0)[:2])
    before = {name: value.detach().clone() for name, value in learner.params.items()}
    with pytest.raises(FloatingPointError, match=r"the gradient of memory\.w_input is not finite"):
        learner.update(batch._replace(advantages=batch.advantages * np.nan), 0)
    assert all(torch.equal(value, before[name]) for name, value in learner.params.items())


def test_one_number_of_a_gradient_that_is_not_finite_is_enough():
    learner = with_env(config())
    batch = learner.prepare(*learner.collect_trials(learner.env, 0)[:2])
    params = {"w": torch.ones(3, requires_grad=True)}

    def loss(params, part):
        return (params["w"] * torch.tensor([1.0, float("inf"), 2.0])).sum(), {}

    with pytest.raises(FloatingPointError, match="the gradient of w is not finite"):
        mean_gradient(loss, params, batch, 1)


@pytest.mark.parametrize("oracle", [False, True])
def test_the_task_is_not_among_the_inputs_but_of_an_oracle(oracle):
    learner = with_env(config(oracle=oracle))
    assert learner.policy.observation_dim == 2 + 2 * oracle
    env = make_env(learner.config, 4)
    observations = []
    for goal in (-0.4, 0.3):
        env.set_tasks(env.space.tasks(goal_x=goal, goal_y=goal).repeat(4))
        observations.append(env.reset(seed=0)[0])
    assert np.array_equal(*observations) != oracle


@pytest.mark.parametrize("override, message", [
    ("inner.lr=0.2", r"inner\.lr: got 0\.2, expected no such setting: rl2 has no inner loop"),
    ("algorithm={predict: fit}", r"algorithm\.predict: got fit, expected another .* the memory gru fits no model"),
    ("algorithm={memory: transformer, heads: 3}", r"memory_options\.heads: got 3, expected a divisor of 128"),
    ("algorithm={window: 0, burn_in: 5}", r"algorithm\.burn_in: got 5, expected 0 with algorithm\.window = 0"),
])
def test_settings_that_contradict_each_other(override, message):
    with pytest.raises(UserError, match=message):
        load_config("half_cheetah_mass/rl2", [override])
