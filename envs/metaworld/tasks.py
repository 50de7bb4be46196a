"""Meta-World's tasks: 50 environments of a Sawyer arm, the box each draws its object and goal from, and the splits.

    space = ml1("reach-v3")
    space.sample(40, "train", np.random.default_rng(0)).values   # (40, 7): environment, object x y z, goal x y z (m)
    space.goals["held_out"].shape                                # (1, 50, 7): environments, goals, parameters

The goals are those of Meta-World's own benchmarks with seed `goal_seed`, number for number: 50 for training and 50 for
testing in ML1; 50 in each environment of ML10 and ML45, which keep five environments for testing. Validation goals are
those of another seed in the training environments. Nothing here needs the metaworld package; the table is of its
version 3.0.0.

In Meta-World an object nearer to its goal than `Box.separation` is drawn again, for ever where the position is given;
`GoalSpace.check` refuses such a task.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from metarl.util.text import nearest

from ..parameter import Parameter
from ..task import SPLITS, Tasks, TaskSpace

GOALS = 50  # of each environment, in training and in testing
NAMES = ("object_x", "object_y", "object_z", "goal_x", "goal_y", "goal_z")


@dataclass(frozen=True)
class Box:
    """Where an environment puts things (m): 3 numbers for a fixture or object, or 6 for an object and its goal.

    Attributes:
        low, high: bounds of each number.
        separation: least distance in the horizontal plane between object and goal.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    separation: float = 0.0

    def separated(self, position: np.ndarray) -> bool:
        """Whether Meta-World accepts a position (3,) or (6,)."""
        return not self.separation or bool(np.linalg.norm(position[:2] - position[-3:-1]) >= self.separation)

    def draw(self, rng: np.random.RandomState) -> np.ndarray:
        """A position, by the generator and in the order of Meta-World."""
        while not self.separated(position := rng.uniform(self.low, self.high)):
            pass
        return position


# in the order that Meta-World numbers them in
ENVIRONMENTS: dict[str, Box] = {
    "assembly-v3": Box((0.0, 0.6, 0.02, -0.1, 0.75, 0.1), (0.0, 0.6, 0.02, 0.1, 0.85, 0.1), 0.1),
    "basketball-v3": Box((-0.1, 0.6, 0.0299, -0.1, 0.85, 0.0), (0.1, 0.7, 0.0301, 0.1, 0.9000001, 0.0), 0.15),
    "bin-picking-v3": Box((-0.21, 0.65, 0.02, 0.1199, 0.699, -0.001), (-0.03, 0.75, 0.02, 0.1201, 0.701, 0.001)),
    "box-close-v3": Box((-0.05, 0.5, 0.02, -0.1, 0.7, 0.133), (0.05, 0.55, 0.02, 0.1, 0.8, 0.133), 0.25),
    "button-press-topdown-v3": Box((-0.1, 0.8, 0.115), (0.1, 0.9, 0.115)),
    "button-press-topdown-wall-v3": Box((-0.1, 0.8, 0.115), (0.1, 0.9, 0.115)),
    "button-press-v3": Box((-0.1, 0.85, 0.115), (0.1, 0.9, 0.115)),
    "button-press-wall-v3": Box((-0.05, 0.85, 0.1149), (0.05, 0.9, 0.1151)),
    "coffee-button-v3": Box((-0.1, 0.8, -0.001), (0.1, 0.9, 0.001)),
    "coffee-pull-v3": Box((-0.05, 0.7, -0.001, -0.1, 0.55, -0.001), (0.05, 0.75, 0.001, 0.1, 0.65, 0.001), 0.15),
    "coffee-push-v3": Box((-0.1, 0.55, -0.001, -0.05, 0.7, -0.001), (0.1, 0.65, 0.001, 0.05, 0.75, 0.001), 0.15),
    "dial-turn-v3": Box((-0.1, 0.7, 0.0), (0.1, 0.8, 0.0)),
    "disassemble-v3": Box((0.0, 0.6, 0.025, -0.1, 0.6, 0.1699), (0.1, 0.75, 0.02501, 0.1, 0.75, 0.1701), 0.1),
    "door-close-v3": Box((0.0, 0.85, 0.15), (0.1, 0.95, 0.15)),
    "door-lock-v3": Box((-0.1, 0.8, 0.15), (0.1, 0.85, 0.15)),
    "door-open-v3": Box((0.0, 0.85, 0.15), (0.1, 0.95, 0.15)),
    "door-unlock-v3": Box((-0.1, 0.8, 0.15), (0.1, 0.85, 0.15)),
    "hand-insert-v3": Box((-0.1, 0.6, 0.05, -0.04, 0.8, -0.0201), (0.1, 0.7, 0.05, 0.04, 0.88, -0.0199), 0.15),
    "drawer-close-v3": Box((-0.1, 0.9, 0.0), (0.1, 0.9, 0.0)),
    "drawer-open-v3": Box((-0.1, 0.9, 0.0), (0.1, 0.9, 0.0)),
    "faucet-open-v3": Box((-0.05, 0.8, 0.0), (0.05, 0.85, 0.0)),
    "faucet-close-v3": Box((-0.1, 0.8, 0.0), (0.1, 0.85, 0.0)),
    "hammer-v3": Box((-0.1, 0.4, 0.0), (0.1, 0.5, 0.0)),
    "handle-press-side-v3": Box((-0.35, 0.65, -0.001), (-0.25, 0.75, 0.001)),
    "handle-press-v3": Box((-0.1, 0.8, -0.001), (0.1, 0.9, 0.001)),
    "handle-pull-side-v3": Box((-0.35, 0.65, 0.0), (-0.25, 0.75, 0.0)),
    "handle-pull-v3": Box((-0.1, 0.8, -0.001), (0.1, 0.9, 0.001)),
    "lever-pull-v3": Box((-0.1, 0.7, 0.0), (0.1, 0.8, 0.0)),
    "pick-place-wall-v3": Box((-0.05, 0.6, 0.015, -0.05, 0.85, 0.05), (0.05, 0.65, 0.015, 0.05, 0.9, 0.3), 0.15),
    "pick-out-of-hole-v3": Box((0.0, 0.75, 0.02, -0.1, 0.5, 0.15), (0.0, 0.75, 0.02, 0.1, 0.6, 0.3), 0.15),
    "pick-place-v3": Box((-0.1, 0.6, 0.02, -0.1, 0.8, 0.05), (0.1, 0.7, 0.02, 0.1, 0.9, 0.3), 0.15),
    "plate-slide-v3": Box((0.0, 0.6, 0.0, -0.1, 0.85, 0.0), (0.0, 0.6, 0.0, 0.1, 0.9, 0.0)),
    "plate-slide-side-v3": Box((0.0, 0.6, 0.0, -0.3, 0.54, 0.0), (0.0, 0.6, 0.0, -0.25, 0.66, 0.0)),
    "plate-slide-back-v3": Box((0.0, 0.85, 0.0, -0.1, 0.6, 0.015), (0.0, 0.85, 0.0, 0.1, 0.6, 0.015)),
    "plate-slide-back-side-v3": Box((-0.25, 0.6, 0.0, -0.05, 0.6, 0.015), (-0.25, 0.6, 0.0, 0.15, 0.6, 0.015)),
    "peg-insert-side-v3": Box((0.0, 0.5, 0.02, -0.35, 0.4, -0.001), (0.2, 0.7, 0.02, -0.25, 0.7, 0.001), 0.1),
    "peg-unplug-side-v3": Box((-0.25, 0.6, -0.001), (-0.15, 0.8, 0.001)),
    "soccer-v3": Box((-0.1, 0.6, 0.03, -0.1, 0.8, 0.0), (0.1, 0.7, 0.03, 0.1, 0.9, 0.0), 0.15),
    "stick-push-v3": Box((-0.08, 0.58, 0.0, 0.399, 0.55, 0.1319), (-0.03, 0.62, 0.001, 0.401, 0.6, 0.1321), 0.1),
    "stick-pull-v3": Box((-0.1, 0.55, 0.0, 0.35, 0.45, 0.0199), (0.0, 0.65, 0.001, 0.45, 0.55, 0.0201), 0.1),
    "push-v3": Box((-0.1, 0.6, 0.02, -0.1, 0.8, 0.01), (0.1, 0.7, 0.02, 0.1, 0.9, 0.02), 0.15),
    "push-wall-v3": Box((-0.05, 0.6, 0.015, -0.05, 0.85, 0.01), (0.05, 0.65, 0.015, 0.05, 0.9, 0.02), 0.15),
    "push-back-v3": Box((-0.1, 0.8, 0.02, -0.1, 0.6, 0.0199), (0.1, 0.85, 0.02, 0.1, 0.7, 0.0201), 0.15),
    "reach-v3": Box((-0.1, 0.6, 0.02, -0.1, 0.8, 0.05), (0.1, 0.7, 0.02, 0.1, 0.9, 0.3), 0.15),
    "reach-wall-v3": Box((-0.05, 0.6, 0.015, -0.05, 0.85, 0.05), (0.05, 0.65, 0.015, 0.05, 0.9, 0.3), 0.15),
    "shelf-place-v3": Box((-0.1, 0.5, 0.019, -0.1, 0.8, 0.299), (0.1, 0.6, 0.021, 0.1, 0.9, 0.301), 0.1),
    "sweep-into-v3": Box((-0.1, 0.6, 0.02, -0.001, 0.8399, 0.0199), (0.1, 0.7, 0.02, 0.001, 0.8401, 0.0201), 0.15),
    "sweep-v3": Box((-0.1, 0.6, 0.02), (0.1, 0.7, 0.02)),
    "window-open-v3": Box((-0.1, 0.7, 0.16), (0.1, 0.9, 0.16)),
    "window-close-v3": Box((0.0, 0.75, 0.2), (0.0, 0.9, 0.2)),
}
INDICES = {name: i for i, name in enumerate(ENVIRONMENTS)}

ML10_TRAIN = (
    "reach-v3", "push-v3", "pick-place-v3", "door-open-v3", "drawer-close-v3", "button-press-topdown-v3",
    "peg-insert-side-v3", "window-open-v3", "sweep-v3", "basketball-v3",
)  # fmt: skip
ML10_HELD_OUT = ("drawer-open-v3", "door-close-v3", "shelf-place-v3", "sweep-into-v3", "lever-pull-v3")
ML45_HELD_OUT = ("bin-picking-v3", "box-close-v3", "hand-insert-v3", "door-lock-v3", "door-unlock-v3")
# the order matters: all goals of a benchmark come from one stream
ML45_TRAIN = (
    "assembly-v3", "basketball-v3", "button-press-topdown-v3", "button-press-topdown-wall-v3", "button-press-v3",
    "button-press-wall-v3", "coffee-button-v3", "coffee-pull-v3", "coffee-push-v3", "dial-turn-v3", "disassemble-v3",
    "door-close-v3", "door-open-v3", "drawer-close-v3", "drawer-open-v3", "faucet-open-v3", "faucet-close-v3",
    "hammer-v3", "handle-press-side-v3", "handle-press-v3", "handle-pull-side-v3", "handle-pull-v3", "lever-pull-v3",
    "pick-place-wall-v3", "pick-out-of-hole-v3", "push-back-v3", "pick-place-v3", "plate-slide-v3",
    "plate-slide-side-v3", "plate-slide-back-v3", "plate-slide-back-side-v3", "peg-insert-side-v3",
    "peg-unplug-side-v3", "soccer-v3", "stick-push-v3", "stick-pull-v3", "push-wall-v3", "push-v3", "reach-wall-v3",
    "reach-v3", "shelf-place-v3", "sweep-into-v3", "sweep-v3", "window-open-v3", "window-close-v3",
)  # fmt: skip


@dataclass(frozen=True)
class GoalSpace(TaskSpace):
    """A task space of which a fixed list is trained on, and two others are for validation and for testing.

    Validation is in the training environments, with other goals. A task in no list, such as one that a person writes
    down, was not trained on and counts as held out.

    Attributes:
        goals: the tasks (C, G, D) of "train", "validation" and "held_out": C environments with G goals each.
    """

    goals: dict[str, np.ndarray] = field(repr=False, compare=False)

    def __post_init__(self):
        super().__post_init__()
        sets = [Tasks(self, goals.reshape(-1, self.dim)) for goals in self.goals.values()]
        for tasks in sets:
            self.check(tasks)
        for one, other in itertools.combinations(sets, 2):
            self.assert_disjoint(one, other)

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw n tasks of a split: all its environments in turn, in random order, and of each all its goals likewise.

        So each environment is there as often as the others, to within one, and no goal twice before all were there.
        """
        self._check_split(split)
        if n < 0:
            raise ValueError(f"the number of tasks must not be negative, got {n}")
        pool = self.goals[split]
        environments, goals = pool.shape[:2]
        rounds = -(-n // environments)
        which = [rng.permutation(environments) for _ in range(rounds)]
        order = [[rng.permutation(goals) for _ in range(-(-rounds // goals))] for _ in range(environments)]
        rows = [pool[e, order[e][r // goals][r % goals]] for r in range(rounds) for e in which[r]]
        return Tasks(self, np.array(rows[:n]).reshape(n, self.dim))

    def check(self, tasks: Tasks) -> None:
        """Raise ValueError if Meta-World would not accept a task: its environments do not all have the same box."""
        for i, row in enumerate(tasks.values):
            name, box, position = environment_of(row)
            low, high = np.array(box.low), np.array(box.high)
            if np.any(row[1 + len(low) :]):
                raise ValueError(f"{self.family} task {i}: {name} has no {NAMES[len(low)]} and beyond; leave them 0")
            for j in np.flatnonzero((position < low) | (position > high)):
                raise ValueError(
                    f"{self.family} task {i}: {NAMES[j]} is {position[j]:g} m; {name} takes {low[j]:g} to {high[j]:g} m"
                )
            if not box.separated(position):
                raise ValueError(
                    f"{self.family} task {i}: object and goal of {name} must be {box.separation:g} m apart, got"
                    f" {np.linalg.norm(position[:2] - position[-3:-1]):.3g} m"
                )

    def _split_index(self, values: np.ndarray) -> np.ndarray:
        keys, found = self._keys(values), np.full(len(values), SPLITS.index("held_out"))
        for split, goals in self.goals.items():
            found[np.isin(keys, self._keys(goals.reshape(-1, self.dim)))] = SPLITS.index(split)
        return found


def name_of(number: float) -> str:
    """The environment of that number in Meta-World's list."""
    return _TABLE[int(number)][0]


def environment_of(row: np.ndarray) -> tuple[str, Box, np.ndarray]:
    """Name and box of the environment of one task (D,), and its position (3,) or (6,)."""
    name, box = _TABLE[int(row[0])]
    return name, box, row[1 : 1 + len(box.low)]


def ml1(env_name: str, goal_seed: int = 0) -> GoalSpace:
    """One environment, 50 goals for training and 50 others for testing: metaworld.ML1(env_name, seed=goal_seed)."""
    if env_name not in ENVIRONMENTS:
        raise ValueError(f"unknown Meta-World environment {env_name!r}" + nearest(env_name, ENVIRONMENTS))
    return _space("MetaWorldML1", (env_name,), (env_name,), goal_seed, goal_seed + 2, goal_seed + 1)


def ml10(goal_seed: int = 0) -> GoalSpace:
    """Ten environments for training and five others for testing: metaworld.ML10(seed=goal_seed)."""
    return _space("MetaWorldML10", ML10_TRAIN, ML10_HELD_OUT, goal_seed, goal_seed + 1, goal_seed)


def ml45(goal_seed: int = 0) -> GoalSpace:
    """Forty-five environments for training and five others for testing: metaworld.ML45(seed=goal_seed)."""
    return _space("MetaWorldML45", ML45_TRAIN, ML45_HELD_OUT, goal_seed, goal_seed + 1, goal_seed)


def _space(
    family: str, train: Sequence[str], held_out: Sequence[str], train_seed: int, validation_seed: int, test_seed: int
) -> GoalSpace:
    if not 0 <= train_seed < 2**32 - 2:
        raise ValueError(f"goal_seed must be from 0 to {2**32 - 3}, got {train_seed}")
    goals = {
        "train": _goals(train, train_seed), "validation": _goals(train, validation_seed),
        "held_out": _goals(held_out, test_seed),
    }  # fmt: skip
    names = sorted({*train, *held_out}, key=INDICES.__getitem__)
    first = goals["train"][0, 0].tolist()
    reserved = tuple(float(INDICES[name]) for name in held_out if name not in train)
    number = Parameter(
        "environment", "1", "number of the environment in Meta-World's list", first[0], "choice",
        choices=tuple(float(INDICES[name]) for name in names), held_out=reserved,
    )  # fmt: skip
    boxes = [ENVIRONMENTS[name] for name in names]
    positions = (_position(j, boxes, first[1 + j]) for j in range(max(len(box.low) for box in boxes)))
    return GoalSpace(family, (number, *positions), goals)


def _goals(names: Iterable[str], seed: int) -> np.ndarray:
    """(C, GOALS, D) tasks of environments, as Meta-World draws them with a seed: every second position, see reset."""
    rng = np.random.RandomState(seed)
    boxes = {name: ENVIRONMENTS[name] for name in names}
    goals = np.zeros((len(boxes), GOALS, 1 + len(NAMES)))
    for (name, box), rows in zip(boxes.items(), goals, strict=True):
        rows[:, 0] = INDICES[name]
        for row in rows:
            box.draw(rng)  # a reset of Meta-World draws twice, and the second counts
            row[1 : 1 + len(box.low)] = box.draw(rng)
    width = max(len(box.low) for box in boxes.values())
    return goals[..., : 1 + width]


def _position(j: int, boxes: Iterable[Box], default: float) -> Parameter:
    """The parameter of position j: over the boxes of all environments, and 0 where one has no such number."""
    bounds = [(box.low[j], box.high[j]) if j < len(box.low) else (0.0, 0.0) for box in boxes]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    what = "object or fixture at the start" if j < 3 else "goal, or of the second object; 0 where there is none"
    text = f"{'xyz'[j % 3]} of the {what}"
    if low == high:
        return Parameter(NAMES[j], "m", text, default, "choice", choices=(low,))
    return Parameter(NAMES[j], "m", text, default, "uniform", low, high)


_TABLE = list(ENVIRONMENTS.items())
