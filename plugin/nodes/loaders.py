"""Loaders: generators and direction packs, from the bundle, ComfyUI's folders or the Hub."""

from __future__ import annotations

from .. import opening
from ..comfy import DIRECTIONS, GENERATORS, DirectionPackType, GanGeneratorType, GanNode, io, managed
from ..values import GanGenerator

CATEGORY = "GAN edit/loaders"


class EiganLoadGenerator(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganLoadGenerator",
            display_name="Load Generator",
            category=CATEGORY,
            description=(
                "Opens a pretrained GAN: StyleGAN 1 to 3, BigGAN, ProGAN or FastGAN, from safetensors, NVIDIA's and "
                "TensorFlow's .pkl, or PyTorch's .pt. Files are read without running anything in them."
            ),
            inputs=[
                io.Combo.Input(
                    "generator_name",
                    options=opening.generator_names(),
                    tooltip="A bundled generator, or a file that you put into models/gan_generators (press R to list "
                    "new ones).",
                ),
                io.String.Input(
                    "hub_id",
                    default="",
                    optional=True,
                    tooltip="A generator on the Hugging Face Hub in place of the one above, downloaded once: org/name, "
                    "org/name@v1.0.0 or org/name:network.pkl. Leave empty for the one above.",
                ),
            ],
            outputs=[
                GanGeneratorType.Output(
                    "generator", display_name="generator", tooltip="The generator. ComfyUI decides where it lies."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, generator_name: str) -> bool | str:
        return opening.sentence(opening.check_generator_name, generator_name)

    @classmethod
    def fingerprint_inputs(cls, generator_name: str, hub_id: str = "") -> str:
        return opening.fingerprint(GENERATORS, generator_name, hub_id)

    @classmethod
    def run(cls, generator_name: str, hub_id: str = "") -> io.NodeOutput:
        return io.NodeOutput(managed(opening.open_generator(generator_name, hub_id)))


class EiganLoadDirectionPack(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganLoadDirectionPack",
            display_name="Load Direction Pack",
            category=CATEGORY,
            description=(
                "Opens a pack of sliders: named directions that were fitted on one generator. A pack of another "
                "generator is refused, since its directions mean nothing there."
            ),
            inputs=[
                GanGeneratorType.Input("generator", tooltip="The generator that the pack is to move."),
                io.Combo.Input(
                    "pack_name",
                    options=opening.pack_names(),
                    tooltip="A bundled pack, or one that you put into models/gan_directions as a folder with its "
                    "config.json (press R to list new ones).",
                ),
                io.String.Input(
                    "hub_id",
                    default="",
                    optional=True,
                    tooltip="A pack on the Hugging Face Hub in place of the one above: org/name or, so that it stays "
                    "the same for ever, org/name@v1.0.0. Leave empty for the one above.",
                ),
                io.Boolean.Input(
                    "allow_other_generator",
                    default=False,
                    optional=True,
                    tooltip="Take a pack that was fitted on other weights, if the codes have the same shape: for "
                    "fine-tuned copies of one generator, whose directions often still hold.",
                ),
            ],
            outputs=[DirectionPackType.Output("pack", display_name="pack", tooltip="The pack of directions.")],
        )

    @classmethod
    def validate_inputs(cls, pack_name: str) -> bool | str:
        return opening.sentence(opening.check_pack_name, pack_name)

    @classmethod
    def fingerprint_inputs(cls, pack_name: str, hub_id: str = "", **others: object) -> str:
        return opening.fingerprint(DIRECTIONS, pack_name, hub_id)

    @classmethod
    def run(
        cls, generator: GanGenerator, pack_name: str, hub_id: str = "", allow_other_generator: bool = False
    ) -> io.NodeOutput:
        pack = opening.open_pack(pack_name, hub_id)
        if allow_other_generator and pack.made_for.fingerprint != generator.generator.fingerprint:
            pack = opening.adopted(pack, generator.generator)
        pack.check_fits(generator.generator)
        return io.NodeOutput(pack)
