"""PEARL (Rakelly et al. 2019, arXiv:1903.08254): soft actor-critic given a latent z of the task, and an encoder that
infers z from experience.

    q(z | c) = N(0, 1) prod_n N(z; f(c_n)),     c_n = (o, a, r, o') a transition of the task

With z drawn from q, once for each task of an update (algorithm 1):

    y = r + gamma f (min_i Q'_i(o', a', z) - alpha log pi(a' | o', z)),   a' ~ pi(. | o', z)
    J_Q = mean_i (Q_i(o, a, z) - y)^2 / 2 + beta KL(q || N(0, 1))
    J_pi = alpha log pi(a | o, z) - min_i Q_i(o, a, z)

The encoder learns from J_Q alone. In a new task an episode acts by a z drawn from the prior, the next by one drawn from
the posterior after it, and so on: it is explored by acting as if a guess were right (`metarl.agents.context_adapter`).
What the posterior is of, in training iterations and in evaluations alike, are the adapter's own episodes in that task.

Deviations from the paper: tasks are drawn anew in each iteration, and each task's context and steps are of its own
trials (there of a hundred fixed tasks, with a buffer each); a context is of the first episodes of a trial, as it is
in a new task, not any steps; the prior is one of the factors, so that no experience is the prior; target critics in
place of a value network, and the temperature is tuned.
"""

from typing import NamedTuple, cast

import numpy as np
import torch

from metarl.agents import Params
from metarl.agents.context_adapter import ContextAdapter
from metarl.agents.context_policy import ContextPolicy, kl_from_prior, posterior
from metarl.agents.critics import Critics
from metarl.agents.nn.params import part
from metarl.agents.replay import Transitions
from metarl.agents.squashed_policy import squash
from metarl.algorithms.off_policy import OffPolicyLearner
from metarl.algorithms.pearl_config import PEARLConfig
from metarl.algorithms.soft_actor_critic import actor_loss, critic_targets, temperature_loss


class Batch(NamedTuple):
    """S steps of G tasks, and C other ones that tell the task; all are float32.

    Attributes:
        context: (C, G, 2 O + A + 1) transitions.
        told: (C, G), one where a transition is known, zero where it is not.
        latent_noise: (1, G, L) standard normal.
        observations, following: (S, G, O).
        actions: (S, G, A), from -1 to 1.
        rewards, follows, weights: (S, G).
        noise: (2 S, G, A) standard normal, of the policy's actions before and after the steps.
    """

    context: torch.Tensor
    told: torch.Tensor
    latent_noise: torch.Tensor
    observations: torch.Tensor
    following: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    follows: torch.Tensor
    weights: torch.Tensor
    noise: torch.Tensor


class PEARL(OffPolicyLearner):
    """See the module; settings are :class:`metarl.algorithms.pearl_config.PEARLConfig`."""

    @property
    def settings(self) -> PEARLConfig:
        return cast(PEARLConfig, self.config.algorithm)

    def make(self, rng: np.random.Generator) -> Params:
        config, settings, spec = self.config.policy, self.settings, self.spec
        self.policy = ContextPolicy(
            spec.observation_dim, spec.action_dim, settings.latent, config.hidden, settings.encoder_hidden,
            config.activation, config.init_std, self.bound,
        )  # fmt: skip
        self.critics = Critics(
            spec.observation_dim, spec.action_dim, settings.critics, None, settings.latent, settings.critic_hidden,
            config.activation, coding=self.coding,
        )  # fmt: skip
        self.footprint = 4 * (sum(settings.critic_hidden) + settings.critic_bins) * settings.critics
        made = self.policy.init(rng)
        params = {f"actor.{name}": value for name, value in part(made, "policy.").items()}
        params |= {name: value for name, value in made.items() if name.startswith("encoder.")}
        return params | {f"critic.{name}": value for name, value in self.critics.init(rng).items()}

    def adapter(self) -> ContextAdapter:
        """Acts with the present weights. It is given nothing of what the store holds."""
        params = {name: value.detach().clone() for name, value in self.of_policy(self.params).items()}
        return ContextAdapter(self.policy, params, self.normalizer, self.reward_normalizer)

    @staticmethod
    def of_policy(params: Params) -> Params:
        """The weights of actor and encoder by the policy's own names."""
        actor = {f"policy.{name}": value for name, value in part(params, "actor.").items()}
        return actor | {name: value for name, value in params.items() if name.startswith("encoder.")}

    def draw(self, rng: np.random.Generator) -> Batch:
        """Steps of some tasks, and other steps of theirs to tell each by, as the networks are given them."""
        settings, (steps, count) = self.settings, (self.settings.batch_steps, self.settings.batch_tasks)
        drawn, context, told = self.experience.sample_tasks(
            rng,
            count,
            self.config.episodes,
            steps,
            settings.context_steps,
            bootstrap_at_horizon=self.config.bootstrap_at_horizon,
        )

        def normal(*size: int) -> torch.Tensor:
            return torch.from_numpy(rng.standard_normal(size, np.float32))

        return Batch(
            context=self.transitions(context),
            told=torch.from_numpy(told),
            latent_noise=normal(1, count, settings.latent),
            observations=torch.from_numpy(self.normalizer(drawn.observations)),
            following=torch.from_numpy(self.normalizer(drawn.following)),
            actions=self.squashed(drawn.actions),
            rewards=self.rewards(drawn.rewards),
            follows=torch.from_numpy(drawn.follows),
            weights=torch.ones(steps, count),
            noise=normal(2 * steps, count, self.spec.action_dim),
        )

    def transitions(self, drawn: Transitions) -> torch.Tensor:
        """(C, G, 2 O + A + 1), as the adapter would make them of the same steps."""
        before, after = (torch.from_numpy(self.normalizer(x)) for x in (drawn.observations, drawn.following))
        rewards = torch.from_numpy(self.seen_rewards(drawn.rewards)).unsqueeze(-1)
        return torch.cat([before, self.squashed(drawn.actions), rewards, after], dim=-1)

    def infer(self, params: Params, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance (G, L) of q(z | c)."""
        mean, variance = self.policy.encode(self.of_policy(params), batch.context)
        return posterior(mean, variance, batch.told.unsqueeze(-1))

    def loss(
        self, params: Params, batch: Batch, chosen: list[int]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """J_Q + J_pi + J_alpha, summed over the steps; KL once for each step of its task."""
        steps, weights = len(batch.weights), batch.weights.flatten()
        critic, policy = part(params, "critic."), self.of_policy(params)
        temperature = params["log_temperature"].detach().exp()

        mean, variance = self.infer(params, batch)
        z = mean + variance.sqrt() * batch.latent_noise[0]
        latents = z.expand(steps, -1, -1).flatten(0, 1)  # (S * G, L)
        given = latents.detach()
        observations, following = batch.observations.flatten(0, 1), batch.following.flatten(0, 1)
        noise, next_noise = batch.noise.flatten(0, 1).chunk(2)
        actions, log_probs = squash(*self.policy.act(policy, given, observations), noise)

        with torch.no_grad():
            next_actions, next_log_probs = squash(*self.policy.act(policy, given, following), next_noise)
            next_values = self.critics.values(
                self.target, self.critics.see(self.target, given, following), next_actions
            )
            targets = critic_targets(
                batch.rewards.flatten(), batch.follows.flatten(), next_values[chosen], next_log_probs, temperature,
                self.config.discount,
            )  # fmt: skip

        seen = self.critics.see(critic, latents, observations)
        outputs = self.critics.outputs(critic, seen, batch.actions.flatten(0, 1))
        fixed = {name: value.detach() for name, value in critic.items()}
        chosen_values = self.critics.values(fixed, seen.detach(), actions)[chosen]

        kl = (batch.weights.sum(0) * kl_from_prior(mean, variance)).sum()
        error = self.critic_loss(outputs, targets, weights)
        losses = [
            error + self.settings.kl_weight * kl,
            actor_loss(chosen_values, log_probs, temperature, weights),
            temperature_loss(params["log_temperature"], log_probs, self.target_entropy, weights),
        ]
        with torch.no_grad():
            value = (weights * self.critics.decoded(outputs).mean(0)).sum()
            measured = {"value": value, "entropy": -(weights * log_probs).sum(), "kl": kl}
        return torch.stack(losses).sum(), {"critic_loss": error} | measured
