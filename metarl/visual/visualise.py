"""Pictures of a run: figures of how it learned and adapts, and a replay of a task before and after adaptation.

    for path in visualise_run("runs/first"):
        print(path)                     # runs/first/figures/learning.png, ..., runs/first/replays/before_after.html

    figures/learning.png .svg           return on training tasks against environment steps
    figures/adaptation-held_out.png ... return against adaptation steps; one for each set of tasks that was evaluated
    replays/before_after.html           opens in any browser
    replays/before_after.mp4            where OpenGL is found
    replays/before_after-held_out.html  of other tasks than the config's, `visualise_run("runs/first", "held_out")`

Each is drawn anew from the run's records, of the newest checkpoint. A run without an evaluation is evaluated first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from metarl.algorithms.learners import make_env
from metarl.algorithms.restore import load_adapter
from metarl.envs import Tasks
from metarl.evaluation.evaluate import evaluate_run, label, named_tasks, tasks_digest
from metarl.evaluation.result import Evaluation
from metarl.runs.run import Run, open_run, threads
from metarl.training.tracking import publish
from metarl.util.errors import UserError
from metarl.util.torch_runtime import torch_threads
from metarl.visual.figures import adaptation_figure, learning_figure, save_figure
from metarl.visual.html import write_html
from metarl.visual.replay import Replay, extreme_tasks, record
from metarl.visual.video import ADVICE, VideoError, find_backend, write_video


def visualise_run(
    run: Run | str | Path, tasks: str | None = None, *, say: Callable[[str], None] | None = None
) -> Iterator[Path]:
    """Draw everything that a run has to show; yields each file when it is written, and sends all to the W&B run.

    Args:
        run: a run folder.
        tasks: of the replay: a split, the config's evaluation.split if None, or a JSON file of tasks.
        say: gets a line about what could not be drawn; standard error if None.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    say = say or (lambda line: print(line, file=sys.stderr))
    files, drawing = [], _draw(run, tasks, say)
    while (file := _next(drawing, run)) is not None:
        files.append(file)
        yield file
    publish(run, files)


def _next(drawing: Iterator[Path], run: Run) -> Path | None:
    try:
        return next(drawing, None)
    except OSError as error:
        where = error.filename or run.path
        raise UserError(f"visualise: {where} cannot be written: {error.strerror}; see to its folder") from error


def _draw(run: Run, tasks: str | None, say: Callable[[str], None]) -> Iterator[Path]:
    shown = replay_tasks(run, tasks)  # what is wrong with them is said before anything is drawn
    rows = run.metrics()
    if rows:
        unit = "step" if load_adapter(run).shares_experience else "episode"
        yield from save_figure(learning_figure(rows, run.task_space.family, unit), run.path / "figures" / "learning")
    for name, evaluation in newest_evaluations(run).items():
        figure = adaptation_figure(evaluation, run.config.iterations)
        yield from save_figure(figure, run.path / "figures" / f"adaptation-{name}")

    replay = replay_run(run, shown)
    name = "before_after" if tasks is None else f"before_after-{label(tasks)}"
    folder = run.path / "replays"
    folder.mkdir(exist_ok=True)
    if tasks is not None:
        run.looked("visualise", tasks, tasks_digest(shown), run.checkpoint().iteration)
    yield write_html(replay, folder / f"{name}.html")
    backend = find_backend()
    if backend is None:
        say(ADVICE)
        return
    try:
        yield write_video(replay, folder / f"{name}.mp4", backend)
    except VideoError as error:
        say(str(error))


def replay_tasks(run: Run, tasks: str | None = None) -> Tasks:
    """The two tasks that differ most, of a split or a file; of the config's split if None."""
    return extreme_tasks(named_tasks(run, run.config.evaluation.split if tasks is None else tasks))


def replay_run(run: Run, tasks: Tasks | None = None) -> Replay:
    """Tasks, `replay_tasks` if None, before and after as many adaptation steps as the run trained with."""
    config = run.config
    with torch_threads(threads(config)):
        return record(
            load_adapter(run),
            lambda num_envs: make_env(config, num_envs),
            replay_tasks(run) if tasks is None else tasks,
            steps=max(1, config.adaptation_steps),
            episodes=config.evaluation.episodes,
            seed=config.seed,
        )


def newest_evaluations(run: Run) -> dict[str, Evaluation]:
    """Of the newest intact checkpoint, the evaluation in each set of tasks; the config's is made if there is none.

    Of several in the same tasks, one of sampled actions and of no averaged weights, if there is one, and the last.
    """
    folder, iteration = run.path / "evaluations", run.checkpoint().iteration
    if not any(folder.glob(f"*-{iteration}-*.json")):
        evaluate_run(run)
    newest: dict[str, Evaluation] = {}
    for path in sorted(folder.glob(f"*-{iteration}-*.json"), key=lambda path: path.stat().st_mtime):
        name, evaluation = path.stem.rsplit("-", 2)[0], Evaluation.load(path)
        if name not in newest or _unusual(evaluation) <= _unusual(newest[name]):
            newest[name] = evaluation
    return dict(sorted(newest.items()))


def _unusual(evaluation: Evaluation) -> int:
    return evaluation.deterministic + ("averaged" in (evaluation.origin.get("checkpoint") or {}))
