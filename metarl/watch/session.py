"""One robot that never stops: what `metarl watch` shows, without the browser.

    session = Session(open_run(Path("runs/first")))
    session.step()                                    # one step of the environment; episodes follow one another
    session.change({"mass_scale": 2.0})               # at once, while it walks
    before, after = session.adapt(episodes=10)        # one step of adaptation, from episodes lived on the side
    session.forget()                                  # as trained, before any experience

A policy with a memory adapts by itself, from step to step; its memory goes on over episodes and changes. All others
adapt when asked: their episodes are collected in simulations of their own, in the task as it is at that moment.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from metarl.algorithms.learners import make_env
from metarl.algorithms.restore import load_adapter
from metarl.algorithms.sampling import collect
from metarl.envs import Tasks
from metarl.errors import UserError
from metarl.runs.run import Run
from metarl.util.rng import stream

RESETS, NOISE, ADAPTING = 0, 1, 2  # the kinds of "watch" streams


@dataclass(frozen=True)
class Episode:
    """One that has ended: its return, its steps, and how many steps of adaptation there had been."""

    score: float
    steps: int
    adaptations: int


class Session:
    """See the module.

    Args:
        run: its newest intact checkpoint acts.
        deterministic: mean actions; changed at any time.

    Attributes:
        state: what the adapter knows.
        adaptations: steps of adaptation so far.
        lived: seconds of experience that the policy could learn from, since it forgot.
        score: return of the episode in progress.
        episodes: the last ones that ended.
        rewards: per second, of the last steps.
    """

    def __init__(self, run: Run, deterministic: bool = True):
        self.run, self.config, self.deterministic = run, run.config, deterministic
        self.env = make_env(run.config, 1)
        if not hasattr(self.env, "change_tasks"):
            raise UserError(f"watch: tasks of {run.config.env.family} cannot be changed in mid-episode")
        self.adapter = load_adapter(run)
        self.space = self.env.space
        self._noise = np.random.default_rng(stream(run.config.seed, "watch", NOISE))
        self.episodes: deque[Episode] = deque(maxlen=8)
        self.rewards: deque[float] = deque(maxlen=max(2, round(20 / self.env.dt)))
        self._adapting = 0
        self.env.set_tasks(self.space.default())
        self._observation, _ = self.env.reset(seed=stream(run.config.seed, "watch", RESETS))
        self._elapsed, self.score = 0, 0.0
        self.forget()

    @property
    def task(self) -> Tasks:
        """The task in force, of length 1."""
        return self.env.tasks

    @property
    def pooled(self) -> bool:
        """Whether the policy adapts when asked, by `adapt`; if not, it has a memory."""
        return self.adapter.shares_experience

    @property
    def elapsed(self) -> int:
        """Steps of the episode in progress."""
        return self._elapsed

    def step(self) -> None:
        """One step of the environment; an episode that ends is followed by another one."""
        decision = self.adapter.act(self.state, self._observation[:, None], None if self.deterministic else self._noise)
        self._observation, reward, terminated, truncated, _ = self.env.step(decision.actions[:, 0])
        ended = terminated | truncated
        self.state = self.adapter.observe(decision.state, reward[:, None], ended[:, None])
        self._elapsed += 1
        self.score += float(reward[0])
        self.rewards.append(float(reward[0]) / self.env.dt)
        if not self.pooled:
            self.lived += self.env.dt
        if ended[0]:
            self._end()

    def change(self, values: dict[str, float]) -> None:
        """Another task from here on: what is named changes, the rest stays. ValueError if there is no such task."""
        now = dict(zip(self.space.names, self.task.values[0], strict=True))
        self.env.change_tasks(self.space.tasks(**(now | values)))

    def new_episode(self) -> None:
        """End the episode in progress."""
        self._end()

    def adapt(self, episodes: int) -> tuple[float, float]:
        """One step of adaptation from so many episodes of the present task; their mean return, and that after it."""
        if not self.pooled:
            raise UserError("this policy adapts by its memory, from step to step: there is nothing to press")
        env = make_env(self.config, episodes)
        env.set_tasks(self.task.repeat(episodes))
        scores = []
        state = self.adapter.next_episode(self.state)
        for k in range(2):
            seed = stream(self.config.seed, "watch", ADAPTING, self._adapting, k)
            rollout = collect(env, self.adapter, state, episodes, seed)
            scores.append(float(np.nanmean(rollout.returns)))
            if k == 0:
                state = self.adapter.adapt(state, rollout)
                self.lived += float(rollout.valid.sum()) * env.dt
        self._adapting += 1
        self.adaptations += 1
        self.state = state
        return scores[0], scores[1]

    def forget(self) -> None:
        """As trained: no experience of any task."""
        self.state: Any = self.adapter.start(1)
        self.adaptations, self.lived = 0, 0.0

    def _end(self) -> None:
        self.episodes.append(Episode(self.score, self._elapsed, self.adaptations))
        self._observation, _ = self.env.reset()
        self.state = self.adapter.next_episode(self.state)
        self._elapsed, self.score = 0, 0.0
