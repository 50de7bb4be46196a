"""The replay store: whole trials of the last iterations, from which windows of steps are drawn.

    replay = Replay(segments=100, trials=25, episodes=2, horizon=200, observation_dim=20, action_dim=6)
    replay.add(0, segment)                               # what iteration 0 lived; segments are never changed again
    rows = replay.sample(rng, count=64, window=32, burn_in=32)
    replay.segment(0).tensors()                          # to be saved; `Segment.of` is the way back

A segment is what an iteration collected: N trials of E episodes of at most T steps, each step's observation, action
and reward, and behind the last step of an episode the observation that followed it. Memory is bounded: the last
``segments`` of them are drawn from. One more is kept, so that an iteration that is given up has overwritten nothing
that a checkpoint needs.
"""

from typing import NamedTuple, Self

import numpy as np
import torch

NOTHING = "there is no trial to draw from: the physics of all of them diverged"


class Segment(NamedTuple):
    """The trials of one iteration. Step t of an episode is at t; behind its last step stands what was observed then.

    Attributes:
        observations: (N, E, T + 1, O) float32, raw.
        actions: (N, E, T + 1, A) float32.
        rewards: (N, E, T + 1) float32.
        lengths: (N, E) int32, steps of each episode; all zero where the physics of a trial diverged.
        terminated: (N, E) bool, it ended in a terminal state and not by the time limit.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray

    def tensors(self) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(value) for name, value in self._asdict().items()}

    @classmethod
    def of(cls, tensors: dict[str, torch.Tensor]) -> Self:
        """From what `tensors` gave; KeyError if one is missing."""
        return cls(*(tensors[name].numpy() for name in cls._fields))


class Rows(NamedTuple):
    """R windows of at most W steps of an episode, each with the steps of its trial before it. Steps come first.

    A row has J places: the steps before the window, those of the window, what is observed after them, and padding.

    Attributes:
        observations: (J, R, O) raw.
        last_actions, last_rewards: (J, R, A) and (J, R), of the step before; zero at the first step of a trial.
        starts: (J, R) float32, one at the first step of an episode.
        first: (R,), the place of the window's first step.
        actions, rewards: (W, R, A) and (W, R), of the window's steps.
        follows: (W, R) float32, one where the value of the next place follows a step, zero where nothing does.
        valid: (W, R) float32, one at the steps of the window.
    """

    observations: np.ndarray
    last_actions: np.ndarray
    last_rewards: np.ndarray
    starts: np.ndarray
    first: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    follows: np.ndarray
    valid: np.ndarray


class Transitions(NamedTuple):
    """C steps of each of G tasks, in any order; steps come first.

    Attributes:
        observations, following: (C, G, O) raw, before and after the step.
        actions, rewards: (C, G, A) and (C, G).
        follows: (C, G) float32, one where a value follows.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    following: np.ndarray
    follows: np.ndarray


class Replay:
    """See the module.

    Args:
        segments: that are drawn from.
        trials, episodes, horizon: N, E and T of each.
        observation_dim, action_dim: sizes O and A.
    """

    def __init__(
        self, segments: int, trials: int, episodes: int, horizon: int, observation_dim: int, action_dim: int
    ):
        self.capacity, self.trials = segments, trials
        slots, shape = (segments + 1, trials), (segments + 1, trials, episodes, horizon + 1)
        self._data = Segment(  # of zeros, for which the system gives memory only as they are written to
            np.zeros((*shape, observation_dim), np.float32), np.zeros((*shape, action_dim), np.float32),
            np.zeros(shape, np.float32), np.zeros((*slots, episodes), np.int32), np.zeros((*slots, episodes), bool),
        )  # fmt: skip
        self.numbers = range(0)
        self._drawn: tuple[int, np.ndarray, np.ndarray] | None = None

    def add(self, number: int, segment: Segment) -> None:
        """What iteration ``number`` collected; the numbers of segments follow one another.

        Raises:
            ValueError: it is another's: a number or a shape does not fit.
        """
        if len(self.numbers) and number != self.numbers.stop:
            raise ValueError(f"got segment {number}, expected {self.numbers.stop}")
        for name, mine, given in zip(Segment._fields, self.segment(number), segment):
            if mine.shape != given.shape or mine.dtype != given.dtype:
                got, expected = (f"{x.shape} {x.dtype}" for x in (given, mine))
                raise ValueError(f"segment {number}: {name}: got {got}, expected {expected}")
            mine[:] = given
        first = self.numbers.start if len(self.numbers) else number
        self.numbers, self._drawn = range(max(first, number + 1 - self.capacity), number + 1), None

    def segment(self, number: int) -> Segment:
        """The segment of an iteration: views."""
        slot = number % (self.capacity + 1)
        return Segment(*(array[slot] for array in self._data))

    def clear(self) -> None:
        self.numbers, self._drawn = range(0), None

    @property
    def steps(self) -> int:
        """That are drawn from."""
        return int(sum(self.segment(number).lengths.sum() for number in self.numbers))

    def sample(
        self,
        rng: np.random.Generator,
        count: int,
        window: int,
        burn_in: int,
        *,
        across_episodes: bool = False,
        bootstrap_at_horizon: bool = True,
    ) -> Rows:
        """Windows, drawn such that each step is as likely as any other.

        The episodes are cut into windows, and a row is one of these, with up to ``burn_in`` steps of its trial before
        it. What follows the last step of an episode is what was observed then, or with ``across_episodes`` the first
        step of the trial's next episode, after which the next value follows however the episode ended.

        Args:
            count: R.
            window: W, at most the horizon.
            bootstrap_at_horizon: whether a value follows where the return is cut by the time limit.
        """
        trial, episode, step = self._draw(rng, count, window)
        data = Segment(*(array.reshape(-1, *array.shape[2:]) for array in self._data))  # (slots * N, E, ...)
        lengths, row = data.lengths[trial], np.arange(count)
        before = np.cumsum(lengths, axis=1) - lengths  # (R, E) steps of the trial before each episode
        begin = before[row, episode] + step
        size = np.minimum(window, lengths[row, episode] - step)
        at_end = step + size == lengths[row, episode]
        first = np.minimum(begin, burn_in)
        last = first + size  # the place after the window

        # step of the trial at each place, and at the one before the first place; then its episode and its step there
        places = np.arange(-1, min(burn_in, int(first.max())) + window + 1)[:, None]
        steps = np.minimum(begin - first + places, begin + size)  # (1 + J, R)
        of = np.maximum((steps[:, :, None] >= before).sum(axis=-1) - 1, 0)
        t = np.maximum(steps - before[row, of], 0)
        if not across_episodes:
            seen_last = (places >= last) & at_end
            of, t = np.where(seen_last, episode, of), np.where(seen_last, step + size, t)
        frames = data.rewards.shape[2]
        index = (trial * lengths.shape[1] + of) * frames + t

        def at(array: np.ndarray, index: np.ndarray) -> np.ndarray:
            return np.take(array.reshape(-1, *array.shape[3:]), index, axis=0)

        has_last = steps[1:] > 0
        own = first + np.arange(window)[:, None]  # (W, R) places of the window
        valid = own < last
        inside = np.take_along_axis(index[1:], np.minimum(own, last - 1), axis=0)
        goes_on = across_episodes & (episode + 1 < lengths.shape[1])
        after = np.where(goes_on, True, ~data.terminated[trial, episode] & bootstrap_at_horizon)
        return Rows(
            observations=at(data.observations, index[1:]),
            last_actions=at(data.actions, index[:-1]) * has_last[..., None],
            last_rewards=at(data.rewards, index[:-1]) * has_last,
            starts=(t[1:] == 0).astype(np.float32),
            first=first,
            actions=at(data.actions, inside) * valid[..., None],
            rewards=at(data.rewards, inside) * valid,
            follows=np.where(at_end & (own == last - 1), after, True).astype(np.float32),
            valid=valid.astype(np.float32),
        )

    def sample_tasks(
        self, rng: np.random.Generator, tasks: int, trials: int, steps: int, context: int, *,
        bootstrap_at_horizon: bool = True,
    ) -> tuple[Transitions, Transitions, np.ndarray]:
        """Steps of some tasks, and what each task is to be told by, with (C, G) whether that is there.

        Tasks and steps are each as likely as any other, and may be drawn twice. What tells a task are steps of the
        first episodes of one of its trials, at least one, and not all if there are several: what a robot knows when it
        has explored.

        Args:
            tasks: G.
            trials: that a task has, one after the other in a segment.
            steps, context: of each task; of fewer steps to tell it by, all are taken.
        """  # fmt: skip
        slots = np.array(self.numbers, np.int64) % (self.capacity + 1)
        rows = (slots[:, None] * self.trials + np.arange(self.trials)).reshape(-1, trials)  # (tasks there are, trials)
        every = self._data.lengths.reshape(-1, self._data.lengths.shape[2])
        lived = rows[every[rows].any(axis=(1, 2))]
        if not len(lived):
            raise ValueError(NOTHING)
        rows, which = lived[rng.integers(len(lived), size=tasks)], np.arange(tasks)
        lengths, episodes = every[rows].reshape(tasks, -1), every.shape[1]  # of a task's episodes, trial by trial
        number = (rng.random((steps, tasks)) * lengths.sum(axis=1)).astype(np.int64)
        cell, t = _place(number, lengths)
        drawn = self._transitions(rows[which, cell // episodes], cell % episodes, t, bootstrap_at_horizon)

        trial = rows[which, rng.integers(trials, size=tasks)]
        explored = rng.integers(1, max(2, episodes), tasks)
        lengths = every[trial] * (np.arange(episodes) < explored[:, None])
        there = lengths.sum(axis=1)
        keys = rng.random((int(there.max(initial=1)), tasks))
        keys[np.arange(len(keys))[:, None] >= there] = np.inf
        number = np.argsort(keys, axis=0)[:context]
        told = np.arange(len(number))[:, None] < there
        cell, t = _place(np.where(told, number, 0), np.where(there[:, None] > 0, lengths, 1))
        return drawn, self._transitions(trial, cell, t, bootstrap_at_horizon), told.astype(np.float32)

    def _transitions(
        self, trial: np.ndarray, episode: np.ndarray, t: np.ndarray, bootstrap_at_horizon: bool
    ) -> Transitions:
        data = Segment(*(array.reshape(-1, *array.shape[2:]) for array in self._data))
        trial = np.broadcast_to(trial, t.shape)
        at_end = t + 1 == data.lengths[trial, episode]
        nothing = data.terminated[trial, episode] | (not bootstrap_at_horizon)
        return Transitions(
            observations=data.observations[trial, episode, t],
            actions=data.actions[trial, episode, t],
            rewards=data.rewards[trial, episode, t],
            following=data.observations[trial, episode, t + 1],
            follows=(~(at_end & nothing)).astype(np.float32),
        )

    def _draw(self, rng: np.random.Generator, count: int, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(R,) each: row of the trial among all slots, episode, and step of the episode that a window begins with."""
        if self._drawn is None or self._drawn[0] != window:
            slots = np.array(self.numbers) % (self.capacity + 1)
            trials = (slots[:, None] * self.trials + np.arange(self.trials)).reshape(-1)
            windows = -(-self._data.lengths[slots].reshape(len(trials), -1) // window)  # (trials, E)
            self._drawn = window, trials, np.cumsum(windows)
        _, trials, ends = self._drawn
        if not len(ends) or not ends[-1]:
            raise ValueError(NOTHING)
        drawn = rng.integers(ends[-1], size=count)
        which = np.searchsorted(ends, drawn, side="right")
        number = drawn - np.where(which > 0, ends[which - 1], 0)
        episodes = self._data.lengths.shape[2]
        return trials[which // episodes], which % episodes, number * window


def _place(number: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Episode and step in it of steps (C, G), counted through episodes of (G, cells) steps."""
    ends = np.cumsum(lengths, axis=1)
    cell = (number[..., None] >= ends).sum(axis=-1)
    return cell, number - (ends - lengths)[np.arange(len(ends)), cell]
