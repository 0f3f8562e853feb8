"""Publishing, in the Explore tab: what a publish will do is shown, agreed to, and done. See `eigan.ui.publishing`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from eigan.errors import EiganError, PublishError
from eigan.ui.desk import OPEN, Desk
from eigan.ui.editor import Prepared, Scene, Updates, plainly
from eigan.ui.publishing import (
    Order,
    Publisher,
    can_sign_in,
    digest,
    is_at_home,
    machine_publisher,
    plan_html,
    publish,
    published_html,
    release_of,
    signed_in_publisher,
    words_of_page,
)
from eigan.ui.workbench import WORK, Bench, made, paragraphs
from hub_export.previews import slugs

HUB: dict[str, Any] = {"concurrency_id": "hub", "concurrency_limit": 4, "api_visibility": "private"}
PUBLIC, PRIVATE = "Public", "Private"
STEPS = ("creating", "setting", "uploading", "committing", "tagging")  # first words of what publishing reports


@dataclass(frozen=True, eq=False)
class Counter:
    """Components by the part they play. planned: what was shown and may be done, see `publishing.digest`."""

    tab: gr.Tab
    planned: gr.State
    published: gr.State
    who: gr.HTML
    repo: gr.Textbox
    version: gr.Textbox
    visibility: gr.Radio
    message: gr.Textbox
    look: gr.Button
    plan: gr.HTML
    go: gr.Button
    result: gr.HTML
    load_line: gr.Textbox
    open: gr.Button

    @property
    def order(self) -> list[gr.components.Component]:
        """Inputs that say what to publish the pack as."""
        return [self.repo, self.version, self.visibility, self.message]


def lay_out_counter(*, hosted: bool) -> Counter:
    """A tab of its own, inside the current tabs."""
    with gr.Tab("Publish", id="publish-tab") as tab:
        planned, published = gr.State(""), gr.State("")
        if hosted and can_sign_in(os.environ):
            gr.LoginButton(size="md", elem_id="login")
        who = gr.HTML(paragraphs([_welcome(hosted)]), elem_id="publish-who", padding=False, apply_default_css=False)
        with gr.Row():
            repo = gr.Textbox(
                label="Repository",
                placeholder="you/people",
                max_length=200,
                interactive=True,
                min_width=170,
                scale=2,
                elem_id="repo",
            )
            version = gr.Textbox(
                "1.0.0", label="Version", max_length=40, interactive=True, min_width=80, elem_id="version"
            )
            visibility = gr.Radio(
                [PUBLIC, PRIVATE],
                value=PUBLIC,
                label="Who sees it",
                interactive=True,
                min_width=150,
                elem_id="visibility",
            )
        message = gr.Textbox(
            label="What changed",
            info="empty: what differs from the version before",
            max_length=2000,
            lines=1,
            max_lines=4,
            interactive=True,
            elem_id="message",
        )
        look = gr.Button("Show what it will do", size="md", elem_id="look")
        plan = gr.HTML("", elem_id="plan", padding=False, apply_default_css=False)
        go = gr.Button("Publish", variant="primary", size="md", interactive=False, elem_id="publish")
        result = gr.HTML("", elem_id="published", padding=False, apply_default_css=False)
        with gr.Row():
            load_line = gr.Textbox(
                label="To use it", buttons=["copy"], interactive=False, visible=False, scale=3, elem_id="load-line"
            )
            open_button = gr.Button("Open it here", size="md", visible=False, elem_id="open-published")
    return Counter(
        tab=tab,
        planned=planned,
        published=published,
        who=who,
        repo=repo,
        version=version,
        visibility=visibility,
        message=message,
        look=look,
        plan=plan,
        go=go,
        result=result,
        load_line=load_line,
        open=open_button,
    )


def listen_counter(desk: Desk, counter: Counter, bench: Bench) -> None:
    """Wire the events."""
    hosted = desk.studios.hosted
    inputs = [*desk.standing, desk.page.own, *bench.pack]
    shown = [counter.plan, counter.planned, counter.go, counter.result, counter.load_line, counter.open]

    def publisher(request: gr.Request, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None) -> Publisher:
        if hosted and not can_sign_in(os.environ):
            raise PublishError(_welcome(hosted))
        if hosted:
            return signed_in_publisher(profile.username if profile else None, token.token if token else None)
        return machine_publisher(at_home=is_at_home(request.client.host, request.headers))

    def greet(
        request: gr.Request,
        profile: gr.OAuthProfile | None,
        token: gr.OAuthToken | None,
        repo: str | None,
        pack_name: str | None,  # None as long as its own tab was not opened
    ) -> tuple[str, Any]:
        try:
            who = publisher(request, profile, token)
        except EiganError as error:
            return paragraphs([_welcome(hosted) if hosted else capital(f"{error}.")]), gr.skip()
        offered = f"{who.name}/{slugs([pack_name])[0] if pack_name and pack_name.strip() else 'my-directions'}"
        return paragraphs([f"You publish {who.words()}."]), offered if not (repo or "").strip() else gr.skip()

    @plainly
    def prepare(progress: gr.Progress = gr.Progress(), *values: Any) -> None:
        made(desk, progress, *values)  # its pictures take time; what follows finds them made

    @plainly
    def look(
        request: gr.Request, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None, *values: Any
    ) -> Updates:
        who, order = publisher(request, profile, token), _order(*values[-4:])
        built, _, _ = made(desk, _silent, *values[:-4])
        with words_of_page(who), release_of(built, order, who) as release:
            return {
                counter.plan: plan_html(release, who, built.notes),
                counter.planned: digest(release),
                counter.go: gr.update(interactive=not release.is_tagged),
                counter.result: "",
                counter.load_line: gr.update(visible=False),
                counter.open: gr.update(visible=False),
            }

    @plainly
    def go(
        request: gr.Request,
        profile: gr.OAuthProfile | None,
        token: gr.OAuthToken | None,
        progress: gr.Progress = gr.Progress(),
        *values: Any,
    ) -> Updates:
        who, order, planned = publisher(request, profile, token), _order(*values[-5:-1]), values[-1]
        built, _, _ = made(desk, _silent, *values[:-5])
        with words_of_page(who), release_of(built, order, who) as release:
            if digest(release) != planned:
                gr.Warning("What would be published has changed since it was shown. Look again, then press Publish.")
                return {counter.plan: plan_html(release, who, built.notes), counter.planned: digest(release)}
            done = publish(release, who, _reporting(progress))
        can_open = not (hosted and order.private)
        return {
            counter.result: published_html(done, private=order.private),
            counter.load_line: gr.update(value=done.load_line, visible=True),
            counter.open: gr.update(visible=can_open),
            counter.published: f"{done.repo_id}@v{done.version}",
            counter.planned: "",
            counter.go: gr.update(interactive=False),
        }

    @plainly
    def show(source: str, seed: int | None, psi: float | None, index: int | None, noise: bool) -> Prepared:
        return desk.editor.prepare_pack(source, Scene(seed, psi, index, noise))

    page = desk.page
    counter.tab.select(
        greet, [counter.repo, bench.pack_name], [counter.who, counter.repo], show_progress="hidden", **HUB
    )
    drawn = counter.look.click(prepare, inputs, None, show_progress_on=counter.plan, **WORK)
    drawn.success(look, [*inputs, *counter.order], shown, show_progress_on=counter.plan, **HUB)
    counter.go.click(
        go,
        [*inputs, *counter.order, counter.planned],
        [*shown, counter.published],
        show_progress_on=counter.result,
        **HUB,
    )
    scene = [page.seed, page.psi, page.class_index, page.noise]
    desk.go(counter.open.click(show, [counter.published, *scene], page.prepared, show_progress="hidden", **OPEN))


def _welcome(hosted: bool) -> str:
    """Who may publish here: plain text."""
    if not hosted:
        return "You publish with the Hub token of this machine, if it has one."
    if can_sign_in(os.environ):
        return "Sign in with Hugging Face to publish in your own name. The page keeps no token."
    return "Nobody can sign in on this page. Make the pack, download it, and publish it with `hub-export publish`."


def _order(repo: str | None, version: str | None, visibility: str | None, message: str | None) -> Order:
    return Order(repo or "", version or "", visibility == PRIVATE, message or "")


def _silent(*_: Any, **__: Any) -> None:
    """Progress that nobody looks at."""


def _reporting(progress: Callable[..., object]) -> Callable[[str], None]:
    """Progress of a publish: how far each of its steps is along."""

    def report(line: str) -> None:
        step = next((i for i, word in enumerate(STEPS) if line.startswith(word)), 0)
        progress((step + 1) / (len(STEPS) + 1), desc=capital(line))

    return report


def capital(line: str) -> str:
    """`line` with a capital at its beginning."""
    return line[:1].upper() + line[1:]
