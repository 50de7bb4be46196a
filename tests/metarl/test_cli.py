"""The commands: what they hand on, what they print where, and their exit codes."""

import importlib.metadata
import json
import math
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

import metarl
from metarl import cli, doctor
from metarl.config import config_names, load_config, to_yaml
from metarl.envs.registry import FAMILIES
from metarl.util.errors import UserError


def run(capsys, *args: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of `metarl ARGS`, in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        cli.main(list(args))
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


def process(*args: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "metarl.cli", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.fixture
def calls(monkeypatch):
    """Stand-ins for the modules that do the work; the list of what they were called with."""
    calls: list[tuple] = []

    def stand_in(name: str, **functions) -> None:
        module = ModuleType(f"metarl.{name}")
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, f"metarl.{name}", module)
        monkeypatch.setattr(f"metarl.{name}", module, raising=False)

    def record(name, result):
        def function(*args, **kwargs):
            print("progress")
            calls.append((name, *args, *kwargs.values()))
            return result

        return function

    class Result:
        def to_json(self):
            return {"returns": (1.0, math.nan), "tasks": 2}

    stand_in("training.train", train=record("train", Path("runs/x")))
    stand_in("evaluation.evaluate", evaluate_run=record("evaluate", Result()))
    stand_in("evaluation.tables", print_evaluation=lambda result: print("table"))
    stand_in("visual.visualise", visualise_run=record("visualise", [Path("a.png"), Path("b.html")]))
    stand_in("watch.server", watch=record("watch", None))
    stand_in("tuning.search", tune=record("tune", Path("runs/tune-x")))
    stand_in("bench.suite", run=record("bench", {"ratio": 0.9}), print_table=lambda result: print("bench table"))
    return calls


def test_train_reads_the_config_and_hands_it_on(capsys, calls, tmp_path):
    code, _, _ = run(capsys, "train", "half_cheetah_dir/promp", "seed=3", "inner.lr=0.2", "--run", str(tmp_path))
    assert code == 0
    assert calls == [("train", load_config("half_cheetah_dir/promp", ["seed=3", "inner.lr=0.2"]), tmp_path, False)]


def test_train_takes_options_before_overrides_too(capsys, calls):
    assert run(capsys, "train", "--run", "r", "demo", "seed=3")[0] == 0
    assert calls == [("train", load_config("demo", ["seed=3"]), Path("r"), False)]
    assert run(capsys, "train", "demo")[0] == 0
    assert calls[1:] == [("train", load_config("demo"), None, False)]


def test_tune_hands_everything_on(capsys, calls):
    assert run(capsys, "tune", "demo", "seed=3", "--trials", "9", "--search", "halving", "--iterations", "5",
               "--jobs", "2", "--run", "s", "--space", "f.yaml")[0] == 0  # fmt: skip
    assert run(capsys, "tune", "--resume", "--run", "s")[0] == 0
    assert calls == [
        ("tune", "demo", ["seed=3"], Path("f.yaml"), 9, "halving", 5, 2, Path("s"), False),
        ("tune", None, [], None, None, None, None, 1, Path("s"), True),
    ]


def test_watch_serves_at_home_unless_told_otherwise(capsys, calls):
    assert run(capsys, "watch", "runs/x")[0] == 0
    assert run(capsys, "watch", "runs/x", "--tasks", "my.json", "--port", "0", "--host", "0.0.0.0")[0] == 0
    assert calls == [
        ("watch", Path("runs/x"), None, 8080, "127.0.0.1"), ("watch", Path("runs/x"), "my.json", 0, "0.0.0.0"),
    ]  # fmt: skip


def test_resume_needs_no_config_but_the_run_s_own(capsys, calls, tmp_path):
    (tmp_path / "config.yaml").write_text(to_yaml(load_config("demo", ["seed=5"])))
    assert run(capsys, "train", "--resume", "--run", str(tmp_path))[0] == 0
    assert calls == [("train", load_config("demo", ["seed=5"]), tmp_path, True)]


def test_resume_takes_settings_without_a_config(capsys, calls, tmp_path):
    (tmp_path / "config.yaml").write_text(to_yaml(load_config("demo", ["seed=5"])))
    assert run(capsys, "train", "--resume", "--run", str(tmp_path), "iterations=7")[0] == 0
    assert calls == [("train", load_config("demo", ["seed=5", "iterations=7"]), tmp_path, True)]


def test_evaluate_prints_a_table(capsys, calls):
    code, out, _ = run(capsys, "evaluate", "runs/x")
    assert (code, out) == (0, "progress\ntable\n")
    options = "--tasks my.json --steps 0 --episodes 7 --average 3 --mean-actions"
    run(capsys, "evaluate", "runs/x", *options.split())
    assert calls == [
        ("evaluate", Path("runs/x"), None, None, None, False, 1),
        ("evaluate", Path("runs/x"), "my.json", 0, 7, True, 3),
    ]


def test_the_help_of_export_says_which_tasks_are_numbered(capsys):
    text = " ".join(run(capsys, "export", "--help")[1].split())
    assert "Number of a task of evaluation.split, or a file;" in text and "eld-out" not in text


@pytest.mark.parametrize(("command", "line"), [
    ("benchmark --json", "benchmark: got no --family, expected a study; `metarl benchmark` lists them"),
    ("benchmark --jobs 2", "benchmark: got no --family, expected a study; `metarl benchmark` lists them"),
    ("benchmark --family half_cheetah_mass --minutes 5 --jobs 2",
     "--jobs: got --minutes as well, expected one of them: --minutes trains nothing"),
    ("compare runs/x --threshold nan", "--threshold: got nan, expected a finite return"),
    ("compare runs/x --threshold=-inf", "--threshold: got -inf, expected a finite return"),
])  # fmt: skip
def test_an_option_that_would_do_nothing_is_refused(capsys, command, line):
    assert run(capsys, *command.split()) == (2, "", f"metarl: error: {line}\n")


def test_json_is_all_that_reaches_standard_output(capsys, calls):
    code, out, err = run(capsys, "evaluate", "runs/x", "--json")
    assert (code, err) == (0, "progress\n")
    assert json.loads(out) == {"returns": [1.0, None], "tasks": 2}  # JSON has no NaN
    code, out, err = run(capsys, "bench", "--json")
    assert (code, json.loads(out), err) == (0, {"ratio": 0.9}, "progress\n")


def test_bench_and_visualise(capsys, calls):
    assert run(capsys, "bench") == (0, "progress\nbench table\n", "")
    assert run(capsys, "visualise", "runs/x") == (0, "progress\na.png\nb.html\n", "")
    assert calls == [("bench",), ("visualise", Path("runs/x"), None)]
    run(capsys, "visualise", "runs/x", "--tasks", "held_out")
    assert calls[-1] == ("visualise", Path("runs/x"), "held_out")


BAD = [
    (["train"], "train: got no config, expected a YAML file or a name from `metarl list configs`"),
    (["train", "seed=3"], "train: got 'seed=3' for the config, expected it before all key=value"),
    (["train", "demo", "--resume"], "--resume: got no run folder, expected --run DIR as well"),
    (["train", "dem"], "config \"dem\": neither a file nor a shipped config (did you mean 'demo'?)"),
    (["train", "hopper/rl2"], 'config "hopper/rl2": neither a file nor a shipped config; see `metarl list configs`'),
    (["train", "--resume", "--run", "nowhere"], "nowhere: not a run folder (it has no config.yaml); give one that"),
    (["train", "demo", "sed=3"], "command line: sed: got 3, expected no such key (did you mean 'seed'?)"),
    (["train", "demo", "--rum", "x"], "No such option: --rum"),
    (["trian"], "No such command 'trian'. Did you mean 'train'?"),
    (["evaluate"], "Missing argument 'RUN'."),
    (["evaluate", "x", "--steps", "-1"], "Invalid value for '--steps': "),
    (["evaluate", "x", "--episodes", "many"], "Invalid value for '--episodes': "),
    (["list", "sttings"], "list: got \'sttings\', expected one of families, configs, algorithms, memories, "
     "settings, schema (did you mean"),
]


@pytest.mark.parametrize(("args", "line"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(capsys, calls, args, line):
    code, out, err = run(capsys, *args)
    assert (code, out, calls) == (2, "", [])
    assert err.startswith(f"metarl: error: {line}")
    assert err.count("\n") == 1


def test_every_fault_has_its_line(capsys, calls):
    code, _, err = run(capsys, "train", "demo", "sed=3", "seed=-1")
    assert code == 2
    assert [line.partition(": got")[0] for line in err.splitlines()] == [
        "metarl: error: command line: seed",
        "metarl: error: command line: sed",
    ]


def test_errors_of_the_work_itself(capsys, calls, monkeypatch):
    def fail(error):
        def function(*args):
            raise error

        monkeypatch.setattr(sys.modules["metarl.visual.visualise"], "visualise_run", function)

    fail(UserError("runs/x: no such run"))
    assert run(capsys, "visualise", "runs/x") == (2, "", "metarl: error: runs/x: no such run\n")
    fail(KeyboardInterrupt())
    assert run(capsys, "visualise", "runs/x") == (130, "", "")
    fail(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["visualise", "runs/x"])


def test_list_shows_families_configs_algorithms_and_settings(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    for name in [*(set(FAMILIES) - {"OwnRobot"}), *config_names(), "promp", "maml-trpo"]:
        assert f"  {name}" in out
    assert "goal_x     m     -0.5 to 0.5  -0.75 to -0.5, 0.5 to 0.75  x coordinate of the goal" in out
    assert "options: variant='gym'" in out
    assert "algorithm.clip_range" not in out
    assert "algorithm.clip_range" in run(capsys, "list", "settings")[1]
    assert run(capsys, "list", "algorithms")[1].startswith("Algorithms (algorithm.name):")


def test_version_and_help(capsys):
    assert run(capsys, "--version") == (0, f"metarl {metarl.__version__}\n", "")
    code, out, _ = run(capsys)
    assert code == 0 and out.startswith("Usage: metarl")
    assert run(capsys, "--help") == (0, out, "")


def test_help_imports_nothing_heavy():
    code = "import sys, metarl.cli; print(sorted({'torch', 'mujoco', 'wandb', 'numpy', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.slow
def test_the_installed_command_ends_with_the_code_and_no_traceback(tmp_path):
    child = process("train", "demo", "seed=x", cwd=tmp_path)
    assert child.returncode == 2
    assert child.stderr == 'metarl: error: command line: seed: got "x", expected an integer\n'
    assert not list(tmp_path.iterdir())
    script = Path(sys.executable).with_name("metarl")
    assert subprocess.run([script, "--version"], capture_output=True, check=True).stdout.startswith(b"metarl ")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_traceback(unbuffered):
    command = f"'{sys.executable}' -m metarl.cli list settings | true"
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    child = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False, env=env)
    assert child.stderr == ""


@pytest.mark.slow
def test_doctor_finds_this_machine_fit(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    for name in ("python", "mujoco", "torch", "cores", "physics (mujoco.batch)", "wandb", "disk"):
        assert f"ok      {name}" in out
    assert "rendering" in out
    assert "broken" not in out


def test_doctor_says_what_is_missing_and_how_to_get_it(capsys, monkeypatch):
    finding = {f.name: f for f in doctor._packages()}["torch"]
    assert finding.status == "ok"
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0" if name == "torch" else "99.0")
    finding = {f.name: f for f in doctor._packages()}["torch"]
    assert (finding.status, finding.text) == ("broken", "1.0, needs >=2.10")
    assert finding.fix == "pip install 'torch>=2.10'"
    monkeypatch.setattr(doctor, "_RENDER", "import no_such_module")
    finding = doctor.rendering()
    assert finding.status == "missing"
    assert finding.text.startswith("egl: ModuleNotFoundError: No module named 'no_such_module'; osmesa: ")
    assert "libegl1" in finding.fix
    broken = doctor.Finding("broken", "torch", "gone", "pip install torch")
    assert not doctor.print_report(iter([broken, finding]))
    out = capsys.readouterr().out
    assert "-> pip install torch" in out and "1 broken, 1 missing" in out
    monkeypatch.setattr(doctor, "examine", lambda: iter([broken]))
    assert run(capsys, "doctor")[0] == 1


def test_doctor_names_the_extras_that_are_missing(capsys, monkeypatch):
    assert {f.name for f in doctor._extras()} == {
        f"extra {name}" for name in ("cluster", "evolution", "export", "gpu", "metaworld", "robots", "tune")
    }
    real = importlib.metadata.version

    def version(name):
        if name == "onnx":
            raise importlib.metadata.PackageNotFoundError(name)
        return "3.1" if name == "metaworld" else real(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    found = {f.name: f for f in doctor._extras() if f.status != "ok"}
    assert found["extra export"].text.startswith("onnx not installed, needs >=1.17")
    assert found["extra export"].fix == "pip install '.[export]' in the checkout of metarl"
    assert found["extra metaworld"].text == "metaworld 3.1, needs ==3.0.0"
    assert doctor.print_report(iter(found.values()))
    assert "Training and evaluation work here; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cuda", "said"), [("True", "a CUDA device is there for env.physics: warp"), ("False", "on the CPU")]
)
def test_doctor_says_what_a_gpu_is_for(monkeypatch, cuda, said):
    monkeypatch.setattr(doctor, "_child", lambda code: (f"2.13.0 1 {cuda}", True))
    assert next(f for f in doctor._threads_and_physics() if f.name == "torch").text.endswith(f", {said}")


@pytest.mark.slow
@pytest.mark.parametrize("name, top_level", [("metarl", "something"), ("Meta_RL.Toolbox", "metarl")])
def test_doctor_finds_another_distribution_in_our_folder(monkeypatch, tmp_path, capsys, name, top_level):
    assert [finding.status for finding in doctor._names()] == ["ok"]
    folder = tmp_path / f"{name}-2.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.1\n")
    (folder / "top_level.txt").write_text(f"{top_level}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert not doctor.print_report(doctor._names())
    error, remedy, ours, *_ = capsys.readouterr().out.splitlines()
    name = "metarl" if name == "metarl" else "meta-rl-toolbox"
    assert error.startswith("broken") and f"{name} 2.1, another distribution" in error
    assert f"-> pip uninstall {name}, then pip install --force-reinstall" in remedy
    assert ours.startswith("ok      metarl-robotics")


def test_doctor_outlives_what_crashes():
    assert doctor._child("import os; os.abort()") == ("ended with -6", False)
    assert doctor._child("print('a'); print('b')") == ("b", True)
    start = time.monotonic()
    assert doctor._child("import time; time.sleep(60)", 0.5) == ("no answer within 0.5 s", False)
    assert time.monotonic() - start < 30


@pytest.mark.slow
def test_doctor_tells_of_a_wandb_key_but_not_the_key(monkeypatch, tmp_path):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert not doctor._has_wandb_key()
    assert "no key" in doctor._wandb().text
    monkeypatch.setenv("WANDB_API_KEY", "CANARY")
    text = doctor._wandb().text
    assert "a key is there" in text and "CANARY" not in text
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password CANARY\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert doctor._has_wandb_key()


def test_the_examples_of_the_documentation_are_true(capsys, calls, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
    shell, *want = [line.strip() for line in text.splitlines() if line.startswith(("    $ ", "    metarl: error"))]
    assert run(capsys, *shlex.split(shell.removeprefix("$ metarl "))) == (2, "", "\n".join(want) + "\n")
    example = text.partition("    # HalfCheetah")[2].partition("\n\n")[0].replace("\n    ", "\n")
    (tmp_path / "c.yaml").write_text("# " + example)
    assert load_config(tmp_path / "c.yaml").env.options == {"max_velocity": 7}
    commands = [line for line in text.splitlines() if line.startswith("    metarl train")]
    assert commands and not calls
    for command in commands:
        assert run(capsys, *shlex.split(command.removeprefix("    metarl ")))[0] == 0
