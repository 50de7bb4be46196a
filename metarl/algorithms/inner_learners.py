"""What adapts inside a task, for outer loops that need no more of it than weights before and after.

    inner = make_inner(config, spec)
    params = inner.draw(stream(0, "init"))
    adapter = inner.adapter(params, normalizer, seed)            # starts every task from these weights
    state = adapter.adapt(adapter.start(40), rollout)
    state.params                                                 # each with a leading task axis

Either the gradient steps of `config.inner` on the project's own policy, in all tasks at once, or, with
`inner.sb3.algorithm`, an algorithm of Stable-Baselines3 with its own policy and settings.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metarl.agents import (
    Adapter,
    GaussianMLP,
    GradientAdapter,
    InnerLoop,
    Normalizer,
    Params,
    PolicyGradientInner,
)
from metarl.agents.baseline import fit_unscaled, fit_values
from metarl.agents.inner_loop import Initial
from metarl.algorithms.base import Spec
from metarl.config import Config
from metarl.util.errors import UserError
from metarl.util.rng import stream


class Inner(NamedTuple):
    """What draws fresh weights, and what makes an adapter: of weights, a normalizer, and the seed of what it draws."""

    draw: Callable[[np.random.SeedSequence], Params]
    adapter: Callable[[Initial, Normalizer, np.random.SeedSequence], Adapter]


def make_inner(config: Config, spec: Spec) -> Inner:
    """The inner learner that the config names."""
    algorithm = config.inner.sb3.algorithm
    return _sb3(config, spec, algorithm) if algorithm else _gradient(config, spec)


def _gradient(config: Config, spec: Spec) -> Inner:
    inner = policy_gradient_inner(config, spec)

    def draw(seed: np.random.SeedSequence) -> Params:
        return inner.split(inner.init(np.random.default_rng(seed)))[0]

    _, step_sizes = inner.split(inner.init(np.random.default_rng(0)))  # the same whatever is drawn

    def adapter(params: Initial, normalizer: Normalizer, seed: np.random.SeedSequence) -> GradientAdapter:
        return GradientAdapter(inner, params, step_sizes, normalizer)

    return Inner(draw, adapter)


def policy_gradient_inner(config: Config, spec: Spec) -> PolicyGradientInner:
    """The policy and the gradient steps of `config.policy` and `config.inner`."""
    inner, policy = config.inner, config.policy
    network = GaussianMLP(
        spec.observation_dim, spec.action_dim, policy.hidden, policy.activation, policy.init_std, policy.min_std
    )
    loop = InnerLoop(network, inner.head_only, inner.first_order)
    return PolicyGradientInner(
        loop,
        inner.lr,
        inner.steps,
        config.discount,
        config.gae_lambda,
        inner.learn_lr,
        config.bootstrap_at_horizon,
        fit_unscaled if config.revision == 1 else fit_values,
    )


def _sb3(config: Config, spec: Spec, algorithm: str) -> Inner:
    from metarl.agents.sb3.adapter import SB3Adapter  # SB3 takes a second to import
    from metarl.agents.sb3.model import build, weights
    from metarl.algorithms.sb3_processes import Processes

    sb3 = config.inner.sb3
    spaces = spec.observation_space, spec.action_space

    def made(seed: np.random.SeedSequence):
        try:
            return build(algorithm, sb3.settings, *spaces, seed)
        except ValueError as error:
            raise UserError(f"inner.sb3: {error}") from error

    model = made(stream(config.seed, "init"))
    noise = float(sb3.settings.get("action_noise") or 0.0)
    spread = Processes(sb3.processes, algorithm, sb3.settings, spaces) if sb3.processes else None

    def draw(seed: np.random.SeedSequence) -> Params:
        return weights(made(seed))

    def adapter(params: Initial, normalizer: Normalizer, seed: np.random.SeedSequence) -> SB3Adapter:
        return SB3Adapter(model, params, normalizer, seed, noise, spread)

    return Inner(draw, adapter)
