"""What the page does: opening packs, links and pictures; the picture that follows the controls; going back and forth.

A browser session holds an `Opened` and a `History` (plain values). Packs and generators live in `Studios`, shared by
all sessions.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any, ParamSpec, TypedDict, TypeVar

import gradio as gr
from PIL import Image

from eigan import sources
from eigan.edit import overlap
from eigan.errors import EiganError, HubError, PackFormatError, list_names
from eigan.latents import MAX_SEED
from eigan.pose import Pose
from eigan.recipe import PictureRecipe, read_png
from eigan.reproduce import recipe_edit
from eigan.ui import served
from eigan.ui.history import History
from eigan.ui.labels import MAX_PRESETS_SHOWN, badge, class_choices, escape_html, plan_pose, plan_slider, shown_names
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED, file_name, page_address, read_link, share_link
from eigan.ui.page import MAX_PSI, Page
from eigan.ui.panel import Sent, panel_value, read_sent, standing
from eigan.ui.session import GAP, Studio, Studios, columns_for

P = ParamSpec("P")
R = TypeVar("R")
Updates = dict[Any, Any]  # component -> what it becomes
MIN_OVERLAP = 0.1  # cosine from which on two moves are said to overlap
MAX_COMPARED = 24  # moves of which every pair is looked at


class Opened(TypedDict):
    """What is open in one browser session. `turn` is new with every opening; recipe: what it was opened with, JSON."""

    key: str
    source: str
    further: list[str]
    turn: str
    recipe: str


class Prepared(TypedDict):
    """Packs that are loaded and a recipe for them, before the page shows them. step: of the history it goes to, None
    for a new one."""

    key: str
    source: str
    further: list[str]
    recipe: str  # JSON
    step: int | None


@dataclass(frozen=True)
class Scene:
    """The controls that every pack has, as the page sends them; a box that was just emptied sends None."""

    seed: int | None
    truncation_psi: float | None
    class_index: int | None = None
    has_noise: bool = True


@dataclass(frozen=True)
class View:
    """How the page shows the picture, which is not part of the picture. own: presets made in this session."""

    comparing: bool = False
    count: int = 1
    history: History = field(default_factory=History)
    own: Sequence[Mapping[str, Any]] = ()

    def seeds(self, recipe: PictureRecipe) -> list[int]:
        """The seeds shown side by side, the recipe's first; none for one picture, or for one that has no seed."""
        if self.count <= 1 or recipe.latent is not None:
            return []
        return [(recipe.seed + i) % (MAX_SEED + 1) for i in range(self.count)]


@dataclass(frozen=True)
class Now:
    """Where everything on the page stands. recipe: complete. sent: what the panel said."""

    studio: Studio
    recipe: PictureRecipe
    sent: Sent


def plainly(handler: Callable[P, R]) -> Callable[P, R]:
    """`handler`, with errors made on purpose shown as one sentence; their text may quote a stranger's, so no HTML."""

    @functools.wraps(handler)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except EiganError as error:
            raise gr.Error(escape_html(str(error)), print_exception=False) from None

    return guarded


class Editor:
    """The page's behaviour on plain values. `page` is what the updates are addressed to."""

    def __init__(self, page: Page, studios: Studios, default_pack: str, environ: Mapping[str, str]):
        self.page = page
        self.studios = studios
        self.default_pack = default_pack
        self.environ = environ

    # ---- opening

    def arrive(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Updates:
        """The page as its address asks for it; what cannot be shown is said, and the default shown instead."""
        try:
            recipe = read_link(query, self.default_pack)
            if recipe is not None:
                return self.show(self.prepare_recipe(recipe), None, View(), headers)
        except EiganError as error:
            gr.Warning(escape_html(f"This link cannot be shown: {error}"))
        try:
            return self.show(
                self.prepare_pack(self.default_pack, Scene(DEFAULT_SEED, DEFAULT_PSI)), None, View(), headers
            )
        except EiganError as error:
            gr.Warning(escape_html(f"No picture yet: {error}"))
            return {self.page.badge: "<p>No pack is open. Choose one above and press Load.</p>"}

    def prepare_pack(self, source: str, scene: Scene, further: Sequence[str] = ()) -> Prepared:
        """Other packs, loaded, with all their sliders at 0; seed, psi and class stay. Raises EiganError."""
        studio = self._open(source, further)
        recipe = PictureRecipe(
            pack=studio.source,
            seed=DEFAULT_SEED if scene.seed is None else scene.seed,
            truncation_psi=DEFAULT_PSI if scene.truncation_psi is None else scene.truncation_psi,
            class_index=min(scene.class_index or 0, max(studio.generator.c_dim - 1, 0)),
            noise_mode="const" if scene.has_noise else "none",
        )
        return _prepared(studio, studio.complete(recipe))

    def prepare_picture(self, path: Path) -> Prepared:
        """What the picture at `path` was made with, loaded. Raises EiganError."""
        return self.prepare_recipe(read_png(path))

    def prepare_recipe(self, recipe: PictureRecipe, step: int | None = None) -> Prepared:
        """The packs and generator that `recipe` names, loaded. step: as in Prepared. Raises EiganError."""
        studio = self._open(recipe.pack or self.default_pack, recipe.further)
        own = studio.complete(recipe)
        if recipe.fingerprint and recipe.fingerprint != own.fingerprint:
            gr.Warning("This picture was made with other weights of the generator; it will look different here.")
        return _prepared(studio, own, step)

    def prepare_step(self, history: History, index: int) -> Prepared | None:
        """Step `index` of the history, or the nearest there is; None when the page stands there. Raises EiganError."""
        there = history.move_to(index)
        if there.at == history.at or not history.steps:
            return None
        return self.prepare_recipe(PictureRecipe.from_json(there.here), there.at)

    def prepare_seed_at(self, now: Now, view: View, x: float, y: float) -> Prepared | None:
        """The one of several pictures side by side that lies at (x, y), in pixels of the sheet; None when there is one
        picture alone. Raises EiganError."""
        seeds, size = view.seeds(now.recipe), now.studio.generator.resolution
        if not seeds:
            return None
        columns = columns_for(len(seeds))
        index = int(y // (size + GAP)) * columns + min(int(x // (size + GAP)), columns - 1)
        return self.prepare_recipe(replace(now.recipe, seed=seeds[min(max(index, 0), len(seeds) - 1)]))

    def _open(self, source: str, further: Sequence[str]) -> Studio:
        try:
            return self.studios.open(source, further)
        except HubError as error:
            raise HubError(f"{error} The bundled packs go on working: {list_names(sources.bundled_packs())}.") from None

    # ---- showing

    def show(self, prepared: Prepared, panel: object, view: View, headers: Mapping[str, str]) -> Updates:
        """The whole page for what was prepared. panel: what it holds by now, for the locks. Raises EiganError."""
        studio = self.studios.reopen(prepared["key"], prepared["source"], prepared["further"])
        page, recipe = self.page, PictureRecipe.from_json(prepared["recipe"])
        opened = Opened(
            key=studio.key,
            source=studio.source,
            further=list(studio.further),
            turn=secrets.token_hex(4),
            recipe=prepared["recipe"],
        )
        if prepared["step"] is not None:
            view = replace(view, history=view.history.move_to(prepared["step"]))
        psi, classes = recipe.truncation_psi, class_choices(studio.generator.c_dim)
        return self._settled(studio, recipe, view, headers) | {
            page.opened: opened,
            page.panel: self.panel(studio, recipe, opened, panel, view.own),
            page.picker: studio.source,
            page.badge: badge(studio.pack, studio.generator.describe()),
            page.seed: recipe.seed,
            page.psi: gr.update(
                value=psi,
                minimum=min(0.0, psi),
                maximum=max(studio.allowed_psi(MAX_PSI), psi),
                visible=studio.has_truncation,
            ),
            page.class_index: gr.update(value=recipe.class_index, choices=classes, visible=bool(classes)),
            page.noise: gr.update(value=recipe.noise_mode == "const", visible=studio.generator.has_noise),
        }

    def panel(
        self, studio: Studio, recipe: PictureRecipe, opened: Opened, before: object, own: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """What fills the panel for `recipe`. before: its value until now, whose locks stay. own: as in View."""
        pack = studio.pack
        names = shown_names(pack, [*recipe.amounts, *recipe.keep])
        plans = [plan_slider(pack[name], recipe.amounts.get(name, 0.0), studio.hints.get(name, "")) for name in names]
        shown = set(names)
        presets = [
            {"name": p.name, "amounts": dict(p.amounts), "description": p.description}
            for p in pack.presets
            if shown.issuperset(p.amounts)
        ]
        poses = plan_pose(recipe.pose) if studio.generator.has_pose else []
        return panel_value(
            key=studio.key,
            turn=opened["turn"],
            plans=[asdict(plan) for plan in plans],
            poses=[asdict(plan) for plan in poses],
            presets=[*presets[:MAX_PRESETS_SHOWN], *(p for p in own if shown.issuperset(p["amounts"]))],
            num_layers=studio.generator.num_layers,
            sent=standing(
                amounts=recipe.amounts,
                layers=recipe.layers,
                keep=recipe.keep,
                pose=(recipe.pose.x, recipe.pose.y, recipe.pose.angle),
                locked=[name for name in _locks(before) if name in shown],
            ),
        )

    # ---- following

    def stand(self, opened: Opened | None, panel: object, scene: Scene) -> Now:
        """Where the controls stand. Raises EiganError: something is out of range, or nothing is open."""
        if not opened:
            raise PackFormatError("no pack is open. Choose one and press Load.")
        sent, start = read_sent(panel), PictureRecipe.from_json(opened["recipe"])
        studio = self.studios.reopen(opened["key"], opened["source"], opened["further"])
        seed = start.seed if scene.seed is None else scene.seed
        recipe = PictureRecipe(
            pack=studio.source,
            seed=seed,
            truncation_psi=start.truncation_psi if scene.truncation_psi is None else scene.truncation_psi,
            class_index=scene.class_index,
            amounts=sent.amounts,
            pose=_pose(sent.pose),
            layers=sent.layer_ranges(studio.generator.num_layers),
            keep=tuple(sent.keep),
            noise_mode="const" if scene.has_noise else "none",
            latent=start.latent if seed == start.seed else None,  # another seed starts from there
        )
        return Now(studio, studio.complete(recipe), sent)

    def follow(
        self, opened: Opened | None, panel: object, scene: Scene, view: View, headers: Mapping[str, str]
    ) -> Updates | None:
        """The picture for where the controls stand; None while one of them is being typed into, or for a panel that
        was filled for another pack. Raises EiganError."""
        if not opened or scene.seed is None or scene.truncation_psi is None:
            return None
        now = self.stand(opened, panel, scene)
        if now.sent.turn != opened["turn"]:
            return None
        if now.sent.moving:
            return self._moving(now.studio, now.recipe, view)
        return self._settled(now.studio, now.recipe, view, headers)

    def _moving(self, studio: Studio, recipe: PictureRecipe, view: View) -> Updates | None:
        """The picture alone, for as long as something is being dragged; a small one where the whole one is slow."""
        seeds = view.seeds(recipe)
        if studio.is_slow_for(max(len(seeds), 1)):
            if seeds or not studio.renderer.has_previews:
                return None
            small = studio.preview(recipe)  # None: of this move, the whole picture is quick
        else:
            small = None
        data, name = (studio.png(recipe, seeds), file_name(recipe)) if small is None else (_png(small), "preview.png")
        after = served.fleeting.put(data, name)
        if not view.comparing:
            return {self.page.picture: after}
        return {self.page.comparison: (self._before(studio, recipe, seeds), after)}

    def _settled(self, studio: Studio, recipe: PictureRecipe, view: View, headers: Mapping[str, str]) -> Updates:
        page, seeds = self.page, view.seeds(recipe)
        picture = serve(studio, recipe)
        after = serve(studio, recipe, seeds)
        with Image.open(picture) as image:
            history = view.history.add(recipe, image)
        updates: Updates = {
            page.picture: gr.update(value=after, visible=not view.comparing),
            page.comparison: gr.update(visible=False),
            page.download: picture,
            page.link: _link(recipe, page_address(headers, self.environ)),
            page.history: history,
            page.strip: history.as_strip(),
            page.overlap: overlaps(studio, recipe),
            page.undo: gr.update(interactive=history.at > 0),
            page.redo: gr.update(interactive=history.at < len(history.steps) - 1),
            page.start: gr.update(visible=recipe.latent is not None),
        }
        if view.comparing:
            before = self._before(studio, recipe, seeds)
            updates[page.comparison] = gr.update(value=(before, after), visible=True)
        return updates

    def _before(self, studio: Studio, recipe: PictureRecipe, seeds: Sequence[int]) -> str:
        return serve(studio, replace(recipe, amounts={}, layers={}, keep=()), seeds)


def overlaps(studio: Studio, recipe: PictureRecipe) -> str:
    """HTML: which of the moves go the same way, and how much (the cosine between what they do to the codes)."""
    names = list(recipe.amounts)[:MAX_COMPARED]
    moves = [recipe_edit(replace(recipe, amounts={name: recipe.amounts[name]}), studio.pack) for name in names]
    pairs = combinations(zip(names, moves, strict=True), 2)
    found = [(overlap(a, b), one, other) for (one, a), (other, b) in pairs]
    told = sorted((f for f in found if abs(f[0]) >= MIN_OVERLAP), key=lambda f: -abs(f[0]))[:4]
    if not told:
        return ""
    how = {True: "go the same way", False: "work against each other"}
    lines = [f"{escape_html(a)} and {escape_html(b)} {how[value > 0]} ({value:+.2f})" for value, a, b in told]
    return f'<p class="overlap"><span class="what">Overlap</span> {"; ".join(lines)}</p>'


def _prepared(studio: Studio, recipe: PictureRecipe, step: int | None = None) -> Prepared:
    return Prepared(
        key=studio.key, source=studio.source, further=list(studio.further), recipe=recipe.to_json(), step=step
    )


def _locks(panel: object) -> list[str]:
    return read_sent(panel).locked if panel else []


def _pose(values: Sequence[float]) -> Pose:
    if len(values) not in (0, 3):
        raise PackFormatError(f"the page sent {len(values)} sliders of the pose; wanted 3. Reload the page.")
    return Pose(*values)


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _link(recipe: PictureRecipe, page: str) -> str:
    if recipe.latent is not None:
        return "A link cannot hold an uploaded latent: share the PNG, which does."
    return share_link(recipe, page)


def serve(studio: Studio, recipe: PictureRecipe, seeds: Sequence[int] = ()) -> str:
    """Path of the picture in Gradio's cache, under a person's file name; the file carries its recipe."""
    return served.lasting.put(studio.png(recipe, seeds), file_name(recipe))
