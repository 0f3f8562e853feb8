"""Publishing a named pack from the page: as whom, what will be done, and doing it. `hub_export.publish` does the work.

Tokens pass through: they are asked for with every press, never kept, logged or shown. No Gradio.
"""

from __future__ import annotations

import hashlib
import importlib.util
import ipaddress
import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants, get_token
from rich.filesize import decimal

from eigan import hub, sources
from eigan.errors import HubError, PublishError
from eigan.format import save_pack
from eigan.hub_errors import is_unreachable, server_says, status_of
from eigan.pack import DirectionPack
from eigan.ui.cards import generator_license, license_warning
from eigan.ui.labels import escape_html
from eigan.ui.packing import Built
from eigan.ui.session import Recent
from hub_export.publish import Published, Release, carry_out, plan
from hub_export.staging import sizes

log = logging.getLogger(__name__)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip", "via")
WHOAMI_SECONDS = 8.0
SHOWN_FILES = 40
LOGIN_ENV = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")  # set in a Space
LOGIN_LIBRARIES = ("authlib", "itsdangerous")  # gradio[oauth]

IN_PAGE = (  # what publishing says to who uses the command line -> to who looks at the page
    ("Run the same command again", "Try again"),
    ("run the same command again", "try again"),
    ("then the same command again", "then try again"),
)
SIGNED_IN = (  # to who signed in, and has no token to see to
    (r"Make one that may write at \S+ (?:then )?run `hf auth login`", "Sign in again, and allow this page to write"),
    (r"make one that may write at \S+ (?:then )?run `hf auth login`", "sign in again, and allow this page to write"),
    (
        r"this token may not write there; give it write access to \S+ at \S+",
        "this page may write only to repositories that it made in your name; choose another name, or download the pack "
        "and publish it with `hub-export publish`",
    ),
    (r"this token\b", "your signing in"),
)

_names: Recent[str, str] = Recent(8)  # of the machine's own accounts, by a hash of the token


@dataclass(frozen=True)
class Publisher:
    """In whose name is published. is_machine: by the token of the machine that the app runs on."""

    name: str
    token: str = field(repr=False)
    is_machine: bool = False

    def words(self) -> str:
        """Plain text: as whom."""
        how = "with the Hub token of this machine" if self.is_machine else "signed in with Hugging Face"
        return f"as {self.name}, {how}"


@dataclass(frozen=True)
class Order:
    """What a person asks to publish a pack as."""

    repo_id: str
    version: str
    private: bool = False
    message: str = ""


def can_sign_in(environ: Mapping[str, str]) -> bool:
    """Whether visitors can sign in with Hugging Face: a Space that was given the right to ask, and gradio[oauth]."""
    if not all(environ.get(name) for name in (*LOGIN_ENV, "SPACE_ID")):
        return False
    missing = [name for name in LOGIN_LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        log.warning("nobody can sign in: %s is not installed (pip install 'gradio[oauth]')", " and ".join(missing))
    return not missing


def is_at_home(client: str, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from this page, in a browser on this very machine, by no detour.

    Where the app runs on a person's own machine it may write their files and publish in their name: for them alone, not
    for everyone on their network, nor for another site that their browser shows.
    """
    try:
        host, origin = headers.get("host", ""), headers.get("origin", "")
        named = urlsplit(f"//{host}").hostname in LOOPBACK_NAMES and ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
    return named and origin in ("", f"http://{host}") and not any(name in headers for name in FORWARDED)


def machine_publisher(*, at_home: bool) -> Publisher:
    """Whoever this machine's Hub token is of.

    Raises:
        PublishError: the page is looked at from another machine, or there is no token, or the Hub does not accept it.
    """
    if not at_home:
        raise PublishError(
            "this page publishes in the name of whoever runs it, and so only from the machine that it runs on, at "
            "http://127.0.0.1. Download the pack, and publish it with `hub-export publish`"
        )
    token = get_token()
    if token is None:
        raise PublishError("no Hub token on this machine; run `hf auth login` with one that may write, then try again")
    key = hashlib.sha256(token.encode()).hexdigest()
    return Publisher(_names.get(key, lambda: _whoami(token)), token, is_machine=True)


def signed_in_publisher(name: str | None, token: str | None) -> Publisher:
    """Whoever signed in. Raises PublishError when nobody did, or it was too long ago."""
    if not token or not name:
        raise PublishError("nobody is signed in, or it was too long ago; press Sign in with Hugging Face first")
    return Publisher(name, token)


@contextmanager
def release_of(built: Built, order: Order, publisher: Publisher) -> Iterator[Release]:
    """The release that publishing `built` would make, worked out and checked; nothing is written on the Hub.

    Its large files lie in a folder that goes with the end of the `with`.

    Raises:
        PublishError: it cannot be published so; the message says why and what to do. PackFormatError: as the pack.
    """
    with tempfile.TemporaryDirectory(prefix="eigan-publish-") as root:
        folder = Path(root) / built.folder
        save_pack(built.pack, folder, built.extras)
        yield plan(
            folder,
            order.repo_id.strip(),
            order.version.strip().removeprefix("v"),
            token=publisher.token,
            message=order.message.strip(),
            private=order.private,
        )


def publish(release: Release, publisher: Publisher, progress: Callable[[str], None] | None = None) -> Published:
    """Do it.

    Raises:
        PublishError: nothing was published, or only the tag is missing. Doing the same again goes on from there.
    """
    return carry_out(release, token=publisher.token, progress=progress)


@contextmanager
def words_of_page(publisher: Publisher) -> Iterator[None]:
    """Around publishing: its errors, which speak of commands and tokens, in the words of the page.

    Raises:
        PublishError: what was raised inside.
    """
    try:
        yield
    except PublishError as error:
        text = str(error)
        for told, page in IN_PAGE:
            text = text.replace(told, page)
        for pattern, page in () if publisher.is_machine else SIGNED_IN:
            text = re.sub(pattern, page, text)
        raise PublishError(text) from error


def digest(release: Release) -> str:
    """A short name of exactly what the release would do: what was shown and agreed to is what is done."""
    told = hashlib.sha256()
    doing = (release.repo_id, release.version, release.private, release.head, release.commit, release.vanished)
    told.update(repr((*doing, release.changes, release.is_tagged)).encode())
    for name, content in sorted(release.files.items()):
        data = content if isinstance(content, bytes) else content.read_bytes()
        told.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    return told.hexdigest()[:24]


def plan_html(release: Release, publisher: Publisher, notes: tuple[str, ...] = ()) -> str:
    """HTML: what the release will do, before anything is done."""
    lines = "".join(f"<li>{escape_html(line)}</li>" for line in (*story(release), *notes))
    known = sizes(release.files)
    rows = [(name, decimal(size), _since(release, name)) for name, size in list(known.items())[:SHOWN_FILES]]
    if len(known) > SHOWN_FILES:
        rows.append((f"and {len(known) - SHOWN_FILES} more", "", ""))
    rows += [(name, "", "deleted") for name in release.vanished[:SHOWN_FILES]]
    cells = "".join(
        f"<tr><td>{escape_html(name)}</td><td>{escape_html(size)}</td><td>{escape_html(what)}</td></tr>"
        for name, size, what in rows
    )
    title = f"<strong>{escape_html(release.repo_id)}</strong> version {escape_html(release.version)}"
    return (
        f'<div class="release"><p>{title}, {escape_html(publisher.words())}</p><ul>{lines}</ul>'
        f"<details><summary>{len(known)} files, {escape_html(decimal(release.size))}</summary>"
        f"<table><tbody>{cells}</tbody></table></details></div>"
    )


def story(release: Release) -> list[str]:
    """What will be done and what changes, plain sentences."""
    lines = []
    if release.is_tagged:
        lines.append("This version is on the Hub already, with these very files: there is nothing to do.")
    elif release.commit:
        lines.append(f"These files are there already (commit {release.commit[:8]}); only the tag is missing.")
    elif release.head is None:
        lines.append(f"The repository will be made, {'private: for you alone' if release.private else 'public'}.")
    else:
        lines.append("One commit and one tag will be added to the repository.")
    if earlier := release.earlier:
        if earlier.difference is None:
            lines.append(f"{earlier.tag} cannot be compared with: {earlier.unreadable}")
        else:
            lines += [f"Since {earlier.tag}: {line}" for line in earlier.difference.lines(12)]
    if release.advice:
        lines.append(f"Mind: {release.advice}.")
    return lines


def care(pack: DirectionPack, licenses: str) -> tuple[str, ...]:
    """What to mind before others get the pack, plain sentences. licenses: of the packs that its directions are from."""
    notes = []
    if licenses and licenses != pack.license:
        notes.append(f"Mind: the directions are from packs under {licenses}; yours says {pack.license or 'nothing'}.")
    elif warning := license_warning(pack.license):
        notes.append(f"Mind: {warning}")
    terms = generator_license(pack)
    if terms and terms != pack.license and (warning := license_warning(terms)):
        notes.append(f"Mind: the generator is under {terms}. {warning}")
    source = pack.made_for.source
    if sources.bundled_path(source) is None and (hub.parse_ref(source) is None or Path(source).exists()):
        notes.append(
            "Mind: the generator is a file of this machine, so others can use the pack only if they have that file; "
            "publish the generator first (hub-export convert, hub-export publish) and fit on that."
        )
    return tuple(notes)


def published_html(published: Published, *, private: bool) -> str:
    """HTML: where it is now."""
    words = "was published before, with these very files" if published.already_there else "is published"
    address = escape_html(published.url)
    who = " Only you can see it." if private else ""
    return (
        f'<p class="published" role="status"><strong>{escape_html(published.repo_id)} {escape_html(published.version)}'
        f'</strong> {words}: <a href="{address}" target="_blank" rel="noopener">{address}</a>.{who}</p>'
    )


def _since(release: Release, name: str) -> str:
    return release.earlier.files.of(name) if release.earlier else ""


def _whoami(token: str) -> str:
    def asking() -> dict[str, Any]:
        return dict(hub.hub_api(token).whoami())

    try:
        return str(hub.ask(asking, attempts=1, deadline=WHOAMI_SECONDS)["name"])
    except Exception as error:
        raise PublishError(_why_nameless(error)) from error


def _why_nameless(error: Exception) -> str:
    """Why the Hub did not say whose token this is."""
    if status_of(error) in (401, 403):
        return (
            "the Hub does not accept the token of this machine; it may have expired or been revoked. Run "
            "`hf auth login` with one that may write, then try again"
        )
    if is_unreachable(error):
        return f"the Hub at {constants.ENDPOINT} cannot be reached, so nothing can be published now; check the network"
    if isinstance(error, HubError):
        return f"{error} (the token of this machine)"
    return f"the Hub does not say whose the token of this machine is: {server_says(error)}. Try again in a few minutes"
