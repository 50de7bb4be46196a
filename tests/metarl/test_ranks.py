"""One run over many ranks: the same as on one, whatever happens to any of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from metarl.algorithms.rl2 import RL2
from metarl.algorithms.rl2_config import RL2Config
from metarl.algorithms.trials import dealt
from metarl.config import Config, EnvConfig, load_config
from metarl.runs.run import open_run
from metarl.training.train import train
from metarl.util.errors import UserError
from metarl.util.machine import gpu_of_rank, threads_of_each_rank
from metarl.util.ranks import Ranks, _PartOfNoise, current, joined

pytestmark = pytest.mark.slow

SMALL = [
    "meta_batch=4", "episodes=3", "env.horizon=30", "evaluation.tasks=2", "evaluation.episodes=2",
    "evaluation.steps=1", "threads=1", "wandb.mode=disabled",
]  # fmt: skip
REPTILE = "env: {family: HalfCheetahVel}\nalgorithm: {name: reptile}\ninner: {steps: 2}\n"
LEARNERS = {
    "promp": ["half_cheetah_dir/promp", "env.family=HalfCheetahVel", "policy.normalize_observations=true"],
    "maml-trpo": ["half_cheetah_dir/maml", "env.family=Walker2dVel"],
    "rl2": [
        "half_cheetah_vel/rl2", "algorithm.memory_size=16", "algorithm.minibatches=6", "bootstrap_at_horizon=true",
        "meta_batch=8",
    ],
    "transformer": [
        "half_cheetah_disabled_joint/rl2", "algorithm.memory=transformer", "algorithm.memory_size=16",
        "algorithm.normalize_by=disabled_joint",
    ],
    "reptile": ["reptile.yaml"],
    "es-maml": ["half_cheetah_dir/es_maml", "policy.normalize_observations=true"],
    "plasticity": ["half_cheetah_dir/plasticity", "algorithm.start=random"],
    "rma": ["half_cheetah_mass/rma", "algorithm.memory_size=16", "algorithm.student_share=0.5", "algorithm.lr=1e-30"],
}
# the teacher's and the student's; had the teacher moved, by rounding differences, chaos would part the student's trials
ITERATIONS = {"rma": 2}
IP = shutil.which("ip")
ADDRESSES = "10.77.0.1", "10.77.0.2"
TOLERANCE = {"maml-trpo": 1e-4}  # ten steps of conjugate gradients in float32 enlarge what rounding differs by


def torchrun(ranks, *command, before=(), options=("--standalone",), **variables):
    """A Python script or module in so many processes."""
    launch = [*before, sys.executable, "-m", "torch.distributed.run", *options, "--nproc-per-node", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        [*launch, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip


def train_over(ranks, *arguments, **launch):
    """`metarl train`. Without the two dashes torchrun of Python 3.11 takes --run for its own --run-path."""
    return torchrun(ranks, "-m", "--", "metarl", "train", *arguments, **launch)


def ended(process, code=0):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def weights(folder):
    state = open_run(folder).checkpoint().tensors
    return {name: value.double() for name, value in state.items() if value.is_floating_point()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each learner's run on one rank and on two, ProMP's also on four, on two again, and resumed on two."""
    root = tmp_path_factory.mktemp("ranks")
    (root / "reptile.yaml").write_text(REPTILE)

    def job(folder, name, iterations=None, resumes=False):
        config, *settings = LEARNERS[name]
        iterations = iterations or ITERATIONS.get(name, 1)
        config = str(root / config) if config.endswith(".yaml") else config
        given = {setting.partition("=")[0] for setting in settings}
        small = [setting for setting in SMALL if setting.partition("=")[0] not in given]
        return [str(root / folder), config, [*settings, *small, f"iterations={iterations}"], resumes]

    jobs = {
        1: [job(f"{name}-1", name) for name in LEARNERS],
        2: [
            *[job(f"{name}-2", name) for name in LEARNERS], job("promp-again", "promp"),
            job("whole", "promp", 2), job("parts", "promp"),
            job("parts", "promp", 2, resumes=True),
        ],
        4: [job("promp-4", "promp"), job("rl2-4", "rl2")],
    }  # fmt: skip
    for ranks, wanted in jobs.items():
        (root / "jobs.json").write_text(json.dumps(wanted))
        ended(torchrun(ranks, Path(__file__).with_name("train_all.py"), root / "jobs.json"))
    return root


@pytest.mark.parametrize(("name", "ranks"), [*[(name, 2) for name in LEARNERS], ("promp", 4), ("rl2", 4)])
def test_the_number_of_ranks_does_not_matter(runs, name, ranks):
    one, many = weights(runs / f"{name}-1"), weights(runs / f"{name}-{ranks}")
    assert one.keys() == many.keys()
    for key, value in one.items():
        assert float((many[key] - value).norm()) <= TOLERANCE.get(name, 1e-6) * max(1.0, float(value.norm())), key
    rows = [open_run(runs / f"{name}-{n}").metrics() for n in (1, ranks)]
    for got, want in zip(*rows, strict=True):
        assert got == pytest.approx(want, rel=100 * TOLERANCE.get(name, 1e-6), abs=1e-5)
    tasks = [open_run(runs / f"{name}-{n}").tasks("validation") for n in (1, ranks)]
    assert tasks[0] == tasks[1]


def test_the_same_number_of_ranks_gives_the_same_bits(runs):
    one, again = weights(runs / "promp-2"), weights(runs / "promp-again")
    assert all(torch.equal(value, again[name]) for name, value in one.items())


def test_a_run_of_two_ranks_is_resumed_by_two(runs):
    one, two = weights(runs / "whole"), weights(runs / "parts")
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert open_run(runs / "parts").metrics() == open_run(runs / "whole").metrics()


def test_another_number_of_ranks_goes_on_and_says_so(runs, caplog):
    train(load_config(runs / "parts" / "config.yaml", ["iterations=3"]), runs / "parts", resume=True)
    assert "ranks 2 -> 1" in caplog.text
    assert open_run(runs / "parts").checkpoint().iteration == 3


def members(process):
    """Pids of the ranks that a torchrun started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children]


def begun(folder, process):
    """Wait for an iteration."""
    deadline = time.monotonic() + 120
    while not (folder / "metrics.jsonl").exists() or not (folder / "metrics.jsonl").read_text().count("\n"):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)


MOMENTS = [pytest.param(i % 2, 0.37 * i, marks=pytest.mark.whole if i > 1 else ()) for i in range(20)]


@pytest.mark.parametrize(("victim", "later"), MOMENTS)
def test_a_rank_that_dies_ends_all_others(tmp_path, victim, later):
    config, *overrides = LEARNERS["promp"]
    process = train_over(2, config, *SMALL, *overrides, "iterations=100000", "--run", tmp_path / "run")
    begun(tmp_path / "run", process)
    time.sleep(later)
    os.kill(members(process)[victim], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "exitcode  : -9" in output and f"rank      : {victim}" in output
    assert open_run(tmp_path / "run").checkpoint() is not None  # intact


def test_sigterm_to_one_rank_stops_all_after_the_same_iteration(tmp_path):
    config, *overrides = LEARNERS["promp"]
    process = train_over(2, config, *SMALL, *overrides, "iterations=100000", "--run", tmp_path / "run")
    begun(tmp_path / "run", process)
    os.kill(members(process)[1], signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert "stopped after" in output and "another rank has ended" not in output
    run = open_run(tmp_path / "run")
    assert run.checkpoint().iteration == len(run.metrics()) > 0


def test_sigterm_stops_all_ranks_and_keeps_what_is_done(tmp_path):
    config, *overrides = LEARNERS["promp"]
    process = train_over(2, config, *SMALL, *overrides, "iterations=100000", "--run", tmp_path / "run")
    begun(tmp_path / "run", process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output.split("torch/distributed")[0]
    run = open_run(tmp_path / "run")
    assert run.checkpoint().iteration == len(run.metrics()) > 0


@pytest.fixture
def hosts():
    """Two hosts that see each other: network namespaces, as (how to start something there, its network device)."""
    names = [f"metarl{os.getpid()}{side}" for side in "ab"]
    made = subprocess.run(["ip", "netns", "add", names[0]], capture_output=True, check=False) if IP else None
    if made is None or made.returncode:
        pytest.skip("no network namespaces: they need `ip` and the right to make them")

    def ip(*command):
        subprocess.run(["ip", *command], check=True)

    try:
        ip("netns", "add", names[1])
        ip("link", "add", "one", "netns", names[0], "type", "veth", "peer", "name", "two", "netns", names[1])
        for name, device, address in zip(names, ("one", "two"), ADDRESSES):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            for each in ("lo", device):
                ip("-n", name, "link", "set", each, "up")
        yield [(["ip", "netns", "exec", name], device) for name, device in zip(names, ("one", "two"))]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def over_two_hosts(hosts, *arguments):
    """torchrun on each of them, with a rank each."""
    for number, (before, device) in enumerate(hosts):
        options = ["--nnodes", "2", "--node-rank", str(number), "--master-addr", ADDRESSES[0], "--master-port", "29500"]
        yield train_over(1, *arguments, before=before, options=options, GLOO_SOCKET_IFNAME=device)


def test_two_hosts_train_as_one(runs, hosts, tmp_path):
    config, *settings = LEARNERS["promp"]
    for process in list(over_two_hosts(hosts, config, *settings, *SMALL, "iterations=1", "--run", tmp_path / "run")):
        ended(process)
    one, many = weights(runs / "promp-2"), weights(tmp_path / "run")
    assert all(torch.equal(value, many[name]) for name, value in one.items())


def test_a_launcher_that_is_killed_ends_the_ranks_of_all_hosts(hosts, tmp_path):
    config, *settings = LEARNERS["promp"]
    run = tmp_path / "run"
    first, second = over_two_hosts(hosts, config, *settings, *SMALL, "iterations=100000", "--run", run)
    begun(run, first)
    second.kill()
    second.communicate(timeout=60)  # to the end of its rank, which has the same standard output
    output, _ = first.communicate(timeout=60)
    assert first.returncode != 0 and "stopped after" in output
    assert open_run(run).checkpoint().iteration == len(open_run(run).metrics()) > 0


def test_what_no_ranks_can_use_is_refused(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    expected = "backend: got nccl, expected gloo: this PyTorch is built without NCCL"
    with pytest.raises(UserError, match=expected), joined("nccl"):
        pass


def test_what_cannot_be_shared_is_refused_once(tmp_path):
    output = ended(train_over(2, "half_cheetah_mass/random", *SMALL, "--run", tmp_path / "run"), code=1)
    assert output.count("metarl: error: algorithm random: got 2 ranks, expected 1: it has no sums over them") == 1


# ---- the pieces, without processes


def test_shares_are_whole_and_even():
    for count in (1, 4, 7, 40):
        for size in range(1, count + 1):
            parts = [Ranks(rank, size).share(count) for rank in range(size)]
            assert [i for part in parts for i in range(count)[part]] == list(range(count))
            sizes = [part.stop - part.start for part in parts]
            assert max(sizes) - min(sizes) <= 1 and min(sizes) > 0


def parts_of_ranks(size, minibatches, revision=3):
    """The trials in each minibatch of each rank, by their numbers in the whole: 8 tasks of 3 trials."""
    learner = RL2.__new__(RL2)
    algorithm = RL2Config(minibatches=minibatches)
    learner.config = Config(
        env=EnvConfig(family="Navigation2D"), algorithm=algorithm, meta_batch=8, episodes=3, revision=revision
    )
    for rank in range(size):
        own = Ranks(rank, size).share(8)
        numbers = torch.arange(3 * own.start, 3 * own.stop)
        batch = Numbers(torch.cat([1 + numbers, 1 + numbers + 100])[None])  # two windows of each
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("metarl.algorithms.rl2.current", lambda rank=rank: Ranks(rank, size))
            patch.setattr(Ranks, "sum", lambda self, steps: steps)  # no message: the others' are missing
            yield [sorted(part.weights[0].tolist()) for part, _ in learner.minibatches(batch, 5, 1)]


class Numbers(NamedTuple):
    weights: torch.Tensor


@pytest.mark.parametrize("revision", [2, 3])
@pytest.mark.parametrize("minibatches", [1, 5, 6, 24])
def test_minibatches_are_those_of_one_rank_whatever_the_number_of_ranks(minibatches, revision):
    ((*whole,),) = parts_of_ranks(1, minibatches, revision)
    assert sorted(sum(whole, [])) == [*range(1, 25), *range(101, 125)]
    for size in (2, 3, 4, 8):
        of_ranks = parts_of_ranks(size, minibatches, revision)
        together = [sorted(n for part in parts for n in part if n) for parts in zip(*of_ranks)]
        assert together == whole


@pytest.mark.parametrize(("size", "most"), [(2, 2), (4, 1)])
def test_each_rank_has_as_many_trials_of_a_minibatch(size, most):
    """Six minibatches of four trials."""
    for parts in parts_of_ranks(size, 6):
        assert [len(part) for part in parts] == [2 * most] * 6  # two windows each
    assert any(len(part) != 2 * most for parts in parts_of_ranks(size, 6, revision=2) for part in parts)


def test_minibatches_differ_in_size_by_one_at_most_and_are_drawn_anew():
    rng = np.random.default_rng(0)
    for trials, parts in ((100, 20), (23, 5), (3, 3), (7, 1)):
        one, other = dealt(rng, trials, parts), dealt(rng, trials, parts)
        assert sorted(np.concatenate(one)) == list(range(trials)) and len(one) == parts
        sizes = [len(part) for part in one]
        assert max(sizes) - min(sizes) <= 1
        assert parts == 1 or any(list(a) != list(b) for a, b in zip(one, other))
        for start in range(0, trials - parts + 1, parts):  # no two of those that follow one another
            assert all(((part >= start) & (part < start + parts)).sum() == 1 for part in one)


def test_tensors_and_numbers_go_in_one_message(monkeypatch):
    sent = []

    def all_reduce(total):  # the other rank has a hundred times these values
        sent.append(total.clone())
        total.mul_(101.0)

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    tensors = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor(3.0)}
    sums, numbers = Ranks(0, 2).sum_all(tensors, {"loss": 4.0})
    assert len(sent) == 1 and sent[0].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert sums["a"].tolist() == [[101.0, 202.0]] and float(sums["b"]) == 303.0 and numbers == {"loss": 404.0}
    assert tensors["a"].tolist() == [[1.0, 2.0]]
    assert Ranks(0, 2).sum_all({"b": torch.tensor(3.0)}) == ({"b": torch.tensor(303.0)}, {})
    assert Ranks().sum_all(tensors, {"loss": 4.0}) == (tensors, {"loss": 4.0})


def test_noise_of_a_part_is_that_part_of_the_noise_of_all():
    seed = np.random.SeedSequence(3)
    whole = np.random.default_rng(seed)
    part = Ranks().noise(seed, first=4, count=6, whole=12)
    assert isinstance(part, _PartOfNoise)
    for _ in range(2):  # by simulation, and by task of two episodes
        every = whole.standard_normal((12, 3), np.float32)
        np.testing.assert_array_equal(part.standard_normal((6, 3), np.float32), every[4:10])
        every = whole.standard_normal((6, 2, 3), np.float32)
        np.testing.assert_array_equal(part.standard_normal((3, 2, 3), np.float32), every[2:5])
        np.testing.assert_array_equal(part.random((6, 3), np.float32), whole.random((12, 3), np.float32)[4:10])


def test_alone_nothing_is_touched(monkeypatch):
    ranks, values = current(), np.array([1.0, np.nan, 3.0])
    tensor = torch.ones(3)
    assert ranks == Ranks(0, 1) and ranks.first
    assert ranks.sum(tensor) is tensor and ranks.mean(values) == 2.0 and ranks.total(2) == 2
    assert ranks.from_first("a") == "a"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert [threads_of_each_rank(n) for n in (16, 2)] == [4, 1]


def test_each_rank_of_a_machine_has_a_gpu_of_its_own():
    def rank(local, here, **more):
        return {"MASTER_ADDR": "node0", "LOCAL_RANK": str(local), "LOCAL_WORLD_SIZE": str(here), **more}

    assert [gpu_of_rank(4, rank(local, 4)) for local in range(4)] == [0, 1, 2, 3]
    assert gpu_of_rank(8, rank(1, 2, RANK="5", WORLD_SIZE="6")) == 1  # the second one of its machine
    assert gpu_of_rank(1, {}) == gpu_of_rank(0, {"LOCAL_RANK": "3"}) == 0  # not of torchrun's
    with pytest.raises(ValueError, match="^got 4 ranks on this machine, expected 2 at most: a GPU for each$"):
        gpu_of_rank(2, rank(0, 4))


def test_a_rank_writes_nothing_but_what_the_first_one_does(runs):
    files = [sorted(p.name for p in (runs / f"promp-{n}").iterdir()) for n in (1, 2)]
    assert files[0] == files[1]
    sessions = json.loads((runs / "promp-2" / "versions.json").read_text())["sessions"]
    assert [session["ranks"] for session in sessions] == [2]
