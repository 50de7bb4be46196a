"""Weights & Biases: curves, tables, pictures and task sets of a run. The only module that imports wandb.

    with Tracker(config.wandb, run.path, run.id, config.model_dump(mode="json")) as tracker:
        tracker.log({"env_steps": 160_000, "return_0": -40.0})
        tracker.table("adaptation", ["step", "return"], [[0, -40.0], [1, -12.5]])
        tracker.file("replay", run.path / "replays/0.html")      # .html, .mp4, .png
        tracker.artifact("tasks-held_out", run.path / "tasks/held_out.json")

Everything happens in a thread of its own: a call here returns at once and never raises. Whatever goes wrong
in there (wandb-core killed, no space, no network, a bad key) is one line of warning, and the rest of the
run goes without W&B; the run folder's own files are the record. Offline unless the config, WANDB_MODE or a sweep's
agent says otherwise;
`wandb sync RUN/wandb/offline-run-*` uploads later. A resumed run keeps its id. The x axis of all curves is
"env_steps".
"""

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from metarl.config import WandbConfig
from metarl.util.errors import UserError
from metarl.util.text import first_line, show

if TYPE_CHECKING:
    from metarl.runs.run import Run

FINISH_SECONDS = 30.0  # to wait for what is not written (offline) or uploaded (online) when the run ends
INIT_SECONDS = 20.0
QUEUE_LENGTH = 100_000
QUIET = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "disable_job_creation": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "init_timeout": INIT_SECONDS,
    "finish_timeout": FINISH_SECONDS,
}
"""No chatter, and nothing recorded that could hold a secret: command line, remote URLs, environment."""
KINDS: dict[str, Callable[[str], Any]] = {
    ".png": lambda path: _wandb().Image(path),
    ".html": lambda path: _wandb().Html(path, inject=False),
    ".mp4": lambda path: _wandb().Video(path, format="mp4"),
}

logger = logging.getLogger("metarl")


class Tracker:
    """The W&B run `run_id` in folder `run_dir`; `settings` are shown as its config."""

    def __init__(
        self,
        config: WandbConfig,
        run_dir: Path,
        run_id: str,
        settings: Mapping[str, Any] | None = None,
        env_steps: int = 0,
    ):
        self._config, self._dir, self._id, self._settings = config, Path(run_dir), run_id, dict(settings or {})
        self._place = {"env_steps": env_steps}  # of tables and pictures: where the last point was
        self._jobs: queue.Queue[Callable[[Any], None] | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._broken = config.mode == "disabled"
        if not self._broken:
            self._thread.start()

    def log(self, values: Mapping[str, float]) -> None:
        """One point of each curve; `values` holds "env_steps"."""
        values = dict(values)
        self._place = {"env_steps": values["env_steps"]}
        self._do(lambda run: run.log(values))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        data, place = [list(row) for row in rows], self._place
        self._do(lambda run: run.log(place | {name: _wandb().Table(columns=list(columns), data=data)}))

    def file(self, name: str, path: Path) -> None:
        """A picture, replay or video; its suffix is one of `KINDS`."""
        place = self._place
        self._do(lambda run: run.log(place | {name: KINDS[path.suffix](str(path))}))

    def artifact(self, name: str, path: Path, kind: str = "tasks") -> None:
        """A file under version control, such as the evaluated task set."""

        def add(run: Any) -> None:
            artifact = _wandb().Artifact(f"{name}-{self._id}", type=kind)
            artifact.add_file(str(path))
            run.log_artifact(artifact)

        self._do(add)

    def finish(self, seconds: float = FINISH_SECONDS) -> None:
        """Write what is waiting; give up after so many seconds."""
        if self._thread.is_alive() and not self._broken:
            self._do(None)
            self._thread.join(seconds)
            if self._thread.is_alive():
                self._warn(f"did not finish within {seconds:g} s")
                _abandon()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_) -> None:
        self.finish()

    def _do(self, job: Callable[[Any], None] | None) -> None:
        if not self._broken:
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                self._warn("does not keep up")
                _abandon()

    def _work(self) -> None:
        try:
            run = self._start()
            for job in iter(self._jobs.get, None):
                if self._broken:
                    return
                job(run)
            run.finish()
        except Exception as error:  # nothing that wandb raises may end a run
            self._warn(f"{type(error).__name__}: {first_line(error)}")
            _abandon()

    def _start(self) -> Any:
        folder = self._dir / "wandb"
        folder.mkdir(exist_ok=True)
        (folder / ".writable").write_bytes(b"")  # wandb itself would fall back to /tmp without a word
        (folder / ".writable").unlink()
        os.environ.setdefault("WANDB_DATA_DIR", str(folder.resolve()))
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder.resolve() / "cache"))
        wandb, config = _wandb(), self._config
        known = {key: value for key, value in QUIET.items() if key in wandb.Settings.model_fields}
        options = {
            "id": os.environ.get("WANDB_RUN_ID") or self._id,  # a sweep's agent gives one out
            "resume": "allow",
            "dir": str(self._dir),
            "project": config.project,
            "entity": config.entity,
            "name": config.name or self._dir.name,
            "tags": list(config.tags),
            "group": config.group,
            "config": self._settings,
            "settings": wandb.Settings(**known),
        }
        try:
            run = wandb.init(mode=config.mode, **options)
        except Exception as error:
            if config.mode == "offline":
                raise
            logger.warning("W&B is not reached (%s); going on offline in %s", first_line(error), folder)
            run = wandb.init(mode="offline", **options)
        run.define_metric("*", step_metric="env_steps")
        return run

    def _warn(self, problem: str) -> None:
        if not self._broken:
            self._broken = True
            logger.warning("W&B stopped (%s); training goes on without it, all results are in %s", problem, self._dir)


def _wandb() -> Any:
    import wandb  # takes most of a second, and a broken installation of it must not matter

    return wandb


def from_environment(config: WandbConfig) -> WandbConfig:
    """The settings with what W&B's environment variables say where the config says nothing.

    Raises:
        UserError: a variable holds what the setting does not take.
    """
    variables = {"project": "WANDB_PROJECT", "entity": "WANDB_ENTITY", "name": "WANDB_NAME", "tags": "WANDB_TAGS",
                 "group": "WANDB_RUN_GROUP", "mode": "WANDB_MODE"}  # fmt: skip
    found: dict[str, Any] = {setting: os.environ[variable] for setting, variable in variables.items()
                             if os.environ.get(variable) and setting not in config.model_fields_set}  # fmt: skip
    if "tags" in found:
        found["tags"] = [tag.strip() for tag in found["tags"].split(",") if tag.strip()]
    if os.environ.get("WANDB_SWEEP_ID") and "mode" not in config.model_fields_set:
        found.setdefault("mode", "online")  # a sweep lives on its server
    try:
        return WandbConfig.model_validate(config.model_dump(exclude_unset=True) | found)
    except ValidationError as error:
        setting = str(error.errors()[0]["loc"][0])
        problem = f"got {show(found[setting])}, expected {error.errors()[0]['msg']}"
        raise UserError(f"{variables[setting]}: {problem}; or set wandb.{setting} in the config") from error


def _last_env_steps(run: "Run") -> int:
    rows = run.metrics()
    return rows[-1]["env_steps"] if rows else 0


def publish(run: "Run", files: Iterable[Path]) -> None:
    """Add figures and replays (.png, .html, .mp4; others are left out) to the W&B run of a run folder."""
    with Tracker(run.config.wandb, run.path, run.id, env_steps=_last_env_steps(run)) as tracker:
        for file in files:
            if file.suffix in KINDS:
                tracker.file(f"{file.parent.name}/{file.stem}", file)


def publish_report(
    run: "Run", files: Iterable[Path], tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]], page: Path
) -> None:
    """Add a report to the W&B run of a run folder: its figures, its tables (columns, rows), and the page."""
    with Tracker(run.config.wandb, run.path, run.id, env_steps=_last_env_steps(run)) as tracker:
        for file in files:
            tracker.file(f"report/{file.stem}", file)
        for name, (columns, rows) in tables.items():
            tracker.table(f"report/{name}", columns, rows)
        tracker.artifact("report", page, kind="report")


def _abandon() -> None:
    """Take back wandb's hook at the interpreter's end, which would raise there or wait for ever."""

    def teardown() -> None:
        with contextlib.suppress(Exception):
            _wandb().teardown()  # takes the hook back first, then may fail or hang like all the rest

    thread = threading.Thread(target=teardown, name="wandb-teardown", daemon=True)
    thread.start()
    thread.join(0.5)
