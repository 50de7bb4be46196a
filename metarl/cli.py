"""The `metarl` command.

    metarl train half_cheetah_dir/promp iterations=50 --run runs/first
    metarl evaluate runs/first --tasks held_out --json
    metarl visualise runs/first
    metarl export runs/first --task 3

Each command is a few lines over the module that does the work, which is imported when the command runs:
`metarl --help` needs neither PyTorch nor MuJoCo. Exit codes: 0 done, 1 `doctor` or `check` found something wrong, 2 the
user can put it right (one line on stderr for each fault), 130 Ctrl-C. Any other exception is a bug and keeps
its traceback.
"""

import contextlib
import json
import math
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from metarl.errors import UserError
from metarl.util.text import close

app = typer.Typer(name="metarl", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN ...", help="Run folders of one environment.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `metarl train` wrote.")]
MeanActions = Annotated[
    bool, typer.Option("--mean-actions", help="Act without exploration: the mean of each action.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def main(args: list[str] | None = None) -> None:
    """Run the command line `args` (of the process if None) and exit."""
    try:
        code = app(args, prog_name="metarl", standalone_mode=False)  # 130 after Ctrl-C
        sys.stdout.flush()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"metarl: error: {line}", file=sys.stderr)
        sys.exit(2)
    except typer.TyperException as error:
        print(f"metarl: error: {' '.join(error.format_message().split())}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # `metarl list | head`: what is left to flush at exit has no reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def metarl(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Train policies that adapt to a new robot; evaluate and show them."""
    if version:
        print(f"metarl {metadata.version('metarl')}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def train(
    config: Annotated[
        str | None, typer.Argument(help="A YAML file or a shipped config's name; the run's with --resume.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings put over the config's.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; a new one under runs/ if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
) -> None:
    """Train a policy that adapts to new tasks."""
    from metarl.config import load_config

    if resume and run is None:
        raise UserError("--resume: got no run folder, expected --run DIR as well")
    if config is None and not resume:
        raise UserError("train: got no config, expected a YAML file or a name from `metarl list configs`")
    if config is not None and "=" in config and not Path(config).is_file():
        raise UserError(f"train: got {config!r} for the config, expected it before all key=value")
    if config is None:
        config = str(run / "config.yaml")
        if not Path(config).is_file():
            raise UserError(f"--run: got {run}, expected a run folder: it has no config.yaml")
    settings = load_config(config, overrides or [])
    from metarl.training.train import train as train_run

    train_run(settings, run, resume)


@app.command()
def tune(
    config: Annotated[
        str | None, typer.Argument(help="A YAML file, a shipped config's name, or a run folder; none with --resume.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings put over the config's.")
    ] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What varies, as YAML; by the algorithm if not given.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, max=100_000, help="Strategies to try; 30 if not given.")] = None,
    search: Annotated[
        str | None, typer.Option(metavar="random|tpe|halving", help="How they are chosen; tpe if not given.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="To train each for, of the config as it is; the config's if not given.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=1024, help="Strategies that are tried at the same time.")] = 1,
    run: Annotated[Path | None, typer.Option(help="Folder of the search; a new one under runs/ if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search in --run.")] = False,
) -> None:
    """Search for the settings that adapt best."""
    from metarl.tuning.search import tune as search_strategies

    search_strategies(
        config, overrides or [], space=space, trials=trials, search=search, iterations=iterations, jobs=jobs,
        folder=run, resume=resume,
    )  # fmt: skip


@app.command()
def evaluate(
    run: RunFolder,
    tasks: Annotated[
        str, typer.Option(metavar="held_out|extrapolation|FILE", help="Which split, or a file of tasks.")
    ] = "held_out",
    steps: Annotated[
        int | None, typer.Option(min=0, max=100, help="Adaptation steps; the config's if not given.")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Episodes in a task at each step; likewise.")
    ] = None,
    average: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="How many of the newest checkpoints to average the weights of.")
    ] = 1,
    mean_actions: MeanActions = False,
    as_json: AsJson = False,
) -> None:
    """Measure how fast a run adapts to tasks it never saw."""
    with _stdout_for_json(as_json):
        from metarl.evaluation.evaluate import evaluate_run
        from metarl.evaluation.tables import print_evaluation

        result = evaluate_run(run, tasks, steps, episodes, deterministic=mean_actions, average=average)
    _report(result.to_json(), lambda _: print_evaluation(result), as_json)


@app.command()
def compare(
    runs: RunFolders,
    tasks: Annotated[
        str, typer.Option(metavar="held_out|extrapolation|FILE", help="Which split, or a file of tasks.")
    ] = "held_out",
    baseline: Annotated[
        str | None, typer.Option(metavar="METHOD|RUN", help="Method that P(better) refers to; the first if not given.")
    ] = None,
    oracle: Annotated[
        str | None, typer.Option(metavar="METHOD|RUN", help="Method that regret refers to; default: the oracle.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Return to reach; near the best one if not given.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=0, max=100, help="Adaptation steps; each config's if not given.")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Episodes in a task at each step; likewise.")
    ] = None,
    mean_actions: MeanActions = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write figures and JSON there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare methods in the same tasks, with statistics."""
    with _stdout_for_json(as_json):
        from metarl.evaluation.compare import compare_runs
        from metarl.evaluation.tables import print_comparison

        options = {"baseline": baseline, "oracle": oracle, "threshold": threshold, "steps": steps, "episodes": episodes}
        comparison = compare_runs(runs, tasks, **options, deterministic=mean_actions, say=_say)
        result = comparison.to_json()
        if out is not None:
            from metarl.visual.comparison import write_comparison

            result["files"] = [str(file) for file in write_comparison(comparison, out)]
    _report(result, lambda result: print_comparison(comparison, result.get("files", ())), as_json)


@app.command()
def report(
    runs: RunFolders,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("report.html"),
    tasks: Annotated[
        list[str] | None,
        typer.Option(metavar="held_out|extrapolation|FILE", help="Which tasks; may be given several times."),
    ] = None,
    baseline: Annotated[str | None, typer.Option(metavar="METHOD|RUN", help="As of compare.")] = None,
    oracle: Annotated[str | None, typer.Option(metavar="METHOD|RUN", help="As of compare.")] = None,
    mean_actions: MeanActions = False,
) -> None:
    """Write a comparison with pictures and replays as one page."""
    from metarl.visual.report import write_report

    options = {"baseline": baseline, "oracle": oracle, "deterministic": mean_actions}
    print(write_report(runs, out, tasks or ["held_out"], **options, say=_say))


@app.command()
def visualise(run: RunFolder) -> None:
    """Write the figures and replays of a run."""
    from metarl.visual.visualise import visualise_run

    for file in visualise_run(run):
        print(file, flush=True)


@app.command()
def watch(
    run: RunFolder,
    tasks: Annotated[
        str, typer.Option(metavar="held_out|extrapolation|FILE", help="Tasks to choose from; others by hand.")
    ] = "held_out",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to serve at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
) -> None:
    """Serve the robot in the browser, to change while it moves."""
    from metarl.watch.server import watch as serve

    serve(run, tasks, port, host)


@app.command()
def export(
    run: RunFolder,
    task: Annotated[
        str | None, typer.Option(metavar="N|FILE", help="Held-out task, or a file with one; the default robot if none.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=0, max=100, help="Adaptation steps; the config's if not given.")
    ] = None,
    episodes: Annotated[int | None, typer.Option(min=1, max=100_000, help="Episodes for each step; likewise.")] = None,
    noise: Annotated[bool, typer.Option("--noise", help="Sampled actions, by noise given as an input.")] = False,
    out: Annotated[Path | None, typer.Option(help="A new file; one in the run folder if not given.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out.")] = False,
) -> None:
    """Write the policy, adapted to a task, as ONNX."""
    from metarl.export.onnx import export_run

    file = export_run(run, task, steps, episodes, noise=noise, out=out, force=force)
    print(file, file.with_suffix(".json"), sep="\n")


@app.command("list")
def list_(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="[families|configs|algorithms|settings]", help="All but settings if none."),
    ] = None,
) -> None:
    """Show families, configs and algorithms; or all settings."""
    from metarl.catalog import LISTS

    if subject is not None and subject not in LISTS:
        raise UserError(f"list: got {subject!r}, expected one of {', '.join(LISTS)}{close(subject, LISTS)}")
    subjects = [subject] if subject else [name for name in LISTS if name != "settings"]
    print("\n\n".join(LISTS[name]() for name in subjects))


@app.command()
def doctor() -> None:
    """Say what is missing here and how to get it."""
    from metarl.doctor import examine, print_report

    if not print_report(examine()):
        raise typer.Exit(1)


@app.command()
def check(
    subject: Annotated[str, typer.Argument(metavar="FILE|FAMILY", help="A robot's YAML file or folder, or a family.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the picture.")] = Path("check"),
    as_json: AsJson = False,
) -> None:
    """Examine a robot before it is trained on."""
    with _stdout_for_json(as_json):
        from metarl import check as checking

        result = checking.check(subject, out)
    _report(result, checking.print_report, as_json)
    if result["errors"]:
        raise typer.Exit(1)


@app.command()
def bench(as_json: AsJson = False) -> None:
    """Time training against bare physics."""
    with _stdout_for_json(as_json):
        from metarl.bench import suite as benchmark

        result = benchmark.run()
    _report(result, benchmark.print_table, as_json)


def _stdout_for_json(as_json: bool) -> contextlib.AbstractContextManager:
    """With --json whatever else is printed goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _report(result: dict, print_table: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_without_nan(result), allow_nan=False))
    else:
        print_table(result)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
