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

import mujoco
import numpy as np
import viser
from mjviser import ViserMujocoScene
from mjviser.conversions import merge_geoms, merge_sites

from metarl.runs.checkpoint import replace
from metarl.visual.replay import Replay

COLOURS = ((86, 110, 140), (213, 94, 0))  # before: slate, after: vermilion; the colour-blind can tell them apart
STRIPE = 0.5  # m between stripes on moving ground
PAUSE = 1.0  # s at the end, before it starts again
FIELD_OF_VIEW = math.radians(38.0)  # upright
HIDDEN_GROUP = 5  # MuJoCo's viewers leave out this group of sites
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
    poses = [replay.poses(*cell) for cell in cells]
    xpos = np.stack([p for p, _ in poses])  # (N, T + 1, nbody, 3)
    xmat = np.stack([m for _, m in poses])
    root = xpos[:, :, replay.root]  # (N, T + 1, 3)
    centre = root * [1.0, 1.0, 0.0] if replay.follows else np.zeros_like(root)  # what each cell's origin is kept at
    low, high = _bounds(replay.models, xpos - centre[:, :, None])
    places = _places(cells, low, high)
    _aim(server, places, low, high, replay.follows)

    # with mjviser's own light the player loads it anew, and flashes, at each repetition
    server.scene.configure_environment_map = lambda **_: None
    scene = ViserMujocoScene(server, _moving_parts(replay.models[0]), len(cells))
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

    recording = server.get_scene_serializer()
    frames = replay.frames
    every = max(1, round(LABEL_PERIOD / (replay.dt * frames[1])))
    for i, t in enumerate(frames):
        shift = places - centre[:, t]
        scene.update_from_arrays(xpos[:, t] + shift[:, None], xmat[:, t])
        for n, cell in enumerate(cells):
            if replay.follows:
                stripes[n].position = places[n] - [centre[n, t, 0] % STRIPE, 0.0, 0.0]
            if i % every == 0 or t == frames[-1]:
                labels[n].text = replay.text(*cell, t, centre[n, t, 0])
        server.flush()
        recording.insert_sleep((frames[i + 1] - t) * replay.dt if t < frames[-1] else PAUSE)
    return recording.as_html()


def _moving_parts(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy for mjviser, which writes to it, without what is fixed to the world: that is not the same in each cell."""
    model = copy.deepcopy(model)
    model.geom_type[model.geom_bodyid == 0] = BOX  # of planes it makes an endless grid, transparent or not
    model.geom_rgba[model.geom_bodyid == 0, 3] = 0.0
    model.site_group[model.site_bodyid == 0] = HIDDEN_GROUP
    return model


def _standing_parts(server: viser.ViserServer, cell: str, model: mujoco.MjModel, place: np.ndarray) -> None:
    """What belongs to the world in one task: obstacles and marked places, but no planes."""
    geoms = np.flatnonzero((model.geom_bodyid == 0) & (model.geom_type != PLANE) & (model.geom_rgba[:, 3] > 0))
    sites = np.flatnonzero(model.site_bodyid == 0)
    if len(geoms):
        server.scene.add_mesh_trimesh(f"{cell}/geoms", merge_geoms(model, geoms.tolist()), position=place)
    if len(sites):
        server.scene.add_mesh_trimesh(f"{cell}/sites", merge_sites(model, sites.tolist()), position=place)


def _bounds(models: tuple[mujoco.MjModel, ...], xpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,) of a box with room for everything that any cell shows; xpos (N, T + 1, nbody, 3)."""
    geoms = np.flatnonzero(models[0].geom_bodyid > 0)
    radius = models[0].geom_rbound[geoms, None]
    centres = xpos[:, :, models[0].geom_bodyid[geoms]]  # a body's origin is near enough to its geoms
    sites = np.concatenate([model.site_pos[model.site_bodyid == 0] for model in models])
    low = np.minimum((centres - radius).min((0, 1, 2)), sites.min(0, initial=np.inf))
    high = np.maximum((centres + radius).max((0, 1, 2)), sites.max(0, initial=-np.inf))
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
