"""The strategies tried so far and which to try next: Optuna's samplers and pruners over a plain JSON file.

    study = Study("tpe", space, base, rungs=1)
    trial = study.ask()                          # a new one: trial.settings {"inner.lr": 0.03, ...}
    study.tell(trial, {"value": 412.0})          # True if it is to go on to its next rung
    study.best
    Study("tpe", space, base, rungs=1).load(study.to_json())         # the same study, to the bit

Optuna's own storages are a database or a log that other programs could have written; this one is in memory, and made
again from the file. Each sampler draws from a stream of its own, named by the trial's number, so that a search that was
cut off asks for the same strategies as one that was not (while one process tries them).
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from metarl.config import Config, changed
from metarl.tuning.protocol import fitted
from metarl.tuning.space import Dimension, Space
from metarl.util.errors import UserError
from metarl.util.rng import stream

SEARCHES = ("random", "tpe", "halving")
ETA = 3
"""Of the strategies at a rung about one in ETA goes on to the next, which has ETA times the budget."""
RUNGS = 3
_ASKING = 1  # which of the "tuning" streams

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class Trial:
    """One strategy.

    Attributes:
        number: from 0.
        settings: what was chosen, in the order of the space.
        state: running, complete, pruned or failed.
        rungs: the return after adaptation at each rung so far.
        curve: at the last of them, the return after 0, 1, ... adaptation steps.
        env_steps, adaptation_env_steps: environment steps of training, and of measuring at all rungs, so far.
        seconds: of work on it.
        error: why it failed.
        memory: what sampler and pruner keep of it.
    """

    number: int
    settings: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    rungs: list[float] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)
    env_steps: int = 0
    adaptation_env_steps: int = 0
    seconds: float = 0.0
    error: str = ""
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        """The return after adaptation with the whole budget; None if it did not come to that."""
        return self.rungs[-1] if self.state == "complete" else None


class Study:
    """See the module.

    Args:
        search: one of SEARCHES.
        space: what varies.
        base: the config that it varies in; it is strategy 0 if the space holds it.
        rungs: how often a strategy is measured, each time with ETA times the budget.
    """

    def __init__(self, search: str, space: Space, base: Config, rungs: int):
        self.search, self.space, self.base, self.rungs = search, space, base, rungs
        pruner = optuna.pruners.NopPruner()
        if search == "halving":
            pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=ETA)
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        self._handles: dict[int, optuna.trial.Trial] = {}
        self.trials: list[Trial] = []

    def ask(self) -> Trial:
        """A new strategy; it may have failed already, if the config does not take what was chosen."""
        trial = Trial(len(self.trials))
        self._study.sampler = self._sampler(trial.number)
        present = self.space.present(self.base) if trial.number == 0 else None
        if present is not None:
            self._study.enqueue_trial({d.key: _label(d, present[d.key]) for d in self._present(present)})
        handle = self._handles[trial.number] = self._study.ask()
        self.trials.append(trial)
        try:
            trial.settings = self.space.choose(self.base, lambda dimension: _suggest(handle, dimension))
            self.config(trial)
        except UserError as error:
            self._fail(trial, str(error))
        trial.memory = self._memory(trial)
        return trial

    def tell(self, trial: Trial, answer: dict[str, Any]) -> bool:
        """What trying it gave; True if it goes on to its next rung."""
        handle = self._handles[trial.number]
        if "error" in answer:
            self._fail(trial, answer["error"])
            return False
        trial.rungs.append(answer["value"])
        trial.curve, trial.env_steps = list(answer["curve"]), answer["env_steps"]
        trial.adaptation_env_steps += answer["adaptation_env_steps"]
        trial.seconds += answer["seconds"]
        handle.report(answer["value"], ETA ** (len(trial.rungs) - 1))
        if len(trial.rungs) == self.rungs:
            trial.state = "complete"
            self._study.tell(handle, answer["value"])
        elif handle.should_prune():
            trial.state = "pruned"
            self._study.tell(handle, state=optuna.trial.TrialState.PRUNED)
        trial.memory = self._memory(trial)
        return trial.state == "running"

    def config(self, trial: Trial, base: Config | None = None) -> Config:
        """The config of a strategy, with the budget of the base (the study's if None)."""
        base = base or self.base
        return fitted(changed(base, trial.settings), trial.settings, base)

    @property
    def best(self) -> Trial | None:
        """The complete strategy of the highest return, the first of equals."""
        complete = [trial for trial in self.trials if trial.value is not None]
        return max(complete, key=lambda trial: cast(float, trial.value), default=None)

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(trial) | {"value": trial.value} for trial in self.trials]

    def load(self, records: list[dict[str, Any]]) -> None:
        """Take in what `to_json` gave. ValueError, TypeError, KeyError: it did not."""
        for record in records:
            trial = Trial(**{key: value for key, value in record.items() if key != "value"})
            if trial.number != len(self.trials):
                raise ValueError(f"got strategy {trial.number}, expected {len(self.trials)}")
            present = list(self._present(trial.settings))
            state = {"failed": "FAIL"}.get(trial.state, trial.state.upper())
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState[state],
                    params={d.key: _label(d, trial.settings[d.key]) for d in present},
                    distributions={d.key: _distribution(d) for d in present},
                    intermediate_values={ETA**rung: value for rung, value in enumerate(trial.rungs)},
                    system_attrs=trial.memory,
                    value=trial.value,
                )
            )
            self._handles[trial.number] = optuna.trial.Trial(self._study, self._study.trials[-1]._trial_id)
            self.trials.append(trial)

    def _memory(self, trial: Trial) -> dict[str, Any]:
        return dict(self._study.trials[trial.number].system_attrs)

    def _present(self, settings: dict[str, Any]) -> list[Dimension]:
        return [d for d in self.space.dimensions if d.key in settings]

    def _fail(self, trial: Trial, error: str) -> None:
        trial.state, trial.error = "failed", error
        self._study.tell(self._handles[trial.number], state=optuna.trial.TrialState.FAIL)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = int(stream(self.base.seed, "tuning", _ASKING, number).generate_state(1)[0])
        return optuna.samplers.TPESampler(seed=seed) if self.search == "tpe" else optuna.samplers.RandomSampler(seed)


def _label(dimension: Dimension, value: Any) -> Any:
    """A value as Optuna knows it: a choice is told apart by its text."""
    return json.dumps(value, sort_keys=True) if dimension.kind == "choice" else value


def _labels(dimension: Dimension) -> list[str]:
    return [_label(dimension, value) for value in dimension.values]


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.kind == "choice":
        return CategoricalDistribution(_labels(dimension))
    log = dimension.kind.startswith("log")
    kind = IntDistribution if "int" in dimension.kind else FloatDistribution
    return kind(*dimension.values, log=log)


def _suggest(handle: optuna.trial.Trial, dimension: Dimension) -> Any:
    if dimension.kind == "choice":
        return json.loads(handle.suggest_categorical(dimension.key, _labels(dimension)))
    log = dimension.kind.startswith("log")
    suggest = handle.suggest_int if "int" in dimension.kind else handle.suggest_float
    return suggest(dimension.key, *dimension.values, log=log)
