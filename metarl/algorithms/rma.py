"""RMA, rapid motor adaptation (Kumar et al. 2021, arXiv:2107.04034), and distillation: a teacher and its student.

1. The teacher is given the parameters e of its task through an encoder mu, and is trained by PPO (sec. III-A):

       z = mu(e),   a ~ pi(x, z)

2. The student has a memory phi in the encoder's place, which must find z out (sec. III-B). It acts itself, so that it
   learns where it gets to (DAgger, Ross et al. 2011), and the teacher says what would have been right there:

       z^ = phi(x_0 ... x_t),   a ~ pi(x, z^),   J(phi) = mean over steps of |z^ - mu(e)|^2

The student is what is handed out. With ``imitate: actions`` it is a network of its own, RL²'s, and learns the mean of
the teacher's actions, `J = |m^(x_0 ... x_t) - m(x, mu(e))|^2` (distillation, as in rsl_rl). x is what RL²'s policy is
given: the observation, the last action and reward, and whether an episode begins. The first phase is RL²'s iteration
(`metarl.algorithms.rl2`), and both are over trials of several episodes, over which phi's memory is kept.

Deviations from the paper: the reward is among the inputs; phi is any memory cell (there a convolution over the last 50
steps, here one of several: ``memory: window``), and runs at every step (there at 10 Hz). As in the paper and in rsl_rl,
and unlike in DAgger, an iteration learns from its own trials alone, not from those of all iterations so far.
"""

import time
from typing import NamedTuple, cast

import numpy as np
import torch

from metarl.agents import Adapter, Decision, Normalizer, Params, RecurrentAdapter, RecurrentPolicy, Rollout
from metarl.agents.memory.base import State
from metarl.agents.nn.params import part
from metarl.agents.recurrent_adapter import TrialState
from metarl.agents.teacher_student import StudentPolicy, TeacherPolicy
from metarl.algorithms.base import Spec
from metarl.algorithms.rl2 import RL2
from metarl.algorithms.rma_config import RMAConfig
from metarl.algorithms.sequence_gradient import mean_gradient
from metarl.algorithms.state import check_state, load_trained, trained_state
from metarl.algorithms.trials import Trials, pack
from metarl.config import Config
from metarl.envs import BatchEnv, OracleEnv
from metarl.envs.oracle import told_names
from metarl.util.rng import stream
from metarl.util.torch_runtime import side_by_side


class Teacher(RL2):
    """RL² with mu(e) in the place of a memory: the first phase. Its environment is an `OracleEnv`."""

    def __init__(self, config: Config, spec: Spec):
        self.told = len(told_names(spec.task_space, config.revision))  # size of e
        self.own = spec.observation_dim - self.told * config.algorithm.oracle  # size of the observation without it
        super().__init__(config, spec)
        self.iterations = self.settings.teacher_iterations(config)

    @property
    def settings(self) -> RMAConfig:
        return cast(RMAConfig, self.config.algorithm)

    def make_policy(self) -> TeacherPolicy:
        sizes = self.own + self.told, self.spec.action_dim
        settings = {"size": self.settings.latent, "told": self.told, "encoder": self.settings.encoder}
        return TeacherPolicy(*sizes, **self.perceptrons(), **settings, values=self.values)


class Lessons(NamedTuple):
    """Windows of W steps as R sequences of their own, each with B steps of burn-in before it; see `trials.Windows`.

    Attributes:
        memory: (R, ...) before the burn-in, as the student that collected the trials had it.
        inputs: (B + W, R, X).
        resets: (B + W, R) bool, a trial begins at this step.
        wanted: (W, R, P), what the teacher says.
        weights: (W, R), zero at padding and one elsewhere.
    """

    memory: State
    inputs: torch.Tensor
    resets: torch.Tensor
    wanted: torch.Tensor
    weights: torch.Tensor


class RMA:
    """See the module; settings are :class:`metarl.algorithms.rma_config.RMAConfig`.

    Args:
        config: of the run. In an iteration there are `meta_batch` tasks with `episodes` trials each.
        spec: of its environment.
    """

    def __init__(self, config: Config, spec: Spec):
        self.config, self.spec = config, spec
        self.teacher = Teacher(config, spec)
        self.policy = self.make_student()
        rng = np.random.default_rng(stream(config.seed, "init", 1))
        own = ("memory.",) if self.settings.imitate == "latent" else ("memory.", "policy.")
        self.params = {name: value for name, value in self.policy.init(rng).items() if name.startswith(own)}
        for value in self.params.values():
            value.requires_grad_(True)
        self.optimizer = torch.optim.Adam(self.params.values(), lr=self.settings.student_lr, fused=True)
        self.budgets = {"teacher": 0, "student": 0}  # steps lived in each phase so far

    @property
    def settings(self) -> RMAConfig:
        return cast(RMAConfig, self.config.algorithm)

    def make_student(self) -> RecurrentPolicy:
        """pi(x, phi(...)) with the teacher's pi, or a policy of its own."""
        settings, sizes = self.settings, (self.teacher.own, self.spec.action_dim)
        memory = {"cell": settings.memory, "memory_options": settings.memory_options, **self.teacher.perceptrons()}
        if settings.imitate == "actions":
            return RecurrentPolicy(*sizes, size=settings.memory_size, **memory)
        return StudentPolicy(*sizes, size=settings.latent, memory_size=settings.memory_size, **memory)

    def adapter(self) -> RecurrentAdapter:
        """The student, as it has learned so far; with `oracle` the teacher."""
        if self.settings.oracle:
            return self.teacher.adapter()
        of_teacher = {k: v for k, v in self.teacher.params.items() if k.startswith(("policy.", "log_std"))}
        params = {name: value.detach().clone() for name, value in {**of_teacher, **self.params}.items()}
        seen, own = self.teacher.normalizer, self.teacher.own
        normalizer = Normalizer(seen.count, seen.mean[:own], seen.m2[:own], seen.enabled)
        return RecurrentAdapter(self.policy, params, normalizer, self.teacher.reward_normalizer)

    # ---- one iteration

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """One of the first phase, in which the teacher learns, or of the second, in which the student does."""
        told = env if self.settings.oracle else cast(BatchEnv, OracleEnv(env, self.config.revision))
        if iteration < self.teacher.iterations:
            phase, metrics = "teacher", self.teacher.iterate(told, iteration)
        else:
            phase, metrics = "student", self.teach(told, iteration)
        self.budgets[phase] += int(metrics["env_steps"])
        return metrics | {f"{name}_env_steps": steps for name, steps in self.budgets.items()}

    def teach(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """The student acts, and learns what the teacher would have said; returns metrics."""
        start = time.perf_counter()
        student = Untold(self.adapter(), self.teacher.normalizer)
        rollouts, metrics = self.teacher.collect_episodes(env, student, iteration)
        trials = pack(rollouts, self.teacher.policy, self.teacher.reward_normalizer, env.tasks)
        metrics["seconds_sampling"] = time.perf_counter() - start
        start = time.perf_counter()
        metrics |= self.update(self.prepare(trials), iteration)
        metrics["seconds_update"] = time.perf_counter() - start
        return metrics

    @torch.no_grad()
    def prepare(self, trials: Trials) -> Lessons:
        """What the teacher says at each step of the trials, and the trials in windows. No gradient reaches it."""
        teacher, windows = self.teacher, self.teacher.windows(trials)
        _, wanted = teacher.policy.recall(teacher.params, (), trials.inputs)  # mu(e)
        if self.settings.imitate == "actions":
            wanted, _ = teacher.policy.act(teacher.params, wanted, trials.inputs)
        inputs, resets = windows.padded(self.inputs(trials)), windows.resets(trials.inputs.shape[1])
        weights = torch.from_numpy(trials.valid.T.astype(np.float32))
        return Lessons(
            memory=self.edges(inputs, resets, windows.steps, windows.count),
            inputs=windows.rows(inputs, windows.burn_in),
            resets=windows.rows(resets, windows.burn_in),
            wanted=windows.rows(windows.padded(wanted)),
            weights=windows.rows(windows.padded(weights)),
        )

    def inputs(self, trials: Trials) -> torch.Tensor:
        """(L, N, X), the teacher's inputs without e, as the student is given them."""
        sizes = [self.teacher.own, self.spec.action_dim, 1, 1, self.teacher.told]
        observations, actions, rewards, starts, _ = trials.inputs.split(sizes, dim=-1)
        return self.policy.inputs(observations, actions, rewards.squeeze(-1), starts.squeeze(-1))

    def edges(self, inputs: torch.Tensor, resets: torch.Tensor, window: int, count: int) -> State:
        """(count * N, ...), the memory at the beginning of each window's burn-in."""
        memory = self.policy.memory.start(inputs.shape[1], inputs.dtype)
        edges = [memory]
        for first in range(0, (count - 1) * window, window):
            part = slice(first, first + window)
            memory, _ = self.policy.recall(self.params, memory, inputs[part], resets[part])
            edges.append(memory)
        return tuple(torch.cat(parts) for parts in zip(*edges))

    def update(self, lessons: Lessons, iteration: int) -> dict[str, float]:
        """Adam steps on minibatches of trials; returns means over them."""
        settings, totals, first = self.settings, [], self.teacher.iterations
        if settings.anneal:
            left = 1 - (iteration - first) / max(1, self.config.iterations - first)
            self.optimizer.param_groups[0]["lr"] = settings.student_lr * left
        with side_by_side() as work:
            for epoch in range(settings.student_epochs):
                for part, steps in self.teacher.minibatches(lessons, iteration, epoch):
                    footprint = self.policy.memory.footprint
                    gradients, measured = mean_gradient(
                        self.loss, self.params, part, footprint, work, steps=steps
                    )
                    totals.append(measured)
                    for name, value in self.params.items():
                        value.grad = gradients[name]
                    torch.nn.utils.clip_grad_norm_(self.params.values(), settings.max_grad_norm)
                    self.optimizer.step()
        return {name: float(np.mean([row[name] for row in totals])) for name in totals[0]}

    def loss(self, params: Params, lessons: Lessons) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """J, summed over the steps of the windows."""
        memory, burn_in = lessons.memory, len(lessons.inputs) - len(lessons.weights)
        if burn_in:
            with torch.no_grad():
                memory, _ = self.policy.recall(params, memory, lessons.inputs[:burn_in], lessons.resets[:burn_in])
        _, got = self.policy.recall(params, memory, lessons.inputs[burn_in:], lessons.resets[burn_in:])
        if self.settings.imitate == "actions":
            got, _ = self.policy.act(self.teacher.params | params, got, lessons.inputs[burn_in:])
        error = squared_error(got, lessons.wanted, lessons.weights)
        return error, {"imitation_loss": error}

    # ---- resuming

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything a bit-identical resume needs, as flat tensors."""
        student = {f"student.{k}": v for k, v in trained_state(self.params, self.optimizer).items()}
        budgets = {f"{name}.env_steps": torch.tensor(steps) for name, steps in self.budgets.items()}
        return self.teacher.state_dict() | student | budgets

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore :meth:`state_dict`; ValueError names a tensor that is missing, unexpected or of another shape."""
        check_state(self.state_dict(), state)
        self.teacher.load_state_dict({name: state[name] for name in self.teacher.state_dict()})
        load_trained(self.params, self.optimizer, part(state, "student."))
        self.budgets = {name: int(state[f"{name}.env_steps"]) for name in self.budgets}


class Untold(Adapter):
    """The student in an environment that tells e, which it does not see; its rollouts keep e for the teacher.

    Args:
        student: whose observations are the first of those that the environment gives.
        normalizer: of all of these.
    """

    shares_experience = False

    def __init__(self, student: RecurrentAdapter, normalizer: Normalizer):
        self.student, self.normalizer = student, normalizer

    def start(self, num_tasks: int) -> TrialState:
        return self.student.start(num_tasks)

    def act(self, state: TrialState, observations: np.ndarray, rng: np.random.Generator | None) -> Decision:
        own = observations[..., : self.student.policy.observation_dim]
        return self.student.act(state, own, rng)._replace(observations=self.normalize(observations))

    def normalize(self, observations: np.ndarray) -> np.ndarray:
        return self.normalizer(observations)

    def observe(self, state: TrialState, rewards: np.ndarray, ended: np.ndarray) -> TrialState:
        return self.student.observe(state, rewards, ended)

    def adapt(self, state: TrialState, rollout: Rollout) -> TrialState:
        return self.student.adapt(state, rollout)


def squared_error(got: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`|got - wanted|^2` of (W, R, P), summed over the steps with their weights (W, R)."""
    return (weights * (got - wanted).square().sum(-1)).sum()
