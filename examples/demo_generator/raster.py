"""Which triangle every pixel shows: vertex normals and a z-buffer in which long hair has cut edges. Numba kernels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

SKIN, EYE, TEETH, TONGUE, HAIR, FRAME, LONG_HAIR = range(7)  # materials


class Cut(NamedTuple):
    """Where long hair ends: below `length`, and over the face below `fringe` (slanted by `sweep`)."""

    length: float
    fringe: float
    sweep: float


@njit(cache=True, fastmath=True)
def vertex_normals(v, triangles):
    """Unit normals (V, 3), averaged over triangles by area."""
    n = np.zeros_like(v)
    for i in range(triangles.shape[0]):
        a, b, c = triangles[i, 0], triangles[i, 1], triangles[i, 2]
        ux, uy, uz = v[b, 0] - v[a, 0], v[b, 1] - v[a, 1], v[b, 2] - v[a, 2]
        wx, wy, wz = v[c, 0] - v[a, 0], v[c, 1] - v[a, 1], v[c, 2] - v[a, 2]
        x, y, z = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for k in (a, b, c):
            n[k, 0] += x
            n[k, 1] += y
            n[k, 2] += z
    for i in range(v.shape[0]):
        length = math.sqrt(n[i, 0] ** 2 + n[i, 1] ** 2 + n[i, 2] ** 2) + 1e-9
        n[i, 0] /= length
        n[i, 1] /= length
        n[i, 2] /= length
    return n


@njit(cache=True, fastmath=True)
def is_cut_away(x, y, z, cut):
    """Whether the hull of long hair has no hair at this rest-pose point."""
    if y < cut.length + 0.05 * math.sin(x * 21.0 + z * 9.0):
        return True
    side = abs(x)
    return (
        z > 0.62
        and side < 0.86 + 0.35 * max(0.0, 7.0 - y) * 0.3
        and y < cut.fringe + cut.sweep * x + 0.03 * math.sin(x * 40.0) - 0.9 * max(0.0, side - 0.55)
    )


@njit(cache=True, fastmath=True)
def rasterize(points, triangles, materials, rest, cut, size):
    """z-buffer (S, S), triangle per pixel (-1: none) and its second and third barycentric weights (S, S, 2).

    `points` (V, 3) are pixel x, pixel y and depth, larger is nearer.
    """
    depth = np.full((size, size), -1e9, np.float32)
    hit = np.full((size, size), -1, np.int32)
    weights = np.zeros((size, size, 2), np.float32)
    for i in range(triangles.shape[0]):
        a, b, c = triangles[i, 0], triangles[i, 1], triangles[i, 2]
        x0, y0, x1, y1, x2, y2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            continue
        left, right = max(0, math.floor(min(x0, x1, x2))), min(size - 1, math.ceil(max(x0, x1, x2)))
        top, bottom = max(0, math.floor(min(y0, y1, y2))), min(size - 1, math.ceil(max(y0, y1, y2)))
        inverse = 1.0 / area
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                px, py = x + 0.5, y + 0.5
                w1 = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inverse
                w2 = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inverse
                w0 = 1 - w1 - w2
                if w0 < -1e-5 or w1 < -1e-5 or w2 < -1e-5:
                    continue
                z = w0 * points[a, 2] + w1 * points[b, 2] + w2 * points[c, 2]
                if z <= depth[y, x]:
                    continue
                if materials[i] == LONG_HAIR:
                    rx = w0 * rest[a, 0] + w1 * rest[b, 0] + w2 * rest[c, 0]
                    ry = w0 * rest[a, 1] + w1 * rest[b, 1] + w2 * rest[c, 1]
                    rz = w0 * rest[a, 2] + w1 * rest[b, 2] + w2 * rest[c, 2]
                    if is_cut_away(rx, ry, rz, cut):
                        continue
                depth[y, x] = z
                hit[y, x] = i
                weights[y, x, 0] = w1
                weights[y, x, 1] = w2
    return depth, hit, weights
