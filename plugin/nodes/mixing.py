"""Mixing: codes between those of two pictures, on all layers or some."""

from __future__ import annotations

import torch

from eigan.errors import InvalidCodes, PackFormatError, PackMismatch, lookup
from eigan.generators.base import Codes
from eigan.latent_files import Latent
from eigan.layers import LayerRange
from eigan.pack import check_number

from ..comfy import GanLatentType, GanNode, io
from ..values import GanLatent, Origin
from .latents import CATEGORY

MIN_SINE = 1e-6  # of the angle between two rows; below it no great circle is told by them


class EiganMixLatents(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganMixLatents",
            display_name="Mix Latents",
            category=CATEGORY,
            description=(
                "Codes between those of two latents of one generator. On some layers alone it mixes styles: the "
                "second's colours on the first's face."
            ),
            inputs=[
                GanLatentType.Input("latent", tooltip="The first: what amount 0 gives."),
                GanLatentType.Input(
                    "other",
                    tooltip="The second: what amount 1 gives. As many pictures as the first, or one of them a single "
                    "picture, mixed with each of the other's.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="lerp",
                    tooltip="lerp: along a straight line, right for StyleGAN. slerp: along the great circle, which "
                    "keeps codes of BigGAN, ProGAN and FastGAN likely. layers: these layers whole from the second, "
                    "whatever the amount.",
                ),
                io.Float.Input(
                    "amount",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="How much of the second, from 0 to 1. Mode layers takes no notice of it.",
                ),
                io.String.Input(
                    "layers",
                    default="",
                    optional=True,
                    placeholder="all",
                    tooltip="Layers to mix, the others being the first's: all, 8, or 8-17 for the late ones of a "
                    "1024 px StyleGAN2, which are colours and textures. Empty: all; mode layers wants them named.",
                ),
            ],
            outputs=[GanLatentType.Output("mixed", display_name="latent", tooltip="The latent between the two.")],
        )

    @classmethod
    def run(cls, latent: GanLatent, other: GanLatent, mode: str, amount: float, layers: str = "") -> io.NodeOutput:
        mix = lookup(MODES, mode, "mode")
        check_number(amount, "amount", 0.0, 1.0)
        first, second = paired(latent, other)
        if mode == "layers" and not layers.strip():
            raise PackFormatError("mode layers wants the layers to take from the second latent, as in 8-17")
        where = LayerRange.parse(layers.strip() or "all", first.made_for.num_layers)
        part = 1.0 if mode == "layers" else amount
        ends = {0.0: first, 1.0: second if len(where) == first.made_for.num_layers else None}
        if (end := ends.get(part)) is not None:  # nothing is mixed: the seed is still a seed in recipes
            return io.NodeOutput(end)
        codes = first.codes.clone()
        codes[:, where.slice] = mix(first.codes[:, where.slice], second.codes[:, where.slice], part)
        origins = tuple(Origin(latent=Latent.of(row)) for row in codes)
        return io.NodeOutput(GanLatent(codes, origins, first.made_for))


def paired(first: GanLatent, second: GanLatent) -> tuple[GanLatent, GanLatent]:
    """Both with as many pictures: a single one is repeated for each of the other's.

    Raises:
        PackMismatch: they are of two generators. InvalidCodes: two batches of different sizes.
    """
    if first.made_for.fingerprint != second.made_for.fingerprint:
        raise PackMismatch(
            f"one latent was made for {first.made_for}, the other for {second.made_for}; only latents of one "
            "generator can be mixed"
        )
    count = max(len(first), len(second))
    if {len(first), len(second)} - {1, count}:
        raise InvalidCodes(
            f"the latents have {len(first)} and {len(second)} pictures; wanted as many, or a single one to be mixed "
            "with each"
        )
    return repeated(first, count), repeated(second, count)


def repeated(latent: GanLatent, count: int) -> GanLatent:
    """A latent of one picture as one of `count`; itself where it has as many."""
    if len(latent) == count:
        return latent
    return GanLatent(latent.codes.expand(count, -1, -1).clone(), latent.origins * count, latent.made_for)


def lerp(first: Codes, second: Codes, amount: float) -> Codes:
    """(1 - t) a + t b for codes (N, L, D)."""
    return (1 - amount) * first + amount * second


def slerp(first: Codes, second: Codes, amount: float) -> Codes:
    """(sin((1 - t) w) a + sin(t w) b) / sin w for every row, w the angle between a and b (White, arXiv:1609.04468).

    In float64. Rows that lie on one line tell no circle: `lerp` for them.
    """
    a, b = first.double(), second.double()
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1)[..., None]
    angle = cosine.acos()
    sine = angle.sin()
    turned = (((1 - amount) * angle).sin() * a + (amount * angle).sin() * b) / sine
    mixed: Codes = torch.where(sine < MIN_SINE, lerp(a, b, amount), turned).to(first)
    return mixed


MODES = {"lerp": lerp, "slerp": slerp, "layers": lerp}
