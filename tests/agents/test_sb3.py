"""SB3's algorithms as inner learners: what they learn from a rollout is what SB3's own `learn` makes of it."""

import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from safetensors.torch import load as parse
from safetensors.torch import save as serialize

from metarl.agents import Normalizer, Rollout
from metarl.agents.global_random import global_generators
from metarl.agents.sb3.adapter import SB3Adapter
from metarl.agents.sb3.experience import on_policy, steps
from metarl.agents.sb3.model import ALGORITHMS, build, check, fresh, load, weights
from metarl.agents.sb3.vec_env import VectorEnvAdapter
from metarl.envs import make

pytestmark = pytest.mark.sb3

SMALL = {"policy_kwargs": {"net_arch": [5]}}
OFF_POLICY = {**SMALL, "learning_starts": 0, "buffer_size": 100, "batch_size": 8}
SETTINGS = {
    "A2C": SMALL,
    "DDPG": {**OFF_POLICY, "action_noise": 0.2},
    "PPO": {**SMALL, "n_epochs": 2, "batch_size": 9},
    "RecurrentPPO": {"policy_kwargs": {"net_arch": [5], "lstm_hidden_size": 4}, "n_epochs": 2, "batch_size": 7},
    "SAC": OFF_POLICY,
    "TD3": {**OFF_POLICY, "action_noise": 0.2},
    "TQC": {**OFF_POLICY, "ent_coef": 0.1},
    "TRPO": {**SMALL, "batch_size": 18},
}
T, K = 6, 3


def environment(num_envs=K, mode=AutoresetMode.SAME_STEP):
    env = make("Navigation2D", num_envs, horizon=T, autoreset_mode=mode, action_scale=2.0)
    env.set_tasks(env.space.tasks(goal_x=[0.45] * num_envs, goal_y=[0.4] * num_envs))  # out of reach in T steps
    return env


def learner(name, seed=1, **settings):
    env = environment(1)
    spaces = env.single_observation_space, env.single_action_space
    model = build(name, {**SETTINGS[name], **settings}, *spaces, np.random.SeedSequence(seed))
    return SB3Adapter(
        model, weights(model), Normalizer.identity(2), np.random.SeedSequence(7), SETTINGS[name].get("action_noise", 0)
    )


def experience(adapter, num_tasks=1, seed=0, episodes=K):
    """Rollouts of made-up episodes: random steps, acted upon by the adapter; the first one ends early in a terminal."""
    rng, state = np.random.default_rng(seed), adapter.start(num_tasks)
    shape = (num_tasks, T, episodes)
    observations = rng.normal(0, 0.3, (*shape, 2)).astype(np.float32)
    decisions = []
    for t in range(T):
        decisions.append(adapter.act(state, observations[:, t], rng))
        state = decisions[-1].state
    valid, terminated, truncated = np.ones(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    valid[:, T // 2 :, 0], terminated[:, T // 2 - 1, 0], truncated[:, -1, 1:] = False, True, True
    return Rollout(
        observations=observations,
        raw_moments=np.zeros((3, 2)),
        actions=np.stack([d.actions for d in decisions], 1),
        rewards=rng.normal(size=shape),
        terminated=terminated,
        truncated=truncated,
        valid=valid,
        diverged=np.zeros((num_tasks, episodes), bool),
        last_observations=rng.normal(0, 0.3, (num_tasks, episodes, 2)).astype(np.float32),
    )


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ["PPO", "A2C", "TRPO", "RecurrentPPO", "SAC", "TD3", "TQC"])
def test_it_learns_what_sb3_s_own_learn_makes_of_the_same_episodes(name):
    """SB3 collects them in its VecEnv; the adapter gets the same as a rollout, and ends up with the same weights."""
    replays = "buffer_size" in SETTINGS[name]
    episodes = 1 if replays else K  # SB3's replay buffer draws a simulation for each sample as well
    lengths = {"train_freq": T, "gradient_steps": 3} if replays else {}
    adapter = learner(name, **lengths)
    kwargs = copy.deepcopy({**SETTINGS[name], **lengths})  # SB3 writes into some
    kwargs.pop("action_noise", None)
    seed = np.random.SeedSequence(7, spawn_key=(0, 0))
    policy = "MlpLstmPolicy" if name == "RecurrentPPO" else "MlpPolicy"
    with global_generators(np.random.SeedSequence(3)):
        env = VectorEnvAdapter(environment(episodes))
        model = ALGORITHMS[name](policy, env, device="cpu", **kwargs, **({} if replays else {"n_steps": T}))
        load(model, adapter.params, fresh(model))
        seen, train, step_wait = [], model.train, env.step_wait
        records = {"rewards": [], "observations": []}

        def recording_step():
            records["observations"].append(model._last_obs.copy())
            observations, rewards, dones, infos = step_wait()
            records["rewards"].append(rewards.copy())
            if dones.all():
                records["last"] = np.stack([info["terminal_observation"] for info in infos])
            return observations, rewards, dones, infos

        def recording_train(*args, **kwargs):
            buffer = model.replay_buffer if replays else model.rollout_buffer
            actions = buffer.actions[:T].copy()
            records["actions"] = model.policy.unscale_action(actions) if replays else actions
            with global_generators(seed):
                train(*args, **kwargs)
            seen.append(1)

        env.step_wait, model.train = recording_step, recording_train
        model.learn(T * episodes)
    assert seen == [1]

    def stacked(x):
        return np.stack(x)[None].astype(np.float32)

    shape = (1, T, episodes)
    truncated = np.zeros(shape, bool)
    truncated[:, -1] = True
    rollout = Rollout(
        observations=stacked(records["observations"]),
        raw_moments=np.zeros((3, 2)),
        actions=stacked(records["actions"]),
        rewards=stacked(records["rewards"]),
        terminated=np.zeros(shape, bool),
        truncated=truncated,
        valid=np.ones(shape, bool),
        diverged=np.zeros((1, episodes), bool),
        last_observations=records["last"][None].astype(np.float32),
    )
    state = adapter.adapt(adapter.start(1), rollout)
    expected = weights(model)
    assert state.params.keys() == expected.keys()
    moved = 0.0
    for key, value in expected.items():
        torch.testing.assert_close(state.params[key][0], value, rtol=1e-4, atol=2e-6, msg=key)
        moved = max(moved, float((value - adapter.params[key]).abs().max()))
    assert moved > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_an_adapter_is_a_value_and_leaves_global_generators_alone(name):
    states = [random.getstate(), torch.get_rng_state()]  # NumPy's is watched in every test
    adapter = learner(name)
    start = adapter.start(2)
    rollout = experience(adapter, 2)
    before = {key: value.clone() for key, value in start.params.items()}
    once = adapter.adapt(start, rollout)
    twice = adapter.adapt(once, rollout)
    torch.manual_seed(5)
    again = adapter.adapt(adapter.start(2), rollout)
    later = adapter.adapt(again, rollout)
    torch.set_rng_state(states[1])
    assert same(start.params, before) and same(adapter.params, learner(name).params)
    assert same(once.params, again.params) and same(twice.params, later.params)
    assert same(adapter.adapt(once, rollout).params, twice.params)  # the optimizers' state is a value as well
    assert not same(once.params, twice.params)
    assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1])
    other = learner(name)
    other.seed = np.random.SeedSequence(8)
    if name in ("PPO", "SAC", "TD3"):  # others draw little or nothing
        assert not same(other.adapt(start, rollout).params, once.params)


@pytest.mark.parametrize("name", ["PPO", "SAC"])
def test_tasks_do_not_meet(name):
    """A task learns the same whoever is beside it, and through a file of plain tensors."""
    adapter = learner(name)
    rollout = experience(adapter, 2)
    first = Rollout(**{key: value[:1] if key != "raw_moments" else value for key, value in vars(rollout).items()
                       if value is not None})  # fmt: skip
    both, alone = adapter.adapt(adapter.start(2), rollout), adapter.adapt(adapter.start(1), first)
    assert same({key: value[:1] for key, value in both.params.items()}, alone.params)
    assert not same({key: value[:1] for key, value in both.params.items()}, {k: v[1:] for k, v in both.params.items()})
    assert same(parse(serialize(adapter.params)), adapter.params)


@pytest.mark.parametrize("name", SETTINGS)
def test_it_acts_as_sb3_s_policy_does(name):
    adapter = learner(name)
    state = adapter.adapt(adapter.start(2), experience(adapter, 2))
    observations = np.random.default_rng(2).normal(size=(2, 200, 2))
    mean = adapter.act(state, observations, None).actions
    for m in range(2):
        load(adapter.model, {key: value[m] for key, value in state.params.items()}, state.learning[m])
        expected, _ = adapter.model.predict(observations[m].astype(np.float32), deterministic=True)
        np.testing.assert_allclose(np.clip(mean[m], -2, 2), expected, atol=1e-5)
    draws = [adapter.act(state, observations, np.random.default_rng(seed)).actions for seed in (0, 0, 1)]
    assert name not in ("SAC", "TQC", "TD3", "DDPG") or max(np.abs(draw).max() for draw in draws) <= 2
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).all() and (draws[0] != mean).all()


def test_draws_have_the_policy_s_deviation():
    adapter = learner("PPO")
    observations = np.zeros((1, 4000, 2))
    decision = adapter.act(adapter.start(1), observations, np.random.default_rng(0))
    np.testing.assert_allclose(decision.actions.std((0, 1)), 1.0, atol=0.05)
    noisy, quiet = learner("TD3"), learner("TD3")
    quiet.action_noise = 0.0
    rng = np.random.default_rng(0)
    actions = [adapter.act(adapter.start(1), observations, rng).actions for adapter in (noisy, quiet)]
    difference = actions[0] - actions[1]
    np.testing.assert_allclose(difference.std((0, 1)), 2 * 0.2, rtol=0.05)  # actions span +-2


def test_noise_on_the_actions_of_a_policy_with_noise_of_its_own_is_drawn_beside_it():
    quiet, noisy = learner("SAC"), learner("SAC")
    noisy.action_noise = 0.1
    observations = np.zeros((1, 4000, 2))
    actions = [a.act(a.start(1), observations, np.random.default_rng(0)).actions[0] for a in (quiet, noisy)]
    assert abs(np.corrcoef(actions[0][:, 0], (actions[1] - actions[0])[:, 0])[0, 1]) < 0.2  # the same draw: 0.7


def test_a_recurrent_policy_remembers_within_an_episode_only():
    adapter = learner("RecurrentPPO")
    state, observation = adapter.start(1), np.ones((1, K, 2))
    first = adapter.act(state, observation, None)
    second = adapter.act(first.state, observation, None)
    assert not np.allclose(first.actions, second.actions)
    adapted = adapter.adapt(first.state, experience(adapter))
    assert adapted.memory is None and state.memory is None


def test_padding_and_diverged_episodes_are_not_learned_from():
    rollout = experience(learner("PPO"))
    poisoned = {key: value.copy() for key, value in vars(rollout).items() if value is not None}
    poisoned["valid"][0, :, 2], poisoned["truncated"][0, :, 2] = False, False
    clean = {key: value.copy() for key, value in poisoned.items()}
    for key in ("observations", "actions", "rewards"):
        poisoned[key][~poisoned["valid"]] = np.nan
    for name in ("PPO", "SAC", "RecurrentPPO"):
        adapter = learner(name)
        results = [adapter.adapt(adapter.start(1), Rollout(**given)).params for given in (poisoned, clean)]
        assert all(torch.isfinite(value).all() for value in results[0].values()), name
        assert same(*results), name
    nothing = {**clean, "valid": np.zeros_like(clean["valid"])}
    for name in ("PPO", "SAC"):
        adapter = learner(name)
        after = adapter.adapt(adapter.start(1), Rollout(**nothing))
        assert same({key: value[0] for key, value in after.params.items()}, adapter.params)


def test_steps_of_a_task_by_hand():
    rollout = experience(learner("PPO"), 2)
    lived = steps(rollout, 1)
    assert len(lived.rewards) == T // 2 + 2 * T
    assert lived.starts.nonzero()[0].tolist() == [0, 3, 9]
    assert lived.terminated.nonzero()[0].tolist() == [2] and lived.truncated.nonzero()[0].tolist() == [8, 14]
    np.testing.assert_array_equal(lived.next_observations[0], rollout.observations[1, 1, 0])
    np.testing.assert_array_equal(lived.next_observations[2], rollout.last_observations[1, 0])
    np.testing.assert_array_equal(lived.next_observations[14], rollout.last_observations[1, 2])
    np.testing.assert_array_equal(lived.observations[3:9], rollout.observations[1, :, 1])


def test_a_terminal_state_in_the_last_step_of_the_time_limit_is_terminal():
    rollout = experience(learner("PPO"))
    terminated = rollout.terminated.copy()
    terminated[0, -1, 1] = True  # as is `truncated`
    lived = steps(replace(rollout, terminated=terminated), 0)
    assert lived.terminated.nonzero()[0].tolist() == [2, 8] and lived.truncated.nonzero()[0].tolist() == [14]


def test_only_termination_cuts_the_value_that_follows():
    adapter = learner("PPO", gae_lambda=1.0, gamma=0.5)
    model, rollout = adapter.model, experience(adapter)
    on_policy(model, rollout, 0)
    returns = model.rollout_buffer.returns.flatten()
    assert returns[2] == pytest.approx(rollout.rewards[0, 2, 0], abs=1e-6)
    with torch.no_grad():
        behind = model.policy.predict_values(torch.from_numpy(rollout.last_observations[0])).flatten().numpy()
    assert returns[8] == pytest.approx(rollout.rewards[0, -1, 1] + 0.5 * behind[1], abs=1e-6)
    assert returns[7] == pytest.approx(rollout.rewards[0, -2, 1] + 0.5 * returns[8], abs=1e-6)


@pytest.mark.parametrize(
    ("frequency", "gradient_steps", "expected"),
    [(1, 1, T), (2, 1, T // 2), (1, -1, T // 2 + 2 * T), ([1, "episode"], 2, 2 * K), (T + 1, 1, 0)],
)
def test_gradient_steps_are_those_of_sb3_for_as_much_experience(frequency, gradient_steps, expected):
    adapter = learner("SAC", train_freq=frequency, gradient_steps=gradient_steps)
    state = adapter.adapt(adapter.start(1), experience(adapter))
    assert state.learning[0].updates == expected
    state = adapter.adapt(state, experience(adapter, seed=1))
    assert state.learning[0].updates == 2 * expected and len(state.rollouts) == 2
    assert adapter.model.replay_buffer.pos == 2 * (T // 2 + 2 * T)


def test_what_is_not_finite_goes_no_further():
    adapter = learner("A2C", learning_rate=1e38, max_grad_norm=1e9, vf_coef=1e6)
    with pytest.raises(FloatingPointError, match="policy.* is not finite after training in a task"):
        adapter.adapt(adapter.start(1), experience(adapter))


def test_too_little_experience_is_not_learned_from():
    adapter = learner("SAC", learning_starts=20)
    after = adapter.adapt(adapter.start(1), experience(adapter))
    assert after.learning[0].updates == 0
    assert adapter.adapt(after, experience(adapter)).learning[0].updates > 0


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        ("PPo", {}, r"got algorithm 'PPo', expected one of A2C, DDPG, PPO, .* \(did you mean 'PPO'\?\)"),
        ("PPO", {"learning_rat": 1}, r"got 'learning_rat', expected a setting of PPO \(did you mean 'learning_rate'"),
        ("PPO", {"n_steps": 5}, r"got n_steps for PPO, expected none: it learns from all episodes"),
        ("SAC", {"seed": 5}, r"got 'seed', expected a setting of SAC"),
        ("PPO", {"use_sde": True}, r"got use_sde, expected false"),
        ("PPO", {"policy": "MlpPolic"}, r"got policy 'MlpPolic', expected MlpPolicy"),
        ("RecurrentPPO", {"policy": ["MlpPolicy"]}, r"got policy \['MlpPolicy'\], expected MlpLstmPolicy"),
        ("PPO", {"policy_kwargs": 5}, r"got policy_kwargs 5, expected keys and values"),
        ("PPO", {"n_epochs": 0}, r"got n_epochs 0, expected 1 or more"),
        ("SAC", {"train_freq": [0, "step"]}, r"got train_freq \[0, 'step'\], expected 1 or more"),
        ("TD3", {"action_noise": "x"}, r"got action_noise 'x', expected 0 or more"),
    ],
)
def test_settings_are_checked(algorithm, settings, message):
    with pytest.raises(ValueError, match=message):
        check(algorithm, settings)
    for name in ALGORITHMS:
        check(name, {"learning_rate": 1e-3, "gamma": 0.9})


def test_faults_that_only_sb3_knows_are_passed_on():
    env = environment(1)
    with pytest.raises(ValueError, match="got activation_fn 'Tan', expected the name of one of PyTorch's"):
        build("PPO", {"policy_kwargs": {"activation_fn": "Tan"}}, env.single_observation_space,
              env.single_action_space, np.random.SeedSequence(0))  # fmt: skip
    with pytest.raises(ValueError, match="PPO does not take these settings: .*net_arc"):
        build("PPO", {"policy_kwargs": {"net_arc": [3]}}, env.single_observation_space,
              env.single_action_space, np.random.SeedSequence(0))  # fmt: skip
    model = build("PPO", {"policy_kwargs": {"activation_fn": "ReLU"}}, env.single_observation_space,
                  env.single_action_space, np.random.SeedSequence(0))  # fmt: skip
    assert "ReLU" in str(model.policy)
