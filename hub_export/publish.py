"""Folder -> one commit and one tag on the Hub, such that a failure at any point leaves nothing a re-run does not mend.

Order: check everything here; read what the repository has; one commit with everything, on top of what was read; tag it;
read the tag back. A version, once tagged, is never written again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import constants, get_token

from eigan.errors import CheckpointError, PackFormatError, PublishError, PublishInterrupted, list_names
from eigan.hub import HubRef, Token, parse_ref, sort_versions, version_key
from hub_export.difference import Difference, FileChanges, compare_files
from hub_export.repository import MAIN, NOTHING, Contents, Gate, Progress, Repository
from hub_export.staging import CHANGELOG, Edition, Kind, kind_of, sizes

VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")


@dataclass(frozen=True)
class Published:
    """A version on the Hub (or, after a dry run, what it would be: `commit` is then empty).

    uploaded: the files of the version; already_there: it was published before, nothing had to be written.
    """

    repo_id: str
    version: str
    commit: str
    url: str
    uploaded: list[str]
    already_there: bool
    loader: str = "DirectionPack.load"

    @property
    def load_line(self) -> str:
        """What to paste to use it."""
        return f'eigan.{self.loader}("{self.repo_id}@v{self.version}")'


@dataclass(frozen=True)
class Earlier:
    """The version that a release comes after.

    files: what the release does to its files. difference: in what they say; None where the earlier one cannot be read,
    and `unreadable` then says why.
    """

    tag: str
    files: FileChanges
    difference: Difference | None
    unreadable: str = ""


@dataclass(frozen=True)
class Release:
    """Everything a publish will do, worked out and checked, with nothing written yet.

    changes: what the version says that it changed. head: the commit it goes on top of; None: the repository is to be
    made, `private` or not. gate: the access to set, "" to leave it. vanished: files to delete. commit: where exactly
    these files are already, "" when nowhere; is_tagged: and under this version.
    """

    repo_id: str
    version: str
    kind: Kind
    files: Mapping[str, bytes | Path]
    changes: str = ""
    private: bool = False
    gate: Gate | None = None
    head: str | None = None
    vanished: tuple[str, ...] = ()
    commit: str = ""
    is_tagged: bool = False
    earlier: Earlier | None = None

    @property
    def tag(self) -> str:
        return f"v{self.version}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(sizes(self.files).values())

    @property
    def advice(self) -> str:
        """A sentence when the changes ask for a larger step than the version takes; else ""."""
        if self.earlier is None or self.earlier.difference is None:
            return ""
        wanted = self.earlier.difference.next_version(self.earlier.tag)
        if version_key(self.version) >= version_key(wanted):
            return ""
        why = "saved edits break" if self.earlier.difference.bump == "major" else "something was added"
        return f"{why} since {self.earlier.tag}, which asks for version {wanted}"

    def on_top_of(self, contents: Contents) -> Release:
        """This release as the next commit after `contents`, or as that commit when it holds the same already."""
        if self.kind.foreign in contents.files:
            raise PublishError(
                f"{self.repo_id} holds {self.kind.foreign}, which no {self.kind.noun} has; "
                "publish each in a repository of its own"
            )
        vanished = sorted(n for n in contents.files if self.kind.owns(n) and n not in self.files)
        commit = contents.commit if contents.holds(self) else ""
        gate = None if self.gate == contents.gate else self.gate
        return replace(self, head=contents.commit, vanished=tuple(vanished), commit=commit, gate=gate)

    def published(self, commit: str) -> Published:
        url = f"{constants.ENDPOINT}/{self.repo_id}/tree/{self.tag}"
        return Published(self.repo_id, self.version, commit, url, sorted(self.files), self.is_tagged, self.kind.loader)


def publish(
    folder: str | Path,
    repo_id: str,
    version: str,
    *,
    token: Token = None,
    private: bool = False,
    gated: Gate | None = None,
    message: str = "",
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Published:
    """Publish the direction pack or generator in `folder` as `version` ("1.2.0") of `repo_id`, tagged "v1.2.0".

    private: if the repository is made by this; one that is public already is refused. gated: readers ask for access,
    which they get at once ("auto") or from a person ("manual"); None leaves that as it is. message: what changed, one
    change a line, for the changelog and the card; empty, what differs from the version before. dry_run: write nothing.

    Raises:
        PublishError: nothing was published, or only the tag is missing; the message says which, and what to do.
        PublishInterrupted: stopped by Ctrl-C; the message says what is there.
        PackFormatError, CheckpointError: the folder is damaged.
    """
    release = plan(folder, repo_id, version, token=token, message=message, private=private, gated=gated)
    if dry_run:
        return release.published(release.commit)
    return carry_out(release, token=token, progress=progress)


def plan(
    folder: str | Path,
    repo_id: str,
    version: str,
    *,
    token: Token = None,
    message: str = "",
    private: bool = False,
    gated: Gate | None = None,
) -> Release:
    """The release that publishing would make. Reads the folder and the Hub, writes nothing. Raises as `publish`."""
    check_names(repo_id, version)
    kind = kind_of(Path(folder))
    content = kind.read(Path(folder))
    repository = Repository(repo_id, token)
    tags = repository.tags()
    tagged = {version_key(tag): tag for tag in sort_versions(tags or ())}
    wanted, newest = version_key(version), max(tagged, default=(0, 0, 0))
    if newest > wanted and wanted not in tagged:
        raise PublishError(
            f"{repo_id} is at {'.'.join(map(str, newest))} already, so {version} would go back; "
            f"publish as {_next_patch(newest)} or higher"
        )
    before = max((key for key in tagged if key < wanted), default=None)
    past = None if before is None else _Past.read(repository, tagged[before], kind, content)
    edition = Edition(repo_id, version, message)
    if past:
        edition = replace(edition, before=past.tag, older=past.changelog, difference=past.difference)
    staged = kind.stage(Path(folder), edition)
    release = Release(repo_id, version, kind, staged.files, staged.changes, private, gated)
    if past:
        release = replace(release, earlier=past.against(release))
    if tags is None:
        return release
    contents = repository.contents(tagged.get(wanted, MAIN))
    if private and not contents.is_private:
        raise PublishError(
            f"{repo_id} is public, so nothing was published; make it private at "
            f"{constants.ENDPOINT}/{repo_id}/settings, or leave out --private"
        )
    if wanted in tagged:
        if differing := contents.differing(release):
            raise PublishError(
                f"version {version} of {repo_id} exists with other bytes ({list_names(differing, 5)}), and a "
                f"published version never changes; publish as {_next_patch(newest)}"
            )
        return replace(release.on_top_of(contents), is_tagged=True)
    release = release.on_top_of(contents)
    if not (tagged or release.commit):
        _refuse_strangers(repository, contents, kind)
    return release


def carry_out(release: Release, *, token: Token = None, progress: Progress | None = None) -> Published:
    """Do what `plan` worked out. Raises PublishError, PublishInterrupted."""
    report = progress or (lambda line: None)
    if release.is_tagged and release.gate is None:
        return release.published(release.commit)
    if token is False or (token is None and get_token() is None):
        raise PublishError("no Hub token; run `hf auth login` with one that may write, set HF_TOKEN, or pass one")
    repository, state = Repository(release.repo_id, token), NOTHING
    try:
        if release.head is None:
            report(f"creating {release.repo_id}")
            state = f"{NOTHING}, but the repository may be there, empty"
            repository.create(private=release.private)
            release = release.on_top_of(repository.contents(MAIN))
        if release.gate is not None:
            report(f"setting access to {release.gate}")
            repository.set_gate(release.gate)
        if not (commit := release.commit):
            state = "the files may be on the Hub, untagged"
            commit = repository.commit(release, report)
        if not release.is_tagged:
            report(f"tagging {commit[:8]} as {release.tag}")
            state = f"the files are on the Hub (commit {commit[:8]}), the tag {release.tag} maybe not"
            repository.tag(release.tag, commit)
    except KeyboardInterrupt:
        raise PublishInterrupted(f"stopped: {state}. Run the same command again, it goes on from there") from None
    return release.published(commit)


def check_names(repo_id: str, version: str) -> None:
    """Raise PublishError unless these can name a repository and a version."""
    ref = parse_ref(repo_id)
    if ref is None or ref.revision or ref.filename:
        raise PublishError(f"{repo_id!r} does not name a repository; write user/name, as on the Hub")
    if not VERSION.fullmatch(version):
        raise PublishError(
            f"{version!r} is no version; write MAJOR.MINOR.PATCH, such as 1.0.0 (no v, no leading zeros)"
        )


@dataclass(frozen=True)
class _Past:
    """The version before, as far as it is needed to say what changed since."""

    tag: str
    contents: Contents
    changelog: str
    difference: Difference | None
    unreadable: str

    @classmethod
    def read(cls, repository: Repository, tag: str, kind: Kind, content: object) -> _Past:
        contents = repository.contents(tag)
        changelog = repository.changelog(tag) if CHANGELOG in contents.files else ""
        difference, unreadable = None, ""
        try:
            old = kind.fetch(HubRef(repository.repo_id, contents.commit), repository.token)
            difference = kind.compare(old, content)
        except (PackFormatError, CheckpointError) as error:  # the same at every attempt, so the bytes stay the same
            unreadable = str(error)
        except OSError as error:
            raise repository.refusal(error) from error
        return cls(tag, contents, changelog, difference, unreadable)

    def against(self, release: Release) -> Earlier:
        owned = {name: name for name in self.contents.files if release.kind.owns(name)}
        files = compare_files(owned, release.files, self.contents.has)
        return Earlier(self.tag, files, self.difference, self.unreadable)


def _refuse_strangers(repository: Repository, contents: Contents, kind: Kind) -> None:
    """Raise PublishError when the repository holds something else, whose manifest would be overwritten."""
    stated = repository.stated_format(contents)
    if stated not in ("", kind.format):
        raise PublishError(
            f"{repository.repo_id} holds a config.json that is no {kind.noun}'s ({stated}); "
            "publish in a repository of its own"
        )


def _next_patch(version: tuple[int, int, int]) -> str:
    return f"{version[0]}.{version[1]}.{version[2] + 1}"
