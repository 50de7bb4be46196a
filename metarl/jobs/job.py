"""One run as a job of submitit's: started anew as often as the cluster takes its machine away, resumed exactly.

    executor.submit(Job("/home/me/runs/study/seed_3"))

Before a time limit or a preemption Slurm sends the signal SIGUSR2. Training then stops at the end of its iteration
and saves, as after SIGTERM; after that submitit's own handler of the signal asks `checkpoint` what to run next, and
requeues the job. A job that is killed without warning and requeued by Slurm resumes from the newest checkpoint.
"""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl.jobs import record
from metarl.runs.run import open_run
from metarl.util.plugins import load_plugin
from metarl.util.signals import exit_on_sigterm

PATIENCE = 10
"""Starts in a row that may come to nothing: a job that needs longer for an iteration than it is given never ends."""


@dataclass(frozen=True)
class Job:
    """Trains the run in a folder when it is called.

    Attributes:
        run: the folder, absolute.
        plugins: modules of `--plugin`.
    """

    run: str
    plugins: tuple[str, ...] = ()

    def __call__(self) -> None:
        """Ends with SystemExit, whose code is that of `metarl train`, unless training is done."""
        from submitit import JobEnvironment

        environment, announcement = JobEnvironment(), JobEnvironment._usr_sig()
        requeue: Any = signal.getsignal(announcement)
        run, job = Path(self.run), environment.job_id
        with exit_on_sigterm():
            record.write(run, "started", job=job, iterations=record.iterations(open_run(run)))
            code, error = self._train(run)
        if code == 128 + announcement and _in_vain(run):
            code, error = 2, f"no iteration was done in {PATIENCE} starts; give each more time, by timeout_min"
        record.write(run, "ended", job=job, code=code, error=error)
        if code == 128 + announcement:
            requeue(announcement, None)
        if code:
            sys.exit(code)

    def _train(self, run: Path) -> tuple[int, str]:
        for plugin in self.plugins:
            load_plugin(plugin)
        from metarl.jobs.one_run import train_logged

        return train_logged(run, record.log_file(run))

    def checkpoint(self) -> Any:
        """What is to run after a requeue: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _in_vain(run: Path) -> bool:
    """Whether the last starts all found the run where it is now."""
    found = [event.get("iterations") for event in record.read_all(run) if event["event"] == "started"][-PATIENCE:]
    return len(found) == PATIENCE and {*found} == {record.iterations(open_run(run))}
