"""A robot in the browser, to change while it walks: `metarl watch`.

    watch("runs/first", port=8080)                  # prints the address, and serves until Ctrl-C

viser serves the page and mjviser draws the robot, in the browser's own WebGL: this machine needs no screen and no
OpenGL. Whatever a visitor presses or drags is put into a queue and done between two frames, by the thread that steps
the physics. Several visitors see, and change, the same robot. Nothing is written to the run.
"""

import contextlib
import io
import logging
import math
import queue
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import viser
from mjviser import ViserMujocoScene
from rich.console import Console

from metarl.envs import Parameter, Tasks
from metarl.evaluation.evaluate import named_tasks
from metarl.runs.run import open_run
from metarl.training.interruption import Interruption
from metarl.util.errors import UserError
from metarl.util.text import show
from metarl.watch.session import Session

PORT = 8080
FRAMES = 30  # a second, at most
STATUS_PERIOD = 0.25  # s of simulated time between updates of the numbers and the curve
LATE = 0.5  # s behind the clock, from which on it is not caught up with
MAX_TASKS = 40  # of a split in the list
SPEEDS = (0.1, 4.0)
BRIGHTNESS = 0.35  # of the surroundings: with mjviser's own, colours are washed out
_SHAPE = ("geom_size", "geom_pos", "geom_quat", "geom_rgba", "body_pos", "body_quat", "site_pos", "hfield_data")
_FOLLOWING = {int(mujoco.mjtCamLight.mjCAMLIGHT_TRACK), int(mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM)}


def watch(folder: str | Path, tasks: str | None = None, port: int = PORT, host: str = "127.0.0.1") -> None:
    """Serve the robot of a run until SIGTERM or Ctrl-C, which end with SystemExit 143 and 130.

    Args:
        folder: of the run.
        tasks: to choose from: a split, that of the config if None, or a file of tasks. Others can be made by hand.
        port, host: of the server; port 0 takes a free one. 0.0.0.0 lets other machines in.
    """
    run = open_run(Path(folder))
    offered = named_tasks(run, run.config.evaluation.split if tasks is None else tasks)
    say = Console(file=sys.stdout, highlight=False).out  # to this one also while viser's is redirected
    with Interruption(lambda _: say("ending")) as interruption, Viewer(Session(run), offered, port, host) as viewer:
        say(f"open {viewer.address} in a browser; Ctrl-C ends it")
        viewer.serve(lambda: interruption.requested)
    if interruption.requested:
        raise SystemExit(interruption.exit_code)


class Viewer:
    """A session in a web page.

    Attributes:
        controls: what can be pressed and dragged, by name: viser's handles.
    """

    def __init__(self, session: Session, tasks: Tasks, port: int = PORT, host: str = "127.0.0.1"):
        self.session, self.tasks = session, tasks[:MAX_TASKS]
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.server = _server(host, port)
        self.paused, self.speed, self._said = False, 1.0, ""
        self._shown = 0.0
        self._seconds = 0.0
        self._shape: list[np.ndarray] = []
        self._refresh_model()
        self._aim()
        self._build_page()

    @property
    def address(self) -> str:
        return f"http://{self.server.get_host()}:{self.server.get_port()}"

    def serve(self, ended: Callable[[], bool]) -> None:
        """Frame after frame in real time, until `ended` says so."""
        due = time.monotonic()
        while not ended():
            simulated = self.frame()
            due += simulated / self.speed if simulated else 1 / FRAMES
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(min(wait, 0.5))
            elif wait < -LATE:
                due = time.monotonic()

    def frame(self) -> float:
        """Do what was asked for, step, and draw; the simulated seconds."""
        while not self._todo.empty():
            try:
                self._todo.get()()
            except ValueError as error:  # no such task; or no such value, of a page that is not ours
                self._said = str(error)
        steps = 0 if self.paused else max(1, round(self.speed / (FRAMES * self.session.env.dt)))
        for _ in range(steps):
            self.session.step()
        self._draw()
        self._seconds += steps * self.session.env.dt
        if self.paused or self._seconds - self._shown >= STATUS_PERIOD:
            self._shown = self._seconds
            self._tell()
        return steps * self.session.env.dt

    def close(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ---- the page

    def _build_page(self) -> None:
        gui, session = self.server.gui, self.session
        gui.configure_theme(dark_mode=False, show_logo=False)
        gui.add_markdown(f"**{session.space.family}**, {session.config.algorithm.name}, `{session.run.path.name}`")
        self._status = gui.add_markdown("")
        self._curve = gui.add_uplot(
            (np.array([0.0, 1.0]), np.zeros(2)),
            ({"label": "s"}, {"stroke": "#0072B2", "width": 2, "label": "reward per second"}),
            aspect=1.8,
            scales={"x": {"time": False, "auto": True}, "y": {"auto": True}},
        )
        self.controls: dict[str, Any] = {}  # viser's handles
        with gui.add_folder("Task"):
            labels = ["default", *(f"{m}: {self.tasks.describe(m)}" for m in range(len(self.tasks)))]
            self.controls["task"] = gui.add_dropdown("choose", labels)
            for parameter in session.space.parameters:
                self.controls[parameter.name] = _control(gui, parameter)
        with gui.add_folder("Policy"):
            if session.pooled:
                most = max(40, session.config.evaluation.episodes)
                self.controls["episodes"] = gui.add_slider("episodes", 1, most, 1, session.config.evaluation.episodes)
                self.controls["adapt"] = gui.add_button("Adapt now", hint="One step, from fresh episodes of this task")
            self.controls["forget"] = gui.add_button("Forget", hint="As trained: no experience of this robot")
            self.controls["sampled"] = gui.add_checkbox("sampled actions", not session.deterministic)
        with gui.add_folder("Simulation"):
            self.controls["paused"] = gui.add_checkbox("pause", False)
            self.controls["speed"] = gui.add_slider("speed", *SPEEDS, 0.1, 1.0)
            self.controls["episode"] = gui.add_button("New episode")
        self._connect()
        self._tell()

    def _connect(self) -> None:
        """Let each control put what it does into the queue."""
        actions: dict[str, Callable[[], None]] = {
            "task": self._choose,
            "forget": self._forget,
            "sampled": lambda: setattr(self.session, "deterministic", not self.controls["sampled"].value),
            "paused": lambda: setattr(self, "paused", self.controls["paused"].value),
            "speed": lambda: setattr(self, "speed", self._read("speed")),
            "episode": self.session.new_episode,
            "adapt": self._adapt,
            **{name: lambda name=name: self._change(name) for name in self.session.space.names},
        }
        for name, action in actions.items():
            handle = self.controls.get(name)
            if handle is None:
                continue
            connect = handle.on_click if name in ("forget", "episode", "adapt") else handle.on_update

            @connect
            def _(event: viser.GuiEvent, action=action) -> None:
                if event.client is not None:  # not what this program itself has set
                    self._todo.put(action)

    def _read(self, name: str) -> Any:
        """What a slider or a list says; ValueError for what it does not offer, and a page can send all the same."""
        handle = self.controls[name]
        if isinstance(handle, viser.GuiSliderHandle) and math.isfinite(handle.value):
            return type(handle.min)(np.clip(handle.value, handle.min, handle.max))  # it may come out a little beyond
        if isinstance(handle, viser.GuiDropdownHandle) and handle.value in handle.options:
            return handle.value
        raise ValueError(f"{name}: got {show(handle.value)}, which is not on offer")

    def _choose(self) -> None:
        """The task of the list, into the robot and into the sliders."""
        number, _, _ = self._read("task").partition(":")
        chosen = self.session.space.default() if number == "default" else self.tasks[int(number)]
        self._set(dict(zip(chosen.names, chosen.values[0].tolist(), strict=True)))
        for parameter, value in zip(chosen.space.parameters, chosen.values[0].tolist(), strict=True):
            self.controls[parameter.name].value = value if parameter.continuous else _choice(parameter, value)

    def _change(self, name: str) -> None:
        parameter = next(p for p in self.session.space.parameters if p.name == name)
        value = self._read(name)
        self._set({name: value if parameter.continuous else _value(parameter, value)})

    def _set(self, values: dict[str, float]) -> None:
        self.session.change(values)
        self._said = ""
        self._refresh_model()

    def _adapt(self) -> None:
        episodes = self._read("episodes")
        before, after = self.session.adapt(episodes)
        self._said = f"{episodes} episodes: return {before:.4g} before, {after:.4g} after this step"

    def _forget(self) -> None:
        self.session.forget()
        self._said = "the policy knows nothing of this robot now"

    def _tell(self) -> None:
        session = self.session
        split = {"train": "as in training", "validation": "for validation", "held_out": "held out",
                 "extrapolation": "beyond training"}  # fmt: skip
        kind = split[str(session.space.split_of(session.task)[0])]
        how = f"{session.adaptations} steps of adaptation" if session.pooled else "its memory goes on"
        ended = ", ".join(f"{episode.score:.4g}" for episode in session.episodes) or "none yet"
        lines = [
            f"robot: {session.task.describe(0)} ({kind})",
            f"policy: {how}, {session.lived:.1f} s of experience",
            f"episode: step {session.elapsed} of {session.env.horizon}, return {session.score:.4g}",
            f"the last episodes: {ended}",
            *([f"**{self._said}**"] if self._said else []),
        ]
        self._status.content = "\n\n".join(lines)
        if len(session.rewards) > 1:
            rewards = np.array(session.rewards, np.float64)
            seconds = self._seconds + np.arange(1 - len(rewards), 1, dtype=np.float64) * session.env.dt
            self._curve.data = (seconds, rewards)

    # ---- the scene

    def _refresh_model(self) -> None:
        """Draw the robot anew if the task has another shape."""
        model = self.session.env.model_of(0)
        shape = [getattr(model, name).copy() for name in _SHAPE]
        if len(self._shape) == len(shape) and all(map(np.array_equal, self._shape, shape)):
            return
        self._shape = shape
        camera = mujoco.mj_name2id(model, int(mujoco.mjtObj.mjOBJ_CAMERA), self.session.env.family.camera)
        self.server.scene.reset()
        self._scene = ViserMujocoScene(self.server, model, 1)
        self.server.scene.configure_environment_map(environment_intensity=BRIGHTNESS)
        self._scene.camera_tracking_enabled = camera >= 0 and int(model.cam_mode[camera]) in _FOLLOWING
        self._model = model

    def _draw(self) -> None:
        data = self.session.env.data_of(0)
        mujoco.mj_kinematics(self._model, data)
        with self.server.atomic():
            self._scene.update_from_mjdata(data)

    def _aim(self) -> None:
        data = self.session.env.data_of(0)
        mujoco.mj_kinematics(self._model, data)
        points = data.xpos[1:]
        low, high = points.min(0), points.max(0)
        target = (low + high) / 2
        if self._scene.camera_tracking_enabled:
            target = target - data.xpos[1]
        distance = 2.0 * max(1.0, float(np.linalg.norm(high - low)))
        camera = self.server.initial_camera
        camera.position = tuple(target + distance * np.array([0.0, -1.0, 0.35]))
        camera.look_at, camera.up, camera.fov = tuple(target), (0.0, 0.0, 1.0), math.radians(45.0)


def _server(host: str, port: int) -> viser.ViserServer:
    for library in ("asyncio", "websockets.server"):
        logging.getLogger(library).addFilter(_is_ours)
    try:
        with socket.create_server((host, port)):  # viser would try one port after the other, for ever
            pass
    except OSError as error:
        raise UserError(f"--port: {host}:{port} cannot be served: {error.strerror}; choose another one") from error
    with contextlib.redirect_stdout(io.StringIO()):  # viser announces itself; the address is said once
        return viser.ViserServer(host=host, port=port, label="metarl", verbose=False)


def _is_ours(record: logging.LogRecord) -> bool:
    """Not the traceback of viser's about what a page has sent and it cannot read, which changes nothing."""
    error = record.exc_info[1] if record.exc_info else None
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)] if error else []
    return not {"_handle_gui_updates", "deserialize"} & {*names[-1:]}


def _control(gui: viser.GuiApi, parameter: Parameter) -> viser.GuiInputHandle:
    """A slider for a continuous parameter, over all of its ranges, or a list of choices."""
    unit = "" if parameter.unit == "1" else f" ({parameter.unit})"
    label, hint = f"{parameter.name}{unit}", parameter.description
    if not parameter.continuous:
        choices = [_choice(parameter, value) for value in _choices(parameter)]
        return gui.add_dropdown(label, choices, initial_value=_choice(parameter, parameter.default), hint=hint)
    low, high = _ends(parameter)
    return gui.add_slider(label, low, high, (high - low) / 200, float(parameter.default), hint=hint)


def _ends(parameter: Parameter) -> tuple[float, float]:
    """The least and the highest value of a continuous parameter, extrapolation included."""
    ends = np.array([(parameter.low, parameter.high), *parameter.extrapolation])
    return float(ends.min()), float(ends.max())


def _choices(parameter: Parameter) -> list[float]:
    values = {parameter.default, *parameter.choices, *parameter.held_out}
    return sorted(values | {float(value) for value in parameter.extrapolation})


def _choice(parameter: Parameter, value: float) -> str:
    note = " (held out)" if value in parameter.held_out else ""
    return f"{value:g}{note}"


def _value(parameter: Parameter, text: str) -> float:
    return next(value for value in _choices(parameter) if _choice(parameter, value) == text)
