"""Typed endpoints for other programs: what the app does, without the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr

from eigan.recipe import PictureRecipe
from eigan.ui.editor import plainly, serve
from eigan.ui.links import DEFAULT_PSI
from eigan.ui.session import Studios


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
        recipe = PictureRecipe(pack, seed, truncation_psi, class_index, amounts or {})
        path = serve(studio, studio.complete(recipe))
        return gr.FileData(path=path, orig_name=Path(path).name, mime_type="image/png")

    return edit
