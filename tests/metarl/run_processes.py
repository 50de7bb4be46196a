"""Training in processes that can be killed, forked from a server that has the imports done.

    process = launch(train_command, ["config.yaml", "--run", "first"], "stderr.txt", fault="slow")
    os.kill(process.pid, signal.SIGKILL)
"""

import hashlib
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import torch

from metarl.algorithms.promp import ProMP
from metarl.cli import main
from metarl.config import Config, load_config
from metarl.runs import checkpoint
from metarl.runs.run import start
from metarl.training import interruption
from metarl.util.errors import UserError

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["metarl.training.train", "metarl.cli", "torch._dynamo"])  # Adam imports the last

TINY = """
env: {family: Navigation2D, horizon: 10}
algorithm: {name: promp, epochs: 2}
policy: {hidden: [8], normalize_observations: true}
inner: {learn_lr: true}
meta_batch: 4
episodes: 3
iterations: 30
threads: 1
checkpoint_every: 2
evaluation: {tasks: 3, episodes: 2, steps: 1, every: 7}
wandb: {mode: disabled}
"""


def tiny(folder: Path, *overrides: str) -> Config:
    (folder / "tiny.yaml").write_text(TINY)
    return load_config(folder / "tiny.yaml", overrides)


def launch(target, *arguments, **keywords):
    process = CONTEXT.Process(target=target, args=arguments, kwargs=keywords)
    process.start()
    return process


def finish(process, seconds: float = 200) -> int:
    """Exit code of the process, which must end by itself within so many seconds."""
    process.join(seconds)
    ended = process.exitcode is not None
    process.kill()
    process.join()
    assert ended, f"the process was still running after {seconds} s"
    return process.exitcode


def wait_for(condition, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def train_command(arguments: list[str], stderr: str, fault: str = "", **variables: str) -> None:
    """`metarl train ARGUMENTS` with `variables` in the environment, its output going to a file.

    `fault`: what iteration 5 does instead of ending.
    """
    os.environ.update(variables)
    descriptor = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if fault:
        iterate = ProMP.iterate
        interruption.PATIENCE = 1.0

        def faulty(self, env, iteration):
            if iteration == 5:
                print("stuck", file=sys.stderr, flush=True)
                if fault == "slow":  # ordinary Python, in which an exception can be raised
                    iterate(self, env, iteration)
                    time.sleep(60)
                if fault == "deaf":  # one call of a library, during which Python's signal handlers do not run
                    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)
            return iterate(self, env, iteration)

        ProMP.iterate = faulty
    main(["train", *arguments])


def tune_command(arguments: list[str], log: str) -> None:
    """`metarl tune ARGUMENTS`, its output going to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    main(["tune", *arguments])


def save_and_die(directory: str, call: int) -> None:
    """Save checkpoint 3 and be killed at system call number `call` of it."""
    remaining = [call]

    def dying(function):
        def replacement(*arguments, **keywords):
            remaining[0] -= 1
            if remaining[0] == 0:
                if function is os.write:
                    function(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)

        return replacement

    for name in ("open", "write", "fsync", "rename", "mkdir", "close", "rmdir", "unlink"):
        setattr(os, name, dying(getattr(os, name)))
    checkpoint.save(Path(directory), {"w": torch.full((100,), 3.0)}, {"iteration": 3}, keep=2)


def start_and_hold(folder: str, path: str, go: float, release) -> None:
    """Try to start a run at time `go`; exit with 0 after holding it until `release`, with 3 if refused in time."""
    config = load_config(Path(folder) / "tiny.yaml")
    time.sleep(max(0.0, go - time.time()))
    begun = time.monotonic()
    try:
        start(config, Path(path))
    except UserError as error:
        in_time = time.monotonic() - begun < 1.0
        sys.exit(3 if "in use by pid" in str(error) and in_time else str(error))
    release.wait(60)
