"""The example workflows as what they are made of; `python -m tests.plugin.make_examples` exports them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from eigan.recipe import PictureRecipe


def to_lines(recipes: list[PictureRecipe]) -> str:
    """As Render writes them: one line each."""
    return "\n".join(json.dumps(json.loads(one.to_json())) for one in recipes)


@dataclass(frozen=True)
class Part:
    """A node of an example. at: where; wires: input -> (node, output), by their names; values: its widgets'."""

    kind: str
    at: tuple[int, int]
    wires: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    title: str = ""


Graph = dict[str, Part]
SHOWN = (230, 240)  # of a node with a picture


def note(text: str) -> Part:
    return Part("MarkdownNote", (0, -50), values={"": text}, size=(650, 110), title="Note")


def start(seed: int = 7) -> Graph:
    """Generator, pack and latent: the first two columns."""
    generator = {"generator": ("generator", "generator")}
    values = {"seed": seed, "truncation": 0.7}
    return {
        "generator": Part("EiganLoadGenerator", (0, 140), values={"generator_name": "heads-64"}, size=(300, 90)),
        "pack": Part("EiganLoadDirectionPack", (350, 140), generator, {"pack_name": "heads"}, (300, 130)),
        "latent": Part("EiganLatentFromSeed", (350, 340), generator, values, (300, 150)),
    }


def render(at: tuple[int, int], edit: str = "edit", latent: str = "latent", generator: str = "generator") -> Part:
    """With room for the picture that it shows of itself."""
    wires = {"generator": (generator, "generator"), "latent": (latent, "latent")}
    return Part("EiganRender", at, wires | ({"edit": (edit, "edit")} if edit else {}), size=(270, 390))


def shown(source: str, at: tuple[int, int], output: str = "images", title: str = "") -> Part:
    return Part("PreviewImage", at, {"images": (source, output)}, size=SHOWN, title=title)


ONE_SLIDER: Graph = {
    **start(),
    "edit": Part(
        "EiganEditDirection", (700, 140), {"pack": ("pack", "pack")}, {"direction": "smile", "amount": 3.0}, (300, 130)
    ),
    "render": render((1050, 140)),
    "picture": shown("render", (1370, 140)),
    "note": note(
        "**One slider.** Move `amount` and press Run: only the edit and the picture are made again.\n\nTo see it "
        "while you drag: Settings → GAN edit → *Redraw while a slider is dragged*."
    ),
}

PRESET_SLIDERS_KEEP: Graph = {
    **start(11),
    "preset": Part(
        "EiganApplyPreset",
        (700, 140),
        {"pack": ("pack", "pack")},
        {"preset": "Older and smiling", "intensity": 0.8},
        (300, 110),
    ),
    "sliders": Part(
        "EiganEditSliders",
        (700, 310),
        {"pack": ("pack", "pack"), "edit": ("preset", "edit")},
        {"page": 0, "amount_4": 2.0, "amount_6": -2.0},
        (300, 280),
    ),
    "edit": Part(
        "EiganKeep",
        (700, 650),
        {"pack": ("pack", "pack"), "edit": ("sliders", "edit")},
        {"directions": "glasses, backdrop"},
        (300, 130),
    ),
    "render": render((1050, 140)),
    "picture": shown("render", (1370, 140)),
    "which": Part(
        "PreviewAny", (1050, 590), {"source": ("sliders", "sliders")}, size=(550, 190), title="Which slider is which"
    ),
    "note": note(
        "**A preset, sliders on top, and what must stay.** Keep holds for the whole edit, wherever it stands in the "
        "chain."
    ),
}

SWEEP: Graph = {
    **start(3),
    "sweep": Part(
        "EiganSweep",
        (700, 140),
        {"generator": ("generator", "generator"), "latent": ("latent", "latent"), "pack": ("pack", "pack")},
        {"direction": "age", "low": -5.0, "high": 7.0, "steps": 7},
        (300, 460),
    ),
    "strip": Part("PreviewImage", (1050, 140), {"images": ("sweep", "strip")}, size=(550, 260), title="Strip"),
    "batch": Part("PreviewImage", (1050, 460), {"images": ("sweep", "images")}, size=(550, 300), title="Batch"),
    "note": note(
        "**A sweep.** One direction from end to end: as a strip with amounts, and as a batch for Save Image or video "
        "nodes."
    ),
}

FIT: Graph = {
    "generator": start()["generator"],
    "fit": Part(
        "EiganFitDirections", (350, 140), {"generator": ("generator", "generator")}, {"method": "sefa"}, (300, 140)
    ),
    "latent": replace(start(21)["latent"], at=(350, 350)),
    "edit": Part(
        "EiganEditSliders", (700, 140), {"pack": ("fit", "pack")}, {"amount_0": 3.0, "amount_2": -2.0}, (300, 280)
    ),
    "render": render((1050, 140)),
    "picture": shown("render", (1370, 140)),
    "sheet": Part(
        "EiganDescribePack",
        (0, 300),
        {"pack": ("fit", "pack"), "generator": ("generator", "generator")},
        size=(300, 700),
    ),
    "note": note(
        "**A generator without a pack.** Directions are fitted on the spot, in seconds; Describe Pack shows what each "
        "one does. For names, sigmas that were measured well and a page of its own: `hub-export fit`."
    ),
}

RECIPE = PictureRecipe("heads", 5, 0.7, amounts={"hair length": 2.0, "light side": 2.0})

RECIPE_IN_AND_OUT: Graph = {
    "loaded": Part("EiganLoadRecipe", (0, 140), values={"recipe": to_lines([RECIPE])}, size=(340, 330)),
    "edit": Part(
        "EiganEditDirection",
        (400, 140),
        {"pack": ("loaded", "pack"), "edit": ("loaded", "edit")},
        {"direction": "smile", "amount": -4.0},
        (300, 150),
    ),
    "render": render((760, 140), generator="loaded", latent="loaded"),
    "saved": Part(
        "EiganSaveRecipe",
        (1090, 140),
        {"recipe": ("render", "recipe"), "images": ("render", "images")},
        {"filename_prefix": "eigan/picture"},
        (300, 390),
    ),
    "note": note(
        "**A recipe in, a recipe out.** Paste one of eigan's app, or choose a PNG that it saved. Go on editing; the "
        "PNG that is saved opens in the app and, dropped here, as this workflow."
    ),
}

INVERT: Graph = {
    "generator": start()["generator"],
    "latent": replace(start(8)["latent"], at=(0, 300)),
    "pack": replace(start()["pack"], at=(0, 590)),
    "given": replace(render((350, 140), edit=""), title="A picture"),
    "inverted": Part(
        "EiganInvertImage",
        (680, 140),
        {"generator": ("generator", "generator"), "images": ("given", "images")},
        {"steps": 200, "seed": 0},
        (300, 520),
    ),
    "edit": Part(
        "EiganEditDirection", (350, 590), {"pack": ("pack", "pack")}, {"direction": "beard", "amount": 4.0}, (270, 130)
    ),
    "again": replace(render((1050, 140), edit="", latent="inverted"), title="As it was found"),
    "render": replace(render((1050, 590), latent="inverted"), title="Edited"),
    "found": shown("again", (1370, 140)),
    "picture": shown("render", (1370, 590)),
    "before": shown("given", (680, 720)),
    "note": note(
        "**A picture that has no seed.** Put Load Image in place of the first Render: aligned as the generator's own "
        "pictures are. Invert Image finds codes that draw it, which are edited like any other."
    ),
}

LAYERS: Graph = {
    **start(14),
    "first": Part(
        "EiganEditDirection", (700, 140), {"pack": ("pack", "pack")}, {"direction": "smile", "amount": 3.0}, (300, 130)
    ),
    "second": Part(
        "EiganApplyPreset",
        (700, 340),
        {"pack": ("pack", "pack")},
        {"preset": "Evening light", "intensity": 1.0},
        (300, 110),
    ),
    "saved": Part(
        "EiganSaveLayers",
        (1050, 140),
        {
            "generator": ("generator", "generator"),
            "latent": ("latent", "latent"),
            "edit_1": ("first", "edit"),
            "edit_2": ("second", "edit"),
        },
        {"filename_prefix": "eigan/layers"},
        (300, 490),
    ),
    "note": note(
        "**For painting.** One .ora file with a layer for each edit, the unedited picture at the bottom. Krita, GIMP "
        "and MyPaint open it."
    ),
}

EXAMPLES: dict[str, Graph] = {
    "1_one_slider": ONE_SLIDER,
    "2_preset_sliders_keep": PRESET_SLIDERS_KEEP,
    "3_sweep": SWEEP,
    "4_fit_on_the_spot": FIT,
    "5_recipe_in_and_out": RECIPE_IN_AND_OUT,
    "6_invert_then_edit": INVERT,
    "7_layers": LAYERS,
}
PICTURES = {  # the node whose picture becomes the thumbnail
    **dict.fromkeys(EXAMPLES, "picture"),
    "3_sweep": "strip",
    "5_recipe_in_and_out": "saved",
    "7_layers": "saved",
}
