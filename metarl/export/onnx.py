"""Exporting a policy as ONNX: adapted to one task, or adapting by itself as it acts.

    from metarl.export.onnx import export_run
    file = export_run("runs/first", task="3")      # held-out task 3; runs/first/exports/policy-40-1a2b3c4d.onnx
    file.with_suffix(".json")                      # what whoever drives a robot with it must know

A gradient method's initialization first adapts to the task, in episodes as `metarl evaluate` runs them, and the adapted
weights are exported. A policy with a memory is exported as it was trained, its state explicit. What goes in and comes
out stands in `metarl.export.onnx_graph` and `metarl.export.onnx_memory`. Before anything is written, onnxruntime and
PyTorch drive the same episode side by side, and must choose the same controls.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metarl.agents import Adapter, GradientAdapter, RecurrentAdapter
from metarl.algorithms.learners import make_env
from metarl.algorithms.sampling import collect
from metarl.envs import BatchEnv, MissingExtra, Tasks, family_class
from metarl.errors import UserError
from metarl.evaluation.evaluate import tasks_from_file
from metarl.export.metadata import describe
from metarl.runs.checkpoint import Checkpoint
from metarl.runs.run import Run, open_run, threads
from metarl.util.files import replace
from metarl.util.optional import Extra
from metarl.util.rng import stream
from metarl.util.torch_runtime import torch_threads

if TYPE_CHECKING:
    import onnx

    from metarl.export.onnx_graph import Scaling

PACKAGES = (Extra("export", "onnx"), Extra("export", "onnxruntime"))
ADAPTING, CHECKING = 0, 1  # the kinds of "export" streams
TOLERANCE = 1e-5
"""Of a control, as a fraction of its range: what onnxruntime may differ by from PyTorch."""


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
        task: to adapt to: the number of a held-out task of the run, or a file with one task; None for the family's
            default, the unmodified robot.
        steps, episodes: of adaptation, and in each step; the config's evaluation's if None.
        noise: add an input of standard normal numbers, for sampled actions; mean actions otherwise.
        out: the file; if None, one in the run folder with a name that only the same export can have.
        force: whether `out` may replace a file.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    _require_packages()
    target = None if out is None else _target(Path(out), force)
    config = run.config
    if not family_class(config.env.family).batched:
        raise UserError(f"export: the actions of {config.env.family} are not controls of actuators; it has no export")
    with torch_threads(threads(config)):
        saved = run.checkpoint()
        adapter, env = run.adapter(saved), make_env(config, 1)
        model, document = _adapted(run, saved, adapter, env, task, steps, episodes, noise)
    _put_metadata(model, document)
    content = model.SerializeToString()
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
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model, checked, and its document."""
    from metarl.export.onnx_graph import Scaling, feedforward
    from metarl.export.onnx_memory import recurrent

    config = run.config
    scaling = Scaling.of(*env.family.control_range(env.model), config.env.action_scale)
    if isinstance(adapter, RecurrentAdapter):
        if (task, steps, episodes) != (None, None, None):
            raise UserError("export: this policy adapts as it acts; leave out --task, --steps and --episodes")
        chosen, state = env.space.default(), adapter.start(1)
        normalizers = (adapter.normalizer, adapter.reward_normalizer)
        model = recurrent(adapter.policy, adapter.params, *normalizers, scaling, noise=noise)
        document = describe(run, saved, env, None, {"kind": "memory"})
    elif isinstance(adapter, GradientAdapter):
        chosen = _task(run, env, task)
        steps = config.evaluation.steps if steps is None else steps
        episodes = config.evaluation.episodes if episodes is None else episodes
        state, seconds = _adapt(run, adapter, chosen, steps, episodes)
        params = {name: value[0] for name, value in state.params.items()}
        model = feedforward(adapter.inner_loop.policy, params, adapter.normalizer, scaling, noise=noise)
        adaptation = {"kind": "gradient", "steps": steps, "episodes": episodes, "seconds": seconds, "seed": config.seed}
        document = describe(run, saved, env, chosen, adaptation)
    else:
        raise UserError(f"export: got a run of {config.algorithm.name}, which has no policy that can be exported")
    document |= {"inputs": _shapes(model.graph.input), "outputs": _shapes(model.graph.output)}
    env.set_tasks(chosen)
    difference = largest_difference(model.SerializeToString(), adapter, state, env, scaling, config.seed)
    if not difference <= TOLERANCE:
        raise RuntimeError(f"onnxruntime and PyTorch differ by {difference:.1g} of a control's range; nothing written")
    return model, document


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
        raise UserError(f"--task {text!r}: neither the number of a held-out task nor a file")
    tasks = run.tasks("held_out")
    if int(text) >= len(tasks):
        raise UserError(f"--task: got {text}, expected 0 to {len(tasks) - 1}: the run has {len(tasks)} held-out tasks")
    return tasks[int(text)]


def _adapt(run: Run, adapter: GradientAdapter, task: Tasks, steps: int, episodes: int) -> tuple[Any, float]:
    """The state after adapting to a task, and the simulated seconds of experience that it took."""
    env = make_env(run.config, episodes)
    env.set_tasks(task.repeat(episodes))
    state, lived = adapter.start(1), 0
    for step in range(steps):
        rollout = collect(env, adapter, state, episodes, stream(run.config.seed, "export", ADAPTING, step))
        state = adapter.adapt(state, rollout)
        lived += int(rollout.valid.sum())
    if not all(bool(torch.isfinite(value).all()) for value in state.params.values()):
        raise UserError(f"export: the weights are not finite after {steps} steps; adapt with fewer --steps")
    return state, lived * env.dt


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
    memory = {name: np.zeros((1, shape[1]), np.float32) for name, shape in inputs.items() if f"next_{name}" in outputs}
    rng, same = (np.random.default_rng(stream(seed, "export", CHECKING, 0)) for _ in range(2))
    observation, _ = env.reset(seed=stream(seed, "export", CHECKING, 1))
    reward, start, ended, worst = np.zeros(1), np.ones((1, 1), np.float32), False, 0.0
    while not ended:
        feeds = {"observation": observation, "reward": reward[:, None], "start": start}
        if "noise" in inputs:
            feeds["noise"] = rng.standard_normal((1, len(scaling.low)), np.float32)
        feeds = {name: value for name, value in feeds.items() if name in inputs} | memory
        got = dict(zip(outputs, session.run(list(outputs), feeds), strict=True))
        memory, start = {name: got[f"next_{name}"] for name in memory}, np.zeros_like(start)
        decision = adapter.act(state, observation[:, None], same if "noise" in inputs else None)
        actions = decision.actions[:, 0]
        difference = np.abs(got["control"] - scaling(actions)) / (scaling.high - scaling.low)
        worst = max(worst, float(difference.max()))
        observation, reward, terminated, truncated, _ = env.step(actions)
        ended = bool((terminated | truncated).all())
        state = adapter.observe(decision.state, reward[:, None], (terminated | truncated)[:, None])
    return worst


def _session(model: bytes):
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else importing it leaves a device id and reports its use
    import onnxruntime

    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def _require_packages() -> None:
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


def _put_metadata(model: onnx.ModelProto, document: dict[str, Any]) -> None:
    for key, value in document.items():
        model.metadata_props.add(key=key, value=json.dumps(value, allow_nan=False))


def _shapes(values) -> dict[str, dict[str, Any]]:
    """{"observation": {"shape": ["robots", 17], "type": "float64"}, ...}"""
    from onnx import helper

    return {
        x.name: {
            "shape": [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim],
            "type": helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type).name,
        }
        for x in values
    }
