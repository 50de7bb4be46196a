"""The file of an evaluation: every episode's return, what was computed from them, and a digest over it all.

    save_evaluation(evaluation, path)        # JSON, written under a temporary name and renamed
    load_evaluation(path)                    # refuses a file that was edited or cut short
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metarl.config.robots import with_absolute_path, with_relative_path
from metarl.config.schema import EnvConfig
from metarl.envs import Tasks
from metarl.errors import UserError
from metarl.evaluation.adaptation_curve import Evaluation
from metarl.evaluation.tables import caption, sentence, where
from metarl.util.files import replace

FORMAT = "metarl-evaluation-1"


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Everything as plain data; `digest` covers all the rest."""
    document = {
        "format": FORMAT,
        "sentence": sentence(evaluation),
        "caption": caption(evaluation),
        "env": evaluation.env.model_dump(mode="json"),
        "split": evaluation.split,
        "where": where(evaluation),
        "disjoint": evaluation.disjoint,
        "disjoint_reason": evaluation.disjoint_reason,
        "steps": evaluation.steps,
        "episodes": evaluation.episodes,
        "deterministic": evaluation.deterministic,
        "pooled": evaluation.pooled,
        "seed": evaluation.seed,
        "dt": evaluation.dt,
        "confidence": evaluation.confidence,
        "interval_method": evaluation.method,
        "curve": [
            {
                "step": p.step,
                "episodes": p.episodes,
                "seconds": p.seconds,
                "worst_task": p.worst,
                "diverged": p.diverged,
                **({} if p.success is None else {"success": p.success}),
                **(p.summary.to_json() if p.summary else {}),
            }
            for p in evaluation.curve
        ],
        "tasks": evaluation.tasks.to_json(),
        "task_digests": list(evaluation.tasks.digests),
        "env_steps": evaluation.env_steps.tolist(),
        "returns": _nested(evaluation.returns),
        "successes": None if evaluation.successes is None else evaluation.successes.astype(int).tolist(),
        "rates": None if evaluation.rates is None else _nested(evaluation.rates),
        "origin": dict(evaluation.origin),
    }
    return document | {"digest": document_digest(document)}


def save_evaluation(evaluation: Evaluation, path: str | Path) -> Path:
    """Write `path`, or leave what is there as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    evaluation = dataclasses.replace(evaluation, env=with_relative_path(evaluation.env, path.parent))
    replace(path, json.dumps(to_json(evaluation), allow_nan=False, indent=1).encode())
    return path


def document_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of all of an evaluation's JSON but the digest itself and where it is kept."""
    rest = {key: value for key, value in document.items() if key not in ("digest", "path")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def load_evaluation(path: str | Path) -> Evaluation:
    """Read an evaluation that `save_evaluation` wrote; one that was edited or cut short is refused."""
    path = Path(path)
    try:
        document = json.loads(path.read_bytes(), parse_constant=_refuse)
    except FileNotFoundError:
        raise UserError(f"{path}: no such evaluation; run `metarl evaluate RUN` first") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not an evaluation ({error}); run `metarl evaluate RUN` again") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        got = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise UserError(f"{path}: got format {got!r}, expected {FORMAT!r}; run `metarl evaluate RUN` again")
    if document.get("digest") != document_digest(document):
        raise UserError(f"{path}: edited, its digest does not fit its content; run `metarl evaluate RUN` again")
    try:
        return _from_document(document, path.parent)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: this version cannot read it ({error!r}); run `metarl evaluate RUN` again") from error


def _from_document(document: Mapping[str, Any], folder: Path) -> Evaluation:
    env = with_absolute_path(EnvConfig.model_validate(document["env"]), folder)
    labels = ("dt", "seed", "deterministic", "split", "disjoint", "disjoint_reason", "confidence", "origin")
    return Evaluation(
        env=env,
        tasks=Tasks.from_json(document["tasks"], env.load_family().space),
        returns=_array(document["returns"]),
        env_steps=np.array(document["env_steps"]),
        pooled=document.get("pooled", True),
        successes=None if document.get("successes") is None else _array(document["successes"]),
        rates=None if document.get("rates") is None else _array(document["rates"]),
        **{label: document[label] for label in labels},
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _nested(array: np.ndarray) -> list:
    """Three levels of lists; JSON has no NaN, null stands for it."""
    return [[[None if math.isnan(x) else x for x in row] for row in task] for task in array.tolist()]


def _array(nested: list) -> np.ndarray:
    return np.array([[[math.nan if x is None else x for x in row] for row in task] for task in nested], float)
