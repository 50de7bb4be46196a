"""W&B gets everything, and nothing that happens to it reaches the run."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
import yaml
from run_processes import finish, launch, tiny, train_command, wait_for

from metarl.config import WandbConfig, load_config
from metarl.runs.jsonl import read_lines
from metarl.training import tracking
from metarl.training.tracking import Tracker, from_environment, publish
from metarl.util.errors import UserError

CANARY = "c0ffee" * 6 + "cafe"


def command(folder: Path, *overrides: str) -> list[str]:
    tiny(folder)
    options = ["wandb.mode=offline", "evaluation.every=0", *overrides, "--run", str(folder / "run")]
    return [str(folder / "tiny.yaml"), *options]


def train_with_wandb(folder: Path, *overrides: str) -> subprocess.Popen:
    """A process that ends as a user's does, running what libraries have registered to be run then."""
    with (folder / "stderr").open("w") as stderr:
        arguments = [sys.executable, "-m", "metarl.cli", "train", *command(folder, *overrides)]
        return subprocess.Popen(arguments, stderr=stderr, stdout=subprocess.DEVNULL, start_new_session=True)


def core_of(pid: int) -> int | None:
    """The wandb-core process that `pid` started."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition(") ")
        except OSError:
            continue
        if "wandb-core" in name and rest.split()[1] == str(pid):
            return int(path.parent.name)
    return None


def tracked(folder: Path) -> bool:
    """Whether W&B has begun to write down the run."""
    return any(path.stat().st_size for path in (folder / "run" / "wandb").glob("offline-run-*/*.wandb"))


def of_metarl(caplog) -> list[str]:
    """What metarl has logged; W&B of another test may speak as well."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("metarl")]


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.slow
def test_a_run_is_tracked_offline_and_keeps_its_id_and_its_secrets(tmp_path):
    secrets = {"WANDB_API_KEY": CANARY, "HF_TOKEN": CANARY, "HOME": str(tmp_path)}
    for options in (["iterations=3"], ["iterations=5", "--resume"]):
        process = launch(train_command, command(tmp_path, *options), str(tmp_path / "stderr"), **secrets)
        assert finish(process, 120) == 0
    assert "wandb" not in (tmp_path / "stderr").read_text().lower()
    first, second = sorted((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert first.name.split("-")[3] == second.name.split("-")[3]  # behind it a number, of two in one second
    log = next(first.glob("*.wandb")).read_bytes()
    for text in (b"return_0", b"env_steps", b"adaptation", b"tasks-validation", b"Navigation2D"):
        assert text in log, text
    assert list(first.glob("files/media/table/adaptation*.json"))
    assert CANARY.encode() not in contents(tmp_path)
    assert not (tmp_path / ".netrc").exists() and not (tmp_path / ".local").exists()


@pytest.mark.slow
def test_wandb_killed_in_mid_run_is_one_line(tmp_path):
    process = train_with_wandb(tmp_path, "iterations=150", "evaluation.steps=0")
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait_for(lambda: tracked(tmp_path), 120)
    os.kill(core_of(process.pid), signal.SIGKILL)
    code, errors = process.wait(120), (tmp_path / "stderr").read_text()
    assert code == 0 and [record["iteration"] for record in read_lines(metrics)] == list(range(150)), errors
    assert errors.count("W&B stopped (") == 1 and "all results are in" in errors, errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_wandb_that_hangs_holds_nothing_up(tmp_path):
    process = train_with_wandb(tmp_path, "iterations=100000")
    wait_for(lambda: tracked(tmp_path), 120)
    core = core_of(process.pid)
    os.kill(core, signal.SIGSTOP)
    try:
        os.kill(process.pid, signal.SIGTERM)
        code = process.wait(10)
    finally:
        process.kill()
        os.kill(core, signal.SIGKILL)
    errors = (tmp_path / "stderr").read_text()
    assert code == 143 and "Traceback" not in errors and "stopped after" in errors, errors


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, caplog):
    (tmp_path / "wandb").write_text("in the way")
    with Tracker(WandbConfig(mode="offline"), tmp_path, "abcd1234") as tracker:
        tracker.log({"env_steps": 1})
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("metarl")]
    assert len(messages) == 1 and messages[0].startswith("W&B stopped (FileExistsError") and "\n" not in messages[0]
    assert not Path("/tmp/wandb").exists() and (tmp_path / "wandb").read_text() == "in the way"


class FakeRun:
    def __init__(self, log):
        self.logged, self.log, self.finished = [], log or (lambda values: self.logged.append(values)), False
        self.axes = {}

    def define_metric(self, name, step_metric):
        self.axes[name] = step_metric

    def finish(self):
        self.finished = True


@pytest.fixture
def fake(monkeypatch):
    """A stand-in for wandb, to fail in ways that need a network; `inits` are the arguments of each init."""
    module = types.SimpleNamespace(inits=[], run=FakeRun(None), fail=None, teardown=lambda: None)

    def init(**options):
        module.inits.append(options)
        if module.fail and options["mode"] == "online":
            raise module.fail
        return module.run

    def settings(**options):
        return options

    settings.model_fields = tracking.QUIET
    module.init, module.Settings = init, settings
    monkeypatch.setattr(tracking, "_wandb", lambda: module)
    return module


def test_no_network_or_a_bad_key_falls_back_to_offline(tmp_path, caplog, fake):
    fake.fail = TimeoutError(f"timed out\nkey {CANARY}")
    with Tracker(WandbConfig(mode="online", tags=("a",)), tmp_path, "abcd1234") as tracker:
        tracker.log({"env_steps": 1, "return_0": -1.0})
    assert [options["mode"] for options in fake.inits] == ["online", "offline"]
    assert {options["id"] for options in fake.inits} == {"abcd1234"} and fake.inits[0]["tags"] == ["a"]
    assert fake.run.logged == [{"env_steps": 1, "return_0": -1.0}] and fake.run.finished
    assert fake.run.axes == {"*": "env_steps"}
    assert of_metarl(caplog) == [
        f"W&B is not reached (timed out); going on offline in {tmp_path}/wandb"
    ]


def ended():
    """No thread is left that could write into the next test's stand-in."""
    for thread in threading.enumerate():
        if thread.name in ("wandb", "wandb-teardown"):  # the tracker's, not those of W&B itself
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.slow
def test_calls_return_at_once_and_never_raise(tmp_path, caplog, fake):
    hanging = threading.Event()
    fake.run = FakeRun(lambda values: hanging.wait())
    tracker = Tracker(WandbConfig(), tmp_path, "abcd1234")
    begun = time.monotonic()
    for step in range(1000):
        tracker.log({"env_steps": step})
    tracker.table("adaptation", ["step"], [[0]])
    tracker.finish(0.2)
    assert time.monotonic() - begun < 5
    assert ["did not finish within 0.2 s" in said for said in of_metarl(caplog)] == [True]
    hanging.set()
    ended()


def test_a_queue_that_is_full_is_one_line(tmp_path, caplog, fake, monkeypatch):
    begun, hanging = threading.Event(), threading.Event()
    fake.run = FakeRun(lambda values: (begun.set(), hanging.wait()))
    monkeypatch.setattr(tracking, "QUEUE_LENGTH", 5)
    tracker = Tracker(WandbConfig(), tmp_path, "abcd1234")
    tracker.log({"env_steps": 0})
    assert begun.wait(10)
    for step in range(100):
        tracker.log({"env_steps": step})
    assert ["does not keep up" in said for said in of_metarl(caplog)] == [True]
    start = time.monotonic()
    tracker.finish()
    assert time.monotonic() - start < 1
    hanging.set()
    ended()


def test_disabled_means_no_thread_and_no_file(tmp_path, fake):
    threads = threading.active_count()
    with Tracker(WandbConfig(mode="disabled"), tmp_path, "abcd1234") as tracker:
        tracker.log({"env_steps": 1})
        assert threading.active_count() == threads
    assert fake.inits == [] and not list(tmp_path.iterdir())


@pytest.mark.gl
def test_figures_and_replays_are_added_to_the_run(tmp_path, fake):
    fake.Image = fake.Html = fake.Video = lambda path, **options: (path, options)
    files = [tmp_path / "figures" / "curve.png", tmp_path / "figures" / "curve.svg", tmp_path / "replays" / "0.html"]
    config = tiny(tmp_path, "wandb.mode=offline")
    run = types.SimpleNamespace(config=config, path=tmp_path, id="abcd1234", metrics=lambda: [{"env_steps": 480}])
    publish(run, [*files, tmp_path / "replays" / "0.mp4"])
    assert fake.run.logged == [
        {"env_steps": 480, "figures/curve": (str(files[0]), {})},
        {"env_steps": 480, "replays/0": (str(files[2]), {"inject": False})},
        {"env_steps": 480, "replays/0": (str(tmp_path / "replays" / "0.mp4"), {"format": "mp4"})},
    ]


def test_tables_stand_where_the_last_point_is(tmp_path, fake):
    fake.Table = lambda columns, data: data
    with Tracker(WandbConfig(mode="offline"), tmp_path, "abcd1234", env_steps=3) as tracker:
        tracker.table("first", ["a"], [[1]])
        tracker.log({"env_steps": 70})
        tracker.table("second", ["a"], [[2]])
    assert fake.run.logged == [{"env_steps": 3, "first": [[1]]}, {"env_steps": 70},
                               {"env_steps": 70, "second": [[2]]}]  # fmt: skip


VARIABLES = {"WANDB_PROJECT": "p", "WANDB_ENTITY": "e", "WANDB_NAME": "007", "WANDB_TAGS": "a, b",
             "WANDB_RUN_GROUP": "g", "WANDB_MODE": "online"}  # fmt: skip


def test_variables_hold_where_the_config_says_nothing(monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    every = WandbConfig(mode="online", project="p", entity="e", name="007", tags=("a", "b"), group="g")
    assert from_environment(WandbConfig()) == every
    own = WandbConfig(mode="disabled", project="mine", entity=None, name="mine", tags=(), group="mine")
    assert from_environment(own) == own
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(UserError, match="WANDB_MODE: got .sometimes., expected .*; or set wandb.mode in the config"):
        from_environment(WandbConfig())


def test_a_sweep_is_online_and_gives_the_id(tmp_path, monkeypatch, fake):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_RUN_ID", "of-the-agent")
    config = from_environment(WandbConfig())
    assert config.mode == "online" and from_environment(WandbConfig(mode="offline")).mode == "offline"
    with Tracker(config, tmp_path, "abcd1234"):
        pass
    assert fake.inits[0]["id"] == "of-the-agent" and fake.inits[0]["mode"] == "online"


def test_only_one_module_imports_wandb():
    root = Path(__file__).parents[2]
    sources = [path for folder in ("metarl", "envs", "agents") for path in (root / folder).rglob("*.py")]
    imports = [path.name for path in sources if re.search(r"^ *(import|from) wandb", path.read_text(), re.MULTILINE)]
    assert imports == ["tracking.py"]


def test_the_documented_command_of_a_sweep_sets_what_the_agent_chose():
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    page = (Path(__file__).parents[2] / "docs" / "guides" / "wandb_sweeps.md").read_text()
    sweep = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    values = {"inner.lr": 1e-05, "seed": 2, "policy.hidden": [64, 32], "inner.learn_lr": True}
    assert {"inner.lr", "seed"} == sweep["parameters"].keys()
    command = utils.create_sweep_command(sweep["command"])  # as W&B's agent makes it
    chosen = utils.create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    _, _, train, name, *overrides = [command[0], *command[1:-1], *chosen[command[-1][2:-1]]]
    assert train == "train"
    config = load_config(name, overrides)
    assert (config.inner.lr, config.seed, config.inner.learn_lr) == (1e-05, 2, True)
    assert config.policy.hidden == (64, 32) and config.iterations == 50
