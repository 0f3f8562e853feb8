"""What the page does: opening packs, links and pictures; the picture that follows the sliders. One pack at a time.

A browser session holds an `Opened` (plain values). Packs and generators live in `Studios`, shared by all sessions.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypedDict, TypeVar

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from eigan import sources
from eigan.errors import EiganError, HubError, PackFormatError, list_names
from eigan.pose import STILL, Pose
from eigan.recipe import PictureRecipe, read_png
from eigan.ui.labels import SliderPlan, badge, escape_html, plan_pose, plan_slider, shown_names
from eigan.ui.links import DEFAULT_PSI, DEFAULT_SEED, file_name, page_address, read_link, share_link
from eigan.ui.page import MAX_PSI, Page
from eigan.ui.session import Studio, Studios

P = ParamSpec("P")
R = TypeVar("R")
Updates = dict[Any, Any]  # component -> what it becomes


class Opened(TypedDict):
    """What is open in one browser session. `turn` is new with every opening, so that the sliders are built anew."""

    key: str
    source: str
    turn: str
    amounts: dict[str, float]  # where the sliders start
    pose: list[float]  # and those of the pose: x, y, angle
    extra: list[str]  # directions the person asked for beyond the first ones


class Prepared(TypedDict):
    """A pack that is loaded and a recipe for it, before the page shows them."""

    key: str
    source: str
    recipe: str  # JSON


@dataclass(frozen=True)
class Scene:
    """The controls that every pack has, as the page sends them; a box that was just emptied sends None."""

    seed: int | None
    truncation_psi: float | None
    class_index: int | None
    comparing: bool
    pose: Pose = STILL


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

    def arrive(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Updates:
        """The page as its address asks for it; what cannot be shown is said, and the default shown instead."""
        try:
            recipe = read_link(query, self.default_pack)
            if recipe is not None:
                return self.show(self.prepare_recipe(recipe), False, headers)
        except EiganError as error:
            gr.Warning(escape_html(f"This link cannot be shown: {error}"))
        try:
            prepared = self.prepare_pack(self.default_pack, Scene(DEFAULT_SEED, DEFAULT_PSI, None, False))
            return self.show(prepared, False, headers)
        except EiganError as error:
            gr.Warning(escape_html(f"No picture yet: {error}"))
            return {self.page.badge: "<p>No pack is open. Choose one above and press Load.</p>"}

    def prepare_pack(self, source: str, scene: Scene) -> Prepared:
        """Another pack, loaded, with all its sliders at 0; seed, psi and class stay. Raises EiganError."""
        try:
            studio = self.studios.open(source)
        except HubError as error:
            raise HubError(f"{error} The bundled packs go on working: {list_names(sources.bundled_packs())}.") from None
        seed = DEFAULT_SEED if scene.seed is None else scene.seed
        psi = DEFAULT_PSI if scene.truncation_psi is None else scene.truncation_psi
        class_index = min(scene.class_index or 0, max(studio.generator.c_dim - 1, 0))
        return _prepared(studio, studio.recipe(seed, psi, class_index, {}))

    def prepare_picture(self, path: Path) -> Prepared:
        """What the picture at `path` was made with, loaded. Raises EiganError."""
        return self.prepare_recipe(read_png(path))

    def prepare_recipe(self, recipe: PictureRecipe) -> Prepared:
        """The pack and generator that `recipe` names, loaded. Raises EiganError."""
        studio = self.studios.open(recipe.pack or self.default_pack)
        own = studio.recipe(recipe.seed, recipe.truncation_psi, recipe.class_index, recipe.amounts, recipe.pose)
        if recipe.fingerprint and recipe.fingerprint != own.fingerprint:
            gr.Warning("This picture was made with other weights of the generator; it will look different here.")
        return _prepared(studio, own)

    def show(self, prepared: Prepared, comparing: bool, headers: Mapping[str, str]) -> Updates:
        """The whole page for what was prepared. Raises EiganError."""
        studio = self.studios.reopen(prepared["key"], prepared["source"])
        page, pack, recipe = self.page, studio.pack, PictureRecipe.from_json(prepared["recipe"])
        opened = Opened(
            key=studio.key,
            source=studio.source,
            turn=secrets.token_hex(4),
            amounts=dict(recipe.amounts),
            pose=[recipe.pose.x, recipe.pose.y, recipe.pose.angle],
            extra=[],
        )
        shown = set(shown_names(pack, recipe.amounts, []))
        hidden = [name for name in pack.names if name not in shown]
        psi, c_dim = recipe.truncation_psi, studio.generator.c_dim
        return self._pictures(studio, recipe, comparing, headers) | {
            page.opened: opened,
            page.active: -1,
            page.picker: studio.source,
            page.badge: badge(pack, studio.generator.describe()),
            page.more: gr.update(choices=hidden, value=[], visible=bool(hidden)),
            page.seed: recipe.seed,
            page.psi: gr.update(
                value=psi,
                minimum=min(0.0, psi),
                maximum=max(studio.allowed_psi(MAX_PSI), psi),
                visible=studio.has_truncation,
            ),
            page.class_index: gr.update(value=recipe.class_index or 0, maximum=max(c_dim - 1, 0), visible=c_dim > 0),
        }

    def follow(
        self, opened: Opened, scene: Scene, amounts: Mapping[str, float | None], headers: Mapping[str, str]
    ) -> Updates | None:
        """The picture for where the controls stand; None while one of them is being typed into. Raises EiganError."""
        if scene.seed is None or scene.truncation_psi is None or scene.class_index is None:
            return None
        moved = {name: amount for name, amount in amounts.items() if amount is not None}
        studio = self.studios.reopen(opened["key"], opened["source"])
        recipe = studio.recipe(scene.seed, scene.truncation_psi, scene.class_index, moved, scene.pose)
        return self._pictures(studio, recipe, scene.comparing, headers)

    def plans(self, opened: Opened) -> list[SliderPlan]:
        """The sliders of the open pack, in its order. Raises EiganError."""
        studio = self.studios.reopen(opened["key"], opened["source"])
        names = shown_names(studio.pack, opened["amounts"], opened["extra"])
        return [plan_slider(studio.pack[name], opened["amounts"].get(name, 0.0)) for name in names]

    def pose_plans(self, opened: Opened) -> list[SliderPlan]:
        """The sliders of the pose; none where the generator has no pose. Raises EiganError."""
        studio = self.studios.reopen(opened["key"], opened["source"])
        return plan_pose(Pose(*opened["pose"])) if studio.generator.has_pose else []

    def _pictures(self, studio: Studio, recipe: PictureRecipe, comparing: bool, headers: Mapping[str, str]) -> Updates:
        page = self.page
        after = serve(studio, recipe)
        updates: Updates = {
            page.picture: gr.update(value=after, visible=not comparing),
            page.comparison: gr.update(visible=False),
            page.download: after,
            page.link: share_link(recipe, page_address(headers, self.environ)),
        }
        if comparing:
            before = serve(studio, replace(recipe, amounts={}))
            updates[page.comparison] = gr.update(value=(before, after), visible=True)
        return updates


def _prepared(studio: Studio, recipe: PictureRecipe) -> Prepared:
    return Prepared(key=studio.key, source=studio.source, recipe=recipe.to_json())


def serve(studio: Studio, recipe: PictureRecipe) -> str:
    """Path of the picture in Gradio's cache, under a person's file name; the file carries its recipe."""
    return str(save_bytes_to_cache(studio.png(recipe), file_name(recipe), get_upload_folder()))


def edit_endpoint(studios: Studios) -> Callable[..., gr.FileData]:
    """The typed endpoint `/edit` for other programs."""

    @plainly
    def edit(
        pack: str,
        seed: int,
        amounts: dict[str, float] | None = None,
        truncation_psi: float = DEFAULT_PSI,
        class_index: int | None = None,
    ) -> gr.FileData:
        """Make a picture and move it along named directions.

        Args:
            pack: a bundled pack's name, or a Hub id such as user/name@v1.0.0
            seed: a whole number; the same seed gives the same picture
            amounts: direction name to amount, in standard deviations
            truncation_psi: 0 is the average picture, 1 the full variety
            class_index: the class to draw, of a generator that has classes
        """
        studio = studios.open(pack)
        path = serve(studio, studio.recipe(seed, truncation_psi, class_index, amounts or {}))
        return gr.FileData(path=path, orig_name=Path(path).name, mime_type="image/png")

    return edit


def read_pose(values: Sequence[float | None]) -> Pose:
    """The pose that its sliders say; none of them: still. Raises InvalidCodes, PackFormatError."""
    if len(values) not in (0, 3):
        raise PackFormatError(f"the page sent {len(values)} sliders of the pose; wanted 3. Reload the page.")
    return Pose(*(value or 0.0 for value in values))


def read_amounts(plans: Sequence[SliderPlan], values: Sequence[float | None]) -> dict[str, float | None]:
    """Slider values by direction name. Raises PackFormatError when the page sent another number of them."""
    if len(plans) != len(values):
        raise PackFormatError(f"the page sent {len(values)} sliders; the pack has {len(plans)}. Reload the page.")
    return {plan.name: value for plan, value in zip(plans, values, strict=True)}
