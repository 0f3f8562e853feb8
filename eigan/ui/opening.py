"""The tab that opens packs: found on the Hub, in another version, or fitted on the spot; and what is known of the one
that is open. Everything that is shown here was written by strangers, and is escaped on its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from eigan import hub
from eigan.errors import EiganError, UnknownName
from eigan.pack import DirectionPack
from eigan.ui import scripts, served
from eigan.ui.cards import Card, provenance, read_card
from eigan.ui.desk import OPEN, Desk
from eigan.ui.editor import Opened, Prepared, Scene, Updates, plainly
from eigan.ui.finding import Finder, found_words, label, sentence, source_of
from eigan.ui.fitting import FIT_METHODS, FitSource, parse_fit
from eigan.ui.labels import escape_html
from eigan.ui.session import Studio

ASK: dict[str, Any] = {"concurrency_id": "hub", "concurrency_limit": 4, "api_visibility": "private"}
FIT: dict[str, Any] = {"concurrency_id": "fit", "concurrency_limit": 1, "api_visibility": "private"}
METHOD_CHOICES = [
    (f"{FIT_METHODS['sefa']}: from the weights, at once", "sefa"),
    (f"{FIT_METHODS['pca']}: from samples, some seconds", "pca"),
]
GENERATORS = "a bundled one (heads-64), or one on the Hub, like org/name@v1.0.0 or org/name:network.pkl"
WARNED = "Mind"  # the fact that is set off from the others


@dataclass(frozen=True, eq=False)
class Opening:
    """The tab and its components. The states are the session's. told_...: key of the packs that is told of."""

    place: gr.Tab
    words: gr.Textbox
    same: gr.Checkbox
    search: gr.Button
    note: gr.HTML
    found: gr.Radio
    open: gr.Button
    generator: gr.Textbox
    method: gr.Radio
    fit: gr.Button
    fit_note: gr.HTML
    version: gr.Dropdown
    version_note: gr.HTML
    facts: gr.HTML
    card: gr.HTML
    looked: gr.State  # whether the person has looked at the tab: before, nothing is fetched for it
    told_facts: gr.State
    told_card: gr.State
    told_versions: gr.State


def lay_out_opening(place: gr.Tab, *, hosted: bool = False) -> Opening:
    """The contents of the tab `place`, inside it."""
    looked, told_facts, told_card, told_versions = gr.State(False), gr.State(""), gr.State(""), gr.State("")
    with gr.Column(elem_id="opening"):
        words, same, search, note, found, open_found = _finding()
        generator, method, fit, fit_note = _fitting(hosted)
        version, version_note, facts, card = _telling()
    return Opening(
        place=place,
        words=words,
        same=same,
        search=search,
        note=note,
        found=found,
        open=open_found,
        generator=generator,
        method=method,
        fit=fit,
        fit_note=fit_note,
        version=version,
        version_note=version_note,
        facts=facts,
        card=card,
        looked=looked,
        told_facts=told_facts,
        told_card=told_card,
        told_versions=told_versions,
    )


def _finding() -> tuple[gr.Textbox, gr.Checkbox, gr.Button, gr.HTML, gr.Radio, gr.Button]:
    gr.HTML("<h2>Packs on the Hub</h2>", padding=False)
    with gr.Row(elem_id="hub-row"):
        words = gr.Textbox(
            label="Search the Hub",
            info="a word of the pack's name; nothing finds the most downloaded",
            max_length=80,
            lines=1,
            max_lines=1,
            interactive=True,
            scale=4,
            min_width=200,
            elem_id="hub-words",
        )
        search = gr.Button("Search", size="md", scale=1, min_width=90, elem_id="hub-search")
    same = gr.Checkbox(
        label="Only packs for the generator that is open", value=False, container=False, elem_id="same-generator"
    )
    note = gr.HTML("", elem_id="hub-note", padding=False)
    found = gr.Radio([], label="Packs found", visible=False, interactive=True, elem_id="hub-found")
    opens = gr.Button("Open this pack", size="md", variant="primary", visible=False, elem_id="open-found")
    return words, same, search, note, found, opens


def _fitting(hosted: bool) -> tuple[gr.Textbox, gr.Radio, gr.Button, gr.HTML]:
    gr.HTML("<h2>A generator without a pack</h2>", padding=False)
    generator = gr.Textbox(
        label="Generator",
        info=GENERATORS if hosted else f"{GENERATORS}; a file, a folder or an https address",
        max_length=400,
        lines=1,
        max_lines=1,
        interactive=True,
        elem_id="fit-generator",
    )
    with gr.Row(elem_id="fit-row"):
        method = gr.Radio(
            METHOD_CHOICES, value="sefa", label="Directions", interactive=True, scale=4, elem_id="fit-method"
        )
        fit = gr.Button("Fit and open", size="md", scale=1, min_width=120, elem_id="fit")
    fit_note = gr.HTML("", elem_id="fit-note", padding=False)
    return generator, method, fit, fit_note


def _telling() -> tuple[gr.Dropdown, gr.HTML, gr.HTML, gr.HTML]:
    gr.HTML("<h2>The pack that is open</h2>", padding=False)
    version = gr.Dropdown(
        [],
        value=None,
        label="Version",
        info="a version never changes; choosing one opens it",
        visible=False,
        interactive=True,
        elem_id="version",
    )
    version_note = gr.HTML("", padding=False)
    facts = gr.HTML("", elem_id="facts", padding=False, apply_default_css=False)
    card = gr.HTML("", elem_id="card", padding=False, apply_default_css=False)
    return version, version_note, facts, card


def listen_opening(desk: Desk, tab: Opening, finder: Finder | None = None) -> None:
    """Wire the tab. finder: what searches the Hub; None for one that does as the studios do."""
    finder = finder or Finder(hosted=desk.studios.hosted)
    _listen_for_searches(desk, tab, finder)
    _listen_for_choices(desk, tab)
    _listen_for_packs(desk, tab, finder)


def _listen_for_searches(desk: Desk, tab: Opening, finder: Finder) -> None:
    def search(words: str, same: bool, opened: Opened | None) -> Updates:
        nothing = {tab.found: gr.update(choices=[], value=None, visible=False), tab.open: gr.update(visible=False)}
        try:
            generator = standing_studio(desk, opened).pack.made_for.source if same else ""
            listings = finder.find_packs(words or "", generator)
            told = found_words(listings, words or "", generator)
        except EiganError as error:
            return nothing | {tab.note: note_html(sentence(error))}
        choices = [(label(listing), source_of(listing)) for listing in listings]
        first = choices[0][1] if choices else None
        return {
            tab.note: note_html(told),
            tab.found: gr.update(choices=choices, value=first, visible=bool(choices)),
            tab.open: gr.update(visible=bool(choices)),
        }

    gr.on(
        [tab.search.click, tab.words.submit],
        search,
        [tab.words, tab.same, desk.page.opened],
        [tab.note, tab.found, tab.open],
        show_progress_on=tab.note,
        **ASK,
    )


def _listen_for_choices(desk: Desk, tab: Opening) -> None:
    """What opens another pack: one that was found, another version, one that is fitted first."""
    page, editor = desk.page, desk.editor
    scene = [page.seed, page.psi, page.class_index, page.noise]

    @plainly
    def open_found(source: str | None, *values: Any) -> Prepared:
        return editor.prepare_pack(source or "", Scene(*values))

    @plainly
    def open_version(version: str | None, opened: Opened | None, *values: Any) -> Prepared:
        return editor.prepare_pack(version_source(standing_studio(desk, opened).source, version or ""), Scene(*values))

    @plainly
    def fit(
        generator: str,
        method: str,
        seed: int | None,
        psi: float | None,
        index: int | None,
        noise: bool,
        progress: gr.Progress = gr.Progress(),
    ) -> Prepared:
        source = str(fit_source(generator, method))
        progress(0, desc="opening the generator")
        desk.studios.load_pack(source, lambda done, total, what: progress((done, total), desc=what))
        return editor.prepare_pack(source, Scene(seed, psi, index, noise))

    def listen(event: Any, handler: Any, first: Sequence[Any], shown_on: Any, how: dict[str, Any]) -> None:
        inputs = [*first, *scene]
        settle = scripts.bring_within(inputs.index(page.psi), len(inputs))
        desk.go(event(handler, inputs, page.prepared, js=settle, show_progress_on=shown_on, **how))

    listen(tab.open.click, open_found, [tab.found], tab.note, OPEN)
    listen(tab.version.input, open_version, [tab.version, page.opened], tab.version, OPEN)
    listen(tab.fit.click, fit, [tab.generator, tab.method], tab.fit_note, FIT)


def _listen_for_packs(desk: Desk, tab: Opening, finder: Finder) -> None:
    """Licence, provenance, card and versions of what is open, from the first look at the tab on.

    Each comes in its own time, for the Hub may have to be asked for the last two; each is renewed only when another
    pack is open than the one it tells of.
    """
    opened = desk.page.opened

    def listen(tell: Callable[[Opened], Any], told: gr.State, *outputs: Any) -> None:
        def renew(opened: Opened | None, looked: bool, told: str) -> Any:
            if not looked or opened is None or opened["key"] == told:
                return tuple(gr.skip() for _ in (told, *outputs))
            return opened["key"], *tell(opened)

        gr.on(
            [tab.looked.change, opened.change],
            renew,
            [opened, tab.looked, told],
            [told, *outputs],
            trigger_mode="always_last",
            show_progress="hidden",
            **ASK,
        )

    tab.place.select(lambda: True, None, tab.looked, show_progress="hidden", **ASK)
    listen(lambda opened: (tell_facts(desk, opened),), tab.told_facts, tab.facts)
    listen(lambda opened: (tell_card(desk, opened),), tab.told_card, tab.card)
    listen(lambda opened: tell_versions(finder, opened), tab.told_versions, tab.version, tab.version_note)


def tell_facts(desk: Desk, opened: Opened) -> str:
    """HTML: what is known at once of the packs that are open."""
    try:
        studio = standing_studio(desk, opened)
        return "".join(facts_html(pack, provenance(pack, studio.generator)) for pack in packs_of(desk, studio))
    except EiganError as error:
        return note_html(sentence(error))


def tell_card(desk: Desk, opened: Opened) -> str:
    """HTML: the card of the pack that is open, the first one's where there are several."""
    try:
        pack = packs_of(desk, standing_studio(desk, opened))[0]
    except EiganError as error:
        return note_html(sentence(error))
    return card_html(pack, read_card(pack, token=desk.studios.token, show=serve_picture))


def tell_versions(finder: Finder, opened: Opened) -> tuple[Any, str]:
    """The list of the pack's versions, and why there is none."""
    try:
        return version_update(opened["source"], finder.versions_of(opened["source"])), ""
    except EiganError as error:
        return gr.update(visible=False), note_html(sentence(error))


def standing_studio(desk: Desk, opened: Opened | None) -> Studio:
    """The studio of what is open on the page. Raises UnknownName when nothing is; EiganError."""
    if opened is None:
        raise UnknownName("no pack is open; open one of the list first")
    return desk.studios.reopen(opened["key"], opened["source"], opened["further"])


def packs_of(desk: Desk, studio: Studio) -> list[DirectionPack]:
    """The packs that are open, each as it was loaded. Raises EiganError."""
    if not studio.further:
        return [studio.pack]
    return [desk.studios.load_pack(source) for source in (studio.source, *studio.further)]


def version_source(source: str, version: str) -> str:
    """What opens a version of the Hub pack that `source` is of. Raises UnknownName."""
    ref = hub.parse_ref(source)
    if ref is None or not hub.VERSION_TAG.fullmatch(version):
        raise UnknownName(f"{version[:40]!r} is no version of {source[:80]!r}; choose one of the list")
    return f"{ref.repo_id}@{version}"


def version_update(source: str, versions: Sequence[str]) -> Any:
    """The list of versions, standing at the one that is open; not shown where there are none."""
    ref = hub.parse_ref(source)
    current = ref.revision if ref and ref.revision in versions else None
    named = f"Version of {ref.repo_id}" if ref else "Version"
    return gr.update(choices=list(versions), value=current, visible=bool(versions), label=named)


def fit_source(generator: str, method: str) -> FitSource:
    """What the person asked to fit. Raises UnknownName when no generator was named."""
    text = (generator or "").strip()
    found = parse_fit(text) or parse_fit(str(FitSource(method, text)))
    if found is None:
        raise UnknownName(f"no generator was named; give {GENERATORS}")
    return found


def serve_picture(data: bytes, name: str) -> str:
    """The address of a picture of a card, kept where the page's own files are."""
    return f"gradio_api/file={quote(served.lasting.put(data, Path(name).name))}"


def note_html(text: str) -> str:
    """A sentence, for eyes and screen readers."""
    return f'<p class="note" role="status">{escape_html(text)}</p>'


def facts_html(pack: DirectionPack, facts: Sequence[tuple[str, str]]) -> str:
    """HTML: what is known of a pack, as a list of terms and what they are."""
    items = "".join(
        f'<div class="fact{" mind" if what == WARNED else ""}"><dt>{escape_html(what)}</dt>'
        f"<dd>{escape_html(value)}</dd></div>"
        for what, value in facts
    )
    return f'<section class="facts"><h3>{escape_html(pack.name)}</h3><dl>{items}</dl></section>'


def card_html(pack: DirectionPack, card: Card) -> str:
    """HTML: the card (safe already), under what went wrong with it."""
    told = note_html(card.problem) if card.problem else ""
    if not card.html:
        return told
    body = f'<div class="card" tabindex="0">{card.html}</div>'
    words = f"The card of {pack.name}, as its author wrote it"
    return f"{told}<details><summary>{escape_html(words)}</summary>{body}</details>"
