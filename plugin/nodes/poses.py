"""Pose: where StyleGAN3 draws its picture."""

from __future__ import annotations

from eigan.pose import LIMITS, Pose

from ..comfy import GanEditType, GanNode, io
from ..values import GanEdit
from .edits import CATEGORY


class EiganPose(GanNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        def slider(name: str, step: float, tooltip: str) -> io.Float.Input:
            limit, mode = LIMITS[name], io.NumberDisplay.slider
            return io.Float.Input(
                name, default=0.0, min=-limit, max=limit, step=step, display_mode=mode, tooltip=tooltip
            )

        return io.Schema(
            node_id="EiganPose",
            display_name="Pose",
            category=CATEGORY,
            description="Shifts and turns the pictures of a StyleGAN3, drawn anew there: no edge is cut off.",
            inputs=[
                slider("x", 0.01, "How far to the right, in widths of the picture."),
                slider("y", 0.01, "How far down, in widths of the picture."),
                slider("angle", 1.0, "How far to turn it counter-clockwise, in degrees, before it is moved."),
                GanEditType.Input("edit", optional=True, tooltip="An edit to draw so. It may have had another pose."),
            ],
            outputs=[GanEditType.Output("edited", display_name="edit", tooltip="The edit with this pose.")],
        )

    @classmethod
    def run(cls, x: float, y: float, angle: float, edit: GanEdit | None = None) -> io.NodeOutput:
        return io.NodeOutput((edit or GanEdit()).drawn(pose=Pose(x, y, angle)))
