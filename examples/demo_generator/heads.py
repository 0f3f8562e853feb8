"""Heads with exact, continuous ground truth: factors in, picture out. The same factors always give the same bytes."""

from __future__ import annotations

import colorsys
import math

import numpy as np

from examples.demo_generator.factors import Factors
from examples.demo_generator.geometry import HeadModel, build, hair_cut, pose
from examples.demo_generator.raster import rasterize, vertex_normals
from examples.demo_generator.shading import Look, Palette, shade

SHADOW_MAP_SIZE, SHADOW_MAP_CENTRE, SHADOW_MAP_HALF_WIDTH = 160, (0, 7.1, 0.4), 1.75
CAMERA_DISTANCE, CAMERA_HEIGHT, FOCAL_LENGTH = 13.0, 7.16, 4.25
EYE_LINE = 0.46  # height of the eyes in the picture, from the top
GAMMA = 2.2


def linear(rgb: object) -> np.ndarray:
    """8-bit colours -> linear light."""
    return (np.asarray(rgb, np.float64) / 255) ** GAMMA


SKIN_TONES = linear([(246, 206, 184), (234, 182, 150), (212, 156, 118), (150, 100, 68), (88, 56, 40)])
HAIR_TONES = linear([(24, 18, 16), (66, 40, 24), (122, 76, 40), (196, 146, 80), (236, 204, 140)])
EYE_TONES = linear([(74, 46, 28), (110, 76, 36), (86, 116, 74), (92, 140, 196)])
RED_HAIR, GREY_HAIR, LIPSTICK = linear((150, 62, 28)), linear((188, 186, 184)), linear((188, 40, 62))
FRAMES = ((0.7, linear((20, 20, 24))), (0.85, linear((150, 60, 40))), (math.inf, linear((190, 170, 120))))


def tone(tones: np.ndarray, t: float) -> np.ndarray:
    """Colour at t in 0..1 along a row of tones."""
    t = np.clip(t, 0, 1) * (len(tones) - 1)
    i = min(int(t), len(tones) - 2)
    return tones[i] * (1 - (t - i)) + tones[i + 1] * (t - i)


def from_hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    return linear(np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value)) * 255)


def palette(p: Factors) -> Palette:
    hair = tone(HAIR_TONES, p["hair_tone"])
    hair = hair * (1 - p["red"]) + RED_HAIR * p["red"]
    hair = hair * (1 - p["grey"]) + GREY_HAIR * p["grey"]
    skin = tone(SKIN_TONES, p["skin"])
    lips = skin * np.array([0.88, 0.58, 0.60])
    lips = lips * (1 - p["lipstick"]) + LIPSTICK * p["lipstick"]
    warm = p["warm"]
    return Palette(
        skin=skin,
        lips=lips,
        hair=hair,
        brows=hair * 0.45,
        iris=tone(EYE_TONES, p["eye_tone"]),
        shirt=from_hsv(p["shirt_hue"], p["shirt_sat"], p["shirt_val"]),
        top=from_hsv(p["bg_hue"], p["bg_sat"], p["bg_val"]),
        bottom=from_hsv(p["bg_hue"] + 0.04, p["bg_sat"] * 0.8, p["bg_val"] * 0.72),
        frame=next(colour for limit, colour in FRAMES if p["frame_dark"] < limit),
        key=np.array([1 + 0.07 * warm, 1.0, 1 - 0.09 * warm]),
        ambient=np.array([1 - 0.04 * warm, 1.0, 1 + 0.06 * warm]),
    )


def look(p: Factors) -> Look:
    return Look(
        beard=p["beard"],
        brow_width=p["browd"],
        recede=p["recede"],
        lip_colour=0.85,
        curl=p["hair_curl"],
        iris_radius=0.54,
        gaze_x=p["gaze_x"],
        gaze_y=p["gaze_y"],
        scalp=p["hair_on"],
        key=p["light_key"] * 0.8,
        ambient=p["ambient"],
        rim=0.22,
        blush=p["cheek"],
        lid_shadow=0.25 + p["makeup"],
        freckles=p["freckles"],
        tint=p["tint"],
        brow_arch=1.0,
    )


def light_camera(direction: np.ndarray) -> np.ndarray:
    """(3, 4): points -> pixel x, pixel y, depth of the shadow map seen from the light."""
    up = np.array([0, 1, 0.0]) if abs(direction[1]) < 0.95 else np.array([1.0, 0, 0])
    across = np.cross(up, direction)
    across /= np.linalg.norm(across)
    upright = np.cross(direction, across)
    scale = SHADOW_MAP_SIZE / 2 / SHADOW_MAP_HALF_WIDTH
    camera = np.zeros((3, 4))
    camera[0, :3], camera[1, :3], camera[2, :3] = across * scale, -upright * scale, direction
    camera[:, 3] = -camera[:, :3] @ np.array(SHADOW_MAP_CENTRE)
    camera[0, 3] += SHADOW_MAP_SIZE / 2
    camera[1, 3] += SHADOW_MAP_SIZE / 2
    return camera


def project(v: np.ndarray, between_eyes: np.ndarray, p: Factors, size: int) -> np.ndarray:
    """Pixel x, pixel y, depth (V, 3). The point between the eyes stays on the eye line, nearly centred."""
    focal = size * FOCAL_LENGTH * (1 + p["zoom"])
    centre = np.array([0, CAMERA_HEIGHT])  # float64: the division below is not done in float32
    eye_depth = CAMERA_DISTANCE - between_eyes[2]
    x0 = size * (0.5 + 0.25 * p["tx"]) - focal * (between_eyes[0] - centre[0]) / eye_depth * 0.85
    y0 = size * (EYE_LINE + 0.25 * p["ty"]) + focal * (between_eyes[1] - centre[1]) / eye_depth
    depth = CAMERA_DISTANCE - v[:, 2]
    points = [x0 + focal * (v[:, 0] - centre[0]) / depth, y0 - focal * (v[:, 1] - centre[1]) / depth, v[:, 2]]
    return np.stack(points, axis=1).astype(np.float32)


def develop(light: np.ndarray, supersampling: int) -> np.ndarray:
    """Linear RGB (S·k, S·k, 3) -> uint8 (S, S, 3): exposure, soft shoulder, averaged, gamma."""
    light = light * 1.10
    light = light * (1 + light / 6.0) / (1 + 0.42 * light) * 1.12
    size = len(light) // supersampling
    light = light.reshape(size, supersampling, size, supersampling, 3).mean((1, 3))
    return (np.clip(light, 0, 1) ** (1 / GAMMA) * 255 + 0.5).astype(np.uint8)


class HeadRenderer:
    """Renders factors (see `factors.sample`); holds the head model, nothing else."""

    def __init__(self) -> None:
        self.model = HeadModel()

    def render(self, p: Factors, size: int = 64, supersampling: int = 3) -> np.ndarray:
        """The head of factors `p` as uint8 (size, size, 3)."""
        mesh, cut = build(self.model, p), hair_cut(p)
        v, between_eyes = pose(mesh, p)
        azimuth, elevation = p["light_az"], p["light_el"]
        light = np.array(
            [
                math.sin(azimuth) * math.cos(elevation),
                math.sin(elevation),
                math.cos(azimuth) * math.cos(elevation),
            ]
        )
        to_light = light_camera(light)
        seen = (v @ to_light[:, :3].T + to_light[:, 3]).astype(np.float32)
        shadow_map, _, _ = rasterize(seen, mesh.triangles, mesh.materials, mesh.rest, cut, SHADOW_MAP_SIZE)
        fine = size * supersampling
        points = project(v, between_eyes, p, fine)
        _, hit, weights = rasterize(points, mesh.triangles, mesh.materials, mesh.rest, cut, fine)
        picture = shade(
            hit, weights, mesh.triangles, mesh.materials, v, vertex_normals(v, mesh.triangles), mesh.rest,
            mesh.masks, mesh.occlusion, look(p), palette(p), light, shadow_map, to_light, fine,
        )  # fmt: skip
        return develop(picture, supersampling)
