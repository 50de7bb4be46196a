"""One seed, many independent streams, none of them with a state to save.

Every random draw of a run comes from a stream named by its purpose and position, so a resumed run needs no generator
state, and evaluating can never disturb training:

    rng = np.random.default_rng(stream(seed, "tasks", iteration))

Streams of different seeds, purposes or positions are independent (numpy's SeedSequence); seed and seed + 1 share none.

Simulations have a stream each, independent of the others and of how many there are:

    streams(0, range(800), 800)[3].bit_generator.seed_seq        # SeedSequence(0, spawn_key=(3,))

Never seed + i, as Gymnasium's vector environments and SB3 have it: there seeds 0 and 1 share all streams but one.

What is drawn for all simulations at each step comes from `uniforms`, which counts instead of remembering: the state of
N streams is two arrays (N,), and no loop over simulations is needed. On a device it draws there, in the same bits:
`words` says how.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from array_api_compat import device

from .arrays import Array, namespace

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SPLITMIX64 = np.array([_GOLDEN, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
_UNSIGNED, _SIGNED = tuple(_SPLITMIX64), tuple(_SPLITMIX64.view(np.int64).tolist())

PURPOSES = (
    "init", "tasks", "rollouts", "evaluation_tasks", "evaluation", "replay", "bench", "minibatches", "export", "tuning",
    "watch", "check",
)  # fmt: skip

Seed = int | np.random.SeedSequence | Sequence[int | None] | None


def stream(seed: int, purpose: str, *position: int) -> np.random.SeedSequence:
    """The seed of one stream, e.g. ``stream(0, "rollouts", iteration, inner_step)``.

    A purpose of your own is a name like any other; those of metarl keep the numbers that their order here gives.
    """
    if purpose in PURPOSES:
        number = PURPOSES.index(purpose)
    else:
        number = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.SeedSequence(seed, spawn_key=(number, *position))


def streams(seed: Seed, ids: Iterable[int], num_envs: int, first: int = 0) -> list[np.random.Generator]:
    """A generator for each simulation in ids.

    Args:
        seed: an int or a SeedSequence gives simulation i the stream SeedSequence(seed, spawn_key=(i,)); a sequence of
            num_envs seeds gives each simulation the stream of the only simulation of an environment with its seed;
            None takes entropy from the operating system.
        first: number of simulation 0 in the whole that these are a part of; not for a sequence of seeds.
    """
    if isinstance(seed, np.random.SeedSequence):
        children = [np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, first + int(i))) for i in ids]
    elif seed is None or isinstance(seed, int | np.integer):
        entropy = np.random.SeedSequence(None if seed is None else int(seed)).entropy
        children = [np.random.SeedSequence(entropy, spawn_key=(first + int(i),)) for i in ids]
    elif len(seed) == num_envs:
        children = [np.random.SeedSequence(seed[i], spawn_key=(0,)) for i in ids]
    else:
        raise ValueError(f"a sequence of seeds needs one per simulation, {num_envs}, got {len(seed)}")
    return [np.random.Generator(np.random.PCG64(child)) for child in children]


def keys(generators: Iterable[np.random.Generator], purpose: int) -> np.ndarray:
    """A key (n,) uint64 for `uniforms` beside each of the streams above, another one for each purpose (a number)."""
    seeds = [cast(np.random.SeedSequence, g.bit_generator.seed_seq) for g in generators]
    children = (np.random.SeedSequence(s.entropy, spawn_key=(*s.spawn_key, purpose)) for s in seeds)
    return np.array([child.generate_state(1, np.uint64)[0] for child in children], np.uint64)


def words(numbers: np.ndarray, beside: Array) -> Array:
    """Keys or counters, uint64, beside another array: where that is not NumPy's, or int64, those of the same bits."""
    if type(beside) is np.ndarray and beside.dtype != np.int64:
        return numbers
    return namespace(beside).asarray(numbers.view(np.int64), device=device(beside))


def uniforms(key: Array, counter: Array, size: int) -> Array:
    """Draw number counter (n,) of the streams key (n,): size numbers each, (n, size), uniform in [0, 1).

    Both are `words`; the numbers are float64.
    """
    row = splitmix64(key ^ splitmix64(counter))
    bits = splitmix64(row[:, None] + words(_GOLDEN * np.arange(size, dtype=np.uint64), row))
    xp = namespace(bits)
    return xp.asarray(_right(bits, 11), dtype=xp.float64) * 2.0**-53


def normals(key: Array, counter: Array, size: int) -> Array:
    """As uniforms, standard normal: Box and Muller's pairs."""
    pairs = -(-size // 2)
    u = uniforms(key, counter, 2 * pairs)
    xp = namespace(u)
    length, angle = xp.sqrt(-2 * xp.log(1 - u[:, :pairs])), 2 * np.pi * u[:, pairs:]
    return xp.concat([length * xp.cos(angle), length * xp.sin(angle)], axis=1)[:, :size]


def splitmix64(x: Array) -> Array:
    """Finaliser of Steele, Lea and Flood's SplitMix64, elementwise on `words`."""
    golden, first, second = _UNSIGNED if _unsigned(x) else _SIGNED
    x = x + golden
    x = (x ^ _right(x, 30)) * first
    x = (x ^ _right(x, 27)) * second
    return x ^ _right(x, 31)


def _right(x: Array, bits: int) -> Array:
    """Words shifted to the right; zeros come in."""
    return x >> np.uint64(bits) if _unsigned(x) else (x >> bits) & ((1 << 64 - bits) - 1)


def _unsigned(x: Array) -> bool:
    return isinstance(x.dtype, np.dtype) and x.dtype == np.uint64
