"""Folder -> one commit and one tag on the Hub, such that a failure at any point leaves nothing a re-run does not mend.

Order: check everything here; read what the repository has; one commit with everything, on top of what was read; tag it;
read the tag back. A version, once tagged, is never written again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import GatedRepoError, LocalTokenNotFoundError, RepositoryNotFoundError

from eigan import hub
from eigan.errors import EiganError, HubError, PublishError
from eigan.hub import ATTEMPTS, HubRef, Token, ask, hash_matches, parse_ref, sort_versions, version_key
from eigan.hub_errors import explain, is_transient, is_unreachable, server_says, status_of
from hub_export.staging import CHANGELOG, MAX_TEXT_BYTES, Kind, kind_of, sizes

Progress = Callable[[str], None]
VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")
MAIN = constants.DEFAULT_REVISION
STALE_PARENT = 412
TAG_EXISTS = 409
NOTHING = "nothing was published"
UNKNOWN = "the answer got lost, so the files may be there, untagged"


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
class Release:
    """Everything a publish will do, worked out and checked, with nothing written yet.

    head: the commit it goes on top of; None: the repository is to be made. vanished: files to delete.
    commit: where exactly these files are already, "" when nowhere; is_tagged: and under this version.
    """

    repo_id: str
    version: str
    kind: Kind
    files: Mapping[str, bytes | Path]
    message: str = ""
    head: str | None = None
    vanished: tuple[str, ...] = ()
    commit: str = ""
    is_tagged: bool = False

    @property
    def tag(self) -> str:
        return f"v{self.version}"

    def on_top_of(self, contents: Contents) -> Release:
        """This release as the next commit after `contents`, or as that commit when it holds the same already."""
        if self.kind.foreign in contents.files:
            raise PublishError(
                f"{self.repo_id} holds {self.kind.foreign}, which no {self.kind.noun} has; "
                "publish each in a repository of its own"
            )
        vanished = sorted(n for n in contents.files if self.kind.owns(n) and n not in self.files)
        commit = contents.commit if contents.holds(self) else ""
        return replace(self, head=contents.commit, vanished=tuple(vanished), commit=commit)

    def published(self, commit: str) -> Published:
        url = f"{constants.ENDPOINT}/{self.repo_id}/tree/{self.tag}"
        return Published(self.repo_id, self.version, commit, url, sorted(self.files), self.is_tagged, self.kind.loader)


@dataclass(frozen=True)
class Contents:
    """What a revision of the repository holds. files: name -> the Hub's entry, with its hash."""

    commit: str
    files: Mapping[str, Any]

    def holds(self, release: Release) -> bool:
        """Whether it is exactly the release: every file with these bytes, and no other file of its kind."""
        owned = {name for name in self.files if release.kind.owns(name)}
        return owned == set(release.files) and all(hash_matches(c, self.files[n]) for n, c in release.files.items())


def publish(
    folder: str | Path,
    repo_id: str,
    version: str,
    *,
    token: Token = None,
    private: bool = False,
    message: str = "",
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Published:
    """Publish the direction pack or generator in `folder` as `version` ("1.2.0") of `repo_id`, tagged "v1.2.0".

    private: if the repository is made by this. message: what changed, one change a line, for the changelog and the
    card. dry_run: write nothing.

    Raises:
        PublishError: nothing was published, or only the tag is missing; the message says which, and what to do.
        PackFormatError, CheckpointError: the folder is damaged.
    """
    release = plan(folder, repo_id, version, token=token, message=message)
    if dry_run:
        return release.published(release.commit)
    return carry_out(release, token=token, private=private, progress=progress)


def plan(folder: str | Path, repo_id: str, version: str, *, token: Token = None, message: str = "") -> Release:
    """The release that publishing would make. Reads the folder and the Hub, writes nothing. Raises as `publish`."""
    check_names(repo_id, version)
    kind = kind_of(Path(folder))
    kind.check(Path(folder))
    client = _Client(repo_id, token)
    tags = client.tags()
    tagged = {version_key(tag): tag for tag in sort_versions(tags or ())}
    wanted, newest = version_key(version), max(tagged, default=(0, 0, 0))
    before = [tag for key, tag in sorted(tagged.items()) if key < wanted]
    published = client.changelog(before[-1]) if before else ""
    release = Release(repo_id, version, kind, kind.stage(Path(folder), repo_id, version, message, published), message)
    if tags is None:
        return release
    if wanted in tagged:
        contents = client.contents(tagged[wanted])
        if contents.holds(release):
            return replace(release, head=contents.commit, commit=contents.commit, is_tagged=True)
        raise PublishError(
            f"version {version} of {repo_id} exists with other bytes, and a published version never changes; "
            f"publish as {_next_patch(newest)}"
        )
    if newest > wanted:
        raise PublishError(
            f"{repo_id} is at {'.'.join(map(str, newest))} already, so {version} would go back; "
            f"publish as {_next_patch(newest)} or higher"
        )
    return release.on_top_of(client.contents(MAIN))


def carry_out(
    release: Release, *, token: Token = None, private: bool = False, progress: Progress | None = None
) -> Published:
    """Do what `plan` worked out. Raises PublishError."""
    report = progress or (lambda line: None)
    if release.is_tagged:
        return release.published(release.commit)
    if token is False or (token is None and get_token() is None):
        raise PublishError("no Hub token; run `hf auth login` with one that may write, set HF_TOKEN, or pass one")
    client = _Client(release.repo_id, token)
    if release.head is None:
        report(f"creating {release.repo_id}")
        client.create(private=private)
        release = release.on_top_of(client.contents(MAIN))
    commit = release.commit
    if not commit:
        report(f"uploading {len(release.files)} files, {sum(sizes(release.files).values()):,} bytes")
        commit = client.commit(release)
    report(f"tagging {commit[:8]} as {release.tag}")
    client.tag(release.tag, commit)
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


def _next_patch(version: tuple[int, int, int]) -> str:
    return f"{version[0]}.{version[1]}.{version[2] + 1}"


class _Client:
    """The calls that publishing makes on one repository; each fails with a PublishError that says what to do."""

    def __init__(self, repo_id: str, token: Token) -> None:
        self.repo_id = repo_id
        self.token = token
        self.api: HfApi = hub.hub_api(token)

    def tags(self) -> list[str] | None:
        """Names of all tags; None when there is no such repository (or none that this token may see)."""
        try:
            return [tag.name for tag in ask(lambda: self.api.list_repo_refs(self.repo_id)).tags]
        except GatedRepoError as error:
            raise self.refusal(error) from error
        except RepositoryNotFoundError:
            return None
        except Exception as error:
            raise self.refusal(error) from error

    def contents(self, revision: str, state: str = NOTHING) -> Contents:
        try:
            info = ask(lambda: self.api.model_info(self.repo_id, revision=revision, files_metadata=True))
        except Exception as error:
            raise self.refusal(error, state) from error
        return Contents(str(info.sha), {sibling.rfilename: sibling for sibling in info.siblings or ()})

    def changelog(self, tag: str) -> str:
        """CHANGELOG.md of a published version; "" when it has none."""
        if CHANGELOG not in self.contents(tag).files:
            return ""
        ref = HubRef(self.repo_id, tag, CHANGELOG)
        try:
            folder = hub.download(ref, [CHANGELOG], max_bytes=MAX_TEXT_BYTES, token=self.token)
        except HubError as error:
            raise PublishError(f"the changelog of {tag} could not be read, nothing was published: {error}") from error
        return (folder.path / CHANGELOG).read_text("utf-8", "replace")

    def create(self, *, private: bool) -> None:
        try:
            ask(lambda: self.api.create_repo(self.repo_id, private=private or None, exist_ok=True))
        except Exception as error:
            raise self.refusal(error) from error

    def commit(self, release: Release) -> str:
        """The one commit that holds the release. A lost answer is not a failure: the Hub is asked what it has."""
        attempt = 0
        while True:
            attempt += 1
            try:
                commit = str(self._create_commit(release).oid)
                break
            except Exception as error:
                now = self.contents(MAIN, UNKNOWN)
                if now.holds(release):
                    return now.commit
                if status_of(error) == STALE_PARENT or now.commit != release.head:
                    raise PublishError(
                        f"someone else published to {self.repo_id} in the meantime; nothing of yours was. "
                        "Run the same command again, it will build on theirs"
                    ) from error
                if not is_transient(error) or attempt == ATTEMPTS:
                    raise self.refusal(error) from error
                hub.sleep(2.0 ** (attempt - 1))
        if not self.contents(commit, UNKNOWN).holds(release):
            raise PublishError(
                f"{self.repo_id} kept other files than were sent (commit {commit[:8]}), so it was not tagged; "
                "is there a .gitignore in the repository? Remove it and run the same command again"
            )
        return commit

    def _create_commit(self, release: Release) -> Any:
        return self.api.create_commit(
            self.repo_id,
            [
                *(CommitOperationAdd(name, content) for name, content in sorted(release.files.items())),
                *(CommitOperationDelete(name, is_folder=False) for name in release.vanished),
            ],
            commit_message=f"Version {release.version}",
            commit_description=release.message,
            parent_commit=release.head,
        )

    def tag(self, tag: str, commit: str) -> None:
        """Tag `commit`, and read the tag back."""
        try:
            ask(lambda: self.api.create_tag(self.repo_id, tag=tag, revision=commit))
        except Exception as error:
            if status_of(error) != TAG_EXISTS:  # else: an earlier attempt whose answer was lost, or somebody else
                reason = self.refusal(
                    error, f"the files are on the Hub (commit {commit[:8]}), only the tag {tag} is not"
                )
                raise reason from error
        if (tagged := self.contents(tag).commit) != commit:
            raise PublishError(
                f"{tag} of {self.repo_id} is now commit {tagged[:8]}, not {commit[:8]}: someone else published it "
                "in the meantime. Publish yours as the next version"
            )

    def refusal(self, error: Exception, state: str = NOTHING) -> PublishError:
        """`error` as one sentence: what the Hub said, what there is now, what to do."""
        if isinstance(error, EiganError):
            return PublishError(f"{error}; {state}")
        status = status_of(error)
        where = f"{self.repo_id}: {state}"
        if isinstance(error, LocalTokenNotFoundError):
            return PublishError(f"no Hub token for {where}. Run `hf auth login` with one that may write, or pass one")
        if status == 401 and not isinstance(error, RepositoryNotFoundError):
            return PublishError(
                f"the Hub does not accept this token for {where}. "
                f"Make one that may write at {constants.ENDPOINT}/settings/tokens, then run `hf auth login`"
            )
        if status == 403 and not isinstance(error, RepositoryNotFoundError):
            return PublishError(f"{self._why_forbidden()} (for {where})")
        if is_unreachable(error):
            return PublishError(
                f"the Hub at {constants.ENDPOINT} cannot be reached ({type(error).__name__}) for {where}. "
                "Check the network, then run the same command again"
            )
        if status is not None and status >= 500:
            return PublishError(f"the Hub answered {status} for {where}. Run the same command again in a few minutes")
        if isinstance(error, ValueError):  # the Hub's check of the front matter
            return PublishError(f"the Hub refused the model card of {where}. It said: {server_says(error)}")
        return PublishError(f"{explain(error, HubRef(self.repo_id))}; {state}")

    def _why_forbidden(self) -> str:
        """Which of the three reasons a 403 has: a token that only reads, a foreign namespace, a narrow token."""
        tokens = f"{constants.ENDPOINT}/settings/tokens"
        try:
            me = ask(lambda: self.api.whoami(cache=True), attempts=1)
        except Exception:  # noqa: BLE001 (only the explanation gets less exact)
            me = {}
        names = [me.get("name"), *(org.get("name") for org in me.get("orgs", ()))]
        if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
            return f"this token may only read; make one that may write at {tokens}, then run `hf auth login`"
        if me and self.repo_id.split("/")[0] not in names:
            yours = ", ".join(str(name) for name in names)
            return f"{me.get('name')} may not publish under {self.repo_id.split('/')[0]!r}; use one of: {yours}"
        return f"this token may not write there; give it write access to {self.repo_id} at {tokens}"
