"""What a parameter's value changes.

    legs = Write("damping", ("*_knee", "*_hip"))              # by name or pattern; the value multiplies
    load = Write("payload", "torso", at=(0.0, 0.0, 0.1))      # the value is a mass in kg
    dead = Write("strength", ("hip", "knee"), "pick", factor=0.0)   # value 0: the hip's motor is dead, 1: the knee's
"""

from dataclasses import dataclass
from typing import Any

from metarl.util.text import nearest

from .quantities import ADD, PICK, QUANTITIES, SCALE, SET, Quantity


@dataclass(frozen=True)
class Write:
    """What a parameter's value changes.

    Attributes:
        quantity: a key of QUANTITIES.
        elements: names of bodies, geoms, joints or actuators, patterns such as `"*_foot"`, or indices; by default all
            but the world and free joints. In mode "pick" each entry is one choice: an element or a tuple of them.
        mode: "scale" multiplies, "add" adds, "set" replaces; "pick" scales the elements that the value is the index of
            by `factor`, and -1 picks none. By default the first mode of the quantity.
        axis: "x", "y" or "z", for a quantity that is a vector.
        at: place of a payload in the frame of the body, m.
        factor: of mode "pick".
    """

    quantity: str
    elements: Any = ()  # a tuple from here on
    mode: str = ""
    axis: str = ""
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    factor: float = 0.0

    def __post_init__(self):
        if self.quantity not in QUANTITIES:
            raise ValueError(f"unknown quantity {self.quantity!r}" + nearest(self.quantity, QUANTITIES))
        row = QUANTITIES[self.quantity]
        elements = self.elements if isinstance(self.elements, tuple | list) else (self.elements,)
        object.__setattr__(self, "elements", tuple(elements))
        object.__setattr__(self, "mode", self.mode or row.modes[0])
        modes = (*row.modes, PICK) if SCALE in row.modes else row.modes
        if self.mode not in modes:
            raise ValueError(f"{self.quantity} has no mode {self.mode!r}" + nearest(self.mode, modes))
        if self.axis and (not row.axes or self.axis not in ("x", "y", "z")):
            allowed = "x, y or z" if row.axes else "none"
            raise ValueError(f"{self.quantity}: axis must be {allowed}, got {self.axis!r}")
        if row.axes and not self.axis and self.mode in (ADD, SET):
            raise ValueError(f"{self.quantity}: mode {self.mode!r} needs an axis, x, y or z")
        if self.quantity != "payload" and any(self.at):
            raise ValueError(f"{self.quantity}: got at, expected it with payload; leave it out")
        if self.mode != PICK and self.factor:
            raise ValueError(f"{self.quantity}: got factor in mode {self.mode!r}, expected it in 'pick'; leave it out")
        if len(self.at) != 3:
            raise ValueError(f"{self.quantity}: at must be a place (x, y, z) in m, got {self.at!r}")

    @property
    def quantity_row(self) -> Quantity:
        """The row of its quantity in the table."""
        return QUANTITIES[self.quantity]
