"""Which elements of a model are meant: a name, a pattern such as "*_foot", or an index."""

from collections.abc import Mapping
from fnmatch import fnmatchcase


def find(wanted: object, names: Mapping[int, str]) -> list[int]:
    """Indices of the elements that are meant, none if there are no such.

    A number is an index, or the name of an element that is called so.

    Args:
        names: of all elements by index, "" of one without a name.

    Raises:
        ValueError: a number that is the index of one element and the name of another.
    """
    if isinstance(wanted, bool) or not isinstance(wanted, int | str):
        return []
    called = [i for i, name in names.items() if name and name == str(wanted)]
    if isinstance(wanted, str):
        return called or [i for i, name in names.items() if name and fnmatchcase(name, wanted)]
    if called and wanted in names and called != [wanted]:
        raise ValueError(f"{wanted} is the name of one and the index of another, {names[wanted]!r}: write the name,"
                         f' "{wanted}" in quotes')  # fmt: skip
    return called or [wanted][: wanted in names]
