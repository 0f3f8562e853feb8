"""The calls that publishing makes on one repository; each fails with a PublishError that says what is there now.

Small calls are asked again and have deadlines (`eigan.hub.ask`). The commit is one call, after the large files went up;
when its answer gets lost the repository is asked what it holds, so that nothing is ever committed twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalTokenNotFoundError, RepositoryNotFoundError

from eigan import hub
from eigan.errors import EiganError, HubError, PublishError
from eigan.format import MANIFEST, MAX_MANIFEST_BYTES, stated_format
from eigan.hub import ATTEMPTS, MAX_WAIT, HubRef, Token, ask, hash_matches
from eigan.hub_errors import explain, is_transient, is_unreachable, server_says, status_of, wait_seconds
from hub_export.staging import CHANGELOG, MAX_TEXT_BYTES

if TYPE_CHECKING:
    from hub_export.publish import Release

Gate: TypeAlias = Literal["auto", "manual"]
Progress: TypeAlias = Callable[[str], None]
MAIN = constants.DEFAULT_REVISION
STALE_PARENT = 412
TAG_EXISTS = 409
REFUSALS = (401, 403)  # of a token; nothing was written
COMMIT_SECONDS = 120.0
COMMIT_BYTES_PER_SECOND = 50_000  # the slowest line that a commit's small files are waited for on
NOTHING = "nothing was published"
UNKNOWN = "the answer got lost, so the files may be there, untagged"


@dataclass(frozen=True)
class Contents:
    """What a revision of the repository holds. files: name -> the Hub's entry, with its hash."""

    commit: str
    files: Mapping[str, Any]
    is_private: bool = False
    gate: str = ""  # "auto", "manual", or "" when it is open to all

    def holds(self, release: Release) -> bool:
        """Whether it is exactly the release: every file with these bytes, and no other file of its kind."""
        return not self.differing(release)

    def differing(self, release: Release) -> list[str]:
        """Names of the files that the revision and the release do not share, byte for byte."""
        owned = {name for name in self.files if release.kind.owns(name)}
        return sorted(
            name
            for name in owned | set(release.files)
            if name not in owned or name not in release.files or not self.has(name, release.files[name])
        )

    def has(self, name: str, content: bytes | Path) -> bool:
        return hash_matches(content, self.files[name])


class Repository:
    """One repository of the Hub, as one token sees it."""

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
        files = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        return Contents(str(info.sha), files, bool(info.private), str(info.gated or ""))

    def changelog(self, tag: str) -> str:
        """CHANGELOG.md of a published version that has one."""
        return self._read(tag, CHANGELOG, MAX_TEXT_BYTES).read_text("utf-8", "replace")

    def stated_format(self, contents: Contents) -> str:
        """What the manifest of that revision says that the repository holds; "" when it says nothing."""
        if MANIFEST not in contents.files:
            return ""
        return stated_format(self._read(contents.commit, MANIFEST, MAX_MANIFEST_BYTES)) or "something else"

    def _read(self, revision: str, name: str, max_bytes: int) -> Path:
        ref = HubRef(self.repo_id, revision, name)
        try:
            return hub.download(ref, [name], max_bytes=max_bytes, token=self.token).path / name
        except HubError as error:
            raise PublishError(f"{name} of {revision} could not be read, {NOTHING}: {error}") from error

    def create(self, *, private: bool) -> None:
        try:
            ask(lambda: self.api.create_repo(self.repo_id, private=private or None, exist_ok=True))
        except Exception as error:
            raise self.refusal(error) from error

    def set_gate(self, gate: Gate) -> None:
        """From now on readers ask for access: granted at once ("auto"), or by a person ("manual")."""
        try:
            ask(lambda: self.api.update_repo_settings(self.repo_id, gated=gate))
        except Exception as error:
            raise self.refusal(error) from error

    def commit(self, release: Release, report: Progress) -> str:
        """The one commit that holds the release. A lost answer is not a failure: the Hub is asked what it has."""
        for attempt in itertools.count(1):
            additions = self._upload(release, report)
            try:
                report(f"committing {release.version}")
                return self._checked(self._send(release, additions), release)
            except PublishError:
                raise
            except Exception as error:
                if status_of(error) in REFUSALS:
                    raise self.refusal(error) from error
                now = self.contents(MAIN, UNKNOWN)
                if now.holds(release):
                    return now.commit
                if status_of(error) == STALE_PARENT or now.commit != release.head:
                    raise PublishError(
                        f"someone else published to {self.repo_id} in the meantime; nothing of yours was. "
                        "Run the same command again, it will build on theirs"
                    ) from error
                pause = wait_seconds(error) or 2.0 ** (attempt - 1)
                if not is_transient(error) or attempt == ATTEMPTS or pause > MAX_WAIT:
                    raise self.refusal(error) from error
                hub.sleep(pause)
        raise AssertionError  # count() does not end

    def _upload(self, release: Release, report: Progress) -> list[CommitOperationAdd]:
        """Send the large files; what the Hub has already is not sent again. They belong to no commit yet."""
        try:
            report(f"uploading {len(release.files)} files, {release.size:,} bytes")
            additions = [
                CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
                for name, content in sorted(release.files.items())
            ]
            ask(lambda: self._preupload(additions), attempts=2, deadline=None)
            return additions
        except Exception as error:
            raise self.refusal(error) from error

    def _preupload(self, additions: list[CommitOperationAdd]) -> None:
        try:
            self.api.preupload_lfs_files(self.repo_id, additions)
        except RuntimeError as error:  # "Error while uploading ..." round what the network said
            raise (error.__cause__ or error) from None

    def _send(self, release: Release, additions: list[CommitOperationAdd]) -> str:
        def send() -> Any:
            return self.api.create_commit(
                self.repo_id,
                [*additions, *(CommitOperationDelete(name, is_folder=False) for name in release.vanished)],
                commit_message=f"Version {release.version}",
                commit_description=release.changes,
                parent_commit=release.head,
            )

        small = sum(len(content) for content in release.files.values() if isinstance(content, bytes))
        return str(ask(send, attempts=1, deadline=COMMIT_SECONDS + small / COMMIT_BYTES_PER_SECOND).oid)

    def _checked(self, commit: str, release: Release) -> str:
        """`commit`, when the Hub kept just what was sent."""
        state = f"the files are on the Hub (commit {commit[:8]}), only the tag {release.tag} is not"
        if self.contents(commit, state).holds(release):
            return commit
        raise PublishError(
            f"{self.repo_id} kept other files than were sent (commit {commit[:8]}), so it was not tagged; "
            "is there a .gitignore in the repository? Remove it and run the same command again"
        )

    def tag(self, tag: str, commit: str) -> None:
        """Tag `commit`, and read the tag back."""
        state = f"the files are on the Hub (commit {commit[:8]}), only the tag {tag} is not"
        try:
            ask(lambda: self.api.create_tag(self.repo_id, tag=tag, revision=commit))
        except Exception as error:
            if status_of(error) != TAG_EXISTS:  # else: an earlier attempt whose answer was lost, or somebody else
                raise self.refusal(error, state) from error
        if (tagged := self.contents(tag, f"the files are on the Hub, and maybe the tag {tag}").commit) != commit:
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
                f"the Hub does not accept this token for {where}; it may have expired or been revoked. Make one that "
                f"may write at {constants.ENDPOINT}/settings/tokens, run `hf auth login`, then the same command again"
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
        if isinstance(error, OSError) and not isinstance(error, HfHubHTTPError) and error.filename:
            return PublishError(f"{error.filename} cannot be read ({error.strerror}), for {where}")
        if isinstance(error, RuntimeError):  # hf_xet's
            return PublishError(
                f"uploading failed for {where}. It said: {server_says(error)}. Run the same command again"
            )
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
