"""One simulation as a gymnasium.Env: the batched environment with N = 1, with pictures.

    env = gymnasium.make("metarl.envs:metarl/HalfCheetahDir-v0", render_mode="rgb_array")
    env.unwrapped.set_task(env.unwrapped.space.tasks(direction=-1.0))
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    frame = env.render()                                                     # (480, 480, 3) uint8
"""

from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode

from .family import Family
from .registry import make
from .task import Tasks, TaskSpace


class SingleEnv(gymnasium.Env):
    """A gymnasium.Env of one family and one task.

    Args:
        family: a Family, or the name of one with its options in kwargs.
        render_mode: None or "rgb_array".
        width, height: size of rendered frames in pixels.
        kwargs: horizon, action_scale and family options, as for BatchEnv.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

    def __init__(
        self,
        family: str | Family,
        *,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        **kwargs: Any,
    ):
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"unknown render_mode {render_mode!r}; this environment has 'rgb_array' or None")
        self.batch_env = make(family, 1, autoreset_mode=AutoresetMode.DISABLED, **kwargs)
        self.metadata = {**self.metadata, "render_fps": self.batch_env.metadata["render_fps"]}
        self.observation_space = self.batch_env.single_observation_space
        self.action_space = self.batch_env.single_action_space
        self.render_mode = render_mode
        self._size = (height, width)
        self._renderer: Any = None  # a mujoco.Renderer, from the first image on
        self._model: mujoco.MjModel | None = None

    @property
    def space(self) -> TaskSpace:
        return self.batch_env.space

    @property
    def task(self) -> Tasks:
        """The task of the present episode, Tasks of length 1."""
        return self.batch_env.tasks

    def set_task(self, task: Tasks) -> None:
        """The task from the next reset on, Tasks of length 1."""
        self.batch_env.set_tasks(task)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        observation, _ = self.batch_env.reset(seed=seed, options=options)
        if seed is not None:
            self._np_random_seed = seed
        self._np_random = self.batch_env.random_streams[0]
        return observation[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.batch_env.step(np.asarray(action)[None])
        terms = {k: float(v[0]) for k, v in info["reward_terms"].items() if not k.startswith("_")}
        flags = {name: bool(info[name][0]) for name in ("diverged", "success") if name in info}
        single = {"reward_terms": terms} | flags
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), single

    def render(self) -> np.ndarray | None:
        """The present state as an image (height, width, 3) uint8; None without a render_mode."""
        if self.render_mode is None:
            return None
        before, self._model = self._model, self.batch_env.model_of(0, self._model)
        if self._renderer is None or self._model is not before:
            self._close_renderer()
            self._renderer = self._open_renderer(self._model)
        data = self.batch_env.data_of(0)
        mujoco.mj_forward(self._model, data)
        self._renderer.update_scene(data, camera=self.batch_env.family.camera)
        return self._renderer.render()

    def _open_renderer(self, model: mujoco.MjModel) -> mujoco.Renderer:
        height, width = self._size
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        try:
            return mujoco.Renderer(model, height, width)
        except Exception as error:  # each GL backend fails in its own way: AttributeError, FatalError, ImportError
            raise RuntimeError(
                "cannot render without OpenGL: where there is no display, set MUJOCO_GL=egl before Python starts"
                f" (Debian: apt install libegl1 libegl-mesa0 libgl1-mesa-dri); MuJoCo said: {error}"
            ) from error

    def close(self) -> None:
        self._close_renderer()
        self.batch_env.close()

    def _close_renderer(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
