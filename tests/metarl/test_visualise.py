"""Figures say what the numbers say; the pictures of a run are all written, with or without OpenGL."""

import dataclasses
import json
import shutil
import xml.etree.ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from metarl.algorithms.learners import make_learner
from metarl.algorithms.promp_config import ProMPConfig
from metarl.config import Config, EnvConfig, EvaluationConfig, WandbConfig
from metarl.envs import make_family
from metarl.evaluation.evaluate import evaluate_run
from metarl.evaluation.result import Evaluation
from metarl.runs import checkpoint
from metarl.runs import run as runs
from metarl.util.errors import UserError
from metarl.visual import visualise
from metarl.visual.figures import adaptation_figure, learning_figure, running_mean, save_figure
from metarl.visual.replay import extreme_tasks
from metarl.visual.video import ADVICE, VideoError
from metarl.visual.visualise import newest_evaluations, visualise_run


def made_up(family, count=8, steps=3):
    tasks = make_family(family).space.sample(count, "held_out", np.random.default_rng(0))
    returns = np.random.default_rng(1).normal(size=(steps + 1, count, 4)) + 10 * np.arange(steps + 1)[:, None, None]
    return Evaluation(
        env=EnvConfig(family=family),
        tasks=tasks,
        returns=returns,
        env_steps=np.full((steps + 1, count), 400),
        dt=0.05,
        seed=0,
    )


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_adaptation_figure_shows_the_curve_with_its_intervals_and_every_task():
    evaluation = made_up("HalfCheetahVel")
    axes = adaptation_figure(evaluation).axes[0]
    (bars,) = axes.containers
    line, _, (segments,) = bars
    means = [row.mean for row in evaluation.curve]
    np.testing.assert_allclose(line.get_xydata(), [(s, mean.value) for s, mean in enumerate(means)])
    np.testing.assert_allclose(
        [segment[:, 1] for segment in segments.get_segments()], [mean.interval for mean in means]
    )
    drawn = [other.get_ydata() for other in axes.lines if len(other.get_ydata()) == 4 and other.get_alpha()]
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(evaluation.per_task.T, axis=0))


def test_adaptation_figure_says_what_it_shows():
    said = texts(adaptation_figure(made_up("HalfCheetahVel")))
    assert "HalfCheetahVel: return after adapting to 8 held-out tasks" in said
    assert {"adaptation steps", "return of an episode", "mean, 95 % interval over tasks"} <= set(said)
    assert {text for text in said if " ep, " in text} == {"0 ep, 0 s", "4 ep, 20 s", "8 ep, 40 s", "12 ep, 60 s"}
    assert "one line a task, by its velocity (m/s)" in said  # a colour bar
    said = texts(adaptation_figure(made_up("HalfCheetahDir")))
    assert {"4 tasks with direction = -1", "4 tasks with direction = +1"} <= set(said)  # a legend
    assert "mean (only 2 tasks: the interval is unreliable)" in texts(adaptation_figure(made_up("Navigation2D", 2)))


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("count", [1, 3])
def test_adaptation_figure_of_little(tmp_path, count, steps):
    evaluation = made_up("Navigation2D", count, steps)
    evaluation.returns[-1, 0] = np.nan
    save_figure(adaptation_figure(evaluation), tmp_path / "x")


def metrics(count, steps=2):
    rng = np.random.default_rng(0)
    return [
        {"iteration": i, "env_steps": 1000 * (i + 1)} | {f"return_{k}": k + rng.normal() for k in range(steps + 1)}
        for i in range(count)
    ]


def test_learning_figure_shows_each_inner_step_against_environment_steps():
    rows = metrics(100)
    axes = learning_figure(rows, "HalfCheetahDir").axes[0]
    lines = {line.get_label(): line.get_xydata() for line in axes.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["before adaptation", "after 1 step", "after 2 steps"]
    for k, drawn in enumerate(lines.values()):
        raw = [row[f"return_{k}"] for row in rows]
        expected = [np.mean(raw[max(0, i - 1) : i + 1]) for i in range(100)]  # two iterations at a time
        np.testing.assert_allclose(drawn, np.column_stack([1000 * np.arange(1, 101), expected]))
    assert axes.get_xlabel() == "environment steps (line: mean of 2 iterations)"
    assert axes.get_title(loc="left") == "HalfCheetahDir: meta-training, 100 iterations"


def test_learning_figure_of_one_iteration_and_of_a_gap(tmp_path):
    save_figure(learning_figure(metrics(1), "x"), tmp_path / "x")
    rows = metrics(3)
    rows[1]["return_0"] = None
    line = learning_figure(rows, "x").axes[0].lines[0]
    assert np.isnan(line.get_ydata()[1]) and np.isfinite(line.get_ydata()[[0, 2]]).all()


def test_running_mean():
    np.testing.assert_allclose(running_mean(np.array([1.0, 3.0, np.nan, 5.0]), 2), [1.0, 2.0, 3.0, 5.0])
    assert np.isnan(running_mean(np.array([np.nan]), 2)).all()


@pytest.mark.slow
def test_saved_figures_are_whole_reproducible_and_touch_no_global_setting(tmp_path):
    before = dict(matplotlib.rcParams)
    contents = []
    for name in "ab":
        files = save_figure(adaptation_figure(made_up("HalfCheetahDir")), tmp_path / name / "figure")
        assert [file.name for file in files] == ["figure.png", "figure.svg"]
        assert sorted(file.name for file in (tmp_path / name).iterdir()) == ["figure.png", "figure.svg"]
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]
    assert dict(matplotlib.rcParams) == before
    with Image.open(tmp_path / "a" / "figure.png") as picture:
        picture.load()
        assert picture.width >= 1000 and np.asarray(picture.convert("RGB")).std() > 10
    assert xml.etree.ElementTree.parse(tmp_path / "a" / "figure.svg").getroot().tag.endswith("svg")


# ---- a run


@pytest.fixture
def run(tmp_path):
    config = Config(
        env=EnvConfig(family="Navigation2D", horizon=5),
        algorithm=ProMPConfig(),
        meta_batch=2,
        episodes=2,
        evaluation=EvaluationConfig(tasks=3, episodes=2, steps=1),
        wandb=WandbConfig(mode="disabled"),
        threads=1,
    )
    run = runs.start(config, tmp_path / "run")
    for iteration in (9, 10):
        checkpoint.save(run.checkpoints, make_learner(config).state_dict(), {"iteration": iteration, "env_steps": 0})
    lines = [json.dumps(row) + "\n" for row in metrics(4, steps=1)]
    (run.path / "metrics.jsonl").write_text("".join(lines))
    run.lock.release()
    return run


def relative(run, files):
    return [str(Path(file).relative_to(run.path)) for file in files]


FIGURES = [f"figures/{name}.{kind}" for name in ("learning", "adaptation-validation") for kind in ("png", "svg")]


@pytest.mark.slow
def test_without_opengl_all_but_the_video_is_drawn_and_one_line_says_why(run, monkeypatch, capsys):
    monkeypatch.setattr(visualise, "find_backend", lambda: None)
    files = list(visualise_run(run.path))
    assert relative(run, files) == [*FIGURES, "replays/before_after.html"]
    assert all(file.stat().st_size > 1000 for file in files)
    assert capsys.readouterr() == ("", ADVICE + "\n")
    assert "\n" not in ADVICE and "libegl1" in ADVICE


@pytest.mark.slow
def test_a_video_that_cannot_be_drawn_costs_nothing_but_the_video(run, monkeypatch):
    def fail(*_):
        raise VideoError("no MP4 replay: the driver crashed")

    said = []
    monkeypatch.setattr(visualise, "find_backend", lambda: "egl")
    monkeypatch.setattr(visualise, "write_video", fail)
    assert relative(run, visualise_run(run.path, say=said.append)) == [*FIGURES, "replays/before_after.html"]
    assert said == ["no MP4 replay: the driver crashed"]


@pytest.mark.slow
def test_the_newest_evaluation_of_each_set_of_tasks_is_drawn(run, tmp_path):
    evaluate_run(run.path, steps=0)
    folder = run.path / "evaluations"
    (old,) = folder.iterdir()
    old.rename(folder / old.name.replace("-10-", "-9-"))  # 9 comes after 10 in the alphabet
    future = folder / old.name.replace("-10-", "-11-")  # of a checkpoint that is corrupt or gone
    shutil.copy(folder / old.name.replace("-10-", "-9-"), future)
    assert newest_evaluations(run)["validation"].steps == 1
    (tmp_path / "mine.json").write_text(json.dumps(run.tasks("validation")[:2].to_json()))
    evaluate_run(run.path, str(tmp_path / "mine.json"))
    evaluate_run(run.path)
    found = newest_evaluations(run)
    assert list(found) == ["file-mine", "validation"]
    assert (found["validation"].steps, len(found["file-mine"].tasks)) == (1, 2)
    evaluate_run(run.path, deterministic=True)
    evaluate_run(run.path, "held_out", deterministic=True)
    found = newest_evaluations(run)
    assert (found["validation"].deterministic, found["held_out"].deterministic) == (False, True)


def test_the_title_says_what_is_unusual():
    plain = made_up("HalfCheetahVel")
    about = {"iteration": 4, "averaged": [2, 4]}
    unusual = dataclasses.replace(plain, deterministic=True, origin={"checkpoint": about})
    [title] = (text for text in texts(adaptation_figure(unusual, 10)) if "return after" in text)
    assert " ".join(title.split()).endswith("tasks, mean actions, mean of 2 checkpoints, iteration 4 of 10")
    for evaluation, iterations in ((plain, 10), (dataclasses.replace(plain, origin={"checkpoint": about}), None)):
        assert not any("iteration" in text for text in texts(adaptation_figure(evaluation, iterations)))


@pytest.mark.slow
def test_a_replay_of_other_tasks_has_a_name_of_its_own_and_is_a_look_at_them(run, tmp_path, monkeypatch):
    monkeypatch.setattr(visualise, "find_backend", lambda: None)
    held_out = run.tasks("held_out")
    (tmp_path / "my goal.json").write_text(json.dumps(held_out[1:2].to_json()))
    shown = []
    monkeypatch.setattr(visualise, "write_html", lambda replay, path: shown.append(replay.tasks) or path)
    assert relative(run, visualise_run(run.path))[-1] == "replays/before_after.html"
    assert [look["by"] for look in run.looks()] == ["evaluate"]
    assert relative(run, visualise_run(run.path, "held_out"))[-1] == "replays/before_after-held_out.html"
    assert relative(run, visualise_run(run.path, str(tmp_path / "my goal.json")))[-1].endswith("-file-my_goal.html")
    assert [len(tasks) for tasks in shown] == [2, 2, 1]
    assert shown[0] == extreme_tasks(run.tasks("validation"))
    assert shown[1] == extreme_tasks(held_out)
    assert shown[2] == held_out[1:2]
    assert [(look["by"], look["split"]) for look in run.looks()[1:]] == [
        ("visualise", "held_out"), ("visualise", str(tmp_path / "my goal.json")),
    ]  # fmt: skip
    with pytest.raises(UserError, match="^tasks 'heldout': neither a split nor a file .did you mean 'held_out'"):
        list(visualise_run(run.path, "heldout"))


@pytest.mark.slow
def test_a_run_without_metrics_or_evaluation_still_has_pictures(run, monkeypatch):
    monkeypatch.setattr(visualise, "find_backend", lambda: None)
    (run.path / "metrics.jsonl").unlink()
    assert relative(run, visualise_run(run.path, say=lambda _: None)) == [*FIGURES[2:], "replays/before_after.html"]
    assert len(list((run.path / "evaluations").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["figures", "replays"])
def test_a_run_that_cannot_be_written_is_said_in_one_line(run, name):
    """A file in a folder's place: to the user of these tests every folder may be writable."""
    evaluate_run(run.path)
    (run.path / name).write_text("")
    with pytest.raises(UserError, match=rf"^visualise: {run.path}/{name}\S* cannot be written: \w[\w ]+; see to its"):
        list(visualise_run(run.path, say=lambda _: None))
