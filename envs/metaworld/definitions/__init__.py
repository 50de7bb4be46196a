"""The 50 environments of Meta-World by name: which definition each is."""

from metarl.util.plugins import find

from .definition import Definition

_FILES = {
    "reach": ("Reach", "ReachWall"),
    "push": ("Push", "PushWall", "PushBack", "CoffeePush", "CoffeePull", "Soccer", "Sweep", "SweepInto"),
    "pick_place": ("PickPlace", "PickPlaceWall", "ShelfPlace", "Basketball", "BinPicking", "PickOutOfHole",
                   "HandInsert", "BoxClose"),
    "button": ("ButtonPress", "ButtonPressWall", "ButtonPressTopdown", "ButtonPressTopdownWall", "CoffeeButton"),
    "door": ("DoorOpen", "DoorClose", "DoorLock", "DoorUnlock"),
    "sliding": ("DrawerOpen", "DrawerClose", "WindowOpen", "WindowClose"),
    "turning": ("FaucetClose", "FaucetOpen", "DialTurn", "LeverPull"),
    "handle": ("HandlePress", "HandlePressSide", "HandlePull", "HandlePullSide"),
    "plate": ("PlateSlide", "PlateSlideBack", "PlateSlideSide", "PlateSlideBackSide"),
    "peg": ("PegInsertSide", "PegUnplugSide"),
    "stick": ("StickPush", "StickPull"),
    "tool": ("Assembly", "Disassemble", "Hammer"),
}  # fmt: skip
_PLACES = {name.lower(): f"{file}:{name}" for file, names in _FILES.items() for name in names}


def definition(env_name: str) -> Definition:
    """The definition of the environment called env_name, "push-wall-v3" being PushWall."""
    return find(f"{__name__}.{_PLACES[env_name.removesuffix('-v3').replace('-', '')]}")()
