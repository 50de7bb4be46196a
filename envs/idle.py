"""Why a parameter changes nothing: what MuJoCo knows of it.

    reason(make_family("HopperRandParams"), parameter, [0.5])    # "geom 'foot' touched nothing under random actions"
"""

import itertools
from collections.abc import Collection, Iterable, Iterator

import mujoco
import numpy as np

from .batch_env import BatchEnv
from .family import Family, endless
from .parameter import Parameter
from .task import TaskSpace
from .variation.changes import CHANGES, field_of
from .variation.quantities import Quantity
from .writer import Writer

_STEPS, _SIMULATIONS, _EVERY = 60, 4, 3  # environment steps in which contacts are looked for, and where
_OF_CONTACTS = {"friction": 3, "torsional_friction": 4, "rolling_friction": 6, "solref_time": 1, "solref_damping": 1}
Contact = tuple[int, int, int]  # (geom, geom, condim)


def reason(family: Family, parameter: Parameter, values: Collection[float]) -> str:
    """Why values of a parameter do nothing, in a few words; empty if it is not known."""
    if not any(write.quantity in CHANGES for write in parameter.writes):
        return ""
    model, alone = family.build(), TaskSpace(family.space.family, (parameter,))
    writer, reasons = Writer(alone, model), []
    for write, elements, pick in writer.written:
        if pick is not None and pick not in values:
            continue
        row = write.quantity_row
        found = _of_elements(model, write.quantity, row, elements) or _of_values(model, writer, values, row)
        if not found and write.quantity in _OF_CONTACTS:
            found = _of_contacts(model, write.quantity, elements, _contacts(family))
        reasons.append(found)
    return next(filter(None, reasons), "")


def _of_elements(model: mujoco.MjModel, quantity: str, row: Quantity, elements: np.ndarray) -> str:
    if row.kind == "body" and quantity != "position" and not model.body_weldid[elements].any():
        return f"{_names(model, 'body', elements)} is fixed to the world"
    if quantity == "wind" and not (model.opt.density or model.opt.viscosity):
        return "the medium has neither density nor viscosity (<option>)"
    if quantity in _OF_CONTACTS and not (model.geom_contype[elements] | model.geom_conaffinity[elements]).any():
        return f"{_names(model, 'geom', elements)} can touch nothing: contype and conaffinity are 0"
    return ""


def _of_values(model: mujoco.MjModel, writer: Writer, values: Collection[float], row: Quantity) -> str:
    """Nothing is written that was not there: a factor on 0."""
    fields = writer.fields(np.array([*values])[:, None])
    if all((fields[name] == field_of(model, name)).all() for name in row.fields):
        stay = "stays what it is" if len(row.fields) == 1 else "stay what they are"
        return f"{' and '.join(row.fields)} {stay}: a factor on 0 is 0, use mode add or set"
    return ""


def _of_contacts(model: mujoco.MjModel, quantity: str, elements: np.ndarray, contacts: Iterable[Contact]) -> str:
    """What decides instead of the geoms, in the contacts that there were."""
    mine = [(a, b, dim) if a in elements else (b, a, dim) for a, b, dim in contacts if a in elements or b in elements]
    if not mine:
        return f"{_names(model, 'geom', elements)} touched nothing under random actions"
    pairs = {frozenset(pair) for pair in zip(model.pair_geom1.tolist(), model.pair_geom2.tolist(), strict=True)}
    if all(frozenset((own, other)) in pairs for own, other, _ in mine):
        of = "pair_friction" if "friction" in quantity else "the pair"
        return f"its contacts are explicit ones (<contact><pair>), which have their own: write {of}"
    needed = _OF_CONTACTS[quantity]
    if all(dim < needed for *_, dim in mine):
        return f"its contacts have condim {max(dim for *_, dim in mine)}, and it needs {needed}"
    others = sorted({other for _, other, _ in mine})
    if all(model.geom_priority[other] > model.geom_priority[own] for own, other, _ in mine):
        return f"{_names(model, 'geom', others)} has a higher priority, and decides"
    both = all(model.geom_priority[other] == model.geom_priority[own] for own, other, _ in mine)
    if both and "friction" in quantity and not set(others) <= set(elements):
        return f"of two touching geoms the larger friction counts, that of {_names(model, 'geom', others)}"
    return ""


def _contacts(family: Family) -> Iterator[Contact]:
    """Of a few simulations under random actions, in the default task."""
    env = BatchEnv(endless(family), _SIMULATIONS, autoreset_mode="Disabled", horizon=2**31)
    try:
        env.reset(seed=0)
        rng = np.random.default_rng(0)
        for step in range(min(_STEPS, family.horizon)):
            if step % _EVERY == 0:
                for i in range(_SIMULATIONS):
                    data = env.data_of(i)
                    mujoco.mj_fwdPosition(env.model, data)
                    yield from zip(*data.contact.geom.T.tolist(), data.contact.dim.tolist(), strict=True)
            env.step(rng.uniform(-1, 1, (_SIMULATIONS, env.model.nu)))
    finally:
        env.close()


def _names(model: mujoco.MjModel, kind: str, elements: Iterable[int], most: int = 3) -> str:
    found = [getattr(model, kind)(int(i)).name or str(i) for i in elements]
    return f"{kind} " + ", ".join(map(repr, itertools.islice(found, most))) + ", ..." * (len(found) > most)
