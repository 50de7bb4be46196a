"""The strategies tried so far and which to try next: Optuna's samplers and pruners over its journal.

    study = Study("tpe", space, base, rungs=1, journal=Path("search/journal.log"), owner="host:pid")
    trial = study.ask()                          # a new one: trial.settings {"inner.lr": 0.03, ...}
    study.tell(trial, {"value": 412.0})          # True if it is to go on to its next rung
    study.best
    study.take(30, gone)                         # one whose owner is gone; else a new one, up to 30
    Study("tpe", space, base, rungs=1).load(study.to_json())         # the same study in memory, to the bit

The journal is a file of JSON lines that several processes may append to, on any file system; without one the study is
in memory. Who tries a strategy owns it. Each sampler draws from a stream of its own, named by the trial's number, so
that a search that was cut off asks for the same strategies as one that was not (while one process tries them).
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from metarl.config import Config, changed
from metarl.tuning.protocol import fitted
from metarl.tuning.space import Dimension, Space
from metarl.util.errors import UserError
from metarl.util.rng import stream

SEARCHES = ("random", "tpe", "halving")
ETA = 3
"""Of the strategies at a rung about one in ETA goes on to the next, which has ETA times the budget."""
_ASKING = 1  # which of the "tuning" streams
_RECORD, _OWNER = "strategy", "owner"  # what the journal keeps of a trial beside Optuna's own

_ENDS = {"pruned": optuna.trial.TrialState.PRUNED, "failed": optuna.trial.TrialState.FAIL}

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
        journal: the file that keeps it; None for memory.
        owner: the name of this process among those that share the journal.
    """

    def __init__(
        self, search: str, space: Space, base: Config, rungs: int, journal: Path | None = None, owner: str = ""
    ):
        self.search, self.space, self.base, self.rungs, self.owner = search, space, base, rungs, owner
        pruner = optuna.pruners.NopPruner()
        if search == "halving":
            pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=ETA)
        storage = None
        if journal:  # the other lock, a link to the journal, dangles where a folder has another path
            storage = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
        self._study = optuna.create_study(
            direction="maximize", pruner=pruner, storage=storage, study_name="search", load_if_exists=True
        )
        self._handles: dict[int, optuna.trial.Trial] = {}  # of the strategies that are this process's
        self.trials: list[Trial] = []
        self.sync()

    def sync(self) -> None:
        """Take in what other processes did."""
        for found in self._study.get_trials(deepcopy=False):
            if found.user_attrs.get(_OWNER, "") != self.owner:
                self._handles.pop(found.number, None)  # this process was taken for gone
            if found.number not in self._handles:
                self.trials[found.number : found.number + 1] = [_recorded(found)]

    def take(self, total: int, gone: Callable[[str], bool]) -> Trial | None:
        """A strategy to try: one of an owner that is gone; else a new one, unless there are `total`, or None."""
        self.sync()
        for trial in self.trials:
            if trial.state == "running" and trial.number not in self._handles and gone(self._owner(trial.number)):
                return self._adopt(trial)
        return self.ask() if len(self.trials) < total else None

    def ended(self, total: int) -> bool:
        """Whether all strategies have come to their end."""
        return len(self.trials) >= total and all(trial.state != "running" for trial in self.trials)

    @property
    def mine(self) -> list[Trial]:
        """Strategies that this process is to go on with."""
        return [trial for trial in self.trials if trial.state == "running" and trial.number in self._handles]

    def leave(self, trial: Trial) -> None:
        """Let another process go on with a strategy, or this one, later."""
        handle = self._handles.pop(trial.number)
        if self._owner(trial.number) == self.owner:
            handle.set_user_attr(_OWNER, "")

    def ask(self) -> Trial:
        """A new strategy; it may have failed already, if the config does not take what was chosen."""
        storage = self._study._storage
        identity = storage.create_new_trial(self._study._study_id)
        trial = Trial(storage.get_trial(identity).number)
        self.trials[trial.number : trial.number + 1] = [trial]
        self._choose(trial, identity)
        return trial

    def tell(self, trial: Trial, answer: dict[str, Any]) -> bool:
        """What trying it gave; True if it goes on to its next rung. Nothing, if another process took it over."""
        if self._owner(trial.number) != self.owner:
            return False
        if trial.number not in self._handles:
            self._adopt(trial)
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
        elif handle.should_prune():
            trial.state = "pruned"
        self._record(trial)
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
            trial = _from_record(record)
            if trial.number != len(self.trials):
                raise ValueError(f"got strategy {trial.number}, expected {len(self.trials)}")
            present = list(self._present(trial.settings))
            state = _ENDS.get(trial.state) or optuna.trial.TrialState[trial.state.upper()]
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    params={d.key: _label(d, trial.settings[d.key]) for d in present},
                    distributions={d.key: _distribution(d) for d in present},
                    intermediate_values={ETA**rung: value for rung, value in enumerate(trial.rungs)},
                    system_attrs=trial.memory,
                    user_attrs={_RECORD: asdict(trial)},
                    value=trial.value,
                )
            )
            self.trials.append(trial)

    def _adopt(self, trial: Trial) -> Trial:
        """Make a strategy this process's, from where its owner left it."""
        found = self._study.get_trials(deepcopy=False)[trial.number]
        if _RECORD not in found.user_attrs:  # it was gone before it had chosen
            self._choose(trial, found._trial_id)
            return trial
        handle = self._handles[trial.number] = optuna.trial.Trial(self._study, found._trial_id)
        handle.set_user_attr(_OWNER, self.owner)
        trial.state = found.user_attrs[_RECORD]["state"]
        if trial.state != "running":  # or before it had said so
            self._record(trial)
        return trial

    def _choose(self, trial: Trial, identity: int) -> None:
        self._study.sampler = self._sampler(trial.number)
        storage, present = self._study._storage, self.space.present(self.base) if trial.number == 0 else None
        storage.set_trial_user_attr(identity, _OWNER, self.owner)
        if present is not None:
            fixed = {d.key: _label(d, present[d.key]) for d in self._present(present)}
            storage.set_trial_system_attr(identity, "fixed_params", fixed)
        handle = self._handles[trial.number] = optuna.trial.Trial(self._study, identity)
        try:
            trial.settings = self.space.choose(self.base, lambda dimension: _suggest(handle, dimension))
            self.config(trial)
        except UserError as error:
            self._fail(trial, str(error))
        else:
            self._record(trial)

    def _record(self, trial: Trial) -> None:
        """Write down what is known of a strategy, and its end."""
        handle = self._handles[trial.number]
        trial.memory = dict(self._study._storage.get_trial(handle._trial_id).system_attrs)
        handle.set_user_attr(_RECORD, asdict(trial))
        if trial.state == "complete":
            self._study.tell(handle, trial.value)
        elif trial.state != "running":
            self._study.tell(handle, state=_ENDS[trial.state])

    def _owner(self, number: int) -> str:
        return str(self._study.get_trials(deepcopy=False)[number].user_attrs.get(_OWNER, ""))

    def _present(self, settings: dict[str, Any]) -> list[Dimension]:
        return [d for d in self.space.dimensions if d.key in settings]

    def _fail(self, trial: Trial, error: str) -> None:
        trial.state, trial.error = "failed", error
        self._record(trial)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = int(stream(self.base.seed, "tuning", _ASKING, number).generate_state(1)[0])
        return optuna.samplers.TPESampler(seed=seed) if self.search == "tpe" else optuna.samplers.RandomSampler(seed)


def _recorded(found: optuna.trial.FrozenTrial) -> Trial:
    """What the journal has of a strategy; of one that is not chosen yet its number alone."""
    trial = _from_record(found.user_attrs.get(_RECORD, {"number": found.number}))
    if trial.state != "running" and not found.state.is_finished():
        trial.state = "running"  # until that is told
    return trial


def _from_record(record: dict[str, Any]) -> Trial:
    return Trial(**{key: value for key, value in record.items() if key != "value"})


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
