"""What other programs may leave of a run folder, and whether a command says so in one line.

    for case in cases(random.Random(0), run, 40):
        outcome = attack(run, case, folder)         # in a copy of the run, as a user who may not read everything
        assert not outcome.problem, outcome

Everything here runs in a child process (`besiege`), which gives up root's rights first.
"""

import contextlib
import ctypes
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metarl.cli import main

SECONDS = 60  # for one command, on a busy machine
HOSTILE = "\x1b[31m\x07\u202e"
"""Control characters that a terminal obeys."""
QUICK = ("evaluate", "compare", "resume", "export", "watch")
COMMANDS = (*QUICK, "report", "visualise")


class Case(NamedTuple):
    """One command on a run one file of which is damaged in one way; `seed` makes the damage."""

    command: str
    file: str
    damage: str
    seed: int


class Outcome(NamedTuple):
    case: Case
    code: int | str
    said: str
    problem: str


# ---- what is done to a file or folder


def no_permission(path: Path, rng: random.Random) -> None:
    path.chmod(0)


def no_writing(path: Path, rng: random.Random) -> None:
    path.chmod(0o555 if path.is_dir() else 0o444)


def no_entering(path: Path, rng: random.Random) -> None:
    path.chmod(0o600)


def gone(path: Path, rng: random.Random) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def directory(path: Path, rng: random.Random) -> None:
    gone(path, rng)
    path.mkdir()


def fifo(path: Path, rng: random.Random) -> None:
    gone(path, rng)
    os.mkfifo(path)


def listening_socket(path: Path, rng: random.Random) -> None:
    gone(path, rng)
    before = os.getcwd()
    os.chdir(path.parent)  # its name may have 108 bytes
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(before)


def link_to_itself(path: Path, rng: random.Random) -> None:
    gone(path, rng)
    path.symlink_to(path)


def link_to_nothing(path: Path, rng: random.Random) -> None:
    gone(path, rng)
    path.symlink_to("nowhere")


def endless(path: Path, rng: random.Random) -> None:
    gone(path, rng)
    path.symlink_to("/dev/zero")


def regular_file(path: Path, rng: random.Random) -> None:
    gone(path, rng)
    path.write_bytes(b"{}")


def huge(path: Path, rng: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(3 << 40)


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def cut(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) + 1)])


def flipped(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 30])):
        if content:
            content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(bytes(content))


def noise(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.choice([1, 100, 10_000])))


def other_json(path: Path, rng: random.Random) -> None:
    """A file of JSON that is something else altogether."""
    text = rng.choice([
        "null", "[]", "{}", '"text"', "7", "true", "9" * 400, "1e999", "NaN", "[" * 5000, '{"a": ' * 3000, "[null]",
        '{"format": 1}', f'"{HOSTILE}"', f'{{"{HOSTILE}": 1}}',
    ])  # fmt: skip
    path.write_text(text + "\n")


def other_value(path: Path, rng: random.Random) -> None:
    """One value of a JSON file, or of one of its lines, is another one, and digests fit."""
    text = path.read_text()
    if path.suffix == ".jsonl":
        lines = text.splitlines()
        number = rng.randrange(len(lines))
        lines[number] = json.dumps(_altered(json.loads(lines[number]), rng))
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".yaml":
        lines = text.splitlines()
        number = rng.randrange(len(lines))
        values = ("null", "-1", "1e400", "9" * 400, "[]", "{}", "text", "true", f'"{HOSTILE}"', "&a [*a]", "0", "-")
        lines[number] = lines[number].partition(":")[0] + ": " + rng.choice(values)
        path.write_text("\n".join(lines) + "\n")
    else:
        document = _altered(json.loads(text), rng)
        if isinstance(document, dict) and "digest" in document and "digests" not in document:
            rest = {key: value for key, value in document.items() if key not in ("digest", "path")}
            document["digest"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
        path.write_text(json.dumps(document))


def _altered(value: Any, rng: random.Random) -> Any:
    """The value with one of those within it changed, or gone."""
    if isinstance(value, dict | list) and value and rng.random() < 0.95:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if rng.random() < 0.1:
            del value[key]
        else:
            value[key] = _altered(value[key], rng)
        return value
    return rng.choice([
        None, True, 0, -1, 3, 0.5, 1e300, 10**400, 2**63, 1e-300, float("nan"), float("inf"), "", "text", HOSTILE, [],
        {}, [None], [[1, 2]], {"a": None}, "9" * 400, -(2**31),
    ])  # fmt: skip


FOLDER = (no_permission, no_writing, no_entering, gone, fifo, link_to_itself, link_to_nothing, regular_file)
FILE = (no_permission, no_writing, gone, directory, fifo, listening_socket, link_to_itself, link_to_nothing, endless,
        huge, empty, cut, flipped, noise, other_json)  # fmt: skip
TEXTS = (".json", ".jsonl", ".yaml")
DAMAGES = {damage.__name__: damage for damage in (*FOLDER, *FILE, other_value)}


def cases(rng: random.Random, run: Path, count: int, commands: Sequence[str] = COMMANDS) -> Iterator[Case]:
    """As many of them, each of another kind before one comes again."""
    every = [
        (command, str(path.relative_to(run)), damage.__name__)
        for path in sorted([run, *run.rglob("*")])
        if path.relative_to(run).parts[:1] != ("wandb",)
        for damage in (FOLDER if path.is_dir() else FILE)
        for command in commands
    ]
    texts = [str(path.relative_to(run)) for path in sorted(run.rglob("*")) if path.suffix in TEXTS]
    every += [(command, file, other_value.__name__) for file in texts for command in commands for _ in range(6)]
    rng.shuffle(every)
    while count > 0:
        for kind in every[:count]:
            yield Case(*kind, rng.randrange(2**32))
        count -= len(every)


def attack(run: Path, case: Case, folder: Path) -> Outcome:
    """The command of the case on a damaged copy of the run in an empty folder."""
    victim = folder / "run"
    shutil.copytree(run, victim)
    DAMAGES[case.damage](victim / case.file, random.Random(case.seed))
    arguments = {
        "resume": ["train", "--run", victim, "--resume", "iterations=6"],
        "report": ["report", victim, "--out", folder / "page.html"],
        "watch": ["watch", victim, "--port", "0"],
    }.get(case.command, [case.command, victim])  # fmt: skip
    out, err = io.StringIO(), io.StringIO()
    code: int | str = "none"
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            with _deadline(SECONDS):
                main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
    said = out.getvalue() + err.getvalue()
    return Outcome(case, code, said, _problem(code, said, err.getvalue()))


def _problem(code: int | str, said: str, errors: str) -> str:
    """What is wrong with how a command ended."""
    if "Traceback" in said:
        return "a traceback"
    if code not in (0, 2):
        return f"exit code {code}"
    lines = errors.splitlines()
    if code == 2 and not (lines and lines[-1].startswith("metarl: error: ")):
        return "no line for the error"
    if len(lines) > 20 or max(map(len, lines), default=0) > 1000:
        return "more than a person reads"
    if re.search(r"[^\n\x20-\x7e\u00a0-\u1fff\u2070-\ud7ff]", said):
        return "control characters"
    return ""


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def give_up_rights() -> None:
    """What root may do beyond its own files' permissions, here and in children (capabilities(7))."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    version = (ctypes.c_uint32 * 2)(0x20080522, 0)
    none = (ctypes.c_uint32 * 6)()
    # PR_SET_SECUREBITS, SECBIT_NOROOT: a program that is begun does not get them back
    if libc.prctl(28, 1, 0, 0, 0) or libc.capset(version, none):
        raise OSError(ctypes.get_errno(), "root's rights could not be given up")


def besiege(run: str, folder: str, listed: list[Case], result: str) -> None:
    """Each case in turn; what went wrong is written to `result` as JSON. Runs in a process of its own."""
    from metarl.watch.server import Viewer

    Viewer.serve = lambda self, ended: None  # what is read of the run is read by then
    warnings.simplefilter("ignore")
    give_up_rights()
    os.environ |= {"HOME": folder, "MPLCONFIGDIR": folder}
    os.chdir(folder)
    failed = []
    for number, case in enumerate(listed):
        place = Path(folder) / str(number)
        place.mkdir()
        outcome = attack(Path(run), case, place)
        if outcome.problem:
            failed.append(outcome)
        _clear(place)
    Path(result).write_text(json.dumps(failed))


def _clear(folder: Path) -> None:
    for root, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(root) / name
            if not path.is_symlink() and stat.S_IMODE(path.lstat().st_mode) != 0o755:
                path.chmod(0o755)
    shutil.rmtree(folder)

