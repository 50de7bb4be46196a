"""An entry of the zoo: a run cut to what others need.

    entry = Entry.read("zoo/half_cheetah_dir")
    entry.evaluation.sentence, entry.about["wall_seconds"], entry.size

    README.md        the card: what it does, how it was made, licences
    adaptation.png   its curve
    entry.json       what the card says of the training and no other file holds
    config.yaml, versions.json, spec.json, tasks/, metrics.jsonl, robot/      of the run
    checkpoints/     the newest one, without the tensors that only training needs (`AlgorithmConfig.training_only`)
    evaluations/     the return in held-out tasks, of each episode, measured with these very files; under a name that no
                     other command writes
    policy.onnx, policy.json     where the policy can be exported

It is a run folder: every command but a resumed training works on it.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from metarl.evaluation.result import Evaluation
from metarl.runs.run import ENTRY, Run, open_run
from metarl.util.errors import UserError
from metarl.util.files import read_json

FORMAT = "metarl-zoo-1"
FILES = (
    "README.md", "adaptation.png", ENTRY, "config.yaml", "versions.json", "spec.json", "metrics.jsonl", "tasks/*.json",
    "robot/**/*", "checkpoints/*/*", "evaluations/*-published.json", "policy.onnx", "policy.json",
)  # fmt: skip
KEYS = ("iteration", "env_steps", "wall_seconds", "left_out", "half", "looks", "evaluation", "no_onnx")
"""Of `entry.json`, beside its format; see `Entry`."""
SPLIT = "held_out"


@dataclass(frozen=True)
class Entry:
    """A published run, and what `entry.json` says of how it was trained.

    Attributes:
        about: "iteration" and "env_steps" of the checkpoint, "wall_seconds" of training until then, "left_out" of it,
            "half": whether its weights have 16 bits,
            "looks": how often the held-out tasks had been evaluated before, "no_onnx": why there is none, or None.
    """

    run: Run
    about: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> "Entry":
        """The entry in a folder."""
        run = open_run(Path(path))
        try:
            about = read_json(run.path / ENTRY, dict)
            if about.get("format") != FORMAT:
                raise ValueError(f"format {about.get('format')!r}, expected {FORMAT!r}")
            if missing := [key for key in KEYS if key not in about]:
                raise ValueError(f"it has no {', '.join(missing)}")
            return cls(run, about)
        except FileNotFoundError:
            raise UserError(f"{path}: a run that is not published; first: metarl publish {path} --out DIR") from None
        except ValueError as error:
            raise UserError(f"{run.path / ENTRY}: not what metarl wrote ({error}); restore a copy") from error

    @cached_property
    def evaluation(self) -> Evaluation:
        """The return in held-out tasks that the card tells of."""
        return Evaluation.load(self.run.path / self.about["evaluation"])

    @property
    def files(self) -> list[Path]:
        """What belongs to it, of all that other commands may have written there."""
        return sorted(file for pattern in FILES for file in self.run.path.glob(pattern) if file.is_file())

    @property
    def size(self) -> int:
        """Bytes of these files."""
        return sum(file.stat().st_size for file in self.files)
