"""A replay as one HTML file that opens in any browser, from disk, without a network.

    write_html(replay, "replay.html")

Rows are tasks; left is before, right is after adaptation. viser and mjviser write the scene; neither needs OpenGL here.
A robot that runs far is kept on the spot, and the ground beneath it moves: stripes half a metre apart pass under it at
its speed. A robot whose camera stands still is shown in its arena, with the path that it takes.
"""

from __future__ import annotations

import contextlib
import copy
import html
import io
import math
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import viser
from mjviser import ViserMujocoScene
from mjviser.conversions import merge_geoms, merge_sites

from metarl.util.files import replace
from metarl.visual.replay import Replay

COLOURS = ((86, 110, 140), (213, 94, 0))  # before: slate, after: vermilion; the colour-blind can tell them apart
STRIPE = 0.5  # m between stripes on moving ground
PAUSE = 1.0  # s at the end, before it starts again
FIELD_OF_VIEW = math.radians(38.0)  # upright
HIDDEN_GROUP, HIDDEN_GEOMS = 5, 3  # MuJoCo's viewers leave out groups from 3 on
BOX, PLANE = int(mujoco.mjtGeom.mjGEOM_BOX), int(mujoco.mjtGeom.mjGEOM_PLANE)
LABEL_PERIOD = 0.2  # s between updates of the numbers

_HEADER = """<div style="position:fixed;top:0;left:0;right:0;z-index:5;pointer-events:none;padding:8px 16px;
text-align:center;font:15px/1.45 system-ui,sans-serif;color:#222;background:rgba(255,255,255,.85)">
<b style="font-size:18px">{title}</b><br>{caption}<br>
Drag to turn, scroll to zoom; the bar below plays and stops.</div>"""


def write_html(replay: Replay, path: str | Path) -> Path:
    """Write the replay to `path`, or leave what is there as it was."""
    path = Path(path)
    # viser announces its server on standard output, which may be carrying --json
    with contextlib.redirect_stdout(io.StringIO()):
        server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
        try:
            document = _scene(replay, server)
        finally:
            server.stop()
    replace(path, _with_header(document, replay).encode())
    return path


def _with_header(document: str, replay: Replay) -> str:
    title, caption = html.escape(replay.title), html.escape(replay.caption)
    start, end = document.index("<title>"), document.index("</title>")
    document = document[:start] + f"<title>{title}" + document[end:]
    body = document.rindex("</body>")
    return document[:body] + _HEADER.format(title=title, caption=caption) + document[body:]


def _scene(replay: Replay, server: viser.ViserServer) -> str:
    cells = list(replay.cells())
    xpos, xmat = zip(*(replay.poses(*cell) for cell in cells), strict=True)  # N of (T + 1, nbody, 3), (..., 3, 3)
    root = np.stack([x[:, replay.root(task)] for x, (_, task) in zip(xpos, cells, strict=True)])  # (N, T + 1, 3)
    centre = root * [1.0, 1.0, 0.0] if replay.follows else np.zeros_like(root)  # what each cell's origin is kept at
    boxes = [_bounds(replay.models[task], x - c[:, None]) for x, c, (_, task) in zip(xpos, centre, cells, strict=True)]
    low, high = np.min([low for low, _ in boxes], axis=0), np.max([high for _, high in boxes], axis=0)
    places = _places(cells, low, high)
    _aim(server, places, low, high, replay.follows)

    # with mjviser's own light the player loads it anew, and flashes, at each repetition
    server.scene.configure_environment_map = lambda **_: None  # pyright: ignore[reportAttributeAccessIssue]
    scenes = [
        # _Under stands in for the server
        ViserMujocoScene(_Under(f"/task {m}", server), _moving_parts(model), 2)  # pyright: ignore[reportArgumentType]
        for m, model in enumerate(replay.models)
    ]
    for scene in scenes:
        scene.camera_tracking_enabled = False
    stripes, labels = [], []
    for n, ((column, task), place) in enumerate(zip(cells, places, strict=True)):
        cell = f"/{'before' if column == 0 else 'after'} {task}"
        stripes.append(_ground(server, cell, COLOURS[column], place, low, high, replay.follows))
        _standing_parts(server, cell, replay.models[task], place)
        if not replay.follows:
            _path(server, cell, COLOURS[column], root[n] + place)
        front = place + [(low[0] + high[0]) / 2, low[1] - 0.1 * (high[0] - low[0]), 0.0]
        labels.append(server.scene.add_label(f"{cell}/label", "", position=front, anchor="top-center"))

    pairs = [[n for n, cell in enumerate(cells) if cell[1] == task] for task in range(len(scenes))]
    recording = server.get_scene_serializer()
    frames = replay.frames
    every = max(1, round(LABEL_PERIOD / (replay.dt * frames[1])))
    for i, t in enumerate(frames):
        shift = places - centre[:, t]
        for scene, pair in zip(scenes, pairs, strict=True):
            scene.update_from_arrays(
                np.stack([xpos[n][t] + shift[n] for n in pair]), np.stack([xmat[n][t] for n in pair])
            )
        for n, cell in enumerate(cells):
            if replay.follows:
                stripes[n].position = places[n] - [centre[n, t, 0] % STRIPE, 0.0, 0.0]
            if i % every == 0 or t == frames[-1]:
                labels[n].text = replay.text(*cell, t, centre[n, t, 0])
        server.flush()
        recording.insert_sleep((frames[i + 1] - t) * replay.dt if t < frames[-1] else PAUSE)
    return recording.as_html()


class _Under:
    """A viser server, or its scene, all of whose nodes get a folder of their own: bodies differ from task to task."""

    def __init__(self, folder: str, target: Any):
        self._folder, self._target = folder, target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name == "scene":
            return _Under(self._folder, value)
        if name.startswith("add_"):
            return lambda path, *args, **kwargs: value(self._folder + path, *args, **kwargs)
        return value


def _moving_parts(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy for mjviser, which writes to it, without what is fixed to the world: that is not the same in each cell."""
    model = copy.deepcopy(model)
    standing = _standing(model)
    model.geom_type[standing[model.geom_bodyid]] = BOX  # of planes it makes an endless grid, transparent or not
    model.geom_rgba[standing[model.geom_bodyid], 3] = 0.0
    model.site_group[standing[model.site_bodyid]] = HIDDEN_GROUP
    return model


def _standing(model: mujoco.MjModel) -> np.ndarray:
    """(nbody,) whether a body is the world or fixed to it."""
    return (model.body_weldid == 0) & (model.body_mocapid < 0)


def _standing_parts(server: viser.ViserServer, cell: str, model: mujoco.MjModel, place: np.ndarray) -> None:
    """What belongs to the world in one task: obstacles and marked places, but no planes."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    seen = (model.geom_type != PLANE) & (model.geom_rgba[:, 3] > 0) & (model.geom_group < HIDDEN_GEOMS)
    for body in np.flatnonzero(_standing(model)):
        geoms = np.flatnonzero((model.geom_bodyid == body) & seen)
        sites = np.flatnonzero((model.site_bodyid == body) & (model.site_group < HIDDEN_GEOMS))
        where = {"position": place + data.xpos[body], "wxyz": data.xquat[body]}
        if len(geoms):
            server.scene.add_mesh_trimesh(f"{cell}/geoms {body}", merge_geoms(model, geoms.tolist()), **where)
        if len(sites):
            server.scene.add_mesh_trimesh(f"{cell}/sites {body}", merge_sites(model, sites.tolist()), **where)


def _bounds(model: mujoco.MjModel, xpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,) of a box with room for everything that a cell shows; xpos (T + 1, nbody, 3)."""
    geoms = np.flatnonzero(model.geom_bodyid > 0)
    radius = model.geom_rbound[geoms, None]
    centres = xpos[:, model.geom_bodyid[geoms]]  # a body's origin is near enough to its geoms
    sites = model.site_pos[model.site_bodyid == 0]
    low = np.minimum((centres - radius).min((0, 1)), sites.min(0, initial=np.inf))
    high = np.maximum((centres + radius).max((0, 1)), sites.max(0, initial=-np.inf))
    return low * [1.0, 1.0, 0.0], high


def _places(cells: list[tuple[int, int]], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(N, 3) where each cell's origin goes: before on the left, after on the right, a row for each task."""
    width, depth, height = high - low
    across, back = 1.42 * width, 1.15 * depth + height + 0.5 * width
    return np.array([[(column - 0.5) * across, -row * back, 0.0] for column, row in cells])


def _ground(
    server: viser.ViserServer,
    cell: str,
    colour: tuple[int, int, int],
    place: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    moves: bool,
) -> viser.FrameHandle:
    """A slab under one robot with stripes across it; returns the frame that the stripes hang on."""
    length, depth, _ = high - low
    x, y, _ = (low + high) / 2
    length, depth, thick = 1.15 * length, max(1.15 * depth, 0.3 * length), 0.02 * length
    slab = place + [x, y, -thick / 2 - 1e-3]
    server.scene.add_box(
        f"{cell}/ground", colour, (length, depth, thick), opacity=0.25, cast_shadow=False, position=slab
    )
    frame = server.scene.add_frame(f"{cell}/stripes", show_axes=False, position=place)
    for k in range(int(length // STRIPE) if moves else 0):
        at = (x + (k + 1 - (length // STRIPE) / 2) * STRIPE, y, 0.0)
        server.scene.add_box(f"{cell}/stripes/{k}", colour, (0.04, depth, 1e-3), cast_shadow=False, position=at)
    return frame


def _path(server: viser.ViserServer, cell: str, colour: tuple, path: np.ndarray) -> None:
    segments = np.stack([path[:-1], path[1:]], axis=1)
    server.scene.add_line_segments(f"{cell}/path", segments, colour, thickness=2.5, thickness_units="screen")


def _aim(server: viser.ViserServer, places: np.ndarray, low: np.ndarray, high: np.ndarray, follows: bool) -> None:
    """A camera in front and above that sees every cell, in a window of 16:9."""
    labels = np.array([0.0, 0.4 * (high[0] - low[0]), 0.0])  # room for them in front
    low, high = places.min(0) + low - labels, places.max(0) + high
    width, depth, height = high - low
    elevation = math.radians(28.0 if follows else 50.0)
    upright = depth * math.sin(elevation) + height * math.cos(elevation)
    distance = max(1.0 * width * 9 / 16, 1.1 * upright) / (2 * math.tan(FIELD_OF_VIEW / 2))
    distance += 0.45 * depth * math.cos(elevation)  # the front row is nearer
    target = (low + high) / 2
    camera = server.initial_camera
    camera.position = tuple(target + distance * np.array([0.0, -math.cos(elevation), math.sin(elevation)]))
    camera.look_at = tuple(target)
    camera.up = (0.0, 0.0, 1.0)
    camera.fov = FIELD_OF_VIEW
