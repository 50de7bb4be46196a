"""Write today's numbers into the golden run folders, under the names that they have there.

    python tests/golden/renew.py [NAME ...]

Only for a change of results that CHANGELOG.md names. The configs, task sets and the layout of the folders stay those of
before; versions.json gets the machine.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save

from metarl.config import load_config
from metarl.evaluation.evaluate import _file_name
from metarl.evaluation.result import document_digest
from metarl.runs.checkpoint import _digest
from metarl.runs.run import open_run
from metarl.runs.versions import describe
from metarl.training.train import train

GOLDEN = Path(__file__).parent


def merged(old, new):
    """New values for the keys that old has."""
    if isinstance(old, dict):
        return {key: merged(old[key], new[key]) if key in new else old[key] for key in old}
    if isinstance(old, list) and old and isinstance(old[0], dict):
        return [merged(*pair) for pair in zip(old, new, strict=True)]
    return new


def rewrite(path: Path, document) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n" * path.read_text().endswith("\n"))


def renew(folder: Path, trained: Path) -> None:
    run = open_run(trained)
    saved = run.checkpoint()
    checkpoint = folder / "checkpoints" / str(saved.iteration)
    tensors, meta_file = checkpoint / "state.safetensors", checkpoint / "meta.json"
    old = load_file(tensors)
    fresh = {name: saved.tensors[name.replace("normaliser", "normalizer")].contiguous() for name in old}
    assert len(fresh) == len(saved.tensors)
    with safetensors.safe_open(tensors, "pt") as file:
        content = save(fresh, file.metadata())
    tensors.write_bytes(content)
    meta = json.loads(meta_file.read_text()) | {
        "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "env_steps": saved.meta["env_steps"],
    }  # fmt: skip
    rewrite(meta_file, meta | {"digest": _digest(meta)})

    metrics = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    metrics.write_text("".join(json.dumps(merged(*pair)) + "\n" for pair in zip(rows, run.metrics(), strict=True)))

    (kept,), (measured,) = (sorted((of / "evaluations").glob("held_out-*.json")) for of in (folder, trained))
    e, new = json.loads(kept.read_text()), json.loads(measured.read_text())
    keys = ("sentence", "curve", "returns", "env_steps", "successes", "rates")
    e |= {key: merged(e[key], new[key]) for key in keys if key in e and key in new}
    e["origin"]["checkpoint"]["sha256"], e["origin"]["training_env_steps"] = meta["sha256"], meta["env_steps"]
    e["digest"] = document_digest(e)
    rewrite(kept, e)
    tasks = open_run(folder).tasks("held_out")
    kept.rename(kept.with_name(_file_name(e["split"], e["origin"]["checkpoint"], tasks, e["steps"], e["episodes"],
                                          e["seed"], e["deterministic"])))  # fmt: skip

    versions = folder / "versions.json"
    about = json.loads(versions.read_text())
    about["sessions"][0] |= {key: value for key, value in describe(1).items() if key in about["sessions"][0]}
    rewrite(versions, about)


def main() -> None:
    for name in sys.argv[1:] or sorted(path.parent.name for path in GOLDEN.glob("*/config.yaml")):
        with tempfile.TemporaryDirectory() as scratch:
            trained = Path(train(load_config(GOLDEN / name / "config.yaml"), Path(scratch) / "run"))
            before = next((GOLDEN / name / "checkpoints").glob("*/state.safetensors")).read_bytes()
            renew(GOLDEN / name, trained)
            after = next((GOLDEN / name / "checkpoints").glob("*/state.safetensors")).read_bytes()
            print(f"{name}: {'the same' if before == after else 'other'} weights")


if __name__ == "__main__":
    main()
