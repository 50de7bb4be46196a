"""PEARL: the posterior by hand, its update against a loop, what it may know of a task, and that exploring pays."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from metarl.agents import Normalizer
from metarl.agents.context_adapter import ContextAdapter
from metarl.agents.context_policy import ContextPolicy, kl_from_prior, posterior
from metarl.agents.nn.params import part
from metarl.algorithms.pearl_config import PEARLConfig
from metarl.algorithms.sampling import collect
from metarl.config import Config, EnvConfig, PolicyConfig
from metarl.envs import BatchEnv
from metarl.util.onnx_graph import NEXT, Graph
from metarl.util.rng import stream

from .test_rl2 import Goal, Vault
from .trained import with_env

pytestmark = pytest.mark.usefixtures("one_thread")


def learner_on(family, **changes):
    algorithm = {key: changes.pop(key) for key in list(changes) if key in PEARLConfig.model_fields}
    small = {"latent": 2, "encoder_hidden": [5], "critic_hidden": [6], "batch_tasks": 3, "batch_steps": 4,
             "context_steps": 5, "trial_episodes": 3, "update_ratio": 0.05}  # fmt: skip
    settings = {
        "env": EnvConfig(family="Navigation2D", horizon=12),
        "policy": PolicyConfig(hidden=(8,), normalize_observations=True),
        "algorithm": PEARLConfig(**small | algorithm),
        "meta_batch": 4, "episodes": 3, "threads": 1, "bootstrap_at_horizon": True,
    }  # fmt: skip
    config = Config(**settings | changes)
    env = BatchEnv(family, config.meta_batch * config.episodes, autoreset_mode=AutoresetMode.DISABLED)
    return with_env(config, env)


# ---- the posterior


def test_the_posterior_is_the_product_of_the_prior_and_the_factors_by_hand():
    mean, variance = torch.tensor([[1.0], [3.0], [99.0]]), torch.tensor([[0.5], [0.25], [1.0]])
    # precisions 1 (prior, of mean 0), 2 and 4; the third is not told
    got = posterior(mean, variance, torch.tensor([[1.0], [1.0], [0.0]]))
    assert [x.item() for x in got] == pytest.approx([(2 * 1 + 4 * 3) / 7, 1 / 7])
    assert [x.item() for x in posterior(mean[:0], variance[:0])] == [0.0, 1.0]
    x = torch.linspace(-5, 8, 20_001, dtype=torch.float64)  # and as densities, on a grid

    def density(mean, variance):
        return (-0.5 * (x - mean) ** 2 / variance).exp()

    product = density(0, 1) * density(1, 0.5) * density(3, 0.25)
    assert got[0].item() == pytest.approx(float((x * product).sum() / product.sum()), abs=1e-6)


def test_the_divergence_from_the_prior_is_torchs():
    mean, variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.3, 2.0]])
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, variance.sqrt()), normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_from_prior(mean, variance), expected)


# ---- what is known of a task


def trial(learner, adapter, seed=0, episodes=3):
    """Rollouts of a trial in each simulation, and the state before each and after the last."""
    env = learner.env
    env.set_tasks(env.space.sample(4, "train", np.random.default_rng(seed)).repeat(3))
    states, rollouts = [adapter.start(4)], []
    for e in range(episodes):
        rollouts.append(collect(env, adapter, states[-1], 3, stream(seed, "testing", e)))
        states.append(adapter.adapt(states[-1], rollouts[-1]))
    return rollouts, states


def test_what_an_adapter_knows_is_of_its_own_episodes_in_that_task_and_of_nothing_else():
    """B3: PEARL adapted on samples of its replay buffer, and no test saw it."""
    learner = learner_on(Goal())
    learner.iterate(learner.env, 0)
    adapter = learner.adapter()
    rollouts, states = trial(learner, adapter)
    policy, params = adapter.policy, adapter.params
    for m, k in ((0, 0), (3, 2)):
        factors = []
        for rollout, state in zip(rollouts, states[1:]):
            steps = int(rollout.valid[m, :, k].sum())
            seen = np.concatenate([rollout.observations[m, :steps, k], rollout.last_observations[m, k][None]])
            for t in range(steps):
                reward = learner_reward(adapter, rollout.rewards[m, t, k])
                x = np.concatenate([seen[t], rollout.actions[m, t, k] / policy.bound, reward, seen[t + 1]])
                factors.append(policy.encode(params, torch.from_numpy(x.astype(np.float32))))
            mean, variance = posterior(*(torch.stack(each) for each in zip(*factors)))
            total = 1.0 + state.precision[m, k]
            torch.testing.assert_close(state.weighted[m, k] / total, mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(1 / total, variance, rtol=1e-4, atol=1e-5)
    learner.experience.clear()
    again, _ = trial(learner, adapter)
    assert all(np.array_equal(a.actions, b.actions) for a, b in zip(rollouts, again))


def learner_reward(adapter, reward):
    return adapter.reward_normalizer(np.array([reward]))


def test_a_latent_is_drawn_once_an_episode_from_the_posterior():
    policy = ContextPolicy(2, 1, latent=3)
    params = policy.init(np.random.default_rng(0))
    adapter = ContextAdapter(policy, params, Normalizer.identity(2, False), Normalizer.identity(1, False))
    rng, zeros = np.random.default_rng(0), np.zeros((400, 5, 2))
    first = adapter.act(adapter.start(400), zeros, rng).state
    assert first.latent.std() == pytest.approx(1.0, abs=0.03) and first.latent.mean() == pytest.approx(0.0, abs=0.05)
    state = adapter.observe(first, np.zeros((400, 5)), np.zeros((400, 5), bool))
    second = adapter.act(state, zeros, rng).state
    assert torch.equal(second.latent, first.latent)  # and the next episode draws anew, of what is known by then
    sums = torch.full_like(second.precision, 3.0), torch.full_like(second.weighted, 8.0)
    known = second._replace(precision=sums[0], weighted=sums[1])
    third = adapter.act(adapter.next_episode(known), zeros, rng).state
    assert third.latent.mean() == pytest.approx(2.0, abs=0.03) and third.latent.std() == pytest.approx(0.5, abs=0.02)
    assert (adapter.act(adapter.next_episode(known), zeros, None).state.latent == 2.0).all()


def test_an_exported_policy_goes_on_as_the_adapter_does():
    onnxruntime = pytest.importorskip("onnxruntime")
    policy = ContextPolicy(2, 1, latent=3, hidden=(8,), encoder_hidden=(8,), bound=2.0)
    rng = np.random.default_rng(0)
    normalizers = Normalizer.identity(2).update(np.array([[9.0] * 2, [1.0] * 2, [36.0] * 2])), Normalizer.identity(1)
    params = {name: value + 0.3 * torch.randn(value.shape) for name, value in policy.init(rng).items()}
    adapter = ContextAdapter(policy, params, *normalizers)
    graph = Graph()
    graph.output("control", adapter.onnx(graph, adapter.start(1), False), 1)
    session = onnxruntime.InferenceSession(graph.serialize("pearl"), providers=["CPUExecutionProvider"])
    memory = {name: np.zeros((3, size), np.float32) for name, (size, _) in graph.inputs.items()
              if NEXT + name in graph.outputs}  # fmt: skip
    state, rewards, outputs = adapter.start(1), np.zeros((1, 3)), list(graph.outputs)
    for t in range(12):
        seen, start = rng.standard_normal((1, 3, 2)), np.full((3, 1), float(t % 4 == 0), np.float32)
        if t and t % 4 == 0:
            state = adapter.next_episode(state)
        decision = adapter.act(state, seen, None)
        feeds = {"observation": seen[0], "reward": rewards.T, "start": start} | memory
        got = dict(zip(outputs, session.run(outputs, feeds)))
        np.testing.assert_allclose(got["control"], decision.actions[0], atol=1e-5)
        memory, rewards = {name: got[NEXT + name] for name in memory}, rng.standard_normal((1, 3))
        state = adapter.observe(decision.state, rewards, np.full((1, 3), t % 4 == 3))
    with pytest.raises(NotImplementedError, match="export the mean, without --noise"):
        adapter.onnx(Graph(), state, True)


# ---- an update


def test_an_update_is_told_each_task_by_its_own_explored_episodes():
    """Rewards tell where they are from: 1000 * task + 100 * trial of it + 10 * episode."""
    learner = learner_on(Goal(), batch_tasks=60, batch_steps=30, context_steps=8)
    learner.collect(learner.env, 0)
    segment = learner.experience.segment(0)
    where = 1000 * (np.arange(12) // 3)[:, None] + 100 * (np.arange(12) % 3)[:, None] + 10 * np.arange(3)
    segment.rewards[:] = where[..., None]
    segment.lengths[6:9] = 0  # of task 2 nothing is left
    segment.lengths[0] = 0
    lengths = segment.lengths
    drawn, context, told = learner.experience.sample_tasks(np.random.default_rng(0), 60, 3, 30, 8)
    tasks = drawn.rewards[0] // 1000
    assert set(tasks) == {0, 1, 3} and (drawn.rewards // 1000 == tasks).all()
    assert set((drawn.rewards % 1000).flatten()) == {100 * i + 10 * e for i in range(3) for e in range(3)}
    for g in range(60):
        rewards = context.rewards[told[:, g] > 0, g]
        if not len(rewards):  # of the trial that diverged nothing is known
            assert tasks[g] == 0
            continue
        n = int(3 * tasks[g] + rewards[0] % 1000 // 100)
        assert (rewards // 100 == where[n, 0] // 100).all() and (rewards % 100 <= 10).all()  # never the last episode
        seen = [tuple(x) for x in context.observations[told[:, g] > 0, g]]
        assert len(seen) in (min(8, lengths[n, 0]), min(8, lengths[n, 0] + lengths[n, 1]))
    assert {0.0, 10.0} == set((context.rewards[told > 0] % 100).flatten())


@pytest.mark.parametrize("bins", [0, 7])
def test_the_loss_is_a_loop_over_tasks_and_steps(bins):
    learner = learner_on(Goal(), critics=3, critic_bins=bins, critic_limit=3.0)
    for i in range(2):
        learner.iterate(learner.env, i)
    if bins:  # whose last layer has hardly left zero
        for weights, name in ((learner.params, "critic.w1"), (learner.target, "w1")):
            weights[name].detach().normal_(generator=torch.Generator().manual_seed(len(name)))
    rng = np.random.default_rng(0)
    batch, chosen, params = learner.draw(rng), learner.drawn_critics(rng), learner.params
    policy, critics, of_policy = learner.policy, learner.critics, learner.of_policy(learner.params)
    critic, alpha, settings = part(params, "critic."), params["log_temperature"].exp(), learner.settings
    sums = {"critic": 0.0, "actor": 0.0, "temperature": 0.0}

    def outputs(weights, z, seen, action):
        return critics.outputs(weights, critics.see(weights, z[None], seen[None]), action[None])[:, 0]

    def q(weights, *step):
        got = outputs(weights, *step)
        return (got.softmax(-1) * critics.coding.values).sum(-1) if bins else got[:, 0]

    def error(target, *step):
        got = outputs(critic, *step)
        if not bins:
            return 0.5 * (got[:, 0] - target).square().mean()
        hats = [float(np.interp(target, critics.coding.values.numpy(), row)) for row in np.eye(bins)]
        return -(torch.tensor(hats) * got.log_softmax(-1)).sum(-1).mean()

    def pi(z, seen, noise):
        mean, std = policy.act(of_policy, z, seen)
        u = mean + std * noise
        return u.tanh(), (torch.distributions.Normal(mean, std).log_prob(u) - (1 - u.tanh() ** 2).log()).sum()

    for g in range(3):
        known = batch.context[batch.told[:, g] > 0, g]
        mean, variance = posterior(*policy.encode(of_policy, known))
        z = mean + variance.sqrt() * batch.latent_noise[0, g]
        for k in range(4):
            seen, after, fixed = batch.observations[k, g], batch.following[k, g], z.detach()
            action, log_prob = pi(fixed, after, batch.noise[4 + k, g])
            value = q(learner.target, fixed, after, action)[chosen].min() - alpha * log_prob
            target = batch.rewards[k, g] + learner.config.discount * batch.follows[k, g] * value
            sums["critic"] += error(target.item(), z, seen, batch.actions[k, g])
            sums["critic"] += settings.kl_weight * kl_from_prior(mean, variance)
            action, log_prob = pi(fixed, seen, batch.noise[k, g])
            sums["actor"] += alpha.detach() * log_prob - q(critic, fixed, seen, action)[chosen].min()
            sums["temperature"] -= alpha.log() * (log_prob.detach() + learner.target_entropy)
    loss, _ = learner.loss(params, batch, chosen)
    torch.testing.assert_close(loss, sum(sums.values()), rtol=1e-4, atol=1e-4)
    gradients = torch.autograd.grad(loss / 12, list(params.values()))
    for name, gradient in zip(params, gradients):  # the encoder is moved by the critics' loss alone
        kind = {"encoder": "critic"}.get(name.split(".")[0], name.split(".")[0].removeprefix("log_"))
        own = torch.autograd.grad(sums[kind] / 12, params[name], retain_graph=True)[0]
        torch.testing.assert_close(gradient, own, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.slow
def test_what_the_first_episode_told_pays_in_the_second():
    learner = learner_on(
        Vault(), trial_episodes=2, critic_hidden=[32], encoder_hidden=[16], batch_tasks=32, batch_steps=8,
        context_steps=6, update_ratio=0.1, lr=1e-2, target_rate=0.05, kl_weight=0.01, meta_batch=32, episodes=1,
        policy=PolicyConfig(hidden=(16,), normalize_observations=True, activation="relu"), discount=0.9,
        bootstrap_at_horizon=False,
    )  # fmt: skip
    rows = [learner.iterate(learner.env, i) for i in range(25)]
    first, second = (np.mean([row[f"return_{e}"] for row in rows[-5:]]) for e in range(2))
    assert abs(first) < 0.3 and second > 0.7
