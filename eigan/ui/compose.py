"""What lies below the sliders: further packs beside the open one, one's own presets, recipes and latents as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from eigan import sources
from eigan.combine import combine
from eigan.errors import EiganError, PackFormatError, list_names
from eigan.format import read_manifest
from eigan.latent_files import latent_bytes, read_latent
from eigan.pack import MAX_NAME, Preset
from eigan.plain_files import read_plain
from eigan.recipe import MAX_FURTHER, MAX_PNG_BYTES, MAX_RECIPE_BYTES, PNG_SIGNATURE, PictureRecipe, read_png
from eigan.reproduce import recipe_codes, recipe_edit
from eigan.strict_json import parse_json
from eigan.ui import served
from eigan.ui.desk import IN_BROWSER, OPEN, Desk
from eigan.ui.editor import Now, Opened, Prepared, plainly
from eigan.ui.labels import escape_html
from eigan.ui.links import file_name
from eigan.ui.own import Own, Taken, add_preset, read_presets, take_presets, without, write_presets
from eigan.ui.session import Studio, Studios

FORMS = (".npy", ".safetensors", ".pt")
LATENT_FILES = [".npy", ".npz", ".safetensors", ".pt", ".pth"]
QUICK: dict[str, Any] = {
    "concurrency_id": "compose",
    "concurrency_limit": 4,
    "show_progress": "hidden",
    "api_visibility": "private",
}
DOWNLOAD = """(file) => {
  if (!file) return;
  const link = Object.assign(document.createElement("a"), { href: file.url, download: file.orig_name || "file" });
  document.body.append(link);
  link.click();
  link.remove();
}"""  # a download button would hand out what was made for the click before


@dataclass(frozen=True, eq=False)
class Compose:
    """The accordion's components. file: hidden; what the browser downloads next."""

    further: gr.Dropdown
    name: gr.Textbox
    save: gr.Button
    recipe: gr.Button
    presets: gr.Button
    bring: gr.UploadButton
    latent: gr.UploadButton
    edited: gr.Radio
    form: gr.Radio
    take: gr.Button
    file: gr.File


def lay_out_compose() -> Compose:
    """The contents of the accordion, inside it."""
    with gr.Column(elem_id="composing"):
        further = gr.Dropdown(
            [],
            value=None,
            multiselect=True,
            max_choices=MAX_FURTHER,
            allow_custom_value=True,
            interactive=True,
            label="Add packs",
            info="more sliders for the same generator: choose, or type a Hub id and press Enter",
            elem_id="further",
        )
        name, save = _naming()
        recipe, presets, bring = _exchanging()
        latent, edited, form, take = _starting()
        file = gr.File(visible="hidden", interactive=False, label="Download")
    return Compose(
        further=further,
        name=name,
        save=save,
        recipe=recipe,
        presets=presets,
        bring=bring,
        latent=latent,
        edited=edited,
        form=form,
        take=take,
        file=file,
    )


def _naming() -> tuple[gr.Textbox, gr.Button]:
    with gr.Row(elem_id="naming", elem_classes="compose-row"):
        name = gr.Textbox(
            label="Save the sliders as a preset",
            info="it stays while the page is open",
            placeholder="a name",
            max_length=MAX_NAME,
            max_lines=1,
            interactive=True,
            scale=4,
            min_width=200,
        )
        save = gr.Button("Save preset", size="md", scale=1, min_width=120)
    return name, save


def _exchanging() -> tuple[gr.Button, gr.Button, gr.UploadButton]:
    gr.HTML("<h3>As files</h3><p>The recipe of this picture, or the presets you saved.</p>", padding=False)
    with gr.Row(elem_id="exchanging", elem_classes="compose-row"):
        recipe = gr.Button("Recipe .json", size="md", min_width=110)
        presets = gr.Button("Presets .json", size="md", min_width=110)
        bring = gr.UploadButton("Open a .json or .png", file_types=[".json", ".png"], size="md", min_width=140)
    return recipe, presets, bring


def _starting() -> tuple[gr.UploadButton, gr.Radio, gr.Radio, gr.Button]:
    gr.HTML(
        "<h3>Latents</h3><p>Codes from a projector or encoder, of one picture: (512), (1, 512) or (layers, 512) for a "
        "generator of 512 numbers.</p>",
        padding=False,
    )
    with gr.Row(elem_id="starting", elem_classes="compose-row"):
        latent = gr.UploadButton("Start from a latent", file_types=LATENT_FILES, size="md", min_width=150)
    with gr.Row(elem_id="taking-latent", elem_classes="compose-row"):
        edited = gr.Radio(
            ["edited", "unedited"], value="edited", label="Codes", interactive=True, scale=3, min_width=190
        )
        form = gr.Radio(list(FORMS), value=FORMS[0], label="File", interactive=True, scale=4, min_width=240)
        take = gr.Button("Download latent", size="md", min_width=130)
    return latent, edited, form, take


def listen_compose(desk: Desk, compose: Compose) -> None:
    """Wire the accordion, and the button beside the picture that leads back to the seed."""
    _listen_for_packs(desk, compose)
    _listen_for_presets(desk, compose)
    _listen_for_files(desk, compose)
    _listen_for_latents(desk, compose)


def _listen_for_packs(desk: Desk, compose: Compose) -> None:
    page = desk.page

    @plainly
    def choose(wanted: Sequence[str] | None, opened: Opened | None, *values: Any) -> Prepared | None:
        if not opened or list(wanted or []) == opened["further"]:
            return None  # the box shows what is open: nobody has chosen anything
        return with_packs(desk, desk.read(opened, *values), wanted or [])

    def show(opened: Opened | None) -> Any:
        return gr.update(**packs_shown(desk.studios, opened))

    chosen = compose.further.change(  # `input` says nothing of a name that was typed (Gradio 6.31)
        choose, [compose.further, *desk.standing], page.prepared, show_progress_on=page.badge, **OPEN
    )
    desk.go(chosen)
    chosen.failure(show, page.opened, compose.further, **QUICK)
    page.opened.change(show, page.opened, compose.further, **QUICK)


def _listen_for_presets(desk: Desk, compose: Compose) -> None:
    page = desk.page

    @plainly
    def save(name: str, own: Own, opened: Opened, panel: object, *values: Any) -> Any:
        now = desk.read(opened, panel, *values)
        found = save_preset(now, own, name or "")
        return found, presets_shown(desk, now, opened, panel, found, {found[-1]["name"]: 1.0}), ""

    @plainly
    def remove(event: gr.EventData, own: Own, opened: Opened, panel: object, *values: Any) -> Any:
        now, name = desk.read(opened, panel, *values), str(event.preset)
        pressed = {other: share for other, share in now.sent.pressed.items() if other != name}
        found = without(own, name)
        return found, presets_shown(desk, now, opened, panel, found, pressed)

    saving = [compose.name, page.own, *desk.standing]
    gr.on([compose.save.click, compose.name.submit], save, saving, [page.own, page.panel, compose.name], **QUICK)
    page.panel.delete(remove, [page.own, *desk.standing], [page.own, page.panel], **QUICK)


def _listen_for_files(desk: Desk, compose: Compose) -> None:
    page = desk.page

    @plainly
    def recipe(*values: Any) -> str:
        found = desk.read(*values).recipe
        return served.lasting.put(found.to_json().encode(), f"{_stem(found)}.json")

    @plainly
    def presets(own: Own) -> str:
        return served.lasting.put(write_presets(own), "presets.json")

    @plainly
    def bring(path: str, own: Own, opened: Opened, panel: object, *values: Any) -> Any:
        found = read_file(Path(path))
        if isinstance(found, PictureRecipe):
            return desk.editor.prepare_recipe(found), gr.skip(), gr.skip()
        now = desk.read(opened, panel, *values)
        taken = take_presets(own, found, now.studio.pack)
        _tell(taken)
        return None, taken.own, presets_shown(desk, now, opened, panel, taken.own, now.sent.pressed)

    _offer(compose.recipe.click, recipe, desk.standing, compose.file)
    _offer(compose.presets.click, presets, [page.own], compose.file)
    inputs, outputs = [compose.bring, page.own, *desk.standing], [page.prepared, page.own, page.panel]
    desk.go(compose.bring.upload(bring, inputs, outputs, show_progress_on=page.badge, **OPEN))


def _listen_for_latents(desk: Desk, compose: Compose) -> None:
    page = desk.page

    @plainly
    def start(path: str, *values: Any) -> Prepared:
        latent = read_latent(Path(path))
        return desk.editor.prepare_recipe(replace(desk.read(*values).recipe, latent=latent))

    @plainly
    def back(*values: Any) -> Prepared:
        return desk.editor.prepare_recipe(replace(desk.read(*values).recipe, latent=None))

    @plainly
    def take(edited: str, form: str, *values: Any) -> str:
        now = desk.read(*values)
        is_edited = edited == "edited"
        name = f"{_stem(now.recipe if is_edited else replace(now.recipe, amounts={}))}-latent{form}"
        return served.lasting.put(codes_file(now, form, is_edited=is_edited), name)

    inputs = [compose.latent, *desk.standing]
    desk.go(compose.latent.upload(start, inputs, page.prepared, show_progress_on=page.badge, **OPEN))
    desk.go(page.to_seed.click(back, desk.standing, page.prepared, show_progress="hidden", **OPEN))
    _offer(compose.take.click, take, [compose.edited, compose.form, *desk.standing], compose.file)


def _offer(event: Any, make: Callable[..., str], inputs: list[Any], file: gr.File) -> None:
    """At `event` the browser downloads the file that `make` makes."""
    event(make, inputs, file, **QUICK).success(inputs=file, js=DOWNLOAD, **IN_BROWSER)


# ---- packs beside the open one


def packs_shown(studios: Studios, opened: Opened | None) -> dict[str, Any]:
    """What the box of further packs shows: the bundled ones of the open pack's generator, and those that are there."""
    if not opened:
        return {"choices": [], "value": None}
    try:
        studio = studios.reopen(opened["key"], opened["source"], opened["further"])
    except EiganError:  # gone by now; the next move says so
        return {"choices": list(opened["further"]), "value": list(opened["further"]) or None}
    choices = dict.fromkeys([*packs_beside(studio), *studio.further])
    return {"choices": list(choices), "value": list(studio.further) or None}


def packs_beside(studio: Studio) -> list[str]:
    """The bundled packs that were made for the studio's generator, but for the one that is open."""
    return [name for name in sources.bundled_packs() if name != studio.source and _is_made_for(name, studio)]


def _is_made_for(name: str, studio: Studio) -> bool:
    folder = sources.bundled_path(name)
    try:
        return folder is not None and read_manifest(folder).generator.fingerprint == studio.pack.made_for.fingerprint
    except EiganError:
        return False


def with_packs(desk: Desk, now: Now, wanted: Sequence[str]) -> Prepared:
    """The picture as it stands, with the packs `wanted` beside the open one; what they take with them is said.

    Raises:
        EiganError: one of them cannot be opened, or was made for another generator.
    """
    asked = [text.strip() for text in wanted]
    stay = tuple(text for text in now.studio.further if text in asked)
    come = tuple(text for text in asked if text and text not in stay)
    recipe, lost = now.recipe, list[str]()
    if stay != now.studio.further:
        recipe, lost = renamed(recipe, new_names(desk.studios, now.studio, stay))
    prepared = desk.editor.prepare_recipe(replace(recipe, further=stay + come))
    if lost:
        gr.Info(escape_html(f"Gone with the pack: {list_names(lost)}."))
    return prepared


def new_names(studios: Studios, studio: Studio, stay: Sequence[str]) -> dict[str, str]:
    """Name of a direction of the open packs -> its name once only the packs `stay` are left beside the first."""
    before, after = (_origins(studios, [studio.source, *further]) for further in (studio.further, stay))
    names = {origin: name for name, origin in after.items()}
    return {name: names[origin] for name, origin in before.items() if origin in names}


def _origins(studios: Studios, texts: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Name in the combined pack -> (the pack it is of, its name there)."""
    packs = [studios.load_pack(text) for text in texts]
    origins = [(text, name) for text, pack in zip(texts, packs, strict=True) for name in pack.names]
    return dict(zip(combine(packs).names, origins, strict=True))


def renamed(recipe: PictureRecipe, names: Mapping[str, str]) -> tuple[PictureRecipe, list[str]]:
    """`recipe` with its directions called by their new `names`, and those that have none, which are left out."""
    lost = [name for name in dict.fromkeys((*recipe.amounts, *recipe.keep)) if name not in names]
    found = replace(
        recipe,
        amounts={names[name]: amount for name, amount in recipe.amounts.items() if name in names},
        layers={names[name]: layers for name, layers in recipe.layers.items() if name in names},
        keep=tuple(names[name] for name in recipe.keep if name in names),
    )
    return found, lost


# ---- presets, files, codes


def save_preset(now: Now, own: Own, name: str) -> list[Mapping[str, Any]]:
    """`own` and what the sliders do now, called `name`. Raises PackFormatError."""
    if not now.recipe.amounts:
        raise PackFormatError("no slider is moved, so there is nothing to save; move one first")
    preset = Preset(name.strip(), now.recipe.amounts)
    return add_preset(own, preset, {other.name for other in now.studio.pack.presets})


def presets_shown(
    desk: Desk, now: Now, opened: Opened, panel: object, own: Own, pressed: Mapping[str, float]
) -> dict[str, Any]:
    """The panel's value with the presets `own`: of the same opening, so that its sliders stay where they are by now."""
    return desk.editor.panel(now.studio, now.recipe, opened, panel, own) | {"pressed": dict(pressed)}


def read_file(path: Path) -> PictureRecipe | list[Preset]:
    """What an uploaded file holds: a recipe (.json, or a picture's), or presets.

    Raises:
        PackFormatError: neither of them, damaged, or too large.
    """
    data = read_plain(path, MAX_PNG_BYTES)
    if data.startswith(PNG_SIGNATURE):
        return read_png(path)
    value = parse_json(data, "the file", MAX_RECIPE_BYTES)
    if isinstance(value, dict) and "eigan_recipe" in value:
        return PictureRecipe.from_json(data)
    if isinstance(value, dict) and "presets" in value:
        return read_presets(data)
    raise PackFormatError(
        "the file holds neither a recipe nor presets; give a .json that was downloaded here, a pack's presets.json, or "
        "a picture from here"
    )


def _tell(taken: Taken) -> None:
    """Say which presets were added and why others were not."""
    if taken.added:
        gr.Info(escape_html(f"Presets added: {list_names(taken.added)}."))
    if taken.refused:
        gr.Warning(escape_html(f"Left out: {'; '.join(taken.refused[:6])}."))


def codes_file(now: Now, form: str, *, is_edited: bool) -> bytes:
    """A file in `form` (".npy") of the codes (L, D) that the picture starts from, or of what the edit makes of them.

    Raises:
        PackFormatError: another form.
    """
    with torch.inference_mode():
        codes = recipe_codes(now.recipe, now.studio.generator)
        if is_edited:
            codes = recipe_edit(now.recipe, now.studio.pack).apply(codes)
    return latent_bytes(codes, form)


def _stem(recipe: PictureRecipe) -> str:
    return file_name(recipe).removesuffix(".png")
