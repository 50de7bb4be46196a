"""Running a study: train what is missing, measure it, write the tables.

    results = run_study(load_study("half_cheetah_mass"), Path("runs/benchmark"), jobs=2)
    results["held_out"]["RL²"].curve[-1].mean             # Estimate(value=..., low=..., high=...)

    runs/benchmark/half_cheetah_mass/rl2-seed_100/        a run, as any other
    runs/benchmark/half_cheetah_mass/results/held_out/    comparison.json, tasks.json, figures
    runs/benchmark/half_cheetah_mass/.search/             of `metarl.benchmark.search`
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from metarl.benchmark.measure import compare
from metarl.benchmark.study import Study
from metarl.config import Config
from metarl.evaluation.comparison import Comparison
from metarl.evaluation.fingerprint import definition
from metarl.evaluation.methods import describe
from metarl.jobs.local import train_configs
from metarl.util.errors import UserError
from metarl.visual.comparison import write_comparison


def run_study(
    study: Study,
    folder: Path,
    *,
    seeds: str | None = None,
    jobs: int | None = None,
    say: Callable[[str], None] | None = None,
    again: str = "",
) -> dict[str, Comparison]:
    """Train the runs of a study that are not finished, and compare all of them in each split.

    Args:
        folder: of all studies; this one's is the folder of its name in it.
        seeds: others than the study's, such as "0-1".
        jobs: trainings at a time; as many as there are cores if None.
        say: gets a line for each run that is measured.
        again: the command that goes on with it.

    Returns:
        The comparison of each split; its files are in the study's folder, under results/.
    """
    home = folder / study.name
    folds = [study.configs(seeds, fold) for fold in study.each_fold]
    one_environment(study, folds)
    train_configs(home, {name: config for configs in folds for name, config in configs.items()}, jobs, again)
    results = {split: compare(study, home, folds, split, say) for split in study.splits}
    for split, comparison in results.items():
        write_comparison(comparison, home / "results" / split)
    return results


def one_environment(study: Study, folds: Sequence[Mapping[str, Config]]) -> None:
    """UserError if a method is one of another environment than the first, before anything is trained."""
    for configs in folds:
        first, *others = configs.items()
        for name, config in others:
            if definition(config.env)["digest"] != definition(first[1].env)["digest"]:
                expected = f"expected {describe(first[1].env)}, the environment of {first[0]}"
                raise UserError(f"{name}: got {describe(config.env)}, {expected}")


def command(study: str, methods: Sequence[str], folder: Path, seeds: str | None) -> str:
    """What a person types to go on."""
    words = ["metarl", "benchmark", "--family", study, *(word for name in methods for word in ("--method", name))]
    return shlex.join([*words, *(["--seeds", seeds] if seeds else []), "--run", str(folder)])

