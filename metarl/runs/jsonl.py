"""Logs of JSON lines: one record per line, each iteration at most once, whatever was killed in between.

    log = LineLog(path, keep=40)              # on a resume from checkpoint 40: lines of iteration 40 and later go
    log.append({"iteration": 40, "return_0": -3.5})
    log.sync()                                # on the disk, before the checkpoint that vouches for it
    read_lines(path)                          # list of dicts; a torn last line is left out

A line is written in one piece or, when the disk is full, taken back and kept in memory for the next
attempt, so that a full disk delays lines and loses none.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from metarl.util.errors import UserError
from metarl.util.files import open_regular, read

MOST_BYTES = 2_000_000_000


class LineLog:
    """Appends to the file at `path`; `keep`: drop the lines of that iteration and later ones first."""

    def __init__(self, path: Path, keep: int):
        self.path = path
        self._pending: list[str] = []
        try:
            self._descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, MOST_BYTES)
            lines, self._size = _kept(read(path, MOST_BYTES), keep)
        except ValueError as error:
            raise UserError(f"{path}: {error}; restore a copy, or remove it") from error
        self.iterations = [line["iteration"] for line in lines]
        os.ftruncate(self._descriptor, self._size)

    def append(self, record: dict[str, Any]) -> None:
        """Add a line. Without space it waits in memory; `sync` reports that."""
        self.iterations.append(record["iteration"])
        self._pending.append(json.dumps(record, allow_nan=False) + "\n")
        with contextlib.suppress(OSError):
            self._write()

    def sync(self) -> None:
        """Bring all lines to the disk, or raise OSError."""
        self._write()
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def _write(self) -> None:
        content = "".join(self._pending).encode()
        try:
            written = 0
            while written < len(content):
                written += os.write(self._descriptor, content[written:])
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(content)
        self._pending.clear()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records in the file at `path`, none if there is no such file; stops before a torn line."""
    try:
        return _kept(read(path, MOST_BYTES), None)[0]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise UserError(f"{path}: {error}; restore a copy, or remove it") from error


def _kept(content: bytes, before: int | None) -> tuple[list[dict[str, Any]], int]:
    """The leading whole lines of iterations < `before`, and their length in bytes."""
    lines, size = [], 0
    for line in content.splitlines(keepends=True):
        record = _parse(line)
        if record is None or (before is not None and record["iteration"] >= before):
            break
        lines.append(record)
        size += len(line)
    return lines, size


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("iteration"), int) else None
