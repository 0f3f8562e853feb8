"""Pictures as layers of one file, for painting programs."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from eigan.errors import InvalidCodes
from eigan.openraster import Layer, openraster
from eigan.pose import STILL
from eigan.whole_files import write_whole

from ..comfy import (
    GanEditType,
    GanGeneratorType,
    GanLatentType,
    GanNode,
    Place,
    Progress,
    from_image,
    io,
    output_place,
    to_image,
    ui,
)
from ..values import GanEdit, GanGenerator, GanLatent, recipes

CATEGORY = "GAN edit/image"
EDITS = 6
UNEDITED = "unedited"


class EiganSaveLayers(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganSaveLayers",
            display_name="Save as Layers",
            category=CATEGORY,
            description=(
                "Saves a picture and its edits as the layers of one .ora file, which Krita, GIMP and MyPaint open: the "
                "unedited picture at the bottom, each edit above it, to be masked and blended there."
            ),
            inputs=[
                GanGeneratorType.Input("generator", tooltip="The generator that the latent was made with."),
                GanLatentType.Input(
                    "latent", tooltip="Where the pictures start. Of several, each gets a file of its own."
                ),
                *(
                    GanEditType.Input(
                        f"edit_{i}",
                        optional=True,
                        tooltip=f"What layer {i} above the unedited picture shows. Left open, there is no such layer.",
                    )
                    for i in range(1, EDITS + 1)
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="Pictures to put above all that, a layer for each: Sweep's, or painted ones of the same "
                    "size. For a latent of one picture.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="eigan/layers",
                    optional=True,
                    tooltip="Where in ComfyUI's output folder, and called what; %date% and the like work as in Save "
                    "Image.",
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def run(
        cls,
        generator: GanGenerator,
        latent: GanLatent,
        images: Tensor | None = None,
        filename_prefix: str = "eigan/layers",
        **edits: GanEdit | None,
    ) -> io.NodeOutput:
        if images is not None and len(latent) > 1:
            raise InvalidCodes(
                f"images are layers of one picture, and the latent has {len(latent)}; set its batch to 1, or leave "
                "images open"
            )
        given = [edit for i in range(1, EDITS + 1) if (edit := edits.get(f"edit_{i}")) is not None]
        files = layers_of(generator, latent, given)
        for number, picture in enumerate(() if images is None else from_image(images), start=1):
            files[0].append(Layer(f"image {number}", picture))
        size = generator.generator.resolution
        place = output_place(filename_prefix, size, size)
        names = [saved(place, index, layers) for index, layers in enumerate(files)]
        tops = np.stack([layers[-1].picture for layers in files])
        shown = ui.PreviewImage(to_image(tops), cls=cls).as_dict()
        return io.NodeOutput(ui={**shown, "text": [f"saved {name}" for name in names]})


def layers_of(generator: GanGenerator, latent: GanLatent, edits: list[GanEdit]) -> list[list[Layer]]:
    """For each picture of the latent its layers, lowest first: unedited, then after each edit.

    Unedited is as the first edit draws it, in its noise mode and pose, so that nothing but the edit differs.

    Raises:
        PackMismatch: the latent or an edit is of another generator.
    """
    latent.check_fits(generator.generator)
    for edit in edits:
        edit.check_fits(generator.generator)
    first = edits[0] if edits else GanEdit()
    plain = GanEdit(noise_mode=first.noise_mode, pose=first.pose)
    files: list[list[Layer]] = [[] for _ in range(len(latent))]
    renderer = generator.ready()
    bar = Progress(len(latent) * (len(edits) + 1))
    for done, whole in enumerate((plain, *edits)):
        named = UNEDITED if whole is plain else title(whole)
        applied, told = whole.edit(), recipes(generator, latent, whole)
        for index, (layers, codes, recipe) in enumerate(zip(files, latent.codes, told, strict=True), start=1):
            picture = renderer.render(codes[None], applied, noise_mode=whole.noise_mode, pose=whole.pose)[0]
            layers.append(Layer(named, picture, recipe))
            bar.at(done * len(latent) + index)  # no picture: the page would show it in place of the finished ones
    return files


def title(edit: GanEdit) -> str:
    """'smile +2, age −1.3', and what else the edit does, as a layer is called in a painting program."""
    moved = [f"{aim.name} {amount:+g}".replace("-", "−") for aim, amount in edit.moves]
    posed = [] if edit.pose == STILL else ["moved"]
    return ", ".join([*moved, *posed]) or UNEDITED


def saved(place: Place, index: int, layers: list[Layer]) -> str:
    """The name of the file that the layers were written to."""
    path = place.path(index, ".ora")
    write_whole(path, openraster(layers))
    return path.name
