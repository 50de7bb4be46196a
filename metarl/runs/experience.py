"""The experience of an off-policy learner on disk: segments of its replay store, each written once.

    files = ExperienceFiles(run / "experience")
    meta = files.write(learner.experience, done=40)   # what is not there yet; {"first": 0, "end": 40, ...}
    checkpoint.save(run / "checkpoints", tensors, {"experience": meta, ...})
    files.prune(20, learner.experience)               # what checkpoint 20 and the later ones do not need
    files.read(meta, learner.experience)              # the same store again

`experience/17.safetensors` is what iteration 17 collected. A checkpoint says which segments it needs, and has a digest
over all of them. They are written, synced and renamed before it, and removed after the last checkpoint that needs
them: at any moment every checkpoint has its own. So a checkpoint costs what was collected since the one before, however
much is kept.
"""

import hashlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialize_tensors

from metarl.agents.replay import Replay, Segment
from metarl.runs.checkpoint import Corrupt
from metarl.util.files import read, replace
from metarl.util.text import first_line

MOST_BYTES = 4_000_000_000
SUFFIX = ".safetensors"


class ExperienceFiles:
    """The segments in a folder; one process at a time may write there."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._digests: dict[int, bytes] = {}  # of those that are on the disk

    def write(self, replay: Replay, done: int) -> dict[str, Any]:
        """The segments that are needed after ``done`` iterations; returns what a checkpoint must know of them."""
        self.directory.mkdir(exist_ok=True)
        first = max(0, done - replay.capacity)
        for number in range(first, done):
            if number not in self._digests:
                content = serialize_tensors(replay.segment(number).tensors())
                replace(self._path(number), content)
                self._digests[number] = hashlib.sha256(content).digest()
        return {"first": first, "end": done, "sha256": self._digest(first, done)}

    def read(self, meta: Any, replay: Replay) -> None:
        """Fill ``replay`` with what `write` returned ``meta`` for; `Corrupt` says what is missing or damaged."""
        try:
            first, end, digest = int(meta["first"]), int(meta["end"]), meta["sha256"]
        except (TypeError, KeyError, ValueError) as error:
            raise Corrupt("it does not say which segments of the replay store are its own") from error
        self._digests = {}
        replay.clear()
        for number in range(first, end):
            path = self._path(number)
            try:
                content = read(path, MOST_BYTES)
                replay.add(number, Segment.of(parse_tensors(content)))
            except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
                raise Corrupt(f"{self.directory.name}/{path.name}: {first_line(error)}") from error
            self._digests[number] = hashlib.sha256(content).digest()
        if self._digest(first, end) != digest:
            raise Corrupt(f"{self.directory.name}: a segment from {first} to {end - 1} does not fit its digest")

    def prune(self, oldest: int, replay: Replay) -> None:
        """Remove what no checkpoint of iteration ``oldest`` or later needs, and what a killed process left behind."""
        for leftover in self.directory.glob(f".*{SUFFIX}.*partial"):
            leftover.unlink()
        needed = max(0, oldest - replay.capacity)
        for path in self.directory.glob(f"*{SUFFIX}"):
            if path.stem.isdecimal() and int(path.stem) < needed:
                path.unlink()
                self._digests.pop(int(path.stem), None)

    def _path(self, number: int) -> Path:
        return self.directory / f"{number}{SUFFIX}"

    def _digest(self, first: int, end: int) -> str:
        return hashlib.sha256(b"".join(self._digests[number] for number in range(first, end))).hexdigest()
