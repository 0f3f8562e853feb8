"""The page about the bundled heads.

`python -m examples.demo_generator.page --data DATA --quality OUT --out docs/heads`

OUT is the folder that `evaluate --out` wrote. The words are in page.md.j2; every number is read from what was measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image

from eigan.edit import Edit
from eigan.format import read_extras, read_pack, write_folder
from eigan.generators.base import Generator
from eigan.latents import seeded_z
from eigan.pack import DirectionPack
from eigan.render import Renderer, grid
from eigan.sources import bundle_root, load_generator
from examples.demo_generator.data import load_split
from examples.demo_generator.naming import METHODS
from hub_export.markdown import escape
from hub_export.metrics import METRICS, Metrics, read_metrics
from hub_export.previews import contact_sheet, encode, preview_codes, slugs
from hub_export.summary import MAX_LEAK

TEMPLATE = Path(__file__).with_name("page.md.j2")
MARK = "<!-- a page of examples.demo_generator.page -->"
POSTER_ROWS, POSTER_COLUMNS = 8, 12
TILE = 128
SEEDS = (65, 28, 15, 80, 57, 14)
README = "README.md"


def enlarged(pictures: np.ndarray, size: int = TILE) -> np.ndarray:
    """Pictures (N, h, w, 3) as (N, size, size, 3)."""
    return np.stack([np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.LANCZOS)) for p in pictures])


def poster(generator: Generator) -> Image.Image:
    """96 seeds in a row at psi 0.7, none left out."""
    z = seeded_z(range(POSTER_ROWS * POSTER_COLUMNS), generator.z_dim)
    pictures = Renderer(generator).render(generator.mapping(z, truncation_psi=0.7))
    return grid(enlarged(pictures), columns=POSTER_COLUMNS)


def presets_picture(generator: Generator, pack: DirectionPack) -> Image.Image:
    """A row for each preset, on the same seeds; the first row is nobody's edit."""
    renderer, codes = Renderer(generator), preview_codes(generator, pack, SEEDS)
    edits = {"as they are": Edit(), **{preset.name: pack.edit(preset.amounts) for preset in pack.presets}}
    rows = [enlarged(renderer.render(codes, edit), 96) for edit in edits.values()]
    return contact_sheet(list(edits), rows)


def sliders(pack: DirectionPack, metrics: Metrics) -> list[dict[str, Any]]:
    """What the table says of each slider, in the pack's order."""
    entries = {entry.name: entry for entry in metrics.directions}
    found = []
    for direction, slug in zip(pack, slugs(pack.names), strict=True):
        entry = entries[direction.name]
        others = {name: value for name, value in entry.effects.items() if name != entry.main}
        along = max(others, key=lambda name: abs(others[name]), default="")
        low, high = direction.amount_range
        found.append(
            {
                "name": escape(direction.name),
                "poles": escape(" – ".join(direction.poles)),
                "factor": escape(entry.main),
                "layers": str(direction.layers),
                "range": f"{low:g} to {high:g}",
                "effect": f"{entry.effects.get(entry.main, 0.0):+.2f}",
                "leak": f"{entry.leak or 0:.2f}",
                "along": escape(along),
                "monotone": f"{entry.monotonicity:.3f}",
                "is_clean": (entry.leak or 0) <= MAX_LEAK,
                "strip": f"../../directions/{pack.name}/previews/{slug}.webp",
            }
        )
    return found


def read_bundled(name: str) -> tuple[DirectionPack, Metrics]:
    folder = bundle_root() / name
    return read_pack(folder), read_metrics(read_extras(folder)[METRICS])


def make_page(data: Path, quality: Path) -> dict[str, bytes]:
    """File name -> bytes."""
    generator = load_generator("heads-64")
    pack, metrics = read_bundled("heads")
    report = json.loads((quality / "quality.json").read_text())
    known = load_split(data, "held_out").images[: POSTER_COLUMNS * 4]
    pictures = {
        "poster.webp": encode(poster(generator)),
        "renders.webp": encode(grid(enlarged(known), columns=POSTER_COLUMNS)),
        "presets.webp": encode(presets_picture(generator, pack)),
        **{name: (quality / name).read_bytes() for name in ("quality.png", "quality.json")},
    }
    methods = {
        method: [d.name for d in read_bundled(f"heads-{method}")[0] if any(d.poles)]
        for method in METHODS
        if (bundle_root() / f"heads-{method}").is_dir()
    }
    template = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    text = template.from_string(TEMPLATE.read_text("utf-8")).render(
        mark=MARK,
        sliders=sliders(pack, metrics),
        clean_leak=MAX_LEAK,
        sources=sorted(map(escape, pack.method["sources"])),
        presets=[(escape(preset.name), escape(preset.description)) for preset in pack.presets],
        quality=report,
        methods={method: [escape(name) for name in names] for method, names in methods.items()},
    )
    return {README: text.encode(), **pictures}


def is_page(folder: Path) -> bool:
    page = folder / README
    return page.is_file() and MARK in page.read_text("utf-8", "replace")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quality", type=Path, required=True, help="folder with quality.json and quality.png")
    parser.add_argument("--out", type=Path, required=True, help="folder of the page: new, empty, or an earlier page")
    args = parser.parse_args()
    if args.out.is_dir() and any(args.out.iterdir()) and not is_page(args.out):
        parser.error(f"{args.out} holds other files; give an empty or new folder, or an earlier page")
    files = make_page(args.data, args.quality)
    write_folder(args.out, files, replaceable=is_page)
    print(f"{args.out}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
