"""Edits: what is done to pictures. They are chained in any order, and leave latents as they are."""

from __future__ import annotations

from eigan.pack import DirectionPack

from ..comfy import DirectionPackType, GanEditType, GanNode, io
from ..values import Aim, GanEdit

CATEGORY = "GAN edit/edit"
REACH = 20.0  # sigmas at a slider's ends: as far as the published edits of few layers go


class EiganEditDirection(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EiganEditDirection",
            display_name="Edit Direction",
            category=CATEGORY,
            description=(
                "Moves pictures along one direction of a pack. Chain several: the order does not matter, and the same "
                "direction twice is moved by the sum."
            ),
            inputs=[
                DirectionPackType.Input("pack", tooltip="The pack that has the direction."),
                io.String.Input(
                    "direction",
                    default="",
                    placeholder="smile",
                    tooltip="The direction's name, as the pack has it. Describe Pack lists them; a wrong name is "
                    "answered with the names there are.",
                ),
                io.Float.Input(
                    "amount",
                    default=0.0,
                    min=-REACH,
                    max=REACH,
                    step=0.1,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="How far, in sigmas: standard deviations of the generator's own pictures along the "
                    "direction. 0 leaves them as they are; most edits hold up to 3, those of few layers further.",
                ),
                io.String.Input(
                    "layers",
                    default="",
                    optional=True,
                    placeholder="its own",
                    tooltip="Layers to move in place of the direction's own: all, 8, or 8-11. Early layers change pose "
                    "and shape, late ones colours. Empty: its own.",
                ),
                GanEditType.Input("edit", optional=True, tooltip="An edit to add to."),
            ],
            outputs=[GanEditType.Output("edited", display_name="edit", tooltip="The edit with this move in it.")],
        )

    @classmethod
    def run(
        cls, pack: DirectionPack, direction: str, amount: float, layers: str = "", edit: GanEdit | None = None
    ) -> io.NodeOutput:
        aim = Aim.at(pack, direction.strip(), layers)
        return io.NodeOutput((edit or GanEdit()).moved([(aim, amount)]))
