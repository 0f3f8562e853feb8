"""What else a slider moves, in a few words, from what was measured of its pack. No Gradio."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from eigan import sources
from eigan.errors import EiganError
from eigan.pack import DirectionPack

log = logging.getLogger(__name__)

# The bundled scorer's short names in full; names of other scorers are shown as they are.
WORDS = {
    "width": "width of the face",
    "height": "height of the face",
    "nosel": "length of the nose",
    "mouthw": "width of the mouth",
    "chinw": "width of the chin",
    "chinp": "pointed chin",
    "eyesep": "space of the eyes",
    "cheekb": "cheekbones",
    "fat": "fullness",
    "square": "square head",
    "open": "open mouth",
    "brow": "raised brows",
    "gaze_x": "gaze",
    "yaw": "turn",
    "pitch": "nod",
    "roll": "tilt",
    "zoom": "size",
    "tx": "place",
    "ty": "height",
    "light_az": "side of the light",
    "light_el": "height of the light",
    "light_key": "lamp",
    "ambient": "room light",
    "warm": "warm light",
    "bg_hue_sin": "hue of the backdrop",
    "bg_hue_cos": "hue of the backdrop",
    "bg_sat": "colour of the backdrop",
    "bg_val": "light of the backdrop",
    "shirt_val": "light of the shirt",
    "hair_tone": "tone of the hair",
    "red": "red hair",
    "grey": "grey hair",
    "hair_on": "hair",
    "hair_len": "long hair",
    "hair_vol": "full hair",
    "hair_side": "hair at the sides",
    "sweep": "side of the parting",
    "recede": "high forehead",
    "tint": "tint of the glasses",
    "eye_tone": "tone of the eyes",
    "browd": "dense brows",
    "cheek": "cheeks",
}


def hints_of(packs: Sequence[DirectionPack], combined: DirectionPack) -> dict[str, str]:
    """Direction of `combined` -> "also moves fringe +, age −"; those of which nothing was measured are left out.

    packs: the parts of `combined`, in order, as `eigan.combine` took them.
    """
    hints: dict[str, str] = {}
    names = iter(combined.names)
    for pack in packs:
        found = _measured(pack)
        for own, name in zip(pack.names, names, strict=False):
            if own in found:
                hints[name] = found[own]
    return hints


def _measured(pack: DirectionPack) -> dict[str, str]:
    from hub_export.metrics import MAX_METRICS_BYTES, METRICS, read_metrics
    from hub_export.summary import others

    try:
        data = sources.pack_file(pack, METRICS, MAX_METRICS_BYTES)
        metrics = read_metrics(data) if data else None
    except EiganError as error:  # a pack without evidence is a pack all the same
        log.warning("what was measured of %s cannot be read: %s", pack.source, error)
        return {}
    if metrics is None or metrics.generator != pack.made_for.fingerprint:
        return {}
    told = ((entry.name, others(entry)) for entry in metrics.directions if entry.main)
    return {name: _words(moved) for name, moved in told}


def _words(moved: Sequence[tuple[str, float]]) -> str:
    if not moved:
        return "moves little else"
    return "also moves " + ", ".join(
        f"{WORDS.get(name, name)}\u00a0{'+' if value > 0 else '−'}" for name, value in moved
    )
