"""Throw-away bundles for the app's tests: a randomly initialised generator and packs that fit it."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from eigan.generators.stylegan2 import StyleGAN2
from eigan.layers import LayerRange
from eigan.pack import Direction, DirectionPack, MadeFor, Preset
from eigan.readers.safetensors import save_generator
from tests.toys import toy_generator

WORDS = {
    "smile": (("closed", "open"), (2, 5), (-3.0, 3.0)),
    "age": (("younger", "older"), (0, 8), (-2.5, 4.0)),
    "light": (("from the left", "from the right"), (5, 8), (-3.0, 3.0)),
    "hair": (("short", "long"), (3, 4), (-1.0, 3.0)),
    "background": (("", ""), (6, 8), (-3.0, 3.0)),
}
HOSTILE = {
    "name": "<img src=x onerror=window.pwned=1>",
    "direction": "<script>window.pwned=2</script>",
    "pole": "<img src=//evil.test/a.png onerror=window.pwned=3>",
    "other pole": "![x](http://evil.test/b.png) **bold** ${window.pwned=4} {{7*7}}",
    "preset": '"><svg onload=window.pwned=5>',
    "description": "<iframe src=javascript:window.pwned=6></iframe> [click](javascript:window.pwned=7)",
}


def direction(generator: StyleGAN2, name: str, index: int, **values: object) -> Direction:
    vector = torch.randn(generator.code_dim, generator=torch.Generator().manual_seed(100 + index))
    given: dict[str, object] = {"sigma": 0.6, "layers": LayerRange(0, generator.num_layers)}
    return Direction(name=name, vector=vector / vector.norm(), **(given | values))  # type: ignore[arg-type]


def words_pack(generator: StyleGAN2) -> DirectionPack:
    """Five named directions and two presets."""
    directions = [
        direction(generator, name, i, poles=poles, layers=LayerRange(*layers), amount_range=ends)
        for i, (name, (poles, layers, ends)) in enumerate(WORDS.items())
    ]
    presets = (
        Preset("older and happy", {"smile": 2.0, "age": 1.5}),
        Preset("evening", {"light": -2.5, "background": 1.0}),
    )
    made_for, method = MadeFor.describe(generator), {"name": "pca", "seed": 0}
    return DirectionPack(
        "Toy words", made_for, tuple(directions), method, presets, "Random weights, for tests.", "cc0-1.0", "1.0.0"
    )


def many_pack(generator: StyleGAN2) -> DirectionPack:
    """Forty unnamed components, more than the page shows at once."""
    directions = tuple(direction(generator, f"component {i}", i) for i in range(40))
    return DirectionPack("Toy components", MadeFor.describe(generator), directions, {"name": "sefa"}, license="cc0-1.0")


def hostile_pack(generator: StyleGAN2) -> DirectionPack:
    """Every text a pack may hold tries to be more than text."""
    poles = (HOSTILE["pole"], HOSTILE["other pole"])
    bad = direction(generator, HOSTILE["direction"], 0, poles=poles, description=HOSTILE["description"])
    named = direction(generator, HOSTILE["name"], 1, description=HOSTILE["description"])
    presets = (Preset(HOSTILE["preset"], {bad.name: 1.0, named.name: -1.0}, HOSTILE["description"]),)
    made_for, method = MadeFor.describe(generator), {"name": HOSTILE["pole"]}
    return DirectionPack(
        HOSTILE["name"], made_for, (bad, named), method, presets, HOSTILE["description"], HOSTILE["pole"]
    )


def write_bundles(root: Path) -> Path:
    """A folder for $EIGAN_DIRECTIONS: one generator, two packs."""
    generator = toy_generator()
    save_generator(generator, root / "toy", license="cc0-1.0")
    generator.source = "toy"
    words_pack(generator).save(root / "toy-words")
    many_pack(generator).save(root / "toy-sefa")
    return root


if __name__ == "__main__":
    write_bundles(Path(sys.argv[1]))
