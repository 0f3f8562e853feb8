"""Latents as files: those of projectors and encoders in, and what was made here out to them."""

from __future__ import annotations

from eigan.errors import InvalidCodes, PackMismatch
from eigan.latent_files import read_latent, write_latent

from .. import opening
from ..comfy import (
    GanEditType,
    GanGeneratorType,
    GanLatentType,
    GanNode,
    digest,
    find_input,
    input_files,
    io,
    output_place,
)
from ..values import GanEdit, GanGenerator, GanLatent, Origin
from .latents import CATEGORY

READ = (".npy", ".npz", ".safetensors", ".pt")
WRITTEN = ("npy", "safetensors", "pt")


class EiganLoadLatent(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganLoadLatent",
            display_name="Load GAN Latent",
            category=CATEGORY,
            description=(
                "Codes from a .npy, .npz, .safetensors or .pt file, as projectors and encoders write them: (L, D), "
                "(1, D) or (D). The file is read without running anything in it."
            ),
            inputs=[
                GanGeneratorType.Input("generator", tooltip="The generator that the codes were made for."),
                io.Combo.Input(
                    "latent_file",
                    options=input_files(READ),
                    tooltip="A file in ComfyUI's input folder (press R to list new ones).",
                ),
            ],
            outputs=[GanLatentType.Output("latent", display_name="latent", tooltip="Where the picture starts.")],
        )

    @classmethod
    def validate_inputs(cls, latent_file: str) -> bool | str:
        return opening.sentence(find_input, latent_file, READ)

    @classmethod
    def fingerprint_inputs(cls, latent_file: str, **others: object) -> str:
        return digest(find_input(latent_file, READ)) if latent_file in input_files(READ) else "missing"

    @classmethod
    def run(cls, generator: GanGenerator, latent_file: str) -> io.NodeOutput:
        found = read_latent(find_input(latent_file, READ))
        return io.NodeOutput(GanLatent.of_origins(generator, [Origin(latent=found)]))


class EiganSaveLatent(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganSaveLatent",
            display_name="Save GAN Latent",
            category=CATEGORY,
            description=(
                "Saves codes (L, D), float32, in ComfyUI's output folder, one numbered file a picture: for other "
                "programs, or to be loaded again."
            ),
            inputs=[
                GanLatentType.Input("latent", tooltip="The codes to save."),
                io.Combo.Input(
                    "file_format",
                    options=list(WRITTEN),
                    default="npy",
                    tooltip="npy for NumPy, safetensors (the array is called w), or pt for PyTorch: a tensor.",
                ),
                GanEditType.Input(
                    "edit", optional=True, tooltip="An edit to make first, so that the edited codes are saved."
                ),
                io.String.Input(
                    "filename_prefix",
                    default="eigan/latent",
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
        cls, latent: GanLatent, file_format: str, edit: GanEdit | None = None, filename_prefix: str = "eigan/latent"
    ) -> io.NodeOutput:
        if file_format not in WRITTEN:
            raise InvalidCodes(f"unknown format {file_format!r}; known: {', '.join(WRITTEN)}")
        codes = edit_for(latent, edit).edit().apply(latent.codes) if edit else latent.codes
        place, saved = output_place(filename_prefix), []
        for index, row in enumerate(codes):
            path = place.path(index, f".{file_format}")
            write_latent(row, path)
            saved.append(f"saved {path.name}")
        return io.NodeOutput(ui={"text": saved})


def edit_for(latent: GanLatent, edit: GanEdit) -> GanEdit:
    """`edit`, if it is of the latent's generator. Raises PackMismatch."""
    for pack in edit.packs:
        if pack.made_for.fingerprint != latent.made_for.fingerprint:
            raise PackMismatch(
                f"the latent was made for {latent.made_for}, pack {pack.name!r} for {pack.made_for}; edit a latent of "
                "the pack's generator"
            )
    return edit
