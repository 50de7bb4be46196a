"""Environment steps a second of MuJoCo Warp: `make gpu-bench`, or

    python -m metarl.bench.gpu [--device cuda] [--worlds 1024,4096,16384] [--seconds 5] [--json FILE]

For HalfCheetahDir and Go1Velocity, at several numbers of simulations with tasks of training:

- `physics`: open loop, the family's physics steps under constant controls;
- `closed_loop`: observations, rewards, ends and resets, and a perceptron of 64 x 64 that acts, all on the device
  (`metarl.envs.warp.tensor_env`);
- `closed_loop_compiled`: observations, rewards and ends through torch.compile;
- the first two once more with `env.warp.deterministic`, and what that costs;
- `trained`: whole iterations of ProMP, MAML-TRPO and RL² on the device, end to end, the share of time that collecting
  takes, and the speed of that alone; and `trained_in_numpy`, the same with rollouts and learner on the processor.

Each is measured after it has been compiled and its graph recorded, for some seconds; what runs on a GPU is waited for.
One that fails is a line, {"failed": ...} in its place, and the others are measured.
"""

import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_env, make_learner
from metarl.config import load_config
from metarl.envs import MissingExtra, make_family
from metarl.envs.warp import Warp
from metarl.util.errors import UserError
from metarl.util.text import first_line

FAMILIES = ("HalfCheetahDir", "Go1Velocity")
CONFIGS = ("half_cheetah_dir/promp", "half_cheetah_dir/maml", "go1/rl2")
PACKAGES = ("mujoco", "mujoco-warp", "warp-lang", "torch", "numpy")


def main(
    device: Annotated[str, typer.Option(help="cuda, or cpu to see whether it runs.")] = "cuda",
    worlds: Annotated[str, typer.Option(help="Numbers of simulations.")] = "1024,4096,16384",
    seconds: Annotated[float, typer.Option(help="That each number is measured for.")] = 5.0,
    set_: Annotated[list[str], typer.Option("--set", help="Settings of the trained configs, as key=value.")] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option("--json", help="File to write; standard output if none.")] = None,
) -> None:
    """Measure everything, as JSON."""
    try:
        sizes = [int(size) for size in worlds.split(",")]
        text = json.dumps(run(device, sizes, seconds, set_), indent=1) + "\n"
    except (UserError, MissingExtra) as error:
        sys.exit(f"gpu-bench: {error}")
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")


def run(device: Any, worlds: list[int], seconds: float, settings: list[str]) -> dict[str, Any]:
    """What `main` writes: speeds in environment steps a second."""
    Warp(device).require()
    result: dict[str, Any] = {"machine": machine(device), "seconds": seconds}
    result["families"] = {name: [speeds(name, size, device, seconds) for size in worlds] for name in FAMILIES}
    for key, on_device in (("trained", True), ("trained_in_numpy", False)):
        measures = {config: partial(trained, config, device, seconds, settings, on_device) for config in CONFIGS}
        result[key] = {config: tried(f"{key} {config}", measure) for config, measure in measures.items()}
    return result


def tried(what: str, measure: Callable[[], Any]) -> Any:
    """What a measurement gives, or {"failed": why}, which is said as well."""
    try:
        return measure()
    except Exception as error:  # whatever it is, the others are worth their time
        reason = f"{type(error).__name__}: {first_line(error)}"
        print(f"gpu-bench: {what} failed: {reason}", file=sys.stderr)
        return {"failed": reason}


def machine(device: str) -> dict[str, Any]:
    """The card, the processor and the versions."""
    card = torch.cuda.get_device_properties(0) if device == "cuda" else None
    return {
        "device": device,
        "card": card.name if card else None,
        "card_memory_gib": card.total_memory / 2**30 if card else None,
        "driver_cuda": torch.version.cuda,
        "processor": platform.processor() or platform.machine(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def speeds(name: str, size: int, device: Any, seconds: float) -> dict[str, Any]:
    """Of one family with so many simulations, with and without determinism."""

    def speed(which: int, deterministic: bool = False, compiled: bool = False) -> float:
        step = loops(name, size, Warp(device, deterministic=deterministic), compiled)[which]
        return size * per_second(step, device, seconds)

    wanted = {
        "physics": lambda: speed(0), "closed_loop": lambda: speed(1),
        "physics_deterministic": lambda: speed(0, deterministic=True),
        "closed_loop_deterministic": lambda: speed(1, deterministic=True),
        "closed_loop_compiled": lambda: speed(1, compiled=True),
    }  # fmt: skip
    found = {key: tried(f"{key} {name} {size}", measure) for key, measure in wanted.items()}
    fast, same = found["closed_loop"], found["closed_loop_deterministic"]
    price = 1 - same / fast if isinstance(fast, float) and isinstance(same, float) else None
    return {"worlds": size} | found | {"price_of_determinism": price}


@torch.no_grad()
def loops(name: str, size: int, physics: Warp, compiled: bool = False) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """One environment step open loop, and one in closed loop with a policy."""
    from metarl.envs.warp.tensor_env import TensorEnv

    env = TensorEnv(make_family(name), size, physics=physics, compiled=compiled)
    tasks = env.space.sample(size, "train", np.random.default_rng(0))
    observation, _ = env.reset(seed=0, options={"tasks": tasks})
    policy = torch.nn.Sequential(
        torch.nn.Linear(observation.shape[1], 64), torch.nn.Tanh(),
        torch.nn.Linear(64, 64), torch.nn.Tanh(),
        torch.nn.Linear(64, env.model.nu),
    ).to(observation.device)  # fmt: skip
    seen = [observation]

    def closed() -> None:
        with torch.no_grad():
            mean = policy(seen[0])
            seen[0] = env.step(mean + 0.3 * torch.randn_like(mean))[0]

    return lambda: env.batch.step(nstep=env.family.frame_skip), closed


def trained(config: str, device: str, seconds: float, settings: list[str], on_device: bool = True) -> dict[str, Any]:
    """Whole iterations of a config, with learner and rollouts on the device or in NumPy; the first two compile."""
    loaded = load_config(config, ["env.physics=warp", f"env.warp.device={device}", *settings])
    env = make_env(loaded, loaded.meta_batch * loaded.episodes, on_device)
    learner = make_learner(loaded, Spec.of(env))
    metrics, start = [], 0.0
    while len(metrics) < 3 or time.perf_counter() - start < seconds:
        if len(metrics) == 2:
            start = time.perf_counter()
        metrics.append(learner.iterate(env, len(metrics)))
    whole = time.perf_counter() - start
    steps, sampling = (sum(row[name] for row in metrics[2:]) for name in ("env_steps", "seconds_sampling"))
    return {
        "device": env.device, "worlds": env.num_envs, "iterations": len(metrics) - 2, "steps": steps / whole,
        "collected": steps / sampling, "share_of_collecting": sampling / whole,
    }  # fmt: skip


def per_second(step: Callable[[], Any], device: str, seconds: float) -> float:
    """How often a second something can be done, after three times that do not count."""
    for _ in range(3):
        step()
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds or not count:
        step()
        count += 1
    wait()
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    typer.run(main)
