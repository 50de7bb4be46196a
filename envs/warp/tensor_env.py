"""The environment with actions, observations and rewards as tensors on the simulator's device.

    env = TensorEnv(make_family("Go1Velocity"), 4096, physics=Warp(device="cuda"))
    observation = env.reset(seed=0)                       # (N, O) float32, on the device
    observation, reward, terminated, truncated, info = env.step(policy(observation))

Episodes, tasks, changes in mid-episode and random streams are those of a `BatchEnv` with autoreset SAME_STEP. The
device tells the processor one thing a step: which episodes have ended. Those few begin anew as everywhere, drawn by
NumPy.
"""

from typing import Any

import mujoco
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from ..arrays import Array, constant
from ..batch_env import BatchEnv
from ..family import Family
from ..simulator import Physics
from ..task import TaskSpace


class TensorEnv(BatchEnv):
    """See the module; arguments as for `BatchEnv`, without autoreset_mode.

    Args:
        compiled: observations, rewards and ends go through torch.compile, which takes a C++ compiler and half a minute.

    Raises:
        ValueError: the family has noise or delays of observations, or a control period: they are NumPy's.
    """

    def __init__(self, family: Family, num_envs: int, *, physics: Physics, compiled: bool = False, **settings: Any):
        super().__init__(family, num_envs, physics=physics, autoreset_mode=AutoresetMode.SAME_STEP, **settings)
        _refuse(family)
        self._latency_noise = None
        self._delay = _Delay(self.space, self.model.nu, self._qpos)
        self._limits = [constant(numbers, self._qpos) for numbers in (self._gain, self._bias, self._low, self._high)]
        self._tasks = constant(self._active, self._qpos)  # (N, D), what is active
        self._seen = self._look()
        self._judge = torch.compile(self._judged) if compiled else self._judged

    def reset(self, **arguments: Any) -> torch.Tensor:
        """Start new episodes, with the arguments of `BatchEnv.reset`; the first observations (N, O)."""
        super().reset(**arguments)
        self._seen = self._look()
        return self._seen

    def step(
        self, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """One environment step of every simulation; actions (N, A).

        Returns:
            observations (N, O), the first ones of an episode where one has ended; rewards, terminated and truncated,
            (N,) each; and info: "reward_terms", "diverged" (N,), "final_obs" (N, O), the observations before resets.
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
        over = torch.as_tensor(self._elapsed >= self.horizon, device=sent.device)

        final, terms, reward, terminated, diverged = self._judge(before, sent, self._tasks, unknown, self._seen)
        self._seen = final
        ended = torch.stack([terminated | over, diverged]).cpu().numpy()
        if ended.any():
            self._begin_again(*ended)
        info = {"reward_terms": terms, "diverged": diverged, "final_obs": final}
        return self._seen, reward, terminated, over & ~diverged, info

    def _judged(
        self, before: Any, sent: torch.Tensor, tasks: torch.Tensor, unknown: torch.Tensor, seen: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]:
        """Observations, terms of the reward and their sum, and which have terminated and diverged, after a step."""
        derived = self.family.derive(self.batch)
        observation = self.family.observe(self.batch, derived)
        terms = self.family.reward_terms(self.batch, derived, before, sent, tasks)
        terminated = self.family.terminated(self.batch, tasks)
        diverged = unknown | self._beyond(observation)
        terms = {name: torch.where(diverged, 0.0, term) for name, term in terms.items()}
        terminated = diverged if terminated is None else terminated | diverged
        observation = torch.where(diverged[:, None], seen, observation)
        return observation, terms, torch.stack(list(terms.values())).sum(dim=0), terminated, diverged

    def _begin_again(self, ended: np.ndarray, diverged: np.ndarray) -> None:
        if diverged.any():
            self._discard(np.flatnonzero(diverged))
        self._restart(np.flatnonzero(ended))
        self._seen = self._look()

    def _begin(self, ids: np.ndarray) -> None:
        super()._begin(ids)
        self._delay.start(ids, self.batch.bind("ctrl"))

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


def _refuse(family: Family) -> None:
    """ValueError for what only NumPy computes."""
    for p in family.space.parameters:
        for write in p.writes:
            if write.quantity == "control_period" or write.quantity_row.kind == "sensor":
                raise ValueError(f"{family.name}: TensorEnv has no {write.quantity} (parameter {p.name}); use BatchEnv")
    if family.sensing is not None:
        raise ValueError(f"{family.name}: TensorEnv has no noise and history of observations; use BatchEnv")
