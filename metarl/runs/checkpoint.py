"""Checkpoints: what a run has learned, on disk, such that the last good one is always there.

    folder = save(run / "checkpoints", {"meta.w": torch.zeros(3)}, {"iteration": 40}, keep=3)   # checkpoints/40/
    checkpoint = load_latest(run / "checkpoints")
    checkpoint.iteration, checkpoint.tensors["meta.w"], checkpoint.meta

A checkpoint is a folder named after its iteration with two files: `state.safetensors` (all tensors) and
`meta.json` (plain values, the size and SHA-256 of the first file, and a SHA-256 over the rest of itself).
It is written under a hidden name, synced, and then renamed: a crash, a full disk or a power cut at any
point leaves the older checkpoints as they were. Nothing here can run code on load, and nothing is allocated
by a size that a file declares. Reading takes no lock and changes nothing.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialize_tensors

from metarl.util.errors import UserError
from metarl.util.files import read, sync_directory, write
from metarl.util.text import first_line

FORMAT = 1
TENSORS, META = "state.safetensors", "meta.json"
MAX_META_BYTES = 1_000_000
HIDDEN = ".partial-"  # written but not yet renamed, or set aside to be removed

logger = logging.getLogger("metarl")


class Checkpoint(NamedTuple):
    """One checkpoint as it was saved; `meta` holds the values given to `save` and this module's bookkeeping."""

    path: Path
    iteration: int
    tensors: dict[str, torch.Tensor]
    meta: dict[str, Any]


class Corrupt(Exception):
    """A checkpoint that is not, byte for byte, what was saved."""


def save(directory: Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any], keep: int = 3) -> Path:
    """Write checkpoint `meta["iteration"]` and remove all but the newest `keep`; OSError leaves the older ones.

    Args:
        directory: of all checkpoints of the run, made if need be. One process at a time may save there.
        tensors: by name; may share memory, which is not preserved.
        meta: plain JSON values, among them "iteration".
    """
    directory.mkdir(parents=True, exist_ok=True)
    _remove_hidden(directory)
    target, partial = directory / str(meta["iteration"]), directory / f"{HIDDEN}{meta['iteration']}"
    content = serialize_tensors({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()})
    document = {**meta, "format": FORMAT, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    document["digest"] = _digest(document)
    if target.exists() and _same(target, document):
        return target
    try:
        os.mkdir(partial)
        write(partial / TENSORS, content)
        write(partial / META, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
        sync_directory(partial)
        if target.exists():  # a corrupt one, of a future that a fallback to an older checkpoint has undone
            os.rename(target, directory / f"{HIDDEN}{meta['iteration']}-corrupt")
        os.rename(partial, target)
        sync_directory(directory)
        _prune(directory, int(meta["iteration"]), keep)
        _remove_hidden(directory)
    except OSError:
        with contextlib.suppress(OSError):  # what failed is reported; what is left over goes at the next save
            _remove_hidden(directory)
        raise
    return target


def load_latest(directory: Path, also: Callable[[Checkpoint], None] | None = None) -> Checkpoint:
    """The newest checkpoint that is intact; each corrupt one that is passed over gets a line of warning.

    Args:
        also: raises `Corrupt` where what belongs to a checkpoint, and stands elsewhere, is not intact.
    """
    for _ in range(3):  # a training process may remove old checkpoints while this one reads
        found = iterations(directory)
        vanished = False
        for iteration in reversed(found):
            path = directory / str(iteration)
            try:
                checkpoint = load(path)
                if also:
                    also(checkpoint)
                return checkpoint
            except Corrupt as error:
                vanished |= not path.exists()
                if path.exists():
                    logger.warning("checkpoint %s is corrupt (%s); trying the one before it", path, error)
        if not vanished:
            break
    if not found:
        raise UserError(f"{directory}: no checkpoint there yet; train first, or give the folder of another run")
    advice = "restore one from a copy, or start a new run folder"
    raise UserError(f"{directory}: none of its {len(found)} checkpoints is intact; {advice}")


def iterations(directory: Path) -> list[int]:
    """The iterations that `directory` has a checkpoint of, ascending; intact or not."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{directory}: cannot be read: {error.strerror}") from error
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 20)


def load(path: Path) -> Checkpoint:
    """The checkpoint in folder `path`; `Corrupt` says what is wrong, UserError that another version wrote it."""
    meta = _load_meta(path)
    if meta["format"] != FORMAT:
        advice = "use the version of metarl that wrote it"
        raise UserError(f"{path}: got checkpoint format {meta['format']!r}, expected {FORMAT}; {advice}")
    content = _read(path / TENSORS, meta["size"])
    if len(content) != meta["size"] or hashlib.sha256(content).hexdigest() != meta["sha256"]:
        raise Corrupt(f"{TENSORS} does not fit its digest")
    try:
        tensors = parse_tensors(content)  # checks the header against the length before it makes a tensor
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise Corrupt(f"{TENSORS} is not in safetensors format: {first_line(error)}") from error
    return Checkpoint(path, meta["iteration"], tensors, meta)


def _load_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(_read(path / META, MAX_META_BYTES))
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{META} is not JSON: {first_line(error)}") from error
    if not isinstance(meta, dict) or meta.get("digest") != _digest(meta):
        raise Corrupt(f"{META} does not fit its digest")
    types = {"format": int, "iteration": int, "size": int, "sha256": str}
    wrong = [key for key, kind in types.items() if type(meta.get(key)) is not kind]
    left_out = meta.get("left_out", [])
    if not (isinstance(left_out, list) and all(isinstance(name, str) for name in left_out)):
        wrong.append("left_out")
    steps = meta.get("env_steps", 0)
    if wrong or str(meta["iteration"]) != path.name or meta["size"] < 0 or not (type(steps) is int and steps >= 0):
        raise Corrupt(f"{META} does not describe checkpoint {path.name}")
    return meta


def _digest(meta: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in meta.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _read(path: Path, limit: int) -> bytes:
    try:
        return read(path, limit)
    except OSError as error:
        raise Corrupt(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Corrupt(f"{path.name} {error}") from error


def _same(target: Path, document: Mapping[str, Any]) -> bool:
    """Whether `target` is intact; ValueError if it holds something else: a good checkpoint is never replaced."""
    try:
        meta = load(target).meta
    except Corrupt:
        return False
    if meta["sha256"] != document["sha256"]:
        raise ValueError(f"{target} is there with other tensors; an iteration is saved once")
    return True


def _prune(directory: Path, saved: int, keep: int) -> None:
    """Keep the newest `keep` up to `saved`; a later one can only be a corrupt one that was passed over."""
    found = iterations(directory)
    kept = [iteration for iteration in found if iteration <= saved][-keep:]
    for iteration in set(found) - set(kept):
        # out of sight at once: a half-removed one is never read
        os.rename(directory / str(iteration), directory / f"{HIDDEN}{iteration}-old")


def _remove_hidden(directory: Path) -> None:
    for leftover in directory.glob(f"{HIDDEN}*"):
        shutil.rmtree(leftover)
