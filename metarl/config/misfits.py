"""Settings that contradict each other, or that nothing would read.

    list(misfits(config))      # [("inner.learn_lr", "true", "false with inner.steps = 0: nothing adapts"), ...]

Each single setting has been checked by `metarl.config.schema` before; a `Config` is refused with all of these at once.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metarl.config.schema import Config

MAX_SIMULATIONS = 1_000_000


def misfits(config: "Config") -> Iterator[tuple[str, Any, str]]:
    """(key, what was got, what was expected) of each setting that contradicts another one."""
    policy, inner = config.policy, config.inner
    if policy.min_std > policy.init_std:
        yield "policy.min_std", policy.min_std, f"at most policy.init_std = {policy.init_std}"
    for switch in ("learn_lr", "head_only", "first_order"):
        if getattr(inner, switch) and inner.steps == 0:
            yield f"inner.{switch}", "true", "false with inner.steps = 0: nothing adapts"
    if inner.head_only and not policy.hidden:
        yield "inner.head_only", "true", "false with policy.hidden = []: the head is all there is"
    if config.algorithm.name == "rl2":
        for key, value in inner.model_dump(mode="json", exclude_defaults=True).items():
            yield f"inner.{key}", value, "no such setting: rl2 has no inner loop"
        if config.algorithm.memory == "transformer" and config.algorithm.memory_size % config.algorithm.heads:
            yield "algorithm.heads", config.algorithm.heads, f"a divisor of {config.algorithm.memory_size}"
        if config.algorithm.burn_in and not config.algorithm.window:
            yield "algorithm.burn_in", config.algorithm.burn_in, "0 with algorithm.window = 0: nothing stands before it"
    if config.algorithm.name in ("reptile", "scratch"):
        yield from _not_differentiated(config)
    elif inner.sb3.algorithm:
        yield "inner.sb3.algorithm", inner.sb3.algorithm, "null: only reptile and scratch need no derivative of it"
    for keys, tasks, episodes in (
        ("meta_batch * episodes", config.meta_batch, config.episodes),
        ("evaluation.tasks * evaluation.episodes", config.evaluation.tasks, config.evaluation.episodes),
    ):
        if tasks * episodes > MAX_SIMULATIONS:
            yield keys, tasks * episodes, f"at most {MAX_SIMULATIONS} simulations at once"


def _not_differentiated(config: "Config") -> Iterator[tuple[str, Any, str]]:
    """What an outer loop cannot use that looks at weights only, and what an algorithm of SB3 brings itself."""
    name, inner = config.algorithm.name, config.inner
    if name == "reptile" and inner.steps == 0:
        yield "inner.steps", 0, "at least 1 with reptile: it learns from what adaptation does"
    for switch in ("learn_lr", "first_order"):
        if getattr(inner, switch):
            yield f"inner.{switch}", "true", f"false with {name}: no derivative goes through the inner steps"
    if inner.sb3.algorithm is None:
        if inner.sb3.settings:
            yield "inner.sb3.settings", inner.sb3.settings, "none without inner.sb3.algorithm"
        if inner.sb3.processes:
            yield "inner.sb3.processes", inner.sb3.processes, "0 without inner.sb3.algorithm"
        return
    own = {
        "inner": config.inner.model_dump(exclude_defaults=True, exclude={"steps", "sb3", "learn_lr", "first_order"}),
        "policy": config.policy.model_dump(exclude_defaults=True, exclude={"normalize_observations"}),
    }
    unused = {f"{part}.{key}": value for part, values in own.items() for key, value in values.items()}
    unused |= config.model_dump(exclude_defaults=True, include={"discount", "gae_lambda", "bootstrap_at_horizon"})
    for key, value in unused.items():
        yield key, value, f"no such setting: {inner.sb3.algorithm} has its own in inner.sb3.settings"
