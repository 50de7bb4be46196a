"""The error that a user can act on, and the words for a name that was not found.

    from metarl.errors import UserError, nearest

    raise UserError(f"family 'HalfCheetaDir' is not known{nearest('HalfCheetaDir', ['HalfCheetahDir'])}")
    # family 'HalfCheetaDir' is not known (did you mean 'HalfCheetahDir'?)

Library code raises `UserError` for whatever the user can put right: a config, a run folder, a file. `metarl.cli.main` prints each
line of it behind `metarl: error:` and exits with 2. Every other exception is a bug of ours and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """One clear line, or one line per fault: what was got, what was expected, and the nearest match or the next step."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """" (did you mean 'x'?)" when one of `choices` looks like `name`, else " (choose from 'x', 'y')", "" without choices."""
    choices = list(dict.fromkeys(choices))
    folded: dict[str, str] = {}
    for choice in choices:
        folded.setdefault(choice.casefold(), choice)
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f" (did you mean '{folded[close[0]]}'?)"
    if not choices:
        return ""
    return " (choose from " + ", ".join(f"'{choice}'" for choice in choices) + ")"
