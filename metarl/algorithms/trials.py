"""Trials: E episodes of one task in a row, as sequences that a memory can be run along.

    trials = pack(rollouts, policy, reward_normalizer, tasks)   # rollouts: E of them, one for each episode of a trial
    advantages = trial_advantages(trials, values, ...)

The steps of a trial stand one behind the other without gaps, whatever the lengths of its episodes; what is missing to
the longest trial is padding at the end. A trial in which physics diverged is padding throughout. Tensors have the step
first: L steps, N = M * K trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from metarl.agents import Normalizer, RecurrentPolicy, Rollout, generalized_advantages
from metarl.envs import Tasks
from metarl.envs.oracle import told


class Trials(NamedTuple):
    """N trials of at most L steps.

    Attributes:
        inputs: (L, N, X) float32, what the policy was given.
        actions: (L, N, A) float32.
        rewards: (N, L) float64.
        episodes: (N, L), which episode of its trial each step belongs to.
        ends: (N, L) bool, the last step of an episode.
        terminated: (N, L) bool, it ended in a terminal state and not by the time limit.
        valid: (N, L) bool.
        tasks: (N, C) float32, the task of each trial as an oracle is told it.
    """

    inputs: torch.Tensor
    actions: torch.Tensor
    rewards: np.ndarray
    episodes: np.ndarray
    ends: np.ndarray
    terminated: np.ndarray
    valid: np.ndarray
    tasks: np.ndarray


@dataclass(frozen=True)
class Windows:
    """How trials of L steps are cut into windows of W steps, each with B steps of burn-in before it, as rows.

    Window i of trial n becomes row ``i * N + n``. Before the first step stand B steps of padding.

    Attributes:
        length, steps, burn_in: L, W and B.
    """

    length: int
    steps: int
    burn_in: int

    @property
    def count(self) -> int:
        return -(-self.length // self.steps)

    def padded(self, x: torch.Tensor) -> torch.Tensor:
        """(L, N, ...) -> (B + count * W, N, ...)."""
        ends = self.burn_in, self.count * self.steps - self.length
        before, after = (x.new_zeros(n, *x.shape[1:]) for n in ends)
        return torch.cat([before, x, after])

    def resets(self, num_trials: int) -> torch.Tensor:
        """(B + count * W, N) bool, where a trial begins, padded."""
        resets = torch.zeros(self.burn_in + self.count * self.steps, num_trials) > 0
        resets[self.burn_in] = True
        return resets

    def rows(self, x: torch.Tensor, lead: int = 0) -> torch.Tensor:
        """(B + count * W, N, ...) -> (lead + W, count * N, ...), each window with the ``lead`` steps before it."""
        first, steps = self.burn_in - lead, self.steps
        return torch.cat([x[first + i * steps : self.burn_in + (i + 1) * steps] for i in range(self.count)], dim=1)


def pack(
    rollouts: Sequence[Rollout],
    policy: RecurrentPolicy,
    reward_normalizer: Normalizer,
    tasks: Tasks,
    revision: int = 2,
) -> Trials:
    """The trials whose episode e is ``rollouts[e]``, in N tasks, told as an OracleEnv of that revision does."""
    lived = np.logical_and.reduce([~rollout.diverged for rollout in rollouts])  # (M, K)
    valid = _rows([rollout.valid & lived[:, None] for rollout in rollouts])  # (N, E * T)
    length = max(1, int(valid.sum(1).max()))
    order = np.argsort(~valid, axis=1, kind="stable")[:, :length]  # the steps that were lived, in their order

    def packed(parts: Sequence[np.ndarray]) -> np.ndarray:
        x = _rows(parts)
        index = order.reshape(*order.shape, *[1] * (x.ndim - 2))
        kept = valid.reshape(*valid.shape, *[1] * (x.ndim - 2))
        return np.take_along_axis(np.where(kept, x, np.zeros((), x.dtype)), index, axis=1)

    def steps_first(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.swapaxes(x, 0, 1), np.float32))

    actions, rewards = packed([r.actions for r in rollouts]), packed([r.rewards for r in rollouts])
    starts = packed([np.broadcast_to((np.arange(r.shape[1]) == 0)[:, None], r.shape) for r in rollouts])
    inputs = policy.inputs(
        steps_first(packed([r.observations for r in rollouts])),
        steps_first(_before(actions)),
        steps_first(reward_normalizer(_before(rewards)[..., None])[..., 0]),
        steps_first(starts),
    )
    return Trials(
        inputs=inputs,
        actions=steps_first(actions),
        rewards=rewards,
        episodes=packed([np.full(r.shape, e) for e, r in enumerate(rollouts)]),
        ends=packed([r.terminated | r.truncated for r in rollouts]),
        terminated=packed([r.terminated for r in rollouts]),
        valid=np.take_along_axis(valid, order, axis=1),
        tasks=told(tasks.space, tasks.values, revision=revision).astype(np.float32),
    )


def trial_advantages(
    trials: Trials,
    values: np.ndarray,
    discount: float,
    gae_lambda: float,
    *,
    across_episodes: bool = True,
    bootstrap: np.ndarray | None = None,
) -> np.ndarray:
    """Generalized advantages (Schulman et al. 2016, eq. 16) along the trials.

    The return of a step is the discounted reward of the rest of its trial (Duan et al. 2016, sec. 2.2): the value of an
    episode's first step follows the last step of the episode before, however that ended. So what is learned early pays
    later. With ``across_episodes`` false, it is the reward of the rest of its episode. Where the return ends, nothing
    follows, or at a time limit ``bootstrap``.

    Args:
        values: (N, L), V of each step's input.
        across_episodes: whether a return goes on into the next episodes of the trial.
        bootstrap: (N, E), V of what was seen after the last step of each episode; None: a time limit is part of the
            task.

    Returns:
        (N, L), zero at padding.
    """
    last = trials.valid & ~np.pad(trials.valid[:, 1:], ((0, 0), (0, 1)))  # the last step of each trial
    cut = last if across_episodes else trials.ends
    rewards = trials.rewards
    if bootstrap is not None:
        behind = np.take_along_axis(bootstrap, trials.episodes, axis=1)
        rewards = rewards + np.where(cut & ~trials.terminated, discount * behind, 0.0)
    rewards, values, cut, valid = (x[..., None] for x in (rewards, values, cut, trials.valid))
    nothing = np.zeros((len(values), 1))
    return generalized_advantages(rewards, values, nothing, cut, valid, discount, gae_lambda)[..., 0]


def _rows(parts: Sequence[np.ndarray]) -> np.ndarray:
    """(M, T, K, ...) of each episode -> (M * K, E * T, ...)."""
    x = np.concatenate([np.swapaxes(part, 1, 2) for part in parts], axis=2)
    return x.reshape(-1, *x.shape[2:])


def _before(x: np.ndarray) -> np.ndarray:
    """(N, L, ...) one step later, zero at the first step."""
    return np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
