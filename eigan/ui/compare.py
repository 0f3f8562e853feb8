"""The Compare tab: one edit by several packs of the same generator, side by side on the picture that is on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from eigan import sources
from eigan.errors import EiganError, PackFormatError
from eigan.format import read_manifest
from eigan.recipe import PictureRecipe
from eigan.ui.cite import citation
from eigan.ui.desk import IN_BROWSER, OPEN, Desk
from eigan.ui.editor import Now, Prepared, plainly
from eigan.ui.fitting import FIT_METHODS, FitSource
from eigan.ui.gpu import make_renderer
from eigan.ui.labels import escape_html, plan_slider, shorten, shown_names
from eigan.ui.offer_words import about_numbers, caption, cited_list, row_value
from eigan.ui.offers import further_entrants, make_offers, open_entrants, owner_of
from eigan.ui.panel import script
from eigan.ui.rivals import default_amount, methods_of

WORK: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 1, "api_visibility": "private"}
LOOK: dict[str, Any] = {"show_progress": "hidden", "concurrency_id": "look", "api_visibility": "private"}
CODE: dict[str, Any] = {"interactive": False, "buttons": ["copy"], "wrap_lines": True, "max_lines": 14}
SMALL = 128  # pixels; pictures up to it are compared without being asked for
ASK_FIRST = "This generator takes its time here: press Compare when slider and packs are chosen."
REFILL = """() => {
  if (document.querySelector("#compare-run")?.offsetParent) document.querySelector("#compare-refill").click();
}"""
INTRO = "The edit of one slider, made by other packs of the same generator: on the picture as it stands."


@dataclass(frozen=True, eq=False)
class Compare:
    """The tab's components. The states are the session's: `offers` are the rows' recipes and directions, `used` is the
    direction whose offer was taken last, `fingerprint` that of the generator that `packs` was filled for."""

    tab: gr.Tab
    direction: gr.Dropdown
    amount: gr.Slider
    packs: gr.Dropdown
    run: gr.Button
    refill: gr.Button  # hidden: pressed by the page when other packs are opened while the tab is looked at
    rows: gr.HTML  # value: {label, rows}; a press of a row's button is the event `select` with index
    caption: gr.HTML
    numbers: gr.HTML
    cited: gr.HTML
    bibtex: gr.Code
    recipe: gr.Code
    offers: gr.State
    used: gr.State
    fingerprint: gr.State


def lay_out_compare(tab: gr.Tab) -> Compare:
    """The contents of `tab`, inside it."""
    gr.HTML(f"<p>{INTRO}</p>", elem_id="compare-intro", padding=False)
    with gr.Row(elem_id="compare-what"):
        direction = gr.Dropdown(
            [],
            value=None,
            label="Slider",
            interactive=True,
            filterable=True,
            min_width=180,
            elem_id="compare-direction",
        )
        amount = gr.Slider(
            -3,
            3,
            0,
            step=0.1,
            label="How far",
            info="sigmas",
            interactive=True,
            min_width=250,
            elem_id="compare-amount",
        )
    with gr.Row(elem_id="compare-with"):
        packs = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            allow_custom_value=True,
            interactive=True,
            label="Packs",
            info="those bundled for this generator; type a Hub id to add one",
            scale=5,
            min_width=290,
            elem_id="compare-packs",
        )
        run = gr.Button("Compare", variant="primary", size="md", scale=1, min_width=110, elem_id="compare-run")
    refill = gr.Button("Refill", visible="hidden", elem_id="compare-refill")
    rows = gr.HTML(None, html_template="", js_on_load=script("compare.js"), apply_default_css=False, elem_id="rivals")
    caption = gr.HTML("", elem_id="compare-caption", padding=False)
    numbers = gr.HTML("", elem_id="compare-numbers", padding=False)
    with gr.Accordion("Cite", open=False, elem_id="cite"):
        cited = gr.HTML("", elem_id="cited", padding=False)
        bibtex = gr.Code("", language=None, label="BibTeX", elem_id="bibtex", **CODE)
        recipe = gr.Code("", language="json", label="Recipe of the picture", elem_id="cite-recipe", **CODE)
    return Compare(
        tab=tab,
        direction=direction,
        amount=amount,
        packs=packs,
        run=run,
        refill=refill,
        rows=rows,
        caption=caption,
        numbers=numbers,
        cited=cited,
        bibtex=bibtex,
        recipe=recipe,
        offers=gr.State([]),
        used=gr.State(""),
        fingerprint=gr.State(""),
    )


def listen_compare(desk: Desk, tab: Compare) -> None:
    """Wire the tab's events."""
    num_own = 3

    @plainly
    def fill(chosen: str | None, used: str, fingerprint: str, *values: Any) -> dict[Any, Any]:
        now = desk.read(*values)
        updates = choose(desk, tab, now, used or chosen)
        if fingerprint != now.studio.generator.fingerprint:
            updates |= {tab.packs: offered_packs(now), tab.fingerprint: now.studio.generator.fingerprint} | nothing(tab)
        return updates

    @plainly
    def aim(chosen: str | None, *values: Any) -> dict[Any, Any]:
        return choose(desk, tab, desk.read(*values), chosen)

    def compare(progress: gr.Progress, values: Sequence[Any]) -> dict[Any, Any]:
        name, amount, packs = values[:num_own]
        now = desk.read(*values[num_own:])
        if not name:
            raise PackFormatError("no slider is chosen; choose one of the list")
        return shown(desk, tab, now, str(name), float(amount or 0), packs or [], progress)

    @plainly
    def run(progress: gr.Progress = gr.Progress(), *values: Any) -> dict[Any, Any]:
        return compare(progress, values)

    @plainly
    def run_if_quick(progress: gr.Progress = gr.Progress(), *values: Any) -> dict[Any, Any]:
        studio = desk.read(*values[num_own:]).studio
        is_large = studio.generator.resolution > SMALL  # a first, cold picture makes a small one seem slow, too
        return nothing(tab, ASK_FIRST) if is_large and studio.is_slow else compare(progress, values)

    @plainly
    def use(offers: list[tuple[str, str]], event: gr.EventData) -> tuple[Prepared | None, str]:
        index = event.index
        if not (isinstance(index, int) and 0 <= index < len(offers)):
            return None, ""
        recipe, name = offers[index]
        return desk.editor.prepare_recipe(PictureRecipe.from_json(recipe)), name

    asked = [tab.direction, tab.amount, tab.packs, *desk.standing]
    results = [tab.rows, tab.caption, tab.numbers, tab.cited, tab.bibtex, tab.recipe, tab.offers]
    filled = [
        tab.direction,
        tab.amount,
        tab.packs,
        tab.used,
        tab.fingerprint,
        tab.rows,
        tab.caption,
        tab.numbers,
        tab.offers,
    ]
    standing = [tab.direction, tab.used, tab.fingerprint, *desk.standing]
    looked = tab.tab.select(fill, standing, filled, **LOOK)
    looked.success(run_if_quick, asked, results, show_progress_on=tab.rows, **WORK)
    tab.refill.click(fill, standing, filled, **LOOK)
    desk.page.opened.change(js=REFILL, **IN_BROWSER)
    aimed = tab.direction.input(aim, [tab.direction, *desk.standing], [tab.direction, tab.amount, tab.used], **LOOK)
    aimed.success(run_if_quick, asked, results, show_progress_on=tab.rows, **WORK)
    tab.amount.release(run_if_quick, asked, results, show_progress_on=tab.rows, trigger_mode="always_last", **WORK)
    tab.run.click(run, asked, results, show_progress_on=tab.rows, **WORK)
    desk.go(tab.rows.select(use, tab.offers, [desk.page.prepared, tab.used], show_progress="hidden", **OPEN))


def choose(desk: Desk, tab: Compare, now: Now, chosen: str | None) -> dict[Any, Any]:
    """The sliders to choose from and how far the chosen one goes: `chosen` if it is open, else what is moved furthest.

    Raises EiganError.
    """
    pack, moved = now.studio.pack, now.recipe.amounts
    names = shown_names(pack, list(moved))
    furthest = max(moved, key=lambda name: abs(moved[name]), default=names[0])
    name = chosen if chosen in names else furthest
    owner, direction = owner_of(open_entrants(desk.studios, now.studio), name)
    plan = plan_slider(direction, moved.get(name, 0.0))
    amount = moved.get(name) or round(default_amount(owner.contender, direction) / plan.step) * plan.step
    return {
        tab.direction: gr.update(choices=names, value=name),
        tab.amount: gr.update(
            minimum=plan.low, maximum=plan.high, step=plan.step, value=amount, info=_poles(plan.poles)
        ),
        tab.used: "",
    }


def nothing(tab: Compare, words: str = "") -> dict[Any, Any]:
    """No rows, and why."""
    told = f'<p class="about">{escape_html(words)}</p>' if words else ""
    return {tab.rows: {"rows": []}, tab.caption: told, tab.numbers: "", tab.offers: []}


def offered_packs(now: Now) -> Any:
    """The packs to choose from: those bundled for this generator, which are taken, and fits on the spot."""
    bundled = bundled_for(now.studio.generator.fingerprint)
    source = now.studio.pack.made_for.source
    fits = [str(FitSource(method, source)) for method in FIT_METHODS] if source else []
    return gr.update(choices=[*bundled, *fits], value=bundled or fits)


def bundled_for(fingerprint: str) -> list[str]:
    """Names of the bundled packs of a generator."""
    found = []
    for name in sources.bundled_packs():
        folder = sources.bundled_path(name)
        try:
            if folder and read_manifest(folder).generator.fingerprint == fingerprint:
                found.append(name)
        except EiganError:
            continue  # a damaged one is told when it is opened
    return found


def shown(
    desk: Desk, tab: Compare, now: Now, name: str, amount: float, packs: Sequence[str], progress: gr.Progress
) -> dict[Any, Any]:
    """The comparison, for every part of the tab. Raises EiganError."""
    opened = open_entrants(desk.studios, now.studio)
    others, problems = further_entrants(desk.studios, now.studio, opened, [str(pack) for pack in packs])
    renderer = make_renderer(now.studio.generator)  # its own: the sliders' goes on from where it stands
    offers, undrawn = make_offers(
        renderer, now.recipe, name, amount, opened, others, lambda done, total: progress((done, total), unit="packs")
    )
    for problem in [*problems, *undrawn]:
        gr.Warning(escape_html(shorten(problem, 400)))
    compared = [offer.rival.contender.pack for offer in offers]
    methods = dict.fromkeys(method for pack in compared for method in methods_of(pack))
    return {
        tab.rows: {"label": f"{name} by each pack", "rows": [row_value(offer) for offer in offers]},
        tab.caption: caption(now.recipe, offers),
        tab.numbers: about_numbers(offers),
        tab.cited: cited_list(compared),
        tab.bibtex: citation(compared, methods),
        tab.recipe: now.recipe.to_json(),
        tab.offers: [(offer.recipe.to_json(), offer.name) for offer in offers],
    }


def _poles(poles: tuple[str, str]) -> str:
    return f"sigmas, from {poles[0]} to {poles[1]}" if all(poles) else "sigmas"
