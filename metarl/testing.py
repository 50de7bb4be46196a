"""Contracts that a part of your own can be held against, as Gymnasium's and SB3's `check_env` are.

    from metarl.testing import check_adapter, check_family, check_learner, check_memory

    check_family(Cart())                                   # a robot in Python
    check_memory(LeakyIntegrator)                          # a memory cell
    check_learner(config)                                  # a meta-learner, and the adapter that it hands out
    check_adapter(adapter, env)

Each raises `ContractError`, an AssertionError, that says in words what was found and what is expected. They take
seconds: sizes are those of the config that is given, so give a small one. metarl's own parts pass them in its tests.
"""

import copy
import inspect
from collections.abc import Iterator
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from metarl.agents import Adapter, Memory, Rollout
from metarl.algorithms.base import Learner, Spec
from metarl.algorithms.learners import make_env, make_learner, training_env
from metarl.algorithms.sampling import collect
from metarl.config import Config, changed
from metarl.envs import BatchEnv, Family, SingleEnv
from metarl.envs.checks import assert_effective, assert_physical
from metarl.util.arrays import as_numpy
from metarl.util.onnx_graph import NEXT, Graph
from metarl.util.rng import stream

_CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


class ContractError(AssertionError):
    """A part does not do what metarl relies on."""


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise ContractError(text)


# ---- a learner


def check_learner(config: Config, *, iterations: int = 2) -> None:
    """A meta-learner: what `metarl.algorithms.base.Learner` promises, and that its config class says the truth.

    Args:
        config: of a small run that names the algorithm.
        iterations: to train for, at least 2.

    Raises:
        ContractError: in words what is wrong, with the name of the tensor, metric or setting.
    """
    _require(iterations >= 2, f"got iterations={iterations}, expected at least 2: one to resume after")
    env = training_env(config)
    spec = Spec.of(env)
    learner = make_learner(config, spec)
    _check_state(learner, make_learner(config, spec))
    whole = [_check_metrics(learner.iterate(env, i), config) for i in range(iterations)]
    _check_resume(config, spec, env, learner, whole, iterations)
    _check_other_seed(config, spec)
    _check_loading(learner)
    check_adapter(learner.adapter(), make_env(config, env.num_envs), num_episodes=config.episodes)
    _check_adapter_is_a_value(learner, env, config, iterations)
    _check_likelihood_ratios(learner, env, iterations)
    _check_config(config, learner)


def _check_state(learner: Learner, again: Learner) -> None:
    state = learner.state_dict()
    _require(isinstance(state, dict) and all(isinstance(x, torch.Tensor) for x in state.values()),
             f"state_dict: got {type(state).__name__}, expected a dict of tensors by name")  # fmt: skip
    other = again.state_dict()
    for name, value in state.items():
        _require(name in other and torch.equal(value, other[name]),
                 f"{name}: differs between two learners of the same config; all that is random must come from"
                 " metarl.util.rng.stream(config.seed, ...)")  # fmt: skip
        value.add_(1) if value.is_floating_point() else None
    for name, value in learner.state_dict().items():
        _require(torch.equal(value, other[name]),
                 f"{name}: changing what state_dict gave changes the learner; give copies (.clone())")  # fmt: skip


def _check_metrics(metrics: dict[str, float], config: Config) -> dict[str, float]:
    for name in ("env_steps", "diverged"):
        _require(name in metrics, f"iterate: got metrics {sorted(metrics)}, expected {name!r} among them")
    for name, value in metrics.items():
        _require(isinstance(value, int | float | np.number) and np.isfinite(value),
                 f"iterate: metric {name} is {value!r}, expected a finite number")  # fmt: skip
    horizon = config.env.horizon or config.env.load_family().horizon
    most = config.algorithm.rounds(config) * config.meta_batch * config.episodes * horizon
    _require(metrics["env_steps"] <= most,
             f"iterate: env_steps is {metrics['env_steps']}, but rounds * meta_batch * episodes * horizon allow {most};"
             " does the config's rounds() say how often episodes are collected?")  # fmt: skip
    return {name: value for name, value in metrics.items() if not name.startswith("seconds")}


def _check_resume(
    config: Config, spec: Spec, env: BatchEnv, learner: Learner, whole: list[dict[str, float]], iterations: int
) -> None:
    """Stopped after each iteration and gone on with in a new learner, it must come to the same bits."""
    before = make_learner(config, spec)
    for i in range(iterations):
        saved, resumed = before.state_dict(), make_learner(config.model_copy(update={"seed": config.seed}), spec)
        resumed.load_state_dict(saved)
        _copy_experience(before, resumed)
        got = _check_metrics(resumed.iterate(env, i), config)
        for name, value in whole[i].items():
            _require(got.get(name) == value,
                     f"iteration {i} after a resume: metric {name} is {got.get(name)}, without a stop {value};"
                     " state_dict lacks something that training goes by")  # fmt: skip
        before, saved = resumed, resumed.state_dict()
    for name, value in learner.state_dict().items():
        _require(torch.equal(saved[name], value),
                 f"{name}: differs between a training that was resumed in each iteration and one that was not")


def _copy_experience(learner: Any, other: Any) -> None:
    """What an off-policy learner has lived, as a run saves and reads it: by segments, as tensors."""
    if hasattr(learner, "experience"):
        for number in learner.experience.numbers:
            tensors = {name: value.clone() for name, value in learner.experience.segment(number).tensors().items()}
            other.experience.add(number, type(learner.experience.segment(number)).of(tensors))


def _check_other_seed(config: Config, spec: Spec) -> None:
    if not config.algorithm.trained:
        return
    one, other = (make_learner(config.model_copy(update={"seed": seed}), spec).state_dict() for seed in (0, 1))
    _require(any(not torch.equal(one[name], other[name]) for name in one),
             "seeds 0 and 1 start from the same weights; draw them from stream(config.seed, 'init')")  # fmt: skip


def _check_loading(learner: Learner) -> None:
    state = learner.state_dict()
    for name in state:
        for kind, wrong in (("is missing", None), ("has another shape", torch.zeros(7, 5, 3))):
            broken = {key: x for key, x in state.items() if key != name} | ({} if wrong is None else {name: wrong})
            try:
                learner.load_state_dict(broken)
            except ValueError as error:
                _require(name in str(error),
                         f"load_state_dict: {name} {kind}, and the ValueError does not name it: {error}")  # fmt: skip
            else:
                raise ContractError(f"load_state_dict: {name} {kind}, expected a ValueError that names it")
    learner.load_state_dict(state)
    for name, value in learner.state_dict().items():
        _require(torch.equal(value, state[name]), f"{name}: differs after load_state_dict of its own state_dict")


def _check_adapter_is_a_value(learner: Learner, env: BatchEnv, config: Config, iteration: int) -> None:
    """Later iterations must not change an adapter, and using one must not change the learner."""
    adapter, rng = learner.adapter(), np.random.default_rng(0)
    observations = _observations(env, config.meta_batch, config.episodes, rng)
    before = adapter.act(adapter.start(config.meta_batch), observations, None).actions.copy()
    state = {name: value.clone() for name, value in learner.state_dict().items()}
    env.set_tasks(env.space.sample(config.meta_batch, "train", rng).repeat(config.episodes))
    rollout = collect(env, adapter, adapter.start(config.meta_batch), config.episodes, stream(0, "testing"))
    adapter.adapt(adapter.start(config.meta_batch), rollout)
    for name, value in learner.state_dict().items():
        _require(torch.equal(value, state[name]), f"{name}: changed while the adapter acted and adapted in a new task")
    learner.iterate(env, iteration)
    after = adapter.act(adapter.start(config.meta_batch), observations, None).actions
    _require(np.array_equal(before, after),
             "an adapter acts differently after a further iteration of its learner; adapter() must copy the weights")


def _check_likelihood_ratios(learner: Any, env: BatchEnv, iteration: int) -> None:
    """Of a learner over `MetaGradientLearner`: log-probabilities are those of the actions, by torch's own Normal."""
    if not hasattr(learner, "inner_loops"):
        return
    rounds, _ = learner.inner_loops(env, iteration)
    for k, each in enumerate(rounds):
        mean, std = each.statistics
        expected = torch.distributions.Normal(mean, std).log_prob(each.samples.actions).sum(-1)
        valid = each.samples.weights > 0
        error = (expected - each.samples.log_probs)[valid].abs().max().item() if valid.any() else 0.0
        _require(error < 1e-3, f"round {k}: a log-probability differs by {error:.2g} from that of the action taken")


def _check_config(config: Config, learner: Learner) -> None:
    """What the algorithm's config class says of it."""
    algorithm = config.algorithm
    _require(isinstance(algorithm.title(config), str) and algorithm.title(config) != "",
             f"{type(algorithm).__name__}.title: got {algorithm.title(config)!r}, expected what the method is called")
    if algorithm.trained:
        _require(any(name.startswith(algorithm.weights) for name in learner.state_dict()),
                 f"{type(algorithm).__name__}.weights: no tensor of the state begins with one of {algorithm.weights};"
                 " `evaluate --average` would average nothing")  # fmt: skip
    for key, line in algorithm.search_space(config).items():
        needed = {other: allowed[0] for other, allowed in line.get("when", {}).items()}
        [(kind, values)] = ((kind, values) for kind, values in line.items() if kind != "when")
        try:
            for value in (values if kind == "choice" else (values[0], values[-1])):
                changed(config, needed | {key: value})
        except Exception as error:
            raise ContractError(f"{type(algorithm).__name__}.search_space: {key}: the config refuses {line}: {error}") \
                from error


# ---- an adapter


def check_adapter(adapter: Adapter, env: BatchEnv, *, num_episodes: int = 2, seed: int = 0) -> None:
    """An adapter: shapes, no state that leaks between tasks or calls, weights that stay what they are.

    Args:
        env: simulations of the environment that it was trained for, autoreset disabled, at least 2 tasks' worth.
        num_episodes: K, of each task.

    Raises:
        ContractError: in words what is wrong.
    """
    num_tasks = env.num_envs // num_episodes
    _require(num_tasks >= 2, f"got {env.num_envs} simulations, expected at least 2 tasks of {num_episodes} each")
    rng = np.random.default_rng(seed)
    env.set_tasks(env.space.sample(num_tasks, "train", rng).repeat(num_episodes))
    state = adapter.start(num_tasks)
    observations = _observations(env, num_tasks, num_episodes, rng)
    kept = copy.deepcopy(state)
    decision = adapter.act(state, observations, np.random.default_rng(0))
    shape = (num_tasks, num_episodes, env.single_action_space.shape[0])
    _require(decision.actions.shape == shape, f"act: got actions {decision.actions.shape}, expected {shape}: (M, K, A)")
    _require(decision.actions.dtype == np.float32, f"act: got actions of {decision.actions.dtype}, expected float32")
    _require(bool(np.isfinite(decision.actions).all()), "act: an action is not finite")
    _require(decision.observations.shape == observations.shape,
             f"act: got observations {decision.observations.shape}, expected {observations.shape}: as the policy saw"
             " them")  # fmt: skip
    _require(_same(state, kept), "act: changed the state that it was given; give a new one")
    same = adapter.act(state, observations, np.random.default_rng(0)).actions
    _require(np.array_equal(decision.actions, same), "act: two calls with the same state and noise differ")
    first, second = (adapter.act(state, observations, None).actions for _ in range(2))
    _require(np.array_equal(first, second), "act: without a noise source two calls choose other actions")
    _check_no_leak_between_tasks(adapter, state, observations)
    _check_adapt(adapter, env, num_tasks, num_episodes, observations, stream(seed, "testing"))


def _check_no_leak_between_tasks(adapter: Adapter, state: Any, observations: np.ndarray) -> None:
    other = observations.copy()
    other[1:] += 1.0
    one, two = (adapter.act(state, x, None).actions[0] for x in (observations, other))
    _require(np.allclose(one, two, **_CLOSE), "act: the actions in task 0 depend on the observations in other tasks")


def _check_adapt(
    adapter: Adapter, env: BatchEnv, num_tasks: int, num_episodes: int, observations: np.ndarray,
    seed: np.random.SeedSequence,
) -> None:
    start = adapter.start(num_tasks)
    before = adapter.act(start, observations, None).actions.copy()
    rollout = collect(env, adapter, start, num_episodes, seed)
    kept = copy.deepcopy(start)
    adapted = adapter.adapt(start, rollout)
    _require(_same(start, kept), "adapt: changed the state that it was given; give a new one")
    fresh = adapter.act(adapter.start(num_tasks), observations, None).actions
    _require(np.array_equal(before, fresh),
             "adapt: changed what the adapter starts from: its own weights, or memory kept outside of the state")
    after = adapter.act(adapted, observations, None).actions
    _require(after.shape == before.shape and bool(np.isfinite(after).all()),
             f"act after adapt: got actions {after.shape}, expected finite {before.shape}")  # fmt: skip
    again = adapter.act(adapter.adapt(start, rollout), observations, None).actions
    _require(np.array_equal(after, again), "adapt: two calls with the same experience come to other actions")
    disturbed = _with_rewards(rollout, rollout.rewards + np.arange(num_tasks)[:, None, None])
    if adapter.shares_experience:  # else what it knows went in step by step
        other = adapter.act(adapter.adapt(start, disturbed), observations, None).actions
        _require(np.allclose(after[0], other[0], **_CLOSE),
                 "adapt: what happened in other tasks changes the actions in task 0")  # fmt: skip
    following = adapter.act(adapter.next_episode(adapted), observations, None).actions
    _require(following.shape == before.shape, f"next_episode: got actions {following.shape}, expected {before.shape}")


def _with_rewards(rollout: Rollout, rewards: np.ndarray) -> Rollout:
    values = {name: getattr(rollout, name) for name in inspect.signature(Rollout).parameters}
    return Rollout(**values | {"rewards": np.where(rollout.valid, rewards, 0.0)})


# ---- a memory cell


def check_memory(cell: type[Memory], *, input_dim: int = 3, size: int = 4, **options: Any) -> None:
    """A memory cell: shapes, steps equal to sequences, resets that clear, rows that do not mix, gradients, ONNX.

    Args:
        cell: the class.
        input_dim, size, options: of the cell that is made.

    Raises:
        ContractError: in words what is wrong.
    """
    memory = cell(input_dim, size, **options)
    params = memory.init(np.random.default_rng(0))
    _require(isinstance(params, dict) and all(x.dtype == torch.float32 for x in params.values()),
             "init: expected a dict of float32 tensors by name")  # fmt: skip
    same = memory.init(np.random.default_rng(0))
    _require(all(torch.equal(params[name], same[name]) for name in params), "init: draws from elsewhere than its rng")
    rows, steps = 3, 7
    xs = torch.randn(steps, rows, input_dim, generator=torch.Generator().manual_seed(0))
    start = memory.start(rows)
    for i, part in enumerate(start):
        _require(part.shape[0] == rows, f"start: part {i} has shape {tuple(part.shape)}, expected ({rows}, ...)")
        _require(not part.any(), f"start: part {i} is not zero; a trial begins with zeros, in ONNX too")
    kept = copy.deepcopy(start)
    state, ys = memory.sequence(params, start, xs)
    _require(ys.shape == (steps, rows, size), f"sequence: got {tuple(ys.shape)}, expected {(steps, rows, size)}")
    _require(_same(start, kept), "sequence: changed the state that it was given; give a new one")
    _check_steps(memory, params, xs, ys, state)
    _check_resets(memory, params, xs)
    _check_rows(memory, params, xs, ys)
    _check_gradients(memory, params, xs)
    _check_memory_onnx(memory, params, xs, ys)


def _check_steps(memory: Memory, params: dict, xs: torch.Tensor, ys: torch.Tensor, end: tuple) -> None:
    state = memory.start(xs.shape[1])
    for t, x in enumerate(xs):
        state, y = memory.step(params, state, x)
        _require(torch.allclose(y, ys[t], **_CLOSE), f"step {t} differs from the same step of sequence")
    _require(all(torch.allclose(a, b, **_CLOSE) for a, b in zip(state, end, strict=True)),
             "the state after the last step differs from that after the sequence")  # fmt: skip


def _check_resets(memory: Memory, params: dict, xs: torch.Tensor) -> None:
    cut = len(xs) // 2
    resets = torch.zeros(xs.shape[:2], dtype=torch.bool)
    resets[cut, 0] = True  # of one row only
    _, ys = memory.sequence(params, memory.start(xs.shape[1]), xs, resets)
    _, fresh = memory.sequence(params, memory.start(xs.shape[1]), xs[cut:])
    _, whole = memory.sequence(params, memory.start(xs.shape[1]), xs)
    _require(torch.allclose(ys[cut:, 0], fresh[:, 0], **_CLOSE), "a reset does not clear the memory of its row")
    _require(torch.allclose(ys[:, 1:], whole[:, 1:], **_CLOSE), "a reset of one row changes the others")


def _check_rows(memory: Memory, params: dict, xs: torch.Tensor, ys: torch.Tensor) -> None:
    other = xs.clone()
    other[:, 1:] += 1.0
    _, got = memory.sequence(params, memory.start(xs.shape[1]), other)
    _require(torch.allclose(got[:, 0], ys[:, 0], **_CLOSE), "the output of row 0 depends on the inputs of other rows")


def _check_gradients(memory: Memory, params: dict, xs: torch.Tensor) -> None:
    leaves = {name: value.clone().requires_grad_(True) for name, value in params.items()}
    _, ys = memory.sequence(leaves, memory.start(xs.shape[1]), xs)
    weights = torch.randn(ys.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad((weights * ys).sum(), list(leaves.values()), allow_unused=True)
    for name, gradient in zip(leaves, gradients, strict=True):
        _require(gradient is not None and bool(gradient.any()), f"{name}: no gradient reaches it; it would never train")
        _require(bool(torch.isfinite(gradient).all()), f"{name}: its gradient is not finite")


def _check_memory_onnx(memory: Memory, params: dict, xs: torch.Tensor, ys: torch.Tensor) -> None:
    """One step after the other in onnxruntime, where it is installed, must give the outputs of the sequence."""
    try:
        import onnxruntime
    except ImportError:
        return
    graph = Graph()
    x = graph.input("x", xs.shape[2], np.float32)
    try:
        graph.output("y", memory.onnx(graph, params, x), memory.size, np.float32)
    except NotImplementedError as error:
        raise ContractError(f"onnx: {error}; a policy with it could not be exported") from error
    session = onnxruntime.InferenceSession(graph.serialize("memory"), providers=["CPUExecutionProvider"])
    shapes = {each.name: each.shape[1] for each in session.get_inputs() if each.name != "x"}
    state = {name: np.zeros((xs.shape[1], size), np.float32) for name, size in shapes.items()}
    outputs = [each.name for each in session.get_outputs()]
    for t in range(len(xs)):
        got = dict(zip(outputs, session.run(outputs, {"x": xs[t].numpy()} | state), strict=True))
        difference = float(np.abs(got["y"] - ys[t].detach().numpy()).max())
        _require(difference < 1e-4, f"onnx: step {t} differs by {difference:.2g} from PyTorch's")
        state = {name: got[f"{NEXT}{name}"] for name in shapes}


# ---- a robot in Python


def check_family(family: Family, *, steps: int = 40, seed: int = 0) -> None:
    """A task family: shapes, names, splits, effects of the parameters, independence of simulations, Gymnasium's checks.

    Args:
        steps: of the episodes that are tried.

    Raises:
        ContractError: in words what is wrong.
    """
    _require(bool(getattr(family, "name", "")), f"{type(family).__name__}.name: expected the family's name")
    _require(family.space.family == family.name,
             f"{family.name}: its task space is called {family.space.family!r}; both need one name")  # fmt: skip
    num_envs = 4
    env = _checked_env(family, num_envs, steps)
    tasks = env.space.sample(num_envs, "train", np.random.default_rng(seed))
    whole = list(_walk(env, tasks, seed, steps))
    _check_numbers(family, env, whole)
    again = list(_walk(_checked_env(family, num_envs, steps), tasks, seed, steps))
    _require(all(np.array_equal(a, b) for x, y in zip(whole, again, strict=True) for a, b in zip(x, y, strict=True)),
             f"{family.name}: the same seed and actions give another episode; draw from the generators that reset_state"
             " is given only")  # fmt: skip
    _check_simulations_are_independent(family, tasks, whole, seed, steps)
    for check, what in ((lambda: assert_effective(family, steps=steps), "parameters"),
                        (lambda: [assert_physical(env.model_of(i)) for i in range(num_envs)], "bodies")):  # fmt: skip
        try:
            check()
        except ValueError as error:
            raise ContractError(f"{what}: {error}") from error
    single = SingleEnv(family)
    try:
        check_env(single, skip_render_check=True)
    except (AssertionError, gymnasium.error.Error) as error:
        raise ContractError(f"{family.name}: Gymnasium's check_env: {error}") from error
    finally:
        single.close()


def _checked_env(family: Family, num_envs: int, steps: int) -> BatchEnv:
    env = family.make_env(num_envs, horizon=steps, autoreset_mode=AutoresetMode.DISABLED, num_threads=1)
    return cast(BatchEnv, env)


def _walk(env: BatchEnv, tasks: Any, seed: int, steps: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(observation, reward, terminated) of each step under the same random actions in all simulations."""
    rng = np.random.default_rng(seed)
    env.reset(seed=[seed] * env.num_envs, options={"tasks": tasks})
    for _ in range(steps):
        action = rng.uniform(env.single_action_space.low, env.single_action_space.high)
        observation, reward, terminated, *_ = env.step(np.tile(action, (env.num_envs, 1)))
        yield observation, reward, terminated
        if terminated.all():
            return


def _check_numbers(family: Family, env: BatchEnv, walk: list) -> None:
    shape = (env.num_envs, env.single_observation_space.shape[0])
    for t, (observation, reward, terminated) in enumerate(walk):
        _require(observation.shape == shape, f"step {t}: got observations {observation.shape}, expected {shape}")
        _require(bool(np.isfinite(observation).all()), f"step {t}: an observation is not finite")
        _require(reward.shape == (env.num_envs,), f"step {t}: got rewards {reward.shape}, expected ({env.num_envs},)")
        _require(terminated.dtype == bool, f"step {t}: terminated is {terminated.dtype}, expected bool")
    names = family.observation_names()
    _require(len(names) in (0, shape[1]),
             f"observation_names: got {len(names)}, expected one for each of {shape[1]} numbers, or none")  # fmt: skip
    _require(len({x.name for x in names}) == len(names), "observation_names: two entries have the same name")


def _check_simulations_are_independent(family: Family, tasks: Any, whole: list, seed: int, steps: int) -> None:
    """Simulation 0 alone does what it did among others."""
    alone = list(_walk(_checked_env(family, 1, steps), tasks[0], seed, steps))
    for t, (mine, ours) in enumerate(zip(alone, whole, strict=False)):
        _require(all(np.array_equal(a[0], b[0]) for a, b in zip(mine, ours, strict=True)),
                 f"step {t}: simulation 0 does something else among others than alone; nothing may be shared between"
                 " simulations")  # fmt: skip


# ---- helpers


def _observations(env: BatchEnv, num_tasks: int, num_episodes: int, rng: np.random.Generator) -> np.ndarray:
    """(M, K, O) of a reset, with noise, so that no two are the same."""
    observation, _ = env.reset(seed=0)
    return (as_numpy(observation) + 0.1 * rng.standard_normal(observation.shape)).reshape(num_tasks, num_episodes, -1)


def _same(a: Any, b: Any) -> bool:
    """Whether two values, nested in tuples, lists and dicts, are equal to the bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return a is b or type(a) is type(b) and (not isinstance(a, int | float | str | bytes) or a == b)
