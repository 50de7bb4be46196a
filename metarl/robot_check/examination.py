"""A robot, before anything is trained on it: what is wrong with it.

    result = check("robots/cart")            # or a robot's YAML file, or the name of a shipped family
    result["errors"], result["warnings"]     # lines for people

It compiles the robot, runs an agent that does nothing and one that acts at random in a batch of tasks, and looks at
what comes back. An error is what makes training pointless or wrong: a parameter that changes nothing, a body that
cannot exist, physics that breaks down, a number that is not one, a reward that never varies or that no action changes,
episodes that end at once whatever is done. A warning is what may be meant so. Whether a task can be *solved* no such
check can tell; that no action changes anything in it, it can.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode
from mujoco.batch import SimulationError

from metarl.algorithms.episode import episode
from metarl.bench.physics import steps_vs_physics
from metarl.envs import FAMILIES, BatchEnv, Family, OwnRobot, Tasks, make_family
from metarl.envs.actuators import controls
from metarl.envs.checks import assert_effective, assert_physical
from metarl.envs.family import endless
from metarl.robot_check.report import draw_start
from metarl.robot_check.start import start_warnings
from metarl.util.errors import UserError
from metarl.util.optional import MissingExtra
from metarl.util.rng import stream
from metarl.util.text import nearest, one_line

TASKS, BEYOND = 32, 8  # of training and of extrapolation, with an episode of each agent in each
MOST_STEPS, LEAST_STEPS = 500, 10  # of an episode that are tried
SIMULATIONS = 200  # for the throughput, where they are fast enough
SECONDS, A_STEP = 20.0, 0.5  # that an agent's episodes and a step of the throughput may take
AT_ONCE = 3  # steps
_FULL = {mujoco.mjtWarning.mjWARN_CONTACTFULL: "contacts", mujoco.mjtWarning.mjWARN_CNSTRFULL: "constraints"}


def check(
    subject: str | Path | Family,
    pictures: Path | None = None,
    seconds: float = 0.15,
    progress: Callable[[str], None] = lambda doing: None,
) -> dict[str, Any]:
    """Examine a robot's file or folder, or a family.

    Args:
        subject: the file, the folder, the name of a shipped family, or a family.
        pictures: the folder for a PNG; none is drawn if None.
        seconds: that each of three measurements of the throughput takes, twice.
        progress: is told what is done from now on.
    """
    progress("compiling the robot")
    family = subject if isinstance(subject, Family) else find_family(str(subject))
    subject = family.name if isinstance(subject, Family) else str(subject)
    errors: list[str] = []
    warnings: list[str] = []
    try:
        env, tasks, seconds_a_step = _environment(family, warnings)
        progress(f"an agent that does nothing and one that acts at random, in {len(tasks)} tasks")
        random = np.random.default_rng(stream(0, "check", 1))
        agents = {name: _episodes(env, tasks, noise) for name, noise in (("zero", None), ("random", random))}
        errors += _physical(env, tasks)
        if not agents["random"]["diverged"].all():  # of a robot that always breaks down nothing can be said
            progress("what each parameter changes")
            errors += _effective(family)
    except MissingExtra as error:
        raise UserError(str(error)) from error
    except (ValueError, SimulationError) as error:  # a reward that is not a number, a mass that is not positive
        return {"name": family.name, "subject": subject, "errors": [*errors, one_line(str(error))], "warnings": []}
    warnings += start_warnings(env)
    _judge(env, tasks, agents, errors, warnings)
    progress("throughput")
    simulations = int(np.clip(len(tasks) * A_STEP / seconds_a_step, 2, SIMULATIONS))
    speed_env = BatchEnv(endless(family), simulations, horizon=2**31, autoreset_mode=AutoresetMode.DISABLED)
    ratio, speed = steps_vs_physics(speed_env, rounds=2, seconds=seconds)
    result = {
        "name": family.name,
        "subject": subject,
        "dt": env.dt,
        "horizon": family.horizon,
        "actions": [name for _, name in controls(env.model)],
        "parameters": _parameters(env),
        "throughput": {"env_steps_per_second": speed, "vs_physics": ratio, "simulations": simulations},
        "agents": {name: _summary(seen) for name, seen in agents.items()},
        "observation": _observation(env, agents, warnings),
        "pictures": None,
    }
    if pictures is not None:
        progress("drawing the first second")
        result["pictures"] = draw_start(env, tasks, agents["random"], pictures, warnings)
    return result | {"errors": errors, "warnings": warnings}


def find_family(subject: str) -> Family:
    """The family of a robot's file or folder, or the shipped one of that name."""
    if subject in FAMILIES:
        family = make_family(subject)
        if not family.actuated:
            raise UserError(f"check: the actions of {subject} are not controls of actuators; check is for robots")
        return family
    if not Path(subject).exists():
        raise UserError(f"check: got {subject!r}, expected a robot's YAML file, its folder, or a family"
                        + nearest(subject, FAMILIES.names()))  # fmt: skip
    try:
        return OwnRobot(subject)
    except ValueError as error:
        raise UserError(str(error)) from error


def _environment(family: Family, warnings: list[str]) -> tuple[BatchEnv, Tasks, float]:
    """Simulations of the default task, of training tasks, and of extrapolation tasks if there are any; s a step.

    Episodes are shorter than the family's where its steps are slow.
    """
    rng, space = np.random.default_rng(stream(0, "check")), family.space
    parts = [space.default().values, space.sample(TASKS, "train", rng).values]
    if any(parameter.extrapolation for parameter in space.parameters):
        parts.append(space.sample(BEYOND, "extrapolation", rng).values)
    tasks = Tasks(space, np.concatenate(parts))
    horizon = min(family.horizon, MOST_STEPS)
    env = BatchEnv(family, len(tasks), horizon=horizon, autoreset_mode=AutoresetMode.DISABLED)
    seconds = _seconds_a_step(env, tasks)
    steps = max(LEAST_STEPS, int(SECONDS / seconds))
    if steps < horizon:
        cost = f"a step of {len(tasks)} simulations takes {seconds:.2g} s, for {family.frame_skip} physics steps each"
        advice = "raise control.rate or the MJCF's timestep, or use fewer bodies and contacts"
        warnings.append(f"{cost}: only {steps} of {horizon} steps of an episode were tried; {advice}")
        env = BatchEnv(family, len(tasks), horizon=steps, autoreset_mode=AutoresetMode.DISABLED)
    return env, tasks, seconds


def _seconds_a_step(env: BatchEnv, tasks: Tasks) -> float:
    """Of the second step: the first one warms up."""
    env.reset(seed=stream(0, "check", 2), options={"tasks": tasks})
    actions = np.zeros((env.num_envs, len(env.single_action_space.low)))
    env.step(actions)
    start = time.perf_counter()
    env.step(actions)
    return time.perf_counter() - start


def _episodes(env: BatchEnv, tasks: Tasks, noise: np.random.Generator | None) -> dict[str, np.ndarray]:
    """One episode in each task, of random actions or, without noise, of none: (T, N, ...) arrays, NaN after its end."""
    observations, _ = env.reset(seed=stream(0, "check", 2), options={"tasks": tasks})
    agent = cast(Any, _Agent(env.single_action_space.low, env.single_action_space.high))
    seen: dict[str, list] = {"reward": [], "terms": [], "observation": [], "poses": [env.batch.bind("qpos").copy()]}
    length, ended, diverged = np.zeros(len(tasks), int), np.zeros(len(tasks), bool), np.zeros(len(tasks), bool)
    for step in episode(env, agent, None, 1, observations, noise):
        running = step.running[:, 0]
        terms = {name: term for name, term in step.info["reward_terms"].items() if not name.startswith("_")}
        length += running
        ended |= step.terminated[:, 0]
        diverged |= step.diverged[:, 0]
        seen["observation"].append(np.where(step.running, step.observations[:, 0], np.nan))
        seen["reward"].append(np.where(running, step.rewards[:, 0], np.nan))
        seen["terms"].append([np.where(running, term, np.nan) for term in terms.values()])
        seen["poses"].append(env.batch.bind("qpos").copy())
    return {name: np.array(values) for name, values in seen.items()} | {
        "names": np.array(list(terms)), "length": length, "diverged": diverged, "ended": ended,
    }  # fmt: skip


class _Decision(NamedTuple):
    actions: np.ndarray
    state: None = None


class _Agent:
    """Acts evenly between low and high (A,), or in the middle; as `metarl.algorithms.baselines`, without PyTorch."""

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self.low, self.high = low, high

    def act(self, state: None, observations: np.ndarray, rng: np.random.Generator | None) -> _Decision:
        shape = (*observations.shape[:2], len(self.low))
        share = np.full(shape, 0.5, np.float32) if rng is None else rng.random(shape, np.float32)
        return _Decision(self.low + (self.high - self.low) * share)

    def observe(self, state: None, rewards: np.ndarray, ended: np.ndarray) -> None:
        return None


def _summary(seen: dict[str, np.ndarray]) -> dict[str, Any]:
    terms = np.nansum(seen["terms"], axis=0)  # (terms, N)
    return {
        "return": float(np.nansum(seen["reward"], axis=0).mean()),
        "length": float(seen["length"].mean()),
        "ended": float(seen["ended"].mean()),
        "diverged": int(seen["diverged"].sum()),
        "reward_terms": {str(name): float(term.mean()) for name, term in zip(seen["names"], terms, strict=True)},
    }


def _physical(env: BatchEnv, tasks: Tasks) -> list[str]:
    model, faults = None, {}
    for i in range(len(tasks)):
        model = env.model_of(i, model)
        try:
            assert_physical(model)
        except ValueError as error:
            faults.setdefault(str(error).partition(":")[0], f"{error} (task {tasks.describe(i)})")
    return list(faults.values())


def _effective(family: Family) -> list[str]:
    try:
        assert_effective(family)
    except ValueError as error:
        return [str(error)]
    return []


def _judge(
    env: BatchEnv, tasks: Tasks, agents: dict[str, dict[str, np.ndarray]], errors: list[str], warnings: list[str]
) -> None:
    """What the episodes say about the reward, the ends of episodes and the physics."""
    full = [name for kind, name in _FULL.items() if env.batch.warning[:, int(kind), 1].any()]
    if full:
        errors.append(f"more {' and '.join(full)} than the memory of a simulation holds, and those are left out: raise"
                      " `<size memory>` in the MJCF, or use fewer geoms that can touch")
    beyond = env.space.split_of(tasks) == "extrapolation"
    calm = not agents["zero"]["diverged"].any()
    for name, seen in agents.items():
        for where, of, into in (("training tasks", ~beyond, errors), ("extrapolation tasks", beyond, warnings)):
            if seen["diverged"][of].any():
                first = tasks.describe(int(np.flatnonzero(seen["diverged"] & of)[0]))
                count = seen["diverged"][of].sum()
                slower = "the time step smaller or the ranges narrower"
                advice = f"actions smaller (control.action_range, control.scale or limit), {slower}"
                into.append(f"physics broke down under the {name} agent in {count} of {of.sum()} {where}, first in"
                            f" {first}; make {advice if name == 'random' and calm else slower}")
    lengths = [np.median(seen["length"]) for seen in agents.values()]
    if max(lengths) <= AT_ONCE < env.horizon:
        errors.append(f"episodes end at once: after {lengths[0]:g} steps (median) with no action and {lengths[1]:g}"
                      " with random ones; look at the start and the termination")
    rewards = np.concatenate([seen["reward"].ravel() for seen in agents.values()])
    rewards = rewards[~np.isnan(rewards)]
    if np.ptp(rewards) == 0:
        errors.append(f"the reward is {rewards[0]:g} in every step of every task: nothing can be learned from it")
        return
    steps = min(len(seen["reward"]) for seen in agents.values())
    zero, random = (seen["reward"][:steps] for seen in agents.values())
    unmoved = ((zero == random) | np.isnan(zero) | np.isnan(random)).all(axis=0)
    if unmoved.all():
        errors.append("no action changes the reward: it is the same with no action and with random ones")
    elif unmoved.any():
        first = tasks.describe(int(np.flatnonzero(unmoved)[0]))
        warnings.append(f"in {unmoved.sum()} of {len(tasks)} tasks, such as {first}, no random action changed the"
                        " reward: they may be impossible, or the reward is sparse")
    terms = np.concatenate([seen["terms"].swapaxes(0, 1).reshape(len(seen["names"]), -1) for seen in agents.values()],
                           axis=1)  # fmt: skip
    for name, term in zip(agents["zero"]["names"], terms, strict=True):
        if not np.nan_to_num(term).any():
            warnings.append(f"reward term {name} was 0 in every step: sparse, or of no use")


def _observation(env: BatchEnv, agents: dict[str, dict[str, np.ndarray]], warnings: list[str]) -> list[dict[str, Any]]:
    """Range of each number; constant ones are warned of."""
    seen = np.concatenate([a["observation"].reshape(-1, a["observation"].shape[2]) for a in agents.values()])
    low, high = np.nanmin(seen, axis=0), np.nanmax(seen, axis=0)
    names = [(entry.name, entry.unit) for entry in env.family.observation_names()] or [
        (str(i), "") for i in range(len(low))
    ]
    constant = [name for (name, _), a, b in zip(names, low, high, strict=True) if a == b]
    if constant:
        shown = ", ".join(constant[:8]) + (f" and {len(constant) - 8} more" if len(constant) > 8 else "")
        warnings.append(f"constant observations, which tell a policy nothing: {shown}")
    return [{"name": name, "unit": unit, "low": float(a), "high": float(b)}
            for (name, unit), a, b in zip(names, low, high, strict=True)]  # fmt: skip


def _parameters(env: BatchEnv) -> list[dict[str, Any]]:
    return [{"name": p.name, "unit": p.unit, "default": p.default, "distribution": p.distribution,
             "range": [p.low, p.high] if p.continuous else list(p.choices), "held_out": list(p.held_out),
             "extrapolation": [list(x) if p.continuous else x for x in p.extrapolation]}
            for p in env.space.parameters]  # fmt: skip
