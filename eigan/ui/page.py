"""The page's fixed parts: where things stand, what they are called. No behaviour; editor.py wires them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from eigan.latents import MAX_SEED
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED

TITLE = "eigan"
SUBTITLE = "Sliders for GANs: move a name, and the picture follows."
MAX_PSI = 1.2


@dataclass(frozen=True, eq=False)
class Page:
    """Components by the part they play. The states are the session's: keys and plain values only."""

    opened: gr.State  # what is open: see editor.Opened
    prepared: gr.State  # what is about to be: see editor.Prepared
    active: gr.Number  # hidden: index of the preset pressed last, -1 once a slider was moved by hand
    tick: gr.Number  # hidden: a change of it asks for the picture
    picture: gr.Image
    comparison: gr.ImageSlider
    comparing: gr.Checkbox
    download: gr.DownloadButton
    picker: gr.Dropdown
    load: gr.Button
    badge: gr.HTML
    pack_controls: gr.Column  # presets and sliders, built anew for every pack
    more: gr.Dropdown
    reset: gr.Button
    seed: gr.Number
    shuffle: gr.Button
    psi: gr.Slider
    class_index: gr.Number
    link: gr.Textbox
    upload: gr.UploadButton

    @property
    def pictures(self) -> list[gr.Component]:
        """What every move of a slider renews."""
        return [self.picture, self.comparison, self.download, self.link]

    @property
    def everything(self) -> list[gr.Component]:
        """What opening a pack, a link or a picture renews."""
        return [
            *self.pictures,
            *(self.opened, self.active, self.picker, self.badge, self.more, self.seed, self.psi, self.class_index),
        ]


def lay_out(packs: Sequence[str], *, hosted: bool) -> Page:
    """The page inside the current `gr.Blocks`: the picture and what makes it first (phones keep this order), then the
    pack and its sliders."""
    gr.HTML(f"<h1>{TITLE}</h1><p>{SUBTITLE}</p>", elem_id="title", padding=False)
    opened, prepared = gr.State(None), gr.State(None)
    active, tick = (gr.Number(value, visible="hidden", container=False) for value in (-1, 0))
    with gr.Row(elem_id="stage", equal_height=False):
        with gr.Column(scale=5, min_width=300, elem_id="picture-column"):
            picture, comparison = _picture()
            with gr.Row(elem_id="under-picture"):
                comparing = gr.Checkbox(label="Before / after", value=False, container=False, min_width=120)
                reset = gr.Button("Reset", size="md", elem_id="reset")
                download = gr.DownloadButton("Download PNG", size="md", variant="primary", elem_id="download")
            with gr.Row(elem_id="scene"):
                seed, shuffle, class_index, psi = _scene()
            link, upload = _sharing()
        with gr.Column(scale=6, min_width=320, elem_id="controls"):
            picker, load = _picker(packs, hosted)
            badge = gr.HTML("", elem_id="badge", padding=False)
            pack_controls = gr.Column(elem_id="pack-controls")
            more = gr.Dropdown(
                [], value=[], multiselect=True, visible=False, interactive=True, label="More directions", elem_id="more"
            )
    return Page(
        opened=opened,
        prepared=prepared,
        active=active,
        tick=tick,
        picture=picture,
        comparison=comparison,
        comparing=comparing,
        download=download,
        picker=picker,
        load=load,
        badge=badge,
        pack_controls=pack_controls,
        more=more,
        reset=reset,
        seed=seed,
        shuffle=shuffle,
        psi=psi,
        class_index=class_index,
        link=link,
        upload=upload,
    )


def _picture() -> tuple[gr.Image, gr.ImageSlider]:
    picture = gr.Image(
        format="png",  # the default is lossy
        label="Picture",
        show_label=False,
        alt_text="The picture that the sliders make",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id="picture",
    )
    comparison = gr.ImageSlider(
        format="png",
        label="Before and after",
        show_label=False,
        interactive=False,
        buttons=["fullscreen"],
        visible=False,
        elem_id="comparison",
    )
    return picture, comparison


def _picker(packs: Sequence[str], hosted: bool) -> tuple[gr.Dropdown, gr.Button]:
    words = "bundled, or a Hub id like org/name@v1.0.0" + ("" if hosted else ", or a folder")
    with gr.Row(elem_id="picker-row"):
        picker = gr.Dropdown(
            list(packs),
            value=packs[0] if packs else None,
            allow_custom_value=True,
            interactive=True,
            label="Direction pack",
            info=words,
            scale=5,
            min_width=200,
            elem_id="picker",
        )
        load = gr.Button("Load", size="md", scale=1, min_width=80, elem_id="load")
    return picker, load


def _scene() -> tuple[gr.Number, gr.Button, gr.Number, gr.Slider]:
    seed = gr.Number(
        DEFAULT_SEED,
        label="Seed",
        precision=0,
        minimum=0,
        maximum=MAX_SEED,
        interactive=True,
        min_width=110,
        elem_id="seed",
    )
    shuffle = gr.Button("Surprise me", size="md", min_width=110, elem_id="shuffle")
    psi = gr.Slider(
        0,
        MAX_PSI,
        DEFAULT_PSI,
        step=0.05,
        label="Truncation psi",
        info="0 average … 1 full variety",
        interactive=True,
        min_width=220,
        scale=2,
        elem_id="psi",
    )
    class_index = gr.Number(
        0, label="Class", precision=0, minimum=0, interactive=True, visible=False, min_width=90, elem_id="class-index"
    )
    return seed, shuffle, class_index, psi


def _sharing() -> tuple[gr.Textbox, gr.UploadButton]:
    with gr.Row(elem_id="sharing"):
        link = gr.Textbox(
            label="Share link",
            info="opens this very picture",
            buttons=["copy"],
            interactive=False,
            lines=1,
            max_lines=1,
            scale=4,
            min_width=220,
            elem_id="link",
        )
        upload = gr.UploadButton(
            "Open a picture", file_types=[".png"], size="md", scale=1, min_width=130, elem_id="upload"
        )
    return link, upload
