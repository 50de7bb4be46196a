"""What happens to a robot from YAML in the course of an episode: commands, pushes, and how long feet are in the air.

    course = Course(told, model, senses, space, dt)
    course.begin(sim, ids, rngs); course.before(sim, ids); course.after(sim, ids)

All of it is state of the simulations, in their `userdata` behind that of the MJCF, so that a restored state goes on
exactly. What is drawn counts environment steps under a key of the episode: no simulation knows how many there are. The
memory of an episode is (key in three parts, environment steps so far), exact as float32, and that of each part. It is
computed where the simulator has it, in NumPy or on a device, which is never asked for a number.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metarl.util.rng import uniforms

from ..arrays import Array, flag, index, namespace, some, whole
from ..simulator import Simulator
from .commands import Commands
from .pushes import Push

_KEYS, _PART = 2.0**53, 18  # bits of a part of a key
_STREAMS = 64  # of an episode: one a part


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
        sizes = [4, commands.size if commands else 0, *(push.size for push in pushes), 3 * len(contacts)]
        ends = first + np.cumsum(sizes)
        places = [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]
        self._key, self._step = slice(first, first + 3), first + 3
        self._commands, self._pushes, self._air = places[1], places[2:-1], places[-1]
        self._random = bool(commands or pushes)

    @staticmethod
    def size(commands: int, pushes: int, contacts: int) -> int:
        """Numbers in userdata of so many commands, pushes and tracked feet; 0 if there are none."""
        return 4 + (2 * commands + 1 if commands else 0) + Push.size * pushes + 3 * contacts if (
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
        key = np.array([int(rng.random() * _KEYS) for rng in rngs])
        memory[ids, self._key] = np.stack([key >> shift & (1 << _PART) - 1 for shift in (2 * _PART, _PART, 0)], axis=1)
        for stream, place, part in self._parts():
            rows = np.zeros((len(ids), part.size))
            part.begin(rows, _draws(key, np.zeros_like(key), stream, part.draws))
            memory[ids, place] = rows

    def before(self, sim: Simulator, ids: np.ndarray | None) -> None:
        """An environment step of simulations ids (all if None) begins: what was observed is in force, pushes act."""
        if not self._random:
            return
        memory = sim.bind("userdata")
        xp, step, stepped = namespace(memory), memory[:, self._step], _mask(ids, memory)
        if self.commands:
            rows = memory[:, self._commands]
            memory[:, self._commands] = xp.where(stepped[:, None], self.commands.before(rows), rows)
        forces: dict[int, Array] = {}
        for stream, place, push in self._parts()[bool(self.commands) :]:
            due = stepped & (memory[:, place.start] == step)
            if some(due):
                self._push(sim, memory, due, stream, place, push)
            if push.joint is None:
                acts, force = (step < memory[:, place.start + 1])[:, None], memory[:, place.start + 2 : place.stop]
                forces[push.body] = forces.get(push.body, 0.0) + xp.where(acts, force, xp.zeros_like(force))
        for body, force in forces.items():
            sim.bind("xfrc_applied")[:, body, :] = force

    def after(self, sim: Simulator, ids: np.ndarray | None) -> None:
        """The environment step of simulations ids has ended."""
        memory = sim.bind("userdata")
        if not self._random and not len(self.contacts):
            return
        xp, stepped = namespace(memory), _mask(ids, memory)
        memory[:, self._step] += flag(stepped, memory)
        if len(self.contacts):
            feet, sensed = len(self.contacts), sim.bind("sensordata")
            air, contact = memory[:, self._air][:, :feet], memory[:, self._air][:, feet : 2 * feet]
            touches, none = xp.take(sensed, index(self.contacts, sensed), axis=1) > 0, xp.zeros_like(air)
            new = [xp.where(touches, none, air + self.dt), xp.where(touches, contact + self.dt, none),
                   xp.where(touches, air, none)]  # fmt: skip
            memory[:, self._air] = xp.where(stepped[:, None], xp.concat(new, axis=1), memory[:, self._air])
        if self.commands and self.commands.steps is not None:
            step, place, rows = memory[:, self._step], self._commands, memory[:, self._commands]
            due = stepped & self.commands.due(rows, step)
            if some(due):
                draws = _draws(self._keys(memory), whole(step), 0, self.commands.draws)
                memory[:, place] = xp.where(due[:, None], self.commands.draw(rows, draws, step), rows)

    def _push(self, sim: Simulator, memory: Array, due: Array, stream: int, place: slice, push: Push) -> None:
        """A push of the simulations where due (N,) is true."""
        xp, step = namespace(memory), memory[:, self._step]
        factor = sim.expand("numeric_data")[:, push.scale] if push.scale >= 0 else xp.ones_like(step)
        rows = push.draw(_draws(self._keys(memory), whole(step), stream, push.draws), step, factor)
        memory[:, place] = xp.where(due[:, None], rows, memory[:, place])
        if push.joint is not None:
            position, velocity = push.joint
            quat, qvel = sim.bind("qpos")[:, position + 3 : position + 7], sim.bind("qvel")
            now = qvel[:, velocity : velocity + 6]
            qvel[:, velocity : velocity + 6] = xp.where(due[:, None], now + push.velocity(quat, rows), now)

    def _parts(self) -> list[tuple[int, slice, Any]]:
        """What draws: the number of its stream, its place in userdata, and itself."""
        commands = [(0, self._commands, self.commands)] if self.commands else []
        return [*commands, *((1 + i, *both) for i, both in enumerate(zip(self._pushes, self.pushes, strict=True)))]

    def _keys(self, memory: Array) -> Array:
        """The key of each episode, (N,) int64."""
        parts = whole(memory[:, self._key])
        return (parts[:, 0] << 2 * _PART) + (parts[:, 1] << _PART) + parts[:, 2]


def _draws(key: Array, step: Array, stream: int, size: int) -> Array:
    """Uniform numbers (n, size) in [0, 1) of keys (n,) at environment steps (n,), int64 both."""
    return uniforms(key, step * _STREAMS + stream, size)


def _mask(ids: np.ndarray | None, memory: Array) -> Array:
    """The simulations ids, all if None, as a mask (N,)."""
    mask = np.full(memory.shape[0], ids is None)
    if ids is not None:
        mask[ids] = True
    return index(mask, memory)
