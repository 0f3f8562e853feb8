"""What is in a pack: its directions, presets and provenance in words, and a sheet of what they do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from eigan import hub, sources
from eigan.errors import TAG, EiganError
from eigan.pack import Direction, DirectionPack
from eigan.plain_files import read_plain
from eigan.render import Pictures

from .. import comfy, opening
from ..comfy import DirectionPackType, GanGeneratorType, GanNode, Progress, io, to_image, ui
from ..values import GanGenerator
from .loaders import CATEGORY
from .sliders import about

MAX_SHEET_BYTES = 4 * 2**20
MAX_SHEET_PIXELS = 20_000_000
MAX_DRAWN = 24  # directions of a sheet that is drawn here
REACH = 0.6  # of the way to the ends of their ranges, as on the app's sheets
TILE = 128
MAX_LINE = 600  # characters
HUB_SECONDS = 12.0
NO_SHEET = "This pack ships no previews. Connect a generator, and they are drawn."


class EiganDescribePack(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganDescribePack",
            display_name="Describe Pack",
            category=CATEGORY,
            description=(
                "What a pack holds: the names of its directions with their poles, layers and ranges, what was measured "
                "of them, its presets, licence and where it comes from; and a sheet of pictures."
            ),
            inputs=[
                DirectionPackType.Input("pack", tooltip="The pack to describe."),
                GanGeneratorType.Input(
                    "generator",
                    optional=True,
                    tooltip=f"Its generator, to draw the sheet of a pack without previews: {MAX_DRAWN} directions, "
                    "three pictures each.",
                ),
            ],
            outputs=[
                io.String.Output("text", display_name="text", tooltip="What the pack holds, in lines."),
                io.Image.Output("sheet", display_name="sheet", tooltip="A picture of what its directions do."),
            ],
            is_output_node=True,
        )

    @classmethod
    def run(cls, pack: DirectionPack, generator: GanGenerator | None = None) -> io.NodeOutput:
        from eigan.ui.labels import shorten

        text = "\n".join(shorten(line, MAX_LINE) for line in lines_of(pack))
        text = TAG.sub(r"\\x3c", text)  # names are strangers' text, and the page may read HTML
        sheet = shipped_sheet(pack)
        if sheet is None:
            sheet = note(NO_SHEET) if generator is None else drawn_sheet(pack, generator)
        image = to_image(sheet[None])
        shown = {**ui.PreviewImage(image, cls=cls).as_dict(), **ui.PreviewText(text).as_dict()}
        return io.NodeOutput(text, image, ui=shown)


def lines_of(pack: DirectionPack) -> Iterator[str]:
    """The pack, line by line: facts, directions, presets."""
    from eigan.ui import cards
    from eigan.ui.hints import hints_of

    local = on_disk(pack)
    license, generators = pack.license, cards.generator_license(pack)
    yield f"{pack.name}{f' {pack.version}' if pack.version else ''}: {pack.description}".rstrip(": ")
    yield f"- Made for: {pack.made_for}"
    yield f"- From: {' at commit '.join(filter(None, (pack.source, pack.revision))) or 'this workflow alone'}"
    yield from (f"- Method: {line}" for line in cards.method_lines(pack))
    yield f"- Licence: {license or 'not stated'}"
    yield from (f"- Mind: {line}" for line in cards.warnings(license, generators))
    yield f"- Directions: {len(pack)}"
    hints = hints_of([local], local)
    yield from (f"- {direction_line(direction, hints.get(direction.name, ''))}" for direction in pack)
    if pack.presets:
        yield f"- Presets: {len(pack.presets)}"
    for preset in pack.presets:
        moves = ", ".join(f"{name} {amount:+g}" for name, amount in preset.amounts.items())
        yield f"- {preset.name}: {moves}{f'. {preset.description}' if preset.description else ''}"


def direction_line(direction: Direction, hint: str) -> str:
    """'smile: serious … smiling, layers 2-9, −6 to +4; sigma 0.802; also moves age +'."""
    parts = [about(direction), f"sigma {direction.sigma:.3g}"]
    parts += [f"{name.replace('_', ' ')} {value:.3g}" for name, value in direction.metrics.items()]
    parts += ["depends on the picture"] if direction.model is not None else []
    return " ".join("; ".join(filter(None, (*parts, hint, direction.description))).split())


def on_disk(pack: DirectionPack) -> DirectionPack:
    """`pack` with the folder that it lies in as its source, where that is one of models/gan_directions."""
    for name in comfy.listed(comfy.DIRECTIONS):
        if opening.named_in_recipe(comfy.DIRECTIONS, name) == pack.source:
            return replace(pack, source=str(comfy.find(comfy.DIRECTIONS, name).parent))
    return pack if sources.bundled_path(pack.source) or pack.revision else replace(pack, source="")


def shipped_sheet(pack: DirectionPack) -> Pictures | None:
    """(H, W, 3): the sheet in the pack's own folder, or in its repository; None where there is none to be had."""
    from hub_export.previews import CONTACT_SHEET

    try:
        folder = folder_with(pack, CONTACT_SHEET)
        return None if folder is None else decoded(read_plain(folder / CONTACT_SHEET, MAX_SHEET_BYTES))
    except (EiganError, OSError):  # the Hub's silence, too; the node has more to say than pictures
        return None


def folder_with(pack: DirectionPack, name: str) -> Path | None:
    """The folder where a file of the pack would lie, downloaded where it is of the Hub; None for fits. Raises HubError,
    TimeoutError."""
    source = on_disk(pack).source
    ref = hub.parse_ref(source) if pack.revision else None
    if ref is None:
        return sources.bundled_path(source) or (Path(source) if source else None)
    pinned = hub.HubRef(ref.repo_id, pack.revision)
    return hub.ask(
        lambda: hub.download(pinned, [name], max_bytes=MAX_SHEET_BYTES), attempts=1, deadline=HUB_SECONDS
    ).path


def decoded(data: bytes) -> Pictures | None:
    """The WebP as (H, W, 3); None where it is none, or larger than sheets are."""
    try:
        with Image.open(BytesIO(data), formats=("WEBP",)) as picture:
            if picture.width * picture.height > MAX_SHEET_PIXELS:
                return None
            return np.array(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def drawn_sheet(pack: DirectionPack, gan: GanGenerator) -> Pictures:
    """(H, W, 3): the first directions pushed both ways on seed 0. Raises PackMismatch, and ComfyUI's interrupt."""
    from hub_export.previews import contact_sheet, preview_codes, render_tiles

    pack.check_fits(gan.generator)
    renderer, rows = gan.ready(), []
    codes = preview_codes(gan.generator, pack, [0])
    directions = pack.directions[:MAX_DRAWN]
    bar = Progress(len(directions))
    for done, direction in enumerate(directions, start=1):
        low, high = direction.amount_range
        rows.append(render_tiles(renderer, codes, direction, (low * REACH, 0.0, high * REACH), TILE)[0])
        bar.at(done)
    return np.array(contact_sheet(pack.names, rows))


def note(words: str) -> Pictures:
    """(H, W, 3): a picture that says why there is none."""
    sheet, font = Image.new("RGB", (512, 64), "white"), ImageFont.load_default(13)
    ImageDraw.Draw(sheet).text((256, 32), words, "#333333", font, anchor="mm")
    return np.array(sheet)
