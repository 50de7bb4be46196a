"""Methods compared: who is one, the same tasks for all, and numbers that follow from the episodes."""

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from metarl.algorithms.baselines_config import RandomConfig, ScratchConfig
from metarl.algorithms.learners import make_learner
from metarl.algorithms.maml_config import MAMLConfig
from metarl.algorithms.promp_config import ProMPConfig
from metarl.algorithms.reptile_config import ReptileConfig
from metarl.algorithms.rl2_config import RL2Config
from metarl.cli import main
from metarl.config import Config, EnvConfig, EvaluationConfig, InnerConfig, SB3Config, WandbConfig  # fmt: skip
from metarl.envs import Tasks
from metarl.evaluation.compare import compare_runs
from metarl.evaluation.comparison import Point, Row
from metarl.evaluation.methods import differences, find, group, open_runs
from metarl.evaluation.result import Evaluation
from metarl.evaluation.statistics import Estimate, cvar, format_number, iqm
from metarl.evaluation.tables import curve_cells, notes, print_comparison, sentences, summary_cells
from metarl.runs import checkpoint
from metarl.runs import run as runs
from metarl.util.errors import UserError
from metarl.visual.adaptation import adaptation_curves
from metarl.visual.comparison import comparison_figures, profiles
from metarl.visual.panels import PALE, apart
from metarl.visual.task_maps import failure_map

STEPS, TASKS, EPISODES = 2, 6, 3


def config(algorithm=None, seed=0, env=None, **changes):
    settings = {
        "env": env or EnvConfig(family="Navigation2D", horizon=8),
        "algorithm": algorithm or ProMPConfig(epochs=1),
        "meta_batch": 2,
        "episodes": 2,
        "evaluation": EvaluationConfig(tasks=TASKS, episodes=EPISODES, steps=STEPS),
        "wandb": WandbConfig(mode="disabled"),
        "threads": 1,
        "seed": seed,
    }
    return Config(**settings | changes)


def a_run(path, *args, env_steps=1000, **changes):
    """A run folder with an untrained learner as its checkpoint."""
    made = config(*args, **changes)
    run = runs.start(made, path)
    meta = {"iteration": 0, "env_steps": env_steps}
    checkpoint.save(run.checkpoints, make_learner(made).state_dict(), meta)
    run.lock.release()
    return path


MEMORY = RL2Config(memory_size=4, minibatches=1, window=0)
ORACLE = RL2Config(memory_size=4, minibatches=1, window=0, oracle=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two seeds of ProMP, and one each of what is random, remembers, and is the oracle."""
    root = tmp_path_factory.mktemp("runs")
    return [
        a_run(root / "promp0"),
        a_run(root / "promp1", seed=1, env_steps=3000),
        a_run(root / "random", RandomConfig(), env_steps=0),
        a_run(root / "rl2", MEMORY),
        a_run(root / "oracle", ORACLE),
    ]


@pytest.fixture(scope="module")
def comparison(folders):
    return compare_runs(folders)


# ---- who is a method


@pytest.mark.slow
def test_runs_that_differ_only_in_their_seed_are_one_method(comparison):
    assert [(row.name, row.seeds) for row in comparison.rows] == [
        ("ProMP", (0, 1)), ("random actions", (0,)), ("RL²", (0,)), ("RL² (oracle)", (0,)),
    ]  # fmt: skip
    assert comparison.baseline == "ProMP" and comparison.oracle == "RL² (oracle)"


def test_methods_are_told_apart_by_what_they_differ_in(tmp_path):
    paths = [
        a_run(tmp_path / "a", evaluation=EvaluationConfig(tasks=3, episodes=2, steps=2)),
        a_run(tmp_path / "b", seed=1, threads=2, checkpoint_every=3),
        a_run(tmp_path / "c", inner=InnerConfig(lr=0.5)),
    ]
    methods = group(open_runs(paths))
    named = {method.name: len(method.runs) for method in methods}
    assert named == {"ProMP, inner.lr=0.1": 2, "ProMP, inner.lr=0.5": 1}
    assert differences(methods) == {"inner.lr": [0.1, 0.5]}
    assert find(methods, "promp, INNER.LR=0.5", "--oracle") is methods[1]
    assert find(methods, str(paths[1]), "--oracle") is methods[0]
    with pytest.raises(UserError, match=r"--oracle: got 'PROMP inner.lr=0.5', .*did you mean 'ProMP, inner.lr=0.5'"):
        find(methods, "PROMP inner.lr=0.5", "--oracle")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"algorithm": MAMLConfig()}, "MAML-TRPO"),
        ({"algorithm": ScratchConfig()}, "policy gradient from scratch"),
        ({"algorithm": ReptileConfig(), "inner": InnerConfig(sb3=SB3Config(algorithm="PPO"))}, "Reptile over PPO"),
        ({"algorithm": RL2Config(memory="none")}, "RL² without memory"),
        ({"inner": InnerConfig(steps=0)}, "fine-tuned"),
        ({"inner": InnerConfig(steps=0), "algorithm": ProMPConfig(oracle=True),
          "evaluation": EvaluationConfig(steps=0)}, "oracle"),
        ({"inner": InnerConfig(steps=0), "evaluation": EvaluationConfig(steps=0)}, "domain-randomized"),
    ],
)
def test_names(changes, name):
    made = config(**changes)
    assert made.algorithm.title(made) == name


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path, folders, capsys):
    other = a_run(tmp_path / "other", env=EnvConfig(family="Navigation2D", horizon=9))
    with pytest.raises(SystemExit) as caught:
        main(["compare", str(folders[0]), str(other)])
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"metarl: error: {other}: got the environment Navigation2D, horizon=9, expected that of")
    with pytest.raises(UserError, match="expected each run once"):
        compare_runs([folders[0], folders[0]])
    with pytest.raises(UserError, match="got seed 0 of the same method as in .*promp0, expected another seed"):
        compare_runs([folders[0], a_run(tmp_path / "again")])
    with pytest.raises(UserError, match="not a run folder"):
        compare_runs([tmp_path])
    with pytest.raises(UserError, match="--tasks: HalfCheetahDir declares no extrapolation tasks"):
        compare_runs([a_run(tmp_path / "dir", env=EnvConfig(family="HalfCheetahDir", horizon=2))], "extrapolation")


# ---- the same tasks


def test_all_runs_are_measured_in_the_same_frozen_tasks_and_once(folders, comparison):
    kept = [sorted((folder / "evaluations").iterdir()) for folder in folders]
    loaded = [Evaluation.load(path) for paths in kept for path in paths]
    assert len(loaded) == 5 and all(e.tasks == comparison.tasks for e in loaded)
    own = [runs.open_run(folder).tasks("held_out") for folder in folders]
    assert own[0] == comparison.tasks != own[1]
    written = [path.stat().st_mtime_ns for paths in kept for path in paths]
    again = compare_runs(folders)
    assert again.to_json() == comparison.to_json()
    assert [path.stat().st_mtime_ns for paths in kept for path in paths] == written
    space = comparison.tasks.space
    assert set(space.split_of(comparison.tasks)) == {"held_out"}


def test_tasks_of_a_file_that_were_trained_on_are_said(comparison, tmp_path):
    """`evaluate` says it of one run; so do the tables, the JSON and the report of several."""
    space = comparison.tasks.space
    mixed = [space.sample(n, split, np.random.default_rng(1)).values for n, split in ((2, "train"), (3, "held_out"))]
    (tmp_path / "mine.json").write_text(json.dumps(Tasks(space, np.concatenate(mixed)).to_json()))
    result = compare_runs([a_run(tmp_path / "run")], str(tmp_path / "mine.json"))
    assert "Not disjoint from the training tasks: 2 of 5 belong to the training split." in flowing(result)
    document = result.to_json()
    assert document["disjoint"] is False and document["disjoint_reason"] == "2 of 5 belong to the training split"
    assert comparison.to_json()["disjoint"] is True and "Not disjoint" not in flowing(comparison)


@pytest.mark.slow
def test_methods_that_share_their_checkpoints_are_compared_run_by_run(tmp_path):
    """The same two trainings, once adapted and once not: pairs, in P(better) and in regret."""
    plain = [a_run(tmp_path / f"plain{seed}", seed=seed, inner=InnerConfig(steps=0)) for seed in range(4)]
    tuned = []
    for seed in range(4):
        evaluation = EvaluationConfig(tasks=TASKS, episodes=EPISODES, steps=0)
        tuned.append(a_run(tmp_path / f"none{seed}", seed=seed, inner=InnerConfig(steps=0), evaluation=evaluation))
    result = compare_runs([*plain, *tuned])
    one, other = result.measured
    assert one.weights == other.weights and len(set(one.weights)) == 4
    assert result.pairs == [("fine-tuned", "domain-randomized")]
    wins = (other.final > one.final) + 0.5 * (other.final == one.final)  # of each run over itself
    assert result.improvements[1][0].value == pytest.approx(wins.mean())
    assert "fine-tuned and domain-randomized share their checkpoints" in flowing(result)


# ---- the numbers


def test_every_number_follows_from_the_files_of_the_episodes(folders, comparison):
    files = [next((folder / "evaluations").iterdir()) for folder in folders]
    promp = [json.loads(path.read_text()) for path in files[:2]]
    row = comparison["ProMP"]
    by_hand = np.array([[[sum(task) / EPISODES for task in step] for step in d["returns"]] for d in promp])
    assert comparison.budget == (STEPS + 1) * EPISODES
    for s, point in enumerate(row.curve):
        assert point.mean.value == pytest.approx(by_hand[:, s].mean())
        assert point.iqm.value == pytest.approx(iqm(by_hand[None, :, s])[0])
        assert point.cvar.value == pytest.approx(cvar(by_hand[None, :, s])[0])
        assert point.episodes == s * EPISODES
        assert point.seconds == pytest.approx(np.mean([np.sum(d["env_steps"][:s]) / TASKS * d["dt"] for d in promp]))
    assert row.area.value == pytest.approx(by_hand.mean())  # all episodes of the budget were lived
    lived = np.array([0, EPISODES, 2 * EPISODES])
    reached = by_hand >= comparison.threshold
    assert row.reached.value == pytest.approx(reached.any(1).mean())
    columns = [r[:, m] for r in reached for m in range(TASKS)]
    times = np.sort([lived[np.flatnonzero(c)[0]] if c.any() else np.inf for c in columns])
    assert row.episodes_to_threshold == times[TASKS - 1]  # half of 2 * TASKS
    random = np.array(json.loads(files[2].read_text())["returns"]).mean(2)[-1]
    wins = [float(a > b) for run in by_hand[:, -1] for a, b in zip(run, random, strict=True)]
    assert comparison.improvements[0][1].value == pytest.approx(np.mean(wins))
    assert comparison.improvements[1][0].value == pytest.approx(1 - np.mean(wins))
    oracle = np.array(json.loads(files[4].read_text())["returns"]).mean(2)[-1]
    assert row.regret.value == pytest.approx(oracle.mean() - by_hand[:, -1].mean())
    assert row.training_steps == 2000 and comparison["random actions"].training_steps == 0
    steps = np.mean([np.sum(d["env_steps"][:STEPS], axis=0).mean() for d in promp])
    assert row.adaptation_steps == pytest.approx(steps)
    assert row.improvement is None
    everyone = [np.array(json.loads(path.read_text())["returns"]).mean(2) for path in files]
    everyone = [np.mean(everyone[:2], axis=0), *everyone[2:]]  # of each method
    worst, best = min(x[0].mean() for x in everyone), max(x[-1].mean() for x in everyone)
    assert comparison.threshold == pytest.approx(worst + 0.9 * (best - worst))
    for i, other in enumerate(comparison.rows[1:], start=1):
        assert other.improvement == comparison.improvements[i][0] and comparison.improvements[i][i] is None


def test_gains_and_areas_are_of_each_run_in_each_task_over_itself(comparison):
    for row, m in zip(comparison.rows, comparison.measured, strict=True):
        gains = m.returns[:, -1] - m.returns[:, 0]  # (R, M)
        assert row.gain.value == pytest.approx(gains.mean())
        if len(gains) == 1:  # an interval over tasks, of their gains: Student's, to within what the bootstrap takes
            half = 2.57 * gains.std(ddof=1) / TASKS**0.5
            assert row.gain.interval == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.5 * half)
            assert np.ptp(row.gain.interval) < 2 * half * 1.3
        else:  # the range of the two runs
            assert row.gain.ends == pytest.approx((gains.mean(1).min(), gains.mean(1).max()))


def test_notes_name_the_methods_that_they_are_of(comparison):
    text = flowing(comparison)
    assert "Note, ProMP: only 2 seeds: the range of the runs instead of an interval." in text
    names = "; ".join(row.name for row in comparison.rows[1:])
    assert f"Note, {names}: one seed only: the interval speaks of the tasks, not of training." in text


def test_runs_that_were_not_trained_to_the_end_are_named(tmp_path):
    paths = [a_run(tmp_path / "half", iterations=4), a_run(tmp_path / "whole", seed=1, iterations=4),
             a_run(tmp_path / "random", RandomConfig())]  # fmt: skip
    whole = make_learner(config(seed=1, iterations=4)).state_dict()
    checkpoint.save(tmp_path / "whole" / "checkpoints", whole, {"iteration": 4, "env_steps": 9})
    result = compare_runs(paths)
    assert "Not trained to the end, ProMP: half (0 of 4 iterations)." in notes(result)
    assert flowing(result).count("Not trained to the end") == 1


def test_a_line_of_timings_without_seconds_is_one_line(tmp_path):
    path = a_run(tmp_path / "run")
    (path / "timings.jsonl").write_text('{"iteration": 0, "seconds": 1.5}\n{"iteration": 1}\n')
    with pytest.raises(UserError, match=r'run/timings\.jsonl: line 2: "seconds" is null, expected a number; restore'):
        compare_runs([path]).to_json()


def test_a_memory_counts_the_episodes_of_its_trials(comparison):
    row = comparison["RL²"]
    assert [point.episodes for point in row.curve] == [0, 1, 2]
    m = comparison.method("RL²")
    lived = m.evaluations[0].env_steps / EPISODES * m.evaluations[0].dt
    assert [point.seconds for point in row.curve] == pytest.approx([0, lived[0].mean(), lived[:2].sum(0).mean()])
    # of nine episodes one each is with its first two memories, and seven with its last
    means = m.returns.mean((0, 2))
    assert row.area.value == pytest.approx((means[0] + means[1] + 7 * means[2]) / 9)


def test_the_threshold_and_the_baseline_can_be_chosen(folders):
    names = {"baseline": "random actions", "oracle": str(folders[3])}
    chosen = compare_runs(folders, **names, threshold=1e6, steps=1, episodes=2)
    assert [point.episodes for point in chosen["ProMP"].curve] == [0, 2]
    assert chosen["ProMP"].episodes_to_threshold == np.inf and chosen["ProMP"].reached.value == 0.0
    assert chosen["random actions"].improvement is None and chosen["RL²"].regret is None
    document = chosen.to_json()
    assert document["methods"][0]["episodes_to_threshold"] is None and document["oracle"] == "RL²"


@pytest.mark.slow
def test_mean_actions_are_a_measurement_of_their_own(folders, comparison):
    result = compare_runs(folders, deterministic=True)
    assert result.deterministic and all(e.deterministic for m in result.measured for e in m.evaluations)
    assert result["RL²"].curve[0].mean.value != comparison["RL²"].curve[0].mean.value
    assert "Returns of mean actions." in flowing(result) and "Returns of sampled actions." in flowing(comparison)
    assert compare_runs(folders).to_json() == comparison.to_json()


def flowing(comparison):
    return " ".join(shown(comparison).split())


def test_few_seeds_are_said(comparison):
    assert comparison["ProMP"].note == "only 2 seeds: the range of the runs instead of an interval"
    assert "one seed only" in comparison["RL²"].note
    text = shown(comparison)
    assert "only 2 seeds" in text and "one seed only" in text


def shown(comparison, width=80, files=()):
    console = Console(width=width, file=io.StringIO())
    print_comparison(comparison, files, console)
    return console.file.getvalue()


def test_the_tables_fit_80_columns_and_say_what_was_computed(comparison):
    text = shown(comparison)
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    lines = [line.split() for line in text.splitlines()]
    curve = next(line for line in lines if line[:2] == ["ProMP", "0"])
    assert curve[2:4] == ["0", "s"] and curve[4] == f"{comparison['ProMP'].curve[0].mean.value:.3g}"
    assert "random actions 0 + 48;" in " ".join(text.split())
    assert "Navigation2D: 6 held-out tasks" in text


def test_numbers_are_not_cut_where_the_screen_is_narrow(comparison):
    one, *others = comparison.measured
    lower = replace(one, returns=one.returns - 123456.0)  # a wide interval in each cell
    wide = replace(comparison, measured=(lower, *others))
    text = shown(wide, width=50)
    for cells in (*curve_cells(wide), *summary_cells(wide)):
        assert all(cell in text for cell in cells[1:]) and cells[0].partition(" ")[0] in text and "…" not in text
    assert max(map(len, text.splitlines())) > 50


def test_sentences_and_what_is_left_out_are_said(comparison):
    text = " ".join(shown(comparison).split())
    assert all(" ".join(line.split()) in text for line in sentences(comparison)) and sentences(comparison)
    assert "tasks are left out" not in text
    known = np.array(comparison.known)
    known[:2] = False
    fewer = replace(comparison, known=known)
    assert "2 tasks are left out: the physics diverged in all of a method's episodes there." in notes(fewer)


def test_paths_are_said_as_they_are(comparison):
    paths = ["/runs/:cat:[b]/" + "a" * 80, "b.json"]
    text = shown(comparison, files=paths)
    assert text.splitlines()[-2:] == [f"written to {path}" for path in paths]


# ---- the figures


def test_curves_are_the_staircases_of_the_tables(comparison):
    axes = adaptation_curves(comparison).axes[0]
    stairs = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    for row, line, band in zip(comparison.rows, stairs, axes.collections, strict=True):
        means = [point.mean.value for point in row.curve]
        np.testing.assert_allclose(line.get_ydata(), [*means, means[-1]])
        np.testing.assert_array_equal(line.get_xdata()[:-1], [point.episodes for point in row.curve])
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.max() == pytest.approx(max(point.mean.high for point in row.curve))
        assert heights.min() == pytest.approx(min(point.mean.low for point in row.curve))


def test_seconds_stand_above_the_episodes(comparison):
    axes, above = adaptation_curves(comparison).axes
    full = comparison.definition["horizon"] * comparison.definition["dt"]
    at = axes.xaxis.get_majorticklocs()
    assert list(above.xaxis.get_majorticklocs()) == list(at) and {0, 1, 2} <= set(at)
    assert [above.xaxis.get_major_formatter()(x, 0) for x in at] == [format_number(full * x) for x in at]


def test_seconds_stand_where_the_episodes_do_on_a_scale_that_is_not_linear(comparison):
    one, *others = comparison.measured
    wide = replace(comparison, measured=(replace(one, episodes=np.array([0, 20, 40])), *others))
    figure = adaptation_curves(wide)
    axes, above = figure.axes
    figure.canvas.draw()
    assert axes.get_xscale() == "symlog" and {0.0, 1.0, 20.0} <= set(above.xaxis.get_majorticklocs())
    below, top = (one.transData.transform([(x, 0.0) for x in (0, 1, 20)])[:, 0] for one in (axes, above))
    np.testing.assert_allclose(below, top)


def test_each_of_many_methods_has_a_panel_with_the_others_in_grey(comparison):
    many = replace(comparison, measured=comparison.measured * 2, oracle=None)
    for draw in (adaptation_curves, profiles):
        panels = [axes for axes in draw(many).axes if axes.get_title(loc="left")]
        assert len(panels) == len(many.rows) and len({axes.get_ylim() for axes in panels}) == 1
        for row, axes in zip(many.rows, panels, strict=True):
            assert axes.get_title(loc="left") == row.name
            assert sum(line.get_color() == PALE for line in axes.lines) == len(many.rows)


def test_names_at_the_ends_of_lines_do_not_overlap():
    assert apart([0.5, 0.1], [0.2, 0.2]) == pytest.approx([0.5, 0.1])  # far enough already
    assert apart([0.5, 0.5], [0.2, 0.2]) == pytest.approx([0.4, 0.6])
    # 0.5 and 0.6 move apart, and the block of them pushes 0.3: about the mean of all
    assert apart([0.6, 0.3, 0.5], [0.2, 0.2, 0.2]) == pytest.approx([2 / 3, 0.8 / 3, 1.4 / 3])
    assert apart([0.5, 0.5], [0.1, 0.3]) == pytest.approx([0.35, 0.55])  # a name of two lines needs more room


def test_profiles_are_the_shares_above_each_return(comparison):
    axes = profiles(comparison).axes[0]
    for m, line in zip(comparison.measured, axes.lines, strict=False):
        assert line.get_label() == m.name
        for x, y in line.get_xydata():
            assert y == pytest.approx((m.final > x).mean())


def test_the_failure_map_crosses_out_tasks_in_which_no_run_gains(comparison):
    figure = failure_map(comparison)
    panels = [axes for axes in figure.axes if axes.get_xlabel() in ("goal_x (m)", "goal_y (m)")]
    assert len(panels) == 2
    for axes in panels:
        column = ("goal_x (m)", "goal_y (m)").index(axes.get_xlabel())
        dots, crosses = axes.collections[::2], axes.collections[1::2]
        for m, helped, failed in zip(comparison.measured, dots, crosses, strict=True):
            fails = np.array([all(run[-1, t] <= run[0, t] for run in m.returns) for t in range(TASKS)])
            for shown, chosen in ((helped, ~fails), (failed, fails)):
                points = np.column_stack([comparison.tasks.values[chosen, column], m.final.mean(0)[chosen]])
                np.testing.assert_allclose(np.asarray(shown.get_offsets()), points)
    assert sum(len(c.get_offsets()) for c in panels[0].collections[1::2]) > 0


def test_a_parameter_of_few_values_and_one_method_alone_are_drawn(tmp_path):
    env = EnvConfig(family="HalfCheetahDir", horizon=3)
    one = compare_runs([a_run(tmp_path / "a", env=env)])
    assert one.groups is not None and one["ProMP"].improvement is None
    figures = comparison_figures(one)
    assert set(figures) == {"adaptation", "profiles", "failure-map"}
    assert [tick.get_text() for tick in figures["failure-map"].axes[0].get_xticklabels()] == ["−1", "1"]


# ---- the command


@pytest.mark.slow
def test_the_command_writes_figures_and_json(folders, comparison, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        main(["compare", *map(str, folders), "--json", "--out", str(out)])
    assert not caught.value.code
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [m["name"] for m in document["methods"]] == ["ProMP", "random actions", "RL²", "RL² (oracle)"]
    assert captured.err.count("held_out tasks") == 5
    names = {Path(file).name for file in document.pop("files")}
    assert {"comparison.json", "tasks.json", "adaptation.png", "profiles.svg", "failure-map.png"} <= names
    assert names == {path.name for path in out.iterdir()}
    assert json.loads((out / "comparison.json").read_text()) == document
    assert all((out / name).read_bytes()[:4] == b"\x89PNG" for name in names if name.endswith("png"))


def test_a_folder_that_cannot_be_written_is_one_line(folders, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as caught:
        main(["compare", str(folders[0]), "--out", str(tmp_path / "file")])
    assert caught.value.code == 2
    assert "--out: " in capsys.readouterr().err.splitlines()[-1]


def test_the_sentences_name_the_best_and_those_that_do_not_gain():
    def row(name, curve, area, gain):
        points = [Point(n, 1.0, Estimate(value), Estimate(value), Estimate(value), None) for n, value in curve]
        gain = Estimate(curve[-1][1] - curve[0][1], *gain)
        return Row(name, (0,), points, gain, Estimate(area), Estimate(0.0), 1.0, 1.0, None, None, 0.0, 0.0, None)

    rows = [
        row("rises", [(0, 1.0), (1, 9.0)], 4.0, [7.0, 9.0]),
        row("noise", [(0, 5.0), (1, 6.0)], 5.0, [-1.0, 3.0]),
        row("touches zero", [(0, 5.0), (1, 6.0)], 4.5, [0.0, 3.0]),
        row("never adapts", [(0, 3.0)], 3.0, [0.0, 0.0]),
    ]
    said = SimpleNamespace(rows=rows, budget=20, confidence=0.95)
    assert sentences(said) == [
        "Highest final return: rises, 9 after 1 episode of experience in a task."
        " Highest AUC: noise, 5 on average over the first 20 episodes.",
        "No significant gain from adaptation (95 % interval includes 0): noise; touches zero.",
    ]
    said.rows = rows[:1]
    assert len(sentences(said)) == 1
    said.rows = rows[3:]
    assert sentences(said)[0].startswith("Highest final return: never adapts, 3 in the first episode. ")
