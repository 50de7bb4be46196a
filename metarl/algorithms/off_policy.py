"""What off-policy learners share: collecting into a replay store, steps of Adam, target critics, resuming.

A learner brings its networks (`make`), what acts (`adapter`), what an update is made of (`draw`) and its loss (`loss`);
see `metarl.algorithms.recurrent_sac` and `metarl.algorithms.pearl`.
"""

import time
from abc import ABC, abstractmethod
from typing import Any, cast

import numpy as np
import torch

from metarl.agents import Adapter, Normalizer, Params, Rollout
from metarl.agents.critics import Critics
from metarl.agents.nn.params import part
from metarl.agents.normalizer import moments_of
from metarl.agents.replay import Replay, Segment
from metarl.agents.two_hot import TwoHot
from metarl.algorithms.base import Spec
from metarl.algorithms.episode import Step
from metarl.algorithms.off_policy_config import OffPolicyConfig
from metarl.algorithms.sampling import collect_trials
from metarl.algorithms.sequence_gradient import mean_gradient
from metarl.algorithms.soft_actor_critic import classification_loss, critic_loss
from metarl.algorithms.state import check_state, load_normalizers, load_trained, normalizers_state, trained_state
from metarl.config import Config
from metarl.envs import BatchEnv
from metarl.util.errors import UserError
from metarl.util.rng import stream
from metarl.util.text import first_line
from metarl.util.torch_runtime import Work, side_by_side


class OffPolicyLearner(ABC):
    """Soft actor-critic over a store of trials.

    Args:
        config: of the run. In an iteration there are `meta_batch` tasks with `episodes` trials each.
        spec: of its environment.

    Attributes:
        params: weights, whose names begin with "actor.", "critic." or as `make` has them, and "log_temperature".
        target: the target critics' weights, without "critic.".
        experience: the replay store; the run keeps it beside its checkpoints.
        critics: their networks.
        footprint: numbers that a step of a row keeps for the gradient, roughly.
    """

    critics: Critics
    footprint: int

    def __init__(self, config: Config, spec: Spec):
        self.config, self.spec = config, spec
        settings = self.settings
        self.bound = float(spec.action_space.high[0])
        self.params = self.make(np.random.default_rng(stream(config.seed, "init")))
        self.params["log_temperature"] = torch.tensor(settings.initial_temperature).log()
        self.target = {name: value.clone() for name, value in part(self.params, "critic.").items()}
        for value in self.params.values():
            value.requires_grad_(True)
        self.optimizer = torch.optim.Adam(self.params.values(), lr=settings.lr, fused=True)
        self.normalizer = Normalizer.identity(spec.observation_dim, config.policy.normalize_observations)
        self.reward_normalizer = Normalizer.identity(1)
        trials = config.meta_batch * config.episodes
        try:
            self.experience = Replay(
                max(1, settings.replay_steps // (trials * settings.trial_episodes * spec.horizon)),
                trials, settings.trial_episodes, spec.horizon, spec.observation_dim, spec.action_dim,
            )  # fmt: skip
        except MemoryError as error:
            got = f"algorithm.replay_steps: got {settings.replay_steps}, expected fewer"
            raise UserError(f"{got}: {first_line(error)}") from error

    @property
    def settings(self) -> OffPolicyConfig:
        return cast(OffPolicyConfig, self.config.algorithm)

    @abstractmethod
    def make(self, rng: np.random.Generator) -> Params:
        """The networks, and their weights at the start."""

    @abstractmethod
    def adapter(self) -> Adapter:
        """Acts with the present weights."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Any:
        """What an update learns from (`metarl.algorithms.sequence_gradient.Sequences`)."""

    @abstractmethod
    def loss(self, params: Params, batch: Any, chosen: list[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Sum over steps of all losses, and of what is measured; the minimum is over the critics ``chosen``."""

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
        """So many steps of Adam, each on a batch drawn anew; returns means over them."""
        rng, totals = np.random.default_rng(stream(self.config.seed, "updates", iteration)), []
        with side_by_side() as work:
            for _ in range(count):
                totals.append(self.step(self.draw(rng), self.drawn_critics(rng), work))
        metrics = {name: float(np.mean([row[name] for row in totals])) for name in totals[0]}
        return metrics | {"updates": count, "temperature": float(self.params["log_temperature"].detach().exp())}

    def drawn_critics(self, rng: np.random.Generator) -> list[int]:
        """The critics whose minimum counts in an update."""
        settings = self.settings
        return sorted(rng.choice(settings.critics, settings.critics_in_minimum, replace=False).tolist())

    def step(self, batch: Any, chosen: list[int], work: Work) -> dict[str, float]:
        """One step of Adam, after which the target critics follow; returns what was measured on the way."""

        def loss(params: Params, rows: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            return self.loss(params, rows, chosen)

        gradients, measured = mean_gradient(loss, self.params, batch, self.footprint, work)
        for name, value in self.params.items():
            value.grad = gradients[name]
        for whose in sorted({name.split(".")[0] for name in self.params} - {"log_temperature"}):
            torch.nn.utils.clip_grad_norm_(part(self.params, f"{whose}.").values(), self.settings.max_grad_norm)
        self.optimizer.step()
        with torch.no_grad():
            for name, value in self.target.items():
                value.lerp_(self.params[f"critic.{name}"], self.settings.target_rate)
        return measured

    # ---- units

    @property
    def coding(self) -> TwoHot | None:
        """Of the critics' values."""
        settings = self.settings
        if not settings.critic_bins:
            return None
        return TwoHot(settings.critic_bins, settings.critic_limit, settings.critic_spacing == "linear")

    def critic_loss(self, outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """J_Q of what the critics put out, their mean over the ensemble, summed over steps."""
        if self.critics.coding:
            loss = classification_loss(outputs, self.critics.coding, targets, weights)
        else:
            loss = critic_loss(outputs.squeeze(-1), targets, weights)
        return loss / self.critics.count

    def rewards(self, rewards: np.ndarray) -> torch.Tensor:
        """Rewards as critics are to learn them: in units of their running deviation."""
        return torch.from_numpy(rewards / np.float32(self.reward_normalizer.std[0]))

    def seen_rewards(self, rewards: np.ndarray) -> np.ndarray:
        """(...) rewards as networks are given them."""
        return self.reward_normalizer(rewards[..., None])[..., 0]

    def squashed(self, actions: np.ndarray) -> torch.Tensor:
        """Actions from -1 to 1."""
        return torch.from_numpy(actions / np.float32(self.bound)).clamp(-1, 1)

    @property
    def target_entropy(self) -> float:
        return self.settings.target_entropy * self.spec.action_dim

    # ---- resuming

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything a bit-identical resume needs but the store, as flat tensors."""
        return {
            **trained_state(self.params, self.optimizer),
            **{f"target.{name}": value.clone() for name, value in self.target.items()},
            **normalizers_state(self, _NORMALIZERS),
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore :meth:`state_dict`; ValueError names a tensor that is missing, unexpected or of another shape."""
        check_state(self.state_dict(), state)
        load_trained(self.params, self.optimizer, state)
        for name, value in self.target.items():
            value.copy_(state[f"target.{name}"])
        load_normalizers(self, _NORMALIZERS, state)


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
