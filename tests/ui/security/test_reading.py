"""No visitor reads a file of the machine: by its address, by the name of an upload, by claiming to have uploaded it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.page_client import PageClient
from tests.ui.security.attempts import CANARY, SECRETS, Trap, attempt, events, foreign_files, get
from tests.ui.serving import Running

OUTSIDE = [
    "/etc/passwd",
    "../../../../../../etc/passwd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/proc/self/environ",
    "pyproject.toml",
    "app.py",
    ".git/config",
    "{home}/secret.txt",
    "{home}/hf/token",
    "{home}/hf/hub/secret.txt",
    "{home}/log.txt",
    "{cache}/../secret.txt",
    "{cache}/..%2fsecret.txt",
    "{cache}/%2e%2e/secret.txt",
    "{cache}",
    "file://{home}/secret.txt",
    "//{home}/secret.txt",
    "{home}/secret.txt%00.png",
]
ROUTES = [
    "gradio_api/file=",
    "gradio_api/file/",
    "file=",
    "static/",
    "assets/",
    "svelte/",
    "gradio_api/custom_component/",
]
UPLOADS = ["../../evil.png", "..\\..\\evil.png", "/etc/evil.png", "{home}/evil.png", "a/../../evil.png", "\x00.png"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_file_is_served_but_those_made_for_the_page(app: Running, path: str) -> None:
    asked = path.format(home=app.cache.parent, cache=app.cache)
    for route in ROUTES:
        answer = get(app, route + asked)
        assert answer.status_code in (400, 403, 404, 405), f"{route}{asked}"
        assert not any(secret in answer.text for secret in SECRETS)


def test_the_name_of_an_upload_leads_nowhere(app: Running) -> None:
    def outside() -> set[Path]:
        return {path for path in app.cache.parent.rglob("*") if app.cache not in (path, *path.parents)}

    client, before = PageClient(app.url), outside()
    for name in UPLOADS:
        path = Path(client.upload(name.format(home=app.cache.parent), b"x")["path"])
        assert app.cache in path.parents
        assert not path.is_symlink()
    assert outside() == before
    assert not Path("/etc/evil.png").exists()
    client.close()


def test_a_file_that_was_not_uploaded_is_not_opened(app: Running, trap: Trap) -> None:
    client = PageClient(app.url)
    client.arrive()
    for event, places in events(client, "uploadbutton", "file", "image"):
        for value in foreign_files(app, trap):
            said = attempt(client, event, places, value)
            assert said.startswith("refused"), f"{event['api_name']} took {value}"
    client.close()
    assert trap.seen == []
    assert not any(CANARY in path.read_text("latin-1") for path in app.cache.rglob("*") if path.is_file())


def test_no_event_takes_a_file_for_something_else(stranger: PageClient, space: Running, trap: Trap) -> None:
    for event, _ in events(stranger, "html", "number", "textbox", "dropdown", "checkbox"):
        for value in foreign_files(space, trap)[:2]:
            attempt(stranger, event, list(range(len(event["inputs"]))), value)
    assert trap.seen == []
