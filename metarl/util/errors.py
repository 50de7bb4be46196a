"""The error that a user can act on.

    from metarl.util.errors import UserError
    from metarl.util.text import nearest

    raise UserError(f"family 'HalfCheetaDir' is not known{nearest('HalfCheetaDir', ['HalfCheetahDir'])}")
    # family 'HalfCheetaDir' is not known (did you mean 'HalfCheetahDir'?)

Library code raises `UserError` for whatever the user can put right: a config, a run folder, a file.
`metarl.cli.main` prints each line of it behind `metarl: error:` and exits with 2. Every other exception is a
bug of ours and keeps its traceback.
"""


class UserError(Exception):
    """One clear line, or one per problem: what was got, what was expected, the nearest match or next step."""
