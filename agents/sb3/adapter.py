"""Algorithms of Stable-Baselines3 and sb3-contrib as inner learners: adapters that learn with SB3's own `train`.

    model = build("PPO", {"learning_rate": 3e-4, "n_epochs": 4}, observation_space, action_space, seed)
    adapter = SB3Adapter(model, weights(model), Normalizer.identity(17), np.random.SeedSequence(0))
    state = adapter.start(num_tasks=40)
    state = adapter.adapt(state, rollout)                # 40 updates, each from the episodes of its own task

A step of adaptation is what one round of SB3's `learn` does after its episodes: they go into SB3's buffers and SB3's
`train` runs on them. PPO and its relatives learn from the newest episodes; SAC and its relatives replay all those
of the task, with as many gradient steps as `train_freq` and `gradient_steps` give for the newest. Experience is
collected for all tasks at once, and trained on for one after the other, or in processes that the caller brings: with
the same result, because each task has a seed of its own and PyTorch one thread.

The state is a value: weights with a leading task axis, so that an outer loop can average them, and what the optimizers
keep. SB3 draws from global random generators; they are seeded for its calls, and put back as they were.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import TrainFrequencyUnit

from ..adapter import Adapter, Decision
from ..global_random import global_generators
from ..inner_loop import Initial, per_task
from ..nn.params import Params
from ..normalizer import Normalizer
from ..policy import standard_normal
from ..rollout import Rollout
from . import experience
from .model import TrainingProgress, fresh, load, policy_part, progress, weights


class _Statistics(torch.nn.Module):
    """The Gaussian that an SB3 policy draws from, before it is squashed; (K, O) -> mean and deviation (K, A)."""

    def __init__(self, policy: Any):  # a BasePolicy; what there is beyond that depends on its kind
        super().__init__()
        self.policy = policy
        actor = getattr(policy, "actor", None)
        self.squashes = hasattr(actor, "get_action_dist_params")

    def forward(self, x: torch.Tensor, memory: Any = None):
        if memory is not None:
            distribution, memory = self.policy.get_distribution(x, memory, torch.zeros(len(x), device=x.device))
            return distribution.distribution.mean, distribution.distribution.stddev, memory
        if isinstance(self.policy, ActorCriticPolicy):
            distribution = cast(torch.distributions.Normal, self.policy.get_distribution(x).distribution)
            return distribution.mean, distribution.stddev
        if self.squashes:
            mean, log_std, _ = self.policy.actor.get_action_dist_params(x)
            return mean, log_std.exp()
        mean = self.policy.actor(x)
        return mean, torch.zeros_like(mean)


class SB3State(NamedTuple):
    """What an SB3Adapter knows of M tasks.

    Attributes:
        params: weights, each with a leading task axis M.
        learning: of each task.
        rollouts: those that may be learned from again.
        steps: of adaptation so far.
        memory: of a recurrent policy in each task, within an episode; None at its start.
    """

    params: Params
    learning: tuple[TrainingProgress, ...]
    rollouts: tuple[Rollout, ...] = ()
    steps: int = 0
    memory: tuple[Any, ...] | None = None


class Lesson(NamedTuple):
    """What one step of adaptation in one task starts from.

    Attributes:
        params: the weights.
        learning: what the optimizers keep.
        rollouts: to learn from, each of this one task.
        seed: of what the training draws.
    """

    params: Params
    learning: TrainingProgress
    rollouts: tuple[Rollout, ...]
    seed: np.random.SeedSequence


Learned = tuple[Params, TrainingProgress]


def learn(model: BaseAlgorithm, lesson: Lesson) -> Learned:
    """SB3's training in one task; weights and progress after it. FloatingPointError if the weights are not finite."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same bits everywhere, and for small networks the fastest
    try:
        load(model, lesson.params, lesson.learning)
        with global_generators(lesson.seed):
            _train(model, lesson.rollouts)
        model.policy.set_training_mode(False)
        return _finite(weights(model)), progress(model)
    finally:
        torch.set_num_threads(threads)


class SB3Adapter(Adapter):
    """See the module.

    Args:
        model: an algorithm without an environment, see :func:`metarl.agents.sb3.model.build`; a tool, whose own weights
            mean nothing between calls.
        params: the weights to start from.
        normalizer: of the observations.
        seed: of what the training draws; it is the same in each repetition.
        action_noise: deviation of Gaussian noise on actions scaled to [-1, 1], for TD3 and DDPG.
        spread: from the lessons of all tasks to what is learned in them, elsewhere; None: here, by `learn`.
    """

    def __init__(
        self,
        model: BaseAlgorithm,
        params: Initial,
        normalizer: Normalizer,
        seed: np.random.SeedSequence,
        action_noise: float = 0.0,
        spread: Callable[[list[Lesson]], list[Learned]] | None = None,
    ):
        self.model = model
        self.params = params
        self.normalizer = normalizer
        self.seed = seed
        self.action_noise = action_noise
        self.spread = spread
        self._replays = isinstance(model, OffPolicyAlgorithm)
        self._recurrent = hasattr(model.policy, "lstm_actor")
        self._statistics = _Statistics(model.policy)

    def start(self, num_tasks: int) -> SB3State:
        return SB3State(per_task(self.params, num_tasks), (fresh(self.model),) * num_tasks)

    # ---- acting

    @torch.no_grad()
    def act(self, state: SB3State, observations: np.ndarray, rng: np.random.Generator | None) -> Decision:
        seen = self.normalize(observations)
        inputs = torch.from_numpy(seen).to(self.model.device)
        (mean, std), state = self._recall(state, inputs) if self._recurrent else (self._forward(state, inputs), state)
        noise = torch.zeros_like(mean) if rng is None else standard_normal(mean, rng)
        actions = mean + std * noise
        if not self._replays:
            return Decision(actions.cpu().numpy(), seen, state)
        if self._statistics.squashes:  # off-policy actors live in [-1, 1]
            actions = torch.tanh(actions)
            noise = standard_normal(mean, rng) if rng is not None and self.action_noise else noise  # beside its own
        scaled = (actions + self.action_noise * noise).clamp(-1, 1)
        return Decision(self.model.policy.unscale_action(scaled.cpu().numpy()), seen, state)

    def normalize(self, observations: np.ndarray) -> np.ndarray:
        return self.normalizer(observations)

    def _forward(self, state: SB3State, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (M, K, A) in all tasks at once."""
        params = policy_part(state.params)

        def one_task(p: Params, x: torch.Tensor):
            return torch.func.functional_call(self._statistics, p, (x,))

        return torch.func.vmap(one_task)(params, inputs)

    def _recall(self, state: SB3State, inputs: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], SB3State]:
        """The same with an LSTM, which PyTorch cannot batch over weights: task by task; and what it remembers."""
        params, (num_tasks, num_episodes) = policy_part(state.params), inputs.shape[:2]
        empty = experience.empty_memory(cast(torch.nn.LSTM, self.model.policy.lstm_actor), num_episodes).pi
        before = state.memory or (empty,) * num_tasks
        found = [
            torch.func.functional_call(self._statistics, {name: p[m] for name, p in params.items()}, (x, before[m]))
            for m, x in enumerate(inputs)
        ]
        mean, std, memory = zip(*found)
        return (torch.stack(mean), torch.stack(std)), state._replace(memory=memory)

    # ---- learning

    def adapt(self, state: SB3State, rollout: Rollout) -> SB3State:
        rollouts = (*state.rollouts, rollout) if self._replays else (rollout,)
        lessons = [
            Lesson(
                {name: value[m] for name, value in state.params.items()},
                before,
                tuple(_of_task(each, m) for each in rollouts),
                np.random.SeedSequence(self.seed.entropy, spawn_key=(*self.seed.spawn_key, state.steps, m)),
            )
            for m, before in enumerate(state.learning)
        ]
        learned = self.spread(lessons) if self.spread else [learn(self.model, lesson) for lesson in lessons]
        params, learning = zip(*learned)
        stacked = {name: torch.stack([own[name] for own in params]) for name in params[0]}
        return SB3State(stacked, tuple(learning), rollouts if self._replays else (), state.steps + 1)

    def next_episode(self, state: SB3State) -> SB3State:
        return state._replace(memory=None)  # SB3's recurrent policies forget at the end of an episode


def _of_task(rollout: Rollout, task: int) -> Rollout:
    """A rollout of one of its tasks: views, and nothing that only acting needs."""
    one = slice(task, task + 1)
    arrays = {name: value for name, value in vars(rollout).items() if isinstance(value, np.ndarray)}
    moments = arrays.pop("raw_moments")
    return replace(rollout, **{name: value[one] for name, value in arrays.items()}, raw_moments=moments, state=None)


def _train(model: BaseAlgorithm, rollouts: tuple[Rollout, ...]) -> None:
    """SB3's training on the experience of one task; none if there is too little."""
    if not isinstance(model, OffPolicyAlgorithm):
        _train_on_newest(model, rollouts[-1])
        return
    stored = experience.off_policy(model, rollouts, 0)
    gradient_steps = _gradient_steps(model, rollouts[-1].valid[0])
    if stored > model.learning_starts and gradient_steps:
        model.train(gradient_steps=gradient_steps, batch_size=model.batch_size)


def _train_on_newest(model: Any, rollout: Rollout) -> None:
    length = experience.on_policy(model, rollout, 0)
    if not hasattr(model.policy, "lstm_actor"):
        if length:
            model.train()
        return
    # RecurrentPPO divides by the deviation of a minibatch, which is NaN for a last one of a single step
    batch_size = model.batch_size
    while length > 1 and length % model.batch_size == 1:
        model.batch_size += 1
    if length > 1:
        model.train()
    model.batch_size = batch_size


def _gradient_steps(model: Any, valid: np.ndarray) -> int:
    """What SB3's `learn` would have taken while K simulations took the (T, K) valid steps."""
    if model.gradient_steps < 0:
        return int(valid.sum())
    by_episode = model.train_freq.unit == TrainFrequencyUnit.EPISODE
    rounds = (valid.any(axis=0) if by_episode else valid.any(axis=1)).sum()
    return model.gradient_steps * int(rounds // model.train_freq.frequency)


def _finite(params: Params) -> Params:
    for name, value in params.items():
        if not torch.isfinite(value).all():
            raise FloatingPointError(f"{name} is not finite after training in a task; lower learning_rate")
    return params
