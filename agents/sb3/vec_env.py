"""A Gymnasium vector environment as the VecEnv that Stable-Baselines3 trains on.

    env = make("HalfCheetahDir", num_envs=20, autoreset_mode="SameStep")      # of metarl.envs; any VectorEnv will do
    env.set_tasks(env.space.tasks(direction=-1.0).repeat(20))
    model = PPO("MlpPolicy", VectorEnvAdapter(env), n_steps=50).learn(10_000)

SB3 resets an episode within the step that ends it: the observation is the first of the next episode, the last one
stands in info["terminal_observation"], and info["TimeLimit.truncated"] says whether a value follows it. Gymnasium's
SAME_STEP says the same in other words, so no step is made up and none is lost. An episode whose physics broke down
(info["diverged"]) counts as cut short: what the robot did there is neither rewarded nor punished.

The simulations are one object: what SB3 asks of an attribute or a method of them is answered by that object, once.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

_FINAL = ("final_obs", "final_info")


class VectorEnvAdapter(VecEnv):
    """See the module.

    Args:
        env: a Gymnasium VectorEnv with N simulations that resets in the same step.
    """

    def __init__(self, env: Any):
        mode = getattr(env, "metadata", {}).get("autoreset_mode")
        if getattr(mode, "name", mode) != "SAME_STEP":
            name = getattr(mode, "name", mode)
            raise ValueError(f"got an environment with autoreset mode {name}, expected SAME_STEP; make it with that")
        self.env = env
        self._seed: int | None = None
        self._actions: np.ndarray | None = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    # ---- episodes

    def seed(self, seed: int | None = None) -> Sequence[int]:
        """Seeds of the simulations from the next reset on: independent ones, and other ones for each seed.

        (SB3's own seed + i, so that seeds 0 and 1 share all simulations but one.)
        """
        seeds: list[int] = np.random.SeedSequence(seed).generate_state(self.num_envs, np.uint64).tolist()
        self._seeds = [*seeds]
        return seeds

    def reset(self) -> np.ndarray:
        seeds = None if self._seeds[0] is None else list(self._seeds)
        options = self._options[0]
        if any(other != options for other in self._options):
            raise ValueError("got different reset options for some simulations, expected the same ones for all")
        observations, info = self.env.reset(seed=seeds, options=options or None)
        self.reset_infos = rows(info, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, terminated, truncated, info = self.env.step(self._actions)
        dones = terminated | truncated
        cut = truncated & ~terminated
        diverged = info.get("diverged")
        if diverged is not None:
            cut = cut | (dones & np.asarray(diverged, bool))
        infos = rows({key: value for key, value in info.items() if key.lstrip("_") not in _FINAL}, self.num_envs)
        if dones.any():
            final_obs, final_infos = info["final_obs"], rows(info["final_info"], self.num_envs)
            for i in np.flatnonzero(dones):
                self.reset_infos[i] = infos[i]
                infos[i] = final_infos[i] | {"terminal_observation": final_obs[i]}
        for own, is_cut in zip(infos, cut.tolist()):
            own["TimeLimit.truncated"] = is_cut
        return observations, rewards.astype(np.float32), dones, infos  # SB3 adds to the rewards in place

    def close(self) -> None:
        self.env.close()

    # ---- what SB3 may ask of the simulations

    def get_attr(self, attr_name: str, indices=None) -> list[Any]:
        value = getattr(self.env, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices=None) -> None:
        self._refuse_some(indices)
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *method_args, indices=None, **method_kwargs) -> list[Any]:
        self._refuse_some(indices)
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        return [result] * self.num_envs

    def env_is_wrapped(self, wrapper_class, indices=None) -> list[bool]:
        """No simulation is: a wrapper of single environments has nothing to wrap here."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        return list(self.env.render())

    def _refuse_some(self, indices) -> None:
        if indices is not None and sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ValueError(f"got indices {indices}, expected None: the {self.num_envs} simulations are one object")


def rows(info: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Gymnasium's vector info, arrays with masks, as a dictionary for each simulation of what holds for it."""
    found: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for key, values, mask in _entries(info):
        column = rows(values, num_envs) if isinstance(values, dict) else values
        if isinstance(column, np.ndarray) and column.ndim == 1:
            column = column.tolist()  # Python's numbers, as single environments give them
        if mask is None or mask.all():
            for own, value in zip(found, column):
                own[key] = value
        else:
            for i in np.flatnonzero(mask):
                found[i][key] = column[i]
    return found


def _entries(info: dict[str, Any]) -> Iterator[tuple[str, Any, np.ndarray | None]]:
    """(key, values, mask of the simulations they hold for) of each entry."""
    masks = {f"_{key}" for key in info}
    for key, values in info.items():
        if key not in masks:
            yield key, values, info.get(f"_{key}")
