"""From factors to triangles: the morphed head, its hair, its glasses, turned into the pose.

The base mesh and its morph targets are MakeHuman's / MPFB2's (CC0), cut down to the head in heads.npz.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from examples.demo_generator.factors import Factors
from examples.demo_generator.raster import FRAME, HAIR, LONG_HAIR, Cut, vertex_normals
from examples.demo_generator.shading import hairline

HEADS = Path(__file__).with_name("heads.npz")
EYES = (0, 7.284, 1.245)  # the point between the eyes, pinned whatever the head's shape
CROWN = 1.207  # usual height of the crown above it
NECK = (0, 6.7, 0.35)  # what the head turns about
NO_CUT = 99.0
USUAL = {"eyesize": 1.3, "nosel": -0.2, "chinw": -0.1}  # of a neutral face: large eyes still show at 64 pixels
HULL_AXIS = (0.0, 0.0, 0.3)
HULL_COPIES = ((0.0, 1.0), (0.16, 0.96), (-0.16, 0.96))  # turn in radians, size: fill the gaps between strands


class HeadModel:
    """Vertices, triangles and morph targets of heads.npz."""

    def __init__(self, path: Path = HEADS):
        stored = np.load(path)
        self.vertices = stored["vertices"].astype(np.float32)
        self.masks = stored["masks"].astype(np.float32)  # (V, 2): lips, ears
        self.occlusion = stored["occlusion"].astype(np.float32)
        self.scalp_vertices = stored["scalp_vertices"].astype(np.int64)
        self.scalp_triangles = stored["scalp_triangles"].astype(np.int64)
        self.body_vertices = stored["body_vertices"].astype(np.int64)
        self.eyes = [stored[name].astype(np.int64) for name in ("left_eye", "right_eye")]
        triangles, materials = stored["triangles"].astype(np.int32), stored["materials"].astype(np.int32)
        is_hull = materials == LONG_HAIR
        self.triangles, self.materials = triangles[~is_hull], materials[~is_hull]
        self.hull_triangles = triangles[is_hull]
        self.targets: dict[str, dict[tuple[str, ...], np.ndarray]] = {}
        for name, target in zip(stored["target_names"].tolist(), stored["targets"].astype(np.float32), strict=True):
            kind, *rest = name.split("/")
            self.targets.setdefault(kind, {})[tuple(rest)] = target

    def eye_centres(self, v: np.ndarray) -> list[np.ndarray]:
        return [v[eye].mean(0) for eye in self.eyes]


@dataclass
class Part:
    """Triangles with what the shader needs at their vertices; parts are joined with `join`."""

    positions: np.ndarray  # (V, 3)
    rest: np.ndarray  # (V, 3): the same points on the undeformed head, where paint is defined
    masks: np.ndarray  # (V, 2)
    occlusion: np.ndarray  # (V,): 1 sees the whole sky
    triangles: np.ndarray  # (T, 3)
    materials: np.ndarray  # (T,)


def join(parts: list[Part]) -> Part:
    starts = np.cumsum([0] + [len(part.positions) for part in parts[:-1]])
    return Part(
        np.concatenate([part.positions for part in parts]).astype(np.float32),
        np.concatenate([part.rest for part in parts]).astype(np.float32),
        np.concatenate([part.masks for part in parts]).astype(np.float32),
        np.concatenate([part.occlusion for part in parts]).astype(np.float32),
        np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)]).astype(np.int32),
        np.concatenate([part.materials for part in parts]).astype(np.int32),
    )


def morph(model: HeadModel, p: Factors) -> np.ndarray:
    """Vertices (V, 3) of the head with the given identity and expression, eyes at `EYES`, size partly evened out."""
    age, gender, weight = p["age"], 0.5 + (p["gender"] - 0.5) * 1.25, p["weight"]
    if age < 0.25:
        ages = {"child": 1 - age / 0.25, "young": age / 0.25, "old": 0.0}
    else:
        ages = {"child": 0.0, "young": 1 - (age - 0.25) / 0.75, "old": (age - 0.25) / 0.75}
    genders = {"female": 1 - gender, "male": gender}
    builds = {"min": max(0, -weight) * 0.9, "max": max(0, weight) * 0.9}
    builds["average"] = 1 - builds["min"] - builds["max"]

    v = model.vertices.copy()
    for (base, g, a), target in model.targets["base"].items():
        amount = p[f"base_{base}"] * genders[g] * ages[a]
        if abs(amount) > 0.004:
            v += amount * target
    for (g, a, build), target in model.targets["build"].items():
        amount = genders[g] * ages[a] * builds[build]
        if abs(amount) > 0.004:
            v += amount * target
    shapes = model.targets["shape"]
    for name in dict.fromkeys(key for key, _ in shapes):
        amount = p[name] + USUAL.get(name, 0.0)
        v += shapes[name, "lo"] * -amount if amount < 0 else shapes[name, "hi"] * amount
    for (name,), target in model.targets["outline"].items():
        if p[name]:
            v += p[name] * target

    expression = {name: target for (name,), target in model.targets["expression"].items()}
    smile = p["smile"]
    mouth = expression["smile"] * smile * 1.05 if smile > 0 else expression["sad"] * -smile * 0.9
    v += mouth + expression["open"] * p["open"] * 0.8
    if smile > 0.45:
        v += expression["part"] * (smile - 0.45) * 0.9
    v += expression["ageup"] * max(0.0, (age - 0.25) / 0.75) * 0.85
    v += (
        expression["close"] * max(0.0, p["eyes"])
        + expression["wide"] * max(0.0, -p["eyes"]) * 0.8
        + (expression["browup"] * max(0, p["brow"]) + expression["browdown"] * max(0, -p["brow"])) * 0.8
    )

    left, right = model.eye_centres(v)
    pinned = np.array(EYES, np.float32)
    v = v - (left + right) / 2 + pinned
    scale = (CROWN / (v[model.body_vertices, 1].max() - EYES[1])) ** 0.75
    return (v - pinned) * scale + pinned


@njit(cache=True, fastmath=True)
def hairlines(points, recede):
    """Hairline height (V,) at rest-pose points (V, 3)."""
    out = np.empty(points.shape[0])
    for i in range(points.shape[0]):
        out[i] = hairline(points[i, 0], points[i, 2], recede)
    return out


def has_long_hair(p: Factors) -> bool:
    return p["hair_on"] > 0 and p["hair_len"] > 0.22


def hair_cut(p: Factors) -> Cut:
    length = 7.5 - (p["hair_len"] - 0.22) / 0.78 * 2.3 if has_long_hair(p) else NO_CUT
    return Cut(length, 8.12 - 0.62 * p["fringe"], 0.35 * p["sweep"])


def hair_cap(model: HeadModel, v: np.ndarray, normals: np.ndarray, p: Factors) -> Part:
    """The scalp's triangles pushed out along the normals: short hair, or the top of long hair."""
    rest, q, outward = model.vertices[model.scalp_vertices], v[model.scalp_vertices], normals[model.scalp_vertices]
    above = rest[:, 1] - hairlines(rest, p["recede"])
    inside = np.clip((above + 0.02) / 0.32, 0, 1)
    inside = inside * inside * (3 - 2 * inside)
    top = np.clip((rest[:, 1] - 7.75) / 0.5, 0, 1)
    front = np.clip((rest[:, 2] - 0.6) / 0.7, 0, 1)
    volume = (
        0.035
        + 0.24 * p["hair_side"] * (1 - top) * (0.35 + 0.65 * min(1, p["hair_len"] * 3 + 0.2))
        + (0.07 + 0.36 * p["hair_vol"]) * top * (0.70 + 0.55 * front * p["fringe"])
    )
    x, y, z = rest.T
    lumps = (np.sin(x * 11 + np.sin(y * 9)) + np.sin(y * 12 + np.sin(z * 10)) + np.sin(z * 11.5 + np.sin(x * 8))) / 3
    volume = volume * (1 + 0.20 * p["hair_curl"] * lumps + 0.25 * p["hair_curl"])
    q = q + outward * (volume * inside - 0.035 * (1 - inside))[:, None]
    is_ear = model.masks[model.scalp_vertices, 1] > 0.3
    q = np.where(is_ear[:, None], q - outward * 0.05, q)
    return Part(
        q,
        rest,
        np.zeros((len(q), 2), np.float32),
        0.55 + 0.45 * inside.astype(np.float32),
        model.scalp_triangles,
        np.full(len(model.scalp_triangles), HAIR),
    )


def long_hair(model: HeadModel, v: np.ndarray) -> list[Part]:
    """The hull of long hair, and inside it two turned copies: behind each gap between strands there is hair."""
    used, triangles = np.unique(model.hull_triangles, return_inverse=True)
    triangles = triangles.reshape(model.hull_triangles.shape)
    axis = np.array(HULL_AXIS, np.float32)
    parts = []
    for turn, size in HULL_COPIES:
        around = rotation(turn, 0.0, 0.0) * np.array([size, 1.0, size])[:, None]
        positions, rest = ((points[used] - axis) @ around.T + axis for points in (v, model.vertices))
        plain = np.zeros((len(used), 2), np.float32), model.occlusion[used]
        parts.append(Part(positions, rest, *plain, triangles, np.full(len(triangles), LONG_HAIR)))
    return parts


def tube(path: np.ndarray, radius: float, num_sides: int = 6) -> Part:
    """A round bar of glasses frame along `path` (P, 3)."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    up = np.array([0, 0, 1.0])
    up = np.where(np.abs(along @ up)[:, None] > 0.9, np.array([0, 1.0, 0]), up)
    across = np.cross(along, up)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    other = np.cross(along, across)
    turn = np.linspace(0, 2 * np.pi, num_sides, endpoint=False)
    ring = np.cos(turn)[None, :, None] * across[:, None] + np.sin(turn)[None, :, None] * other[:, None]
    points = (path[:, None] + radius * ring).reshape(-1, 3).astype(np.float32)
    triangles = []
    for i in range(len(path) - 1):
        for j in range(num_sides):
            a, b = i * num_sides + j, i * num_sides + (j + 1) % num_sides
            c, d = b + num_sides, a + num_sides
            triangles += [[a, b, c], [a, c, d]]
    masks, occlusion = np.zeros((len(points), 2), np.float32), np.ones(len(points), np.float32)
    return Part(points, points, masks, occlusion, np.array(triangles), np.full(len(triangles), FRAME))


def glasses(model: HeadModel, v: np.ndarray, p: Factors) -> list[Part]:
    """Two rims (squarer when larger), two arms and a bridge in front of the eyes."""
    left, right = model.eye_centres(v)
    front = max(v[eye, 2].max() for eye in model.eyes) + 0.10
    radius, power = 0.25 + 0.03 * p["frame_size"], 2.6 + 1.2 * p["frame_size"]
    turn = np.linspace(0, 2 * np.pi, 33)
    cosine = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power)
    sine = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power)
    parts = []
    for (x, y, _), side in ((left, 1), (right, -1)):
        depth = front - 0.25 * (np.abs(x + cosine * radius) - 0.3) ** 2
        parts.append(
            tube(np.c_[x + side * 0.03 + cosine * radius * 1.06, y - 0.035 + sine * radius * 0.86, depth], 0.028)
        )
        x0 = x + side * (0.03 + radius * 1.06)
        arm = [
            [x0, y + 0.02, front - 0.06],
            [x0 + side * 0.10, y + 0.04, front - 0.35],
            [x0 + side * 0.15, y + 0.03, front - 1.0],
        ]
        parts.append(tube(np.array(arm), 0.024))
    bridge = [
        [right[0] + radius * 1.0, right[1], front],
        [0, right[1] + 0.05, front + 0.04],
        [left[0] - radius * 1.0, left[1], front],
    ]
    parts.append(tube(np.array(bridge), 0.028))
    return parts


def build(model: HeadModel, p: Factors) -> Part:
    """Head, hair and glasses of the factors, not yet turned."""
    v = morph(model, p)
    normals = vertex_normals(v, model.triangles)
    parts = [Part(v, model.vertices, model.masks, model.occlusion, model.triangles, model.materials)]
    if p["hair_on"] > 0:
        parts.append(hair_cap(model, v, normals, p))
    mesh = join(parts)
    if has_long_hair(p):
        mesh = join([mesh, *long_hair(model, v)])
    if p["glasses"] > 0:
        mesh = join([mesh, *glasses(model, v, p)])
    return mesh


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3): yaw about the vertical, then pitch, then roll. Radians."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    roll_matrix = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    pitch_matrix = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return roll_matrix @ pitch_matrix @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


def pose(mesh: Part, p: Factors) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) turned about the neck, shoulders much less; and the point between the eyes, turned."""
    v, neck = mesh.positions, np.array(NECK)
    share = np.clip((v[:, 1] - 5.75) / 0.75, 0, 1)
    share = 0.15 + 0.85 * share * share * (3 - 2 * share)
    is_worn = np.zeros(len(v), bool)
    is_worn[mesh.triangles[mesh.materials >= HAIR].ravel()] = True
    share[is_worn] = 1.0
    head = rotation(p["yaw"], p["pitch"], p["roll"])
    shoulders = rotation(p["yaw"] * 0.25, p["pitch"] * 0.1, p["roll"] * 0.1)
    from_neck = v - neck
    turned = from_neck @ shoulders.T * (1 - share[:, None]) + from_neck @ head.T * share[:, None] + neck
    return turned.astype(np.float32), head @ (np.array(EYES) - neck) + neck
