"""What is left of a run folder when other programs have been at it: one line and exit code 2, or the command works."""

import json
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from attack import QUICK, Case, besiege, cases
from run_processes import finish, launch, tiny

from metarl.evaluation.compare import compare_runs
from metarl.training.train import train

KNOWN = [
    Case("evaluate", ".", "no_entering", 0), Case("resume", ".", "no_entering", 0),
    Case("export", "versions.json", "directory", 0), Case("compare", "EVALUATION", "no_permission", 0),
    Case("compare", "evaluations", "no_permission", 0), Case("compare", "EVALUATION", "fifo", 0),
    Case("resume", "metrics.jsonl", "link_to_itself", 0), Case("resume", "timings.jsonl", "fifo", 0),
    Case("resume", "evaluations.jsonl", "directory", 0), Case("evaluate", "config.yaml", "fifo", 0),
    Case("compare", "looks.jsonl", "fifo", 0), Case("resume", "checkpoints", "no_writing", 0),
    Case("watch", "tasks/held_out.json", "no_permission", 0),
]  # fmt: skip
"""Each was a traceback, or hung."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A complete run with an evaluation of each kind."""
    folder = tmp_path_factory.mktemp("attacked")
    path = train(tiny(folder, "iterations=4", "evaluation.every=2"), folder / "run")
    compare_runs([path])
    return path


def fallen(run: Path, listed: list[Case]) -> list:
    """The cases that a command did not take well."""
    folder = Path(tempfile.mkdtemp(prefix="metarl-attack-"))
    try:
        assert finish(launch(besiege, str(run), str(folder), listed, str(folder / "result.json")), 1500) == 0
        return json.loads((folder / "result.json").read_text())
    finally:
        shutil.rmtree(folder)


def test_what_other_programs_leave_in_a_run_is_one_line(run):
    newest = max((run / "evaluations").iterdir(), key=lambda file: file.stat().st_mtime)  # that of compare
    known = [case._replace(file=case.file.replace("EVALUATION", f"evaluations/{newest.name}")) for case in KNOWN]
    assert fallen(run, [*known, *cases(random.Random(0), run, 60, QUICK)]) == []


@pytest.mark.whole  # some six minutes each
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
def test_a_longer_siege(run, seed):
    assert fallen(run, list(cases(random.Random(seed + 1), run, 120))) == []


def test_the_siege_sees_a_traceback_a_hang_and_control_characters(run):
    """What is asserted above can fail."""
    from attack import _problem

    assert _problem("none", "Traceback (most recent call last)", "") == "a traceback"
    assert _problem(2, "metarl: error: \x1b[31m", "metarl: error: \x1b[31m") == "control characters"
    assert _problem(2, "", "") == "no line for the error" and _problem(1, "", "") == "exit code 1"
    assert not _problem(2, "metarl: error: x", "metarl: error: x")
