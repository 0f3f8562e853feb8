"""The Explore tab: what a pack's directions do (contact sheet), one of them over its range (sweep), and, by way of
`workbench`, naming and publishing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from eigan import sources
from eigan.errors import PackFormatError
from eigan.format import read_manifest
from eigan.ui import served
from eigan.ui.desk import OPEN, Desk
from eigan.ui.editor import Now, Opened, Prepared, Updates, plainly
from eigan.ui.hints import hints_of
from eigan.ui.labels import escape_html, shown_names
from eigan.ui.naming import name_of, open_sources
from eigan.ui.release import Counter, lay_out_counter, listen_counter
from eigan.ui.session import Studio, Studios
from eigan.ui.sheets import (
    MAX_SEEDS,
    MAX_STEPS,
    PAGE,
    bare,
    caption,
    draw_sheet,
    draw_sweep,
    png,
    sheet_note,
    strip_image,
    sweep_amounts,
    sweep_seeds,
    tiles_value,
)
from eigan.ui.tiles import OPEN_PACKS, Shown, check_generator, make_tiles, shown_now, tried
from eigan.ui.workbench import WORK, Bench, fill_form, lay_out_bench, listen_bench
from hub_export.previews import slugs

QUICK: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
UNDRAWN = "<p>Every direction pushed both ways, from the seed as it stands. Press a picture to try it.</p>"
REACH = 60  # per cent of each slider's range
STEPS = 7


@dataclass(frozen=True, eq=False)
class Explore:
    """Components by the part they play; `sheet_shown` and `sweep_shown` hold a Shown, or None."""

    tab: gr.Tab
    sheet_shown: gr.State
    sweep_shown: gr.State
    direction: gr.Dropdown
    source: gr.Dropdown
    reach: gr.Slider
    draw: gr.Button
    earlier: gr.Button
    later: gr.Button
    note: gr.HTML
    sheet: gr.HTML
    low: gr.Number
    high: gr.Number
    steps: gr.Slider
    rows: gr.Slider
    sweep: gr.Button
    strip: gr.HTML
    keep: gr.DownloadButton
    bench: Bench
    counter: Counter


def lay_out_explore(tab: gr.Tab, *, hosted: bool) -> Explore:
    """The contents of `tab`, the current one."""
    sheet_shown, sweep_shown = gr.State(None), gr.State(None)
    direction = gr.Dropdown(
        [],
        label="Direction",
        info="press a picture of the sheet, or choose here",
        allow_custom_value=True,
        interactive=True,
        elem_id="direction",
    )
    with gr.Tabs(elem_id="explore-tabs"):
        with gr.Tab("Contact sheet", id="sheet-tab"):
            source, reach, draw, earlier, later, note, sheet = _sheet_part()
        with gr.Tab("Sweep", id="sweep-tab"):
            low, high, steps, rows, sweep, strip, keep = _sweep_part()
        bench = lay_out_bench(hosted=hosted)
        counter = lay_out_counter(hosted=hosted)
    return Explore(
        tab=tab,
        sheet_shown=sheet_shown,
        sweep_shown=sweep_shown,
        direction=direction,
        source=source,
        reach=reach,
        draw=draw,
        earlier=earlier,
        later=later,
        note=note,
        sheet=sheet,
        low=low,
        high=high,
        steps=steps,
        rows=rows,
        sweep=sweep,
        strip=strip,
        keep=keep,
        bench=bench,
        counter=counter,
    )


def _sheet_part() -> tuple[gr.Dropdown, gr.Slider, gr.Button, gr.Button, gr.Button, gr.HTML, gr.HTML]:
    with gr.Row(elem_id="sheet-tools"):
        source = gr.Dropdown(
            [("what is open", OPEN_PACKS)],
            value=OPEN_PACKS,
            label="Directions of",
            info="packs of the same generator",
            interactive=True,
            min_width=170,
            scale=2,
            elem_id="sheet-source",
        )
        reach = gr.Slider(
            10,
            100,
            REACH,
            step=10,
            label="How far",
            info="per cent of each range",
            interactive=True,
            min_width=150,
            scale=2,
            elem_id="reach",
        )
    with gr.Row(elem_id="sheet-buttons"):
        draw = gr.Button("Draw the sheet", variant="primary", size="md", min_width=130, elem_id="draw-sheet")
        earlier = gr.Button("Earlier", size="md", min_width=80, interactive=False, elem_id="sheet-earlier")
        later = gr.Button("Later", size="md", min_width=80, interactive=False, elem_id="sheet-later")
    note = gr.HTML(
        UNDRAWN,
        elem_id="explore-note",
        padding=False,
        apply_default_css=False,
    )
    return source, reach, draw, earlier, later, note, make_tiles("sheet")


def _sweep_part() -> tuple[gr.Number, gr.Number, gr.Slider, gr.Slider, gr.Button, gr.HTML, gr.DownloadButton]:
    with gr.Row(elem_id="sweep-ends"):
        low = gr.Number(-3, label="From", interactive=True, min_width=100, elem_id="sweep-low")
        high = gr.Number(3, label="To", interactive=True, min_width=100, elem_id="sweep-high")
        steps = gr.Slider(2, MAX_STEPS, STEPS, step=1, label="Steps", interactive=True, min_width=140, elem_id="steps")
        rows = gr.Slider(1, MAX_SEEDS, 1, step=1, label="Seeds", interactive=True, min_width=140, elem_id="rows")
    with gr.Row(elem_id="sweep-buttons"):
        sweep = gr.Button("Sweep", variant="primary", size="md", min_width=100, elem_id="sweep")
        keep = gr.DownloadButton("Download strip", size="md", min_width=100, interactive=False, elem_id="save-strip")
    return low, high, steps, rows, sweep, make_tiles("strip"), keep


# ---- behaviour


def listen_explore(desk: Desk, explore: Explore) -> None:
    """Wire the tab's events."""
    _listen_for_packs(desk, explore)
    _listen_for_sheets(desk, explore)
    _listen_for_sweeps(desk, explore)
    listen_bench(desk, explore.bench, explore.direction)
    listen_counter(desk, explore.counter, explore.bench)


def _listen_for_packs(desk: Desk, explore: Explore) -> None:
    """What can be chosen follows what is open; the form follows the direction."""
    form = [explore.low, explore.high, *explore.bench.filled]

    @plainly
    def opened(
        state: Opened | None, source: str, direction: str | None, sheet: Shown | None, strip: Shown | None
    ) -> Updates:
        return {} if not state else _renewed(explore, _studio(desk, state), source, direction, sheet, strip)

    @plainly
    def chosen(state: Opened | None, direction: str | None) -> Any:
        return gr.skip() if not state else dict(zip(form, _filled(_studio(desk, state), direction or ""), strict=True))

    inputs = [desk.page.opened, explore.source, explore.direction, explore.sheet_shown, explore.sweep_shown]
    outputs = [*inputs[1:], explore.sheet, explore.note, explore.strip, explore.keep, explore.earlier, explore.later]
    desk.page.opened.change(opened, inputs, [*outputs, *form], **QUICK)
    explore.direction.input(chosen, [desk.page.opened, explore.direction], form, **QUICK)


def _listen_for_sheets(desk: Desk, explore: Explore) -> None:
    inputs = [*desk.standing, explore.source, explore.reach, explore.sheet_shown]
    outputs = [explore.sheet, explore.note, explore.sheet_shown, explore.earlier, explore.later]

    def drawing(where: Callable[[Shown | None], int]) -> Any:
        def draw(progress: gr.Progress = gr.Progress(), *values: Any) -> Updates:
            now, (source, reach, shown) = desk.read(*values[:-3]), values[-3:]
            report = lambda done, total: progress((done, total), desc="Drawing", unit="directions")  # noqa: E731
            return _draw(
                desk.studios, explore, now, source or OPEN_PACKS, (reach or REACH) / 100, where(shown), shown, report
            )

        return plainly(draw)

    def first(progress: gr.Progress = gr.Progress(), *values: Any) -> Any:
        state, shown = values[0], values[-1]
        if not state or (shown and shown.key == state["key"]) or _studio(desk, state).is_slow:
            return gr.skip()
        return drawing(lambda shown: 0)(progress, *values)

    def attempt(event: gr.EventData, *values: Any) -> Any:
        return _try_tile(desk, desk.read(*values[:-1]), values[-1], event.index)

    progress_on = {"show_progress_on": explore.note}
    explore.tab.select(plainly(first), inputs, outputs, **WORK, **progress_on)
    explore.draw.click(drawing(lambda shown: shown.start if shown else 0), inputs, outputs, **WORK, **progress_on)
    explore.earlier.click(
        drawing(lambda shown: max(0, shown.start - PAGE) if shown else 0), inputs, outputs, **WORK, **progress_on
    )
    explore.later.click(drawing(lambda shown: shown.stop if shown else 0), inputs, outputs, **WORK, **progress_on)
    form = [explore.low, explore.high, *explore.bench.filled]
    pressed = explore.sheet.select(
        plainly(attempt),
        [*desk.standing, explore.sheet_shown],
        [desk.page.prepared, explore.direction, *form],
        show_progress="hidden",
        **OPEN,
    )
    desk.go(pressed)


def _listen_for_sweeps(desk: Desk, explore: Explore) -> None:
    def draw(progress: gr.Progress = gr.Progress(), *values: Any) -> Updates:
        now, (name, low, high, steps, rows) = desk.read(*values[:-5]), values[-5:]
        if low is None or high is None:
            raise PackFormatError("From or To is empty; write how far to sweep, in sigmas")
        amounts, seeds = sweep_amounts(low, high, int(steps)), sweep_seeds(now.recipe, int(rows))
        report = lambda done, total: progress((done, total), desc="Sweeping", unit="amounts")  # noqa: E731
        found = draw_sweep(now.studio, now.recipe, name or "", amounts, seeds, progress=report)
        file = f"sweep-{slugs([name])[0]}-seed-{now.recipe.seed}.png"
        shown = shown_now(now, OPEN_PACKS, found, names=(name,) * len(found), seeds=tuple(seeds))
        return {
            explore.strip: tiles_value(found, f"Sweep of {name}", layout="rows"),
            explore.sweep_shown: shown,
            explore.keep: gr.update(value=served.lasting.put(png(strip_image(found)), file), interactive=True),
        }

    def attempt(event: gr.EventData, *values: Any) -> Prepared | None:
        now, shown = desk.read(*values[:-1]), values[-1]
        if shown is None:
            return None
        check_generator(shown, now)
        group, amount = shown.tile(event.index)
        recipe = tried(now, shown.names[group], amount)
        return desk.editor.prepare_recipe(replace(recipe, seed=shown.seeds[group]))

    inputs = [*desk.standing, explore.direction, explore.low, explore.high, explore.steps, explore.rows]
    outputs = [explore.strip, explore.sweep_shown, explore.keep]
    explore.sweep.click(plainly(draw), inputs, outputs, show_progress_on=explore.strip, **WORK)
    pressed = explore.strip.select(
        plainly(attempt), [*desk.standing, explore.sweep_shown], desk.page.prepared, show_progress="hidden", **OPEN
    )
    desk.go(pressed)


def _draw(
    studios: Studios,
    explore: Explore,
    now: Now,
    source: str,
    reach: float,
    start: int,
    before: Shown | None,
    report: Callable[[int, int], None],
) -> Updates:
    """A page of the sheet. Another pack's, or another opening's, begins at its first direction."""
    studio, pack, hints = now.studio, now.studio.pack, now.studio.hints
    if source != OPEN_PACKS:
        pack = studios.load_pack(studios.check_source(source))
        pack.check_fits(studio.generator)
        hints = hints_of([pack], pack)
    is_same = before and before.source == source and (source != OPEN_PACKS or before.key == studio.key)
    if not is_same or start >= len(pack):
        start = 0
    recipe = bare(now.recipe)
    sheet = draw_sheet(studio, recipe, pack.directions, start=start, reach=reach, progress=report)
    by_name = {direction.name: direction for direction in pack}
    value = tiles_value(
        sheet.rows,
        f"What the directions of {pack.name} do",
        about=lambda row: caption(by_name[row.name], hints.get(row.name, "")),
    )
    return {
        explore.sheet: value,
        explore.note: f"<p>{escape_html(sheet_note(sheet, recipe, studio.generator))}</p>",
        explore.sheet_shown: shown_now(now, source, sheet.rows, page=(sheet.start, sheet.stop)),
        explore.earlier: gr.update(interactive=sheet.start > 0),
        explore.later: gr.update(interactive=sheet.stop < sheet.total),
    }


def _try_tile(desk: Desk, now: Now, shown: Shown | None, index: object) -> tuple[Any, ...]:
    """(what the page is to show, the direction pressed, the form filled for it)."""
    if shown is None:
        raise PackFormatError("there is no sheet; press Draw the sheet")
    check_generator(shown, now)
    group, amount = shown.tile(index)
    name, studio = shown.names[group], now.studio
    if shown.source != OPEN_PACKS:
        further = studio.further
        if shown.source not in (studio.source, *further):
            studio = desk.studios.open(studio.source, (*further, shown.source))
        name = name_of(open_sources(desk.studios, studio), shown.source, name)
    recipe = tried(replace(now, studio=studio, recipe=replace(now.recipe, further=studio.further)), name, amount)
    return (desk.editor.prepare_recipe(recipe), gr.update(value=name), *_filled(studio, name))


def _studio(desk: Desk, opened: Opened) -> Studio:
    return desk.studios.reopen(opened["key"], opened["source"], opened["further"])


def _renewed(
    explore: Explore, studio: Studio, source: str, direction: str | None, sheet: Shown | None, strip: Shown | None
) -> Updates:
    """The choices for what has been opened; what was drawn of anything else goes."""
    packs = [name for name in fitting_packs(studio.generator.fingerprint) if name != studio.source or studio.further]
    names = shown_names(studio.pack, [])
    choices = [(f"what is open ({studio.pack.name})", OPEN_PACKS), *((name, name) for name in packs)]
    updates: Updates = {
        explore.source: gr.update(choices=choices, value=source if source in packs else OPEN_PACKS),
        explore.direction: gr.update(choices=names),
    }
    if sheet and not _still_holds(sheet, studio):
        updates |= {explore.sheet: None, explore.sheet_shown: None, explore.note: UNDRAWN}
        updates |= {button: gr.update(interactive=False) for button in (explore.earlier, explore.later)}
    if strip and not _still_holds(strip, studio):
        updates |= {explore.strip: None, explore.sweep_shown: None, explore.keep: gr.update(interactive=False)}
    if direction not in studio.pack.names:
        updates[explore.direction] = gr.update(choices=names, value=names[0])
        updates |= zip((explore.low, explore.high, *explore.bench.filled), _filled(studio, names[0]), strict=True)
    return updates


def _still_holds(shown: Shown, studio: Studio) -> bool:
    """Whether what was drawn can still be pressed, now that `studio` is open."""
    if shown.fingerprint != studio.generator.fingerprint:
        return False
    return shown.source != OPEN_PACKS or set(shown.names) <= set(studio.pack.names)


def fitting_packs(fingerprint: str) -> list[str]:
    """Names of the bundled packs for that generator; a damaged one is left out."""
    return [name for name in sources.bundled_packs() if _made_for(name) == fingerprint]


def _made_for(name: str) -> str:
    """Fingerprint of the generator that the bundled pack is for; "" when it cannot be read."""
    path = sources.bundled_path(name)
    try:
        return read_manifest(path).generator.fingerprint if path else ""
    except PackFormatError:
        return ""


def _filled(studio: Studio, name: str) -> tuple[Any, ...]:
    """The sweep's ends and the form of a name, for the direction called `name`."""
    direction = studio.pack[name]
    return (*direction.amount_range, *fill_form(direction))
