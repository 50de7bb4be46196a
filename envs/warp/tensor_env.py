"""The environment with actions, observations and rewards as tensors on the simulator's device.

    env = TensorEnv(make_family("Go1Velocity"), 4096, physics=Warp(device="cuda"))
    observation, _ = env.reset(seed=0)                    # (N, O) float32, on the device
    observation, reward, terminated, truncated, info = env.step(policy(observation))

Episodes, tasks, changes in mid-episode, delays, noise and random streams are those of a `BatchEnv` of the same
autoreset mode, and so is `reset`. Of each step the device tells the processor three bits: whether an episode has ended,
physics has diverged, or a reward is not finite. Where one is set it says which: the few that begin anew do so as
everywhere, drawn by NumPy. With DISABLED what has ended stays as it was last seen, and its physics goes on unseen.
"""

from typing import Any, NamedTuple

import gymnasium
import mujoco
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from ..arrays import Array, as_numpy, constant
from ..batch_env import BatchEnv
from ..family import Family
from ..simulator import Physics


class Ends(NamedTuple):
    """What has become of the present episodes, (N,) bool each; `solved` at any step so far."""

    terminated: torch.Tensor
    truncated: torch.Tensor
    solved: torch.Tensor

    @property
    def over(self) -> torch.Tensor:
        return self.terminated | self.truncated


class Moved(NamedTuple):
    """What a step has come to: observations (N, R) as they truly are, rewards (N,) and their terms, and masks (N,).

    Diverged has what ended so in this step; broken is the physics of those that had ended before, too; void is what has
    no new observation: broken, or ended before.
    """

    observation: torch.Tensor
    reward: torch.Tensor
    terms: dict[str, torch.Tensor]
    ends: Ends
    diverged: torch.Tensor
    broken: torch.Tensor
    void: torch.Tensor
    success: torch.Tensor | None


class TensorEnv(BatchEnv):
    """See the module; arguments as for `BatchEnv`.

    Args:
        autoreset_mode: SAME_STEP or DISABLED.
        compiled: observations, rewards and ends go through torch.compile, which takes a C++ compiler and half a minute.
    """

    def __init__(
        self,
        family: Family,
        num_envs: int,
        *,
        physics: Physics,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        compiled: bool = False,
        **settings: Any,
    ):
        super().__init__(family, num_envs, physics=physics, autoreset_mode=autoreset_mode, **settings)
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            raise ValueError("TensorEnv needs autoreset_mode SAME_STEP or DISABLED, got NEXT_STEP")
        self.device = str(self._qpos.device)
        self._limits = [constant(numbers, self._qpos) for numbers in (self._gain, self._bias, self._low, self._high)]
        self._tasks = constant(self._active, self._qpos)  # (N, D), what is active
        self._everywhere = torch.arange(num_envs, device=self.device)
        self._none = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self._ends = Ends(self._none, self._none, self._none)
        self._judge = torch.compile(self._judged) if compiled else self._judged

    def step(  # type: ignore[override]
        self, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """One environment step of every simulation; actions (N, A).

        Returns:
            observations (N, O), with SAME_STEP the first ones of an episode where one has ended; rewards, terminated
            and truncated, (N,) each; and info: "reward_terms", "diverged" (N,), "success" (N,) where the family says
            it, "final_obs" (N, O), the observations before resets.

        Raises:
            ValueError: a reward is not finite, though its physics is.
        """
        if self._observation is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        gain, bias, low, high = self._limits
        if self._schedule:
            self._apply_active(np.flatnonzero(self._schedule.due(self._values, self._elapsed)))
        sent = torch.minimum(torch.maximum(actions * gain + bias, low), high)
        unknown = torch.isnan(sent).any(dim=1)
        if self._latency_noise:
            sent = self._latency_noise.command(sent, self._elapsed, self._tasks)
        before = self.family.before(self.batch)
        self.family.advance(self.batch, sent, None)
        self._elapsed += 1
        late = self._elapsed >= self.horizon
        late = torch.from_numpy(late).to(self.device) if late.any() else self._none

        now = self._judge(before, sent, self._tasks, unknown, late, self._ends)
        seen = torch.where(now.void[:, None], self._observation, self._sensed(now.observation))
        self._ends = now.ends
        self._observation = self._hear(now, seen)
        info = {"reward_terms": now.terms, "diverged": now.diverged, "final_obs": seen}
        info |= {} if now.success is None else {"success": now.success}
        return self._observation, now.reward, now.ends.terminated, now.ends.truncated, info

    def _judged(
        self, before: Any, sent: torch.Tensor, tasks: torch.Tensor, unknown: torch.Tensor, late: torch.Tensor,
        ends: Ends,
    ) -> Moved:  # fmt: skip
        """What a step has come to.

        Args:
            before, sent, tasks: as the reward needs them.
            unknown: (N,) the actions were not numbers.
            late: (N,) the time limit is reached.
            ends: of the step before.
        """
        derived = self.family.derive(self.batch)
        observation = self.family.observe(self.batch, derived)
        terms = self.family.reward_terms(self.batch, derived, before, sent, tasks)
        terminated = self.family.terminated(self.batch, tasks)
        success = self.family.solved(self.batch, derived, tasks)

        past, broken = ends.over, unknown | self._beyond(observation)
        diverged, void = broken & ~past, broken | past
        terms = {name: torch.where(void, 0.0, term) for name, term in terms.items()}
        terminated = diverged if terminated is None else terminated | diverged
        solved = ends.solved if success is None else ends.solved | (success & ~void)
        return Moved(
            observation,
            torch.stack(list(terms.values())).sum(dim=0),
            terms,
            Ends(
                torch.where(past, ends.terminated, terminated),
                torch.where(past, ends.truncated, late & ~diverged),
                solved,
            ),
            diverged,
            broken,
            void,
            None if success is None else solved & ~past,
        )

    def _hear(self, now: Moved, seen: torch.Tensor) -> torch.Tensor:
        """All that the processor learns of a step, and what it does then; the observations (N, O) after that."""
        ended, broken, unsound = (now.ends.over, now.broken, ~torch.isfinite(now.reward))
        some_ended, some_broken, some_unsound = torch.stack([ended, broken, unsound]).any(dim=1).tolist()
        if some_unsound:
            self._refuse_reward({name: as_numpy(term) for name, term in now.terms.items()})
        if some_broken:
            self._discard(np.flatnonzero(broken.cpu().numpy()))
        if some_ended and self.autoreset_mode is AutoresetMode.SAME_STEP:
            ids = np.flatnonzero(ended.cpu().numpy())
            self._restart(ids)
            seen = torch.where(ended[:, None], self._first(ids), seen)
        return seen

    def _sensed(self, observation: torch.Tensor) -> torch.Tensor:
        """What a policy sees (N, O) of observations (N, R) after a step, of those that are over too."""
        if self._latency_noise:
            observation = self._latency_noise.observe(observation, self._tasks, self._everywhere, self._arrived)
        if self._latency_noise or self._history:
            observation = self._arrive(observation, self._everywhere, self._everywhere[:0])
        return observation

    def _begin(self, ids: np.ndarray) -> None:
        super()._begin(ids)
        others = ~self._none
        others[ids] = False
        self._ends = Ends(*(mask & others for mask in self._ends))

    def _apply_active(self, ids: np.ndarray) -> None:
        super()._apply_active(ids)
        self._tasks = constant(self._active, self._qpos)

    @staticmethod
    def _taken(x: Array) -> Array:
        return x

    def _beyond(self, observation: Array) -> torch.Tensor:
        """Which simulations have diverged, (N,)."""
        limit = self.family.state_limit
        bounded = ((observation, mujoco.mjMAXVAL), (self._qpos, limit), (self._qvel, limit))
        sound = [(numbers.abs() <= bound).all(dim=1) for numbers, bound in bounded]  # NaN is not
        return ~torch.stack(sound).all(dim=0)
