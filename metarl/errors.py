"""The error that a user can act on, and the words for a name that was not found.

    from metarl.errors import UserError, nearest

    raise UserError(f"family 'HalfCheetaDir' is not known{nearest('HalfCheetaDir', ['HalfCheetahDir'])}")
    # family 'HalfCheetaDir' is not known (did you mean 'HalfCheetahDir'?)

Library code raises `UserError` for whatever the user can put right: a config, a run folder, a file.
`metarl.cli.main` prints each line of it behind `metarl: error:` and exits with 2. Every other exception is a
bug of ours and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """One clear line, or one per fault: what was got, what was expected, the nearest match or next step."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """" (did you mean 'y'?)" when one of `choices` looks like `name`, else " (choose from 'y', 'z')"."""
    choices = list(dict.fromkeys(choices))
    if not choices:
        return ""
    return close(name, choices) or " (choose from " + ", ".join(f"'{choice}'" for choice in choices) + ")"


def close(name: str, choices: Iterable[str]) -> str:
    """" (did you mean 'y'?)" when one of `choices` looks like `name`, else ""."""
    folded: dict[str, str] = {}
    for choice in choices:
        folded.setdefault(choice.casefold(), choice)
    match = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" (did you mean '{folded[match[0]]}'?)" if match else ""
