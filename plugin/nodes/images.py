"""Pictures: drawn from a latent and an edit, exactly as eigan draws them."""

from __future__ import annotations

from eigan.errors import InvalidCodes
from eigan.generators.base import NOISE_MODES

from ..comfy import GanEditType, GanGeneratorType, GanLatentType, GanNode, draw, io, to_image
from ..recipe_text import to_lines
from ..values import GanEdit, GanGenerator, GanLatent, recipes

CATEGORY = "GAN edit/image"
AS_EDIT = "as the edit"


class EiganRender(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganRender",
            display_name="Render",
            category=CATEGORY,
            description=(
                "Draws the pictures of a latent after an edit, and says their recipes, from which eigan's app draws "
                "the same pixels. When an edit of late layers changes, only the late layers are computed again."
            ),
            inputs=[
                GanGeneratorType.Input("generator", tooltip="The generator that the latent was made with."),
                GanLatentType.Input("latent", tooltip="Where the pictures start."),
                GanEditType.Input("edit", optional=True, tooltip="What is done to them. Nothing when left open."),
                io.Combo.Input(
                    "noise_mode",
                    options=[AS_EDIT, *NOISE_MODES],
                    default=AS_EDIT,
                    optional=True,
                    tooltip="The fine random detail of StyleGAN 1 and 2: const is always the same, none is smooth. "
                    "As the edit: what a loaded recipe says, else const.",
                ),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="The pictures, one for each of the latent's."),
                io.String.Output(
                    "recipe",
                    display_name="recipe",
                    tooltip="The pictures' recipes, JSON, one a line: for Save Recipe, or to paste into Load Recipe.",
                ),
            ],
        )

    @classmethod
    def run(
        cls, generator: GanGenerator, latent: GanLatent, edit: GanEdit | None = None, noise_mode: str = AS_EDIT
    ) -> io.NodeOutput:
        if noise_mode not in (AS_EDIT, *NOISE_MODES):
            raise InvalidCodes(f"unknown noise mode {noise_mode!r}; known: {', '.join((AS_EDIT, *NOISE_MODES))}")
        whole = (edit or GanEdit()).drawn(next((mode for mode in NOISE_MODES if mode == noise_mode), None))
        latent.check_fits(generator.generator)
        whole.check_fits(generator.generator)
        applied = whole.edit()
        pictures = draw(generator.ready(), latent.codes, edit=applied, noise_mode=whole.noise_mode, pose=whole.pose)
        return io.NodeOutput(to_image(pictures), to_lines(recipes(generator, latent, whole)))
