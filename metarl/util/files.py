"""Files: written so that they are whole or not there, and read without believing what they say of themselves.

    replace(path, content)        # under a temporary name, synced, then renamed: the old file or the new one
    content = read(path)          # a regular file of a sensible size; ValueError in one line otherwise
    data = read_json(path, dict)  # and JSON of that kind
"""

import contextlib
import errno
import json
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any

MOST_BYTES = 200_000_000
"""Of a file of a run that is read whole, unless a caller says otherwise."""


def read(path: Path, limit: int = MOST_BYTES, *, links: bool = False) -> bytes:
    """A regular file of at most `limit` bytes; no pipe is waited for, and no link followed unless `links`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: in one line without the path, what it is instead, or why it cannot be read.
    """
    descriptor = open_regular(path, os.O_RDONLY, limit, links=links)
    try:
        with open(descriptor, "rb") as file:
            return file.read(os.fstat(descriptor).st_size)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def open_regular(path: Path, flags: int, limit: int = MOST_BYTES, *, links: bool = False) -> int:
    """A descriptor, opened with `flags`, of what `read` would read; it raises what that does."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW), 0o666)
    except FileNotFoundError:
        raise
    except OSError as error:
        a_link = error.errno == errno.ELOOP and os.path.islink(path)
        raise ValueError("is a link, expected a file" if a_link else f"cannot be read: {error.strerror}") from error
    status = os.fstat(descriptor)
    problem = None
    if not stat.S_ISREG(status.st_mode):
        problem = "is not a regular file"
    elif status.st_size > limit:
        problem = f"has {status.st_size} bytes, expected at most {limit}"
    if problem:
        os.close(descriptor)
        raise ValueError(problem)
    return descriptor


def read_json(path: Path, kind: type, limit: int = MOST_BYTES, *, links: bool = False) -> Any:
    """The JSON value in a file; NaN and infinity, which JSON has not, are refused.

    Args:
        kind: dict or list, what the value must be.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: in one line without the path, what is wrong with it.
    """
    content = read(path, limit, links=links)
    try:
        value = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from error
    if not isinstance(value, kind):
        names = {dict: "an object", list: "a list"}
        raise ValueError(f"holds {type(value).__name__}, expected {names[kind]}")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def write(path: Path, content: bytes) -> None:
    """Create file `path` with `content`, on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes) -> None:
    """Write file `path`, or leave the old one as it was; of several writers at once, the last one's is there."""
    partial = path.with_name(f".{path.name}.{os.getpid()}_{secrets.token_hex(4)}.partial")
    try:
        write(partial, content)
        os.rename(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    sync_directory(path.parent)


def partial_of(name: str) -> str | None:
    """The file that `replace` was about to write when it left one of that name behind; None for any other name."""
    match = re.fullmatch(r"\.(.+?)(\.\d+_[0-9a-f]+)?\.partial", name)  # of before: without process and token
    return match[1] if match else None


def sync_directory(path: Path) -> None:
    """Make the renames in folder `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
