"""From a picture to a latent that draws it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eigan.errors import InvalidCodes
from eigan.invert import MAX_STEPS, REGULARIZATION, Step, invert
from eigan.latents import MAX_SEED
from eigan.render import Pictures

from ..comfy import GanGeneratorType, GanLatentType, GanNode, Progress, from_image, io
from ..values import GanGenerator, GanLatent
from .latents import CATEGORY, class_of

MAX_PICTURES = 16
MAX_DB = 100.0  # what is said of a picture that is the same to the last bit
SHOWN_EVERY = 10  # steps
FITS = ("centre", "stretch", "refuse")


class EiganInvertImage(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganInvertImage",
            display_name="Invert Image",
            category=CATEGORY,
            description=(
                "Finds codes with which the generator draws a given picture, by optimisation, so that it can be "
                "edited. Nothing is downloaded. It works on what the generator knows, placed as in its training: a "
                "face generator wants a face, aligned as its others are."
            ),
            inputs=[
                GanGeneratorType.Input("generator", tooltip="The generator that is to draw the picture."),
                io.Image.Input("images", tooltip=f"The picture; or several, up to {MAX_PICTURES}, one after another."),
                io.Int.Input(
                    "steps",
                    default=300,
                    min=1,
                    max=MAX_STEPS,
                    tooltip="Steps of the optimisation. Each draws the picture once and goes back through the "
                    "generator: about three times the time of a picture.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=False,
                    optional=True,
                    tooltip="Of the noise that the search begins with. The same seed finds the same codes.",
                ),
                io.Float.Input(
                    "regularization",
                    default=REGULARIZATION,
                    min=0.0,
                    max=1.0,
                    step=0.0001,
                    round=False,
                    optional=True,
                    tooltip="How much codes are held near the average: more of it, and edits hold better while the "
                    "picture is less alike. 0.01 and 0.1 are worth a try.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default=FITS[0],
                    optional=True,
                    tooltip="What is done with a picture of another size than the generator's: centre cuts the square "
                    "in the middle and scales it, stretch scales all of it, refuse says so.",
                ),
                io.String.Input(
                    "class_name",
                    default="",
                    optional=True,
                    tooltip="The class of the picture, of a generator that has classes: its number, or its ImageNet "
                    "name. Empty: the first.",
                ),
            ],
            outputs=[
                GanLatentType.Output("latent", display_name="latent", tooltip="The codes that were found."),
                io.Float.Output(
                    "psnr",
                    display_name="psnr",
                    tooltip="How near they come, in dB, the worst of several: below 20 a likeness, above 35 hard to "
                    "tell apart.",
                ),
            ],
        )

    @classmethod
    def run(
        cls,
        generator: GanGenerator,
        images: Tensor,
        steps: int,
        seed: int = 0,
        regularization: float = REGULARIZATION,
        fit: str = FITS[0],
        class_name: str = "",
    ) -> io.NodeOutput:
        if len(images) > MAX_PICTURES:
            raise InvalidCodes(f"{len(images)} pictures to invert; at most {MAX_PICTURES} at once")
        if not torch.isfinite(images).all():
            raise InvalidCodes("the image holds NaN or infinite values; look at what made it")
        gan = generator.ready().generator
        class_index = class_of(gan, class_name)
        targets = [fitted(picture, gan.resolution, fit) for picture in from_image(images)]
        found = []
        bar = Progress(steps * len(targets))
        for index, target in enumerate(targets):
            watch = Watch(bar, index * steps, steps * len(targets))
            found.append(
                invert(
                    gan,
                    target,
                    steps=steps,
                    seed=seed,
                    class_index=class_index,
                    regularization=regularization,
                    watch=watch,
                )
            )
        codes = torch.cat([one.codes for one in found])
        return io.NodeOutput(GanLatent.of_codes(generator, codes), min(MAX_DB, *(one.psnr for one in found)))


class Watch:
    """Moves the node's bar on at each step, shows the picture so far now and then, and raises ComfyUI's interrupt."""

    def __init__(self, bar: Progress, done_before: int, total: int):
        self._bar, self._before, self._total = bar, done_before, total

    def __call__(self, step: Step) -> None:
        is_shown = step.done % SHOWN_EVERY == 0 or step.done == step.total
        self._bar.at(self._before + step.done, self._total, step.picture if is_shown else None)


def fitted(picture: Pictures, size: int, fit: str) -> Pictures:
    """A picture (H, W, 3) as (size, size, 3): as it is where it has that size already.

    Raises:
        InvalidCodes: `fit` is none of FITS, or "refuse" and the picture has another size.
    """
    if fit not in FITS:
        raise InvalidCodes(f"unknown fit {fit!r}; known: {', '.join(FITS)}")
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return picture
    if fit == "refuse":
        raise InvalidCodes(
            f"the picture has {width} x {height} pixels, the generator draws {size} x {size}; scale it, or set fit to "
            "centre"
        )
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    box = (0, 0, width, height) if fit == "stretch" else (left, top, left + side, top + side)
    scaled = Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS, box=box)
    return np.asarray(scaled)
