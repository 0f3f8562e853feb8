"""Edits that GANSpace's interactive app exports (.pkl), and the steerability pickles that it ships.

GANSpace: arXiv:2004.02546, interactive.py export_direction, commit 5a704c4: w[l] += slider * stdev * direction on the
layers [edit_start, edit_end), before truncation in StyleGAN2, after it in BigGAN; StyleGAN has none.
"""

from __future__ import annotations

import math
from typing import Any

from eigan.errors import PackFormatError
from eigan.importers.base import (
    Composition,
    Contents,
    Move,
    Opened,
    Request,
    Space,
    check_cost,
    clean_text,
    is_leaf,
    read_numbers,
    read_rows,
    shape_of,
    taken,
    unique,
)
from eigan.pack import MAX_DIRECTIONS

EDIT_KEYS = {"lat_comp", "latent_space", "edit_start", "edit_end"}
SPACES: dict[object, Space] = {"W": "w", "Z": "z"}
TRUNCATED_AFTER = ("stylegan2",)  # models whose pictures are truncated after the edit, by psi below 1
KEPT = ("model_name", "output_class", "component_index", "edit_type", "truncation", "example_seed", "sigma_range")
KEPT_DECOMPOSITION = ("name", "components", "samples", "layer", "class_name")
MAX_NUMBER = 1e6


def sniff(file: Opened) -> bool:
    return file.container == "pickle" and isinstance(file.value, dict) and set(file.value) >= EDIT_KEYS


def read(file: Opened, request: Request) -> Contents:
    """The one direction of an exported edit, with the slider's value at export as a preset.

    Raises:
        PackFormatError: fields that are missing or of another type, or an edit of activations.
    """
    fields = file.value
    space = SPACES.get(fields["latent_space"]) if isinstance(fields["latent_space"], str) else None
    if space is None:
        raise PackFormatError("latent_space is neither 'W' nor 'Z'; the file is no edit that GANSpace exported")
    if fields.get("edit_type", "latent") == "activation":
        raise PackFormatError("it is an edit of activations; only edits of codes can be directions")
    name = clean_text(fields.get("name")) or clean_text(file.stem) or "edit"
    slider = number(fields, "sigma_range", 0.0)
    layers = whole(fields, "edit_start"), whole(fields, "edit_end")
    sigma = number(fields, "lat_stdev", 0.0) if space == "w" and "lat_stdev" in fields else None
    psi = tuned_psi(fields, space)
    if request.layers is not None:
        layers = (request.layers.start, request.layers.stop)
    component = fields.get("component_index")
    move = Move(
        name,
        read_rows(fields["lat_comp"], "lat_comp")[0],
        sigma=sigma,
        layers=layers,
        amounts=(slider,) if slider else (),
        psi=psi,
        description=f"Exported from GANSpace with the slider at {slider:g}"
        + (f", at psi {psi:g}, which shortened it." if psi != 1 else "."),
        metrics={"component": float(component)} if type(component) is int and 0 <= component < MAX_NUMBER else {},
    )
    preset = Composition(f"{name[:60]} as saved", {name: slider}, "The slider as it stood when the edit was exported.")
    return Contents(
        moves=(move,),
        unit="sigma of the file" if sigma is not None else "length of the vector; GANSpace's own sigma is 1 in z",
        space=space,
        space_from="the file",
        compositions=(preset,) if slider else (),
        description="An edit exported from GANSpace (Härkönen et al., NeurIPS 2020, arXiv:2004.02546).",
        origin={"fields": plain(fields, KEPT), "decomposition": plain(fields.get("decomposition"), KEPT_DECOMPOSITION)},
    )


def tuned_psi(fields: dict[Any, Any], space: Space) -> float:
    """By how much truncation shortened the edit in GANSpace's own picture; see the table in `convert.py`."""
    model = clean_text(fields.get("model_name")).lower()
    psi = number(fields, "truncation", 1.0)
    return psi if space == "w" and model in TRUNCATED_AFTER and 0 < psi < 1 else 1.0


def number(fields: dict[Any, Any], key: str, default: float) -> float:
    """The finite number under `key`. Raises PackFormatError."""
    value = fields.get(key, default)
    if is_leaf(value) and math.prod(shape_of(value) or (2,)) == 1:
        value = float(read_numbers(value, key).reshape(()))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= MAX_NUMBER:
        raise PackFormatError(f"{key} is no number between -{MAX_NUMBER:g} and {MAX_NUMBER:g}")
    return float(value)


def whole(fields: dict[Any, Any], key: str) -> int:
    value = number(fields, key, 0.0)
    if not value.is_integer():
        raise PackFormatError(f"{key} is {value:g}; wanted a whole number")
    return int(value)


def plain(fields: object, keys: tuple[str, ...]) -> dict[str, str | int | float]:
    """Those of the file's own fields that are short text or numbers, cleaned, for the record."""
    found: dict[str, str | int | float] = {}
    if not isinstance(fields, dict):
        return found
    for key in keys:
        value = fields.get(key)
        if isinstance(value, str):
            found[key] = clean_text(value)
        elif isinstance(value, (int, float)) and abs(value) <= 2**53 and math.isfinite(value):
            found[key] = value
    return found


def sniff_steering(file: Opened) -> bool:
    """{'w_zoom': (1, 128, 1)}: every value an array, every key a walk."""
    value = file.value
    return (
        file.container == "pickle"
        and isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) and key.startswith("w_") and is_leaf(item) for key, item in value.items())
    )


def read_steering(file: Opened, request: Request) -> Contents:
    """Walks of "On the steerability of GANs" (Jahanian et al., ICLR 2020, arXiv:1907.07171) in BigGAN's z."""
    items = list(file.value.items())[: taken(len(file.value), request)]
    if len(items) > MAX_DIRECTIONS:
        raise PackFormatError(f"it holds {len(items):,} walks; at most {MAX_DIRECTIONS:,} are read")
    check_cost((value for _, value in items), file.path.stat().st_size)
    names = unique([clean_text(key.removeprefix("w_").replace("_", " ")) or "walk" for key, _ in items])
    moves = tuple(
        Move(
            name, read_rows(value, clean_text(key))[0], description="A walk trained to imitate an edit of the picture."
        )
        for name, (key, value) in zip(names, items, strict=True)
    )
    return Contents(
        moves=moves,
        unit="length of the vector",
        space="z",
        space_from="the file",
        description="Walks of On the steerability of generative adversarial networks (arXiv:1907.07171).",
    )
