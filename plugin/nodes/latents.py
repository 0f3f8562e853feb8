"""Latents: where pictures start."""

from __future__ import annotations

from eigan.classes import find_class
from eigan.errors import InvalidCodes
from eigan.generators.base import Generator
from eigan.latents import MAX_SEED

from ..comfy import GanGeneratorType, GanLatentType, GanNode, io
from ..values import MAX_BATCH, GanGenerator, GanLatent, Origin

CATEGORY = "GAN edit/latent"


class EiganLatentFromSeed(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganLatentFromSeed",
            display_name="Latent from Seed",
            category=CATEGORY,
            description=(
                "The codes of random pictures. The same seed gives the same picture in eigan's app and in NVIDIA's "
                "generate.py."
            ),
            inputs=[
                GanGeneratorType.Input("generator", tooltip="The generator that will draw the pictures."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=False,
                    tooltip="Which picture. It stays as it is from run to run, so that the picture you are editing is "
                    "not lost.",
                ),
                io.Float.Input(
                    "truncation",
                    default=0.7,
                    min=-1.0,
                    max=2.0,
                    step=0.01,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="Truncation psi: 0 is the average picture, 1 full variety with more failures, below 0 the "
                    "opposite of the average. Left out for generators without truncation.",
                ),
                io.String.Input(
                    "class_name",
                    default="",
                    optional=True,
                    tooltip="The class to draw, of a generator that has classes: its number, or its ImageNet name "
                    "(husky, red fox). Empty: the first.",
                ),
                io.Int.Input(
                    "batch",
                    default=1,
                    min=1,
                    max=MAX_BATCH,
                    optional=True,
                    tooltip="How many pictures: those of this seed, the next one, and so on.",
                ),
            ],
            outputs=[GanLatentType.Output("latent", display_name="latent", tooltip="Where the pictures start.")],
        )

    @classmethod
    def run(
        cls, generator: GanGenerator, seed: int, truncation: float, class_name: str = "", batch: int = 1
    ) -> io.NodeOutput:
        if not 1 <= batch <= MAX_BATCH:
            raise InvalidCodes(f"batch is {batch}; wanted 1 to {MAX_BATCH}")
        class_index = class_of(generator.generator, class_name)
        origins = [Origin(seed + i, truncation, class_index) for i in range(batch)]
        return io.NodeOutput(GanLatent.of_origins(generator, origins))


def class_of(generator: Generator, text: str) -> int | None:
    """The class that a person names by number or ImageNet name; the first where nothing was named.

    Raises:
        InvalidCodes: the generator has no classes, or not that one. UnknownName: ImageNet has no such class.
    """
    text = text.strip()
    if not text:
        return 0 if generator.c_dim else None
    chosen = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else text
    generator.class_codes(chosen, 1)  # says what is wrong with it
    return chosen if isinstance(chosen, int) else find_class(chosen)
