"""The desk: what a tab needs of the rest of the page. Where everything stands, and how to show something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from eigan.ui.editor import Editor, Now, Opened, Prepared, Scene, Updates, View, plainly
from eigan.ui.history import History
from eigan.ui.page import Page
from eigan.ui.session import Studios

# The picture: one request at a time from each page, and the last position always gets its picture.
MOVE: dict[str, Any] = {
    "trigger_mode": "always_last",
    "concurrency_id": "synth",
    "concurrency_limit": 1,
    "show_progress": "hidden",
    "api_visibility": "private",
}
# What may wait for the Hub; then what seldom does, so that whoever opens something slow does not hold up the others.
OPEN: dict[str, Any] = {"concurrency_id": "open", "concurrency_limit": 2, "api_visibility": "private"}
ARRIVE: dict[str, Any] = OPEN | {"concurrency_id": "arrive", "concurrency_limit": 6}
STEP: dict[str, Any] = OPEN | {"concurrency_id": "step", "concurrency_limit": 4}
IN_BROWSER: dict[str, Any] = {"fn": None, "queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Desk:
    """editor: the page's behaviour; page: its components."""

    editor: Editor

    @property
    def page(self) -> Page:
        return self.editor.page

    @property
    def studios(self) -> Studios:
        return self.editor.studios

    @property
    def standing(self) -> list[gr.components.Component]:
        """Inputs that say where everything on the page stands; `read` takes their values."""
        page = self.page
        return [page.opened, page.panel, page.seed, page.psi, page.class_index, page.noise]

    def read(
        self,
        opened: Opened | None,
        panel: object,
        seed: int | None,
        psi: float | None,
        class_index: int | None,
        has_noise: bool,
    ) -> Now:
        """Where everything on the page stands: packs, generator, complete recipe. Raises EiganError."""
        return self.editor.stand(opened, panel, Scene(seed, psi, class_index, has_noise))

    @property
    def view(self) -> list[gr.components.Component]:
        """Inputs that say how the page shows the picture; `read_view` takes their values."""
        page = self.page
        return [page.comparing, page.count, page.history, page.own]

    def read_view(self, comparing: bool, count: int, history: History, own: list[Mapping[str, Any]]) -> View:
        """How the page shows the picture."""
        return View(comparing, int(count), history, own)

    def go(self, event: Any) -> Any:
        """After `event`, which returned a Prepared into `page.prepared`, the whole page shows what was prepared.

        Loading (which may wait for the Hub) and showing are two steps: the second is quick and stands in line with the
        moves of sliders, so that the old pack's last picture cannot arrive after the new one's first.
        """

        @plainly
        def show(prepared: Prepared | None, panel: object, *rest: Any, request: gr.Request) -> Updates | Any:
            if prepared is None:
                return gr.skip()
            return self.editor.show(prepared, panel, self.read_view(*rest), request.headers)

        page = self.page
        return event.success(with_request(show), [page.prepared, page.panel, *self.view], page.everything, **MOVE)


def with_request(handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler(*values, request=...)` as Gradio calls it: it gives the request to a parameter of that type."""

    def given(request: gr.Request, *values: Any) -> Any:
        return handler(*values, request=request)

    return given
