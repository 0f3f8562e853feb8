"""Fitting: directions of a generator for which there is no pack, found on the spot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eigan.errors import lookup
from eigan.pack import MAX_NAME, DirectionPack

from ..comfy import DirectionPackType, GanGeneratorType, GanNode, Progress, io
from ..values import GanGenerator
from .latents import class_of
from .loaders import CATEGORY

if TYPE_CHECKING:
    from hub_export.methods.base import Progress as Report

METHODS = ("sefa", "pca")
MAX_FITTED = 512


class EiganFitDirections(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganFitDirections",
            display_name="Fit Directions",
            category=CATEGORY,
            description=(
                "Finds directions of any generator in seconds, without a pack: SeFa reads them off the weights, PCA "
                "off the codes of many seeds. The same settings give the same directions. They are numbered, not named."
            ),
            inputs=[
                GanGeneratorType.Input("generator", tooltip="The generator to find directions of."),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default="sefa",
                    tooltip="sefa: the directions that the weights answer to most. pca: those along which codes vary "
                    "most; of a generator whose codes vary alike everywhere, what its first layer makes of them.",
                ),
                io.Int.Input(
                    "num_directions",
                    default=0,
                    min=0,
                    max=MAX_FITTED,
                    optional=True,
                    tooltip="How many, the strongest first. 0: as eigan's app, 40, of which SeFa takes 24 from the "
                    "early, middle and late layers.",
                ),
                io.String.Input(
                    "layers",
                    default="",
                    optional=True,
                    placeholder="as the app",
                    tooltip="Layers that the directions move, and that SeFa reads: all, 8, or 8-11. Empty: as eigan's "
                    "app.",
                ),
                io.String.Input(
                    "class_name",
                    default="",
                    optional=True,
                    tooltip="The one class to draw, of a generator that has classes: its number or ImageNet name. PCA "
                    "of BigGAN wants one. Empty: as eigan's app.",
                ),
            ],
            outputs=[DirectionPackType.Output("pack", display_name="pack", tooltip="The directions found, numbered.")],
        )

    @classmethod
    def run(
        cls, generator: GanGenerator, method: str, num_directions: int = 0, layers: str = "", class_name: str = ""
    ) -> io.NodeOutput:
        lookup(dict.fromkeys(METHODS), method, "method")
        chosen = class_of(generator.generator, class_name) if class_name.strip() else None
        generator.ready()
        bar = Progress(100)

        def report(done: int, total: int, what: str) -> None:
            bar.at(done, total)

        if not num_directions and not layers.strip() and chosen is None:
            return io.NodeOutput(fitted_as_in_the_app(generator, method, report))
        return io.NodeOutput(fitted(generator, method, num_directions, layers.strip(), chosen, report))


def fitted_as_in_the_app(gan: GanGenerator, method: str, report: Report) -> DirectionPack:
    """The pack that "sefa:<generator>" names in recipes, which so name its directions. Raises FitError."""
    from eigan.ui.fitting import FitSource, fit_pack, parse_fit

    pack = fit_pack(FitSource(method, gan.source), gan.generator, report)
    return pack if parse_fit(pack.source) else replace(pack, source="")


def fitted(
    gan: GanGenerator, method: str, num_directions: int, layers: str, class_index: int | None, report: Report
) -> DirectionPack:
    """Directions by one's own settings, drawn from as many codes as the app does. No recipe can name them: those of
    their edits carry codes.

    num_directions: 0 for the app's. layers: "" for all.

    Raises:
        FitError: more than there are, or the method finds nothing there. PackFormatError: no such layers.
    """
    from eigan.ui import fitting
    from hub_export.fit import fit
    from hub_export.recipe import Recipe

    generator = gan.generator
    num_samples = fitting.SIGMA_SAMPLES if method == "sefa" else fitting.num_samples(generator)
    recipe = Recipe(method, num_directions or None, num_samples, layers=layers or "all", class_index=class_index)
    if not num_directions:
        most = recipe.resolve(generator).num_directions or fitting.NUM_DIRECTIONS
        recipe = replace(recipe, num_directions=min(fitting.NUM_DIRECTIONS, most))
    pack = fit(generator, recipe, progress=report)
    words = [f"{fitting.FIT_METHODS[method]} of {fitting.short_name(gan.source)}", f"{len(pack)} directions"]
    words += [f"layers {layers}"] if layers else []
    words += [] if class_index is None else [f"class {class_index}"]
    description = f"Directions that {words[0]} finds, fitted on the spot and not named yet."
    return replace(pack, name=", ".join(words)[:MAX_NAME], description=description, source="")
