"""The Gradio app: `build_app` wires the page to the editor, `launch` serves it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gradio as gr

from eigan import sources
from eigan.ui import scripts
from eigan.ui.controls import MOVE, render_pack_controls
from eigan.ui.editor import Editor, Prepared, Scene, Updates, edit_endpoint, plainly
from eigan.ui.page import TITLE, lay_out
from eigan.ui.session import Studios
from eigan.ui.style import CSS, theme

KEEP_FILES = (3600, 24 * 3600)  # seconds: look every hour, delete pictures after a day
MAX_QUEUE = 64
OPEN: dict[str, Any] = {"concurrency_id": "open", "concurrency_limit": 2, "api_visibility": "private"}


def is_hosted() -> bool:
    """Whether this runs as a Space, where visitors are strangers."""
    return bool(os.environ.get("SPACE_ID")) or os.environ.get("SYSTEM") == "spaces"


def build_app(pack: str | None = None, *, hosted: bool | None = None) -> gr.Blocks:
    """The app, opening with `pack` (the first bundled one when None). hosted: see `Studios`; None asks the environment.

    Nothing is loaded until the first visitor arrives.
    """
    studios = Studios(hosted=is_hosted() if hosted is None else hosted)
    packs = sources.bundled_packs()
    default = pack or (packs[0] if packs else "")
    with gr.Blocks(title=f"{TITLE}: sliders for GANs", analytics_enabled=False, delete_cache=KEEP_FILES) as app:
        page = lay_out(packs, hosted=studios.hosted)
        editor = Editor(page, studios, default, os.environ)
        _listen_for_openings(app, editor)
        with page.pack_controls:
            render_pack_controls(editor)
        gr.api(edit_endpoint(studios), api_name="edit", concurrency_id="open")
    app.queue(max_size=MAX_QUEUE, default_concurrency_limit=4)
    return app


def launch(app: gr.Blocks, *, port: int | None = None, prevent_thread_lock: bool = False) -> str:
    """Serve `app` and return its address; blocks until interrupted unless told otherwise.

    GRADIO_SERVER_NAME and GRADIO_SERVER_PORT are respected; a port given here comes first.

    Raises:
        OSError: the port is taken.
    """
    _, address, _ = app.launch(
        server_port=port,
        prevent_thread_lock=prevent_thread_lock,
        theme=theme(),
        css=CSS,
        js=scripts.ENTER_LOADS,
        ssr_mode=False,
        share=False,
        max_file_size="16mb",
        footer_links=["api", "settings"],
    )
    return str(address)


def _listen_for_openings(app: gr.Blocks, editor: Editor) -> None:
    """Page load, picker, upload: what opens another pack or picture.

    Loading (which may wait for the Hub) and showing are two steps: the second is quick and stands in line with the
    moves of sliders, so that the old pack's last picture cannot arrive after the new one's first.
    """
    page = editor.page

    def arrive(request: gr.Request) -> Updates:
        return editor.arrive(dict(request.query_params), request.headers)

    @plainly
    def prepare_pack(
        source: str | None, seed: int | None, psi: float | None, class_index: int | None, comparing: bool
    ) -> Prepared:
        return editor.prepare_pack(source or "", Scene(seed, psi, class_index, comparing))

    @plainly
    def prepare_picture(path: str) -> Prepared:
        return editor.prepare_picture(Path(path))

    @plainly
    def show(prepared: Prepared, comparing: bool, request: gr.Request) -> Updates:
        return editor.show(prepared, comparing, request.headers)

    app.load(arrive, None, page.everything, show_progress="hidden", **OPEN)
    inputs = [page.picker, page.seed, page.psi, page.class_index, page.comparing]
    settle = scripts.bring_within(inputs.index(page.psi), len(inputs))
    chosen = gr.on(
        [page.picker.select, page.load.click],
        prepare_pack,
        inputs,
        page.prepared,
        js=settle,
        show_progress_on=page.badge,
        **OPEN,
    )
    uploaded = page.upload.upload(prepare_picture, page.upload, page.prepared, show_progress_on=page.badge, **OPEN)
    for opening in (chosen, uploaded):
        opening.success(show, [page.prepared, page.comparing], page.everything, **MOVE)
