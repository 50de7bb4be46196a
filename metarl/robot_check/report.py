"""What `metarl check` shows: the result of `metarl.robot_check.examination.check` for people, and a picture.

    print_report(result)
"""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from metarl.envs import BatchEnv, Tasks
from metarl.visual.stills import write_stills
from metarl.visual.video import ADVICE, VideoError, find_backend

COLUMNS, ROWS = 6, 3  # of the picture: moments, tasks


def print_report(result: dict[str, Any]) -> None:
    """The result of `check` as tables and lines."""
    console = Console(highlight=False)
    if "agents" in result:
        speed = result["throughput"]
        console.print(f"{result['name']}: {len(result['observation'])} observations, {len(result['actions'])} actions,"
                      f" {result['dt']:g} s a step, {result['horizon']} steps an episode")
        console.print(f"{speed['env_steps_per_second']:,.0f} steps/s in {speed['simulations']} simulations,"
                      f" {speed['vs_physics']:.2f} of physics alone\n")
        console.print(_agents_table(result["agents"]))
        console.print(_observation_table(result["observation"]))
    if result.get("pictures"):
        console.out(f"pictures: {result['pictures']}")
    for kind in ("errors", "warnings"):
        for line in result[kind]:
            console.out(f"{kind[:-1]}: {line}")
    if not result["errors"]:
        console.print(f"no errors, {len(result['warnings'])} warnings")


def _agents_table(agents: dict[str, Any]) -> Table:
    table = Table("agent", "return", "steps", "ended", "diverged", "reward terms, in the return", box=None)
    for name, row in agents.items():
        terms = ", ".join(f"{term} {value:.3g}" for term, value in row["reward_terms"].items())
        table.add_row(name, f"{row['return']:.4g}", f"{row['length']:.0f}", f"{row['ended']:.0%}",
                      str(row["diverged"]), terms)  # fmt: skip
    return table


def _observation_table(observation: list[dict[str, Any]], most: int = 40) -> Table:
    table = Table("", "observation", "unit", "from", "to", box=None)
    for i, row in enumerate(observation[:most]):
        table.add_row(str(i), row["name"], row["unit"], f"{row['low']:.4g}", f"{row['high']:.4g}")
    if len(observation) > most:
        table.add_row("", f"and {len(observation) - most} more, see --json", "", "", "")
    return table


def draw_start(
    env: BatchEnv, tasks: Tasks, seen: dict[str, np.ndarray], folder: Path, warnings: list[str]
) -> str | None:
    """The first second of some episodes as a PNG, its path; a warning where nothing can be drawn."""
    backend = find_backend()
    if backend is None:
        warnings.append(ADVICE.replace("no MP4 replay", "no pictures"))
        return None
    last = int(seen["length"][:ROWS].min()) - 1
    moments = np.unique(np.linspace(0, min(last, round(1.0 / env.dt)), COLUMNS).astype(int))
    qpos = seen["poses"][moments][:, :ROWS].swapaxes(0, 1)
    env.reset(options={"tasks": tasks})
    models = [env.shown_model(i) for i in range(ROWS)]
    span = f"{moments[0] * env.dt:.2f} to {moments[-1] * env.dt:.2f} s"
    texts = [f"{span}   {tasks.describe(i)}" for i in range(ROWS)]
    file = folder / f"{env.family.name}.png"
    try:
        return str(write_stills(models, qpos, env.family.camera, texts, file, backend))
    except VideoError as error:
        warnings.append(str(error))
    except OSError as error:
        where = error.filename or file
        warnings.append(f"no pictures: {where} cannot be written: {error.strerror}; choose another --out")
    return None
