"""The colour of every pixel of a head: paint, key light with shadow, surroundings, rim. Numba kernels.

Paint (brows, lips, beard, hairline, shirt) is a function of the point on the undeformed head, so it stays in place
whatever the face does and whatever the picture's size. All lengths are in decimetres of the MakeHuman base mesh.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from examples.demo_generator.raster import EYE, FRAME, LONG_HAIR, SKIN, TEETH, TONGUE

EYE_X, EYE_Y, EYE_Z = 0.308, 7.284, 1.245  # centre of the (left) eyeball on the undeformed head


class Look(NamedTuple):
    """Scalars of one head that the pixel kernel reads."""

    beard: float
    brow_width: float
    recede: float
    lip_colour: float
    curl: float
    iris_radius: float
    gaze_x: float
    gaze_y: float
    scalp: float
    key: float
    ambient: float
    rim: float
    blush: float
    lid_shadow: float
    freckles: float
    tint: float
    brow_arch: float


class Palette(NamedTuple):
    """Linear RGB, each (3,) float64."""

    skin: np.ndarray
    lips: np.ndarray
    hair: np.ndarray
    brows: np.ndarray
    iris: np.ndarray
    shirt: np.ndarray
    top: np.ndarray  # background, upper edge
    bottom: np.ndarray
    frame: np.ndarray
    key: np.ndarray
    ambient: np.ndarray


@njit(cache=True, fastmath=True)
def smoothstep(a, b, x):
    t = (x - a) / (b - a)
    t = 0.0 if t < 0 else (1.0 if t > 1 else t)
    return t * t * (3 - 2 * t)


@njit(cache=True, fastmath=True)
def ripple(x, y, z):
    """Smooth pseudo-noise in about -1..1."""
    return (
        math.sin(x * 1.7 + math.sin(y * 2.3 + 1.3) * 1.1)
        + math.sin(y * 2.1 + math.sin(z * 1.9 + 0.7) * 1.2)
        + math.sin(z * 2.6 + math.sin(x * 1.5 + 2.1) * 1.3)
    ) / 3


@njit(cache=True, fastmath=True)
def hairline(x, z, recede):
    """Height of the hairline in the direction (x, z) from the middle of the head."""
    angle = math.atan2(abs(x), z - 0.62)
    if angle < 0.55:
        height = 7.98 + recede * 0.30 * (0.35 + angle * 1.2)
    elif angle < 1.05:
        height = 7.98 + (angle - 0.55) / 0.5 * (-0.16) + recede * 0.30 * (1.0 - (angle - 0.55) * 1.3)
    elif angle < 1.45:
        height = 7.82 + (angle - 1.05) / 0.4 * (-0.52)
    elif angle < 1.75:
        height = 7.30 + (angle - 1.45) / 0.3 * (0.20)
    elif angle < 2.15:
        height = 7.50 + (angle - 1.75) / 0.4 * (-0.50)
    else:
        height = 7.00 - (angle - 2.15) / 1.0 * 0.25
    return height


@njit(cache=True, fastmath=True)
def brow_cover(side, y, look):
    t = (side - 0.13) / 0.42  # 0 at the nose, 1 at the temple
    if not -0.05 < t < 1.08:
        return 0.0
    middle = 7.535 + 0.018 * math.sin(min(t, 1.0) * 2.6) * look.brow_arch - 0.085 * smoothstep(0.55, 1.05, t)
    half = (0.045 + 0.035 * look.brow_width) * (1 - 0.62 * smoothstep(0.35, 1.0, t)) * smoothstep(-0.05, 0.08, t)
    return (1 - smoothstep(half * 0.45, half * 1.05, abs(y - middle))) * (0.55 + 0.45 * look.brow_width)


@njit(cache=True, fastmath=True)
def beard_cover(x, y, z, side, lips, ear, look):
    if look.beard <= 0.01 or not 5.95 < y < 7.25:
        return 0.0
    moustache = (
        (1 - smoothstep(0.20, 0.34, side))
        * smoothstep(6.70, 6.76, y)
        * (1 - smoothstep(6.84, 6.88, y))
        * smoothstep(1.2, 1.35, z)
    )
    back = smoothstep(0.3, 0.75, side)
    jaw = (
        smoothstep(6.10, 6.3, y + 0.12 * (1.2 - z))
        * (1 - smoothstep(6.60 + 0.55 * back, 6.68 + 0.6 * back, y))
        * smoothstep(0.30, 0.55, z)
    )
    chin = (
        (1 - smoothstep(0.25, 0.45, side))
        * (1 - smoothstep(6.5, 6.58, y))
        * smoothstep(6.1, 6.25, y)
        * smoothstep(0.9, 1.1, z)
    )
    cover = max(moustache, max(jaw, chin)) * (1 - min(1.0, lips * 1.5)) * (1 - ear)
    cover *= look.beard * (0.88 + 0.08 * ripple(x * 28, y * 28, z * 28))
    return min(1.0, max(0.0, cover))


@njit(cache=True, fastmath=True)
def paint_skin(x, y, z, lips, ear, look, palette):
    """Colour, specular strength, its exponent and light wrap of a skin point with everything painted on it."""
    wrap, specular, gloss = 0.28, 0.16, 14.0
    r, g, b = palette.skin[0], palette.skin[1], palette.skin[2]
    side = abs(x)

    nose = 0.6 * math.exp(-(x * x / 0.012 + (y - 6.92) ** 2 / 0.02)) * (1 if z > 1.4 else 0)
    cheeks = math.exp(-((side - 0.46) ** 2 / 0.035 + (y - 6.98) ** 2 / 0.03))
    blush = look.blush * (cheeks + 0.5 * nose + 0.35 * ear)
    r *= 1 + 0.10 * blush
    g *= 1 - 0.20 * blush
    b *= 1 - 0.16 * blush

    mottle = 0.03 * ripple(x * 9, y * 9, z * 9)
    freckle = look.freckles * smoothstep(0.42, 0.7, ripple(x * 31, y * 31, z * 31))
    freckle = freckle * math.exp(-((side - 0.32) ** 2 / 0.09 + (y - 7.02) ** 2 / 0.03))
    r *= (1 + mottle) * (1 - 0.25 * freckle)
    g *= (1 + mottle) * (1 - 0.40 * freckle)
    b *= (1 + mottle) * (1 - 0.45 * freckle)

    if z > 1.0 and 6.45 < y < 6.95:
        r += (palette.lips[0] - r) * lips * look.lip_colour
        g += (palette.lips[1] - g) * lips * look.lip_colour
        b += (palette.lips[2] - b) * lips * look.lip_colour
        if lips > 0.3:
            specular, gloss = 0.3, 30

    if z > 1.0:
        ex, ey = (side - EYE_X) / 0.24, (y - 7.30) / 0.15
        shadow = look.lid_shadow * math.exp(-(ex * ex + ey * ey) * 1.4) * 0.55
        r *= 1 - shadow
        g *= 1 - shadow * 1.05
        b *= 1 - shadow
        brow = brow_cover(side, y, look)
        r += (palette.brows[0] - r) * brow
        g += (palette.brows[1] - g) * brow
        b += (palette.brows[2] - b) * brow

    beard = beard_cover(x, y, z, side, lips, ear, look)
    r += (palette.hair[0] * 0.8 - r) * beard
    g += (palette.hair[1] * 0.8 - g) * beard
    b += (palette.hair[2] * 0.8 - b) * beard
    specular *= 1 - 0.8 * beard

    if look.scalp > 0.01:
        above = y - hairline(x, z, look.recede)
        scalp = look.scalp * smoothstep(-0.03, 0.10, above) * (1 - smoothstep(0.2, 0.6, ear))
        r += (palette.hair[0] - r) * scalp
        g += (palette.hair[1] - g) * scalp
        b += (palette.hair[2] - b) * scalp
        specular *= 1 - 0.6 * scalp

    collar = 5.70 + 0.42 * max(0.0, 0.75 - z) + 1.6 * max(0.0, side - 0.50)
    shirt = 1 - smoothstep(collar - 0.02, collar + 0.02, y)
    if shirt > 0:
        r += (palette.shirt[0] - r) * shirt
        g += (palette.shirt[1] - g) * shirt
        b += (palette.shirt[2] - b) * shirt
        specular *= 1 - shirt
        wrap *= 1 - shirt
    return r, g, b, specular, gloss, wrap


@njit(cache=True, fastmath=True)
def paint_eye(x, y, z, look, palette):
    """Colour of an eyeball point: white, iris with a dark ring, pupil, turned by the gaze."""
    norm = 1 / math.sqrt(look.gaze_x * look.gaze_x + look.gaze_y * look.gaze_y + 1)
    dx, dy, dz = x - (EYE_X if x > 0 else -EYE_X), y - EYE_Y, z - EYE_Z
    length = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-9
    cosine = (dx * look.gaze_x + dy * look.gaze_y + dz) * norm / length
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    iris = 1 - smoothstep(look.iris_radius - 0.05, look.iris_radius + 0.05, angle)
    pupil = 1 - smoothstep(0.17, 0.25, angle)
    ring = smoothstep(look.iris_radius - 0.2, look.iris_radius - 0.02, angle)
    white = 0.95
    r = white + (palette.iris[0] * (1 - 0.5 * ring) - white) * iris
    g = white * 0.97 + (palette.iris[1] * (1 - 0.5 * ring) - white) * iris
    b = white * 0.95 + (palette.iris[2] * (1 - 0.5 * ring) - white) * iris
    return r * (1 - 0.95 * pupil), g * (1 - 0.95 * pupil), b * (1 - 0.95 * pupil)


@njit(cache=True, fastmath=True)
def paint_hair(x, y, z, look, palette):
    """Colour and specular strength of a hair point, streaked round the head."""
    angle = math.atan2(x, z - 0.5)
    streak = (
        math.sin(angle * 37 + 3.0 * ripple(x * 3, y * 2.2, z * 3)) * 0.5
        + math.sin(angle * 83 + 2 * ripple(x * 5, y * 3, z * 5)) * 0.5
    )
    shade = 1 + 0.22 * streak + look.curl * 0.25 * ripple(x * 26, y * 26, z * 26)
    return palette.hair[0] * shade, palette.hair[1] * shade, palette.hair[2] * shade, 0.13 * (1 + 0.5 * streak)


@njit(cache=True, fastmath=True)
def lit_share(x, y, z, shadow_map, to_light):
    """Share of a 3x3 neighbourhood of the shadow map that the light reaches."""
    sx = to_light[0, 0] * x + to_light[0, 1] * y + to_light[0, 2] * z + to_light[0, 3]
    sy = to_light[1, 0] * x + to_light[1, 1] * y + to_light[1, 2] * z + to_light[1, 3]
    sz = to_light[2, 0] * x + to_light[2, 1] * y + to_light[2, 2] * z + to_light[2, 3]
    size = shadow_map.shape[0]
    ix, iy, hidden, count = int(sx), int(sy), 0.0, 0
    for jy in range(-1, 2):
        for jx in range(-1, 2):
            u, v = ix + jx, iy + jy
            if 0 <= u < size and 0 <= v < size:
                count += 1
                if shadow_map[v, u] > sz + 0.075:
                    hidden += 1
    return 1 - hidden / count if count > 0 else 1.0


@njit(cache=True, fastmath=True)
def shade(
    hit, weights, triangles, materials, positions, normals, rest, masks, occlusion,
    look, palette, light, shadow_map, to_light, size,
):  # fmt: skip
    """Linear RGB (S, S, 3). `light` is the direction to the key light, `to_light` (3, 4) its shadow map's camera."""
    out = np.zeros((size, size, 3), np.float32)
    for y in range(size):
        for x in range(size):
            t = hit[y, x]
            if t < 0:
                u, v = x / size - 0.5, y / size
                vignette = 1 - 0.55 * (u * u + (v - 0.45) ** 2)
                for k in range(3):
                    out[y, x, k] = (palette.top[k] * (1 - v) + palette.bottom[k] * v) * vignette
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            w1, w2 = weights[y, x, 0], weights[y, x, 1]
            w0 = 1 - w1 - w2
            nx = w0 * normals[a, 0] + w1 * normals[b, 0] + w2 * normals[c, 0]
            ny = w0 * normals[a, 1] + w1 * normals[b, 1] + w2 * normals[c, 1]
            nz = w0 * normals[a, 2] + w1 * normals[b, 2] + w2 * normals[c, 2]
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            nx /= length
            ny /= length
            nz /= length
            if nz < 0 and materials[t] == LONG_HAIR:  # its hull is seen from inside too
                nx, ny, nz = -nx, -ny, -nz
            rx = w0 * rest[a, 0] + w1 * rest[b, 0] + w2 * rest[c, 0]
            ry = w0 * rest[a, 1] + w1 * rest[b, 1] + w2 * rest[c, 1]
            rz = w0 * rest[a, 2] + w1 * rest[b, 2] + w2 * rest[c, 2]
            px = w0 * positions[a, 0] + w1 * positions[b, 0] + w2 * positions[c, 0]
            py = w0 * positions[a, 1] + w1 * positions[b, 1] + w2 * positions[c, 1]
            pz = w0 * positions[a, 2] + w1 * positions[b, 2] + w2 * positions[c, 2]
            open_sky = w0 * occlusion[a] + w1 * occlusion[b] + w2 * occlusion[c]

            material = materials[t]
            specular, gloss, wrap = 0.0, 20.0, 0.0
            if material == SKIN:
                lips = w0 * masks[a, 0] + w1 * masks[b, 0] + w2 * masks[c, 0]
                ear = w0 * masks[a, 1] + w1 * masks[b, 1] + w2 * masks[c, 1]
                red, green, blue, specular, gloss, wrap = paint_skin(rx, ry, rz, lips, ear, look, palette)
            elif material == EYE:
                red, green, blue = paint_eye(rx, ry, rz, look, palette)
                specular, gloss, wrap = 1.1, 90.0, 0.3
                open_sky = 0.62 + 0.38 * smoothstep(-0.15, 0.04, -(ry - EYE_Y) + 0.02)
            elif material == TEETH:
                red, green, blue = 0.78, 0.74, 0.66
                specular, wrap = 0.3, 0.3
                open_sky *= 0.9
            elif material == TONGUE:
                red, green, blue = 0.45, 0.14, 0.13
                wrap = 0.3
            elif material == FRAME:
                red, green, blue = palette.frame[0], palette.frame[1], palette.frame[2]
                specular, gloss, open_sky = 0.5, 40.0, 1.0
            else:
                red, green, blue, specular = paint_hair(rx, ry, rz, look, palette)
                gloss, wrap = 14.0, 0.25
                open_sky *= 0.55 + 0.45 * smoothstep(6.2, 7.8, ry)

            lit = lit_share(px, py, pz, shadow_map, to_light)
            facing = nx * light[0] + ny * light[1] + nz * light[2]
            key_r = max(0.0, (facing + wrap) / (1 + wrap))  # red wraps furthest: light bleeds through skin
            key_g = max(0.0, (facing + wrap * 0.55) / (1 + wrap * 0.55))
            key_b = max(0.0, (facing + wrap * 0.4) / (1 + wrap * 0.4))
            if material == EYE:
                lit = 0.5 + 0.5 * lit
            up = 0.5 + 0.5 * ny
            around = (0.72 + 0.28 * up) * open_sky * look.ambient
            hx, hy, hz = light[0], light[1], light[2] + 1.0
            length = math.sqrt(hx * hx + hy * hy + hz * hz)
            half = max(0.0, (nx * hx + ny * hy + nz * hz) / length)
            shine = specular * half**gloss * lit * look.key * max(0.0, min(1.0, facing * 4))
            rim = look.rim * (1 - max(0.0, nz)) ** 3 * (0.4 + 0.6 * up) * open_sky
            red = red * (look.key * key_r * lit * palette.key[0] + around * palette.ambient[0] + rim) + shine
            green = green * (look.key * key_g * lit * palette.key[1] + around * palette.ambient[1] + rim) + shine
            blue = blue * (look.key * key_b * lit * palette.key[2] + around * palette.ambient[2] + rim) + shine
            if look.tint > 0.01 and material != FRAME and rz > 0.9:  # sunglasses, painted round the eyes
                ex, ey = (abs(rx) - 0.335) / 0.255, (ry - 7.25) / 0.21
                glass = look.tint * (1 - smoothstep(0.9, 1.06, (ex * ex * ex * ex + ey * ey * ey * ey) ** 0.25))
                red *= 1 - glass * 0.93
                green *= 1 - glass * 0.93
                blue *= 1 - glass * 0.91
            out[y, x, 0] = red
            out[y, x, 1] = green
            out[y, x, 2] = blue
    return out
