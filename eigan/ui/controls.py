"""The controls that a pack brings: presets and sliders, built anew for every pack, and what listens to them.

As tried with Gradio 6.31: answers to different events may be shown in another order than they were given. So exactly
one event asks for pictures. It listens to every control with trigger_mode="always_last": one request at a time, and
the last position always gets its picture. Presets, reset and shuffle move controls in the browser and end in it too.
Sliders are heard by `input` (the arrow keys too) and by `release` (the little reset arrow sends only that).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from eigan.pack import Preset
from eigan.pose import Pose
from eigan.ui import scripts
from eigan.ui.editor import Editor, Opened, Scene, plainly, read_amounts, read_pose
from eigan.ui.labels import MAX_PRESETS_SHOWN, SliderPlan

MAX_STRENGTH = 1.5
MOVE: dict[str, Any] = {
    "trigger_mode": "always_last",
    "concurrency_id": "synth",
    "concurrency_limit": 1,
    "show_progress": "hidden",
    "api_visibility": "private",
}
IN_BROWSER: dict[str, Any] = {"fn": None, "queue": False, "show_progress": "hidden", "api_visibility": "private"}


def render_pack_controls(editor: Editor) -> None:
    """Build presets and sliders where this is called, whenever another pack, link or picture is opened."""

    @gr.render(inputs=[editor.page.opened], triggers=[editor.page.opened.change], show_progress="hidden")  # type: ignore[untyped-decorator]
    @plainly
    def build(opened: Opened | None) -> None:
        if opened:
            _build(editor, opened)


def _build(editor: Editor, opened: Opened) -> None:
    plans = editor.plans(opened)
    pack = editor.studios.reopen(opened["key"], opened["source"]).pack
    shown = {plan.name for plan in plans}
    presets = [p for p in pack.presets if shown.issuperset(p.amounts)][:MAX_PRESETS_SHOWN]
    key = opened["key"]
    with gr.Column(elem_id="presets", visible=bool(presets)):
        with gr.Row(elem_id="preset-buttons"):
            buttons = [gr.Button(p.name, size="sm", min_width=0, key=(key, "preset", p.name)) for p in presets]
        strength = _strength(key)
    with gr.Column(elem_id="sliders"):
        sliders = [_slider(plan, key) for plan in plans]
    poses = editor.pose_plans(opened)
    with gr.Column(elem_id="pose", visible=bool(poses)):
        pose_sliders = [_slider(plan, key) for plan in poses]
    controls = _Controls(editor, opened["turn"], plans, strength, sliders, poses, pose_sliders)
    controls.follow()
    controls.move_at_once(presets, buttons)
    controls.add_more()


def _strength(key: str) -> gr.Slider:
    return gr.Slider(
        0,
        MAX_STRENGTH,
        1.0,
        step=0.05,
        label="Preset strength",
        interactive=True,
        elem_id="strength",
        key=(key, "strength"),
    )


def _slider(plan: SliderPlan, key: str) -> gr.Slider:
    return gr.Slider(
        plan.minimum,
        plan.maximum,
        plan.value,
        step=plan.step,
        label=plan.name,
        info=plan.info,
        interactive=True,
        buttons=["reset"],
        elem_classes=["amount", f"zero-{plan.zero}"],
        key=(key, "slider", plan.name),
        preserved_by_key=None,  # a link to the same pack brings other amounts
    )


class _Controls:
    """Listeners of one pack's controls. turn: the opening they were built for. Presets and reset put the pose back."""

    def __init__(
        self,
        editor: Editor,
        turn: str,
        plans: list[SliderPlan],
        strength: gr.Slider,
        sliders: list[gr.Slider],
        pose_plans: list[SliderPlan],
        pose_sliders: list[gr.Slider],
    ):
        self.editor, self.page = editor, editor.page
        self.turn, self.strength = turn, strength
        self.num_directions = len(plans)
        self.plans, self.sliders = plans + pose_plans, sliders + pose_sliders

    def split(self, values: Sequence[float | None]) -> tuple[dict[str, float | None], Pose]:
        """What the sliders say: amounts by direction, and the pose. Raises EiganError."""
        count = self.num_directions
        return read_amounts(self.plans[:count], values[:count]), read_pose(values[count:])

    def follow(self) -> None:
        """The picture follows everything on the page."""
        page = self.page

        @plainly
        def follow(
            opened: Opened,
            seed: int | None,
            psi: float | None,
            class_index: int | None,
            comparing: bool,
            request: gr.Request,
            *values: float | None,
        ) -> Any:
            if opened["turn"] != self.turn:  # sent from sliders of a pack that is no longer open
                return gr.skip()
            amounts, pose = self.split(values)
            scene = Scene(seed, psi, class_index, comparing, pose)
            pictures = self.editor.follow(opened, scene, amounts, request.headers)
            return gr.skip() if pictures is None else pictures

        heard = [event for slider in [*self.sliders, page.psi] for event in (slider.input, slider.release)]
        heard += [page.seed.input, page.class_index.input, page.comparing.input, page.tick.change]
        scene = [page.opened, page.seed, page.psi, page.class_index, page.comparing]
        inputs = [*scene, *self.sliders]
        bounds = scripts.slider_bounds(self.plans, len(scene))
        settle = scripts.bring_within(scene.index(page.psi), len(inputs), bounds)
        gr.on(heard, follow, inputs, page.pictures, js=settle, **MOVE)

    def move_at_once(self, presets: Sequence[Preset], buttons: Sequence[gr.Button]) -> None:
        """Presets, reset and shuffle. The strength goes on scaling a preset until a slider is moved by hand."""
        page, strength = self.page, self.strength
        moved = [page.active, page.tick, *self.sliders]
        for index, (preset, button) in enumerate(zip(presets, buttons, strict=True)):
            press = scripts.press(index, preset.amounts, self.plans)
            button.click(inputs=[strength], outputs=moved, js=press, **IN_BROWSER)
        scale = scripts.scale([preset.amounts for preset in presets], self.plans)
        gr.on([strength.input, strength.release], inputs=[strength, *moved], outputs=moved, js=scale, **IN_BROWSER)
        gr.on([s.input for s in self.sliders], outputs=[page.active], js=scripts.BY_HAND, **IN_BROWSER)
        page.reset.click(outputs=moved, js=scripts.reset(self.plans), **IN_BROWSER)
        page.shuffle.click(outputs=[page.seed, page.tick], js=scripts.SHUFFLE, **IN_BROWSER)

    def add_more(self) -> None:
        """Sliders for further directions as they are chosen, beside those that stand."""

        def add(opened: Opened, names: list[str], *amounts: float) -> Opened:
            standing, pose = self.split(amounts)
            moved = {name: amount for name, amount in standing.items() if amount}
            return opened | {"extra": names, "amounts": moved, "pose": [pose.x, pose.y, pose.angle]}  # type: ignore[return-value]

        more = self.page.more
        more.input(add, [self.page.opened, more, *self.sliders], self.page.opened, api_visibility="private")
