"""What happens to a robot from YAML in the course of an episode: commands, pushes, and how long feet are in the air.

    course = Course(told, model, senses, space, dt)
    course.begin(sim, ids, rngs); course.before(sim, ids); course.after(sim, ids)

All of it is state of the simulations, in their `userdata` behind that of the MJCF, so that a restored state goes on
exactly. What is drawn counts environment steps under a key of the episode: no simulation knows how many there are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metarl.util.rng import uniforms

from ..simulator import Simulator
from .commands import Commands
from .pushes import Push

_KEYS = 2.0**53  # exact as float64
_STREAMS = 64  # of an episode: one a part
_BEGINNING = np.uint64(1 << 60)


class Course:
    """The courses of episodes.

    Attributes:
        contacts: columns of sensordata (F,) that say whether a tracked foot touches; their memory is (time in the air,
            time in contact, time in the air that this step ended), F numbers each, s.

    Args:
        first: where its numbers begin in userdata.
        dt: s of an environment step.
    """

    def __init__(self, commands: Commands | None, pushes: Sequence[Push], contacts: np.ndarray, first: int, dt: float):
        self.commands, self.pushes, self.contacts, self.dt = commands, pushes, contacts, dt
        self._key = first
        sizes = [1, commands.size if commands else 0, *(push.size for push in pushes), 3 * len(contacts)]
        ends = first + np.cumsum(sizes)
        places = [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]
        self._commands, self._pushes, self._air = places[1], places[2:-1], places[-1]
        self._random = bool(commands or pushes)

    @staticmethod
    def size(commands: int, pushes: int, contacts: int) -> int:
        """Numbers in userdata of so many commands, pushes and tracked feet; 0 if there are none."""
        return 1 + (2 * commands + 1 if commands else 0) + Push.size * pushes + 3 * contacts if (
            commands or pushes or contacts) else 0  # fmt: skip

    def command_columns(self, observed: bool) -> np.ndarray:
        """Columns of userdata that hold the commands: as they are observed, or as the step is paid."""
        count = (self._commands.stop - self._commands.start - 1) // 2
        return self._commands.start + (count if observed else 0) + np.arange(count)

    def foot_columns(self, what: str) -> np.ndarray:
        """Columns of userdata of all tracked feet: "air", "contact" or "landing"."""
        count = len(self.contacts)
        return self._air.start + ("air", "contact", "landing").index(what) * count + np.arange(count)

    def begin(self, sim: Simulator, ids: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Episodes of simulations ids (n,) begin, a generator each."""
        if not self._random:
            return
        memory = sim.bind("userdata")
        memory[ids, self._key] = [np.floor(rng.random() * _KEYS) for rng in rngs]
        for stream, place, part in self._parts():
            rows = np.zeros((len(ids), part.size))
            part.begin(rows, self._draws(memory[ids, self._key], _BEGINNING, stream, part.draws))
            memory[ids, place] = rows

    def before(self, sim: Simulator, ids: np.ndarray | None) -> None:
        """An environment step of simulations ids (all if None) begins: what was observed is in force, pushes act."""
        if not self._random:
            return
        memory, step = sim.bind("userdata"), self._step(sim)
        stepped = self._mask(ids, len(memory))
        if self.commands:
            rows = memory[:, self._commands].copy()
            self.commands.before(rows)
            memory[:, self._commands] = np.where(stepped[:, None], rows, memory[:, self._commands])
        forces: dict[int, np.ndarray] = {}
        for stream, place, push in self._parts()[bool(self.commands) :]:
            due = np.flatnonzero(stepped & (memory[:, place.start] == step))
            if len(due):
                self._push(sim, memory, due, step[due], stream, place, push)
            if push.joint is None:
                acts, force = (step < memory[:, place.start + 1])[:, None], memory[:, place.start + 2 : place.stop]
                forces[push.body] = forces.get(push.body, 0.0) + np.where(acts, force, 0.0)
        for body, force in forces.items():
            sim.bind("xfrc_applied")[:, body] = force

    def after(self, sim: Simulator, ids: np.ndarray | None) -> None:
        """The environment step of simulations ids has ended."""
        memory = sim.bind("userdata")
        if len(self.contacts):
            stepped = self._mask(ids, len(memory))[:, None]
            air, contact, landing = (memory[:, self.foot_columns(what)] for what in ("air", "contact", "landing"))
            touches = np.take(sim.bind("sensordata"), self.contacts, axis=1) > 0
            landing = np.where(touches, air, 0.0)
            air = np.where(touches, 0.0, air + self.dt)
            contact = np.where(touches, contact + self.dt, 0.0)
            new = np.concatenate([air, contact, landing], axis=1)
            memory[:, self._air] = np.where(stepped, new, memory[:, self._air])
        if self.commands and self.commands.steps is not None:
            step, place = self._step(sim), self._commands
            due = np.flatnonzero(self._mask(ids, len(memory)) & self.commands.due(memory[:, place], step))
            if len(due):
                draws = self._draws(memory[due, self._key], step[due], 0, self.commands.draws)
                memory[due, place] = self.commands.draw(memory[due, place], draws, step[due])

    def _push(self, sim: Simulator, memory: np.ndarray, due: np.ndarray, step: np.ndarray, stream: int, place: slice,
              push: Push) -> None:  # fmt: skip
        """A push of simulations due (n,) in environment step (n,) of their episodes."""
        factor = sim.expand("numeric_data")[due, push.scale] if push.scale >= 0 else np.ones(len(due))
        draws = self._draws(memory[due, self._key], step, stream, push.draws)
        memory[due, place] = rows = push.draw(draws, step, factor)
        if push.joint is not None:
            position, velocity = push.joint
            quat = sim.bind("qpos")[due, position + 3 : position + 7]
            sim.bind("qvel")[due, velocity : velocity + 6] += push.velocity(quat, rows)

    def _parts(self) -> list[tuple[int, slice, Any]]:
        """What draws: the number of its stream, its place in userdata, and itself."""
        commands = [(0, self._commands, self.commands)] if self.commands else []
        return [*commands, *((1 + i, *both) for i, both in enumerate(zip(self._pushes, self.pushes, strict=True)))]

    def _step(self, sim: Simulator) -> np.ndarray:
        """Environment steps (N,) since the start of each episode."""
        return np.rint(sim.bind("time") / self.dt)

    def _draws(self, key: np.ndarray, counter: np.ndarray | np.uint64, stream: int, size: int) -> np.ndarray:
        """Uniform numbers (n, size) in [0, 1) of keys (n,) at environment steps counter (n,)."""
        counter = np.broadcast_to(np.asarray(counter).astype(np.uint64), key.shape)
        return uniforms(key.astype(np.uint64), counter * np.uint64(_STREAMS) + np.uint64(stream), size)

    @staticmethod
    def _mask(ids: np.ndarray | None, n: int) -> np.ndarray:
        mask = np.full(n, ids is None)
        if ids is not None:
            mask[ids] = True
        return mask
