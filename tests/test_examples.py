"""Every example runs, in short settings, and does what it says; each is short enough to be read at once."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest

import metarl
from metarl.export.onnx import export_run

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = ("meta_batch=2", "episodes=2", "iterations=2", "env.horizon=10", "threads=1", "evaluation.tasks=3",
         "evaluation.episodes=2", "evaluation.steps=1", "inner.steps=1")  # fmt: skip
CAPI = Path(importlib.util.find_spec("onnxruntime").origin).parent / "capi"
HEADERS = next((path for path in map(Path, ("/usr/include/onnxruntime", "/usr/local/include/onnxruntime"))
                if (path / "onnxruntime_cxx_api.h").exists()), None)  # fmt: skip


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """An ONNX file of a policy with a memory."""
    folder = tmp_path_factory.mktemp("deployed")
    small = ["iterations=1", "meta_batch=2", "env.horizon=10", "threads=1", "wandb.mode=disabled", "evaluation.tasks=2"]
    run = metarl.train(metarl.load_config("half_cheetah_mass/rl2", small), folder / "run")
    return export_run(run, out=folder / "policy.onnx")


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.stem)
def test_an_example_is_under_60_lines(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.slow
def test_train_and_evaluate(example, tmp_path, capsys):
    evaluation = example("train_and_evaluate").main(str(tmp_path / "run"), SMALL)
    assert [point.episodes for point in evaluation.curve] == [0, 2] and "held-out" in evaluation.where
    assert evaluation.sentence in capsys.readouterr().out
    assert (tmp_path / "run" / "figures" / "adaptation.png").exists()


@pytest.mark.slow
def test_own_robot(example, tmp_path):
    evaluation = example("own_robot").main(str(tmp_path), SMALL)
    load = evaluation.tasks.values[:, 1]
    assert evaluation.tasks.space.family == "Cart" and ((load > 2) & (load <= 4)).all()


@pytest.mark.slow
def test_own_method_keeps_what_returns_more(example, tmp_path):
    module = example("own_method")
    small = {"env": {"family": "Navigation2D", "horizon": 10}, "meta_batch": 2, "episodes": 2, "iterations": 4,
             "threads": 1, "evaluation": {"tasks": 3, "episodes": 2, "steps": 1}}  # fmt: skip
    module.main(str(tmp_path / "run"), **small)
    run = metarl.open_run(tmp_path / "run")
    returns = [row["return_1"] for row in run.metrics()]
    assert float(run.checkpoint().tensors["best"]) == max(returns) and run.config.algorithm.name == "hill-climb"


@pytest.mark.sb3
@pytest.mark.slow
def test_sb3(example):
    state = np.random.get_state()  # noqa: NPY002 - Stable-Baselines3 draws from the global generator
    returns = example("sb3").main(robots=4, horizon=10, steps=80)
    np.random.set_state(state)  # noqa: NPY002
    assert set(returns) == {"PPO", "RecurrentPPO"} and np.isfinite(list(returns.values())).all()


@pytest.mark.slow
def test_sine(example):
    errors = np.array(example("sine").main(iterations=300))
    assert errors.shape == (300, 2)
    before, after = errors[-100:].mean(0)
    assert after < 0.95 * before and after < 0.8 * errors[:20, 1].mean()


@pytest.mark.slow
def test_control_loop(example, policy, capsys):
    module = example("control_loop")
    latency = module.main(str(policy), seconds=0.1, rate=100)
    assert len(latency) == 10 and (latency > 0).all() and "latency in ms: 50 % " in capsys.readouterr().out
    loop = module.Policy(str(policy))
    observation = np.linspace(-1, 1, loop.sizes["observation"])
    first, second = loop(observation, 0.0, True), loop(observation, 0.0, False)
    assert first.shape == (6,) and not np.array_equal(first, second)  # it remembers
    loop.reset()
    np.testing.assert_array_equal(loop(observation, 0.0, True), first)


@pytest.mark.slow
@pytest.mark.skipif(None in (shutil.which("g++"), HEADERS), reason="there is no g++ or no onnxruntime_cxx_api.h")
def test_control_loop_in_cpp_does_the_same(example, policy, tmp_path):
    library = next(CAPI.glob("libonnxruntime.so.*"))
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (tmp_path / name).symlink_to(library)
    program = tmp_path / "control_loop"
    where = ["-I", str(HEADERS), "-L", str(tmp_path), f"-Wl,-rpath,{tmp_path}"]
    build = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", str(EXAMPLES / "control_loop.cpp"), *where]
    subprocess.run([*build, "-lonnxruntime", "-o", str(program)], check=True)
    done = subprocess.run([program, policy, "20", "200"], capture_output=True, text=True, check=True)
    control = np.array(done.stdout.split("last control:")[1].split(), float)
    loop = example("control_loop").Policy(str(policy))
    for step in range(20):
        expected = loop(np.sin(step + np.arange(loop.sizes["observation"])), 0.0, step == 0)
    np.testing.assert_allclose(control, expected, atol=1e-6)
    failed = subprocess.run([program, "nothing.onnx"], capture_output=True, text=True)
    assert failed.returncode == 1 and failed.stderr.startswith("nothing.onnx: ")


PARAMETERS = {  # in place of the cell with that tag
    "start": 'ITERATIONS, RUN = 2, "run"\nSETTINGS = SMALL',
    "compare_methods": 'SEEDS, FOLDER = [0], "runs"\nSETTINGS = SMALL + ["iterations=2"]',
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_notebook_runs_from_top_to_bottom(name, tmp_path):
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "its outputs do not belong into git"
    [given] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    small = [setting for setting in SMALL if not setting.startswith(("iterations", "evaluation.steps", "inner"))]
    given.source = f"SMALL = {[*small, 'wandb.mode=disabled']}\n{PARAMETERS[name]}"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
    if name == "start":
        assert "iframe" in outputs[-1].data["text/html"]
    else:
        assert (tmp_path / "runs" / "report.html").stat().st_size > 100_000


def test_every_notebook_is_run():
    assert {file.stem for file in EXAMPLES.glob("*.ipynb")} == set(PARAMETERS)
