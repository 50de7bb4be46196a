"""RL² (Duan et al. 2016, arXiv:1611.02779): a policy with a memory, trained over trials of several episodes of a task.

The memory is kept from one episode of a trial to the next and cleared between trials; what it holds is all that the
policy knows of its task, so to collect reward over the whole trial it must find out what the task is, and remember.
The outer loop is PPO (Schulman et al. 2017) over whole trials:

    J(theta) = mean over steps of
        min(r A, clip(r, 1 - eps, 1 + eps) A) - c (V - R)^2 / 2 + beta H[pi] - d |p - q|^2 / 2

with r the ratio of the action's likelihood to the one at collection and A the generalized advantage within the trial
(`metarl.algorithms.trials`), and p, where it is wanted, what the memory says of the hidden task or of the next
observation q, by a perceptron or, if it fits a model (`predict: fit`), by that.
Gradients run back through the memory to the beginning of the trial, or of a window of it.

Deviations from the paper: PPO for TRPO (as ProMP's and garage's RL²), a value learned by the same memory, and values in
units of their own running scale, kept when that scale moves (PopArt, van Hasselt et al. 2016), if wanted of each
category of tasks by itself (`normalize_by`; Hessel et al. 2019, arXiv:1809.04474).
"""

import functools
import operator
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from metarl.agents import Adapter, Normalizer, Params, RecurrentAdapter, RecurrentPolicy, Rollout
from metarl.agents.memory.base import State
from metarl.agents.nn.arrays import given_as, tensor
from metarl.agents.normalizer import moments_of
from metarl.algorithms.base import Spec
from metarl.algorithms.rl2_config import RL2Config
from metarl.algorithms.sampling import collect_trials
from metarl.algorithms.sequence_gradient import CHUNK_NUMBERS, S, mean_gradient, muted, rows
from metarl.algorithms.state import check_state, load_trained, normalizer_state, restored, trained_state
from metarl.algorithms.surrogate import clipped_surrogate, likelihood_ratio
from metarl.algorithms.trials import Trials, Windows, category, dealt, pack, trial_advantages
from metarl.algorithms.trials_config import PPOTrialsConfig
from metarl.config import Config
from metarl.envs import BatchEnv
from metarl.envs.oracle import told_names
from metarl.util.arrays import Array, constant, index, namespace
from metarl.util.ranks import current
from metarl.util.rng import stream
from metarl.util.torch_runtime import ONE_BY_ONE, Work, side_by_side


class Batch(NamedTuple):
    """Windows of W steps as R sequences of their own, each with B steps of burn-in before it. Steps come first.

    Window i of trial n is row ``i * N + n``. The B steps only warm the memory up; the W steps are learned from.

    Attributes:
        memory: (R, ...) before the burn-in, as the policy that collected the trials had it.
        inputs: (B + W, R, X).
        resets: (B + W, R) bool, a trial begins at this step; on the processor, as everywhere.
        actions: (W, R, A).
        log_probs, advantages, targets, weights: (W, R); weights are zero at padding and one elsewhere.
        categories: (1, R), which of the values is that of the row's task.
        hidden: (W, R, P) what is to be predicted, and whether it is there, (W, R); P may be zero.
    """

    memory: State
    inputs: torch.Tensor
    resets: torch.Tensor
    actions: torch.Tensor
    log_probs: torch.Tensor
    advantages: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    categories: torch.Tensor
    hidden: torch.Tensor
    has_hidden: torch.Tensor


class RL2:
    """See the module; settings are :class:`metarl.algorithms.rl2_config.RL2Config`.

    Args:
        config: of the run. In an iteration there are `meta_batch` tasks with `episodes` trials each.
        spec: of its environment.
    """

    def __init__(self, config: Config, spec: Spec):
        self.config, self.spec = config, spec
        self.iterations = config.iterations  # over which the step size falls
        settings = self.settings
        self.category = category(settings.normalize_by, spec.task_space, config.revision)
        self.policy = self.make_policy()
        params = self.policy.init(np.random.default_rng(stream(config.seed, "init")))
        self.params = {name: value.to(spec.device).requires_grad_(True) for name, value in params.items()}
        self.optimizer = torch.optim.Adam(self.params.values(), lr=settings.lr, fused=True)
        self.fits = isinstance(settings, RL2Config) and settings.predict == "fit"
        self.entropy = settings.entropy_coef  # its weight in this iteration
        self.normalizer = Normalizer.identity(self.policy.observation_dim, config.policy.normalize_observations)
        self.reward_normalizer = Normalizer.identity(1)
        self.return_normalizers = [Normalizer.identity(1) for _ in range(self.policy.values)]

    @property
    def settings(self) -> PPOTrialsConfig:
        return cast(PPOTrialsConfig, self.config.algorithm)

    def make_policy(self) -> RecurrentPolicy:
        """What is trained."""
        settings, observation_dim = cast(RL2Config, self.settings), self.spec.observation_dim
        task = told_names(self.spec.task_space, self.config.revision)
        return RecurrentPolicy(
            observation_dim,
            self.spec.action_dim,
            settings.memory,
            settings.memory_size,
            **self.perceptrons(),
            memory_options=settings.memory_options,
            hypernetwork=settings.hypernetwork,
            predictions={"task": len(task), "next_observation": observation_dim}.get(settings.predict, 0),
            predict_from_action=settings.predict == "next_observation",
            values=self.values,
        )

    @property
    def values(self) -> int:
        """V: one for each category."""
        return max(1, len(self.category))

    def perceptrons(self) -> dict[str, Any]:
        """What the config says of any policy's perceptrons and of its noise."""
        config = self.config.policy
        return {
            "hidden": config.hidden,
            "activation": config.activation,
            "init_std": config.init_std,
            "min_std": config.min_std,
        }

    def adapter(self) -> RecurrentAdapter:
        """Acts with the present weights."""
        params = {name: value.detach().clone() for name, value in self.params.items()}
        return RecurrentAdapter(self.policy, params, self.normalizer, self.reward_normalizer)

    # ---- one iteration

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """Collect trials and learn from them; returns metrics."""
        start = time.perf_counter()
        trials, bootstrap, metrics = self.collect_trials(env, iteration)
        metrics["seconds_sampling"] = time.perf_counter() - start
        start = time.perf_counter()
        batch = self.prepare(trials, bootstrap)
        metrics |= self.update(batch, iteration)
        metrics["seconds_update"] = time.perf_counter() - start
        return metrics

    def collect_trials(
        self, env: BatchEnv, iteration: int
    ) -> tuple[Trials, Array | None, dict[str, float]]:
        """A trial in every simulation; (N, E) values behind its episodes, if they are wanted; metrics."""
        adapter = self.adapter()
        rollouts, metrics = self.collect_episodes(env, adapter, iteration)
        trials = pack(rollouts, self.policy, self.reward_normalizer, env.tasks, self.config.revision)
        behind = None
        if self.config.bootstrap_at_horizon:
            values = [adapter.values(r.state, r.last_observations) for r in rollouts]
            behind = namespace(values[0]).stack([each.reshape(-1, self.values) for each in values], axis=1)
            behind = self.returns(behind, self.categories(trials))
        self._normalize_with(rollouts)
        return trials, behind, metrics

    def collect_episodes(
        self, env: BatchEnv, adapter: Adapter, iteration: int
    ) -> tuple[list[Rollout], dict[str, float]]:
        """The episodes of a trial in every simulation, in new tasks, in which `adapter` acts; metrics."""
        rollouts, metrics = collect_trials(env, adapter, self.config, self.settings.trial_episodes, iteration)
        metrics["std"] = float(self.params["log_std"].detach().exp().mean())
        return rollouts, metrics

    def _normalize_with(self, rollouts: list[Rollout]) -> None:
        """For the next iteration: this one is all collected."""
        ranks = current()
        for rollout in rollouts:
            for moments in ranks.each(rollout.raw_moments):
                self.normalizer = self.normalizer.update(moments)
            for moments in ranks.each(moments_of(rollout.rewards[rollout.valid][:, None])):
                self.reward_normalizer = self.reward_normalizer.update(moments)

    @torch.no_grad()
    def prepare(self, trials: Trials, bootstrap: Array | None) -> Batch:
        """Values and advantages of the trials, and the trials in windows."""
        config, length, xp = self.config, len(trials.inputs), namespace(trials.valid)
        windows = self.windows(trials)
        inputs, resets = windows.padded(trials.inputs), windows.resets(trials.inputs.shape[1])
        edges, log_probs, values = self.replay(inputs, resets, windows.padded(trials.actions), windows)

        values = values[windows.burn_in : windows.burn_in + length].transpose(0, 1)
        categories = self.categories(trials)
        values = self.returns(given_as(values, trials.valid), categories)
        advantages = trial_advantages(
            trials,
            values,
            config.discount,
            config.gae_lambda,
            across_episodes=self.settings.across_episodes,
            bootstrap=bootstrap,
        )
        targets = values + advantages
        alike = [trials.valid & index(categories == i, trials.valid)[:, None] for i in range(self.values)]
        for i, steps in enumerate(alike):
            for moments in current().each(moments_of(targets[steps][:, None])):
                self._rescale_values(i, moments)
        mean, std = self._units(categories, targets)
        targets = (targets - mean) / std
        advantages = self._normalized(advantages, alike)

        def learned(x: Array) -> torch.Tensor:
            return windows.rows(windows.padded(tensor(xp.astype(x.T, xp.float32))))

        hidden, has_hidden = self._hidden(trials)

        return Batch(
            memory=tuple(torch.cat(parts) for parts in zip(*edges)),
            inputs=windows.rows(inputs, windows.burn_in),
            resets=windows.rows(resets, windows.burn_in),
            actions=windows.rows(windows.padded(trials.actions)),
            log_probs=windows.rows(log_probs),
            advantages=learned(advantages),
            targets=learned(targets),
            weights=learned(trials.valid),
            categories=torch.from_numpy(categories).to(trials.inputs.device).repeat(windows.count)[None],
            hidden=windows.rows(windows.padded(hidden)),
            has_hidden=learned(has_hidden),
        )

    def categories(self, trials: Trials) -> np.ndarray:
        """(N,) the category of each trial's task; 0 if all are one."""
        return trials.tasks[:, self.category].argmax(1) if self.category else np.zeros(len(trials.tasks), int)

    def _normalized(self, advantages: Array, alike: list[Array]) -> Array:
        """Advantages (N, L) with mean zero and deviation one in the steps (N, L) of each category; elsewhere zero.

        Where environments pay unlike rewards, one deviation for all leaves little gradient to those that pay little.
        """
        xp = namespace(advantages)
        normalized = xp.zeros_like(advantages)
        for steps in alike:
            if len(alike) == 1 or current().total(float(steps.sum())):  # else no rank has a trial of this category
                mean, std = current().mean_std(advantages[steps])
                normalized = xp.where(steps, (advantages - mean) / (std + 1e-8), normalized)
        return normalized

    def windows(self, trials: Trials) -> Windows:
        """How the trials are cut for the gradient."""
        length = len(trials.inputs)
        return Windows(length, min(self.settings.window or length, length), min(self.settings.burn_in, length))

    def _hidden(self, trials: Trials) -> tuple[torch.Tensor, Array]:
        """What the memory is asked for at each step, (L, N, P), and where that is known, (N, L) bool."""
        length, count = trials.inputs.shape[:2]
        if self.policy.predictions and not self.policy.predict_from_action:  # the task
            return tensor(trials.tasks, trials.inputs).expand(length, -1, -1), trials.valid
        if self.policy.predictions:  # the next observation
            following = trials.inputs[1:, :, : self.policy.observation_dim]
            return torch.cat([following, torch.zeros_like(following[:1])]), trials.valid & ~trials.ends
        return trials.inputs.new_zeros(length, count, 0), namespace(trials.valid).zeros_like(trials.valid)

    def replay(
        self, inputs: torch.Tensor, resets: torch.Tensor, actions: torch.Tensor, windows: Windows
    ) -> tuple[list[State], torch.Tensor, torch.Tensor]:
        """The policy once more along the trials, by the very code that learns from them.

        So the first likelihood ratios are one to the last bit, whatever the acting code rounds otherwise.

        Returns:
            The memory at the beginning of each window's burn-in; (L, N) log-probabilities and (L, N, V) values of all
            steps.
        """
        memory = self.policy.memory.start_beside(inputs, inputs.shape[1])
        edges, log_probs, all_values = [], [], []
        for first in range(0, len(inputs), windows.steps):
            part = slice(first, first + windows.steps)
            edges.append(memory)
            memory, ys = self.policy.recall(self.params, memory, inputs[part], resets[part])
            mean, std, values = self.policy(self.params, ys, inputs[part])
            log_probs.append(self.policy.distribution(mean, std).log_prob(actions[part]))
            all_values.append(values)
        return edges[: windows.count], torch.cat(log_probs), torch.cat(all_values)

    def update(self, batch: Batch, iteration: int) -> dict[str, float]:
        """Adam steps on minibatches of trials, until the policy has gone too far; returns means over them."""
        settings, totals = self.settings, []
        left = 1 - iteration / self.iterations
        if settings.anneal:
            self.optimizer.param_groups[0]["lr"] = settings.lr * left
        if settings.anneal_entropy:
            self.entropy = settings.entropy_coef * left
        parts = (part for epoch in range(settings.epochs) for part in self.minibatches(batch, iteration, epoch))
        with side_by_side(self.spec.device) as work:
            for part, steps in parts:
                gradients, measured = self.gradient(part, work, steps=steps)
                totals.append(measured)
                if 0 < settings.target_kl < measured["kl"]:
                    break
                for name, value in self.params.items():
                    value.grad = gradients[name]
                torch.nn.utils.clip_grad_norm_(self.params.values(), settings.max_grad_norm)
                self.optimizer.step()
        return {name: float(np.mean([row[name] for row in totals])) for name in totals[0]}

    def minibatches(self, batch: S, iteration: int, epoch: int) -> Iterator[tuple[S, float]]:
        """All trials once: of each minibatch those of this rank, with all windows, and how many steps all of it has."""
        rng = np.random.default_rng(stream(self.config.seed, "minibatches", iteration, epoch))
        config, own = self.config, current().share(self.config.meta_batch)
        every, first = config.meta_batch * config.episodes, own.start * config.episodes
        mine = own.stop * config.episodes - first
        count = batch.weights.shape[1] // mine
        steps = batch.weights.sum(0).view(count, -1, config.episodes).sum(0)  # of each trial
        steps = current().rows(np.array(steps.tolist()), config.meta_batch).reshape(-1)
        for trials in dealt(rng, every, min(self.settings.minibatches, every), config.revision):
            total = float(steps[trials].sum())
            trials = trials[(trials >= first) & (trials < first + mine)] - first
            windows = torch.from_numpy((np.arange(count)[:, None] * mine + trials).reshape(-1))
            # of a minibatch without a trial of this rank, a row that counts for nothing
            yield (rows(batch, windows) if len(trials) else muted(rows(batch, slice(1)))), total

    def gradient(
        self, batch: Batch, work: Work = ONE_BY_ONE, chunk: int = CHUNK_NUMBERS, steps: float | None = None
    ) -> tuple[Params, dict[str, float]]:
        """Gradient of the mean loss over the steps of a minibatch, and what was measured on the way.

        FloatingPointError names the first gradient that is not finite, before it reaches the weights.
        """
        return mean_gradient(self.loss, self.params, batch, self.policy.memory.footprint, work, chunk, steps)

    def loss(self, params: Params, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Negative of J, summed over the steps; sums of the value's loss, the KL and the steps that were clipped."""
        settings, weights = self.settings, batch.weights
        memory, burn_in = batch.memory, len(batch.inputs) - len(weights)
        if burn_in:
            with torch.no_grad():
                memory, _ = self.policy.recall(params, memory, batch.inputs[:burn_in], batch.resets[:burn_in])
        inputs = batch.inputs[burn_in:]
        remembering = params, memory, inputs, batch.resets[burn_in:]
        if self.fits:
            _, ys, errors = self.policy.recall_errors(*remembering)
        else:
            (_, ys), errors = self.policy.recall(*remembering), None
        mean, std, values = self.policy(params, ys, inputs)
        values = values.gather(-1, batch.categories.expand(values.shape[:-1]).unsqueeze(-1)).squeeze(-1)

        change = self.policy.distribution(mean, std).log_prob(batch.actions) - batch.log_probs
        ratio = likelihood_ratio(change)
        surrogate = (weights * clipped_surrogate(ratio, batch.advantages, settings.clip_range)).sum()
        value_loss = 0.5 * (weights * (values - batch.targets) ** 2).sum()
        entropy = weights.sum() * std.log().sum()  # but for a constant
        loss = settings.value_loss_coef * value_loss - surrogate - self.entropy * entropy
        asked = {}
        if self.policy.predictions:
            error = self.policy.predict(params, ys, batch.actions) - batch.hidden
            asked["prediction_loss"] = 0.5 * (batch.has_hidden * error.square().sum(-1)).sum()
        elif errors is not None:
            asked["prediction_loss"] = 0.5 * (weights * errors).sum()
        if asked:
            loss = loss + cast(RL2Config, settings).predict_weight * asked["prediction_loss"]
        with torch.no_grad():
            measured = {
                "value_loss": value_loss,
                "kl": (weights * (ratio - 1 - change)).sum(),  # never negative, unlike the mean of -change
                "clipped": (weights * (ratio - 1).abs().gt(settings.clip_range)).sum(),
            }
        return loss, measured | asked

    # ---- units of the value

    def returns(self, values: Array, categories: np.ndarray) -> Array:
        """Of values (N, ..., V), as the policy gives them, that of each trial's category (N,), in units of reward."""
        xp, trials = namespace(values), np.arange(len(categories))
        values = xp.astype(values[index(trials, values), ..., index(categories, values)], xp.float64)
        mean, std = self._units(categories, values)
        return mean + std * values

    def _units(self, categories: np.ndarray, beside: Array) -> tuple[Array, Array]:
        """Mean and deviation of the returns of each trial's category, to go with an array (N, ...)."""
        moments = np.array([[scale.mean[0], scale.std[0]] for scale in self.return_normalizers])
        shape = len(categories), *[1] * (beside.ndim - 1)
        mean, std = (constant(column.reshape(shape), beside) for column in moments[categories].T)
        return mean, std

    @torch.no_grad()
    def _rescale_values(self, i: int, moments: np.ndarray) -> None:
        """Move the scale of category i, and the last layer with it, so that values stay (PopArt, eqs. 3-4)."""
        before, after = self.return_normalizers[i], self.return_normalizers[i].update(moments)
        last, shrink = len(self.config.policy.hidden), float((before.std / after.std)[0])
        for name, value in self.params.items():  # a hypernetwork makes a part of that layer, which moves as well
            if name.endswith((f"value.w{last}", f"value.b{last}")):
                value[..., i].mul_(shrink)
        self.params[f"value.b{last}"][i].add_(float(((before.mean - after.mean) / after.std)[0]))
        self.return_normalizers[i] = after

    # ---- resuming

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything a bit-identical resume needs, as flat tensors."""
        parts = [normalizer_state(name, normalizer) for name, normalizer in self.normalizers().items()]
        return functools.reduce(operator.or_, parts, trained_state(self.params, self.optimizer))

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore :meth:`state_dict`; ValueError names a tensor that is missing, unexpected or of another shape."""
        check_state(self.state_dict(), state)
        load_trained(self.params, self.optimizer, state)
        loaded = {name: restored(name, normalizer, state) for name, normalizer in self.normalizers().items()}
        self.normalizer, self.reward_normalizer, *self.return_normalizers = loaded.values()

    def normalizers(self) -> dict[str, Normalizer]:
        """By their names in checkpoints."""
        several = len(self.return_normalizers) > 1
        of_returns = {f"return_normalizer{i if several else ''}": n for i, n in enumerate(self.return_normalizers)}
        return {"normalizer": self.normalizer, "reward_normalizer": self.reward_normalizer} | of_returns
