"""The Gradio app: `build_app` wires the page to the editor, `launch` serves it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gradio as gr

from eigan import sources
from eigan.ui import limits, scripts
from eigan.ui.api import add_endpoints, wants_mcp
from eigan.ui.compare import lay_out_compare, listen_compare
from eigan.ui.compose import lay_out_compose, listen_compose
from eigan.ui.desk import ARRIVE, IN_BROWSER, MOVE, OPEN, STEP, Desk
from eigan.ui.editor import Editor, Prepared, Scene, Updates, plainly
from eigan.ui.explore import lay_out_explore, listen_explore
from eigan.ui.finding import Finder
from eigan.ui.history import History
from eigan.ui.opening import lay_out_opening, listen_opening
from eigan.ui.page import TITLE, lay_out
from eigan.ui.session import Studios
from eigan.ui.style import CSS, theme
from eigan.ui.take import lay_out_take, listen_take

KEEP_FILES = (3600, 24 * 3600)  # seconds: look every hour, delete pictures after a day
MAX_QUEUE = 256


def is_hosted() -> bool:
    """Whether this runs as a Space, where visitors are strangers."""
    return bool(os.environ.get("SPACE_ID")) or os.environ.get("SYSTEM") == "spaces"


def build_app(pack: str | None = None, *, hosted: bool | None = None) -> gr.Blocks:
    """The app, opening with `pack` (the first bundled one when None). hosted: see `Studios`; None asks the environment.

    Nothing is loaded until the first visitor arrives.
    """
    limits.lighten_gradio()
    studios = Studios(hosted=is_hosted() if hosted is None else hosted)
    packs = sources.bundled_packs()
    default = pack or (packs[0] if packs else "")
    with gr.Blocks(title=f"{TITLE}: sliders for GANs", analytics_enabled=False, delete_cache=KEEP_FILES) as app:
        page, tabs = lay_out(packs, hosted=studios.hosted)
        desk = Desk(Editor(page, studios, default, os.environ))
        _listen_for_openings(app, desk)
        _listen_for_moves(desk)
        _listen_for_history(desk)
        with tabs.compose:
            compose = lay_out_compose()
        listen_compose(desk, compose)
        with tabs.compare:
            compare = lay_out_compare(tabs.compare)
        listen_compare(desk, compare)
        with tabs.take:
            take = lay_out_take(tabs.take)
        listen_take(desk, take)
        with tabs.explore:
            explore = lay_out_explore(tabs.explore, hosted=studios.hosted)
        listen_explore(desk, explore)
        finder = Finder(hosted=studios.hosted)
        with tabs.open:
            opening = lay_out_opening(tabs.open, hosted=studios.hosted)
        listen_opening(desk, opening, finder)
        add_endpoints(app, studios, finder)
    app.queue(max_size=MAX_QUEUE, default_concurrency_limit=4, api_open=False)
    return app


def launch(
    app: gr.Blocks, *, port: int | None = None, mcp: bool | None = None, prevent_thread_lock: bool = False
) -> str:
    """Serve `app` and return its address; blocks until interrupted unless told otherwise.

    GRADIO_SERVER_NAME and GRADIO_SERVER_PORT are respected; a port given here comes first. mcp: whether its endpoints
    are tools of an MCP server, too; None asks GRADIO_MCP_SERVER.

    Raises:
        OSError: the port is taken. EiganError: an MCP server is wanted, and its package is not there.
    """
    _, address, _ = app.launch(
        server_port=port,
        prevent_thread_lock=prevent_thread_lock,
        theme=theme(),
        css=CSS,
        js=scripts.ON_LOAD,
        ssr_mode=False,
        share=False,
        mcp_server=wants_mcp(mcp, os.environ),
        max_file_size=limits.MAX_FILE,
        state_session_capacity=limits.MAX_SESSIONS,
        app_kwargs={"middleware": limits.middleware()},
        enable_monitoring=False,
        run_history=False,
        footer_links=["api", "settings"],
    )
    return str(address)


def _listen_for_openings(app: gr.Blocks, desk: Desk) -> None:
    """Page load, picker, upload: what opens another pack or picture."""
    page, editor = desk.page, desk.editor

    def arrive(request: gr.Request) -> Updates:
        return editor.arrive(dict(request.query_params), request.headers)

    @plainly
    def prepare_pack(
        source: str | None, seed: int | None, psi: float | None, index: int | None, noise: bool
    ) -> Prepared:
        return editor.prepare_pack(source or "", Scene(seed, psi, index, noise))

    @plainly
    def prepare_picture(path: str) -> Prepared:
        return editor.prepare_picture(Path(path))

    app.load(arrive, None, page.everything, show_progress="hidden", **ARRIVE)
    inputs = [page.picker, page.seed, page.psi, page.class_index, page.noise]
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
    desk.go(chosen)
    desk.go(page.upload.upload(prepare_picture, page.upload, page.prepared, show_progress_on=page.badge, **OPEN))


def _listen_for_moves(desk: Desk) -> None:
    """The picture follows everything on the page.

    As tried with Gradio 6.31: answers to different events may be shown in another order than they were given. So
    exactly one event asks for pictures. It listens to every control with trigger_mode="always_last": one request at a
    time, and the last position always gets its picture.
    """
    page, editor = desk.page, desk.editor
    inputs = [*desk.standing, *desk.view]

    @plainly
    def follow(request: gr.Request, *values: Any) -> Any:
        opened, panel, *scene = values[: len(desk.standing)]
        view = desk.read_view(*values[len(desk.standing) :])
        updates = editor.follow(opened, panel, Scene(*scene), view, request.headers)
        return gr.skip() if updates is None else updates

    heard = [page.panel.input, page.seed.input, page.psi.input, page.psi.release, page.class_index.input]
    heard += [page.noise.input, page.count.input, page.comparing.input, page.tick.change]
    settle = scripts.bring_within(inputs.index(page.psi), len(inputs))
    gr.on(heard, follow, inputs, page.resting, js=settle, **MOVE)
    page.shuffle.click(outputs=[page.seed, page.tick], js=scripts.SHUFFLE, **IN_BROWSER)
    page.reset.click(js=scripts.RESET, **IN_BROWSER)


def _listen_for_history(desk: Desk) -> None:
    """Undo, redo, a click on the strip, a click on one of several pictures."""
    page, editor = desk.page, desk.editor

    def step(by: int) -> Any:
        def prepare(history: History) -> Prepared | None:
            return editor.prepare_step(history, history.at + by)

        return plainly(prepare)

    @plainly
    def jump(history: History, event: gr.EventData) -> Prepared | None:
        return editor.prepare_step(history, int(event.index))

    @plainly
    def pick(event: gr.SelectData, *values: Any) -> Any:
        now = desk.read(*values[: len(desk.standing)])
        view = desk.read_view(*values[len(desk.standing) :])
        chosen = editor.prepare_seed_at(now, view, *event.index[:2])
        return gr.skip() if chosen is None else (chosen, 1)

    for button, by in ((page.undo, -1), (page.redo, 1)):
        desk.go(button.click(step(by), page.history, page.prepared, show_progress="hidden", **STEP))
    desk.go(page.strip.select(jump, page.history, page.prepared, show_progress="hidden", **STEP))
    clicked = page.picture.select(
        pick, [*desk.standing, *desk.view], [page.prepared, page.count], show_progress="hidden", **STEP
    )
    desk.go(clicked)
