"""Which runs are the same method, what it is called, and whether runs can be compared at all.

    from metarl.evaluation.methods import group, open_runs
    for method in group(open_runs(["runs/a0", "runs/a1", "runs/b0"])):
        print(method.name, [run.config.seed for run in method.runs])      # ProMP [0, 1]; then RL² [0]

Runs are one method if nothing but their seed differs, and what has no part in what is learned or in how it adapts:
threads, logs, checkpoints, and on how many tasks it was evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl.config import Config, EnvConfig, flat
from metarl.envs.task import VERSION
from metarl.evaluation.fingerprint import definition
from metarl.runs.run import Run, open_run
from metarl.util.errors import UserError
from metarl.util.text import nearest

NO_DIFFERENCE = (
    "seed", "threads", "backend", "checkpoint_every", "keep_checkpoints", "wandb.", "evaluation.tasks",
    "evaluation.episodes",
    "evaluation.every", "evaluation.split",
)  # fmt: skip
"""Settings that may differ between runs of one method."""
SETTINGS_IN_NAMES = 3


@dataclass(frozen=True)
class Method:
    """Runs that differ only in their seed, in the order of their seeds."""

    name: str
    runs: tuple[Run, ...]

    @property
    def config(self) -> Config:
        return self.runs[0].config

    @property
    def oracle(self) -> bool:
        """Whether it observes the true task parameters."""
        return self.config.algorithm.oracle


def open_runs(paths: Iterable[str | Path]) -> list[Run]:
    """The runs, each once, all of one environment."""
    runs = [open_run(Path(path)) for path in paths]
    if not runs:
        raise UserError("got no runs, expected at least one run folder")
    seen: dict[str, Run] = {}
    for run in runs:
        if run.id in seen:
            raise UserError(f"{run.path}: got the run of {seen[run.id].path} again, expected each run once")
        seen[run.id] = run
    first = runs[0]
    for run in runs[1:]:
        if definition(run.config.env)["digest"] != definition(first.config.env)["digest"]:
            raise UserError(
                f"{run.path}: got the environment {describe(run.config.env)}, expected that of {first.path},"
                f" {describe(first.config.env)}:"
                " their returns cannot be compared; give runs of one environment"
            )
    return runs


def group(runs: Sequence[Run]) -> list[Method]:
    """The methods, in the order of their first runs."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr(sorted(_identity(run.config).items())), []).append(run)
    for same in groups.values():
        same.sort(key=lambda run: run.config.seed)
        for one, other in zip(same, same[1:], strict=False):
            if one.config.seed == other.config.seed:
                raise UserError(
                    f"{other.path}: got seed {other.config.seed} of the same method as in {one.path}, expected another"
                    " seed: it would count twice; leave one of them out"
                )
    names = _names([same[0].config for same in groups.values()])
    return [Method(name, tuple(same)) for name, same in zip(names, groups.values(), strict=True)]


def find(methods: Sequence[Method], name: str, option: str) -> Method:
    """The method of that name, or that the run folder belongs to."""
    for method in methods:
        if name.casefold() == method.name.casefold() or any(Path(name) == run.path for run in method.runs):
            return method
    raise UserError(f"{option}: got {name!r}, expected a method or a run{nearest(name, [m.name for m in methods])}")


def differences(methods: Sequence[Method]) -> dict[str, list[Any]]:
    """Each setting that is not the same in all methods, with its value in each (None where a method has none)."""
    return _differing([_identity(method.config) for method in methods])


def _names(configs: Sequence[Config]) -> list[str]:
    """Different ones: of methods that are called the same, with the first settings that they differ in."""
    bases = [config.algorithm.title(config) for config in configs]
    names: list[str] = []
    for i, base in enumerate(bases):
        alike = [j for j, other in enumerate(bases) if other == base]
        differing = _differing([_identity(configs[j]) for j in alike])
        words = [f"{key}={values[alike.index(i)]}" for key, values in differing.items()][:SETTINGS_IN_NAMES]
        name = f"{base}, {', '.join(words)}" if words else base
        names.append(f"{name} ({names.count(name) + 1})" if name in names else name)
    return names


def _differing(identities: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    keys = dict.fromkeys(key for identity in identities for key in identity)
    values = {key: [identity.get(key) for identity in identities] for key in keys}
    return {key: of_each for key, of_each in values.items() if any(value != of_each[0] for value in of_each)}


def _identity(config: Config) -> dict[str, Any]:
    settings = flat(config.model_dump(mode="json"))
    return {key: value for key, value in settings.items() if not key.startswith(NO_DIFFERENCE)}


def describe(env: EnvConfig) -> str:
    """An environment in a few words: its family and what was set."""
    options = "".join(f", {key}={value}" for key, value in env.options.items())
    horizon = "" if env.horizon is None else f", horizon={env.horizon}"
    splits = "" if env.splits == VERSION else f", splits={env.splits}"
    return env.family + options + horizon + splits
