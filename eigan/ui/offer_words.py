"""The rows, tables and captions of a comparison: plain text for the rows' script, escaped HTML. No Gradio."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

from PIL import Image

from eigan.pack import DirectionPack
from eigan.recipe import PictureRecipe
from eigan.ui.cite import pack_address, version_words
from eigan.ui.hints import WORDS
from eigan.ui.history import describe, thumbnail
from eigan.ui.labels import escape_html
from eigan.ui.offers import Offer
from eigan.ui.rivals import Rival, method_words
from hub_export.summary import MAX_LEAK, MIN_MONOTONICITY, summarize

TILE = 192  # pixels; larger pictures are shown smaller, and not to the last bit
HEAD = ("pack", "direction", "amount", "per sigma", "share", "leak", "monotone", "drift", "cosine")
WHOLE_HEAD = ("pack", "directions", "mean purity", "mean leak", "attributes controlled")
ABOUT_NUMBERS = (
    "<b>share</b>: of the attribute in all that the direction moves. <b>leak</b>: the strongest other attribute, "
    "relative to it. <b>monotone</b>: rank correlation with the slider. <b>drift</b>: how far one sigma moves the "
    "picture, 1 being the distance of two random pictures. <b>cosine</b>: between what the two edits add to the codes. "
    f"<b>controlled</b>: monotone at least {MIN_MONOTONICITY}, leak at most {MAX_LEAK}."
)


def row_value(offer: Offer) -> dict[str, Any]:
    """One row for the browser: plain text and pictures."""
    rival, numbers = offer.rival, offer.rival.numbers
    pack, unders = rival.contender.pack, (rival.amounts[0], 0.0, rival.amounts[1])
    facts = [f"cosine {_cosine(rival)}"] if rival.reason != "chosen" else []
    if numbers is not None and numbers.leak is not None and (rival.attribute or rival.reason == "chosen"):
        facts.append(f"leak {numbers.leak:.2f}")
    return {
        "title": _capital(method_words(pack)),
        "pack": " ".join(filter(None, [pack.name, pack.version])),
        "edit": f"{rival.direction.name} {signed(rival.amounts[1])}",
        "facts": facts,
        "note": note(rival),
        "chosen": rival.reason == "chosen",
        "pictures": [
            {
                "src": tile_address(picture),
                "words": f"{pack.name}: {rival.direction.name} {signed(at)}" if at else "without the edit",
                "under": signed(at) if at else "0",
            }
            for picture, at in zip(offer.pictures, unders, strict=True)
        ],
    }


def note(rival: Rival) -> str:
    """Why this direction, in a few words; "" for the one that does the same."""
    if rival.reason == "chosen":
        return "the edit compared with"
    short = f"its slider ends at {rival.reach:.0%} of the way" if rival.is_short else ""
    return ", ".join(filter(None, ["not measured: nearest by cosine" if rival.reason == "cosine" else "", short]))


def caption(recipe: PictureRecipe, offers: Sequence[Offer]) -> str:
    """HTML: what the rows were drawn on, and what they have in common."""
    chosen = offers[0]
    rival, entry = chosen.rival, chosen.rival.numbers
    beside = {name: amount for name, amount in recipe.amounts.items() if name != chosen.name}
    lines = [f"Drawn on {describe(replace(recipe, amounts=beside))}."]
    if rival.attribute and entry is not None:
        far, metrics = signed(entry.effect * rival.amounts[1]), rival.contender.metrics
        what, on = WORDS.get(rival.attribute, rival.attribute), f" on {metrics.num_seeds:,} pictures" if metrics else ""
        lines.append(
            f"The same edit is the one that moves {what} by {far} standard deviations, as measured by hub-export "
            f"evaluate{on}; of a pack that was not measured, the direction that is most nearly parallel, moved as far."
        )
    else:
        lines.append(
            "What it moves was not measured: shown is what is most nearly parallel, moved as far in the codes."
        )
    return f'<p class="about">{escape_html(" ".join(lines))}</p>'


def about_numbers(offers: Sequence[Offer]) -> str:
    """HTML: everything that was measured of what is compared, and how to read it."""
    return numbers_table(offers) + whole_table(offers) + f'<p class="about">{ABOUT_NUMBERS}</p>'


def numbers_table(offers: Sequence[Offer]) -> str:
    """HTML: what was measured of the directions that make the edit."""
    return _table("The edit, by direction", "edit", HEAD, [_cells(offer.rival) for offer in offers])


def whole_table(offers: Sequence[Offer]) -> str:
    """HTML: what was measured of the packs as a whole."""
    rows = []
    for offer in offers:
        contender = offer.rival.contender
        found = summarize(contender.metrics) if contender.metrics else None
        means = [_number(value) for value in ((found.purity, found.leak) if found else (None, None))]
        rows.append(
            [contender.pack.name, str(len(contender.pack)), *means, str(len(found.controlled)) if found else "–"]
        )
    return _table("All directions of each pack", "whole", WHOLE_HEAD, rows)


def cited_list(packs: Sequence[DirectionPack]) -> str:
    """HTML: which packs these are, to the version and the commit."""
    items = []
    for pack in packs:
        facts = [version_words(pack), pack.license, pack_address(pack), f"weights {pack.made_for.fingerprint[:12]}"]
        items.append(f"<li><b>{escape_html(pack.name)}</b> {escape_html(', '.join(filter(None, facts)))}</li>")
    return f"<ul>{''.join(items)}</ul>"


def signed(value: float) -> str:
    """'+1.5', '−0.25': with the sign that people read."""
    return f"{value:+.2f}".rstrip("0").rstrip(".").replace("-", "−")


def tile_address(picture: Image.Image) -> str:
    """`picture` as a data address: to the last bit where it is small, else shrunk."""
    if picture.width > TILE:
        return thumbnail(picture, TILE)
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _cells(rival: Rival) -> list[str]:
    numbers, entry = rival.numbers, rival.contender.entry(rival.direction)
    attribute = rival.attribute or (entry.main if entry else "")
    measured = ["–"] * 5
    if numbers is not None:
        measured = [
            f"{WORDS.get(attribute, attribute)} {signed(numbers.effect)}",
            *(_number(value) for value in (numbers.share, numbers.leak, numbers.monotonicity, numbers.drift)),
        ]
    name = rival.contender.pack.name
    return [name, rival.direction.name, signed(rival.amounts[1]), *measured, _cosine(rival)]


def _table(title: str, kind: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f'<th scope="col">{escape_html(cell)}</th>' for cell in head)
    body = "".join(f'<tr><th scope="row">{escape_html(row[0])}</th>{_data(row[1:])}</tr>' for row in rows)
    return (
        f'<div class="numbers {kind}" tabindex="0"><table><caption>{escape_html(title)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cosine(rival: Rival) -> str:
    return f"{rival.cosine:+.2f}".replace("-", "−")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _data(cells: Sequence[str]) -> str:
    return "".join(f"<td>{escape_html(cell)}</td>" for cell in cells)
