"""What a training run is made of: every setting, its range, its default and what it means.

    from metarl.config import Config, EnvConfig, ProMPConfig

    env = EnvConfig(family="HalfCheetahDir", action_scale=10)
    config = Config(env=env, algorithm=ProMPConfig(lr=5e-4), seed=3)
    config.algorithm.clip_range   # 0.3

Defaults stand here and nowhere else; a file in `configs/` holds only what differs from them. A `Config` is
frozen; `metarl.config` reads one from YAML, `metarl list settings` prints the table of what stands below.
Lengths are in steps of the environment, batch sizes in tasks (`meta_batch`) and in episodes per task
(`episodes`).
"""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from metarl.config.misfits import misfits

_WORDS = {int: "integer", float: "number", bool: "true | false", str: "text", dict: "mapping"}
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _not_a_bool(value: Any) -> Any:
    # pydantic takes `true` for the number 1; in a config it is a slip
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "Input should be a number")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("one_line", "Input should be one line of printable characters")
    return value


Int = Annotated[int, BeforeValidator(_not_a_bool)]
Float = Annotated[float, BeforeValidator(_not_a_bool)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Width = Annotated[Int, Field(ge=1, le=16384)]
Split = Literal["held_out", "extrapolation", "train"]


class Section(BaseModel):
    """A group of settings: frozen, unknown keys forbidden, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)


class EnvConfig(Section):
    """Which robot, and what varies about it."""

    family: Name = Field(
        description="Name of the task family, as `metarl list` shows it; or, in its place, `robot: PATH` of your own."
    )
    horizon: Annotated[Int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="Steps in an episode; null takes the family's own length."
    )
    action_scale: Float = Field(
        1.0, gt=0, le=1000,
        description="Actions of +-action_scale span the actuator range; an inner.lr of 0.1 goes with 10.",
    )
    options: dict[str, Any] = Field({}, description="Options of the family, as `metarl list` shows them.")


class PolicyConfig(Section):
    """The Gaussian MLP policy."""

    hidden: tuple[Width, ...] = Field((64, 64), max_length=16, description="Width of each hidden layer.")
    activation: Literal["tanh", "relu"] = Field("tanh", description="Non-linearity of the hidden layers.")
    init_std: Float = Field(1.0, gt=0, le=100, description="Standard deviation of the actions at the start.")
    min_std: Float = Field(1e-6, gt=0, le=100, description="Lower bound of that standard deviation.")
    normalize_observations: bool = Field(
        False, description="Scale observations by the running mean and deviation of those seen in training."
    )


class SB3Config(Section):
    """An algorithm of Stable-Baselines3 or sb3-contrib as the inner learner, for reptile and scratch."""

    algorithm: Name | None = Field(None, description="Such as PPO or SAC; null: gradient steps on the Gaussian MLP.")
    settings: dict[str, Any] = Field({}, description="Settings of that algorithm, by its own names.")
    processes: Int = Field(
        0, ge=0, le=1024, description="Processes that learn in as many tasks at once, with the same result; 0: none."
    )


class InnerConfig(Section):
    """The inner loop: how the policy adapts to one task."""

    steps: Int = Field(1, ge=0, le=100, description="Gradient steps in a task, each from fresh episodes.")
    lr: Float = Field(0.1, gt=0, le=1000, description="Size of a gradient step (its start, with learn_lr).")
    learn_lr: bool = Field(
        False, description="Learn a step size for each weight (Meta-SGD) in each inner step (MAML++)."
    )
    head_only: bool = Field(False, description="Adapt the last layer only, as ANIL does.")
    first_order: bool = Field(False, description="No second derivatives, as in first-order MAML.")
    sb3: SB3Config = Field(SB3Config(), description="An algorithm of Stable-Baselines3 instead of gradient steps.")


class ProMPConfig(Section):
    """Proximal meta-policy search: a clipped surrogate, Adam, and a KL penalty on the inner steps."""

    name: Literal["promp"] = Field("promp", description="Which meta-learner this is.")
    oracle: bool = Field(False, description="Tell the policy the task's parameters: a reference, not an adaptation.")
    lr: Float = Field(1e-3, gt=0, le=1000, description="Adam's step size in the outer update.")
    anneal: bool = Field(False, description="Let lr fall linearly, to zero after the last of the iterations.")
    epochs: Int = Field(5, ge=1, le=1000, description="Adam steps in an iteration, on the same episodes.")
    clip_range: Float = Field(0.3, gt=0, le=100, description="Ratios are clipped to 1 +- clip_range.")
    inner_kl_coef: Float = Field(
        5e-4, ge=0, le=1_000_000, description="Weight of the KL penalty on the inner steps (ProMP, eq. 10)."
    )


class MAMLConfig(Section):
    """MAML with a trust-region outer update."""

    name: Literal["maml-trpo"] = Field("maml-trpo", description="Which meta-learner this is.")
    oracle: bool = Field(False, description="Tell the policy the task's parameters: a reference, not an adaptation.")
    max_kl: Float = Field(0.01, gt=0, le=100, description="Trust region: mean KL of an outer step, in nats.")
    cg_iterations: Int = Field(10, ge=1, le=1000, description="Conjugate-gradient iterations.")
    damping: Float = Field(1e-5, ge=0, le=1000, description="Added to the diagonal of the curvature.")
    backtracks: Int = Field(15, ge=1, le=1000, description="Step lengths that the line search tries.")
    backtrack_ratio: Float = Field(0.8, gt=0, lt=1, description="Factor from one step length to the next.")
    curvature_fraction: Float = Field(
        0.1, gt=0, le=1, description="Share of the episodes that curvature products are computed from."
    )


class RL2Config(Section):
    """RL²: a policy with a memory that is kept over a trial of several episodes, trained by PPO."""

    name: Literal["rl2"] = Field("rl2", description="Which meta-learner this is.")
    memory: Literal["gru", "lstm", "transformer", "hebbian", "neuromodulated", "none"] = Field(
        "gru", description="What carries experience from step to step; none: the reference that cannot adapt."
    )
    memory_size: Width = Field(128, description="Units of the memory.")
    context: Int = Field(64, ge=1, le=10_000, description="Steps that each layer of a transformer attends to.")
    layers: Int = Field(2, ge=1, le=100, description="Layers of a transformer.")
    heads: Int = Field(4, ge=1, le=1000, description="Attention heads of a transformer; they divide memory_size.")
    hypernetwork: Int = Field(
        0, ge=0, le=1000,
        description="Latent of the memory that the policy's weights are made of; 0: the memory is an input instead.",
    )
    predict: Literal["nothing", "task", "next_observation"] = Field(
        "nothing", description="What the memory also learns to predict; it is never told."
    )
    predict_weight: Float = Field(1.0, ge=0, le=1000, description="Weight of the squared error of that prediction.")
    oracle: bool = Field(False, description="Tell the policy the task's parameters: a reference, not an adaptation.")
    trial_episodes: Int = Field(2, ge=1, le=1000, description="Episodes of a task that the memory is kept over.")
    across_episodes: bool = Field(
        True, description="Returns go on to the end of the trial; false: to the end of the episode."
    )
    lr: Float = Field(1e-3, gt=0, le=1000, description="Adam's step size.")
    anneal: bool = Field(True, description="Let lr fall linearly, to zero after the last of the iterations.")
    epochs: Int = Field(2, ge=1, le=1000, description="Passes over the trials of an iteration.")
    minibatches: Int = Field(20, ge=1, le=100_000, description="Adam steps in a pass, on as many parts of the trials.")
    clip_range: Float = Field(0.1, gt=0, le=100, description="Ratios are clipped to 1 +- clip_range.")
    target_kl: Float = Field(
        0.0, ge=0, le=1_000_000,
        description="The passes end where a minibatch's mean KL from the collecting policy exceeds this; 0: never.",
    )
    value_loss_coef: Float = Field(0.5, ge=0, le=1000, description="Weight of the value's squared error.")
    entropy_coef: Float = Field(0.01, ge=0, le=1000, description="Weight of the actions' entropy, in nats.")
    anneal_entropy: bool = Field(False, description="Let the entropy's weight fall linearly, to zero, as lr does.")
    max_grad_norm: Float = Field(1.0, gt=0, le=1_000_000, description="Clip the gradient to this global norm.")
    window: Int = Field(
        100, ge=0, le=1_000_000, description="Steps that gradients run back through the memory; 0: the whole trial."
    )
    burn_in: Int = Field(
        0, ge=0, le=1_000_000, description="Steps before a window that warm the memory up without gradients."
    )


class ReptileConfig(Section):
    """Reptile: the weights move toward the average of those that the inner learner made of them in each task."""

    name: Literal["reptile"] = Field("reptile", description="Which meta-learner this is.")
    oracle: bool = Field(False, description="Tell the policy the task's parameters: a reference, not an adaptation.")
    lr: Float = Field(1.0, gt=0, le=1000, description="Step toward that average; 1: all the way.")
    anneal: bool = Field(False, description="Let lr fall linearly, to zero after the last of the iterations.")
    momentum: Float = Field(0.0, ge=0, lt=1, description="Share of the previous step that goes on.")
    average: Float = Field(
        0.0, ge=0, lt=1, description="Share of the past in the moving average of weights that is tested; 0: the newest."
    )


class ScratchConfig(Section):
    """Baseline: the inner learner from freshly drawn weights; nothing is learned before the new task."""

    name: Literal["scratch"] = Field("scratch", description="Which meta-learner this is.")
    oracle: bool = Field(False, description="Tell the policy the task's parameters: a reference, not an adaptation.")


class RandomConfig(Section):
    """Baseline: actions drawn evenly, and nothing learned at all."""

    name: Literal["random"] = Field("random", description="Which meta-learner this is.")


ALGORITHMS: dict[str, type[Section]] = {
    "promp": ProMPConfig,
    "maml-trpo": MAMLConfig,
    "rl2": RL2Config,
    "reptile": ReptileConfig,
    "scratch": ScratchConfig,
    "random": RandomConfig,
}


class EvaluationConfig(Section):
    """Adapting to tasks that were never trained on, and measuring the return after each step."""

    tasks: Int = Field(40, ge=1, le=100_000, description="Tasks to adapt to.")
    episodes: Int = Field(20, ge=1, le=100_000, description="Episodes in a task for each adaptation step.")
    steps: Int = Field(3, ge=0, le=100, description="Adaptation steps; measured after 0, 1, ... of them.")
    every: Int = Field(0, ge=0, le=10**9, description="Iterations between evaluations; 0: only at the end.")
    split: Split = Field("held_out", description="Which tasks: held_out, extrapolation or train.")


class WandbConfig(Section):
    """Weights & Biases. The API key comes from the environment, never from here."""

    mode: Literal["offline", "online", "disabled"] = Field(
        "offline", description="offline writes to the run folder only; online needs a network and a key."
    )
    project: Name = Field("metarl", description="Project that the run goes to.")
    entity: Name | None = Field(None, description="Team or user; null takes the account's own.")
    name: Name | None = Field(None, description="Name of the run; null takes the run folder's.")
    tags: tuple[Name, ...] = Field((), max_length=100, description="Tags of the run.")


class Config(Section):
    """One training run."""

    env: EnvConfig = Field(description="Which robot, and what varies about it.")
    policy: PolicyConfig = Field(PolicyConfig(), description="The Gaussian MLP policy.")
    inner: InnerConfig = Field(InnerConfig(), description="The inner loop.")
    algorithm: ProMPConfig | MAMLConfig | RL2Config | ReptileConfig | ScratchConfig | RandomConfig = Field(
        discriminator="name", description="The outer loop."
    )
    meta_batch: Int = Field(40, ge=1, le=100_000, description="Tasks in an iteration.")
    episodes: Int = Field(
        20, ge=1, le=100_000, description="Episodes in a task, before and after each step; for rl2, trials in a task."
    )
    iterations: Int = Field(100, ge=1, le=10**9, description="Outer iterations.")
    discount: Float = Field(0.99, ge=0, le=1, description="Discount of the rewards, per step.")
    gae_lambda: Float = Field(1.0, ge=0, le=1, description="Lambda of generalized advantage estimation.")
    bootstrap_at_horizon: bool = Field(
        False, description="Add the value behind the time limit; false: the horizon is part of the task."
    )
    seed: Int = Field(0, ge=0, le=2**63 - 1, description="Everything random in the run follows from it.")
    threads: Int = Field(0, ge=0, le=1024, description="Threads for physics and for PyTorch; 0: all cores.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Evaluation.")
    checkpoint_every: Int = Field(10, ge=1, le=10**9, description="Iterations between checkpoints.")
    keep_checkpoints: Int = Field(3, ge=1, le=10**6, description="Newest checkpoints that are kept.")
    wandb: WandbConfig = Field(WandbConfig(), description="Weights & Biases.")

    @property
    def adaptation_steps(self) -> int:
        """Steps of adaptation that are trained for: inner steps, or episodes of a trial after its first."""
        algorithm = self.algorithm
        return algorithm.trial_episodes - 1 if isinstance(algorithm, RL2Config) else self.inner.steps

    @property
    def rounds(self) -> int:
        """How often in an iteration the `episodes` of each task are lived: before, between and after inner steps."""
        match self.algorithm:
            case RL2Config(trial_episodes=episodes):
                return episodes
            case ReptileConfig():
                return self.inner.steps
            case ScratchConfig() | RandomConfig():
                return 0
        return self.inner.steps + 1

    @model_validator(mode="after")
    def _fields_fit_together(self) -> "Config":
        faults = [f"{key}: got {got}, expected {expected}" for key, got, expected in misfits(self)]
        if faults:
            raise PydanticCustomError("misfit", "{faults}", {"faults": "\n".join(faults)})
        return self


def section(model: type[BaseModel], key: str, data: dict) -> type[BaseModel] | None:
    """The model of the settings under `key` of `model`, if any; `data` is a whole config."""
    if model is Config and key == "algorithm":
        algorithm = data.get("algorithm")
        return ALGORITHMS.get(str(algorithm.get("name"))) if isinstance(algorithm, dict) else None
    field = model.model_fields.get(key)
    annotation = field.annotation if field else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


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
            for choice, algorithm in ALGORITHMS.items():
                for key, *row, description in settings(algorithm, f"{prefix}{name}."):
                    yield key, *row, f"({choice}) {description}"
        else:
            default = "required" if field.is_required() else json.dumps(field.default).strip('"')
            yield f"{prefix}{name}", _type(field), default, field.description or ""


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
        words = _WORDS[get_origin(base) or base]
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
