"""Files that are whole or not there, whatever is killed or fails in between.

    replace(path, content)        # under a temporary name, synced, then renamed: the old file or the new one
"""

import os
from pathlib import Path


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
    """Write file `path`, or leave the old one as it was."""
    partial = path.with_name(f".{path.name}.partial")
    write(partial, content)
    os.rename(partial, path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the renames in folder `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
