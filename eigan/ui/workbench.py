"""Naming, in the Explore tab: a form for a direction, the draft of a pack, and the pack as files. The draft lives in
the session; what it becomes is made by `eigan.ui.naming` and `eigan.ui.packing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from rich.filesize import decimal

from eigan.combine import joined_licenses
from eigan.errors import PackFormatError
from eigan.pack import MAX_NAME, Direction
from eigan.ui import served
from eigan.ui.desk import Desk
from eigan.ui.editor import Updates, plainly
from eigan.ui.labels import escape_html
from eigan.ui.naming import (
    MAX_WORDS,
    About,
    Draft,
    Entry,
    Source,
    build,
    bundled_sources,
    draft_sources,
    fitting_presets,
    names_file,
    open_sources,
    origin,
    read_draft,
    table_value,
)
from eigan.ui.packing import Built, finished, save_to, words_of
from eigan.ui.panel import script
from eigan.ui.publishing import care, is_at_home
from eigan.ui.session import Studio, Studios
from hub_export.naming import read_names

WORK: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 1, "api_visibility": "private"}
FORM: dict[str, Any] = {"concurrency_id": "form", "concurrency_limit": 4, "api_visibility": "private"}
LICENSES = ("cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0", "apache-2.0", "mit")
ADD = "Add to the draft"
TURN_ROUND = "(low, high, minus, plus) => [high === null ? null : -high, low === null ? null : -low, plus, minus]"


@dataclass(frozen=True, eq=False)
class Bench:
    """Components by the part they play. draft: a naming.Draft; editing: the name of the entry that the form is of."""

    draft: gr.State
    editing: gr.State
    name: gr.Textbox
    minus: gr.Textbox
    plus: gr.Textbox
    layers: gr.Textbox
    low: gr.Number
    high: gr.Number
    flip: gr.Checkbox
    words: gr.Textbox
    add: gr.Button
    table: gr.HTML
    read: gr.UploadButton
    clear: gr.Button
    pack_name: gr.Textbox
    license: gr.Dropdown
    about: gr.Textbox
    presets: gr.Checkbox
    make: gr.Button
    zip: gr.DownloadButton
    toml: gr.DownloadButton
    folder: gr.Textbox
    save: gr.Button
    said: gr.HTML

    @property
    def form(self) -> list[gr.components.Component]:
        """The boxes that an entry of the draft is made of."""
        return [self.name, self.minus, self.plus, self.layers, self.low, self.high, self.flip, self.words]

    @property
    def filled(self) -> list[gr.components.Component]:
        """What a direction at hand fills in: the form, for a new entry of the draft; `fill_form` gives the values."""
        return [*self.form, self.editing, self.add]

    @property
    def pack(self) -> list[gr.components.Component]:
        """Inputs that say what the pack is made of; `read_pack` takes their values."""
        return [self.draft, self.pack_name, self.license, self.about, self.presets]


def lay_out_bench(*, hosted: bool) -> Bench:
    """A tab of its own, inside the current tabs."""
    with gr.Tab("Name", id="name-tab"):
        draft, editing = gr.State(Draft()), gr.State("")  # in the tab: what lies between tabs upsets their order
        name, minus, plus, layers, low, high, flip, words, add = _form_part()
        table = gr.HTML(
            table_value(Draft()),
            html_template="",
            js_on_load=script("draft.js"),
            apply_default_css=False,
            elem_id="draft",
        )
        with gr.Row(elem_id="draft-buttons"):
            read = gr.UploadButton("Open a names file", file_types=[".toml"], size="sm", elem_id="read-names")
            clear = gr.Button("Start over", size="sm", elem_id="clear-draft")
        pack_name, license, about, presets, make, zip_button, toml, folder, save, said = _pack_part(hosted)
    return Bench(
        draft=draft,
        editing=editing,
        name=name,
        minus=minus,
        plus=plus,
        layers=layers,
        low=low,
        high=high,
        flip=flip,
        words=words,
        add=add,
        table=table,
        read=read,
        clear=clear,
        pack_name=pack_name,
        license=license,
        about=about,
        presets=presets,
        make=make,
        zip=zip_button,
        toml=toml,
        folder=folder,
        save=save,
        said=said,
    )


def fill_form(direction: Direction) -> tuple[Any, ...]:
    """Values of `Bench.filled` for a direction as its pack has it."""
    low, high = direction.amount_range
    words = direction.description[:MAX_WORDS]
    return (direction.name, *direction.poles, str(direction.layers), low, high, False, words, "", ADD)


def _form_part() -> tuple[Any, ...]:
    with gr.Row():
        name = gr.Textbox(
            label="Name", max_length=MAX_NAME, interactive=True, min_width=150, scale=2, elem_id="form-name"
        )
        minus = gr.Textbox(
            label="Minus end",
            placeholder="closed",
            max_length=MAX_NAME,
            interactive=True,
            min_width=90,
            elem_id="minus",
        )
        plus = gr.Textbox(
            label="Plus end", placeholder="open", max_length=MAX_NAME, interactive=True, min_width=90, elem_id="plus"
        )
    with gr.Row():
        layers = gr.Textbox(
            label="Layers", info="as 4-7, or all", max_length=9, interactive=True, min_width=100, elem_id="form-layers"
        )
        low = gr.Number(label="Lowest", info="sigmas", interactive=True, min_width=100, elem_id="form-low")
        high = gr.Number(label="Highest", info="sigmas", interactive=True, min_width=100, elem_id="form-high")
        flip = gr.Checkbox(
            label="Turn round", info="its plus becomes minus", interactive=True, min_width=110, elem_id="form-flip"
        )
    words = gr.Textbox(
        label="What it does", max_length=MAX_WORDS, lines=1, max_lines=4, interactive=True, elem_id="form-words"
    )
    add = gr.Button(ADD, variant="primary", size="md", elem_id="add-entry")
    return name, minus, plus, layers, low, high, flip, words, add


def _pack_part(hosted: bool) -> tuple[Any, ...]:
    with gr.Row():
        pack_name = gr.Textbox(
            label="Pack name",
            placeholder="people",
            max_length=MAX_NAME,
            interactive=True,
            min_width=150,
            elem_id="pack-name",
        )
        license = gr.Dropdown(
            list(LICENSES),
            value=None,
            label="Licence",
            info="empty: that of the packs it is from",
            allow_custom_value=True,
            interactive=True,
            min_width=150,
            elem_id="pack-license",
        )
    about = gr.Textbox(
        label="About the pack", max_length=1000, lines=1, max_lines=4, interactive=True, elem_id="pack-about"
    )
    presets = gr.Checkbox(
        True, label="With my presets", info="those that move nothing else", interactive=True, elem_id="with-presets"
    )
    with gr.Row(elem_id="pack-buttons"):
        make = gr.Button("Make the pack", variant="primary", size="md", min_width=120, elem_id="make-pack")
        zip_button = gr.DownloadButton("Download .zip", size="md", min_width=120, interactive=False, elem_id="pack-zip")
        toml = gr.DownloadButton("Names file", size="md", min_width=100, interactive=False, elem_id="pack-toml")
    with gr.Row(visible=not hosted, elem_id="pack-folder-row"):
        folder = gr.Textbox(
            label="Folder on this machine",
            placeholder="~/packs/people",
            max_length=1000,
            interactive=True,
            elem_id="folder",
        )
        save = gr.Button("Save there", size="md", min_width=130, scale=0, elem_id="save-pack")
    said = gr.HTML("", elem_id="draft-note", padding=False, apply_default_css=False)
    return pack_name, license, about, presets, make, zip_button, toml, folder, save, said


# ---- behaviour


def listen_bench(desk: Desk, bench: Bench, direction: gr.Dropdown) -> None:
    """Wire the events. direction: the box that says which one is at hand."""
    _listen_for_entries(desk, bench, direction)
    _listen_for_packs(desk, bench)


def _listen_for_entries(desk: Desk, bench: Bench, direction: gr.Dropdown) -> None:
    drafted = [bench.draft, bench.table, bench.editing, bench.add]

    def changed(draft: Draft) -> Updates:
        return {
            bench.draft: draft,
            bench.table: table_value(draft),
            bench.editing: "",
            bench.add: ADD,
        }

    @plainly
    def add(*values: Any) -> Updates:
        draft, editing, name, *form = values[len(desk.standing) :]
        now = desk.read(*values[: len(desk.standing)])
        old = draft[editing] if editing in draft.names else None
        source, fitted = _picked(desk.studios, now.studio, name or "", old)
        return changed(draft.put(_entry(source, fitted, *form), source, in_place_of=editing))

    @plainly
    def act(draft: Draft, event: gr.EventData) -> Updates:
        if type(event.index) is not int or not 0 <= event.index < len(draft.entries):
            return {}
        entry = draft.entries[event.index]
        if event.what == "remove":
            return changed(draft.remove(entry.name))
        low, high = entry.range or (-3.0, 3.0)
        filled = (entry.name, *entry.poles, entry.layers, low, high, entry.flip, entry.description)
        shown = {bench.editing: entry.name, bench.add: f"Change {entry.name}"}
        return {**shown, **dict(zip(bench.form, filled, strict=True))}

    @plainly
    def read(path: str, *values: Any) -> Updates:
        now = desk.read(*values)
        names, studio = read_names(Path(path)), now.studio
        found = [*open_sources(desk.studios, studio), *bundled_sources(studio.generator.fingerprint)]
        about = {bench.pack_name: names.name, bench.license: names.license or None, bench.about: names.description}
        return {**changed(read_draft(names, found)), **about}

    form_inputs = [*desk.standing, bench.draft, bench.editing, direction, *bench.form]
    bench.add.click(add, form_inputs, drafted, show_progress="hidden", **FORM)
    bench.table.select(act, bench.draft, [*drafted, *bench.form], show_progress="hidden", **FORM)
    bench.clear.click(lambda: changed(Draft()), None, drafted, show_progress="hidden", **FORM)
    bench.read.upload(
        read, [bench.read, *desk.standing], [*drafted, bench.pack_name, bench.license, bench.about], **FORM
    )
    ends = [bench.low, bench.high, bench.minus, bench.plus]
    bench.flip.input(None, ends, ends, js=TURN_ROUND, queue=False, show_progress="hidden", api_visibility="private")


def _listen_for_packs(desk: Desk, bench: Bench) -> None:
    inputs = [*desk.standing, desk.page.own, *bench.pack]

    @plainly
    def make(progress: gr.Progress = gr.Progress(), *values: Any) -> Updates:
        built, found, presets = made(desk, progress, *values)
        draft, about = values[len(desk.standing) + 1], _about(*values[len(desk.standing) + 2 :][:3])
        zipped = built.zipped()
        notes = [f"{built.pack.name} is ready: {words_of(built)}, {decimal(len(zipped))}.", *built.notes]
        try:
            text = names_file(draft, about, found, presets)
            toml = gr.update(value=served.lasting.put(text.encode(), f"{built.folder}.toml"), interactive=True)
        except PackFormatError as error:
            toml = gr.update(interactive=False)
            notes.append(str(error))
        return {
            bench.zip: gr.update(value=served.lasting.put(zipped, f"{built.folder}.zip"), interactive=True),
            bench.toml: toml,
            bench.said: paragraphs(notes),
        }

    @plainly
    def save(request: gr.Request, folder: str, progress: gr.Progress = gr.Progress(), *values: Any) -> str:
        if desk.studios.hosted or not is_at_home(request.client.host, request.headers):
            raise PackFormatError("folders are written only for who runs the page, on that very machine; take the .zip")
        built, _, _ = made(desk, progress, *values)
        path = save_to(built, folder)
        notes = [f"{words_of(built)} written to {path}. Open it here by that path, or publish it.", *built.notes]
        return paragraphs(notes)

    bench.make.click(make, inputs, [bench.zip, bench.toml, bench.said], show_progress_on=bench.said, **WORK)
    bench.save.click(save, [bench.folder, *inputs], bench.said, show_progress_on=bench.said, **WORK)


def made(
    desk: Desk, progress: Callable[..., object], *values: Any
) -> tuple[Built, Mapping[str, Source], Sequence[Mapping[str, Any]]]:
    """(the pack that the draft is, with its previews; where its directions are from; the presets it has).

    values: of desk.standing, Page.own and Bench.pack. Raises EiganError.
    """
    count = len(desk.standing)
    now, (own, draft, name, license, about, with_presets) = desk.read(*values[:count]), values[count:]
    if draft.entries and draft.fingerprint != now.studio.generator.fingerprint:
        raise PackFormatError("the draft is of another generator than the one that is open; open a pack of that one")
    found = draft_sources(desk.studios, draft)
    presets: list[dict[str, Any]] = []
    left: list[str] = []
    if with_presets and own:
        presets, left = fitting_presets(own, open_sources(desk.studios, now.studio), draft)
    pack = build(draft, _about(name, license, about), found, presets)

    def report(done: int, total: int, what: str) -> None:
        progress((done, total), desc=what.capitalize(), unit="directions")

    built = finished(pack, now.studio, report)
    notes = [*built.notes, *care(pack, joined_licenses([source.pack for source in found.values()]))]
    if left:
        notes.append(f"Left out are presets that move something else: {', '.join(left[:8])}.")
    return replace(built, notes=tuple(notes)), found, presets


def paragraphs(sentences: Sequence[str]) -> str:
    """Plain sentences as HTML."""
    return "".join(f"<p>{escape_html(sentence)}</p>" for sentence in sentences)


def _picked(studios: Studios, studio: Studio, name: str, old: Entry | None) -> tuple[Source, str]:
    """Where the direction of the form is from: that of the entry that is changed, else the one at hand."""
    if old is None:
        return origin(open_sources(studios, studio), name)
    return Source(old.source, studios.load_pack(studios.check_source(old.source))), old.fitted


def _entry(
    source: Source,
    fitted: str,
    name: str,
    minus: str,
    plus: str,
    layers: str,
    low: float | None,
    high: float | None,
    flip: bool,
    words: str,
) -> Entry:
    """What the form says. Raises PackFormatError when a number is missing."""
    if low is None or high is None:
        raise PackFormatError("the range lacks a number; write how far the slider goes each way, in sigmas")
    return Entry(
        source=source.text,
        fitted=fitted,
        name=name,
        poles=(minus, plus),
        layers=layers,
        flip=flip,
        range=(float(low), float(high)),
        description=words,
    )


def _about(name: str | None, license: str | None, about: str | None) -> About:
    return About(name or "", about or "", license or "")
