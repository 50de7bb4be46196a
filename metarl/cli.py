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
import errno
import json
import logging
import math
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from metarl.util import distribution
from metarl.util.errors import UserError
from metarl.util.signals import exit_on_sigterm
from metarl.util.text import close, printable

app = typer.Typer(name="metarl", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN ...", help="Run folders of one environment.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `metarl train` wrote.")]
MeanActions = Annotated[
    bool, typer.Option("--mean-actions", help="Act without exploration: the mean of each action.")
]
_SETS = "held_out|extrapolation|validation|FILE"
TaskSet = Annotated[str, typer.Option(metavar=_SETS, help="Which split, or a file of tasks.")]
Steps = Annotated[int | None, typer.Option(min=0, max=100, help="Adaptation steps; the config's if not given.")]
Episodes = Annotated[
    int | None, typer.Option(min=1, max=100_000, help="Episodes in a task at each step; the config's if not given.")
]
Baseline = Annotated[
    str | None, typer.Option(metavar="METHOD|RUN", help="What others are compared with; by default the first.")
]
Oracle = Annotated[
    str | None, typer.Option(metavar="METHOD|RUN", help="What regret is measured to; by default the oracle's run.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


OF_THE_MACHINE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ELOOP, errno.EISDIR,
    errno.ENOTDIR, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
"""What no program of ours does wrong: it is a line for the user wherever it happens."""


def main(args: list[str] | None = None) -> None:
    """Run the command line `args` (of the process if None) and exit."""
    try:
        with exit_on_sigterm():
            if logging.lastResort:
                logging.lastResort.setFormatter(_Printable())  # warnings repeat what files hold
            code = app(_with_plugins(sys.argv[1:] if args is None else args), prog_name="metarl", standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        for line in str(error).splitlines():
            _print_error(line)
        sys.exit(2)
    except typer.TyperException as error:
        _print_error(" ".join(error.format_message().split()))
        sys.exit(2)
    except BrokenPipeError:  # `metarl list | head`: what is left to flush at exit has no reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _print_error(f"{where}{error.strerror}; see to its permissions, or to the disk")
        sys.exit(2)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def metarl(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", metavar="MODULE", help="Import a module that adds methods, memories or robots."),
    ] = None,
) -> None:
    """Train policies that adapt to a new robot; evaluate and show them."""
    if version:
        print(f"metarl {distribution.version()}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def train(
    config: Annotated[
        str | None, typer.Argument(help="A YAML file or a shipped config's name; the run's with --resume.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Override config values, such as inner.lr=0.1.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; a new one under runs/ if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the run's last checkpoint.")] = False,
    seeds: Annotated[
        str | None, typer.Option(metavar="0-4|0,3,7", help="Train with each seed, each in its own folder in --run.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Runs at a time of --seeds; as there are cores if not given.")
    ] = None,
) -> None:
    """Train a policy that adapts to new tasks."""
    if resume and run is None:
        raise UserError("--resume: got no run folder, expected --run DIR as well")
    if config is None and not resume:
        raise UserError("train: got no config, expected a YAML file or a name from `metarl list configs`")
    if config is not None and "=" in config and not os.path.isfile(config):
        if not resume:
            raise UserError(f"train: got {config!r} for the config, expected it before all key=value")
        config, overrides = None, [config, *(overrides or [])]
    if seeds is not None or (resume and config is None and _holds_runs(cast(Path, run))):
        from metarl.jobs.local import train_seeds

        train_seeds(config, seeds, overrides or [], run, resume, jobs)
        return
    if jobs is not None:
        raise UserError("--jobs: got it for one run, expected --seeds 0-4 as well")
    from metarl.config import load_config

    if config is None:
        from metarl.runs.run import config_file

        config = str(config_file(cast(Path, run)))  # --resume
    settings = load_config(config, overrides or [])
    from metarl.training.train import train as train_run

    train_run(settings, run, resume)


@app.command()
def submit(
    configs: Annotated[
        list[str] | None,
        typer.Argument(metavar="CONFIG ... [KEY=VALUE ...]", help="Configs, then settings that override theirs."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0-4|0,3,7", help="A job with each seed; with the config's own if not given.")
    ] = None,
    cluster: Annotated[str, typer.Option(metavar="slurm|local", help="Slurm, or processes of this machine.")] = "slurm",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="Of submitit, such as timeout_min=240."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the runs; a new one under runs/ if not given.")] = None,
    status: Annotated[Path | None, typer.Option(metavar="DIR", help="Show the runs in DIR, and submit none.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train many runs as jobs of a cluster."""
    folder = status
    if folder is None:
        from metarl.jobs.cluster import submit as submit_jobs

        names = [name for name in configs or [] if "=" not in name or os.path.isfile(name)]
        overrides = [name for name in configs or [] if name not in names]
        folder = submit_jobs(names, seeds, overrides, run, cluster, option or [])
    from metarl.jobs.status import print_states, states, to_json

    found = states(folder)
    _report(to_json(found) | {"folder": str(folder)}, lambda _: print_states(found), as_json)
    if status is None and not as_json:
        print(f"folder: {folder}; to ask again: metarl submit --status {shlex.quote(str(folder))}")


@app.command()
def tune(
    config: Annotated[
        str | None, typer.Argument(help="A YAML file, a shipped config's name, or a run folder; none with --resume.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Override config values, such as inner.lr=0.1.")
    ] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What varies, as YAML; by the algorithm if not given.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, max=100_000, help="Settings to try; 30 if not given.")] = None,
    search: Annotated[
        str | None, typer.Option(metavar="random|tpe|halving", help="How they are chosen; tpe if not given.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Iterations of each trial; the config's if not given.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=1024, help="Settings that are tried at the same time.")] = 1,
    run: Annotated[Path | None, typer.Option(help="Folder of the search; a new one under runs/ if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the search in --run.")] = False,
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
        str | None,
        typer.Option(metavar=_SETS, help="Which split, or a file of tasks; the config's if not given."),
    ] = None,
    steps: Steps = None,
    episodes: Episodes = None,
    average: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="How many of the newest checkpoints to average the weights of.")
    ] = 1,
    mean_actions: MeanActions = False,
    metaworld: Annotated[
        bool, typer.Option("--metaworld", help="By Meta-World's protocol, which no other option changes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how fast a run adapts to tasks it never saw."""
    if metaworld:
        with _stdout_for_json(as_json):
            from metarl.evaluation.metaworld import evaluate_metaworld, print_metaworld

            found = evaluate_metaworld(run)
        _report(found.to_json(), lambda _: print_metaworld(found), as_json)
        return
    with _stdout_for_json(as_json):
        from metarl.evaluation.evaluate import evaluate_run
        from metarl.evaluation.tables import print_evaluation

        result = evaluate_run(run, tasks, steps, episodes, deterministic=mean_actions, average=average)
    _report(result.to_json(), lambda _: print_evaluation(result), as_json)


@app.command()
def compare(
    runs: RunFolders,
    tasks: TaskSet = "held_out",
    baseline: Baseline = None,
    oracle: Oracle = None,
    threshold: Annotated[float | None, typer.Option(help="Return to reach; near the best one if not given.")] = None,
    steps: Steps = None,
    episodes: Episodes = None,
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
        typer.Option(metavar=_SETS, help="Which tasks; may be given several times."),
    ] = None,
    baseline: Baseline = None,
    oracle: Oracle = None,
    mean_actions: MeanActions = False,
) -> None:
    """Write a comparison with pictures and replays as one page."""
    from metarl.visual.report import write_report

    options = {"baseline": baseline, "oracle": oracle, "deterministic": mean_actions}
    print(write_report(runs, out, tasks or ["held_out"], **options, say=_say))


@app.command()
@app.command("visualize", hidden=True)
def visualise(
    run: RunFolder,
    tasks: Annotated[
        str | None,
        typer.Option(metavar=_SETS, help="Tasks to replay, the two that differ most; the config's if not given."),
    ] = None,
) -> None:
    """Write the figures and replays of a run."""
    from metarl.visual.visualise import visualise_run

    for file in visualise_run(run, tasks):
        print(file, flush=True)


@app.command()
def watch(
    run: RunFolder,
    tasks: Annotated[
        str | None, typer.Option(metavar=_SETS, help="Tasks to choose from, by hand all; the config's if not given.")
    ] = None,
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
        str | None,
        typer.Option(metavar="N|FILE", help="Number of a task of evaluation.split, or a file; default robot if none."),
    ] = None,
    steps: Steps = None,
    episodes: Episodes = None,
    noise: Annotated[bool, typer.Option("--noise", help="Sampled actions, by noise given as an input.")] = False,
    out: Annotated[Path | None, typer.Option(help="A new file; one in the run folder if not given.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out.")] = False,
) -> None:
    """Write the policy, adapted to a task, as ONNX."""
    from metarl.export.onnx import export_run

    file = export_run(run, task, steps, episodes, noise=noise, out=out, force=force)
    print(file, file.with_suffix(".json"), sep="\n")


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder; one already published, without --out.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new folder, such as zoo/NAME; the card of RUN is rewritten if not given."),
    ] = None,
    episodes: Episodes = None,
    half: Annotated[bool, typer.Option("--half", help="Weights of 16 bits, for what would be too large.")] = False,
) -> None:
    """Cut a run to a small folder to share, with a card."""
    from metarl.zoo import publish as publish_run

    folder = publish_run(run, out, episodes=episodes, half=half, say=_say)
    print(folder / "README.md")


@app.command("list")
def list_(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[families|configs|algorithms|memories|settings|schema]", help="The first four if none."
        ),
    ] = None,
) -> None:
    """Show families, configs, algorithms, memories; or settings."""
    from metarl.catalog import ALONE, LISTS

    if subject is not None and subject not in LISTS:
        raise UserError(f"list: got {subject!r}, expected one of {', '.join(LISTS)}{close(subject, LISTS)}")
    subjects = [subject] if subject else [name for name in LISTS if name not in ALONE]
    print("\n\n".join(LISTS[name]() for name in subjects))


@app.command()
def doctor() -> None:
    """Check the installation and say how to fix what is missing."""
    from metarl.doctor import examine, print_report

    if not print_report(examine()):
        raise typer.Exit(1)


@app.command()
def draft(
    mjcf: Annotated[Path, typer.Argument(metavar="MJCF", help="The robot's MJCF file.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file to write.", show_default=False)] = None,
) -> None:
    """Write a first robot.yaml for an MJCF file, and list what the model has."""
    from metarl.robot_check.draft import draft as write

    for line in write(mjcf, out)[1]:
        _say(line)


@app.command()
def check(
    subject: Annotated[str, typer.Argument(metavar="FILE|FAMILY", help="A robot's YAML file or folder, or a family.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the picture.")] = Path("check"),
    picture: Annotated[bool, typer.Option(help="Draw the first second of some tasks.")] = True,
    as_json: AsJson = False,
) -> None:
    """Examine a robot before it is trained on."""
    with _stdout_for_json(as_json):
        from rich.console import Console

        with Console(stderr=True).status("loading") as status:  # shown on a terminal only
            from metarl.robot_check.examination import check as examine
            from metarl.robot_check.report import print_report

            result = examine(subject, out if picture else None, progress=lambda doing: status.update(doing))
    _report(result, print_report, as_json)
    if result["errors"]:
        raise typer.Exit(1)


@app.command()
def bench(
    ranks: Annotated[
        int | None, typer.Option(min=2, help="Instead: so many ranks against one with as many threads.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time training against bare physics."""
    with _stdout_for_json(as_json):
        if ranks:
            from metarl.bench import ranks as benchmark

            result = benchmark.run(ranks)
        else:
            from metarl.bench import suite as benchmark

            result = benchmark.run()
    _report(result, benchmark.print_table, as_json)


@app.command()
def benchmark(
    family: Annotated[
        str | None, typer.Option(metavar="STUDY|FILE", help="A study, or the file of one of yours; without: a list.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|CONFIG", help="One of the study's, or a config of yours; all the study's if none."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(metavar="0-4|0,3,7", help="Others than the study's.")] = None,
    run: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the studies.")] = Path("runs/benchmark"),
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Trainings at a time; as there are cores if not given.")
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="Instead: find the settings of the methods.")] = False,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="MIN", help="Instead: write a study of so much training of each method, by these runs."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask whether adaptation pays on a robot: train, measure and compare methods by a fixed protocol."""
    from metarl.benchmark.study import load_study, print_studies

    if family is None:
        if method or seeds or search or as_json or jobs is not None or minutes is not None:
            raise UserError("benchmark: got no --family, expected a study; `metarl benchmark` lists them")
        print_studies()
        return
    from metarl.benchmark.run import command

    study = load_study(family)
    if as_json and (search or minutes is not None):
        raise UserError("--json: got --search or --minutes as well, expected neither: they write a study")
    if jobs is not None and minutes is not None:
        raise UserError("--jobs: got --minutes as well, expected one of them: --minutes trains nothing")
    if search and (seeds or minutes is not None):
        raise UserError("--search: got --seeds or --minutes as well, expected neither: it uses seed 0")
    if search:
        from metarl.benchmark.search import search as find_settings

        file = find_settings(study, run, study.known(method or []), jobs or 1)
        print(f"settings in {file}; to use them: {command(str(file), [], run, None)}")
        return
    if minutes is not None:
        from metarl.benchmark.wall_time import with_minutes

        file = with_minutes(study.with_methods(method or []), run, minutes, seeds, _say)
        print(f"a study of {minutes:g} minutes in {file}; to run it: {command(str(file), [], run, seeds)}")
        return
    from metarl.benchmark.run import run_study
    from metarl.evaluation.tables import print_comparison

    with _stdout_for_json(as_json):
        again = command(family, method or [], run, seeds)
        results = run_study(study.with_methods(method or []), run, seeds=seeds, jobs=jobs, say=_say, again=again)
    if as_json:
        print(json.dumps(_without_nan({split: result.to_json() for split, result in results.items()}), allow_nan=False))
        return
    for comparison in results.values():
        print_comparison(comparison)
    print(f"written to {run / study.name / 'results'}")


def _with_plugins(args: list[str]) -> list[str]:
    """The arguments without `--plugin MODULE`, wherever it stands, and those modules imported."""
    rest, modules = [], []
    remaining = iter(args)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if name != "--plugin":
            rest.append(argument)
        elif equals or (value := next(remaining, "")):
            modules.append(value)
        else:
            raise UserError("--plugin: got nothing, expected a module, such as --plugin my_methods")
    if modules:
        from metarl.util.plugins import load_plugin

        for module in modules:
            try:
                load_plugin(module)
            except ValueError as error:
                raise UserError(f"--plugin: {error}") from error
    return rest


def _holds_runs(folder: Path) -> bool:
    from metarl.jobs.plan import holds_runs

    return holds_runs(folder)


def _stdout_for_json(as_json: bool) -> contextlib.AbstractContextManager:
    """With --json whatever else is printed goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _print_error(line: str) -> None:
    print(f"metarl: error: {printable(line)}", file=sys.stderr)


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


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
