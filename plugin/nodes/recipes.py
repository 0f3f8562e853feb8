"""Recipes: what made a picture, in a PNG or as JSON, the same that eigan's app writes and opens."""

from __future__ import annotations

from torch import Tensor

from eigan.errors import PackFormatError
from eigan.pose import STILL
from eigan.whole_files import write_whole

from .. import opening
from ..comfy import (
    DirectionPackType,
    GanEditType,
    GanGeneratorType,
    GanLatentType,
    GanNode,
    digest,
    find_input,
    from_image,
    input_files,
    io,
    output_place,
    ui,
    workflow_texts,
)
from ..recipe_text import SUFFIXES, from_lines, read_recipe, to_png
from ..values import GanGenerator, edit_of, latent_of

CATEGORY = "GAN edit/recipes"


class EiganLoadRecipe(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganLoadRecipe",
            display_name="Load Recipe",
            category=CATEGORY,
            description=(
                "Opens the recipe in a picture that eigan's app or Save Recipe saved: its generator, where it starts, "
                "its edit and its packs. Wired to Render it gives the same pixels; add edits and go on."
            ),
            inputs=[
                io.Combo.Input(
                    "recipe_file",
                    options=input_files(SUFFIXES),
                    upload=io.UploadType.image,
                    image_folder=io.FolderType.input,
                    optional=True,
                    tooltip="A picture with a recipe in it, or a recipe's .json, in ComfyUI's input folder.",
                ),
                io.String.Input(
                    "recipe",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="A recipe as text, JSON: pasted, or wired from Render. It goes before the file. Of several "
                    "lines the first is opened.",
                ),
                GanGeneratorType.Input(
                    "generator",
                    optional=True,
                    tooltip="The recipe's generator, already loaded. Left open, it is opened as the recipe names it.",
                ),
            ],
            outputs=[
                GanGeneratorType.Output(
                    "loaded", display_name="generator", tooltip="The generator that the recipe was made with."
                ),
                GanLatentType.Output("latent", display_name="latent", tooltip="Where the picture starts."),
                GanEditType.Output("edit", display_name="edit", tooltip="What the recipe does to it."),
                DirectionPackType.Output(
                    "pack", display_name="pack", tooltip="The recipe's first pack, for further edits."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, recipe_file: str = "", recipe: str | None = "", **others: object) -> str:
        if recipe is None or recipe.strip():
            return "text"
        return digest(find_input(recipe_file, SUFFIXES)) if recipe_file in input_files(SUFFIXES) else "missing"

    @classmethod
    def run(cls, recipe_file: str = "", recipe: str = "", generator: GanGenerator | None = None) -> io.NodeOutput:
        found = from_lines(recipe)[0] if recipe.strip() else read_recipe(find_input(recipe_file, SUFFIXES))
        gan, packs = opening.open_recipe(found, generator)
        latent = latent_of(found, gan)
        edit = edit_of(found, packs)
        return io.NodeOutput(gan, latent, edit if gan.generator.has_pose else edit.drawn(pose=STILL), packs[0])


class EiganSaveRecipe(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganSaveRecipe",
            display_name="Save Recipe",
            category=CATEGORY,
            description=(
                "Saves pictures as PNG with their recipes inside, which eigan's app opens, and with this workflow, "
                "which ComfyUI opens. Without pictures it saves the recipes alone, as .json."
            ),
            inputs=[
                io.String.Input(
                    "recipe",
                    force_input=True,
                    tooltip="Render's recipe: one line of JSON for each picture.",
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="Render's pictures, as many as there are recipes. Saved as they come, eight bits a colour.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="eigan/picture",
                    optional=True,
                    tooltip="Where in ComfyUI's output folder, and called what; %date% and the like work as in Save "
                    "Image.",
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def run(cls, recipe: str, images: Tensor | None = None, filename_prefix: str = "eigan/picture") -> io.NodeOutput:
        recipes = from_lines(recipe)
        pictures = [None] * len(recipes) if images is None else list(from_image(images))
        if len(pictures) != len(recipes):
            raise PackFormatError(
                f"{len(pictures)} pictures and {len(recipes)} recipes; wire both from the same Render, so that each "
                "picture gets its own"
            )
        height, width = (0, 0) if pictures[0] is None else pictures[0].shape[:2]
        place, texts = output_place(filename_prefix, width, height), workflow_texts(cls)
        saved = []
        for index, (picture, one) in enumerate(zip(pictures, recipes, strict=True)):
            path = place.path(index, ".json" if picture is None else ".png")
            write_whole(path, one.to_json().encode() if picture is None else to_png(picture, one, texts))
            saved.append(place.result(path))
        if images is None:
            return io.NodeOutput(ui={"text": [f"saved {result['filename']}" for result in saved]})
        return io.NodeOutput(ui=ui.SavedImages(saved))
