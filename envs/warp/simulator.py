"""Many simulations of one model in MuJoCo Warp, with the methods of `mujoco.batch.Batch` that a family needs.

    simulator = WarpSimulator("Hopper", model, nsim=4096, settings=Warp(device="cuda"))
    qpos = simulator.bind("qpos")                         # (4096, nq) float32, a tensor in Warp's own memory
    simulator.step(nstep=4)

Warp steps all worlds at once. To step some of them, the state of the others is saved and put back, and with it every
derived field that has been bound; it costs as much as stepping all. Constants are recomputed for all worlds at once
too, from each one's own fields.

A call is a graph of kernels, recorded when it is made for the second time and launched from then on: on the CPU 40
times as fast as kernel by kernel. The graph is recorded anew after `expand`, which changes the kernels' arguments.

Warp resets nothing by itself: a world that diverges keeps its NaN until it is reset.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import mujoco
import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp

from metarl.util.text import nearest

from .fields import ModelFields
from .friction import require_friction
from .live import Live, live
from .overflow import HARMLESS, overflow
from .physics import Warp

_STATE = (
    "time", "qpos", "qvel", "act", "history", "plastic", "qacc_warmstart", "ctrl", "qfrc_applied", "xfrc_applied",
    "eq_active", "mocap_pos", "mocap_quat", "userdata",
)  # fmt: skip
_AFTER_CONSTRAINTS = ("cacc", "cfrc_int", "cfrc_ext")
"""What is computed only where somebody asks for it."""
_POSITION, _VELOCITY = int(mujoco.mjtStage.mjSTAGE_POS), int(mujoco.mjtStage.mjSTAGE_VEL)


class WarpSimulator:
    """See the module; the methods are those of `Simulator`.

    Attributes:
        model: MuJoCo's model, with the values of the default task.
        warning: as Batch's; MuJoCo Warp counts none.

    Raises:
        ValueError: the model has something that MuJoCo Warp does not.
    """

    def __init__(self, family: str, model: mujoco.MjModel, nsim: int, settings: Warp):
        if model.opt.enableflags & int(mujoco.mjtEnableBit.mjENBL_SLEEP):
            raise ValueError(f"{family}: its model lets bodies sleep, which env.physics warp does not; use mujoco")
        self.model, self.nsim, self._family = model, nsim, family
        self._device = wp.get_device(settings.place)
        with self._on_device():
            try:
                self._model = mjw.put_model(model)
                self._data = mjw.make_data(model, nsim, nconmax=settings.nconmax, njmax=settings.njmax)
            except (NotImplementedError, ValueError) as error:
                problem = f"MuJoCo Warp cannot step its model: {error}; use env.physics mujoco"
                raise ValueError(f"{family}: {problem}") from error
        self._model.opt.warn_overflow = 0
        # two boxes touch where they do on the processor; of other pairs it says nothing
        self._model.opt.disableflags |= mjw.DisableBit.NATIVECCD
        if settings.deterministic:
            self._model.opt.deterministic = int(mjw.DeterminismType.ALL)
        self._graphs: dict[tuple, Any] = {}  # a wp.Graph, or None: to be recorded
        self._fields = ModelFields(family, model, self._model, nsim, self._graphs.clear)
        self._friction_written = False
        self._template = mujoco.MjData(model)  # shapes
        self._bound: dict[str, Live] = {}
        self._state = [self.bind(name) for name in _STATE]
        self._overflow = wp.to_torch(self._data.overflow)
        self.warning = np.zeros((nsim, int(mujoco.mjtWarning.mjNWARNING), 2), np.int32)
        self.reset()

    def bind(self, name: str) -> Live:
        if name not in self._bound:
            array, template = getattr(self._data, name, None), getattr(self._template, name, None)
            if not isinstance(array, wp.array) or template is None:
                known = [field for field, value in vars(self._data).items() if isinstance(value, wp.array)]
                raise ValueError(f"{self._family}: MuJoCo Warp has no {name} of each simulation{nearest(name, known)}")
            if name in _AFTER_CONSTRAINTS:
                self._model.opt.run_rne_postconstraint = True
                self._graphs.clear()
            self._bound[name] = live(wp.to_torch(array).view(self.nsim, *np.shape(template)))
        return self._bound[name]

    def expand(self, name: str) -> Live:
        self._friction_written |= name in ("geom_friction", "pair_friction")
        if name in self._fields.expanded:
            return self._fields.expanded[name]
        with self._on_device():
            return self._fields.expand(name)

    def step(self, ids: np.ndarray | None = None, nstep: int = 1, stage: int = 0) -> None:
        if self._friction_written:
            require_friction(self._family, self.model, self._fields.expanded)
            self._friction_written = False

        def steps() -> None:
            for _ in range(nstep):
                mjw.step(self._model, self._data)
            self._compute(stage)

        with self._only(ids):
            self._run(("step", nstep, stage), steps)
        self._check_overflow()

    def forward(self, ids: np.ndarray | None = None, stage: int = int(mujoco.mjtStage.mjSTAGE_ACC)) -> None:
        with self._only(ids):
            self._run(("forward", stage), lambda: self._compute(stage))
        self._check_overflow()

    def reset(self, ids: np.ndarray | None = None, keyframe: int = -1, stage: int = 0) -> None:
        at = slice(None) if ids is None else ids
        start = mujoco.MjData(self.model)
        if keyframe >= 0:
            mujoco.mj_resetDataKeyframe(self.model, start, keyframe)
        for name, field in zip(_STATE, self._state, strict=True):
            field[at] = np.asarray(getattr(start, name))
        if keyframe >= 0 and "key_qpos" in self._fields.expanded:
            self.bind("qpos")[at] = self.expand("key_qpos")[at, keyframe]
        if stage:
            self.forward(ids, stage)

    def set_const(self, ids: np.ndarray | None = None) -> None:
        with self._on_device(), _unchanged(self._derived(), slice(None)):
            self._fields.expand_constants()
            mjw.set_const(self._model, self._data)

    def contact_forces(self) -> Live:
        """cfrc_ext (N, nbody, 6) of the last physics step."""
        return self.bind("cfrc_ext")

    def get_model(self, sim: int, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """One simulation's model, written into model or into a new copy."""
        model = copy.copy(self.model) if model is None else model
        self._fields.write_into(model, sim)
        return model

    def get_data(self, sim: int, data: mujoco.MjData | None = None) -> mujoco.MjData:
        data = mujoco.MjData(self.model) if data is None else data
        with self._on_device():
            mjw.get_data_into(data, self.model, self._data, sim)
        for name in ("history", "plastic", "userdata"):  # which Warp leaves out
            getattr(data, name)[:] = self.bind(name)[sim].cpu().numpy()
        return data

    def _compute(self, stage: int) -> None:
        """What derives from the state, up to a stage."""
        if stage == _POSITION:
            mjw.fwd_position(self._model, self._data)
        elif stage == _VELOCITY:
            mjw.step1(self._model, self._data)
        elif stage:
            mjw.forward(self._model, self._data)

    def _run(self, key: tuple, function: Callable[[], None]) -> None:
        """Do what function does: itself the first time, which compiles it, then as a graph."""
        with self._on_device():
            if key not in self._graphs:
                self._graphs[key] = None
                function()
                return
            graph: Any = self._graphs[key]
            if graph is None:
                with wp.ScopedCapture() as capture:
                    function()
                graph = self._graphs[key] = capture.graph
            wp.capture_launch(graph)

    def _on_device(self) -> contextlib.AbstractContextManager:
        return wp.ScopedDevice(self._device)

    @contextlib.contextmanager
    def _only(self, ids: np.ndarray | None) -> Iterator[None]:
        """Let all but simulations ids be as they were, whatever happens within."""
        if ids is None or len(ids) == self.nsim:
            yield
            return
        others = np.ones(self.nsim, bool)
        others[ids] = False
        with _unchanged([*self._state, *self._derived()], torch.as_tensor(np.flatnonzero(others))):
            yield

    def _derived(self) -> list[Live]:
        return [field for name, field in self._bound.items() if name not in _STATE]

    def _check_overflow(self) -> None:
        flags = self._overflow & ~HARMLESS
        if flags.any():
            raise overflow(self._family, self._data, int(np.bitwise_or.reduce(flags.cpu().numpy())))


@contextlib.contextmanager
def _unchanged(fields: list[Live], rows: slice | torch.Tensor) -> Iterator[None]:
    """Put some rows of fields back as they were."""
    before = [field[rows].clone() for field in fields]
    yield
    for field, values in zip(fields, before, strict=True):
        field[rows] = values
