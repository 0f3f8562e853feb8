"""The page's fixed parts: where things stand, what they are called. No behaviour; app.py and the tabs wire them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from eigan.latents import MAX_SEED
from eigan.ui.history import History
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED
from eigan.ui.panel import make_panel, make_strip

TITLE = "eigan"
SUBTITLE = "Sliders for GANs: move a name, and the picture follows."
MAX_PSI = 1.2
COUNTS = (1, 4, 9)  # pictures side by side
HINT = """<ol><li>Move a <b>slider</b>, or press a <b>preset</b>.</li>
<li><b>Surprise me</b> draws somebody else; your edit stays.</li>
<li><b>Download</b> the picture or share its <b>link</b>: both open here again, sliders and all.</li></ol>
<button type="button" aria-label="Close the hint">✕</button>"""


@dataclass(frozen=True, eq=False)
class Page:
    """Components by the part they play. The states are the session's: keys and plain values only."""

    opened: gr.State  # what is open: see editor.Opened
    prepared: gr.State  # what is about to be: see editor.Prepared
    history: gr.State  # history.History
    own: gr.State  # presets made in this session: a list of {name, amounts, description, own}
    tick: gr.Number  # hidden: a change of it asks for the picture
    picture: gr.Image
    comparison: gr.ImageSlider
    comparing: gr.Checkbox
    undo: gr.Button
    redo: gr.Button
    reset: gr.Button
    download: gr.DownloadButton
    strip: gr.HTML  # of the history: panel.make_strip
    start: gr.Row  # seen while the picture starts from a latent
    to_seed: gr.Button
    seed: gr.Number
    shuffle: gr.Button
    count: gr.Radio
    psi: gr.Slider
    class_index: gr.Dropdown
    noise: gr.Checkbox
    link: gr.Textbox
    upload: gr.UploadButton
    picker: gr.Dropdown
    load: gr.Button
    badge: gr.HTML
    panel: gr.HTML  # presets and sliders: panel.make_panel
    overlap: gr.HTML

    @property
    def resting(self) -> list[gr.components.Component]:
        """What is renewed when the controls have come to rest."""
        return [
            *(self.picture, self.comparison, self.download, self.link, self.history, self.strip, self.overlap),
            *(self.undo, self.redo, self.start),
        ]

    @property
    def everything(self) -> list[gr.components.Component]:
        """What opening a pack, a link or a picture renews."""
        return [
            *self.resting,
            *(self.opened, self.panel, self.picker, self.badge, self.seed, self.psi, self.class_index, self.noise),
        ]


@dataclass(frozen=True, eq=False)
class Tabs:
    """The places for what the tab files lay out, in the page's order."""

    compose: gr.Accordion
    explore: gr.Tab
    compare: gr.Tab
    take: gr.Tab
    open: gr.Tab


def lay_out(packs: Sequence[str], *, hosted: bool) -> tuple[Page, Tabs]:
    """The page inside the current `gr.Blocks`: the picture and what makes it first (phones keep this order), then the
    pack and its sliders."""
    gr.HTML(f"<h1>{TITLE}</h1><p>{SUBTITLE}</p>", elem_id="title", padding=False)
    opened, prepared, history, own = gr.State(None), gr.State(None), gr.State(History()), gr.State([])
    tick = gr.Number(0, visible="hidden", container=False)
    with gr.Row(elem_id="stage", equal_height=False):
        with gr.Column(scale=5, min_width=300, elem_id="picture-column"):
            picture, comparison = _picture()
            comparing, undo, redo, reset, download = _under_picture()
            strip = make_strip("history")
            start, to_seed = _start()
            seed, shuffle, count, psi, class_index, noise = _scene()
            link, upload = _sharing()
        with gr.Column(scale=6, min_width=320, elem_id="controls"):
            picker, load = _picker(packs, hosted)
            badge = gr.HTML("", elem_id="badge", padding=False)
            with gr.Tabs(elem_id="tabs"):
                with gr.Tab("Sliders", id="sliders-tab"):
                    gr.HTML(HINT, elem_id="hint", padding=False, apply_default_css=False)
                    panel = make_panel()
                    overlap = gr.HTML("", elem_id="overlap", padding=False)
                    compose = gr.Accordion("Combine packs, save presets, use latents", open=False, elem_id="compose")
                explore = gr.Tab("Explore", id="explore-tab")
                compare = gr.Tab("Compare", id="compare-tab")
                take = gr.Tab("Take away", id="take-tab")
                open_tab = gr.Tab("Open", id="open-tab")
    page = Page(
        opened=opened,
        prepared=prepared,
        history=history,
        own=own,
        tick=tick,
        picture=picture,
        comparison=comparison,
        comparing=comparing,
        undo=undo,
        redo=redo,
        reset=reset,
        download=download,
        strip=strip,
        start=start,
        to_seed=to_seed,
        seed=seed,
        shuffle=shuffle,
        count=count,
        psi=psi,
        class_index=class_index,
        noise=noise,
        link=link,
        upload=upload,
        picker=picker,
        load=load,
        badge=badge,
        panel=panel,
        overlap=overlap,
    )
    return page, Tabs(compose, explore, compare, take, open_tab)


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


def _under_picture() -> tuple[gr.Checkbox, gr.Button, gr.Button, gr.Button, gr.DownloadButton]:
    with gr.Row(elem_id="under-picture"):
        comparing = gr.Checkbox(label="Before / after", value=False, container=False, min_width=120)
        undo = gr.Button("Undo", size="md", elem_id="undo", interactive=False)
        redo = gr.Button("Redo", size="md", elem_id="redo", interactive=False)
        reset = gr.Button("Reset", size="md", elem_id="reset")
        download = gr.DownloadButton("Download PNG", size="md", variant="primary", elem_id="download")
    return comparing, undo, redo, reset, download


def _start() -> tuple[gr.Row, gr.Button]:
    with gr.Row(elem_id="start", visible=False) as start:
        gr.HTML("<p>This picture starts from a latent, not from the seed.</p>", padding=False)
        to_seed = gr.Button("Back to the seed", size="sm", min_width=120)
    return start, to_seed


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


def _scene() -> tuple[gr.Number, gr.Button, gr.Radio, gr.Slider, gr.Dropdown, gr.Checkbox]:
    with gr.Row(elem_id="scene"):
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
        count = gr.Radio(
            [(str(n), n) for n in COUNTS],
            value=1,
            label="Pictures",
            interactive=True,
            min_width=130,
            elem_id="count",
        )
    class_index = gr.Dropdown(
        [], label="Class", interactive=True, visible=False, min_width=160, filterable=True, elem_id="class-index"
    )
    with gr.Row(elem_id="drawing"):
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
        noise = gr.Checkbox(
            True,
            label="Noise",
            info="fine random detail",
            interactive=True,
            visible=False,
            min_width=110,
            elem_id="noise",
        )
    return seed, shuffle, count, psi, class_index, noise


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
