"""The environment with actions, observations and rewards as tensors on the simulator's device.

    env = TensorEnv(make_family("Go1Velocity"), 4096, physics=Warp(device="cuda"))
    observation, _ = env.reset(seed=0)                    # (N, O) float32, on the device
    observation, reward, terminated, truncated, info = env.step(policy(observation))

Episodes, tasks, changes in mid-episode and random streams are those of a `BatchEnv` of the same autoreset mode. Of each
step the device tells the processor three bits: whether an episode has ended, physics has diverged, or a reward is not
finite. Where one is set it says which: the few that begin anew do so as everywhere, drawn by NumPy. With DISABLED what
has ended stays as it was last seen, and its physics goes on unseen.
"""

from typing import Any, NamedTuple

import mujoco
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from ..arrays import Array, as_numpy, constant
from ..batch_env import BatchEnv
from ..family import Family
from ..simulator import Physics
from ..task import TaskSpace


class Ends(NamedTuple):
    """What has become of the present episodes, (N,) bool each; `solved` at any step so far."""

    terminated: torch.Tensor
    truncated: torch.Tensor
    solved: torch.Tensor

    @property
    def over(self) -> torch.Tensor:
        return self.terminated | self.truncated


class Moved(NamedTuple):
    """What a step has come to: observations (N, O), rewards (N,) and their terms, and masks (N,).

    Diverged has what ended so in this step; broken is the physics of those that had ended before, too.
    """

    observation: torch.Tensor
    reward: torch.Tensor
    terms: dict[str, torch.Tensor]
    ends: Ends
    diverged: torch.Tensor
    broken: torch.Tensor
    success: torch.Tensor | None


class TensorEnv(BatchEnv):
    """See the module; arguments as for `BatchEnv`.

    Args:
        autoreset_mode: SAME_STEP or DISABLED.
        compiled: observations, rewards and ends go through torch.compile, which takes a C++ compiler and half a minute.

    Raises:
        ValueError: the family has noise or delays of observations, or a control period: they are NumPy's.
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
        problem = only_numpy(family)
        if problem:
            raise ValueError(f"{problem}; use BatchEnv")
        self.device = str(self._qpos.device)
        self._latency_noise = None
        self._delay = _Delay(self.space, self.model.nu, self._qpos)
        self._limits = [constant(numbers, self._qpos) for numbers in (self._gain, self._bias, self._low, self._high)]
        self._tasks = constant(self._active, self._qpos)  # (N, D), what is active
        self._none = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self._ends = Ends(self._none, self._none, self._none)
        self._seen = self._look()
        self._judge = torch.compile(self._judged) if compiled else self._judged

    def reset(self, **arguments: Any) -> tuple[torch.Tensor, dict[str, Any]]:  # type: ignore[override]
        """Start new episodes, with the arguments of `BatchEnv.reset`; the first observations (N, O)."""
        super().reset(**arguments)
        self._seen = torch.where(self._ends.over[:, None], self._seen, self._look())
        return self._seen, {}

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
        gain, bias, low, high = self._limits
        if self._schedule:
            self._apply_active(np.flatnonzero(self._schedule.due(self._values, self._elapsed)))
        sent = torch.minimum(torch.maximum(actions * gain + bias, low), high)
        unknown = torch.isnan(sent).any(dim=1)
        sent = self._delay.command(sent, self._elapsed, self._tasks)
        before = self.family.before(self.batch)
        self.family.advance(self.batch, sent, None)
        self._elapsed += 1
        late = self._elapsed >= self.horizon
        late = torch.from_numpy(late).to(self.device) if late.any() else self._none

        now = self._judge(before, sent, self._tasks, unknown, late, self._seen, self._ends)
        self._seen, self._ends = now.observation, now.ends
        self._hear(now)
        info = {"reward_terms": now.terms, "diverged": now.diverged, "final_obs": now.observation}
        info |= {} if now.success is None else {"success": now.success}
        return self._seen, now.reward, now.ends.terminated, now.ends.truncated, info

    def _judged(
        self, before: Any, sent: torch.Tensor, tasks: torch.Tensor, unknown: torch.Tensor, late: torch.Tensor,
        seen: torch.Tensor, ends: Ends,
    ) -> Moved:  # fmt: skip
        """What a step has come to.

        Args:
            before, sent, tasks: as the reward needs them.
            unknown: (N,) the actions were not numbers.
            late: (N,) the time limit is reached.
            seen, ends: of the step before.
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
            torch.where(void[:, None], seen, observation),
            torch.stack(list(terms.values())).sum(dim=0),
            terms,
            Ends(
                torch.where(past, ends.terminated, terminated),
                torch.where(past, ends.truncated, late & ~diverged),
                solved,
            ),
            diverged,
            broken,
            None if success is None else solved & ~past,
        )

    def _hear(self, now: Moved) -> None:
        """All that the processor learns of a step, and what it does then."""
        ended, broken, unsound = (now.ends.over, now.broken, ~torch.isfinite(now.reward))
        some_ended, some_broken, some_unsound = torch.stack([ended, broken, unsound]).any(dim=1).tolist()
        if some_unsound:
            self._refuse_reward({name: as_numpy(term) for name, term in now.terms.items()})
        if some_broken:
            self._discard(np.flatnonzero(broken.cpu().numpy()))
        if some_ended and self.autoreset_mode is AutoresetMode.SAME_STEP:
            self._restart(np.flatnonzero(ended.cpu().numpy()))
            self._seen = self._look()

    def _begin(self, ids: np.ndarray) -> None:
        super()._begin(ids)
        self._delay.start(ids, self.batch.bind("ctrl"))
        others = ~self._none
        others[ids] = False
        self._ends = Ends(*(mask & others for mask in self._ends))

    def _apply_active(self, ids: np.ndarray) -> None:
        super()._apply_active(ids)
        self._tasks = constant(self._active, self._qpos)

    def _look(self) -> torch.Tensor:
        return self.family.observe(self.batch, self.family.derive(self.batch))

    def _beyond(self, observation: Array) -> torch.Tensor:
        """Which simulations have diverged, (N,)."""
        limit = self.family.state_limit
        bounded = ((observation, mujoco.mjMAXVAL), (self._qpos, limit), (self._qvel, limit))
        sound = [(numbers.abs() <= bound).all(dim=1) for numbers, bound in bounded]  # NaN is not
        return ~torch.stack(sound).all(dim=0)


class _Delay:
    """Controls that reach the motors some steps late, as in `SensorActuatorModel`."""

    def __init__(self, space: TaskSpace, controls: int, like: torch.Tensor):
        found = [(column, p) for column, p in enumerate(space.parameters)
                 for write in p.writes if write.quantity == "action_delay"]  # fmt: skip
        self._columns = [column for column, _ in found]
        slots = 1 + max((int(max((*p.choices, *p.extrapolation))) for _, p in found), default=0)
        self._history = torch.zeros((len(like), slots, controls), dtype=like.dtype, device=like.device)
        self._everyone = torch.arange(len(like), device=like.device)

    def start(self, ids: np.ndarray, ctrl: torch.Tensor) -> None:
        if self._columns:
            self._history[ids] = ctrl[ids][:, None]

    def command(self, ctrl: torch.Tensor, elapsed: np.ndarray, tasks: torch.Tensor) -> torch.Tensor:
        if not self._columns:
            return ctrl
        now, slots = torch.as_tensor(elapsed, device=ctrl.device), self._history.shape[1]
        self._history[self._everyone, now % slots] = ctrl
        for column in self._columns:
            ctrl = self._history[self._everyone, (now - tasks[:, column].long()) % slots]
        return ctrl


def only_numpy(family: Family) -> str | None:
    """What of a family only NumPy computes, in words; None if nothing."""
    for p in family.space.parameters:
        for write in p.writes:
            if write.quantity == "control_period" or write.quantity_row.kind == "sensor":
                return f"{family.name}: TensorEnv has no {write.quantity} (parameter {p.name})"
    if family.sensing is not None:
        return f"{family.name}: TensorEnv has no noise and history of observations"
    return None
