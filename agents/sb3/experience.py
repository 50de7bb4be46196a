"""Episodes of one task in the buffers of a Stable-Baselines3 algorithm, as its own `learn` would have put them there.

    on_policy(model, rollout, task=3)                # model.rollout_buffer, with advantages: model.train() can go
    off_policy(model, [first, second], task=3)       # model.replay_buffer

The episodes of the task stand one behind the other, as if one simulation had run them, without padding and without
those whose physics diverged. Where time ran out the value of the last observation is added, as SB3 does.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from ..rollout import Rollout


class Steps(NamedTuple):
    """L steps of one task, episode after episode.

    Attributes:
        observations, next_observations: (L, O) float32.
        actions: (L, A) float32.
        rewards: (L,) float32.
        starts, terminated, truncated: (L,) bool.
    """

    observations: np.ndarray
    next_observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    starts: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def steps(rollout: Rollout, task: int) -> Steps:
    """The valid steps of a task."""

    def episodes_first(x: np.ndarray) -> np.ndarray:  # (M, T, K, ...) -> (K, T, ...)
        return x[task].swapaxes(0, 1)

    valid = episodes_first(rollout.valid)
    observations = episodes_first(rollout.observations)
    following = np.empty_like(observations)
    following[:, :-1] = observations[:, 1:]
    episode, lengths = np.arange(len(valid)), valid.sum(axis=1)
    following[episode, lengths - 1] = rollout.last_observations[task]
    starts = np.zeros_like(valid)
    starts[:, 0] = True
    rewards = episodes_first(rollout.rewards).astype(np.float32)
    terminated, truncated = episodes_first(rollout.terminated), episodes_first(rollout.truncated)
    kept = (observations, following, episodes_first(rollout.actions), rewards, starts)
    return Steps(*(x[valid] for x in (*kept, terminated, truncated & ~terminated)))


@torch.no_grad()
def on_policy(model: OnPolicyAlgorithm, rollout: Rollout, task: int) -> int:
    """Fill the rollout buffer of A2C, PPO, TRPO or RecurrentPPO; returns the number of steps L."""
    taken = steps(rollout, task)
    length = len(taken.rewards)
    if not length:
        return 0
    recurrent = hasattr(model.policy, "lstm_actor")
    values, log_probs, last_values, memories = (_recurrent if recurrent else _feedforward)(model, rollout, task, taken)
    rewards = taken.rewards + model.gamma * np.where(taken.truncated, last_values, 0.0).astype(np.float32)
    shape: dict[str, Any] = {}
    if recurrent:
        lstm = cast(torch.nn.LSTM, model.policy.lstm_actor)
        shape["hidden_state_shape"] = (length, lstm.num_layers, 1, lstm.hidden_size)
    buffer = type(model.rollout_buffer)(
        length,
        model.observation_space,
        model.action_space,
        device=model.device,
        gamma=model.gamma,
        gae_lambda=model.gae_lambda,
        n_envs=1,
        **shape,
    )
    # buffer.add, of all steps at once
    columns = {"observations": taken.observations, "actions": taken.actions, "rewards": rewards,
               "episode_starts": taken.starts, "values": values.cpu(), "log_probs": log_probs.cpu()}  # fmt: skip
    for name, column in columns.items():
        getattr(buffer, name)[:, 0] = column
    if recurrent:
        for part in ("pi", "vf"):
            hidden, cell = zip(*(getattr(memory, part) for memory in memories))
            getattr(buffer, f"hidden_states_{part}")[:] = torch.stack(hidden).cpu()
            getattr(buffer, f"cell_states_{part}")[:] = torch.stack(cell).cpu()
    buffer.pos, buffer.full = length, True
    # the last step ends its episode, so nothing follows it
    buffer.compute_returns_and_advantage(last_values=torch.zeros(1), dones=np.ones(1, bool))
    model.rollout_buffer = buffer
    return length


def off_policy(model: OffPolicyAlgorithm, rollouts: Sequence[Rollout], task: int) -> int:
    """Fill the replay buffer of SAC, TD3, DDPG or TQC with all episodes of the task; returns the number of steps."""
    buffer, total = cast(ReplayBuffer, model.replay_buffer), 0
    buffer.reset()
    for rollout in rollouts:
        taken = steps(rollout, task)
        scaled = model.policy.scale_action(taken.actions)
        dones = taken.terminated | taken.truncated
        total += len(dones)
        for i, truncated in enumerate(taken.truncated.tolist()):
            one = slice(i, i + 1)
            buffer.add(
                taken.observations[one], taken.next_observations[one], scaled[one], taken.rewards[one], dones[one],
                [{"TimeLimit.truncated": truncated}],
            )  # fmt: skip
    return total


def _feedforward(model, rollout: Rollout, task: int, taken: Steps):
    """(L,) values, log-probabilities, and values behind the steps that time cut off."""
    observations = torch.from_numpy(taken.observations).to(model.device)
    values, log_probs, _ = model.policy.evaluate_actions(
        observations, torch.from_numpy(taken.actions).to(model.device)
    )
    following = torch.from_numpy(taken.next_observations).to(model.device)
    return values.flatten(), log_probs, model.policy.predict_values(following).flatten().cpu().numpy(), None


def _recurrent(model, rollout: Rollout, task: int, taken: Steps):
    """The same, and the memory before each step; all episodes of the task go step by step together."""
    policy, lstm = model.policy, model.policy.lstm_actor
    valid = rollout.valid[task]  # (T, K)
    num_steps, num_episodes = valid.shape
    last = torch.from_numpy(rollout.last_observations[task]).to(model.device)
    going = torch.zeros(num_episodes, device=model.device)
    memory = empty_memory(lstm, num_episodes)
    values, log_probs, last_values = (np.zeros((num_steps, num_episodes), np.float32) for _ in range(3))
    memories = []
    for t in range(num_steps):
        observations, actions = (
            torch.from_numpy(np.where(valid[t, :, None], x[task, t], 0)).to(model.device)
            for x in (rollout.observations, rollout.actions)
        )
        memories.append(memory)
        distribution, _ = policy.get_distribution(observations, memory.pi, going)
        log_probs[t] = distribution.log_prob(actions).cpu().numpy()
        _, value, _, memory = policy.forward(observations, memory, going)
        values[t] = value.flatten().cpu().numpy()
        if rollout.truncated[task, t].any():
            last_values[t] = policy.predict_values(last, memory.vf, going).flatten().cpu().numpy()

    def episode_by_episode(x: np.ndarray) -> np.ndarray:  # (T, K) -> (L,)
        return x.T[valid.T]

    before = [
        type(memory)(*(tuple(x[:, k : k + 1] for x in part) for part in memories[t]))
        for k, t in np.argwhere(valid.T)
    ]
    values, log_probs = (torch.from_numpy(episode_by_episode(x)) for x in (values, log_probs))
    return values, log_probs, episode_by_episode(last_values), before


def empty_memory(lstm: torch.nn.LSTM, num_episodes: int):
    """The memory of RecurrentPPO's policy at the start of episodes."""
    from sb3_contrib.common.recurrent.type_aliases import RNNStates

    zeros = torch.zeros(lstm.num_layers, num_episodes, lstm.hidden_size, device=next(lstm.parameters()).device)
    return RNNStates((zeros, zeros), (zeros, zeros))
