"""A study of the benchmark: what is compared on one robot, written down before it is run.

    study = load_study("half_cheetah_mass")                  # one that ships, or a YAML file of your own
    study = study.with_methods(["rl2", "my_method.yaml"])    # two rows of the table: one of the study's, and a config
    study.configs()["rl2-seed_100"]                          # the Config of a run, with the study's budget

All methods are trained for `budget` environment steps, give or take half an iteration, with the same seeds; a method
whose steps cost far more wall time may have a `share` of it, which the tables say. With `folds` every run is
repeated for each fold of the family (its option `fold`), each of which keeps other faults for testing.
"""

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from metarl.config import Config, changed, load_config
from metarl.config.load import read_mapping
from metarl.config.messages import expected
from metarl.config.section import Float, Int, Name, Section
from metarl.jobs.plan import parse_seeds, with_seeds
from metarl.tuning.protocol import steps_per_iteration
from metarl.util.errors import UserError
from metarl.util.files import replace
from metarl.util.safe_yaml import write_yaml
from metarl.util.text import close, first_line, show

Split = Literal["held_out", "extrapolation"]


class Row(Section):
    """A method of a study."""

    config: Name = Field(description="A shipped config's name, or a YAML file.")
    settings: dict[str, Any] = Field(default={}, description="Values under dotted keys, put over the config's.")
    share: Float = Field(default=1.0, gt=0, le=1, description="Part of the study's budget that it is trained for.")
    seeds: Name | None = Field(default=None, description="Fewer seeds than the study's, such as 100-104.")
    search: bool = Field(default=True, description="Whether there is anything to search.")


class Study(Section):
    """A protocol; see the module. `name` is its file's."""

    name: Name = Field(default="study", description="What its results are called.")
    about: Name = Field(description="What it asks, in a line.")
    budget: Annotated[Int, Field(ge=1)] = Field(description="Environment steps of training for each run.")
    seeds: Name = Field(default="100-109", description="Seeds of training that are reported, such as 100-109.")
    tasks: Annotated[Int, Field(ge=2)] = Field(default=40, description="Test tasks of each split.")
    splits: list[Split] = Field(default=["held_out"], min_length=1, description="What is tested on.")
    folds: Annotated[Int, Field(ge=0)] = Field(default=0, description="Folds of the family's faults; 0 for none.")
    trials: Annotated[Int, Field(ge=1)] = Field(default=9, description="Strategies tried for each method's settings.")
    search_share: Float = Field(default=0.25, gt=0, le=1, description="Part of the budget that a strategy may spend.")
    search_rungs: Annotated[Int, Field(ge=1, le=5)] = Field(
        default=3, description="How often halving measures a strategy, at the end, at a third of it, and so on."
    )
    revision: Annotated[Int, Field(ge=1)] | None = Field(
        default=None, description="Of metarl's training, kept once settings are frozen; null: the newest."
    )
    baseline: Name = Field(description="The method that others are compared with.")
    methods: dict[str, Row] = Field(min_length=1, description="The rows of the table.")

    def with_methods(self, wanted: Sequence[str]) -> "Study":
        """With these methods only; one that is not the study's is a config's name or file, a row of its own."""
        rows: dict[str, Row] = {}
        for name in wanted:
            if name in self.methods:
                rows[name] = self.methods[name]
            else:
                try:
                    load_config(name)
                except UserError as error:
                    if "neither a file" not in str(error):
                        raise
                    known = close(name, list(self.methods)) or f"; there are {', '.join(self.methods)}"
                    text = f"--method: got {show(name)}, expected a method of the study or a config{known}"
                    raise UserError(text) from error
                row, called = Row(config=name), Path(name).stem
                if called in self.methods or rows.get(called, row) != row:
                    other = rows[called].config if called in rows else "a method of the study"
                    raise UserError(f"--method: got {show(name)}, expected a name that is not taken: {other} is called"
                                    f" {called!r} as well; copy the config to a file of another name")  # fmt: skip
                rows[called] = row
        return self.model_copy(update={"methods": rows}) if rows else self

    def known(self, methods: Sequence[str]) -> Sequence[str]:
        """These names, all of which must be the study's methods."""
        for name in methods:
            if name not in self.methods:
                known = close(name, list(self.methods)) or f"; there are {', '.join(self.methods)}"
                raise UserError(f"--method: got {show(name)}, expected a method of the study{known}")
        return methods

    def config(self, method: str, fold: int | None = None) -> Config:
        """Of a method, with as many iterations as the budget buys; its seed is the config's."""
        row = self.methods[method]
        fixed = {"evaluation.tasks": self.tasks} | ({"revision": self.revision} if self.revision else {})
        config = changed(load_config(row.config), row.settings | fixed)
        if fold is not None:
            config = changed(config, {"env.options": config.env.options | {"fold": fold}})
        if not config.algorithm.trained:
            return config
        iterations = max(1, round(self.budget * row.share / steps_per_iteration(config)))
        return changed(config, {"iterations": iterations})

    def configs(self, seeds: str | None = None, fold: int | None = None) -> dict[str, Config]:
        """Of every run in a fold, by the name of its folder."""
        runs: dict[str, Config] = {}
        for name, row in self.methods.items():
            prefix = f"{name}-" if fold is None else f"{name}-fold_{fold}-"
            runs |= with_seeds(self.config(name, fold), parse_seeds(seeds or row.seeds or self.seeds), prefix)
        return runs

    @property
    def each_fold(self) -> Sequence[int | None]:
        """The folds; None alone where there are none."""
        return range(self.folds) if self.folds else [None]


def load_study(name: str | Path) -> Study:
    """The study in the file `name`, or the one of that name that ships.

    Raises:
        UserError: a line for each problem.
    """
    shipped = _shipped()
    file = shipped.get(str(name), Path(name))
    if not file.is_file():
        known = close(str(name), list(shipped)) or f"; there are {', '.join(shipped)}"
        raise UserError(f"--family: got {show(str(name))}, expected a study or its file{known}")
    try:
        study = Study.model_validate(read_mapping(file, "a study"))
    except ValidationError as error:
        raise UserError("\n".join(f"{first_line(str(file))}: {line}" for line in _problems(error))) from error
    if study.baseline not in study.methods:
        raise UserError(f"{file}: baseline: got {study.baseline!r}, expected one of its methods"
                        f"{close(study.baseline, list(study.methods))}")  # fmt: skip
    beside = {name: file.parent / row.config for name, row in study.methods.items()}
    rows = {name: row.model_copy(update={"config": str(beside[name])} if beside[name].is_file() else {})
            for name, row in study.methods.items()}  # fmt: skip
    return study.model_copy(update={"methods": rows, "name": file.stem})


def write_study(study: Study, file: Path) -> Path:
    """The study as a file of its own, frozen: in the revision that it has now."""
    study = study.model_copy(update={"revision": study.config(next(iter(study.methods))).revision})
    document = study.model_dump(mode="json", exclude_unset=True, exclude={"name"})
    replace(file, write_yaml(document).encode())
    return file


def names() -> list[str]:
    """The studies that ship."""
    return sorted(_shipped())


def print_studies() -> None:
    """The studies that ship, each with its budget and its methods."""
    for name in names():
        study = load_study(name)
        print(f"{name}: {study.about}")
        print(f"  {study.budget:,} environment steps of training, seeds {study.seeds}")
        print(f"  methods: {', '.join(study.methods)}")
    print("to run one: metarl benchmark --family NAME [--method NAME]")


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        key, got = ".".join(map(str, problem["loc"])), f"got {show(problem['input'])}"
        if problem["type"] == "missing":
            yield f"{key}: got nothing, expected a value"
        elif problem["type"] == "extra_forbidden":
            model = Row if key.startswith("methods.") else Study
            yield f"{key}: {got}, expected no such key{close(str(problem['loc'][-1]), list(model.model_fields))}"
        else:
            yield f"{key}: {got}, expected {expected(problem['msg'])}"


def _shipped() -> dict[str, Path]:
    folder = Path(str(resources.files("metarl"))) / "benchmark" / "studies"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}
