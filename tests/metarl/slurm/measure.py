"""`metarl submit` on a Slurm that takes its jobs away: is any run lost, doubled, or other than undisturbed?

    bash tests/metarl/slurm/one_node.sh start /tmp/slurm && export SLURM_CONF=/tmp/slurm/slurm.conf
    python tests/metarl/slurm/measure.py --runs 20 --interruptions 30 --out docs/results/slurm.json

Half of the runs are of ProMP, half of RL². Jobs are announced a preemption (SIGUSR2), requeued, preempted by a
partition of higher priority, killed, and cancelled, at random moments; two runs have a time limit of a minute. What a
kill or a cancellation ends is submitted again. Each run is then compared with the same run trained alone.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from metarl.jobs import record
from metarl.jobs.status import states

CONFIG = """
env: {family: Navigation2D, horizon: 10}
policy: {hidden: [8], normalize_observations: true}
meta_batch: 4
episodes: 3
iterations: ITERATIONS
threads: 1
checkpoint_every: 20
evaluation: {tasks: 3, episodes: 2, steps: 1}
wandb: {mode: disabled}
"""
PROMP = "algorithm: {name: promp, epochs: 2}\ninner: {learn_lr: true}\n"
RL2 = "algorithm: {name: rl2, epochs: 2}\n"
METARL = [sys.executable, "-m", "metarl"]
DISTURBANCES = ("announced", "requeued", "preempted", "killed", "cancelled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--interruptions", type=int, default=30)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments)
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    raise SystemExit(bool(result["lost"] or result["doubled"] or result["different"]))


def measure(folder: Path, arguments: argparse.Namespace) -> dict:
    text = CONFIG.replace("ITERATIONS", str(arguments.iterations))
    (folder / "promp.yaml").write_text(text + PROMP)
    (folder / "rl2.yaml").write_text(text + RL2)
    study, started = folder / "study", time.monotonic()
    command = [folder / "promp.yaml", folder / "rl2.yaml", "--seeds", f"0-{arguments.runs // 2 - 1}"]
    submit(study, *command, "--option", "timeout_min=60")
    limited = folder / "limited"
    options = ["--option", "timeout_min=1", "--option", "slurm_signal_delay_s=20"]
    submit(limited, *command[:2], "--seeds", "0", f"iterations={5 * arguments.iterations}", *options)
    disturbed = disturb(study, arguments, random.Random(arguments.seed))
    finish(study)
    finish(limited)
    seconds = time.monotonic() - started
    found = [*((study, state) for state in states(study)), *((limited, state) for state in states(limited))]
    paths = [parent / state.name for parent, state in found]
    with ThreadPoolExecutor(2) as pool:
        alone = list(pool.map(train_alone, paths, [folder / "alone" / str(number) for number in range(len(paths))]))
    return {
        "command": "python tests/metarl/slurm/measure.py " + " ".join(sys.argv[1:]),
        "slurm": output("sinfo", "--version").strip(),
        "runs": len(paths),
        "disturbances": dict(disturbed),
        "starts": sum(count(path, "started") for path in paths),
        "starts_of_runs_with_a_time_limit_of_a_minute": [count(limited / s.name, "started") for s in states(limited)],
        "submissions": sum(count(path, "submitted") for path in paths),
        "lost": sum(state.state != "done" for _, state in found),
        "doubled": sum(doubled(path) for path in paths),
        "different": sum(digest(path) != digest(other) for path, other in zip(paths, alone)),
        "seconds": round(seconds),
    }


def submit(study: Path, *arguments: object) -> None:
    subprocess.run([*METARL, "submit", *map(str, arguments), "--run", str(study)], check=True)


def disturb(study: Path, arguments: argparse.Namespace, rng: random.Random) -> Counter:
    """Take jobs away until that happened so many times, or all is done."""
    done: Counter = Counter()
    while sum(done.values()) < arguments.interruptions:
        time.sleep(rng.uniform(1, 6))
        running = [state for state in states(study) if state.state == "running"]
        if all(state.state == "done" for state in states(study)):
            break
        what = rng.choice(DISTURBANCES)
        if not running:
            submit(study)
        elif disturbance(what, rng.choice(running).job):
            done[what] += 1
            if what in ("killed", "cancelled"):
                submit(study)
    return done


def disturbance(what: str, job: str) -> bool:
    """Whether it came about: the job may have ended meanwhile."""
    if what == "preempted":  # whoever Slurm chooses: a job that wants all cores for a second
        return succeeds("srun", "--partition=high", "--exclusive", "--ntasks=1", "sleep", "1")
    if what == "requeued":
        return succeeds("scontrol", "requeue", job)
    signals = {"announced": ["--signal=USR2"], "killed": ["--signal=KILL"], "cancelled": []}
    return succeeds("scancel", *signals[what], job)


def finish(study: Path) -> None:
    while not all(state.state == "done" for state in states(study)):
        if not any(state.state in ("pending", "running") for state in states(study)):
            submit(study)
        time.sleep(2)


def train_alone(path: Path, folder: Path) -> Path:
    command = [*METARL, "train", str(path / "config.yaml"), "wandb.group=alone", "--run", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def digest(path: Path) -> str:
    """Of the final weights and of all metrics."""
    newest = max((path / "checkpoints").iterdir(), key=lambda folder: int(folder.name))
    files = (newest / "state.safetensors", path / "metrics.jsonl")
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def doubled(path: Path) -> bool:
    """Whether an iteration is there twice or missing, or two jobs trained at once."""
    lines = [json.loads(line)["iteration"] for line in (path / "metrics.jsonl").read_text().splitlines()]
    at_once = any("in use by" in str(event.get("error")) for event in record.read_all(path))
    return at_once or lines != list(range(len(lines)))


def count(path: Path, event: str) -> int:
    return sum(line["event"] == event for line in record.read_all(path))


def succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=120).returncode == 0


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


if __name__ == "__main__":
    main()
