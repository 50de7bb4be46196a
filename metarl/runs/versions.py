"""What a run was made with: versions, machine, threads and the state of the code.

    identity = describe(threads=2)
    identity["torch"], identity["git"]                  # "2.13.0", {"commit": "4a19b81...", "dirty": False}
    differences(identity, describe(threads=4))          # ["threads 2 -> 4"]

Physics gives the same bits at any thread count, PyTorch does not, and other versions or processors may
round otherwise: these fields are what a bit-identical result depends on. Nothing of the environment
variables is recorded.
"""

import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from metarl.util import distribution
from metarl.util.machine import number_of_ranks
from metarl.util.plugins import PLUGINS

PACKAGES = ("torch", "mujoco", "gymnasium", "numpy")


def describe(threads: int) -> dict[str, Any]:
    """The versions, machine and code state of this process, which uses `threads` threads."""
    return {
        "python": platform.python_version(),
        "metarl": distribution.version(),
        **{package: metadata.version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "threads": threads,
        "ranks": number_of_ranks(),
        "plugins": list(PLUGINS),
        "git": git_state(Path(__file__).resolve().parent),
        "git_working_folder": git_state(Path.cwd()),
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """"name old -> new" of all that differs and may change a result's bits."""
    keys = ("python", "metarl", *PACKAGES, "platform", "cpu", "threads", "ranks")
    before = {"ranks": 1} | before  # runs of before do not say so
    lines = [f"{key} {before.get(key)} -> {now[key]}" for key in keys if before.get(key) != now[key]]
    old, new = ((identity.get("git") or {}).get("commit") for identity in (before, now))
    return lines + ([f"git commit {old} -> {new}"] if old != new else [])


def cpu_model() -> str:
    """The processor; where Linux tells, with the family and model by which those of one name round differently."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(errors="replace") if cpuinfo.exists() else ""
    found = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.*?)\s*$", text, re.MULTILINE))
    if "model name" not in found:
        return platform.processor() or platform.machine()
    numbers = [f"{key} {found[name]}" for key, name in (("family", "cpu family"), ("model", "model")) if name in found]
    return ", ".join([found["model name"], *numbers])


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the work tree that tracks `folder`, and whether files differ from it; None without one."""
    if not _git(folder, "ls-files", "."):  # a virtual environment inside someone's work tree is not tracked by it
        return None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return None if commit is None else {"commit": commit.strip(), "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None
