"""Trials: E episodes of one task in a row, as sequences that a memory can be run along.

    trials = pack(rollouts, policy, reward_normalizer, tasks)   # rollouts: E of them, one for each episode of a trial
    advantages = trial_advantages(trials, values, ...)

The steps of a trial stand one behind the other without gaps, whatever the lengths of its episodes; what is missing to
the longest trial is padding at the end. A trial in which physics diverged is padding throughout. Tensors have the step
first: L steps, N = M * K trials. Arrays are those of the rollouts, NumPy's or tensors of a device.
"""

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from metarl.agents import Normalizer, RecurrentPolicy, Rollout, generalized_advantages
from metarl.agents.nn.arrays import tensor
from metarl.envs import Tasks, TaskSpace
from metarl.envs.oracle import told, told_names
from metarl.util.arrays import Array, namespace
from metarl.util.errors import UserError
from metarl.util.text import nearest, show


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
        tasks: (N, C) float32, the task of each trial as an oracle is told it; NumPy's.
    """

    inputs: torch.Tensor
    actions: torch.Tensor
    rewards: Array
    episodes: Array
    ends: Array
    terminated: Array
    valid: Array
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
        """(B + count * W, N) bool, where a trial begins, padded; on the processor, which has to know."""
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
    xp = namespace(rollouts[0].valid)
    lived = ~functools.reduce(operator.or_, [rollout.diverged for rollout in rollouts])  # (M, K)
    valid = _rows([rollout.valid & lived[:, None] for rollout in rollouts])  # (N, E * T)
    length = max(1, int(valid.sum(1).max()))
    # the steps that were lived, in their order
    order = xp.argsort(xp.astype(~valid, xp.int8), axis=1, stable=True)[:, :length]

    def packed(parts: Sequence[Array]) -> Array:
        x = _rows(parts)
        index = order.reshape(*order.shape, *[1] * (x.ndim - 2))
        kept = valid.reshape(*valid.shape, *[1] * (x.ndim - 2))
        return xp.take_along_axis(xp.where(kept, x, xp.zeros_like(x[:1, :1])), index, axis=1)

    def steps_first(x: Array) -> torch.Tensor:
        return tensor(xp.astype(x.swapaxes(0, 1), xp.float32, copy=False)).contiguous()

    def first_steps(rollout: Rollout) -> Array:
        first = xp.zeros_like(rollout.valid)
        first[:, 0] = True
        return first

    actions, rewards = packed([r.actions for r in rollouts]), packed([r.rewards for r in rollouts])
    starts = packed([first_steps(r) for r in rollouts])
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
        episodes=packed([xp.full_like(r.valid, e, dtype=xp.int64) for e, r in enumerate(rollouts)]),
        ends=packed([r.terminated | r.truncated for r in rollouts]),
        terminated=packed([r.terminated for r in rollouts]),
        valid=xp.take_along_axis(valid, order, axis=1),
        tasks=told(tasks.space, tasks.values, revision=revision).astype(np.float32),
    )


def dealt(rng: np.random.Generator, trials: int, parts: int, revision: int = 3) -> list[np.ndarray]:
    """The numbers of trials in so many minibatches of as many trials each, to within one; each in rising order.

    As cards are dealt: a minibatch has one of the first ``parts`` trials, one of the next ones, and so on, each by
    chance. So wherever trials are divided between ranks, all minibatches are divided alike, and no rank waits long.

    Args:
        revision: 3; in runs of before any trials may come together.
    """
    if revision < 3:
        return [np.sort(part) for part in np.array_split(rng.permutation(trials), parts)]
    part = np.concatenate([rng.permutation(parts) for _ in range(0, trials, parts)])[:trials]  # of each trial
    return [np.flatnonzero(part == i) for i in range(parts)]


def trial_advantages(
    trials: Trials,
    values: Array,
    discount: float,
    gae_lambda: float,
    *,
    across_episodes: bool = True,
    bootstrap: Array | None = None,
) -> Array:
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
    xp = namespace(trials.valid)
    follows = xp.concat([trials.valid[:, 1:], xp.zeros_like(trials.valid[:, :1])], axis=1)
    last = trials.valid & ~follows  # the last step of each trial
    cut = last if across_episodes else trials.ends
    rewards = trials.rewards
    if bootstrap is not None:
        behind = xp.take_along_axis(bootstrap, trials.episodes, axis=1)
        rewards = rewards + xp.where(cut & ~trials.terminated, discount * behind, 0.0)
    rewards, values, cut, valid = (x[..., None] for x in (rewards, values, cut, trials.valid))
    nothing = xp.zeros_like(values[:, 0])
    return generalized_advantages(rewards, values, nothing, cut, valid, discount, gae_lambda)[..., 0]


def category(name: str | None, space: TaskSpace, revision: int = 2) -> list[int]:
    """The columns of :attr:`Trials.tasks` that a category of the task has, one for each value; none if it is None.

    Raises:
        UserError: the task has no category of that name.
    """
    columns = told_names(space, revision)
    found = [i for i, column in enumerate(columns) if column.startswith(f"{name}=")]
    if name is not None and not found:
        known = [column.partition("=")[0] for column in columns if "=" in column]
        expected = f"a category of the task{nearest(name, known)}" if known else "null: the task has no category"
        raise UserError(f"algorithm.normalize_by: got {show(name)}, expected {expected}")
    return found


def _rows(parts: Sequence[Array]) -> Array:
    """(M, T, K, ...) of each episode -> (M * K, E * T, ...)."""
    x = namespace(parts[0]).concat([part.swapaxes(1, 2) for part in parts], axis=2)
    return x.reshape(-1, *x.shape[2:])


def _before(x: Array) -> Array:
    """(N, L, ...) one step later, zero at the first step."""
    xp = namespace(x)
    return xp.concat([xp.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
