"""What the end of an episode means to a vector environment: Gymnasium's three autoreset modes, and what each reports.

NEXT_STEP: a simulation whose episode has ended is reset by the next step, which ignores its action. SAME_STEP: it is
reset at once; info["final_obs"] and info["final_info"] hold what it ended with. DISABLED: it stays as it is until it is
reset: it is not stepped, its observation stays the last one, its reward is 0, and terminated or truncated stay true.

Divergence ends an episode: terminated and info["diverged"] are true, the reward is 0 and the observation is the last
good one. The other simulations do not notice.
"""

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from metarl.util.arrays import Array, copied
from metarl.util.rng import Seed


@dataclass
class Transition:
    """One step of N simulations; what is said of those that were not stepped is ignored.

    Attributes:
        observation: (N, O), a new array; the first one of an episode where a simulation was restarted.
        terms: parts of the reward, (N,) each.
        terminated: (N,) bool, ended by itself; None for nobody.
        diverged: (N,) bool, the physics broke down; None for nobody.
        solved: (N,) bool, the task is done at this step; None if the environment does not say.
    """

    observation: np.ndarray
    terms: dict[str, np.ndarray] = field(default_factory=dict)
    terminated: np.ndarray | None = None
    diverged: np.ndarray | None = None
    solved: np.ndarray | None = None


class Autoreset(VectorEnv):
    """N simulations in step, each at its own place in its own episode; subclasses say how they begin and step."""

    def __init__(self, num_envs: int, horizon: int, mode: AutoresetMode):
        self.num_envs, self.horizon, self.autoreset_mode = num_envs, horizon, mode
        self._elapsed = np.zeros(num_envs, np.int64)
        self._terminated, self._truncated = np.zeros(num_envs, bool), np.zeros(num_envs, bool)
        self._some_over = False  # whether terminated or truncated is true of any
        self._everyone, self._nobody = np.ones(num_envs, bool), np.zeros(num_envs, bool)
        self._everyone.flags.writeable = self._nobody.flags.writeable = False
        self._observation: Array | None = None
        self._success: np.ndarray | None = None  # (N,) solved at any step so far, of environments that say so

    def _chosen(self, seed: Seed, options: dict[str, Any] | None) -> np.ndarray:
        """The simulations (n,), sorted, that a reset's arguments mean."""
        raise NotImplementedError

    def _begin(self, ids: np.ndarray) -> None:
        """Put simulations ids (n,), sorted, at the start of an episode of their next task; use _restart."""
        raise NotImplementedError

    def _first(self, ids: np.ndarray) -> Array:
        """Observations (N, O), a new array, of which those of simulations ids are the first of their episodes."""
        raise NotImplementedError

    def _simulate(self, actions: np.ndarray, stepped: np.ndarray, restart: np.ndarray) -> Transition:
        """One step of the simulations in the mask stepped, and _restart for those in the mask restart."""
        raise NotImplementedError

    def _discard(self, ids: np.ndarray) -> None:
        """The physics of simulations ids has broken down: nothing of their state is of use."""

    def _describe(self, i: int) -> str:
        """Simulation i in words."""
        raise NotImplementedError

    def _usable(self) -> None:
        """Raise if the environment cannot be used."""

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: new random streams, see `streams`; None goes on with the present ones.
            options: "tasks": as set_tasks; "reset_mask": (N,) bool, the simulations to reset.

        Raises:
            ValueError: unknown options, or tasks that this environment cannot have.
        """
        self._usable()
        ids = self._chosen(seed, options)
        self._restart(ids)
        self._some_over = bool((self._terminated | self._truncated).any())
        observation = self._first(ids)
        if self._observation is not None and len(ids) < self.num_envs:
            fresh, observation = observation[ids], copied(self._observation)
            observation[ids] = fresh
        self._observation = observation
        return copied(observation), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One environment step of every simulation; actions (N, A).

        Raises:
            ValueError: actions of another shape, or a family whose reward is not finite.
            RuntimeError: made in another process, or closed.
        """
        self._usable()
        if self._observation is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        actions, shape = np.asarray(actions, np.float64), self.action_space.shape
        if actions.shape != shape:
            raise ValueError(f"actions must have shape {shape}, got {actions.shape}")
        stepped, restart, left = self._everyone, self._nobody, self._nobody
        if self._some_over:
            over = self._terminated | self._truncated
            stepped = ~over
            if self.autoreset_mode is AutoresetMode.NEXT_STEP:
                restart = over
            else:
                left = over
        now = self._simulate(actions, stepped, restart)
        self._elapsed += stepped

        observation, terms = now.observation, now.terms
        terminated = self._nobody if now.terminated is None else now.terminated
        diverged = self._nobody if now.diverged is None else stepped & now.diverged
        terminated, truncated = stepped & terminated, stepped & (self._elapsed >= self.horizon)
        if now.solved is not None:
            before = self._nobody if self._success is None else self._success
            self._success = before | (now.solved & stepped & ~diverged)
        broken = now.diverged is not None and diverged.any()
        if left is not self._nobody:
            observation[left] = self._observation[left]
        if broken:
            observation[diverged] = self._observation[diverged]
            terminated, truncated = terminated | diverged, truncated & ~diverged
            self._discard(np.flatnonzero(diverged))
        if broken or self._some_over:
            counted = stepped & ~diverged
            terms = {name: np.where(counted, term, 0.0) for name, term in terms.items()}
        reward = np.asarray(sum(terms.values()))
        if not np.isfinite(reward.sum()):
            self._refuse_reward(terms)

        ended = terminated | truncated
        info, ends = self._info(terms, diverged, stepped), bool(ended.any())
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            if left is not self._nobody:
                terminated, truncated = terminated | (left & self._terminated), truncated | (left & self._truncated)
            self._some_over = ends or left is not self._nobody
            if self._some_over:
                self._terminated, self._truncated = terminated.copy(), truncated.copy()
        elif ends:
            info |= self._final(observation, terms, diverged, ended)
            ids = np.flatnonzero(ended)
            self._restart(ids)
            observation = np.where(ended[:, None], self._first(ids), observation)
        self._observation = observation
        return observation.copy(), reward, terminated, truncated, info

    def _restart(self, ids: np.ndarray) -> None:
        """Begin an episode in simulations ids."""
        self._elapsed[ids], self._terminated[ids], self._truncated[ids] = 0, False, False
        if self._success is not None:
            self._success[ids] = False
        self._begin(ids)

    def _info(self, terms: dict[str, np.ndarray], diverged: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
        """Gymnasium's vector info: each key with a mask _key of the simulations it holds for."""
        nested = dict(terms) | {f"_{name}": mask for name in terms}
        success = {} if self._success is None else {"success": self._success & mask}
        info = {"reward_terms": nested, **success, "diverged": diverged}
        return info | {f"_{name}": mask for name in info}

    def _final(self, observation, terms, diverged, ended) -> dict[str, Any]:
        """final_obs and final_info of the episodes that ended in this step, as Gymnasium's SyncVectorEnv gives them."""
        final_obs = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(ended):
            final_obs[i] = observation[i].copy()
        final_terms = {name: np.where(ended, term, 0.0) for name, term in terms.items()}
        final_info = self._info(final_terms, diverged & ended, ended)
        return {"final_obs": final_obs, "_final_obs": ended, "final_info": final_info, "_final_info": ended}

    def _refuse_reward(self, terms: dict[str, np.ndarray]) -> None:
        for name, term in terms.items():
            if not np.isfinite(term).all():
                i = int(np.flatnonzero(~np.isfinite(term))[0])
                raise ValueError(
                    f"reward term {name!r} of {self._describe(i)} is {term[i]} though its physics is finite; correct"
                    " the family's reward"
                )
        raise ValueError(f"the reward terms {sorted(terms)} are finite, but their sum is not")


def reset_mask(mask: Any, num_envs: int, begun: bool) -> np.ndarray:
    """(N,) bool, the simulations that a reset with option "reset_mask" is of: all if it is None.

    Raises:
        ValueError: it is none of (N,) bool with a true value, or some only are to be reset and none has `begun`.
    """
    mask = np.ones(num_envs, bool) if mask is None else np.asarray(mask)
    if mask.shape != (num_envs,) or mask.dtype != bool or not mask.any():
        raise ValueError(
            f"reset_mask must be a boolean array of shape ({num_envs},) with at least one true value,"
            f" got {mask.dtype} {mask.shape} with {np.count_nonzero(mask)}"
        )
    if not begun and not mask.all():
        raise ValueError("the first reset must reset every simulation; leave out reset_mask")
    return mask
