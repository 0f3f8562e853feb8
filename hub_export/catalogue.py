"""What is published: packs on the Hub by author, generator or word; the versions of one; two things to compare.

Reads lists, cards and manifests, never writes. Everything on the Hub is a stranger's text: whoever shows it makes it
presentable (`hub_export.markdown.one_line`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import HfApi

from eigan import hub
from eigan.errors import HubError, UnknownName
from eigan.format import MANIFEST, MAX_MANIFEST_BYTES, VECTORS, read_manifest, stated_format
from eigan.hub import HubRef, Token, ask, list_versions, parse_ref, sort_versions
from eigan.hub_errors import explain
from eigan.readers.safetensors import WEIGHTS
from eigan.sources import bundled_path
from hub_export.changelog import read_sections
from hub_export.difference import Difference, FileChanges, compare_files
from hub_export.staging import CHANGELOG, GENERATOR, MAX_TEXT_BYTES, PACK, Kind

T = TypeVar("T")
log = logging.getLogger(__name__)

PACK_TAGS = ("eigan", "latent-directions")
COLUMNS = ("cardData", "downloads", "gated", "likes", "private", "tags")
MAX_LISTED = 200
MAX_HISTORIES = 4  # lines of commits that are read for one repository
LOOKERS = 8  # calls at once, one for each pack's newest version
THE_LIST = HubRef("the list of packs")


@dataclass(frozen=True)
class Listing:
    """One pack of a list, as its card tells of it.

    version: the newest, "" when none is tagged or it could not be asked. directions: those that the card shows.
    """

    repo_id: str
    version: str
    directions: tuple[str, ...]
    generator: str
    license: str
    likes: int
    downloads: int
    access: str  # "", "gated" or "private"


@dataclass(frozen=True)
class Version:
    """One published version. date: of its commit, None when the history no longer has it. changes: what it says."""

    version: str
    commit: str
    date: datetime | None
    changes: str


@dataclass(frozen=True)
class History:
    """The versions of a repository, newest first."""

    repo_id: str
    kind: Kind | None
    versions: tuple[Version, ...]


@dataclass(frozen=True)
class Comparison:
    """Two packs, or two generators, side by side. files: None where they are not all known."""

    kind: Kind
    difference: Difference
    files: FileChanges | None


def list_packs(
    *, author: str = "", generator: str = "", search: str = "", limit: int = 20, token: Token = None
) -> list[Listing]:
    """At most `limit` packs on the Hub, the most downloaded first: by whom, for which generator (a Hub id), a word.

    Nothing is downloaded: one call for the list, and one small one for each pack's newest version.

    Raises:
        HubError: the Hub cannot be asked. UnknownName: `generator` is no Hub id.
    """
    tags = [*PACK_TAGS]
    if generator:
        if (ref := parse_ref(generator)) is None or ref.revision or ref.filename:
            raise UnknownName(f"{generator!r} is no generator on the Hub; write user/name, as in its address")
        tags.append(f"base_model:adapter:{generator}")
    api = hub.hub_api(token)
    options = {"author": author or None, "search": search or None, "limit": max(1, min(limit, MAX_LISTED))}
    found = _asked(
        lambda: list(api.list_models(filter=tags, sort="downloads", expand=list(COLUMNS), **options)), THE_LIST
    )
    with ThreadPoolExecutor(LOOKERS) as looking:
        newest = list(looking.map(lambda info: _newest(info.id, token), found))
    return [_listing(info, version) for info, version in zip(found, newest, strict=True)]


def list_history(repo_id: str, *, token: Token = None) -> History:
    """Every version of a pack or generator on the Hub: its date, commit, and what it says it changed.

    What changed comes from the newest version's CHANGELOG.md, else from the commits' own messages.

    Raises:
        HubError: not found, private, gated, unreachable. UnknownName: no Hub id.
    """
    ref = parse_ref(repo_id)
    if ref is None or ref.filename or ref.revision:
        raise UnknownName(f"{repo_id!r} does not name a repository; write user/name, as on the Hub")
    api = hub.hub_api(token)
    refs = _asked(lambda: api.list_repo_refs(repo_id), ref)
    commits = {tag.name: str(tag.target_commit) for tag in refs.tags}
    tags = sort_versions(commits)
    if not tags:
        return History(repo_id, None, ())
    info = _asked(lambda: api.model_info(repo_id, revision=commits[tags[0]]), ref)
    files = {sibling.rfilename for sibling in info.siblings or ()}
    kind = PACK if VECTORS in files else GENERATOR if WEIGHTS in files else None
    told = _changelog(HubRef(repo_id, commits[tags[0]]), token) if CHANGELOG in files else {}
    known = _commits(api, ref, [commits[tag] for tag in tags])
    return History(repo_id, kind, tuple(_version(tag, commits[tag], known, told) for tag in tags))


def compare_sources(old: str, new: str, *, token: Token = None) -> Comparison:
    """What changed from one pack or generator to another: folders, bundled names or Hub ids, with @version or without.

    Of a generator only the manifest is read: its fingerprint stands for the weights.

    Raises:
        UnknownName: neither of these, or a pack beside a generator. HubError: the Hub cannot give one.
        PackFormatError, CheckpointError: damaged.
    """
    (before_kind, before, before_files), (kind, after, after_files) = (_open(text, token) for text in (old, new))
    if before_kind is not kind:
        raise UnknownName(f"{old} holds a {before_kind.noun} and {new} a {kind.noun}; give two of the same kind")
    files = compare_files(before_files, after_files, lambda a, b: bool(a == b)) if kind is PACK else None
    return Comparison(kind, kind.compare(before, after), files)


def _open(source: str, token: Token) -> tuple[Kind, Any, Mapping[str, str]]:
    """The kind of `source`, what is compared of it, and its files: name -> sha256, as a pack's manifest lists them."""
    ref, folder = parse_ref(source), bundled_path(source) or Path(source)
    if is_local := folder.is_dir():
        pass
    elif ref is None or ref.filename:
        raise UnknownName(f"{source!r} is no folder, no bundled pack or generator, and no Hub id like org/name@v1.0.0")
    else:
        downloaded = hub.download(ref, [MANIFEST], max_bytes=MAX_MANIFEST_BYTES, token=token)
        folder, ref = downloaded.path, HubRef(ref.repo_id, downloaded.commit)
    kind = {PACK.format: PACK, GENERATOR.format: GENERATOR}.get(stated_format(folder / MANIFEST))
    if kind is None:
        raise UnknownName(
            f"{source} holds neither a direction pack nor a generator folder; "
            "hub-export convert makes one of another checkpoint"
        )
    content = kind.read(folder) if is_local or ref is None else kind.fetch(ref, token)
    files = {name: entry.sha256 for name, entry in read_manifest(folder).files.items()} if kind is PACK else {}
    return kind, content, files


def _asked(call: Callable[[], T], ref: HubRef) -> T:
    try:
        return ask(call)
    except Exception as error:
        raise explain(error, ref) from error


def _newest(repo_id: str, token: Token) -> str:
    """The newest version's tag; "" when it cannot be told, which must not cost the list."""
    try:
        return next(iter(list_versions(repo_id, token=token)), "")
    except HubError as error:
        log.info("the versions of %s could not be listed: %s", repo_id, error)
        return ""


def _listing(info: Any, version: str) -> Listing:
    tags = [tag for tag in info.tags or () if isinstance(tag, str)]
    card = info.card_data.to_dict() if info.card_data else {}
    widget = card.get("widget")
    shown = [w.get("text") for w in widget if isinstance(w, dict)] if isinstance(widget, list) else []
    license = _tagged(tags, "license:")
    return Listing(
        repo_id=str(info.id),
        version=version,
        directions=tuple(text for text in shown if isinstance(text, str)),
        generator=_tagged(tags, "base_model:adapter:"),
        license=str(card.get("license_name") or license) if license in ("", "other") else license,
        likes=int(info.likes or 0),
        downloads=int(info.downloads or 0),
        access="private" if info.private else "gated" if info.gated else "",
    )


def _tagged(tags: Sequence[str], prefix: str) -> str:
    """What follows `prefix` in the first tag that begins with it."""
    return next((tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)), "")


def _commits(api: HfApi, ref: HubRef, wanted: Sequence[str]) -> dict[str, Any]:
    """What the history says of those commits. All versions stand in one line, but for those before it was squashed."""
    known: dict[str, Any] = {}
    for _ in range(MAX_HISTORIES):
        if (commit := next((c for c in wanted if c not in known), None)) is not None:
            entries = _asked(partial(api.list_repo_commits, ref.repo_id, revision=commit), ref)
            known |= {entry.commit_id: entry for entry in entries}
    return known


def _changelog(ref: HubRef, token: Token) -> dict[str, str]:
    folder = hub.download(ref, [CHANGELOG], max_bytes=MAX_TEXT_BYTES, token=token)
    return read_sections((folder.path / CHANGELOG).read_text("utf-8", "replace"))


def _version(tag: str, commit: str, known: Mapping[str, Any], told: Mapping[str, str]) -> Version:
    entry, version = known.get(commit), tag.removeprefix("v")
    message = "" if entry is None else str(entry.message or "")
    return Version(version, commit, None if entry is None else entry.created_at, told.get(version) or message.strip())
