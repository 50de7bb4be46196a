"""How much an MJCF asks for, counted as it is read: what would keep the compiler busy for minutes is refused at once.

    size = Size()
    size.start("replicate", {"count": "100000000"}); size.start("geom", {}); size.end("geom")    # ValueError

`<replicate>`, `<composite>` and `<flexcomp>` count for all that they make, in one file; what includes and attached
models add up to is left to the limits of the compiler's process.
"""

import math

MOST_ELEMENTS = 100_000
_MOST = {"nkey": 10_000, "nuserdata": 100_000}
_MOST_OF_AN_ELEMENT = 1_000  # numbers of a user: nuser_body and its like
_MAKERS = {"replicate": 1, "composite": 3, "flexcomp": 3}  # numbers of their count that are multiplied


class Size:
    """Counts elements; its methods are handlers of expat."""

    def __init__(self) -> None:
        self.elements, self._times = 0, [1]

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins.

        Raises:
            ValueError: that is more than a robot needs.
        """
        times = self._times[-1]
        if tag in _MAKERS:
            times *= math.prod(_whole(number) for number in attributes.get("count", "1").split()[: _MAKERS[tag]])
        self._times.append(times)
        self.elements += times
        if self.elements > MOST_ELEMENTS:
            raise ValueError(f"got {self.elements:,} elements, expected at most {MOST_ELEMENTS:,} of a robot; look for"
                             " a <replicate>, <composite> or <flexcomp> with a huge count")  # fmt: skip
        if tag == "size":
            for name, value in attributes.items():
                most = _MOST_OF_AN_ELEMENT if name.startswith("nuser_") else _MOST.get(name, math.inf)
                if _whole(value) > most:
                    raise ValueError(f"got {name} = {_whole(value)}, expected at most {most} of a robot (<size>)")

    def end(self, tag: str) -> None:
        """It ends."""
        self._times.pop()


def _whole(text: str) -> int:
    """A number of the MJCF; 1 for what is none, which the compiler will say."""
    try:
        return max(1, int(text)) if len(text) < 20 else MOST_ELEMENTS + 1
    except ValueError:
        return 1
