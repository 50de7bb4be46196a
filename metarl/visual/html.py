"""A replay as one HTML file that opens in any browser, from disk, without a network.

    write_html(replay, "replay.html")

Rows are tasks; left is before, right is after adaptation. viser and mjviser write the scene; neither needs OpenGL here.
A robot that runs far is kept on the spot, and the floor beneath it moves, a plane of the model: stripes half a metre
apart pass under it at its speed. A robot whose camera stands still is shown in its arena, with the path that it takes.
"""

from __future__ import annotations

import contextlib
import copy
import html
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import viser
from mjviser import ViserMujocoScene
from mjviser.conversions import merge_geoms, merge_sites

from metarl.util import files
from metarl.visual.replay import COLOURS, COLUMNS, Replay
from metarl.visual.tendons import Tendons

STRIPE = 0.5  # m between stripes on moving ground
PAUSE = 1.0  # s at the end, before it starts again
FIELD_OF_VIEW = math.radians(38.0)  # upright
HIDDEN_GROUP, HIDDEN_GEOMS = 5, 3  # MuJoCo's viewers leave out groups from 3 on
BOX, PLANE = int(mujoco.mjtGeom.mjGEOM_BOX), int(mujoco.mjtGeom.mjGEOM_PLANE)
LEVEL = 0.5  # of the normal's z: what is steeper is a wall
LABEL_PERIOD = 0.2  # s between updates of the numbers
HEADING = 1.35  # size of "before adaptation", that of the numbers below it being one

_WHEN = "before", "after"  # in the names of nodes
_HEADER = """<div style="position:fixed;top:0;left:0;right:0;z-index:5;pointer-events:none;padding:8px 16px;
text-align:center;font:15px/1.45 system-ui,sans-serif;color:#222;background:rgba(255,255,255,.85)">
<b style="font-size:18px">{title}</b> &nbsp; {legend}<br>{caption} Drag to turn, scroll to zoom.</div>
<style>@media (orientation: portrait) {{ #root {{ height: 70vw !important; margin-top: 5rem }} }}</style>"""
_KEY = """<span style="color:rgb{colour};font-weight:600;white-space:nowrap">&#9632; {column}</span>"""
VIEWPORT = 'content="width=device-width, initial-scale=1"', 'content="width=1000"'  # on a telephone the whole scene


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
    files.replace(path, _with_header(document, replay).encode())
    return path


def _with_header(document: str, replay: Replay) -> str:
    title, caption = html.escape(replay.title), html.escape(replay.caption)
    start, end = document.index("<title>"), document.index("</title>")
    document = document[:start] + f"<title>{title}" + document[end:]
    document = document.replace(*VIEWPORT, 1)
    body = document.rindex("</body>")
    legend = " &nbsp; ".join(_KEY.format(colour=colour, column=name) for name, colour in replay.headings)
    return document[:body] + _HEADER.format(title=title, legend=legend, caption=caption) + document[body:]


def _scene(replay: Replay, server: viser.ViserServer) -> str:
    cells = list(replay.cells())
    xpos, xmat = zip(*(replay.poses(*cell) for cell in cells), strict=True)  # N of (T + 1, nbody, 3), (..., 3, 3)
    root = np.stack([x[:, replay.root(task)] for x, (_, task) in zip(xpos, cells, strict=True)])  # (N, T + 1, 3)
    # a robot that flies has no floor, one that stands has one at least to look at
    ground = None if replay.follows else min(0.0, *(float(x[..., 2].min()) for x in xpos))
    floors = [_floor(model, ground) for model in replay.models]
    # what each cell's origin is kept at: of a robot that runs the point of the floor below it, (N, T + 1, 3)
    centre = root * [1.0, 1.0, 0.0] if replay.follows else np.zeros_like(root)
    for n, (_, task) in enumerate(cells):
        floor = floors[task]
        centre[n] = floor.foot(root[n]) if replay.follows and floor else centre[n]
    boxes = [_bounds(replay.models[task], x - c[:, None]) for x, c, (_, task) in zip(xpos, centre, cells, strict=True)]
    low, high = _roomy(np.min([low for low, _ in boxes], axis=0), np.max([high for _, high in boxes], axis=0))
    if all(floor and floor.axes[2, 2] > 0.999 for floor in floors):  # spheres about the geoms reach below it
        low[2] = 0.0 if replay.follows else min(floor.point[2] for floor in floors if floor)
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
    stripes, worlds, labels = [], [], []
    for n, ((column, task), place) in enumerate(zip(cells, places, strict=True)):
        cell = f"/{_WHEN[column]} {task}"
        stripes.append(_ground(server, cell, COLOURS[column], place, floors[task], (low, high), replay.follows))
        worlds.append(server.scene.add_frame(f"{cell}/world", show_axes=False, position=place))
        _standing_parts(server, f"{cell}/world", COLOURS[column], replay.models[task], floors[task], high - low)
        if not replay.follows:
            _path(server, cell, COLOURS[column], root[n] + place)
        front = place + [(low[0] + high[0]) / 2, low[1] - 0.2 * (high[0] - low[0]), low[2]]
        labels.append(server.scene.add_label(f"{cell}/label", "", position=front, anchor="top-center"))
        options: Any = {"position": front, "anchor": "bottom-center", "font_screen_scale": HEADING}
        server.scene.add_label(f"{cell}/heading", COLUMNS[column], **options)

    tendons = [Tendons(model) for model in replay.models]
    lines = [_tendons(server, f"/{_WHEN[column]} {task}/world/tendons", tendons[task]) for column, task in cells]
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
            if line := lines[n]:
                line.points = tendons[cell[1]].at(replay.qpos[(*cell, t)])
            if replay.follows:
                floor, worlds[n].position = floors[cell[1]], shift[n]
                if floor:
                    stripes[n].position = places[n] - (centre[n, t] @ floor.axes[0] % STRIPE) * floor.axes[0]
            if i % every == 0 or t == frames[-1]:
                labels[n].text = replay.text(*cell, t, centre[n, t, 0])
        server.flush()
        recording.insert_sleep((frames[i + 1] - t) * replay.dt if t < frames[-1] else PAUSE)
    return recording.as_html()


@dataclass(frozen=True)
class _Plane:
    """A plane that is fixed to the world, as its model has it.

    Attributes:
        point: of the plane, m.
        axes: its x, y and normal, as rows.
        half: sizes along x and y, m; 0 for an endless one.
        rgba: its colour, 0 to 1.
    """

    geom: int
    point: np.ndarray
    axes: np.ndarray
    half: np.ndarray
    rgba: np.ndarray

    @property
    def quaternion(self) -> np.ndarray:
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, self.axes.T.ravel())
        return quat

    def foot(self, points: np.ndarray) -> np.ndarray:
        """The points of the plane nearest to points (..., 3)."""
        return points - ((points - self.point) @ self.axes[2])[..., None] * self.axes[2]


def _planes(model: mujoco.MjModel) -> list[_Plane]:
    """The planes that can be seen, those first that are the most like a floor: level, and large."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    seen = (model.geom_type == PLANE) & (model.geom_rgba[:, 3] > 0) & (model.geom_group < HIDDEN_GEOMS)
    planes = []
    for geom in map(int, np.flatnonzero(seen & _standing(model)[model.geom_bodyid])):
        material = int(model.geom_matid[geom])
        rgba = model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom]
        axes, half = data.geom_xmat[geom].reshape(3, 3).T.copy(), model.geom_size[geom, :2].copy()
        planes.append(_Plane(geom, data.geom_xpos[geom].copy(), axes, half, rgba.copy()))

    def order(plane: _Plane) -> tuple[float, float]:
        return -round(float(plane.axes[2, 2]), 1), -float(np.prod(plane.half)) if plane.half.all() else -math.inf

    return sorted(planes, key=order)


def _floor(model: mujoco.MjModel, ground: float | None = None) -> _Plane | None:
    """What the robot stands on, its x axis along the world's: a plane that faces upwards, not a mark on the ground.

    Args:
        ground: height, m, of what is drawn where there is no plane at all.
    """
    planes = _planes(model)
    for plane in planes:
        normal = plane.axes[2]
        if normal[2] > LEVEL and _large(model, plane):
            x = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
            x /= np.linalg.norm(x)
            return replace(plane, axes=np.stack([x, np.cross(normal, x), normal]))
    if planes or ground is None:
        return None
    return _Plane(-1, np.array([0.0, 0.0, ground]), np.eye(3), np.zeros(2), np.ones(4))


def _large(model: mujoco.MjModel, plane: _Plane) -> bool:
    return not plane.half.all() or plane.half.min() > model.stat.extent / 4


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


def _standing_parts(
    server: viser.ViserServer, world: str, colour: tuple, model: mujoco.MjModel, floor: _Plane | None, room: np.ndarray
) -> None:
    """What belongs to the world in one task: obstacles, marked places, and the planes that are not the floor."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    seen = (model.geom_type != PLANE) & (model.geom_rgba[:, 3] > 0) & (model.geom_group < HIDDEN_GEOMS)
    for body in np.flatnonzero(_standing(model)):
        geoms = np.flatnonzero((model.geom_bodyid == body) & seen)
        sites = np.flatnonzero((model.site_bodyid == body) & (model.site_group < HIDDEN_GEOMS))
        where = {"position": data.xpos[body], "wxyz": data.xquat[body]}
        if len(geoms):
            server.scene.add_mesh_trimesh(f"{world}/geoms {body}", merge_geoms(model, geoms.tolist()), **where)
        if len(sites):
            server.scene.add_mesh_trimesh(f"{world}/sites {body}", merge_sites(model, sites.tolist()), **where)
    for plane in _planes(model):
        if floor is None or plane.geom != floor.geom:
            wall, most = _large(model, plane), 0.6 * float(room[:2].max())
            half = np.where(plane.half > 0, np.minimum(plane.half, most), most)
            own = tuple(round(255 * float(part)) for part in plane.rgba[:3])
            name, tint, opacity = f"{world}/plane {plane.geom}", colour if wall else own, 0.25 if wall else 0.9
            _slab(server, name, tint, 2 * half, plane, plane.point, opacity)


def _slab(
    server: viser.ViserServer, name: str, colour: tuple, size: np.ndarray, plane: _Plane, middle: np.ndarray,
    opacity: float,
) -> None:  # fmt: skip
    """A part of a plane about a point of it, of a size (2,) along its axes, as a thin box below it."""
    thick = 0.02 * float(size[0])
    server.scene.add_box(
        name, colour, (float(size[0]), float(size[1]), thick), opacity=opacity, cast_shadow=False,
        position=middle - (thick / 2 + 1e-3) * plane.axes[2], wxyz=plane.quaternion,
    )  # fmt: skip


def _bounds(model: mujoco.MjModel, xpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,) of a box with room for everything that a cell shows; xpos (T + 1, nbody, 3)."""
    geoms = np.flatnonzero(model.geom_bodyid > 0)
    radius = model.geom_rbound[geoms, None]
    centres = xpos[:, model.geom_bodyid[geoms]]  # a body's origin is near enough to its geoms
    sites = model.site_pos[model.site_bodyid == 0]
    low = np.minimum((centres - radius).min((0, 1)), sites.min(0, initial=np.inf))
    high = np.maximum((centres + radius).max((0, 1)), sites.max(0, initial=-np.inf))
    return low, high


def _roomy(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A box wide enough for the words in front of it."""
    more = max(0.0, 1.2 * float(high[2] - low[2]) - float(high[0] - low[0])) / 2
    return low - [more, 0.0, 0.0], high + [more, 0.0, 0.0]


def _places(cells: list[tuple[int, int]], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(N, 3) where each cell's origin goes: before on the left, after on the right, a row for each task."""
    width, depth, height = high - low
    across, back = 1.42 * width, 1.15 * depth + height + 0.6 * width
    return np.array([[(column - 0.5) * across, -row * back, 0.0] for column, row in cells])


def _ground(
    server: viser.ViserServer,
    cell: str,
    colour: tuple[int, int, int],
    place: np.ndarray,
    floor: _Plane | None,
    box: tuple[np.ndarray, np.ndarray],
    moves: bool,
) -> viser.FrameHandle:
    """The floor under one robot, if it has one, with stripes across it; returns the frame that the stripes hang on."""
    low, high = box
    length, depth, _ = 1.15 * (high - low)
    depth = max(depth, 0.3 * length)
    quat = floor.quaternion if floor else (1.0, 0.0, 0.0, 0.0)
    frame = server.scene.add_frame(f"{cell}/stripes", show_axes=False, position=place, wxyz=quat)
    if floor is None:
        return frame
    if moves:  # the origin of the cell is on the floor
        floor = replace(floor, point=np.zeros(3))
    middle = floor.foot((low + high) / 2)
    _slab(server, f"{cell}/ground", colour, np.array([length, depth]), floor, place + middle, 0.25)
    x, y, _ = floor.axes @ middle
    for k in range(int(length // STRIPE) if moves else 0):
        at = (x + (k + 1 - (length // STRIPE) / 2) * STRIPE, y, 0.0)
        server.scene.add_box(f"{cell}/stripes/{k}", colour, (0.04, depth, 1e-3), cast_shadow=False, position=at)
    return frame


def _tendons(server: viser.ViserServer, name: str, tendons: Tendons) -> viser.LineSegmentsHandle | None:
    """Lines whose points are set in each frame; None without tendons."""
    if not len(tendons):
        return None
    points, colours = np.zeros((len(tendons), 2, 3)), np.round(255 * tendons.colours).astype(np.uint8)
    return server.scene.add_line_segments(name, points, colours, thickness=tendons.thickness)


def _path(server: viser.ViserServer, cell: str, colour: tuple, path: np.ndarray) -> None:
    segments = np.stack([path[:-1], path[1:]], axis=1)
    server.scene.add_line_segments(f"{cell}/path", segments, colour, thickness=2.5, thickness_units="screen")


def _aim(server: viser.ViserServer, places: np.ndarray, low: np.ndarray, high: np.ndarray, follows: bool) -> None:
    """A camera in front and above that sees every cell, in a window of 16:9."""
    labels = np.array([0.0, 0.5 * (high[0] - low[0]), 0.0])  # room for them in front
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
