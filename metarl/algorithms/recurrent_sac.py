"""Recurrent SAC (Ni et al. 2022, arXiv:2110.05038): soft actor-critic over trials, with a memory of its own for the
actor and one for the critics.

Whole trials are kept in a replay store, so that each step is learned from many times. As in RL², the memory is kept
over the episodes of a trial, and is all that the policy knows of its task. With histories h_t of a trial, run through
the actor's memory and through the critics':

    y_t = r_t + gamma f_t (min_i Q'_i(h_{t+1}, a') - alpha log pi(a' | h_{t+1})),   a' ~ pi(. | h_{t+1})
    J_Q = sum_i (Q_i(h_t, a_t) - y_t)^2 / 2
    J_pi = alpha log pi(a | h_t) - min_i Q_i(h_t, a),   a ~ pi(. | h_t)
    J_alpha = -log alpha (log pi(a | h_t) + H)

f_t is zero after a terminal state alone; at a time limit the value of what was seen last follows. Q' are the target
critics, which follow the critics slowly. Rewards are in units of their running deviation.

An update draws windows of W steps, each with up to B steps of its trial before it, along which the memories are run
from nothing remembered (`metarl.agents.replay`). A trial has hundreds of steps: whole ones would be few to an update,
and alike. What is longer ago than B steps is not in the memory of an update, though it is when acting; where a task
must be remembered for longer, B may be as long as the trial.

Deviations from the paper: windows in place of whole trials; the memories and perceptrons are given observation, action
and reward as they are, without an embedding of each; all three losses are of one pass, before the step, and the
actor's gradient does not reach the critics' memory; an ensemble of N critics, of which M drawn ones count (REDQ, Chen
et al. 2021, has the mean of all N in J_pi).
"""

import time
from typing import NamedTuple, cast

import numpy as np
import torch

from metarl.agents import Normalizer, Params, RecurrentAdapter, Rollout
from metarl.agents.critics import Critics
from metarl.agents.nn.params import part
from metarl.agents.normalizer import moments_of
from metarl.agents.replay import Replay, Rows, Segment
from metarl.agents.squashed_policy import SquashedPolicy, squash
from metarl.algorithms.base import Spec
from metarl.algorithms.episode import Step
from metarl.algorithms.recurrent_sac_config import RecurrentSACConfig
from metarl.algorithms.sampling import collect_trials
from metarl.algorithms.sequence_gradient import mean_gradient
from metarl.algorithms.soft_actor_critic import actor_loss, critic_loss, critic_targets, temperature_loss
from metarl.algorithms.state import adam_state, check_state, load_adam_state, normalizer_state, restored
from metarl.config import Config
from metarl.envs import BatchEnv
from metarl.util.rng import stream
from metarl.util.torch_runtime import Work, side_by_side


class Batch(NamedTuple):
    """R rows of an update, see `metarl.agents.replay.Rows`; all are float32 but for `first`.

    Attributes:
        inputs: (J, R, X), what the policy is given.
        first: (1, R) int64, the place of the window's first step.
        actions: (W, R, A), squashed: from -1 to 1.
        rewards, follows, weights: (W, R).
        noise: (W + 1, R, A) standard normal, of the policy's actions at the window's steps and after them.
    """

    inputs: torch.Tensor
    first: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    follows: torch.Tensor
    weights: torch.Tensor
    noise: torch.Tensor

    def rows(self, index: torch.Tensor | slice) -> "Batch":
        return Batch(*(x[:, index] for x in self))

    def muted(self) -> "Batch":
        return self._replace(weights=torch.zeros_like(self.weights))


class RecurrentSAC:
    """See the module; settings are :class:`metarl.algorithms.recurrent_sac_config.RecurrentSACConfig`.

    Args:
        config: of the run. In an iteration there are `meta_batch` tasks with `episodes` trials each.
        spec: of its environment.

    Attributes:
        experience: the replay store; the run keeps it beside its checkpoints.
    """

    def __init__(self, config: Config, spec: Spec):
        self.config, self.spec = config, spec
        settings = self.settings
        self.bound = float(spec.action_space.high[0])
        memory = {"cell": settings.memory, "size": settings.memory_size, "memory_options": settings.memory_options}
        self.policy = SquashedPolicy(
            spec.observation_dim, spec.action_dim, hidden=config.policy.hidden, bound=self.bound,
            activation=config.policy.activation, init_std=config.policy.init_std, **memory,
        )  # fmt: skip
        self.critics = Critics(
            self.policy.input_dim, spec.action_dim, settings.critics, hidden=settings.critic_hidden,
            activation=config.policy.activation, observed=spec.observation_dim, **memory,
        )  # fmt: skip
        rng = np.random.default_rng(stream(config.seed, "init"))
        self.params = {f"actor.{name}": value for name, value in self.policy.init(rng).items()}
        self.params |= {f"critic.{name}": value for name, value in self.critics.init(rng).items()}
        self.params["log_temperature"] = torch.tensor(settings.initial_temperature).log()
        self.target = {name: value.clone() for name, value in part(self.params, "critic.").items()}
        for value in self.params.values():
            value.requires_grad_(True)
        self.optimizer = torch.optim.Adam(self.params.values(), lr=settings.lr, fused=True)
        self.normalizer = Normalizer.identity(spec.observation_dim, config.policy.normalize_observations)
        self.reward_normalizer = Normalizer.identity(1)
        trials = config.meta_batch * config.episodes
        self.lived = trials * settings.trial_episodes * spec.horizon  # steps of an iteration, at most
        self.experience = Replay(
            max(1, settings.replay_steps // self.lived), trials, settings.trial_episodes, spec.horizon,
            spec.observation_dim, spec.action_dim,
        )  # fmt: skip

    @property
    def settings(self) -> RecurrentSACConfig:
        return cast(RecurrentSACConfig, self.config.algorithm)

    def adapter(self) -> RecurrentAdapter:
        """Acts with the present weights."""
        params = {name: value.detach().clone() for name, value in part(self.params, "actor.").items()}
        return RecurrentAdapter(self.policy, params, self.normalizer, self.reward_normalizer)

    # ---- one iteration

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """Collect trials, and learn from all that are kept; returns metrics."""
        start = time.perf_counter()
        metrics = self.collect(env, iteration)
        metrics["seconds_sampling"] = time.perf_counter() - start
        start = time.perf_counter()
        metrics |= self.update(iteration, max(1, round(self.settings.update_ratio * metrics["env_steps"])))
        metrics["seconds_update"] = time.perf_counter() - start
        return metrics

    def collect(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """A trial in every simulation goes into the store; returns metrics."""
        episodes = self.settings.trial_episodes
        seen = np.zeros((env.num_envs, episodes, env.horizon + 1, self.spec.observation_dim), np.float32)

        def keep(step: Step, e: int) -> None:
            seen[:, e, step.number] = step.observations.reshape(len(seen), -1)
            running = step.running.reshape(-1)
            seen[running, e, step.number + 1] = step.following.reshape(len(seen), -1)[running]

        watching = [lambda step, e=e: keep(step, e) for e in range(episodes)]
        rollouts, metrics = collect_trials(env, self.adapter(), self.config, episodes, iteration, watching)
        self.experience.add(iteration, segment_of(rollouts, seen))
        for rollout in rollouts:
            self.normalizer = self.normalizer.update(rollout.raw_moments)
            self.reward_normalizer = self.reward_normalizer.update(moments_of(rollout.rewards[rollout.valid][:, None]))
        return metrics

    def update(self, iteration: int, count: int) -> dict[str, float]:
        """So many steps of Adam, each on rows drawn anew; returns means over them."""
        rng, totals = np.random.default_rng(stream(self.config.seed, "updates", iteration)), []
        with side_by_side() as work:
            for _ in range(count):
                totals.append(self.step(self.draw(rng), self.drawn_critics(rng), work))
        metrics = {name: float(np.mean([row[name] for row in totals])) for name in totals[0]}
        return metrics | {"updates": count, "temperature": float(self.params["log_temperature"].detach().exp())}

    def draw(self, rng: np.random.Generator) -> Batch:
        """Rows of the store, as the networks are given them."""
        settings, horizon = self.settings, self.spec.horizon
        rows = self.experience.sample(
            rng,
            settings.batch_rows,
            min(settings.window or horizon, horizon),
            settings.burn_in,
            across_episodes=settings.across_episodes,
            bootstrap_at_horizon=self.config.bootstrap_at_horizon,
        )
        noise = rng.standard_normal((len(rows.actions) + 1, *rows.actions.shape[1:]), np.float32)
        return Batch(
            inputs=self.inputs(rows),
            first=torch.from_numpy(rows.first)[None],
            actions=torch.from_numpy(rows.actions / self.bound).clamp(-1, 1),
            rewards=torch.from_numpy(rows.rewards / np.float32(self.reward_normalizer.std[0])),
            follows=torch.from_numpy(rows.follows),
            weights=torch.from_numpy(rows.valid),
            noise=torch.from_numpy(noise),
        )

    def inputs(self, rows: Rows) -> torch.Tensor:
        """(J, R, X), as the adapter would make them of the same steps."""
        parts = self.normalizer(rows.observations), rows.last_actions, self._units(rows.last_rewards), rows.starts
        return self.policy.inputs(*(torch.from_numpy(x) for x in parts))

    def _units(self, rewards: np.ndarray) -> np.ndarray:
        return self.reward_normalizer(rewards[..., None])[..., 0]

    def drawn_critics(self, rng: np.random.Generator) -> list[int]:
        """The critics whose minimum counts in an update."""
        settings = self.settings
        return sorted(rng.choice(settings.critics, settings.critics_in_minimum, replace=False).tolist())

    def step(self, batch: Batch, chosen: list[int], work: Work) -> dict[str, float]:
        """One step of Adam, after which the target critics follow; returns what was measured on the way."""
        footprint = 4 * self.policy.memory.footprint

        def loss(params: Params, rows: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            return self.loss(params, rows, chosen)

        gradients, measured = mean_gradient(loss, self.params, batch, footprint, work)
        for name, value in self.params.items():
            value.grad = gradients[name]
        for whose in ("actor.", "critic."):
            torch.nn.utils.clip_grad_norm_(part(self.params, whose).values(), self.settings.max_grad_norm)
        self.optimizer.step()
        with torch.no_grad():
            for name, value in self.target.items():
                value.lerp_(self.params[f"critic.{name}"], self.settings.target_rate)
        return measured

    def loss(
        self, params: Params, batch: Batch, chosen: list[int]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """J_Q + J_pi + J_alpha, summed over the steps of the windows; no weight has a part in two of them."""
        (width, count), weights = batch.weights.shape, batch.weights.flatten()
        at = ((batch.first + torch.arange(width + 1)[:, None]) * count + torch.arange(count)).flatten()
        at = at.clamp(max=batch.inputs.shape[0] * count - 1)  # behind a row's end there is nothing that counts

        def of_windows(x: torch.Tensor) -> torch.Tensor:  # (J, R, ...) -> ((W + 1) * R, ...)
            return x.flatten(0, 1).index_select(0, at)

        xs, own = of_windows(batch.inputs), slice(0, width * count)
        after = slice(count, None)
        actor, critic = part(params, "actor."), part(params, "critic.")
        temperature = params["log_temperature"].detach().exp()

        state = self.policy.memory.start(count, batch.inputs.dtype)
        ys = of_windows(self.policy.recall(actor, state, batch.inputs)[1])
        actions, log_probs = squash(*self.policy.act(actor, ys, xs), batch.noise.flatten(0, 1))

        with torch.no_grad():
            ys = of_windows(self.critics.recall(self.target, batch.inputs))[after]
            seen = self.critics.see(self.target, ys, xs[after])
            following = self.critics.values(self.target, seen, actions[after])
            targets = critic_targets(
                batch.rewards.flatten(), batch.follows.flatten(), following[chosen], log_probs[after], temperature,
                self.config.discount,
            )  # fmt: skip

        ys = of_windows(self.critics.recall(critic, batch.inputs))[own]
        seen = self.critics.see(critic, ys, xs[own])
        values = self.critics.values(critic, seen, batch.actions.flatten(0, 1))
        fixed = {name: value.detach() for name, value in critic.items()}
        chosen_values = self.critics.values(fixed, seen.detach(), actions[own])[chosen]

        losses = {
            "critic_loss": critic_loss(values, targets, weights) / self.critics.count,
            "actor_loss": actor_loss(chosen_values, log_probs[own], temperature, weights),
            "temperature_loss": temperature_loss(
                params["log_temperature"], log_probs[own], self.settings.target_entropy * self.spec.action_dim, weights
            ),
        }
        with torch.no_grad():
            measured = {"value": (weights * values.mean(0)).sum(), "entropy": -(weights * log_probs[own]).sum()}
        return torch.stack([*losses.values()]).sum(), {"critic_loss": losses["critic_loss"]} | measured

    # ---- resuming

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything a bit-identical resume needs but the store, as flat tensors."""
        return {
            **{f"params.{name}": value.detach().clone() for name, value in self.params.items()},
            **{f"target.{name}": value.clone() for name, value in self.target.items()},
            **adam_state(self.optimizer, self.params),
            **{k: v for name in _NORMALIZERS for k, v in normalizer_state(name, getattr(self, name)).items()},
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore :meth:`state_dict`; ValueError names a tensor that is missing, unexpected or of another shape."""
        check_state(self.state_dict(), state)
        with torch.no_grad():
            for name, value in self.params.items():
                value.copy_(state[f"params.{name}"])
            for name, value in self.target.items():
                value.copy_(state[f"target.{name}"])
        load_adam_state(self.optimizer, self.params, state)
        for name in _NORMALIZERS:
            setattr(self, name, restored(name, getattr(self, name), state))


_NORMALIZERS = ("normalizer", "reward_normalizer")


def segment_of(rollouts: list[Rollout], seen: np.ndarray) -> Segment:
    """What the store keeps of the episodes of N trials, with (N, E, T + 1, O) raw observations."""

    def by_trial(x: np.ndarray) -> np.ndarray:  # (M, T, K, ...) -> (N, T, ...)
        x = np.swapaxes(x, 1, 2)
        return x.reshape(-1, *x.shape[2:])

    def frames(x: np.ndarray) -> np.ndarray:  # (M, T, K, ...) -> (N, T + 1, ...), zero behind the last
        x = by_trial(x).astype(np.float32)
        return np.concatenate([x, np.zeros_like(x[:, :1])], axis=1)

    lived = np.logical_and.reduce([~rollout.diverged for rollout in rollouts]).reshape(-1, 1)
    lengths = np.stack([by_trial(rollout.valid).sum(1) for rollout in rollouts], axis=1)
    terminated = np.stack([by_trial(rollout.terminated & rollout.valid).any(1) for rollout in rollouts], axis=1)
    return Segment(
        observations=seen,
        actions=np.stack([frames(rollout.actions) for rollout in rollouts], axis=1),
        rewards=np.stack([frames(rollout.rewards) for rollout in rollouts], axis=1),
        lengths=np.where(lived, lengths, 0).astype(np.int32),
        terminated=terminated,
    )
