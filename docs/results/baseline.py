"""How well policy gradients of independent episodes agree, by the baseline that their advantages are taken over.

    python docs/results/baseline.py > docs/results/baseline.json

An untrained policy collects several batches of episodes in the same tasks. The agreement is the cosine between the
gradients of two batches, on average over pairs: within each task, and of the mean over tasks. Alignment says whether it
is the right direction that they agree in: the cosine with other batches' gradients under values that know nothing of
their own episode, over what the agreements of the two allow; 1 is the same direction. Beside it stands R^2 of the
values, at the steps that the gradient is taken over.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch

from metarl.agents import GradientAdapter, Normalizer, Rollout, discounted_returns
from metarl.agents.baseline import Baseline, fit_unscaled, fit_values
from metarl.algorithms.base import Spec
from metarl.algorithms.inner_learners import policy_gradient_inner
from metarl.algorithms.learners import make_env
from metarl.algorithms.promp_config import ProMPConfig
from metarl.algorithms.sampling import collect
from metarl.config import Config, EnvConfig
from metarl.util.rng import stream

EPISODES = 20
SETTINGS = {  # family: (tasks, batches, action scale, lambda, whether observations are normalized)
    "HumanoidDir": (6, 8, 4.0, 0.95, True),
    "HalfCheetahDir": (6, 6, 4.0, 0.95, True),
    "Navigation2D": (6, 8, 1.0, 1.0, False),
    "Walker2dRandParams": (6, 8, 4.0, 0.95, True),
}


def mean_of_each_step(rollout: Rollout, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean reward to go of a task's episodes at each step: what needs no features."""
    total, count = (targets * rollout.valid).sum(2, keepdims=True), rollout.valid.sum(2, keepdims=True)
    values = np.broadcast_to(total / np.maximum(count, 1), targets.shape)
    return values, np.zeros((len(targets), targets.shape[2]))


def from_the_other_half(rollout: Rollout, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of even episodes by a fit to the odd ones, and the other way round: they know nothing of their own."""
    values, bootstrap = np.zeros(targets.shape), np.zeros((len(targets), targets.shape[2]))
    for half in (0, 1):
        known = np.arange(targets.shape[2]) % 2 == half
        fitted = replace(rollout, valid=rollout.valid & known)
        found, after = fit_values(fitted, targets)
        values[:, :, ~known], bootstrap[:, ~known] = found[:, :, ~known], after[:, ~known]
    return values, bootstrap


UNBIASED = "features' number, fitted to the other half"
BASELINES = {
    "1e-5, features as they are (rllab; revision 1)": fit_unscaled,
    "no features: mean of each step": mean_of_each_step,
    "features' number (revision 2)": fit_values,
    UNBIASED: from_the_other_half,
}


def gradients(
    config: Config, tasks: int, batches: int
) -> Callable[[Baseline], Iterator[tuple[np.ndarray, float, Rollout]]]:
    """For a baseline: of each batch the gradients (M, P), R^2 of the values and the rollout."""
    env = make_env(config, tasks * EPISODES)
    spec = Spec.of(env)
    inner = policy_gradient_inner(config, spec)
    params, _ = inner.split(inner.init(np.random.default_rng(stream(0, "init"))))
    steps = [dict.fromkeys(params, 1.0)]
    env.set_tasks(env.space.sample(tasks, "train", np.random.default_rng(0)).repeat(EPISODES))
    normalizer = Normalizer.identity(spec.observation_dim, config.policy.normalize_observations)

    def rollout(number: int) -> Rollout:
        adapter = GradientAdapter(inner, params, steps, normalizer)
        return collect(env, adapter, adapter.start(tasks), EPISODES, stream(0, "rollouts", number))

    normalizer = normalizer.update(rollout(batches).raw_moments)
    rollouts = [shortened(rollout(number)) for number in range(batches)]

    def of(baseline: Baseline) -> Iterator[tuple[np.ndarray, float, Rollout]]:
        adapter = GradientAdapter(replace(inner, baseline=baseline), params, steps, normalizer)
        before = adapter.start(tasks)
        for each in rollouts:
            after = adapter.adapt(before, each)
            moved = [(after.params[name] - value).flatten(1) for name, value in before.params.items()]
            yield torch.cat(moved, 1).double().numpy(), explained(baseline, each, config.discount), each

    return of


def explained(baseline: Baseline, rollout: Rollout, discount: float) -> float:
    """R^2 of the values, the mean over tasks."""
    targets = discounted_returns(rollout.rewards, rollout.valid, discount)
    missed, shares = targets - baseline(rollout, targets)[0], []
    for m, valid in enumerate(rollout.valid):
        shares.append(1 - np.square(missed[m][valid]).mean() / targets[m][valid].var())
    return float(np.mean(shares))


def shortened(rollout: Rollout) -> Rollout:
    """Without the padding behind the longest episode."""
    steps = int(rollout.valid.any(axis=(0, 2)).sum())
    names = ("observations", "actions", "rewards", "terminated", "truncated", "valid")
    return replace(rollout, **{name: np.ascontiguousarray(getattr(rollout, name)[:, :steps]) for name in names})


def agreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean cosine of different batches of gradients (B, ..., P) and (B, ..., P)."""
    one, other = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (one, other))
    pairs = itertools.permutations(range(len(one)), 2)
    return np.mean([(one[i] * other[j]).sum(-1) for i, j in pairs], axis=0)


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for family, (tasks, batches, scale, gae_lambda, normalize) in SETTINGS.items():
        config = Config(
            env=EnvConfig(family=family, action_scale=scale), algorithm=ProMPConfig(), gae_lambda=gae_lambda, threads=1
        )
        config = config.model_copy(
            update={"policy": config.policy.model_copy(update={"normalize_observations": normalize})}
        )
        of = gradients(config, tasks, batches)
        found = {name: list(of(baseline)) for name, baseline in BASELINES.items()}
        stacked = {name: np.stack([gradient for gradient, *_ in batch]) for name, batch in found.items()}  # (B, M, P)
        unbiased = stacked[UNBIASED]
        for name, x in stacked.items():
            within = agreement(x, x)  # (M,)
            allowed = np.sqrt(max(within.mean(), 0.0) * agreement(unbiased, unbiased).mean())
            _, shares, rollouts = zip(*found[name])
            rows.append({
                "family": family, "ridge": name, "tasks": tasks, "batches": batches, "episodes": EPISODES,
                "action_scale": scale, "gae_lambda": gae_lambda, "normalize_observations": normalize,
                "steps": round(float(np.mean([r.valid.sum((1, 2)).mean() for r in rollouts])), 1),
                "features": 2 * rollouts[0].observations.shape[-1] + 4,
                "r2": round(float(np.mean(shares)), 3),
                "agreement_within_tasks": round(float(within.mean()), 3),
                "standard_error": round(float(within.std(ddof=1) / np.sqrt(tasks)), 3),
                "agreement_of_the_mean": round(float(agreement(x.mean(1), x.mean(1))), 3),
                "alignment": round(float(agreement(x, unbiased).mean() / allowed), 2) if allowed else None,
            })  # fmt: skip
            print(rows[-1], file=sys.stderr)
    json.dump(rows, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
