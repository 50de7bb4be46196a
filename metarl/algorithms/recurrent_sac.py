"""Recurrent SAC (Ni et al. 2022, arXiv:2110.05038): soft actor-critic over trials, with a memory of its own for the
actor and one for the critics.

Whole trials are kept in a replay store, so that each step is learned from many times. As in RL², the memory is kept
over the episodes of a trial, and is all that the policy knows of its task. With histories h_t of a trial, run through
the actor's memory and through the critics':

    y_t = r_t + gamma f_t (min_i Q'_i(h_{t+1}, a') - alpha log pi(a' | h_{t+1})),   a' ~ pi(. | h_{t+1})
    J_Q = mean_i (Q_i(h_t, a_t) - y_t)^2 / 2
    J_pi = alpha log pi(a | h_t) - min_i Q_i(h_t, a),   a ~ pi(. | h_t)
    J_alpha = -log alpha (log pi(a | h_t) + H)

f_t is zero after a terminal state and at a time limit that ends the return; with `bootstrap_at_horizon` the value of
what was seen last follows at a time limit. Q' are the target critics, which follow the critics slowly. Rewards are in
units of their running deviation.

An update draws windows of W steps, each with up to B steps of its trial before it, along which the memories are run
from nothing remembered (`metarl.agents.replay`). A trial has hundreds of steps: whole ones would be few to an update,
and alike. What is longer ago than B steps is not in the memory of an update, though it is when acting; where a task
must be remembered for longer, B may be as long as the trial.

Deviations from the paper: windows in place of whole trials; the memories and perceptrons are given observation, action
and reward as they are, without an embedding of each; all three losses are of one pass, before the step, and the
actor's gradient does not reach the critics' memory; an ensemble of N critics, of which M drawn ones count (REDQ, Chen
et al. 2021, has the mean of all N in J_pi).
"""

from typing import NamedTuple, cast

import numpy as np
import torch

from metarl.agents import Params, RecurrentAdapter
from metarl.agents.critics import Critics
from metarl.agents.nn.params import part
from metarl.agents.replay import Rows
from metarl.agents.squashed_policy import SquashedPolicy, squash
from metarl.algorithms.off_policy import OffPolicyLearner
from metarl.algorithms.recurrent_sac_config import RecurrentSACConfig
from metarl.algorithms.soft_actor_critic import actor_loss, critic_targets, temperature_loss


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


class RecurrentSAC(OffPolicyLearner):
    """See the module; settings are :class:`metarl.algorithms.recurrent_sac_config.RecurrentSACConfig`."""

    @property
    def settings(self) -> RecurrentSACConfig:
        return cast(RecurrentSACConfig, self.config.algorithm)

    def make(self, rng: np.random.Generator) -> Params:
        config, settings, spec = self.config, self.settings, self.spec
        memory = {"cell": settings.memory, "size": settings.memory_size, "memory_options": settings.memory_options}
        self.policy = SquashedPolicy(
            spec.observation_dim, spec.action_dim, hidden=config.policy.hidden, bound=self.bound,
            activation=config.policy.activation, init_std=config.policy.init_std, **memory,
        )  # fmt: skip
        self.critics = Critics(
            self.policy.input_dim, spec.action_dim, settings.critics, hidden=settings.critic_hidden,
            activation=config.policy.activation, observed=spec.observation_dim, coding=self.coding, **memory,
        )  # fmt: skip
        self.footprint = 4 * (self.policy.memory.footprint + settings.critic_bins * settings.critics)
        params = {f"actor.{name}": value for name, value in self.policy.init(rng).items()}
        return params | {f"critic.{name}": value for name, value in self.critics.init(rng).items()}

    def adapter(self) -> RecurrentAdapter:
        """Acts with the present weights."""
        params = {name: value.detach().clone() for name, value in part(self.params, "actor.").items()}
        return RecurrentAdapter(self.policy, params, self.normalizer, self.reward_normalizer)

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
            actions=self.squashed(rows.actions),
            rewards=self.rewards(rows.rewards),
            follows=torch.from_numpy(rows.follows),
            weights=torch.from_numpy(rows.valid),
            noise=torch.from_numpy(noise),
        )

    def inputs(self, rows: Rows) -> torch.Tensor:
        """(J, R, X), as the adapter would make them of the same steps."""
        parts = self.normalizer(rows.observations), rows.last_actions, self.seen_rewards(rows.last_rewards), rows.starts
        return self.policy.inputs(*(torch.from_numpy(x) for x in parts))

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
        outputs = self.critics.outputs(critic, seen, batch.actions.flatten(0, 1))
        fixed = {name: value.detach() for name, value in critic.items()}
        chosen_values = self.critics.values(fixed, seen.detach(), actions[own])[chosen]

        losses = {
            "critic_loss": self.critic_loss(outputs, targets, weights),
            "actor_loss": actor_loss(chosen_values, log_probs[own], temperature, weights),
            "temperature_loss": temperature_loss(
                params["log_temperature"], log_probs[own], self.target_entropy, weights
            ),
        }
        with torch.no_grad():
            value = (weights * self.critics.decoded(outputs).mean(0)).sum()
            measured = {"value": value, "entropy": -(weights * log_probs[own]).sum()}
        return torch.stack([*losses.values()]).sum(), {"critic_loss": losses["critic_loss"]} | measured
