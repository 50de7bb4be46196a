"""What a training run is made of: every setting, its range, its default and what it means.

    from metarl.algorithms.promp_config import ProMPConfig
    from metarl.config import Config, EnvConfig

    env = EnvConfig(family="HalfCheetahDir", action_scale=10)
    config = Config(env=env, algorithm=ProMPConfig(lr=5e-4), seed=3)
    config.algorithm.clip_range   # 0.3

Defaults stand here and in the config of each algorithm, and nowhere else; a file in `configs/` holds only what differs
from them. A `Config` is frozen; `metarl.config` reads one from YAML, `metarl list settings` prints the table of what
stands below. Lengths are in steps of the environment, batch sizes in tasks (`meta_batch`) and in episodes per task
(`episodes`).

An algorithm is named by its entry point in the group `metarl.algorithms`, which leads to its `AlgorithmConfig`: that
says all that the rest of metarl must know of it, and names the learner, which is imported when one is made.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, Field, PlainValidator, SerializeAsAny, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from metarl.config.section import Float, Int, Name, Section, Width
from metarl.util.errors import UserError
from metarl.util.plugins import ALGORITHMS
from metarl.util.text import nearest, show

MAX_SIMULATIONS = 1_000_000
WRITTEN_OUT = frozenset({
    "env", "policy", "inner", "algorithm", "meta_batch", "episodes", "iterations", "discount", "gae_lambda",
    "bootstrap_at_horizon", "seed", "threads", "evaluation", "checkpoint_every", "keep_checkpoints", "wandb",
})  # fmt: skip
"""What is in each config that metarl wrote before there was `revision`, and together in none that a person wrote."""

Split = Literal["validation", "held_out", "extrapolation", "train"]
Conflict = tuple[str, Any, str]
"""(key, what was got, what was expected) of a setting that contradicts another one, or that nothing would read."""
SearchSpace = dict[str, dict[str, Any]]
"""What `metarl tune` varies, in the form of its YAML files: {"inner.lr": {"log_uniform": [0.01, 1.0]}, ...}."""

_FAMILIES: dict[str, Any] = {}
_WORDS = {int: "integer", float: "number", bool: "true | false", str: "text", dict: "mapping"}
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


class WarpConfig(Section):
    """MuJoCo Warp, which steps all simulations at once, in float32 (docs/guides/gpu.md)."""

    device: Literal["cuda", "cpu"] = Field(
        default="cuda",
        description="cuda: the first NVIDIA GPU, or one for each rank; cpu: slower than `physics: mujoco`, for tests.",
    )
    nconmax: Annotated[Int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Contacts there is room for, per simulation; null: MuJoCo Warp's own guess."
    )
    njmax: Annotated[Int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Rows of constraints there is room for; null: MuJoCo Warp's own guess."
    )
    deterministic: bool = Field(default=False, description="The same bits in every run on one GPU, more slowly.")


class EnvConfig(Section):
    """Which robot, and what varies about it."""

    family: Name = Field(
        description="Name of the task family, as `metarl list` shows it; or, in its place, `robot: PATH` of your own."
    )
    horizon: Annotated[Int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Steps in an episode; null takes the family's own length."
    )
    action_scale: Float = Field(
        default=1.0, gt=0, le=1000,
        description="Actions of +-action_scale span the actuator range; an inner.lr of 0.1 goes with 10.",
    )
    options: dict[str, Any] = Field(default={}, description="Options of the family, as `metarl list` shows them.")
    splits: Int = Field(
        default=2, ge=1, le=2,
        description="Version of the task splits; 1 repeats runs of before, which have no validation tasks.",
    )
    physics: Literal["mujoco", "warp"] = Field(
        default="mujoco", description="mujoco: on the processor, in float64; warp: MuJoCo Warp, of the extra `gpu`."
    )
    warp: WarpConfig = Field(default=WarpConfig(), description="Settings of MuJoCo Warp.")

    def load_family(self) -> Any:
        """The `metarl.envs.Family`, made once in a process: a robot's files are read once.

        Raises:
            UserError: a line for each problem of the family, its options or the robot's files.
        """
        from metarl.envs import make_family  # the families import MuJoCo, which reading a config does without

        if self._identity not in _FAMILIES:
            try:
                family = make_family(self.family, **self.options)
                if self.splits != family.space.version:
                    family.space = dataclasses.replace(family.space, version=self.splits)
                self.share_family(family)
            except (TypeError, ValueError) as error:
                where = "env.robot" if "robot" in self.options else "env.options"
                raise UserError("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from error
        return _FAMILIES[self._identity]

    def load_physics(self) -> Any:
        """The `metarl.envs.warp.Warp` that makes the simulator; None for `mujoco.batch.Batch`.

        Raises:
            UserError: it is not installed, or there is no GPU that it is to run on.
        """
        if self.physics == "mujoco":
            return None
        from metarl.envs.warp import Warp

        physics = Warp.of(**self.warp.model_dump())
        physics.require()
        return physics

    def share_family(self, family: Any) -> None:
        """Let `family` be what `load_family` gives to whoever has these settings."""
        _FAMILIES[self._identity] = family

    def forget_family(self) -> None:
        """Let the next `load_family` make it anew."""
        _FAMILIES.pop(self._identity, None)

    @property
    def _identity(self) -> str:
        # a robot's digest says what is in its files, wherever they are
        known = "sha256" in self.options
        options = {key: value for key, value in self.options.items() if not (known and key == "robot")}
        return json.dumps([self.family, self.splits, options], sort_keys=True, default=str)


class PolicyConfig(Section):
    """The Gaussian MLP policy."""

    old_names = {"normalise_observations": "normalize_observations"}

    hidden: tuple[Width, ...] = Field(default=(64, 64), max_length=16, description="Width of each hidden layer.")
    activation: Literal["tanh", "relu"] = Field(default="tanh", description="Non-linearity of the hidden layers.")
    init_std: Float = Field(default=1.0, gt=0, le=100, description="Standard deviation of the actions at the start.")
    min_std: Float = Field(default=1e-6, gt=0, le=100, description="Lower bound of that standard deviation.")
    normalize_observations: bool = Field(
        default=False, description="Scale observations by the running mean and deviation of those seen in training."
    )


class SB3Config(Section):
    """An algorithm of Stable-Baselines3 or sb3-contrib as the inner learner."""

    algorithm: Name | None = Field(
        default=None, description="Such as PPO or SAC; null: gradient steps on the Gaussian MLP."
    )
    settings: dict[str, Any] = Field(default={}, description="Settings of that algorithm, by its own names.")
    processes: Int = Field(
        default=0, ge=0, le=1024,
        description="Processes that learn in as many tasks at once, with the same result; 0: none.",
    )


class InnerConfig(Section):
    """The inner loop: how the policy adapts to one task."""

    steps: Int = Field(default=1, ge=0, le=100, description="Gradient steps in a task, each from fresh episodes.")
    lr: Float = Field(default=0.1, gt=0, le=1000, description="Size of a gradient step (its start, with learn_lr).")
    learn_lr: bool = Field(
        default=False, description="Learn a step size for each weight (Meta-SGD) in each inner step (MAML++)."
    )
    head_only: bool = Field(default=False, description="Adapt the last layer only, as ANIL does.")
    first_order: bool = Field(default=False, description="No second derivatives, as in first-order MAML.")
    sb3: SB3Config = Field(
        default=SB3Config(), description="An algorithm of Stable-Baselines3 instead of gradient steps."
    )


class AlgorithmConfig(Section):
    """The settings of an outer loop, and what the rest of metarl must know of it. The defaults are those of most.

    A subclass sets `name` as a Literal with a default, `learner`, and what differs. It imports neither PyTorch nor
    MuJoCo, so that configs are read without.

    Attributes:
        learner: "module:Class" of the `metarl.algorithms.base.Learner`.
        label: what the method is commonly called, for `variant`.
        inner_loop: "differentiated", the outer loop takes derivatives through gradient steps; "adapted", it needs the
            weights before and after adaptation only, so any inner learner will do; "none", there is no inner loop.
        trained: whether training changes anything.
        adapts: whether experience in a new task changes anything.
        one_trial_per_episode: whether each of the K episodes in a task belongs to a trial of its own, as with a
            recurrent policy, so that an adaptation step is one episode; else they are one experience.
        weights: how the names of the policy's tensors in the learner's state begin: what may be averaged.
        training_only: how the names of those begin that the adapter does without: `metarl publish` leaves them out.
        on_device: whether its learner takes tensors where others take NumPy's arrays, so that with `env.physics: warp`
            it is on the device of the physics, and so are its rollouts.
    """

    learner: ClassVar[str]
    label: ClassVar[str] = ""
    inner_loop: ClassVar[Literal["differentiated", "adapted", "none"]] = "differentiated"
    trained: ClassVar[bool] = True
    adapts: ClassVar[bool] = True
    one_trial_per_episode: ClassVar[bool] = False
    weights: ClassVar[tuple[str, ...]] = ("params.", "meta.")
    training_only: ClassVar[tuple[str, ...]] = ("adam.",)
    on_device: ClassVar[bool] = False

    name: str = Field(description="Which meta-learner this is.")
    oracle: bool = Field(
        default=False,
        description="Append the true task parameters to the observation (an upper bound; nothing to adapt to).",
    )

    def title(self, config: "Config") -> str:
        """What the method is called in tables."""
        return f"{self.variant(config)} (oracle)" if self.oracle else self.variant(config)

    def variant(self, config: "Config") -> str:
        """The same without regard to `oracle`, with what sets these settings apart: "RL² (lstm)"."""
        return self.label or self.name

    def rounds(self, config: "Config") -> int:
        """How often in an iteration `episodes` episodes of each task are collected."""
        return config.inner.steps + 1

    def adaptation_steps(self, config: "Config") -> int:
        """Steps of adaptation that are trained for."""
        return config.inner.steps

    def shared_by_ranks(self, config: "Config") -> bool:
        """Whether several ranks can train it: all that it sums over tasks, it sums over ranks (metarl.util.ranks)."""
        return False

    def conflicts(self, config: "Config") -> Iterator[Conflict]:
        """Settings that contradict each other, or that this algorithm does not read."""
        yield from ()

    def problems(self, config: "Config") -> Iterator[tuple[str, str]]:
        """(key, "got ..., expected ...") of what only the libraries behind it know; may import them."""
        yield from ()

    def search_space(self, config: "Config") -> SearchSpace:
        """What `metarl tune` varies of the outer loop unless it is given a space."""
        return {}

    @property
    def scheduled(self) -> bool:
        """Whether training depends on how many iterations there will be."""
        return any(getattr(self, name) for name in type(self).model_fields if name.startswith("anneal"))

    def inner_conflicts(self, config: "Config") -> Iterator[Conflict]:
        """What of the inner loop's settings this kind of algorithm cannot use."""
        inner, sb3 = config.inner, config.inner.sb3
        if self.inner_loop == "none":
            for key, value in inner.model_dump(mode="json", exclude_defaults=True).items():
                yield f"inner.{key}", value, f"no such setting: {self.name} has no inner loop"
        elif self.inner_loop == "differentiated":
            if sb3.algorithm:
                yield "inner.sb3.algorithm", sb3.algorithm, f"null: {self.name} differentiates the inner loop"
        else:
            for switch in ("learn_lr", "first_order"):
                if getattr(inner, switch):
                    expected = f"false with {self.name}: no derivative goes through the inner steps"
                    yield f"inner.{switch}", "true", expected
            yield from _unused_with_sb3(config) if sb3.algorithm else _unused_without_sb3(sb3)


def _unused_without_sb3(sb3: SB3Config) -> Iterator[Conflict]:
    if sb3.settings:
        yield "inner.sb3.settings", sb3.settings, "none without inner.sb3.algorithm"
    if sb3.processes:
        yield "inner.sb3.processes", sb3.processes, "0 without inner.sb3.algorithm"


def _unused_with_sb3(config: "Config") -> Iterator[Conflict]:
    """What an algorithm of SB3 brings itself."""
    own = {
        "inner": config.inner.model_dump(exclude_defaults=True, exclude={"steps", "sb3", "learn_lr", "first_order"}),
        "policy": config.policy.model_dump(exclude_defaults=True, exclude={"normalize_observations"}),
    }
    unused = {f"{part}.{key}": value for part, values in own.items() for key, value in values.items()}
    unused |= config.model_dump(exclude_defaults=True, include={"discount", "gae_lambda", "bootstrap_at_horizon"})
    for key, value in unused.items():
        yield key, value, f"no such setting: {config.inner.sb3.algorithm} has its own in inner.sb3.settings"


def _algorithm(value: Any) -> AlgorithmConfig:
    """The config of the algorithm that a mapping names, by the registry."""
    if isinstance(value, AlgorithmConfig):
        return value
    if not isinstance(value, dict):
        raise PydanticCustomError("model_type", "Input should be a section")
    try:
        return algorithm_class(value.get("name")).model_validate(value)
    except LookupError as error:
        raise PydanticCustomError("algorithm_name", "{text}", {"text": str(error)}) from error


def algorithm_class(name: Any) -> type[AlgorithmConfig]:
    """The config class of an algorithm.

    Raises:
        LookupError: there is none of that name; the text says what was got and what was expected.
    """
    if not isinstance(name, str) or name not in ALGORITHMS:
        raise LookupError(f"got {show(name)}, expected an algorithm{nearest(str(name), ALGORITHMS.names())}")
    return ALGORITHMS.load(name)


class EvaluationConfig(Section):
    """Adapting to tasks that were never trained on, and measuring the return after each step."""

    tasks: Int = Field(default=40, ge=1, le=100_000, description="Tasks to adapt to.")
    episodes: Int = Field(default=20, ge=1, le=100_000, description="Episodes in a task for each adaptation step.")
    steps: Int = Field(default=3, ge=0, le=100, description="Adaptation steps; measured after 0, 1, ... of them.")
    every: Int = Field(default=0, ge=0, le=10**9, description="Iterations between evaluations; 0: only at the end.")
    split: Split = Field(
        default="validation", description="Which tasks; held_out, the test set, is for results: see `metarl compare`."
    )


class WandbConfig(Section):
    """Weights & Biases. The API key comes from the environment, never from here."""

    mode: Literal["offline", "online", "disabled"] = Field(
        default="offline", description="offline writes to the run folder only; online needs a network and a key."
    )
    project: Name = Field(default="metarl", description="Project that the run goes to.")
    entity: Name | None = Field(default=None, description="Team or user; null takes the account's own.")
    name: Name | None = Field(default=None, description="Name of the run; null takes the run folder's.")
    tags: tuple[Name, ...] = Field(default=(), max_length=100, description="Tags of the run.")
    group: Name | None = Field(default=None, description="Group of runs that it belongs to.")


class Config(Section):
    """One training run."""

    env: EnvConfig = Field(description="Which robot, and what varies about it.")
    policy: PolicyConfig = Field(default=PolicyConfig(), description="The Gaussian MLP policy.")
    inner: InnerConfig = Field(default=InnerConfig(), description="The inner loop.")
    algorithm: Annotated[SerializeAsAny[AlgorithmConfig], PlainValidator(_algorithm)] = Field(
        description="The outer loop."
    )
    meta_batch: Int = Field(default=40, ge=1, le=100_000, description="Tasks in an iteration.")
    episodes: Int = Field(
        default=20, ge=1, le=100_000,
        description="Episodes in a task, before and after each step; with a recurrent policy, trials in a task.",
    )
    iterations: Int = Field(default=100, ge=1, le=10**9, description="Outer iterations.")
    discount: Float = Field(default=0.99, ge=0, le=1, description="Discount of the rewards, per step.")
    gae_lambda: Float = Field(default=1.0, ge=0, le=1, description="Lambda of generalized advantage estimation.")
    bootstrap_at_horizon: bool = Field(
        default=False,
        description="Bootstrap from the value function at the time limit; false: the limit is a terminal state.",
    )
    seed: Int = Field(default=0, ge=0, le=2**63 - 1, description="Everything random in the run follows from it.")
    revision: Int = Field(
        default=3, ge=1, le=3,
        description="Definition of references, linear baseline and minibatches; 1: of runs without this setting.",
    )
    threads: Int = Field(default=0, ge=0, le=1024, description="Threads for physics and for PyTorch; 0: all cores.")
    evaluation: EvaluationConfig = Field(default=EvaluationConfig(), description="Evaluation.")
    checkpoint_every: Int = Field(default=10, ge=1, le=10**9, description="Iterations between checkpoints.")
    keep_checkpoints: Int = Field(default=3, ge=1, le=10**6, description="Newest checkpoints that are kept.")
    backend: Literal["gloo", "nccl"] = Field(
        default="gloo", description="What carries messages between ranks; nccl: those of tensors on GPUs."
    )
    wandb: WandbConfig = Field(default=WandbConfig(), description="Weights & Biases.")

    @classmethod
    def renamed(cls, data: dict[str, Any]) -> dict[str, Any]:
        """A run that was written out before there was `revision` keeps what it was trained with."""
        data = super().renamed(data)
        if "revision" in data or not data.keys() >= WRITTEN_OUT:
            return data
        algorithm = data["algorithm"]
        if isinstance(algorithm, dict) and algorithm.get("memory") == "none":  # which saw the step before
            algorithm = algorithm | {"memory": "one_step"}
        env = {"splits": 1} | data["env"] if isinstance(data["env"], dict) else data["env"]
        return data | {"revision": 1, "algorithm": algorithm, "env": env}

    @property
    def adaptation_steps(self) -> int:
        """Steps of adaptation that are trained for."""
        return self.algorithm.adaptation_steps(self)

    @property
    def rounds(self) -> int:
        """How often in an iteration the `episodes` of each task are collected."""
        return self.algorithm.rounds(self)

    @model_validator(mode="after")
    def _fields_fit_together(self) -> "Config":
        found = [f"{key}: got {got}, expected {expected}" for key, got, expected in self._conflicts()]
        if found:
            raise PydanticCustomError("conflicts", "{problems}", {"problems": "\n".join(found)})
        return self

    def _conflicts(self) -> Iterator[Conflict]:
        policy, inner = self.policy, self.inner
        if self.env.physics == "mujoco":
            for key, value in self.env.warp.model_dump(exclude_defaults=True).items():
                yield f"env.warp.{key}", value, "no such setting: env.physics is mujoco"
        if policy.min_std > policy.init_std:
            yield "policy.min_std", policy.min_std, f"at most policy.init_std = {policy.init_std}"
        for switch in ("learn_lr", "head_only", "first_order"):
            if getattr(inner, switch) and inner.steps == 0:
                yield f"inner.{switch}", "true", "false with inner.steps = 0: nothing adapts"
        if inner.head_only and not policy.hidden:
            yield "inner.head_only", "true", "false with policy.hidden = []: the head is all there is"
        yield from self.algorithm.inner_conflicts(self)
        yield from self.algorithm.conflicts(self)
        for keys, tasks, episodes in (
            ("meta_batch * episodes", self.meta_batch, self.episodes),
            ("evaluation.tasks * evaluation.episodes", self.evaluation.tasks, self.evaluation.episodes),
        ):
            if tasks * episodes > MAX_SIMULATIONS:
                yield keys, tasks * episodes, f"at most {MAX_SIMULATIONS} simulations at once"


# ---- the schema as data: for messages, tables and editors


def section(model: type[BaseModel], key: str, data: dict) -> type[Section] | None:
    """The model of the settings under `key` of `model`, if any; `data` is a whole config."""
    if model is Config and key == "algorithm":
        algorithm = data.get("algorithm")
        name = algorithm.get("name") if isinstance(algorithm, dict) else None
        return ALGORITHMS.load(name) if isinstance(name, str) and name in ALGORITHMS else None
    field = model.model_fields.get(key)
    annotation = field.annotation if field else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def with_present_names(data: dict, model: type[Section] = Config, whole: dict | None = None) -> dict:
    """A nested mapping of settings, as yet unchecked, with the present names of all settings."""
    whole = data if whole is None else whole
    inner = {key: section(model, str(key), whole) for key, value in data.items() if isinstance(value, dict)}
    return model.renamed({
        key: with_present_names(value, kind, whole) if (kind := inner.get(key)) is not None else value
        for key, value in data.items()
    })  # fmt: skip


def named_twice(
    data: dict, model: type[Section] = Config, whole: dict | None = None, prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """(key, "got ..., expected ...") of each setting that is there under its present and a former name."""
    whole = data if whole is None else whole
    for old, new in model.old_names.items():
        if old in data and new in data:
            expected = f"expected one of them: {new} is its present name"
            yield f"{prefix}{old}", f"got {show(data[old])} beside {new}, {expected}"
    for key, value in data.items():
        kind = section(model, str(key), whole) if isinstance(value, dict) else None
        if kind is not None:
            yield from named_twice(value, kind, whole, f"{prefix}{key}.")


def present_key(key: str, algorithm: str | None) -> str:
    """The present name of a dotted key such as "algorithm.clip"; `algorithm` is the one that the config names."""
    *sections, last = key.split(".")
    data: dict[str, Any] = {last: None}
    for name in reversed(sections):
        data = {name: data}
    whole = {"algorithm": {"name": algorithm}}
    found, value = [], with_present_names(data, Config, whole)
    while isinstance(value, dict) and len(value) == 1:
        [(name, value)] = value.items()
        found.append(name)
    return ".".join(found) if found else key


def keys(data: dict, model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Every key that a config with the algorithm of `data` may have, such as 'inner.lr'."""
    for name in model.model_fields:
        inner = section(model, name, data)
        if inner is not None:
            yield from keys(data, inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def settings(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(key, type and range, default, description) of every setting, those of each algorithm included."""
    for name, field in model.model_fields.items():
        inner = section(model, name, {})
        if inner is not None:
            yield from settings(inner, f"{prefix}{name}.")
        elif model is Config and name == "algorithm":
            for choice, found in ALGORITHMS.importable().items():
                for key, kind, default, description in settings(found, f"{prefix}{name}."):
                    yield key, kind, default, f"({choice}) {description}"
        else:
            default = "required" if field.is_required() else json.dumps(field.default).strip('"')
            yield f"{prefix}{name}", _type(field), default, field.description or ""


def json_schema() -> dict[str, Any]:
    """The JSON schema of a config file, with which an editor completes and checks it."""
    schema = Config.model_json_schema()
    of_algorithms = []
    for algorithm in ALGORITHMS.importable().values():
        found = algorithm.model_json_schema(ref_template="#/$defs/{model}")
        schema["$defs"] |= found.pop("$defs", {})
        schema["$defs"][found["title"]] = found | {"required": ["name"]}
        of_algorithms.append({"$ref": f"#/$defs/{found['title']}"})
    schema["properties"]["algorithm"] = {"description": "The outer loop.", "oneOf": of_algorithms}
    robot = {"type": "string", "description": "Path of a robot's YAML file, in place of family."}
    env = schema["$defs"]["EnvConfig"]
    env["properties"]["robot"] = robot
    env["anyOf"] = [{"required": ["family"]}, {"required": ["robot"]}]
    env["required"] = []
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _type(field: FieldInfo) -> str:
    """Type and range of a field in words: 'integer >= 1, <= 100'."""
    members = [member for member in get_args(field.annotation) if member is not type(None)]
    optional = len(members) < len(get_args(field.annotation))
    base, limits = _peel(members[0] if optional else field.annotation)
    if get_origin(base) is Literal:
        words = " | ".join(get_args(base))
    elif get_origin(base) is tuple:
        item, of_items = _peel(get_args(base)[0])
        words = f"list of {_WORDS[item]}{_range(of_items)}"
    else:
        words = _WORDS.get(get_origin(base) or base, str(base))
    return words + _range([*limits, *field.metadata]) + (" | null" if optional else "")


def _peel(annotation: Any) -> tuple[Any, list]:
    """An annotation without its `Annotated`, and what that said."""
    extra: list = []
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        extra += more
    return annotation, extra


def _range(metadata: Iterable[Any]) -> str:
    limits = [limit for piece in metadata for limit in getattr(piece, "metadata", [piece])]
    found = [(sign, getattr(limit, name, None)) for limit in limits for name, sign in _SIGNS.items()]
    return ",".join(f" {sign} {bound}" for sign, bound in found if bound is not None)
