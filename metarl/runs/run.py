"""Run folders: what a training run is given, what it writes, and who may write there.

    run = start(config)                        # a new folder under runs/, locked by this process
    run = resume(config, Path("runs/first"))   # the same folder again
    run = open_run(Path("runs/first"))         # to read: no lock, nothing written
    run.config, run.tasks("held_out"), run.metrics(), run.checkpoint()

    config.yaml      the resolved config: `metarl train RUN/config.yaml` repeats the run
    versions.json    format of the folder, id, and versions, machine and code state at the start and at each resume
    robot/           of a person's own robot, a copy of its files
    spec.json        observation, actions, horizon and task space: weights and tasks can be read without any physics
    tasks/           the frozen task sets that evaluations use, with content digests
    metrics.jsonl    one line per iteration i, measured with the weights after i updates; "env_steps" is the sum so
                     far. Wall-clock times stand in timings.jsonl, so that this file is the same in each repetition
    evaluations.jsonl   one line per evaluation during training
    looks.jsonl      what looked at which tasks, and when: a test set that settings were chosen by is none
    checkpoints/, wandb/, lock; experience/, what an off-policy learner has lived
    evaluations/, figures/, replays/: what other commands write
    entry.json       of one that `metarl publish` has cut to what others need

Reading one runs no code and needs no lock; config, metrics, evaluations and tasks neither PyTorch nor MuJoCo.
`metarl.algorithms.restore.load_adapter` makes what was trained out of it.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from metarl.config import Config, flat, read_config, to_yaml
from metarl.config.robots import copy_into_run, with_relative_path
from metarl.envs.task import SPLITS, Tasks, TaskSpace
from metarl.runs import versions
from metarl.runs.jsonl import read_lines
from metarl.runs.lock import Lock, locked
from metarl.util.errors import UserError
from metarl.util.files import open_regular, partial_of, read_json, replace
from metarl.util.machine import available_threads, threads_of_each_rank
from metarl.util.plugins import PLUGINS
from metarl.util.rng import stream
from metarl.util.text import show

FORMAT = 1
ENTRY = "entry.json"
MOST = 1e30  # of a number in metrics.jsonl: squares of larger ones are infinite
FREE_TO_CHANGE = (
    "iterations", "backend", "checkpoint_every", "keep_checkpoints", "wandb.", "evaluation.", "inner.sb3.processes",
    "env.options.robot",  # where its files are: what is in them is env.options.sha256
)
"""Settings that do not alter training: a resumed run may change them."""
WRITTEN_BEFORE_CONFIG = {"lock", "tasks", "robot", "versions.json"}
"""config.yaml is written last: a folder of only these, or in part, is one whose start was cut short."""


@dataclass(frozen=True)
class Run:
    """A run folder and its config. `lock` is held by whoever trains in it."""

    path: Path
    config: Config
    id: str
    lock: Lock | None = None

    def release(self) -> None:
        """Let go of the folder, if this process holds it."""
        if self.lock is not None:
            self.lock.release()

    @property
    def task_space(self) -> TaskSpace:
        """What varies; of a run of before, which did not keep it, the family's."""
        return kept_space(self.path) or self.load_family().space

    def load_family(self) -> Any:
        """The `metarl.envs.Family` of this run.

        Raises:
            UserError: with the run's config named, such as for a robot whose files have changed.
        """
        try:
            return self.config.env.load_family()
        except UserError as error:
            lines = str(error).splitlines()
            raise UserError("\n".join(f"{self.path / 'config.yaml'}: {line}" for line in lines)) from error

    def spec(self) -> dict[str, Any] | None:
        """What `metarl.algorithms.base.Spec.from_json` takes; None of a run of before, which did not keep it."""
        return _kept_spec(self.path)

    def write_spec(self, spec: dict[str, Any]) -> None:
        """Keep what `spec` gives back."""
        _write_json(self.path / "spec.json", spec)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def published(self) -> bool:
        """Whether it is a run cut to what others need (`metarl.zoo`)."""
        return os.path.lexists(self.path / ENTRY)

    @property
    def finished(self) -> bool:
        """Whether all iterations are done and evaluated."""
        return self.evaluated(self.config.iterations)

    def evaluated(self, iteration: int) -> bool:
        """Whether the evaluation at the end of training was made by this config, after so many iterations or more."""
        for file in (self.path / "evaluations").glob(f"{self.config.evaluation.split}-*-*.json"):
            number = file.name.split("-")[1]
            if number.isdecimal() and int(number) >= iteration and self._is_evaluation(file):
                return True
        return False

    def _is_evaluation(self, file: Path) -> bool:
        """Whether it is one with the config's steps, episodes and number of tasks, and sampled actions."""
        settings = self.config.evaluation
        try:
            kept = read_json(file, dict)
            found = kept["steps"], kept["episodes"], len(kept["task_digests"]), kept["deterministic"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return found == (settings.steps, settings.episodes, settings.tasks, False)

    def tasks(self, split: str) -> Tasks:
        """The frozen task set of a split."""
        path = self.path / "tasks" / f"{split}.json"
        try:
            data = read_json(path, dict)
            tasks = Tasks.from_json(data, self.task_space)
        except FileNotFoundError:
            there = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none"
            raise UserError(f"{path}: this run has no task set {split!r}, only: {there}") from None
        except (ValueError, OverflowError) as error:
            raise UserError(f"{path}: not a task set: {error}") from error
        if data.get("digests") != list(tasks.digests):
            raise UserError(f"{path}: its tasks do not fit their digests, so it was edited; restore it from a copy")
        return tasks

    def looked(self, by: str, split: str, tasks: str, iteration: int) -> None:
        """Write down that `by` has seen how a checkpoint does in tasks of that digest, where the folder is ours."""
        look = {"time": _now(), "by": by, "split": split, "tasks_sha256": tasks, "iteration": iteration}
        with contextlib.suppress(OSError, ValueError):
            descriptor = open_regular(self.path / "looks.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            with open(descriptor, "w") as file:
                file.write(json.dumps(look) + "\n")

    def looks(self) -> list[dict[str, Any]]:
        """What looked at which tasks, and when; see `looked`."""
        return read_lines(self.path / "looks.jsonl")

    def metrics(self) -> list[dict[str, Any]]:
        """A record for each iteration, with "env_steps" and otherwise numbers; None where there is none."""
        return self._records("metrics.jsonl", "env_steps", numbers=True)

    def timings(self) -> list[dict[str, Any]]:
        """A record for each iteration, with its wall time as "seconds"."""
        return self._records("timings.jsonl", "seconds")

    def _records(self, name: str, required: str, *, numbers: bool = False) -> list[dict[str, Any]]:
        """The lines of a log, each with a number as `required`; with `numbers` all else is a number or None as well."""
        rows = read_lines(self.path / name)
        for number, row in enumerate(rows, 1):
            keys = (required, *row) if numbers else (required,)
            wrong = [key for key in keys if not _is_number(row.get(key), optional=key != required)]
            if wrong:
                problem = f"line {number}: {show(wrong[0])} is {show(row.get(wrong[0]))}, expected a number"
                raise UserError(f"{self.path / name}: {problem}; restore a copy, or remove it")
        return rows

    @property
    def minutes(self) -> float:
        """Wall time of its iterations, without evaluations and saving."""
        return sum(line["seconds"] for line in self.timings()) / 60

    def checkpoint(self, also: Callable[[Any], None] | None = None) -> Any:
        """The newest intact checkpoint; ``also`` as in `metarl.runs.checkpoint.load_latest`."""
        from metarl.runs.checkpoint import load_latest  # it imports PyTorch

        saved = load_latest(self.checkpoints, also)
        if "env_steps" not in saved.meta:
            raise UserError(f"{saved.path}/meta.json: has no env_steps; restore a copy")
        return saved


def start(config: Config, path: Path | None = None) -> Run:
    """A new run in folder `path` (empty or not there yet), or in a new folder of its own under runs/."""
    try:
        path = new_folder(config) if path is None else path
        path.mkdir(parents=True, exist_ok=True)
        _refuse_others(path)
        with locked(path) as lock:
            if (path / "config.yaml").exists():
                advice = "add --resume to go on with it, or choose another --run"
                raise UserError(f"run folder {path} already holds a run; {advice}")
            return _fill(path, config, lock)
    except OSError as error:
        raise not_writable(path, error, "choose another --run") from error


def resume(config: Config, path: Path | None, warn: Callable[[str], None]) -> Run:
    """The run in folder `path` with `config`, which may differ from the run's only in what does not alter training."""
    if path is None:
        raise UserError("--resume: got no run folder, expected --run DIR as well")
    if _cut_short(path):
        warn(f"run folder {path} was cut short before it began; starting at iteration 0")
        return start(config, path)
    if open_run(path).published:
        problem = "is published, without what only training needs, and cannot be resumed"
        raise UserError(f"--resume: {path} {problem}; to train it anew: metarl train {path}/config.yaml")
    try:
        with locked(path) as lock:
            before, document = open_run(path), _versions(path)
            _refuse_altered(before, config)
            identity = versions.describe(threads(config))
            changed = versions.differences(document["sessions"][-1], identity)
            if changed and (path / "metrics.jsonl").exists():  # else it was prepared, and nothing is trained yet
                warn(f"resuming under other conditions, so bits may differ from an unbroken run: {'; '.join(changed)}")
            document["sessions"].append({"started": _now(), **identity})
            _write_json(path / "versions.json", document)
            return Run(path, _rewrite(before, config), before.id, lock)
    except OSError as error:
        raise not_writable(path, error, "see to that, then --resume") from error


def prepare(config: Config, path: Path) -> Run:
    """The run in folder `path`, for another process to resume: a new one, or the one there with `config`."""
    if not os.path.lexists(path / "config.yaml"):
        run = start(config, path)
        run.release()
        return run
    before = open_run(path)
    _refuse_altered(before, config)
    if flat(before.config.model_dump(mode="json")) != flat(config.model_dump(mode="json")):
        with locked(path) as lock:
            config = _rewrite(before, config)
        lock.release()
    return Run(path, config, before.id)


def open_run(path: Path) -> Run:
    """The run in folder `path`, to read."""
    path = Path(path)
    config = config_file(path)
    document = _versions(path)
    try:
        return Run(path, read_config(config), document["id"])
    except UserError as error:
        missing = [name for name in document["sessions"][-1].get("plugins", []) if name not in PLUGINS]
        advice = [f"{path}: the run was made with --plugin {' --plugin '.join(missing)}; add it"] if missing else []
        raise UserError("\n".join([str(error), *advice])) from error


def sessions(path: Path) -> list[dict[str, Any]]:
    """Versions, machine and code state at the start of the run in folder `path` and at each resume, in their order."""
    return _versions(path)["sessions"]


def config_file(path: Path) -> Path:
    """The config of the run in folder `path`."""
    config = path / "config.yaml"
    try:
        if stat.S_ISREG(os.stat(config).st_mode):
            return config
        problem = "is not a regular file"
    except (FileNotFoundError, NotADirectoryError):
        advice = "give one that `metarl train` wrote"
        raise UserError(f"{path}: not a run folder (it has no config.yaml); {advice}") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    raise UserError(f"{config} {problem}; restore a copy")


def kept_space(path: Path) -> TaskSpace | None:
    """What varies, as the run in folder `path` keeps it; None if it does not."""
    spec = _kept_spec(path)
    try:
        return None if spec is None else TaskSpace.from_json(spec["task_space"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}/spec.json: not what metarl wrote ({error!r}); restore a copy, or remove it") from error


def _kept_spec(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path / "spec.json", dict)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UserError(f"{path}/spec.json: {error}; restore a copy, or remove it") from error


def threads(config: Config) -> int:
    """Threads that this process uses for the run, for physics and PyTorch each."""
    return config.threads or threads_of_each_rank(available_threads())


def not_writable(path: Path | None, error: OSError, advice: str) -> UserError:
    """What to raise for a run folder, None for a new one, that cannot be written."""
    return UserError(f"run folder {path or 'runs'} cannot be written: {error.strerror}; {advice}")


def new_folder(config: Config, prefix: str = "") -> Path:
    """runs/<family>-<algorithm>-<time>, with a number behind it if another process was given that name."""
    name = f"{prefix}{config.env.load_family().space.family}-{config.algorithm.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    name = re.sub(r"[^\w.-]", "_", name)
    Path("runs").mkdir(exist_ok=True)
    number = 1
    while True:
        path = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            os.mkdir(path)
            return path
        except FileExistsError:
            number += 1


def _cut_short(path: Path) -> bool:
    """Whether a run was begun in the folder `path` and has no config; UserError if something else is there."""
    if os.path.lexists(path / "config.yaml") or not os.path.isdir(path) or not os.access(path, os.R_OK | os.X_OK):
        return False  # whoever opens it says what it is
    _refuse_others(path)
    return any(path.iterdir())


def _refuse_others(path: Path) -> None:
    names = {entry.name for entry in path.iterdir()}
    other = {name for name in names - WRITTEN_BEFORE_CONFIG if partial_of(name) not in ("versions.json", "config.yaml")}
    if "config.yaml" not in names and other:
        problem = f"is not empty and not a run folder (it has {min(other)!r})"
        raise UserError(f"folder {path} {problem}; choose another --run")


def _fill(path: Path, config: Config, lock: Lock) -> Run:
    _write_tasks(path, config)
    session = {"started": _now(), **versions.describe(threads(config))}
    document = {"format": FORMAT, "id": secrets.token_hex(4), "sessions": [session]}
    _write_json(path / "versions.json", document)
    return Run(path, _write_config(path, config), document["id"], lock)


def _refuse_altered(before: Run, config: Config) -> None:
    _refuse_fewer(before, config.iterations)
    altered = _altered(before.config, config)
    if altered:
        raise UserError(
            "\n".join(
                f"--resume: {key}: got {new}, expected {old} as in {before.path}/config.yaml: it alters training; "
                "keep it, or start a new run" for key, old, new in altered
            )
        )


def _refuse_fewer(before: Run, iterations: int) -> None:
    if iterations >= before.config.iterations:
        return
    from metarl.runs import checkpoint  # it imports PyTorch

    done = max(checkpoint.iterations(before.checkpoints), default=0)
    if iterations < done:
        raise UserError(f"--resume: iterations: got {iterations}, expected {done} or more: {before.path} has done so"
                        " many; start a new run for fewer")  # fmt: skip


def _rewrite(before: Run, config: Config) -> Config:
    if config.evaluation != before.config.evaluation:
        _write_tasks(before.path, config)
    return _write_config(before.path, config)


def _write_config(path: Path, config: Config) -> Config:
    """Write config.yaml, and beside it the files of a person's own robot; the config with those."""
    config = config.model_copy(update={"env": copy_into_run(config.env, path)})
    written = config.model_copy(update={"env": with_relative_path(config.env, path)})
    replace(path / "config.yaml", to_yaml(written).encode())
    return config


def _write_tasks(path: Path, config: Config) -> None:
    """The task sets that evaluations use, drawn from the seed: the same ones whenever they are written."""
    folder, space = path / "tasks", config.env.load_family().space
    folder.mkdir(exist_ok=True)
    for split in space.splits:
        if split == "train" and config.evaluation.split != "train":
            continue
        rng = np.random.default_rng(stream(config.seed, "evaluation_tasks", SPLITS.index(split)))
        tasks = space.sample(config.evaluation.tasks, split, rng)
        digest = hashlib.sha256("\n".join(tasks.digests).encode()).hexdigest()
        document = {"split": split, "digest": digest, "digests": list(tasks.digests), **tasks.to_json()}
        _write_json(folder / f"{split}.json", document)


def _versions(path: Path) -> dict[str, Any]:
    """{"format", "id", "sessions"}: what made the run, and what resumed it."""
    try:
        document = read_json(path / "versions.json", dict)
        if document["format"] == FORMAT:
            sessions = [dict(session) for session in document["sessions"]]
            return {"format": FORMAT, "id": str(document["id"]), "sessions": sessions or [{}]}
    except FileNotFoundError:
        raise UserError(f"{path}/versions.json: is not there; restore a copy") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}/versions.json: not what metarl wrote ({error}); restore a copy") from error
    raise UserError(
        f"{path}: got a run folder of format {document['format']!r}, expected {FORMAT}; "
        "use the version of metarl that wrote it"
    )


def _is_number(value: Any, optional: bool) -> bool:
    """Whether a value of a record is one that can be drawn."""
    return (optional and value is None) or (type(value) in (int, float) and abs(value) <= MOST)


def _altered(before: Config, now: Config) -> list[tuple[str, Any, Any]]:
    old, new = flat(before.model_dump(mode="json")), flat(now.model_dump(mode="json"))
    free = tuple(key for key in FREE_TO_CHANGE if key != "iterations" or not before.algorithm.scheduled)
    return [
        (key, old.get(key, "nothing"), new.get(key, "nothing"))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(free)
    ]


def _write_json(path: Path, document: dict[str, Any]) -> None:
    replace(path, (json.dumps(document, indent=1) + "\n").encode())


def _now() -> str:
    return datetime.now().astimezone().isoformat("T", "seconds")
