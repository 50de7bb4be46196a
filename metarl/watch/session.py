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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metarl.agents import Adapter, Decision
from metarl.algorithms.episode import Step, episode
from metarl.algorithms.learners import make_env
from metarl.algorithms.restore import load_adapter
from metarl.algorithms.sampling import collect
from metarl.envs import Tasks
from metarl.runs.run import Run
from metarl.util.errors import UserError
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
        elapsed, score: steps and return of the episode in progress.
        episodes: the last ones that ended.
        rewards: per second, of the last steps.
    """

    def __init__(self, run: Run, deterministic: bool = True):
        self.run, self.config, self.deterministic = run, run.config, deterministic
        self.env = make_env(run.config, 1)
        if not (hasattr(self.env, "change_tasks") and self.env.family.actuated):  # Meta-World notes its goal at a reset
            raise UserError(f"watch: tasks of {run.config.env.family} cannot be changed in mid-episode")
        self.adapter = load_adapter(run)
        self.space = self.env.space
        self._noise = np.random.default_rng(stream(run.config.seed, "watch", NOISE))
        self.episodes: deque[Episode] = deque(maxlen=8)
        self.rewards: deque[float] = deque(maxlen=max(2, round(20 / self.env.dt)))
        self._adapting = 0
        self.env.set_tasks(self.space.default())
        self.forget()
        self._begin(stream(run.config.seed, "watch", RESETS))

    @property
    def task(self) -> Tasks:
        """The task in force, of length 1."""
        return self.env.tasks

    @property
    def pooled(self) -> bool:
        """Whether the policy adapts when asked, by `adapt`; if not, it has a memory."""
        return self.adapter.shares_experience

    def step(self) -> None:
        """One step of the environment; an episode that ends is followed by another one."""
        step = next(self._steps)
        self.state = step.state
        self.elapsed += 1
        self.score += step.rewards.item()
        self.rewards.append(step.rewards.item() / self.env.dt)
        if not self.pooled:
            self.lived += self.env.dt
        if step.terminated.any() or step.truncated.any():
            self.new_episode()

    def change(self, values: dict[str, float]) -> None:
        """Another task from here on: what is named changes, the rest stays. ValueError if there is no such task."""
        now = dict(zip(self.space.names, self.task.values[0], strict=True))
        self.env.change_tasks(self.space.tasks(**(now | values)))

    def new_episode(self) -> None:
        """End the episode in progress, and begin the next."""
        self.episodes.append(Episode(self.score, self.elapsed, self.adaptations))
        self.state = self.adapter.next_episode(self.state)
        self._begin()

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

    def _begin(self, seed: np.random.SeedSequence | None = None) -> None:
        observations, _ = self.env.reset(seed=seed)
        self._steps: Iterator[Step] = episode(self.env, _Present(self), None, 1, observations, self._noise)
        self.elapsed, self.score = 0, 0.0


class _Present(Adapter):
    """A session's policy with what it knows at each moment: adapting, forgetting and noise change it in mid-episode."""

    def __init__(self, session: Session):
        self.session = session

    def start(self, num_tasks: int) -> None:
        return None

    def act(self, state: Any, observations: np.ndarray, rng: np.random.Generator | None) -> Decision:
        session = self.session
        return session.adapter.act(session.state, observations, None if session.deterministic else rng)

    def observe(self, state: Any, rewards: np.ndarray, ended: np.ndarray) -> Any:
        return self.session.adapter.observe(state, rewards, ended)

    def adapt(self, state: Any, rollout: Any) -> Any:
        return self.session.adapter.adapt(state, rollout)
