"""What is varied between two heads, and how: 74 labelled factors with their distributions.

Chosen so that identity, age, hair, smile, pose and glasses lead: background, shirt and light stay in narrow ranges, or
they would take the first principal components of anything trained on the pictures.
"""

from __future__ import annotations

import numpy as np

Factors = dict[str, float]

# fmt: off
FACE_SHAPES = (
    "width", "height", "nosew", "nosel", "nosetip", "hump", "mouthw", "lipsup", "lipslo", "chinw", "chinp", "jaw",
    "eyesize", "eyetilt", "eyesep", "cheekb", "ears",
)
# fmt: on
HEAD_OUTLINES = ("oval", "round", "square", "tri")

# A mirrored picture has these factors negated; every other factor is unchanged by a mirror.
MIRRORED = ("yaw", "roll", "tx", "gaze_x", "light_az", "sweep")

# The geometry's three base heads. Needed to draw a varied population; never a label that a slider is named after.
INTERNAL = ("base_a", "base_b", "base_c")


def sample(rng: np.random.Generator) -> Factors:
    """One head: every entry is a continuous ground-truth factor (`glasses` and `hair_on` are 0 or 1).

    Ranges: `age` 0 is about 10 years, 0.25 about 25, 1 about 80; `gender` 0 female to 1 male; angles in radians;
    `tx`, `ty`, `zoom` as fractions of the picture; the rest in the units of their morph target (0 is neutral) or 0..1.
    """

    def normal(std: float, limit: float = 2.2) -> float:
        return float(np.clip(rng.normal(), -limit, limit) * std)

    def uniform(low: float = 0.0, high: float = 1.0) -> float:
        return float(rng.uniform(low, high))

    def unit(value: float) -> float:
        return float(np.clip(value, 0.0, 1.0))

    p: Factors = {}

    # identity
    p["gender"] = gender = unit(rng.beta(0.45, 0.45))
    p["age"] = age = unit(rng.beta(1.5, 1.7))
    p["base_a"], p["base_b"], p["base_c"] = base = [float(x) for x in rng.dirichlet([0.55] * 3)]
    p["skin"] = unit(0.80 * base[0] + 0.32 * base[1] + 0.15 * base[2] + normal(0.13))
    p["weight"] = normal(0.5)
    for name in FACE_SHAPES:
        p[name] = normal(0.3)
    p["fat"] = 0.45 * p["weight"] + normal(0.3)
    for name in HEAD_OUTLINES:
        p[name] = max(0.0, uniform(-0.5, 0.5))

    # expression
    p["smile"] = uniform(-0.35, 1.15)
    p["open"] = max(0.0, uniform(-0.8, 0.45))
    p["eyes"] = float(np.clip(-0.3 + normal(0.24), -1.0, 0.4))  # positive closes them
    p["brow"] = 0.15 + normal(0.4, 2.0)
    p["gaze_x"], p["gaze_y"] = normal(0.14), normal(0.06)

    # pose
    p["yaw"], p["pitch"], p["roll"] = normal(0.28, 2.0), normal(0.12, 2.0), normal(0.06)
    p["zoom"], p["tx"], p["ty"] = 0.11 + normal(0.04), normal(0.03), normal(0.03)

    # light, background, shirt
    p["light_az"], p["light_el"] = uniform(-0.7, 0.7), uniform(0.15, 0.8)
    p["light_key"], p["ambient"], p["warm"] = uniform(0.72, 1.05), uniform(0.36, 0.56), normal(0.45)
    p["bg_hue"], p["bg_sat"], p["bg_val"] = uniform(), uniform(0.06, 0.34), uniform(0.5, 0.86)
    p["shirt_hue"], p["shirt_sat"], p["shirt_val"] = uniform(), uniform(0.0, 0.4), uniform(0.15, 0.7)

    # hair
    old = max(0.0, (age - 0.25) / 0.75)
    bald = gender > 0.5 and uniform() < 0.10 + 0.25 * old
    long_haired = rng.beta(2.2, 1.6) if gender < 0.5 else rng.beta(0.8, 3.2)
    p["hair_tone"] = unit(uniform() * (0.35 + 0.75 * base[2]) - (0.1 if base[2] < 0.4 else 0.0))
    p["red"] = uniform() if uniform() < 0.15 else 0.0
    p["grey"] = unit((old - 0.45) * 1.8 + normal(0.25))
    p["hair_on"] = 0.0 if bald else 1.0
    p["hair_len"] = 0.0 if bald else unit(long_haired)  # below 0.22: a cap without hanging hair
    p["hair_vol"] = float(np.clip(uniform() ** 1.5, 0.08, 1.0))
    p["hair_side"] = uniform(0.1, 1.0)
    p["hair_curl"] = unit(uniform() * 0.7 + 0.8 * (base[0] - 0.3))
    p["fringe"], p["sweep"] = uniform(), normal(0.6)
    p["recede"] = unit(normal(0.3) + 0.5 * old * gender)
    p["beard"] = uniform(0.25, 1.0) if gender > 0.5 and age > 0.2 and uniform() < 0.5 else 0.0

    # glasses
    p["glasses"] = 1.0 if uniform() < 0.25 else 0.0
    p["tint"] = uniform(0.6, 1.0) if p["glasses"] and uniform() < 0.3 else 0.0
    p["frame_dark"], p["frame_size"] = uniform(), normal(0.5)

    # make-up, eyes, skin marks
    p["lipstick"] = uniform(0.3, 1.0) if gender < 0.5 and age > 0.2 and uniform() < 0.5 else 0.0
    p["makeup"] = uniform(0.2, 0.9) if p["lipstick"] else 0.0
    p["eye_tone"] = unit(uniform() * (0.3 + 0.8 * base[2]))
    p["browd"] = unit(0.25 + 0.5 * gender + normal(0.2))
    p["freckles"] = uniform(0.3, 1.0) if p["skin"] < 0.35 and uniform() < 0.15 else 0.0
    p["cheek"] = uniform(0.2, 1.0)
    return p
