"""Exporting a policy as ONNX: adapted to one task, or adapting by itself as it acts.

    from metarl.export.onnx import export_run
    file = export_run("runs/first", task="3")      # validation task 3; runs/first/exports/policy-40-1a2b3c4d.onnx
    file.with_suffix(".json")                      # what whoever drives a robot with it must know

A gradient method's initialization first adapts to the task, in episodes as `metarl evaluate` runs them, and the adapted
weights are exported. A policy with a memory is exported as it was trained, its state explicit. The adapter writes its
part of the graph itself (`Adapter.onnx`); inputs and outputs have a leading axis of robots N, each on its own:

    observation (N, O) float64      as the environment or the sensors give it
    control     (N, A) float64      mean action, mapped to the controls and clipped to their range
    noise       (N, A) float32      with `noise`: standard normal numbers, for sampled actions instead of mean ones

and those of the adapter, such as states: an output next_NAME is the input NAME of the next step, zeros at the start.
Both ends are float64, as in MuJoCo: a position that has grown large is normalized, and a control bounded, exactly.
Before anything is written, onnxruntime and PyTorch drive the same episode side by side, and must choose the same
controls.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metarl.agents import Adapter
from metarl.algorithms.episode import episode
from metarl.algorithms.learners import make_env
from metarl.algorithms.restore import load_adapter
from metarl.algorithms.sampling import collect
from metarl.envs import BatchEnv, Tasks
from metarl.evaluation.evaluate import tasks_from_file
from metarl.export.metadata import describe
from metarl.runs.checkpoint import Checkpoint
from metarl.runs.run import Run, open_run, threads
from metarl.util.errors import UserError
from metarl.util.files import replace
from metarl.util.onnx_graph import NEXT, Graph
from metarl.util.optional import Extra, MissingExtra
from metarl.util.rng import stream
from metarl.util.torch_runtime import torch_threads

PACKAGES = (Extra("export", "onnx"), Extra("export", "onnxruntime"))
ADAPTING, CHECKING = 0, 1  # the kinds of "export" streams
TOLERANCE = 1e-5
"""Of a control, as a fraction of its range: what onnxruntime may differ by from PyTorch."""


class Scaling(NamedTuple):
    """From actions to controls: clip(action * gain + bias, low, high), (A,) float64 each."""

    gain: np.ndarray
    bias: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(
        cls, low: np.ndarray, high: np.ndarray, action_scale: float, limits: tuple[np.ndarray, np.ndarray] | None = None
    ) -> "Scaling":
        """Actions in [-action_scale, action_scale] map linearly to [low, high], and are clipped there or to limits."""
        return cls(0.5 * (high - low) / action_scale, 0.5 * (high + low), *(limits or (low, high)))

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        """(..., A) actions -> (..., A) controls."""
        return np.clip(np.asarray(actions, np.float64) * self.gain + self.bias, self.low, self.high)


def policy_graph(adapter: Adapter, state: Any, scaling: Scaling, *, noise: bool = False) -> Graph:
    """The policy of one task, from raw observations to controls.

    Raises:
        NotImplementedError: the adapter has no policy that can be exported.
        FloatingPointError: its weights are not finite.
    """
    graph = Graph()
    action = adapter.onnx(graph, state, noise)
    if not all(np.isfinite(value).all() for value in graph.constants.values()):
        raise FloatingPointError("the weights are not finite")
    control = graph.op("Mul", graph.cast(action, np.float64), graph.constant(scaling.gain))
    control = graph.op("Add", control, graph.constant(scaling.bias))
    graph.output("control", graph.clip(control, scaling.low, scaling.high), len(scaling.low), np.float64)
    return graph


def export_run(
    run: Run | str | Path,
    task: str | None = None,
    steps: int | None = None,
    episodes: int | None = None,
    *,
    noise: bool = False,
    out: str | Path | None = None,
    force: bool = False,
) -> Path:
    """Write the newest intact checkpoint of a run as an ONNX file, and what must be known of it as JSON beside it.

    Args:
        run: a run folder.
        task: to adapt to: the number of a task of the config's evaluation.split (validation unless it says otherwise),
            or a file with one task; None for the family's default, the unmodified robot.
        steps, episodes: of adaptation, and in each step; the config's evaluation's if None.
        noise: add an input of standard normal numbers, for sampled actions; mean actions otherwise.
        out: the file; if None, one in the run folder with a name that only the same export can have.
        force: whether `out` may replace a file.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    if force and out is None:
        raise UserError("--force: got no --out, expected it as well: the file in the run folder has a name of its own")
    require_packages()
    target = None if out is None else _target(Path(out), force)
    config = run.config
    if not config.env.load_family().actuated:
        raise UserError(f"export: the actions of {config.env.family} are not controls of actuators; it has no export")
    with torch_threads(threads(config)):
        saved = run.checkpoint()
        adapter, env = load_adapter(run, saved), make_env(config, 1)
        content, document = _adapted(run, saved, adapter, env, task, steps, episodes, noise)
    target = target or run.path / "exports" / _name(saved, document)
    document |= {"onnx": {"file": target.name, "sha256": hashlib.sha256(content).hexdigest()}}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace(target, content)
        replace(target.with_suffix(".json"), (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise UserError(f"export: {target} cannot be written: {error.strerror}; choose another --out") from error
    return target


def _adapted(
    run: Run,
    saved: Checkpoint,
    adapter: Adapter,
    env: BatchEnv,
    task: str | None,
    steps: int | None,
    episodes: int | None,
    noise: bool,
) -> tuple[bytes, dict[str, Any]]:
    """The file, checked, and its document."""
    config = run.config
    limits = env.family.control_limits(env.model)
    scaling = Scaling.of(*env.family.control_range(env.model), config.env.action_scale, limits)
    chosen, state = None, adapter.start(1)
    adaptation: dict[str, Any] = {"kind": adapter.kind}
    try:
        graph = policy_graph(adapter, state, scaling, noise=noise)  # says at once if there is none
        if adapter.shares_experience:
            chosen = _task(run, env, task)
            steps = config.evaluation.steps if steps is None else steps
            episodes = config.evaluation.episodes if episodes is None else episodes
            state, seconds = _adapt(run, adapter, chosen, steps, episodes)
            adaptation |= {"steps": steps, "episodes": episodes, "seconds": seconds, "seed": config.seed}
            graph = policy_graph(adapter, state, scaling, noise=noise)
        elif (task, steps, episodes) != (None, None, None):
            raise UserError("export: this policy adapts as it acts; leave out --task, --steps and --episodes")
    except NotImplementedError as error:
        raise UserError(f"export: got a run of {config.algorithm.name}: {error}") from error
    except FloatingPointError as error:
        raise UserError(f"export: {error} after {steps or 0} steps of adaptation; adapt with fewer --steps") from error
    document = describe(run, saved, env, chosen, adaptation)
    document |= {"inputs": _shapes(graph.inputs), "outputs": _shapes(graph.outputs)}
    metadata = {key: json.dumps(value, allow_nan=False) for key, value in document.items()}
    content = graph.serialize("metarl policy", metadata)
    env.set_tasks(env.space.default() if chosen is None else chosen)
    difference = largest_difference(content, adapter, state, env, scaling, config.seed)
    if not difference <= TOLERANCE:
        raise RuntimeError(f"onnxruntime and PyTorch differ by {difference:.1g} of a control's range; nothing written")
    return content, document


def _task(run: Run, env: BatchEnv, text: str | None) -> Tasks:
    """One task, as Tasks of length 1."""
    if text is None:
        return env.space.default()
    path = Path(text)
    if path.is_file():
        tasks = tasks_from_file(path, run)
        if len(tasks) != 1:
            raise UserError(f"{path}: got {len(tasks)} tasks, expected one to adapt to")
        return tasks
    if not (text.isascii() and text.isdecimal()):
        raise UserError(f"--task {text!r}: neither the number of one of the run's tasks nor a file")
    split = run.config.evaluation.split
    tasks = run.tasks(split)
    if int(text) >= len(tasks):
        raise UserError(f"--task: got {text}, expected 0 to {len(tasks) - 1}: the run has {len(tasks)} {split} tasks")
    return tasks[int(text)]


def _adapt(run: Run, adapter: Adapter, task: Tasks, steps: int, episodes: int) -> tuple[Any, float]:
    """The state after adapting to a task, and the simulated seconds of experience that it took."""
    env = make_env(run.config, episodes)
    env.set_tasks(task.repeat(episodes))
    state, taken = adapter.start(1), 0
    for step in range(steps):
        rollout = collect(env, adapter, state, episodes, stream(run.config.seed, "export", ADAPTING, step))
        state = adapter.adapt(state, rollout)
        taken += rollout.num_steps
    return state, taken * env.dt


def largest_difference(model: bytes, adapter: Adapter, state: Any, env: BatchEnv, scaling: Scaling, seed: int) -> float:
    """Largest difference between the controls of onnxruntime and PyTorch in an episode, as a fraction of their range.

    PyTorch drives; both see the same observations and rewards, and each keeps its own memory.

    Args:
        model: the ONNX file.
        adapter, state: what it was made of, for one task.
        env: one simulation.
    """
    session = _session(model)
    inputs, outputs = ({x.name: x.shape for x in part} for part in (session.get_inputs(), session.get_outputs()))
    memory = {name: np.zeros((1, shape[1]), np.float32) for name, shape in inputs.items() if NEXT + name in outputs}
    rng, same = (np.random.default_rng(stream(seed, "export", CHECKING, 0)) for _ in range(2))
    observations, _ = env.reset(seed=stream(seed, "export", CHECKING, 1))
    reward, start, worst = np.zeros((1, 1)), np.ones((1, 1), np.float32), 0.0
    for step in episode(env, adapter, state, 1, observations, same if "noise" in inputs else None):
        feeds = {"observation": step.observations[:, 0], "reward": reward, "start": start}
        if "noise" in inputs:
            feeds["noise"] = rng.standard_normal((1, len(scaling.low)), np.float32)
        feeds = {name: value for name, value in feeds.items() if name in inputs} | memory
        got = dict(zip(outputs, session.run(list(outputs), feeds), strict=True))
        memory, start = {name: got[NEXT + name] for name in memory}, np.zeros_like(start)
        difference = np.abs(got["control"] - scaling(step.decision.actions[:, 0])) / (scaling.high - scaling.low)
        worst, reward = max(worst, float(difference.max())), step.rewards
    return worst


def _session(model: bytes) -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else importing it leaves a device id and reports its use
    import onnxruntime

    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def require_packages() -> None:
    """UserError if what writes and runs ONNX files is not installed."""
    try:
        for extra in PACKAGES:
            extra.require("export")
    except MissingExtra as error:
        raise UserError(str(error)) from error


def _target(path: Path, force: bool) -> Path:
    if path.suffix != ".onnx":
        raise UserError(f"--out: got {path}, expected a file name that ends in .onnx")
    for file in (path, path.with_suffix(".json")):
        if os.path.lexists(file) and not force:
            raise UserError(f"--out: {file} is there already; choose another, or add --force to replace it")
    return path


def _name(saved: Checkpoint, document: dict[str, Any]) -> str:
    """`policy-40-1a2b3c4d.onnx`: the iteration, and a key of all that the file depends on."""
    depends_on = [document[name] for name in ("run", "checkpoint", "task", "adaptation", "inputs")]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:8]
    return f"policy-{saved.iteration}-{key}.onnx"


def _shapes(values: dict[str, tuple[int, type]]) -> dict[str, dict[str, Any]]:
    """{"observation": {"shape": ["robots", 17], "type": "float64"}, ...}"""
    return {name: {"shape": ["robots", size], "type": np.dtype(kind).name} for name, (size, kind) in values.items()}
