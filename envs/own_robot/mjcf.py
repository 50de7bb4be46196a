"""MJCF from outside: which files it is made of, and its model, compiled where it can do no harm.

    files = read_files(Path("robots/arm"), "arm.xml")      # contents of arm.xml and meshes/hand.stl, relative names
    content = compile_mjcf(files)                          # the compiled model, MJB
    model = load(content)

Each file is opened once. The compiler runs in a child process with limits of memory and time, on a copy of what was
read: a `<replicate>` bomb or a file that crashes the parser ends in one line of a ValueError. All files must lie in the
robot's folder, links followed; absolute paths are refused. A folder `robots` or `metaworld` that the robot does not
have is that of the package which the extra of that name installs. What comes back is the model in MuJoCo's binary
format, which the parent loads: it was written by the MuJoCo of this installation, never by whoever wrote the MJCF.
"""

import functools
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import xml.parsers.expat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import mujoco

from metarl.util.optional import MissingExtra
from metarl.util.text import one_line

from ..families.servo_robot import ASSETS, ROBOTS
from ..metaworld.sawyer import METAWORLD
from .mjcf_size import Size

PACKAGES = {ROBOTS.name: (ROBOTS, ASSETS), METAWORLD.name: (METAWORLD, Path("assets"))}
"""By the first folder of a path: the extra whose files those are, and their folder in its package."""
_MOST_FILES, _MOST_BYTES, _MOST_XML = 5_000, 1 << 30, 32 << 20
_CHILD = Path(__file__).with_name("mjcf_child.py")


@dataclass(frozen=True)
class Limits:
    """What the compiler may use.

    Attributes:
        memory: bytes of address space.
        cpu: seconds of processor time.
        wall: seconds by the clock.
    """

    memory: int = 4 << 30
    cpu: int = 30
    wall: float = 120.0


@dataclass(frozen=True)
class Files:
    """Files of a folder as they were read; equal if names and content are.

    Attributes:
        hashes: name, with /, and SHA-256 of each, in the order in which they were found.
        contents: by name.
        folder: the end of the robot's folder's path that names begin with, where the MJCF names files by it; else ".".
    """

    hashes: tuple[tuple[str, str], ...]
    contents: dict[str, bytes] = field(compare=False, repr=False)
    folder: str = "."

    @classmethod
    def of(cls, contents: dict[str, bytes], folder: str = ".") -> "Files":
        """Files by their names relative to the robot's folder."""
        named = {(PurePosixPath(folder) / name).as_posix(): content for name, content in contents.items()}
        return cls(tuple((name, hashlib.sha256(named[name]).hexdigest()) for name in named), named, folder)

    def __or__(self, other: "Files") -> "Files":
        return Files((*self.hashes, *other.hashes), self.contents | other.contents, self.folder)

    def digest(self) -> str:
        """SHA-256 of names and contents, 64 hexadecimal digits; their order does not matter."""
        return hashlib.sha256("".join(f"{name}\0{of}\n" for name, of in sorted(self.hashes)).encode()).hexdigest()

    def copy_to(self, folder: Path) -> None:
        """Write them to the same places below a folder."""
        for name, content in self.contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def read_files(folder: Path, mjcf: str) -> Files:
    """The files that an MJCF file in folder is made of, itself first.

    A file that is named and not there is left out: the compiler will say so.
    """
    reader = _Reader(folder, mjcf)
    contents, parts = reader.files(), reader.folder.parts
    return Files.of(contents, PurePosixPath(*parts[len(parts) - reader.up :]).as_posix())


@functools.lru_cache(maxsize=16)
def _compiled(files: Files, edits: str, limits: Limits) -> bytes:
    mjcf = files.hashes[0][0]
    with tempfile.TemporaryDirectory(prefix="metarl-mjcf-") as scratch:
        inside, out = Path(scratch) / "robot", Path(scratch) / "model.mjb"
        files.copy_to(inside)
        job = {"file": str(inside / mjcf), "out": str(out), "edits": json.loads(edits),
               "memory": limits.memory, "cpu": limits.cpu}  # fmt: skip
        # one thread: each that a linear algebra library starts takes a share of the address space
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            child = subprocess.run([sys.executable, "-P", str(_CHILD)], input=json.dumps(job), capture_output=True,
                                   text=True, cwd=scratch, env=env, timeout=limits.wall)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ValueError(f"{mjcf}: compiling it took more than {limits.wall:g} s{_ADVICE}") from None
        fault = _fault(child, limits)
        if fault:
            raise ValueError(f"{mjcf}: {fault.replace(str(inside) + os.sep, '')}")
        return out.read_bytes()


def compile_mjcf(files: Files, edits: dict[str, Any] | None = None, limits: Limits | None = None) -> bytes:
    """The compiled model of the first of the files, with the edits of `metarl.envs.own_robot.mjcf_child`.

    What was compiled once with the same content stays in memory.

    Raises:
        ValueError: the MJCF cannot be compiled, or not within the limits, in one line.
    """
    return _compiled(files, json.dumps(edits or {}), limits or Limits())


def load(content: bytes) -> mujoco.MjModel:
    """The model that compile_mjcf returned, a new one in each call."""
    return mujoco.MjModel.from_binary_path("robot.mjb", {"robot.mjb": content})


_ADVICE = "; look for a <size>, <replicate>, <composite> or <flexcomp> with a huge number, or a huge mesh"


def _fault(child: subprocess.CompletedProcess, limits: Limits) -> str:
    """What went wrong in the child, in one line; empty if nothing did."""
    killed = -child.returncode
    if killed in (getattr(signal, "SIGXCPU", None), getattr(signal, "SIGKILL", None)):
        return f"compiling it took more than {limits.cpu} s of processor time{_ADVICE}"
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        if "memory" in child.stderr.lower() or "bad_alloc" in child.stderr:
            answer = {"memory": True, "error": ""}
        elif killed > 0:
            return f"MuJoCo's compiler crashed on it ({signal.Signals(killed).name}){_ADVICE}"
        else:
            last = (child.stderr.strip().splitlines() or ["no output"])[-1]
            return f"MuJoCo's compiler failed on it: {one_line(last)}"
    text = answer.get("error", "")
    if answer.get("memory") or "unknown exception" in text or "bad_alloc" in text or "allocate memory" in text.lower():
        return f"compiling it took more than {limits.memory / 2**30:g} GiB of memory{_ADVICE}"
    return one_line(text)


_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)  # MuJoCo forgives -- inside
_CLOSE = re.compile(rb"(=\s*(?:\"[^\"<]*\"|'[^'<]*'))(?=[A-Za-z_])")  # and attributes without a space between


def _up(path: PurePosixPath) -> int:
    """How many folders above its start a relative path goes."""
    depth = lowest = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        lowest = min(depth, lowest)
    return -lowest


class _Reader:
    """Finds the files that an MJCF names. Reads XML with expat, which expands no external entity."""

    def __init__(self, folder: Path, mjcf: str):
        self.folder, self.main = folder.resolve(), mjcf
        self.packages = {name for name in PACKAGES if not (self.folder / name).exists()}
        self.up = 0  # folders above the robot's that paths go through on their way back into it
        self.folders = {PurePosixPath()}  # meshdir and its like, as the MJCF gives them
        self.assets: list[tuple[str, PurePosixPath]] = []  # (file, folder of the MJCF that names it)
        self.found: dict[str, bytes] = {}
        self.left = _MOST_BYTES

    def files(self) -> dict[str, bytes]:
        parts = self.places(self.main, PurePosixPath())
        if not parts:
            raise ValueError(f"{one_line(self.main)}: no such file")
        while parts:
            name = parts.pop()
            if name not in self.found:
                parts += [place for file, base in self.parse(name) for place in self.places(file, base)]
        for file, base in self.assets:  # meshdir may stand in the last part
            for name in self.places(file, base):
                self.read(name)
        return self.found

    def read(self, name: str) -> bytes:
        """The content of a file, which is one of the robot's from now on."""
        if name not in self.found:
            try:
                with self.place(name)[0].open("rb") as file:
                    self.found[name] = file.read(self.left + 1)
            except OSError as error:
                raise ValueError(f"{name}: cannot be read: {error.strerror}") from error
            self.left -= len(self.found[name])
            if len(self.found) > _MOST_FILES or self.left < 0:
                raise ValueError(f"{self.main}: names more than {_MOST_FILES} files or {_MOST_BYTES >> 20} MiB")
        return self.found[name]

    def parse(self, name: str) -> list[tuple[str, PurePosixPath]]:
        """Reads one MJCF file; the other MJCF files that it includes, with its folder."""
        content = self.read(name)
        if len(content) > _MOST_XML:
            raise ValueError(f"{name}: got {len(content) >> 20} MiB of XML, expected at most {_MOST_XML >> 20}")
        base, root, parts, size = PurePosixPath(name).parent, True, [], Size()

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal root
            if root and tag == "robot":
                raise ValueError(f"{name}: got URDF, expected MJCF; convert it once with mujoco.MjSpec and to_xml()")
            root = False
            try:
                size.start(tag, attributes)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            for key, value in attributes.items():
                if key in ("meshdir", "texturedir", "assetdir"):
                    self.folders.add(self.plain(value, name))
                elif key.startswith("file"):
                    listed = parts if tag in ("include", "model") else self.assets
                    listed.append((str(self.plain(value, name)), base))

        def doctype(*_: Any) -> None:
            raise ValueError(f"{name}: got a document type declaration, expected plain MJCF")

        parser = xml.parsers.expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = start, size.end
        parser.StartDoctypeDeclHandler = doctype
        try:
            text = _COMMENT.sub(lambda comment: b"\n" * comment[0].count(b"\n"), content)
            parser.Parse(_CLOSE.sub(rb"\1 ", text), True)
        except (xml.parsers.expat.ExpatError, LookupError) as error:  # LookupError: no such encoding
            raise ValueError(f"{name}: not valid XML: {error}") from error
        return parts

    def plain(self, value: str, name: str) -> PurePosixPath:
        """A path of the MJCF, relative."""
        path = PurePosixPath(value.replace("\\", "/"))
        if path.is_absolute() or PureWindowsPath(value).drive or not value.isprintable():
            raise ValueError(f"{name}: got the path {one_line(value)!r}, expected one inside the robot's folder")
        return path

    def places(self, file: str, base: PurePosixPath) -> list[str]:
        """Where a file may be that is named in an MJCF of folder base, and is there, relative to the folder."""
        bases = {PurePosixPath(), base, PurePosixPath(self.main).parent}  # MuJoCo looks beside the main MJCF
        names = {PurePosixPath(file), PurePosixPath(PurePosixPath(file).name)}  # strippath
        found, outside, ups = [], False, {}
        for relative in (b / folder / name for b in bases for folder in self.folders for name in names):
            path = Path(os.path.normpath(self.folder / relative))
            ups[path] = max(_up(relative), ups.get(path, 0))
        for path in sorted(ups):
            if not path.is_relative_to(self.folder):
                outside = True
                continue
            name = path.relative_to(self.folder).as_posix()
            place, folder = self.place(name)
            try:
                if place.is_file():
                    if not place.resolve().is_relative_to(folder):
                        raise ValueError(f"{self.main}: {one_line(file)!r} is a link out of the robot's folder")
                    found.append(name)
                    self.up = max(self.up, ups[path])
            except OSError:  # a name that is too long
                continue
        if outside and not found:
            raise ValueError(f"{self.main}: {one_line(file)!r} is outside of the robot's folder; put it inside")
        return found

    def place(self, name: str) -> tuple[Path, Path]:
        """Path of a file by its name relative to the robot's folder, and the folder that it must not lead out of."""
        first, _, rest = name.partition("/")
        if not rest or first not in self.packages:
            return self.folder / name, self.folder
        extra, inside = PACKAGES[first]
        try:
            folder = (extra.folder(f"{self.main}: {name}") / inside).resolve()
        except MissingExtra as error:
            raise ValueError(str(error)) from error
        return folder / rest, folder
