"""Cutting a run to what others need: an entry of the zoo.

    publish("runs/first", "zoo/half_cheetah_dir")          # a new folder, and zoo/README.md if it lists entries
    publish("zoo/half_cheetah_dir")                        # its card once more

Nothing of the run that it is cut from is changed, and the entry appears whole or not at all.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from metarl.evaluation.evaluate import evaluate_run
from metarl.export.onnx import export_run, require_packages
from metarl.runs import checkpoint
from metarl.runs.run import ENTRY, Run, open_run
from metarl.util.errors import UserError
from metarl.util.files import replace
from metarl.zoo.card import write_card
from metarl.zoo.entry import FORMAT, SPLIT, Entry
from metarl.zoo.table import write_table

MOST_BYTES = 1_000_000
OF_THE_RUN = ("config.yaml", "versions.json", "spec.json", "tasks", "robot")


def publish(
    run: str | Path,
    out: str | Path | None = None,
    *,
    episodes: int | None = None,
    half: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Cut a run to an entry in the new folder `out`; without one, write the card of an entry once more.

    Args:
        run: a run folder, or an entry.
        episodes: in each held-out task and at each step; the config's if None.
        half: keep the policy's weights with 16 bits; what the entry says of itself is measured with those.
        say: gets a line about what the entry has not.
    """
    source = open_run(Path(run))
    folder = source.path if out is None else Path(out)
    if out is None and not source.published:
        raise UserError(f"publish: got the run {run} and no folder, expected --out DIR as well, such as zoo/NAME")
    if out is None and (half or episodes is not None):
        raise UserError("publish: got --half or --episodes without --out, expected --out DIR as well: of an entry the"
                        " card alone is written once more")  # fmt: skip
    if out is not None and source.published:
        raise UserError(f"--out: {run} is published already; copy its folder, or leave --out out to write its card")
    if out is not None and os.path.lexists(folder):
        raise UserError(f"--out: {folder} is there already; choose another, or remove it first")
    try:
        if out is None:
            write_card(Entry.read(folder), folder)
        else:
            _appear(source, folder, episodes, half, say)
        write_table(folder.parent)
    except OSError as error:
        raise UserError(f"publish: {folder} cannot be written: {error.strerror}; choose another --out") from error
    return folder


def _appear(source: Run, folder: Path, episodes: int | None, half: bool, say: Callable[[str], None]) -> None:
    """All that an entry holds, made under another name and then renamed."""
    require_packages()
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        about = cut(source, partial, half)
        evaluation = evaluate_run(partial, SPLIT, episodes=episodes, by="publish")
        (partial / "looks.jsonl").unlink(missing_ok=True)  # its own; those of the run are counted in entry.json
        about |= {"evaluation": f"evaluations/{SPLIT}-{about['iteration']}-published.json", "no_onnx": None}
        os.rename(str(evaluation.path), partial / about["evaluation"])
        try:
            export_run(partial, out=partial / "policy.onnx")
        except UserError as error:
            about["no_onnx"] = str(error).removeprefix("export: ")
            say(f"no policy.onnx: {about['no_onnx']}")
        replace(partial / ENTRY, (json.dumps(about, indent=1) + "\n").encode())
        entry = Entry.read(partial)
        write_card(entry, folder)
        if entry.size > MOST_BYTES:
            sizes = ", ".join(f"{f.name} {f.stat().st_size:,}" for f in sorted(entry.files, key=_bytes)[:-4:-1])
            raise UserError(f"publish: got {entry.size:,} bytes, expected {MOST_BYTES:,} at most ({sizes}); add"
                            " --half for weights of 16 bits, or train smaller networks")  # fmt: skip
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def cut(source: Run, folder: Path, half: bool) -> dict[str, Any]:
    """Write what of a run an entry keeps into a new folder; returns what `entry.json` says of the training."""
    saved = source.checkpoint()
    folder.mkdir(parents=True)
    for name in OF_THE_RUN:
        file = source.path / name
        if file.exists():
            (shutil.copytree if file.is_dir() else shutil.copyfile)(file, folder / name)
    rows = [row for row in source.metrics() if row.get("iteration", 0) < saved.iteration]
    replace(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    names = source.config.algorithm.training_only
    left_out = [name for name in names if any(tensor.startswith(name) for tensor in saved.tensors)]
    tensors = {name: value for name, value in saved.tensors.items() if not name.startswith(names)}
    if half:
        tensors |= {name: value.half() for name, value in tensors.items()
                    if value.dtype == torch.float32 and name.startswith(source.config.algorithm.weights)}  # fmt: skip
    meta = {"iteration": saved.iteration, "env_steps": saved.meta["env_steps"], "left_out": left_out, "half": half}
    checkpoint.save(folder / "checkpoints", tensors, meta)
    times = [row["seconds"] for row in source.timings() if row["iteration"] < saved.iteration]
    looks = sum(look.get("split") == SPLIT for look in source.looks())
    return {"format": FORMAT, **meta, "wall_seconds": round(sum(times), 1), "looks": looks}


def _bytes(file: Path) -> int:
    return file.stat().st_size
