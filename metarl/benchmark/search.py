"""Finding the settings of a study's methods, with the same effort for each, before its seeds are run.

    file = search(load_study("half_cheetah_mass"), Path("runs/benchmark"), jobs=2)
    load_study(file)                                         # the same study with the best settings that were found

Each method gets `trials` strategies of successive halving (`metarl tune`), the first of which is its config as it is,
in validation tasks, with seed 0, each trained for `search_share` of the budget at most and measured `search_rungs`
times on the way. A memory is given fewer trials in a task than in the table, which changes nothing but the noise. What
varies is what the algorithm declares, less what the study has set, and less what changes the size of the network. Of a
study with folds nothing is searched: its faults are training tasks of other folds.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from metarl.benchmark.study import Row, Study, write_study
from metarl.config import changed, flat, load_config, to_short_yaml
from metarl.tuning.search import tune
from metarl.tuning.space import Space, default_space
from metarl.util.errors import UserError
from metarl.util.files import replace

NOT_SETTINGS = ("iterations", "evaluation.tasks", "evaluation.episodes", "threads", "seed", "revision")
SIZES = ("algorithm.memory", "algorithm.latent")  # with others the network has another size
EPISODES = 5  # of a memory in a validation task, each a trial of its own


def search(study: Study, folder: Path, methods: Sequence[str] = (), jobs: int = 1) -> Path:
    """Write the study with the best settings that are found, and return its file; a search that was cut off goes on.

    Args:
        methods: of the study, whose settings are to be found now; all if none. Others are as their last search left
            them.
    """
    if study.folds:
        text = "expected one without folds: the faults that a fold keeps for testing are training tasks of the others"
        raise UserError(f"--search: got a study with folds, {text}")
    home = folder / study.name / ".search"
    home.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name, row in study.methods.items():
        if row.search and name in (methods or study.methods):
            _search(study, name, home, jobs)
        chosen = home / name / "chosen.yaml"
        rows[name] = row.model_copy(update={"settings": _settings(row, chosen)}) if chosen.exists() else row
    return write_study(study.model_copy(update={"methods": rows}), home / f"{study.name}.yaml")


def _search(study: Study, method: str, home: Path, jobs: int) -> None:
    place = home / method
    if (place / "search.json").exists():
        tune(None, folder=place, resume=True, jobs=jobs)
        return
    config = changed(study.config(method), {"threads": 1})
    if config.algorithm.one_trial_per_episode and config.evaluation.episodes > EPISODES:
        config = changed(config, {"evaluation.episodes": EPISODES})
    base, space = home / f"{method}-config.yaml", home / f"{method}-space.yaml"
    fixed = {*study.methods[method].settings, *SIZES}
    free = [d for d in default_space(config).dimensions if not _set(d.key, fixed)]
    replace(base, to_short_yaml(config).encode())
    replace(space, Space(tuple(free)).to_yaml().encode())
    iterations = max(1, round(config.iterations * study.search_share)) if config.algorithm.trained else None
    tune(base, space=space, trials=study.trials, search="halving", iterations=iterations, rungs=study.search_rungs,
         jobs=jobs, folder=place)  # fmt: skip


def _set(key: str, settings: Iterable[str]) -> bool:
    return any(f"{key}.".startswith(f"{name}.") or f"{name}.".startswith(f"{key}.") for name in settings)


def _settings(row: Row, chosen: Path) -> dict[str, Any]:
    """Where the chosen config differs from the row's, under dotted keys; its episodes in a task are the row's."""
    before, after = (flat(load_config(each).model_dump(mode="json")) for each in (row.config, chosen))
    own = {key: value for key, value in row.settings.items() if key in NOT_SETTINGS}
    return own | {key: value for key, value in after.items() if before.get(key) != value and key not in NOT_SETTINGS}
