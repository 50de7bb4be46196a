"""How well basis functions that are fitted in closed form (ALPaCA) predict what comes next, by seconds of experience.

    python docs/results/dynamics.py NAME SEED ... >> docs/results/dynamics.jsonl      # NAME: one of PROBLEMS
    python docs/results/dynamics.py --draw docs/results/dynamics.jsonl docs/results/dynamics.png

QuadrotorWind takes `runs/quad-rl2-0`, a run of `metarl train quadrotor/rl2 threads=1`.

Supervised, no policy learns: actions are smooth noise, or a trained policy's with its noise. In training tasks are
learned features and a prior, through the fit by `metarl.agents.memory.alpaca.least_squares_step`, and by as many steps
of Adam two perceptrons of the same layers: one that knows of no tasks, one that is told the task's parameters. In other
tasks each predicts the next observation and the reward of each step: the fit from all steps of the episode before it,
and once more with the weights of its prior. An error is the mean square over all numbers predicted, the change of each
number of the observation and the reward in units of its deviation over the training steps: 1 is to predict the mean.
"""

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from metarl import load_adapter, open_run
from metarl.agents import Adapter, Decision, Params
from metarl.agents.memory.alpaca import least_squares_step
from metarl.agents.nn import perceptron
from metarl.algorithms.sampling import collect
from metarl.envs import BatchEnv, Tasks, make
from metarl.util.rng import stream

TASKS, TEST_TASKS, TRIALS = 200, 40, 5
UPDATES, ROWS, WINDOW, LR = 300, 32, 60, 3e-3
UNITS, FEATURES = 128, 32
TIMES = (1, 2, 4, 8, 16, 32, 64, 128, 315)  # steps; errors are means between them
MASS = 20 / 9.81  # kg, of the quadrotor


class Problem(NamedTuple):
    """A family, and a run whose policy acts or else the size of smooth noise; ``only`` this parameter varies.

    A sparse reward is not predicted: it is nearly always zero, and where it is not no smooth function tells.
    """

    family: str
    run: str | None = None
    noise: float = 0.0
    only: str | None = None
    reward: bool = True


PROBLEMS = {
    "HalfCheetahMass": Problem("HalfCheetahMass", noise=0.8),
    "Go1 with payload": Problem("Go1Velocity", noise=0.4, only="payload"),
    "Navigation2DWind": Problem("Navigation2DWind", noise=0.8, reward=False),
    "QuadrotorWind": Problem("QuadrotorWind", run="runs/quad-rl2-0"),
}


class SmoothNoise(Adapter):
    """Noise that forgets within some ten steps, whatever is seen; the state is that of the noise."""

    def __init__(self, size: float, dim: int):
        self.size, self.dim = size, dim

    def start(self, num_tasks: int) -> None:
        return None

    def act(self, state, observations, rng) -> Decision:
        fresh = rng.standard_normal((*observations.shape[:2], self.dim))
        state = fresh if state is None else 0.9 * state + np.sqrt(1 - 0.9**2) * fresh
        actions = (self.size * state).clip(-1, 1).astype(np.float32)
        return Decision(actions, self.normalize(observations), state)

    def adapt(self, state, rollout) -> None:
        return None


class Data(NamedTuple):
    """N episodes of T steps. `inputs` (T, N, I) and `targets` (T, N, P), raw; `valid` (T, N); `tasks` (N, D)."""

    inputs: torch.Tensor
    targets: torch.Tensor
    valid: torch.Tensor
    tasks: torch.Tensor


def drawn(env: BatchEnv, problem: Problem, split: str, count: int, rng: np.random.Generator) -> Tasks:
    if problem.only is None:
        return env.space.sample(count, split, rng)
    parameter = next(p for p in env.space.parameters if p.name == problem.only)
    low, high = parameter.extrapolation[0] if split == "extrapolation" else (parameter.low, parameter.high)
    return env.space.tasks(**{problem.only: rng.uniform(low, high, count)})


def lived(problem: Problem, split: str, tasks: int, trials: int, seed: int) -> tuple[Data, float]:
    """Episodes in new tasks, and seconds of a step."""
    env = make(problem.family, tasks * trials, autoreset_mode="Disabled")
    rng = np.random.default_rng(stream(seed, "tasks", len(split)))
    env.set_tasks(drawn(env, problem, split, tasks, rng).repeat(trials))
    size = env.single_action_space.shape[0]
    adapter = load_adapter(open_run(problem.run)) if problem.run else SmoothNoise(problem.noise, size)
    shape = (env.horizon, tasks * trials)
    now, after = (np.zeros((*shape, env.single_observation_space.shape[0])) for _ in range(2))

    def note(step) -> None:
        now[step.number], after[step.number] = (x.reshape(shape[1], -1) for x in (step.observations, step.following))

    rollout = collect(env, adapter, adapter.start(tasks), trials, stream(seed, "rollouts", len(split)), on_step=note)

    def by_step(x: np.ndarray) -> np.ndarray:  # (M, T, K, ...) -> (T, N, ...)
        return np.moveaxis(x, 1, 0).reshape(*shape, *x.shape[3:])

    valid, rewards = by_step(rollout.valid), by_step(rollout.rewards)
    inputs = np.concatenate([now, by_step(rollout.actions)], axis=-1)
    targets = np.concatenate([after - now, *[rewards[..., None]] * problem.reward], axis=-1)
    kept = [torch.from_numpy(np.where(valid[..., None], x, 0.0)).float() for x in (inputs, targets)]
    values = torch.from_numpy(env.tasks.values.copy()).float()
    dt = env.dt
    env.close()
    return Data(*kept, torch.from_numpy(valid), values), dt


class Units(NamedTuple):
    """Means and deviations of the training steps (I,), (P,) and tasks (D,)."""

    inputs: tuple[torch.Tensor, torch.Tensor]
    targets: tuple[torch.Tensor, torch.Tensor]
    tasks: tuple[torch.Tensor, torch.Tensor]

    @classmethod
    def of(cls, data: Data) -> "Units":
        parts = data.inputs[data.valid], data.targets[data.valid], data.tasks
        return cls(*((x.mean(0), x.std(0) + 1e-6) for x in parts))

    def __call__(self, data: Data) -> Data:
        pairs = zip(data[:2], self[:2])
        x, y = (torch.where(data.valid[..., None], (x - mean) / std, 0.0) for x, (mean, std) in pairs)
        return data._replace(inputs=x, targets=y, tasks=(data.tasks - self.tasks[0]) / self.tasks[1])


# ---- the models: each predicts (T, N, P) from what it may know


def fitted(params: Params, data: Data, learn: bool = True) -> torch.Tensor:
    """y = W^T g(x): of each step with the weights that the steps before it give, or those of the prior."""
    phis = torch.tanh(perceptron.run(params, data.inputs, "tanh", "features."))
    phis = torch.cat([phis, torch.ones_like(phis[..., :1])], dim=-1) * data.valid[..., None]
    prior = phis @ params["prior_mean"]
    if not learn:
        return prior
    count, outputs = phis.shape[1], data.targets.shape[-1]
    mean = torch.zeros(count, FEATURES + 1, outputs)  # of W, less the prior's
    root, errors = params["prior_root"].expand(count, -1, -1), []
    for phi, target in zip(phis, data.targets - prior):
        mean, root, error = least_squares_step(mean, root, phi, target, torch.ones(count))
        errors.append(error)
    return data.targets - torch.stack(errors)


def network(params: Params, data: Data, told: bool) -> torch.Tensor:
    x = data.inputs
    if told:
        x = torch.cat([x, data.tasks.expand(len(x), -1, -1)], dim=-1)
    return perceptron.run(params, x, "tanh", "network.")


def made(rng: np.random.Generator, data: Data, kind: str) -> Params:
    inputs, outputs = data.inputs.shape[-1], data.targets.shape[-1]
    if kind == "fitted":
        params = {f"features.{k}": v for k, v in perceptron.init(rng, (inputs, UNITS, FEATURES)).items()}
        params["prior_mean"] = 0.1 * torch.randn(FEATURES + 1, outputs, generator=torch.Generator().manual_seed(0))
        return params | {"prior_root": 0.3 * torch.eye(FEATURES + 1)}
    sizes = inputs + data.tasks.shape[-1] * (kind == "told"), UNITS, FEATURES, outputs
    return {f"network.{name}": value for name, value in perceptron.init(rng, sizes).items()}


def predicted(kind: str, params: Params, data: Data) -> torch.Tensor:
    if kind in ("fitted", "prior"):
        return fitted(params, data, kind == "fitted")
    return network(params, data, kind == "told")


def trained(kind: str, data: Data, seed: int) -> Params:
    """Learned from windows of the training episodes, each of which stands for the beginning of one."""
    rng = np.random.default_rng(stream(seed, "init"))
    params = made(rng, data, kind)
    for value in params.values():
        value.requires_grad_(True)
    optimizer = torch.optim.Adam(params.values(), lr=LR)
    window = min(WINDOW, len(data.valid))
    for i in range(UPDATES):
        optimizer.param_groups[0]["lr"] = LR * (1 - i / UPDATES)
        rows = torch.from_numpy(rng.integers(data.valid.shape[1], size=ROWS))
        first = int(rng.integers(len(data.valid) - window + 1))
        steps = (x[first : first + window, rows] for x in data[:3])
        part = Data(*steps, data.tasks[rows])
        error = (predicted(kind, params, part) - part.targets).square().mean(-1)
        optimizer.zero_grad()
        ((error * part.valid).sum() / part.valid.sum().clamp(min=1)).backward()
        torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizer.step()
    return {name: value.detach() for name, value in params.items()}


# ---- measured


def means(errors: torch.Tensor, valid: torch.Tensor) -> list[float | None]:
    """Of (T, N) errors, between TIMES."""
    parts = [(errors[a - 1 : b - 1], valid[a - 1 : b - 1]) for a, b in zip(TIMES, TIMES[1:])]
    return [round(float(e[v].mean()), 5) if v.sum() > 50 else None for e, v in parts]


def measure(name: str, seed: int) -> dict:
    start, problem = time.perf_counter(), PROBLEMS[name]
    data, dt = lived(problem, "train", TASKS, 1, seed)
    units = Units.of(data)
    data = units(data)
    models = {kind: trained(kind, data, seed) for kind in ("fitted", "network", "told")}
    models["prior"] = models["fitted"]
    result = {"problem": name, "seed": seed, "seconds": [round(dt * t, 3) for t in TIMES], "errors": {}}
    for number, split in enumerate(("held_out", "extrapolation")):
        test = units(lived(problem, split, TEST_TASKS, TRIALS, 1000 + number + 2 * seed)[0])
        rows = result["errors"][split] = {}
        for kind, params in models.items():
            with torch.no_grad():
                wrong = predicted(kind, params, test) - test.targets
            rows[kind] = means(wrong.square().mean(-1), test.valid)
            if name == "QuadrotorWind":  # m/s of the velocity that is missing, by what force?
                newtons = MASS / dt * (wrong * units.targets[1])[..., 3:6].norm(dim=-1)
                rows[f"{kind}, N"] = means(newtons, test.valid)
    return result | {"minutes": round((time.perf_counter() - start) / 60, 1)}


def draw(lines: list[dict], file: str) -> None:
    import matplotlib.pyplot as plt

    words = {
        "network": "network, knows of no tasks", "prior": "basis functions, prior",
        "fitted": "basis functions, fitted", "told": "network, told the task",
    }  # fmt: skip
    figure, axes = plt.subplots(2, len(PROBLEMS), figsize=(13, 6), sharex="col", sharey="col")
    for column, name in enumerate(PROBLEMS):
        for row, split in enumerate(("held_out", "extrapolation")):
            axis, found = axes[row, column], [line for line in lines if line["problem"] == name]
            if not found:
                continue
            for color, (kind, label) in zip(("tab:gray", "tab:orange", "tab:blue", "tab:green"), words.items()):
                seconds = found[0]["seconds"]
                middle = np.sqrt(np.array(seconds[:-1]) * np.array(seconds[1:]))
                values = np.array([line["errors"][split][kind] for line in found], float)
                for each in values:
                    axis.plot(middle, each, color=color, alpha=0.25, linewidth=1)
                axis.plot(middle, values.mean(0), color=color, label=label)
            axis.set(xscale="log", yscale="log", title=f"{name}\n{split.replace('_', ' ')}" if not row else split)
            axis.grid(alpha=0.3)
            if row:
                axis.set_xlabel("experience in the task, s")
    for row in axes:
        row[0].set_ylabel("mean squared error\n1: the mean of training")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "--draw":
        draw([json.loads(line) for line in Path(sys.argv[2]).read_text().splitlines()], sys.argv[3])
    else:
        for seed in sys.argv[2:]:
            print(json.dumps(measure(sys.argv[1], int(seed))), flush=True)
