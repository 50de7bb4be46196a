"""Mutation testing: small changes of the numerics, one at a time, each of which a test has to notice.

    make mutants                                          # all of them: hours
    make mutants MUTANTS="--sample 400 --jobs 2"          # so many, drawn at random, the same ones every time
    make mutants MUTANTS="agents/returns.py"              # of one file or folder
    make mutants MUTANTS="--survivors"                    # once more those that survived, after a test was added
    make mutants MUTANTS="--report"                       # what is known so far

cosmic-ray makes the mutants; two operators of our own are added. (mutmut leaves out what has a decorator: properties,
and all that is computed under torch.no_grad().) cosmic-ray would write each mutant into the file and start Python anew.
Here a process that has imported the libraries forks for each mutant, and the child imports the changed source: no file
is touched, `metarl.envs` is found wherever the installation finds it, and a mutant takes as long as the tests of its
module (`TESTS`) until the first one fails.

What happened stands in build/mutants.jsonl, from which an interrupted run goes on; `equivalent.yaml` holds the mutants
that change no number, each with the reason.
"""

import argparse
import collections
import contextlib
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import NamedTuple

import parso
import yaml
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "mutants.jsonl"
FOLDERS = ("metarl/algorithms", "agents", "metarl/evaluation", "envs/variation", "envs/task.py")
LIMIT = 60  # seconds that the tests of a mutant may take, or five times what the slowest of them take without one
LIBRARIES = (  # that a child need not import
    "gymnasium", "hypothesis", "matplotlib.figure", "mujoco.batch", "onnxruntime", "pydantic", "pytest", "rich.console",
    "safetensors.torch", "sb3_contrib", "scipy.stats", "typer",
)  # fmt: skip

_LEARNER = "tests/metarl/test_outer_objectives.py tests/metarl/test_meta_gradient.py tests/metarl/test_learners.py"
_RL2 = "tests/metarl/test_rl2.py"
_MEMORY = f"tests/agents/test_memory.py tests/agents/test_initialization.py {_RL2} tests/metarl/test_export.py"
_STATISTICS = "tests/metarl/test_statistics.py tests/metarl/test_compare.py"
_EVALUATION = "tests/metarl/test_evaluation.py tests/metarl/test_compare.py"
_ES_MAML = "tests/metarl/test_es_maml.py tests/agents/test_evolution.py"
_PLASTICITY = "tests/agents/test_plasticity.py tests/metarl/test_plasticity.py"
_SAC = "tests/agents/test_critics.py tests/agents/test_two_hot.py tests/metarl/test_recurrent_sac.py"
TESTS = {  # of a file or folder, the longest match; those that fail first, first
    "agents/returns.py": "tests/agents/test_returns.py",
    "agents/baseline.py": "tests/agents/test_baseline.py tests/agents/test_prepare.py",
    "agents/normalizer.py": "tests/agents/test_normaliser.py tests/metarl/test_export.py",
    "agents/rollout.py": "tests/agents/test_returns.py tests/metarl/test_sampling.py",
    "agents/adapter.py": "tests/metarl/test_sampling.py tests/metarl/test_testing.py",
    "agents/context_adapter.py": "tests/metarl/test_pearl.py",
    "agents/context_policy.py": "tests/metarl/test_pearl.py",
    "agents/critics.py": _SAC,
    "agents/evolution.py": "tests/agents/test_evolution.py",
    "agents/global_random.py": "tests/agents/test_sb3.py",
    "agents/plastic_adapter.py": _PLASTICITY,
    "agents/plasticity.py": _PLASTICITY,
    "agents/replay.py": "tests/agents/test_replay_store.py tests/metarl/test_pearl.py",
    "agents/search_adapter.py": _ES_MAML,
    "agents/squashed_policy.py": _SAC,
    "agents/two_hot.py": "tests/agents/test_two_hot.py",
    "agents": f"tests/agents/test_policy.py tests/agents/test_prepare.py {_LEARNER} tests/metarl/test_export.py",
    "agents/recurrent_adapter.py": f"{_RL2} tests/metarl/test_export.py",
    "agents/recurrent_policy.py": f"{_RL2} tests/metarl/test_export.py",
    "agents/teacher_student.py": "tests/agents/test_initialization.py tests/metarl/test_rma.py",
    "metarl/algorithms/rma.py": "tests/metarl/test_rma.py",
    "metarl/algorithms/rma_config.py": "tests/metarl/test_rma.py tests/metarl/test_config.py",
    "agents/memory": f"{_MEMORY} tests/metarl/test_plugins.py",
    "agents/memory/alpaca.py": f"tests/agents/test_alpaca.py {_MEMORY}",
    "agents/nn": "tests/agents/test_perceptron.py tests/agents/test_initialization.py tests/agents/test_activation.py"
    " tests/agents/test_policy.py tests/agents/test_memory.py",
    "agents/sb3": "tests/agents/test_sb3.py tests/agents/test_sb3_vec_env.py",
    "metarl/algorithms": f"{_LEARNER} tests/metarl/test_testing.py tests/metarl/test_config.py",
    "metarl/algorithms/baselines.py": "tests/metarl/test_baselines.py",
    "metarl/algorithms/es_maml.py": _ES_MAML,
    "metarl/algorithms/es_maml_config.py": f"{_ES_MAML} tests/metarl/test_config.py",
    "metarl/algorithms/evolution.py": f"{_ES_MAML} {_PLASTICITY}",
    "metarl/algorithms/off_policy.py": f"{_SAC} tests/metarl/test_pearl.py",
    "metarl/algorithms/off_policy_config.py": f"{_SAC} tests/metarl/test_config.py",
    "metarl/algorithms/pearl.py": "tests/metarl/test_pearl.py",
    "metarl/algorithms/pearl_config.py": "tests/metarl/test_pearl.py tests/metarl/test_config.py",
    "metarl/algorithms/plasticity.py": _PLASTICITY,
    "metarl/algorithms/plasticity_config.py": f"{_PLASTICITY} tests/metarl/test_config.py",
    "metarl/algorithms/recurrent_sac.py": _SAC,
    "metarl/algorithms/recurrent_sac_config.py": f"{_SAC} tests/metarl/test_config.py",
    "metarl/algorithms/soft_actor_critic.py": _SAC,
    "metarl/algorithms/base.py": "tests/metarl/test_testing.py tests/metarl/test_run.py tests/metarl/test_learners.py",
    "metarl/algorithms/inner_learners.py": f"{_LEARNER} tests/metarl/test_reptile.py tests/metarl/test_baselines.py",
    "metarl/algorithms/reptile.py": "tests/metarl/test_reptile.py",
    "metarl/algorithms/reptile_config.py": "tests/metarl/test_reptile.py tests/metarl/test_config.py",
    "metarl/algorithms/rl2.py": _RL2,
    "metarl/algorithms/rl2_config.py": f"{_RL2} tests/metarl/test_config.py",
    "metarl/algorithms/sequence_gradient.py": _RL2,
    "metarl/algorithms/trials.py": _RL2,
    "metarl/algorithms/trials_config.py": f"{_RL2} tests/metarl/test_config.py",
    "metarl/algorithms/sampling.py": "tests/metarl/test_sampling.py tests/metarl/test_evaluation.py",
    "metarl/algorithms/sb3_processes.py": "tests/metarl/test_reptile.py -k processes",
    "metarl/algorithms/state.py": f"{_LEARNER} {_RL2}",
    "metarl/algorithms/surrogate.py": "tests/metarl/test_surrogate.py",
    "metarl/algorithms/trust_region.py": "tests/metarl/test_trust_region.py",
    "metarl/evaluation": f"{_STATISTICS} {_EVALUATION}",
    "metarl/evaluation/adaptation_curve.py": "tests/metarl/test_evaluation.py",
    "metarl/evaluation/better.py": "tests/metarl/test_statistics.py",
    "metarl/evaluation/evaluate.py": _EVALUATION,
    "metarl/evaluation/metaworld.py": "tests/metarl/test_metaworld_protocol.py",
    "metarl/evaluation/result.py": _EVALUATION,
    "metarl/evaluation/statistics.py": _STATISTICS,
    "envs/variation": "tests/envs/test_quantities.py tests/envs/test_write.py tests/envs/test_strength.py",
    "envs/variation/quantities.py": "tests/envs/test_quantities.py tests/envs/test_documentation.py",
    "envs/variation/elements.py": "tests/envs/test_write.py tests/envs/test_own_robot.py",
    "envs/task.py": "tests/envs/test_task.py",
}
# of which tests that are marked slow are asked too: they take a tenth of a second each, or there are no others
SLOW = ("agents/sb3/", "envs/variation/changes.py", "envs/variation/inertia.py", "envs/variation/quantities.py",
        "metarl/algorithms/reptile.py", "metarl/algorithms/sb3_processes.py")  # fmt: skip

OPERATORS = [f"core/{name}" for name in (
    *(f"ReplaceBinaryOperator_{pair}" for pair in (
        "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "FloorDiv_Mul", "Mod_FloorDiv", "BitAnd_BitOr",
        "BitOr_BitAnd", "BitXor_BitAnd", "RShift_LShift", "LShift_RShift")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in (
        "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt", "Eq_NotEq", "NotEq_Eq",
        "Is_IsNot", "IsNot_Is")),
    *(f"ReplaceUnaryOperator_Delete_{sign}" for sign in ("USub", "Invert", "Not")),
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop", "NumberReplacer",
)]  # fmt: skip


class DeleteStatement(Operator):
    """A call whose result is not used, or the change of something that is there already, does not happen."""

    def mutation_positions(self, node):
        if node.type == "simple_stmt" and self._changes(node.children[0]):
            yield node.start_pos, node.end_pos

    @staticmethod
    def _changes(statement) -> bool:
        if statement.type in ("atom_expr", "power"):
            return True
        if statement.type != "expr_stmt" or statement.children[1].type == "annassign":
            return False
        target, sign, *rest = statement.children
        if sign.type == "augassign" or sign.value != "=" or target.type != "name":
            return True
        after = {leaf.value for part in rest for leaf in ast_nodes(part) if leaf.type == "name"}
        return target.value in after  # else the name would not be known

    def mutate(self, node, index):
        node.children[0] = parso.parse(node.children[0].get_first_leaf().prefix + "pass")
        return node

    @classmethod
    def examples(cls):
        return ()


class SwapFunction(Operator):
    """Another function of the same kind is called."""

    PAIRS = [("min", "max"), ("minimum", "maximum"), ("fmin", "fmax"), ("any", "all"), ("argmin", "argmax"),
             ("floor", "ceil"), ("sin", "cos"), ("zeros", "ones"), ("zeros_like", "ones_like")]  # fmt: skip
    OTHER = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])} | {"mean": "sum", "sum": "mean"}

    def mutation_positions(self, node):
        if node.type == "name" and node.value in self.OTHER:
            following = node.get_next_leaf()
            if following is not None and following.value == "(" and node.parent.type != "funcdef":
                yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        node.value = self.OTHER[node.value]
        return node

    @classmethod
    def examples(cls):
        return ()


OWN = {kind.__name__: kind for kind in (DeleteStatement, SwapFunction)}


class Mutant(NamedTuple):
    """One change of one file: this occurrence of what the operator changes, in the source of this digest."""

    file: str
    source: str
    operator: str
    occurrence: int

    def code(self) -> str:
        """The changed source."""
        return mutate_code((ROOT / self.file).read_text(), operator_of(self.operator), self.occurrence)


def mutants_of(file: str) -> Iterator[Mutant]:
    """All mutants of a file, but of what is no numerics."""
    source = (ROOT / file).read_text()
    digest, nodes = hashlib.sha256(source.encode()).hexdigest()[:12], list(ast_nodes(get_ast(source)))
    for name in [*OPERATORS, *OWN]:
        operator, occurrence = operator_of(name), -1
        for node in nodes:
            for _ in operator.mutation_positions(node):
                occurrence += 1
                if not _no_numerics(node):
                    yield Mutant(file, digest, name, occurrence)


def operator_of(name: str) -> Operator:
    return (OWN.get(name) or get_operator(name))()


def _no_numerics(node) -> bool:
    """Annotations, and what only guards: strict=True, frozen=True."""
    while node.parent is not None:
        siblings, kind = node.parent.children, node.parent.type
        if kind == "argument" and siblings[0].get_code().strip() in ("strict", "frozen"):
            return True
        if kind == "tfpdef" or (kind == "annassign" and node is siblings[1]):
            return True
        if kind == "funcdef" and node in siblings and siblings[siblings.index(node) - 1] == "->":
            return True
        node = node.parent
    return False


def difference(source: str, mutated: str) -> tuple[int, str]:
    """The line, and "the lines that differ  ->  what they are now"."""
    a, b = source.splitlines(), mutated.splitlines()
    first = next(i for i, (x, y) in enumerate(zip(a, b)) if x != y)
    last = next(i for i, (x, y) in enumerate(zip(reversed(a), reversed(b))) if x != y)
    was, now = (" ".join(" ".join(x[first : len(x) - last]).split()) for x in (a, b))
    return first + 1, f"{was}  ->  {now}"


# ---- one mutant


def run_tests(file: str, source: str | None, report: Path) -> None:
    """The tests of a file, of which `source` is imported instead: writes which test failed first, and never returns."""
    path = os.path.realpath(ROOT / file)
    get_code = SourceFileLoader.get_code

    def changed(self, fullname):
        if source is not None and os.path.realpath(self.path) == path:
            return compile(source, path, "exec", dont_inherit=True)
        return get_code(self, fullname)

    SourceFileLoader.get_code = changed
    import pytest

    failed = []

    class First:
        def pytest_runtest_logreport(self, report):
            if report.failed:
                failed.append(report.nodeid)

        def pytest_collectreport(self, report):
            if report.failed:
                failed.append(f"import of {report.nodeid}")

    out = os.open(os.devnull, os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    marks = "not (gl or metaworld or browser)" + ("" if file.startswith(SLOW) else " and not slow")
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", marks, *tests_of(file)]
    code = 1
    with contextlib.suppress(BaseException):
        code = int(pytest.main(arguments, plugins=[First()]))
    report.write_text(json.dumps({"killed": code != 0, "by": failed[0] if failed else f"exit code {code}"}))
    os._exit(0)


def tests_of(file: str) -> list[str]:
    keys = [key for key in TESTS if file == key or file.startswith(key + "/")]
    return TESTS[max(keys, key=len)].split()


class Forks:
    """Children that run tests, `jobs` at once."""

    def __init__(self, jobs: int):
        self.jobs, self.running, self.limit = jobs, {}, 600.0
        self.folder = ROOT / "build" / f"mutants.{os.getpid()}"
        self.folder.mkdir(parents=True)

    def start(self, task, file: str, source: str | None) -> Iterator[tuple]:
        """Begin; gives what has come to its end, if that had to be waited for."""
        while len(self.running) >= self.jobs:
            yield self.one()
        report = self.folder / f"{time.monotonic_ns()}.json"
        child = os.fork()
        if child == 0:
            os.setsid()
            run_tests(file, source, report)
        self.running[child] = task, report, time.monotonic()

    def one(self) -> tuple:
        """The next (task, {"killed", "by", "seconds"})."""
        while True:
            for child, (task, report, began) in self.running.items():
                seconds = time.monotonic() - began
                ended = os.waitpid(child, os.WNOHANG)[0]
                if not ended and seconds < self.limit:
                    continue
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)  # with what the tests have started
                if not ended:
                    os.waitpid(child, 0)
                del self.running[child]
                lost = {"killed": True, "by": "its end" if ended else f"no end in {self.limit:.0f} s"}
                result = json.loads(report.read_text()) if report.exists() else lost
                report.unlink(missing_ok=True)
                return task, result | {"seconds": round(seconds, 1)}
            time.sleep(0.02)

    def rest(self) -> Iterator[tuple]:
        while self.running:
            yield self.one()

    def close(self) -> None:
        """End what still runs."""
        for child in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        shutil.rmtree(self.folder)


# ---- all of them


def files_of(paths: list[str]) -> list[str]:
    found = (sorted((ROOT / path).rglob("*.py")) if (ROOT / path).is_dir() else [ROOT / path] for path in paths)
    return [path.relative_to(ROOT).as_posix() for paths in found for path in paths]


def results() -> dict[Mutant, dict]:
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    return {Mutant(*row["mutant"]): row for row in rows}


def equivalent() -> set[tuple[str, str]]:
    """(file, change), or (file, line) for any change of that line, of those that no test can tell from the code."""
    listed = yaml.safe_load((Path(__file__).parent / "equivalent.yaml").read_text()) or {}
    return {(file, row.get("change") or row["line"]) for file, rows in listed.items() for row in rows}


def is_equivalent(file: str, change: str, same: set[tuple[str, str]]) -> bool:
    line, _, changed = change.partition("  ->  ")
    of_signature = changed.replace("/,", "*,") == line  # the mark of arguments that go by name, which all do
    return of_signature or bool(same & {(file, change), (file, line)})


def summary(rows: list[dict]) -> None:
    """Each mutant that survives, and a line for each folder."""
    same = equivalent()

    def kind(row: dict) -> str:
        alike = is_equivalent(row["mutant"][0], row["change"], same)
        return "killed" if row["killed"] else "equivalent" if alike else "survives"

    for row in sorted(rows, key=lambda row: (row["mutant"][0], row["line"])):
        if kind(row) == "survives":
            print(told(row))
    for folder in (*FOLDERS, ""):
        counts = collections.Counter(kind(row) for row in rows if row["mutant"][0].startswith(folder))
        if tried := counts["killed"] + counts["survives"]:
            print(f"{folder or 'all':20} {tried:5} tried, {counts['survives']:4} survive,"
                  f" {100 * counts['killed'] / tried:5.1f} % killed; {counts['equivalent']} equivalent")  # fmt: skip


def told(row: dict) -> str:
    return f"survives: {row['mutant'][0]}:{row['line']}: {row['change']}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutation testing of the numerics.")
    parser.add_argument("paths", nargs="*", default=FOLDERS, help="files or folders")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once")
    parser.add_argument("--survivors", action="store_true", help="only those that survived before")
    parser.add_argument("--report", action="store_true", help="run nothing: what is known so far")
    chosen = parser.parse_args()

    chosen_files = files_of(chosen.paths)
    wanted = [mutant for file in chosen_files for mutant in mutants_of(file)]
    print(f"{len(wanted)} mutants in {len(chosen_files)} files", flush=True)
    if chosen.sample and chosen.sample < len(wanted):
        wanted = random.Random(chosen.seed).sample(wanted, chosen.sample)
    known, same = results(), equivalent()
    every = wanted
    if chosen.survivors:
        rows = {mutant: known[mutant] for mutant in wanted if mutant in known}
        wanted = [m for m, row in rows.items() if not (row["killed"] or is_equivalent(m.file, row["change"], same))]
    else:
        wanted = [mutant for mutant in wanted if mutant not in known]
    if not chosen.report:
        run(wanted, known, chosen.jobs)
    summary([known[mutant] for mutant in every if mutant in known])


def run(wanted: list[Mutant], known: dict[Mutant, dict], jobs: int) -> None:
    """Try the mutants; what comes of them is written, and put into `known`."""
    for library in LIBRARIES:
        importlib.import_module(library)
    import torch

    torch.set_num_threads(1)
    torch.func.jvp(torch.func.grad(torch.tanh), (torch.ones(()),), (torch.ones(()),))  # what it loads when first used
    os.chdir(ROOT)
    sys.dont_write_bytecode = True
    with contextlib.closing(Forks(jobs)) as forks:
        try_all(forks, wanted, known)


def try_all(forks: Forks, wanted: list[Mutant], known: dict[Mutant, dict]) -> None:
    """First that the tests pass without a mutant, then each of the mutants."""
    slowest = 0.0

    def sound(file: str, result: dict) -> None:
        nonlocal slowest
        slowest = max(slowest, result["seconds"])
        if result["killed"]:
            sys.exit(f"the tests of {file} fail without a mutant: {result['by']}")

    def note(mutant: Mutant, result: dict) -> None:
        known[mutant] = {"mutant": mutant, **result}
        with RESULTS.open("a") as stream:
            stream.write(json.dumps(known[mutant]) + "\n")
        if not result["killed"]:
            print(told(known[mutant]), flush=True)

    files = {" ".join(tests_of(mutant.file)): mutant.file for mutant in wanted}  # those of the same tests once
    for file in files.values():
        for task, result in forks.start(file, file, None):
            sound(task, result)
    for task, result in forks.rest():
        sound(task, result)
    forks.limit = max(LIMIT, 5 * slowest)
    for mutant in wanted:
        source, code = (ROOT / mutant.file).read_text(), mutant.code()
        if code == source:  # a number written otherwise
            continue
        line, change = difference(source, code)
        for (done, *about), result in forks.start((mutant, line, change), mutant.file, code):
            note(done, dict(zip(("line", "change"), about)) | result)
    for (done, *about), result in forks.rest():
        note(done, dict(zip(("line", "change"), about)) | result)


if __name__ == "__main__":
    main()
