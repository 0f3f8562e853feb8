"""The Take away tab: an animation of the edit, the edit on several seeds, and the picture as code."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from eigan.errors import EiganError, PackFormatError
from eigan.render import Renderer
from eigan.ui import animation, served
from eigan.ui.contact_sheet import Pair, draw_pairs, sheet_png, sheet_recipes
from eigan.ui.desk import IN_BROWSER, Desk, with_request
from eigan.ui.editor import Now, Updates, plainly
from eigan.ui.gpu import make_renderer
from eigan.ui.labels import escape_html, shown_names
from eigan.ui.links import file_name, page_address
from eigan.ui.snippets import (
    Snippet,
    client_snippet,
    comfyui_snippet,
    python_snippet,
    recipe_snippet,
    shell_snippet,
)

P = ParamSpec("P")
R = TypeVar("R")
WORK: dict[str, Any] = {
    "concurrency_id": "work",
    "concurrency_limit": 1,
    "show_progress": "hidden",  # told in the tab, frame by frame
    "api_visibility": "private",
}
LOOK: dict[str, Any] = {"show_progress": "hidden", "concurrency_id": "look", "api_visibility": "private"}
WHOLE, SWEEP = "whole", "sweep"
MOVES = [("The whole edit, there and back", WHOLE), ("One slider, end to end", SWEEP)]
FORMATS = [("WebP", ".webp"), ("MP4", ".mp4")]
CODES = ["Python", "API", "Shell", "ComfyUI", "JSON"]
SEEDS = (2, 12)
PRESS_DOWNLOAD = """() => document.querySelector("#download").click()"""
RENEW = """() => {
  if (!document.querySelector("#take-recipe")?.offsetParent) return;  // nobody looks: it is renewed when the tab opens
  document.querySelectorAll(".of-the-picture").forEach(part => part.classList.add("stale"));
  document.querySelector("#take-update").click();
}"""
RENEWED = """() => document.querySelectorAll(".of-the-picture").forEach(part => part.classList.remove("stale"))"""


@dataclass(frozen=True, eq=False)
class Take:
    """The tab's components."""

    tab: gr.Tab
    png: gr.Button
    recipe: gr.DownloadButton
    update: gr.Button
    move: gr.Radio
    direction: gr.Dropdown
    format: gr.Radio
    count: gr.Slider
    fps: gr.Slider
    size: gr.Dropdown
    make: gr.Button
    stop: gr.Button
    note: gr.HTML
    film: gr.Image
    video: gr.Video
    download: gr.DownloadButton
    seeds: gr.Slider
    lay: gr.Button
    stop_sheet: gr.Button
    note_sheet: gr.HTML
    sheet: gr.Image
    download_sheet: gr.DownloadButton
    language: gr.Radio
    about: gr.HTML
    code: gr.Code


def plainly_each(handler: Callable[P, Iterator[R]]) -> Callable[P, Iterator[R]]:
    """As `plainly`, for a handler that yields: between two yields it can be stopped."""

    @functools.wraps(handler)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        try:
            yield from handler(*args, **kwargs)
        except EiganError as error:
            raise gr.Error(escape_html(str(error)), print_exception=False) from None

    return guarded


def lay_out_take(tab: gr.Tab) -> Take:
    """The contents of `tab`, inside it."""
    with gr.Row(elem_id="take-files"):
        png = gr.Button("Picture (PNG)", size="md", elem_id="take-png")
        recipe = gr.DownloadButton("Recipe (JSON)", size="md", elem_id="take-recipe", elem_classes="of-the-picture")
        update = gr.Button("Refresh", size="md", elem_id="take-update")
    with gr.Tabs(elem_id="take-kinds"):
        with gr.Tab("Animation"):
            animated = _lay_out_animation()
        with gr.Tab("Contact sheet"):
            sheet = _lay_out_sheet()
        with gr.Tab("Code"):
            code = _lay_out_code()
    return Take(tab=tab, png=png, recipe=recipe, update=update, **animated, **sheet, **code)


def _lay_out_animation() -> dict[str, Any]:
    move = gr.Radio(MOVES, value=WHOLE, label="What moves", interactive=True, elem_id="film-move")
    direction = gr.Dropdown(
        [], value=None, label="Slider", interactive=True, filterable=True, visible=False, elem_id="film-direction"
    )
    with gr.Row(elem_id="film-options"):
        kind = gr.Radio(FORMATS, value=".webp", label="As", interactive=True, min_width=220, elem_id="film-format")
        size = gr.Dropdown(
            [], value=None, label="Size", info="pixels", interactive=True, min_width=90, elem_id="film-size"
        )
    with gr.Row():
        low, high = animation.COUNT
        count = gr.Slider(
            low, high, 16, step=1, label="Frames", info="there; as many back", interactive=True, elem_id="film-count"
        )
        low, high = animation.FPS
        fps = gr.Slider(low, high, 20, step=1, label="Frames a second", interactive=True, elem_id="film-fps")
    with gr.Row(elem_id="film-buttons"):
        make = gr.Button("Make the animation", variant="primary", size="md", elem_id="film-make")
        stop = gr.Button("Stop", size="md", elem_id="film-stop")
        download = gr.DownloadButton("Download animation", size="md", visible=False, elem_id="film-download")
    note = gr.HTML("", elem_id="film-note", padding=False)
    film = gr.Image(
        label="Animation",
        show_label=False,
        interactive=False,
        visible=False,
        buttons=["fullscreen"],
        alt_text="The animation of the edit",
        elem_id="film",
    )
    video = gr.Video(
        label="Video",
        show_label=False,
        interactive=False,
        visible=False,
        autoplay=True,
        loop=True,
        elem_id="film-video",
    )
    return {
        "move": move,
        "direction": direction,
        "format": kind,
        "count": count,
        "fps": fps,
        "size": size,
        "make": make,
        "stop": stop,
        "note": note,
        "film": film,
        "video": video,
        "download": download,
    }


def _lay_out_sheet() -> dict[str, Any]:
    seeds = gr.Slider(
        *SEEDS,
        6,
        step=1,
        label="Seeds",
        info="the picture's own and those that follow, each before and after the edit",
        interactive=True,
        elem_id="pairs-seeds",
    )
    with gr.Row(elem_id="pairs-buttons"):
        lay = gr.Button("Make the sheet", variant="primary", size="md", elem_id="pairs-make")
        stop_sheet = gr.Button("Stop", size="md", elem_id="pairs-stop")
        download_sheet = gr.DownloadButton("Download sheet", size="md", visible=False, elem_id="pairs-download")
    note_sheet = gr.HTML("", elem_id="pairs-note", padding=False)
    sheet = gr.Image(
        format="png",
        label="Contact sheet",
        show_label=False,
        interactive=False,
        visible=False,
        buttons=[],
        alt_text="The edit on several seeds: before above, after below",
        elem_id="pairs",
    )
    return {
        "seeds": seeds,
        "lay": lay,
        "stop_sheet": stop_sheet,
        "note_sheet": note_sheet,
        "sheet": sheet,
        "download_sheet": download_sheet,
    }


def _lay_out_code() -> dict[str, Any]:
    language = gr.Radio(
        CODES, value=CODES[0], label="As", show_label=False, container=False, interactive=True, elem_id="code-as"
    )
    about = gr.HTML("", elem_id="code-about", padding=False)
    code = gr.Code(
        "",
        language="python",
        label="Code",
        show_label=False,
        interactive=False,
        buttons=["copy"],
        wrap_lines=True,
        max_lines=30,
        elem_id="code",
        elem_classes="of-the-picture",
    )
    return {"language": language, "about": about, "code": code}


def listen_take(desk: Desk, tab: Take) -> None:
    """Wire the tab's events."""
    _listen_for_code(desk, tab)
    _listen_for_animation(desk, tab)
    _listen_for_sheet(desk, tab)


def _listen_for_code(desk: Desk, tab: Take) -> None:
    """What belongs to the picture as it stands is renewed when the tab opens, and with each new picture while it is
    looked at; until it is, it cannot be copied."""

    @plainly
    def fill(chosen: str | None, size: int | None, *values: Any) -> Updates:
        counts = [int(value or least) for value, least in zip(values[:2], (animation.COUNT[0], SEEDS[0]), strict=True)]
        return bounds(tab, desk.read(*values[2:]), chosen, size, counts)

    @plainly
    def renew(language: str, *values: Any, request: gr.Request) -> Updates:
        now = desk.read(*values)
        snippet = snippet_of(language, now, page_address(request.headers, desk.editor.environ))
        data = now.recipe.to_json().encode()
        return {
            tab.recipe: served.lasting.put(data, f"{PurePath(file_name(now.recipe)).stem}.json"),
            tab.about: f"<p>{escape_html(snippet.about)}</p>",
            tab.code: gr.update(value=snippet.text, language=snippet.language),
        }

    asked, renewed = [tab.language, *desk.standing], [tab.recipe, tab.about, tab.code]
    opened = [tab.tab.select, tab.update.click]
    tab.png.click(js=PRESS_DOWNLOAD, **IN_BROWSER)
    bounded = [tab.direction, tab.size, tab.count, tab.seeds]
    gr.on(opened, fill, [*bounded, *desk.standing], bounded, trigger_mode="always_last", **LOOK)
    heard = [*opened, tab.language.input]
    done = gr.on(heard, with_request(renew), asked, renewed, trigger_mode="always_last", **LOOK)
    done.success(js=RENEWED, **IN_BROWSER)
    desk.page.history.change(js=RENEW, **IN_BROWSER)


def _listen_for_animation(desk: Desk, tab: Take) -> None:
    @plainly_each
    def make(move: str, name: str | None, suffix: str, *values: Any) -> Iterator[Any]:
        (count, fps, size), now = values[:3], desk.read(*values[3:])
        shape = animation.Shape.of(count, fps, size, now.studio.generator.resolution)
        yield from animate(tab, now, _moving(now, move, name), suffix, shape)

    own = [tab.move, tab.direction, tab.format, tab.count, tab.fps, tab.size]
    made = tab.make.click(make, [*own, *desk.standing], [tab.note, tab.film, tab.video, tab.download], **WORK)
    tab.stop.click(cancels=[made], **IN_BROWSER).then(_stopped, None, tab.note, **LOOK)
    tab.move.input(_show_direction, tab.move, tab.direction, **LOOK)


def _listen_for_sheet(desk: Desk, tab: Take) -> None:
    @plainly_each
    def make(count: float | None, *values: Any) -> Iterator[Any]:
        yield from lay_sheet(tab, desk.read(*values), int(count or 0))

    made = tab.lay.click(make, [tab.seeds, *desk.standing], [tab.note_sheet, tab.sheet, tab.download_sheet], **WORK)
    tab.stop_sheet.click(cancels=[made], **IN_BROWSER).then(_stopped, None, tab.note_sheet, **LOOK)


def _stopped() -> str:
    """No more word of how far it is: through the queue, so that it comes after the last one."""
    return ""


def drawing(done: int, total: int, what: str) -> str:
    """HTML: how far the work is."""
    return (
        f'<p class="drawing" role="status"><progress value="{done}" max="{total}" aria-label="{what}"></progress> '
        f"{done} of {total} {what}</p>"
    )


def _show_direction(move: str) -> Any:
    return gr.update(visible=move == SWEEP)


def bounds(tab: Take, now: Now, chosen: str | None, size: int | None, counts: Sequence[int]) -> Updates:
    """The tab's controls as this generator and these packs allow; what was chosen stays where it still can.

    counts: of frames and of seeds.
    """
    names = shown_names(now.studio.pack, list(now.recipe.amounts))
    moved = next(iter(now.recipe.amounts), names[0])
    resolution = now.studio.generator.resolution
    sizes = animation.sizes_for(resolution)
    frames, seeds = animation.most_frames(now.studio.renderer), most_seeds(now.studio.renderer)
    return {
        tab.direction: gr.update(choices=names, value=chosen if chosen in names else moved),
        tab.size: gr.update(choices=sizes, value=size if size in sizes else animation.usual_size(resolution)),
        tab.count: gr.update(maximum=frames, value=min(counts[0], frames)),
        tab.seeds: gr.update(maximum=seeds, value=min(counts[1], seeds)),
    }


def most_seeds(renderer: Renderer) -> int:
    """How many seeds a sheet may have: two pictures of each are drawn."""
    return animation.affordable(renderer, animation.SECONDS / 2, *SEEDS)


def animate(tab: Take, now: Now, move: Any, suffix: str, shape: animation.Shape) -> Iterator[Any]:
    """Draws the frames, one between two yields, then shows the file. Raises EiganError."""
    animation.check_affordable(now.studio.renderer, shape)
    renderer, drawn = make_renderer(now.studio.generator), []  # its own: the sliders' goes on from where it stands
    for frame in animation.draw_move(renderer, now.recipe, move, shape.count, shape.size):
        drawn.append(frame)
        yield {tab.note: drawing(len(drawn), 2 * shape.count - 2, "frames")}
    data = animation.encode(drawn, suffix, shape.fps)
    path = served.lasting.put(data, f"{PurePath(file_name(now.recipe)).stem}{suffix}")
    is_video = suffix == ".mp4"
    yield {
        tab.note: "",
        tab.film: gr.update(value=None if is_video else path, visible=not is_video),
        tab.video: gr.update(value=path if is_video else None, visible=is_video),
        tab.download: gr.update(value=path, visible=True),
    }


def lay_sheet(tab: Take, now: Now, count: int) -> Iterator[Any]:
    """Draws the pairs, one between two yields, then shows the sheet. Raises EiganError."""
    most = most_seeds(now.studio.renderer)
    if not SEEDS[0] <= count <= most:
        raise PackFormatError(f"{count} seeds were asked for; of this generator, wanted {SEEDS[0]} to {most} here")
    if not now.recipe.amounts:
        raise PackFormatError("nothing is moved yet, so before and after would be the same; move a slider")
    recipes = sheet_recipes(now.recipe, count)
    pairs: list[Pair] = []
    for pair in draw_pairs(make_renderer(now.studio.generator), now.studio.pack, recipes):
        pairs.append(pair)
        yield {tab.note_sheet: drawing(len(pairs), count, "seeds")}
    path = served.lasting.put(sheet_png(pairs, now.recipe), f"{PurePath(file_name(now.recipe)).stem}-sheet.png")
    yield {
        tab.note_sheet: "",
        tab.sheet: gr.update(value=path, visible=True),
        tab.download_sheet: gr.update(value=path, visible=True),
    }


def snippet_of(language: str, now: Now, address: str) -> Snippet:
    """The picture as the code that was chosen. address: of this app, ending in '/'."""
    file = file_name(now.recipe)
    writers: dict[str, Callable[[], Snippet]] = {
        "Python": lambda: python_snippet(now.recipe, file),
        "API": lambda: client_snippet(now.recipe, address),
        "Shell": lambda: shell_snippet(now.recipe, address),
        "ComfyUI": lambda: comfyui_snippet(now.recipe, file),
    }
    return writers.get(language, lambda: recipe_snippet(now.recipe))()


def _moving(now: Now, move: str, name: str | None) -> Any:
    if move != SWEEP:
        return animation.whole_move(now.recipe, now.studio.pack)
    return animation.sweep(now.recipe, now.studio.pack, name or "")
